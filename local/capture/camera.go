package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/observe"
	"github.com/weighlock/weighlock/local/shop"
	"github.com/weighlock/weighlock/local/slack"
	"github.com/weighlock/weighlock/local/stack"
	"github.com/weighlock/weighlock/local/up"
)

const (
	// timeout bounds each wait.
	timeout = 3 * time.Minute
	// rate is that of users' requests per second.
	rate = 200
	// paint is how long a page may take to be painted.
	paint = 30 * time.Second
)

// camera takes pictures of a stack.
type camera struct {
	stack      *stack.Stack
	folder     string
	browser    string
	say        io.Writer
	observer   *observe.Observer
	repository *shop.Repository
}

// run takes the pictures while users send requests.
func (c *camera) run(ctx context.Context) error {
	if err := c.open(ctx); err != nil {
		return err
	}
	generator, err := load.New(load.Options{URL: "http://" + address.Shop + "/", Rate: rate})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	group.Go(func() error { return generator.Run(ctx) })
	group.Go(func() error {
		defer stop()
		return c.take(ctx)
	})
	return group.Wait()
}

// take takes two versions live, the first by an approval in Slack and the second
// to an end by a person.
func (c *camera) take(ctx context.Context) error {
	if err := c.release(ctx, "2"); err != nil {
		return err
	}
	if err := c.approve(ctx); err != nil {
		return err
	}
	if err := c.until(ctx, "version 2 to be promoted", func(r *observe.Rollout) bool { return r.Status.State == "Idle" && r.Status.Attempt == 1 }); err != nil {
		return err
	}
	if err := c.release(ctx, "3"); err != nil {
		return err
	}
	if err := c.abort(ctx); err != nil {
		return err
	}
	if err := c.until(ctx, "version 3 to be rolled back", func(r *observe.Rollout) bool { return r.Status.State == "RolledBack" }); err != nil {
		return err
	}
	// Slack is told after Kubernetes.
	if err := pause(ctx, 5*time.Second); err != nil {
		return err
	}
	return errors.Join(
		c.terminal(ctx, "kubectl-history", wide, stack.Dana, "history", shop.Name),
		c.terminal(ctx, "kubectl-list", wide, stack.Dana, "list"),
		c.page(ctx, "slack-end", slack.Alice),
	)
}

// open has the cluster follow the example with an approval.
func (c *camera) open(ctx context.Context) error {
	var err error
	if c.repository, err = shop.Open(ctx, c.stack, address.ShopRepository); err != nil {
		return err
	}
	if _, err := c.repository.CommitExample(ctx, up.Approval, shop.Version{Name: "1"}, "Open the shop"); err != nil {
		return err
	}
	if err := shop.Follow(ctx, c.stack, address.ShopNamespace, address.ShopRepository); err != nil {
		return err
	}
	if err := c.stack.Grant(ctx, address.ShopNamespace); err != nil {
		return err
	}
	if c.observer, err = observe.New(c.stack.Config, address.ShopNamespace, shop.Name, 80); err != nil {
		return err
	}
	return c.until(ctx, "the shop to be adopted", func(r *observe.Rollout) bool { return r.Status.State == "Idle" })
}

// release commits a version, and waits until only a person is waited for.
func (c *camera) release(ctx context.Context, version string) error {
	if _, err := c.repository.CommitExample(ctx, up.Approval, shop.Version{Name: version}, "Version "+version); err != nil {
		return err
	}
	return c.until(ctx, "version "+version+" to ask a person", func(r *observe.Rollout) bool {
		v := r.Status.Verdict
		return r.Status.State == "Waiting" && r.Status.Approval != nil && v != nil && v.Outcome == "Pass"
	})
}

// approve is how alice does it in Slack, and how dana may not.
func (c *camera) approve(ctx context.Context) error {
	if err := pause(ctx, 3*time.Second); err != nil {
		return err
	}
	return errors.Join(
		c.terminal(ctx, "kubectl-get", narrow, stack.Alice, "get", shop.Name),
		c.terminal(ctx, "kubectl-refused", narrow, stack.Dana, "approve", shop.Name),
		c.page(ctx, "slack-prompt", slack.Alice),
		c.click(ctx, "Approve", slack.Alice),
	)
}

// abort is how bob does it with kubectl.
func (c *camera) abort(ctx context.Context) error {
	return c.terminal(ctx, "kubectl-abort", narrow, stack.Bob, "abort", shop.Name, "--reason", "support reports wrong totals")
}

// click clicks a button of the newest message that has it.
func (c *camera) click(ctx context.Context, button string, by slack.Member) error {
	chat := slack.Client{URL: address.SlackURL}
	state, err := chat.State(ctx)
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(state.Messages) {
		if !m.HasButton(button) {
			continue
		}
		done, err := chat.Click(ctx, slack.Click{Message: m.TS, Action: button, User: by.ID})
		if err == nil && done.Problem != "" {
			err = errors.New(done.Problem)
		}
		if err != nil {
			return fmt.Errorf("click %s: %w", button, err)
		}
		return nil
	}
	return fmt.Errorf("no message has the button %s", button)
}

// terminal takes a picture of what the plugin says to a person.
func (c *camera) terminal(ctx context.Context, name string, columns int, person string, arguments ...string) error {
	cmd := c.stack.Kubectl(ctx, person, slices.Concat([]string{"weighlock"}, arguments, []string{"--namespace=" + address.ShopNamespace, "--color=always"})...)
	cmd.Env = append(cmd.Env, "TERM=xterm-256color")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// A refusal is a picture too.
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return fmt.Errorf("run kubectl: %w", err)
	}
	typed := "\x1b[90m" + person + " $\x1b[0m kubectl weighlock " + quoted(arguments) + " -n " + address.ShopNamespace
	return c.write(name+".svg", []byte(picture("kubectl weighlock "+arguments[0], typed+"\n"+out.String(), columns)))
}

// quoted are arguments as they are typed.
func quoted(arguments []string) string {
	var words []string
	for _, a := range arguments {
		if strings.ContainsAny(a, " ") {
			a = `"` + a + `"`
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// page takes a picture of the channel, as a member sees it.
func (c *camera) page(ctx context.Context, name string, by slack.Member) error {
	if c.browser == "" {
		_, _ = fmt.Fprintf(c.say, "no picture %s without a browser\n", name)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, paint)
	defer cancel()
	profile, err := c.stack.TempDir("browser")
	if err != nil {
		return err
	}
	whole := filepath.Join(profile, name+".png")
	cmd := exec.CommandContext(ctx, c.browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--user-data-dir="+profile,
		"--window-size=860,2600", "--virtual-time-budget=2500", "--screenshot="+whole, address.SlackURL+"/?still&as="+by.ID)
	cmd.Env = append(os.Environ(), "HOME="+profile)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("take a picture of the page: %w: %s", err, output)
	}
	return c.trim(whole, name+".png")
}

func (c *camera) write(name string, content []byte) error {
	if err := os.WriteFile(filepath.Join(c.folder, name), content, 0o644); err != nil { //nolint:gosec // pictures for everybody
		return fmt.Errorf("write a picture: %w", err)
	}
	return nil
}

// until waits until the Rollout is as it should be.
func (c *camera) until(ctx context.Context, what string, is func(*observe.Rollout) bool) error {
	_, err := c.observer.Until(ctx, timeout, func(view observe.View) error {
		if view.Rollout == nil {
			return errors.New("there is no Rollout")
		}
		if !is(view.Rollout) {
			return fmt.Errorf("it is %s, waiting for %s", view.Rollout.Status.State, view.Rollout.Status.WaitingFor)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("wait for %s: %w", what, err)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
