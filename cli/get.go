package cli

import (
	"context"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// formatWide is the format of a command's own that shows more.
const formatWide = "wide"

// formatTree is what get prints unless told.
const formatTree = "tree"

// newGetCommand shows a Rollout with all that belongs to it.
func newGetCommand(s *session) *cobra.Command {
	var out output
	var watch bool
	cmd := &cobra.Command{
		Use:   "get [NAME]",
		Short: "Show a rollout: traffic, pods, steps, gates and what was measured",
		Long: `Show a Rollout as a tree: what it does and what it waits for, the traffic that was asked for and measured, the revisions with their
pods, the steps with the gates of the present one, what was measured, and who approved. Below stand commands that make sense next.

With --watch, it is painted again whenever something changes; q or Ctrl-C ends that. Where the output is no terminal, a line is
printed for each change.`,
		Example: `  # The Rollout checkout.
  kubectl weighlock get checkout

  # The only Rollout of the namespace shop, as it goes on.
  kubectl weighlock get -n shop --watch

  # With images, nodes, conditions, and all sentences.
  kubectl weighlock get checkout -o wide

  # The present step's approvals, for a script.
  kubectl weighlock get checkout -o jsonpath='{.status.approval}'`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: s.completeRollout,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			found, err := s.rollout(cmd.Context(), args)
			if err != nil {
				return err
			}
			if watch {
				return s.watchRollout(cmd.Context(), &out, found)
			}
			if !out.isOwn() {
				return out.object(s, found)
			}
			api, err := s.client()
			if err != nil {
				return err
			}
			return s.printTree(cmd.Context(), api, &out, found)
		},
	}
	out.bind(cmd, formatTree, formatWide)
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "Show it again whenever something changes.")
	return cmd
}

// printTree prints the tree of a Rollout.
func (s *session) printTree(ctx context.Context, api client.Reader, out *output, found *v1alpha1.Rollout) error {
	view, err := s.picture(ctx, api, out, found)
	if err != nil {
		return err
	}
	for _, line := range view.draw(s.palette(), s.width()) {
		s.line("%s", line)
	}
	return nil
}

// picture looks at all that belongs to a Rollout.
func (s *session) picture(ctx context.Context, api client.Reader, out *output, found *v1alpha1.Rollout) (*picture, error) {
	tracks, err := take(ctx, api, found)
	if err != nil {
		return nil, err
	}
	return &picture{rollout: found, tracks: tracks, now: s.clock.Now(), again: s.again(), wide: out.format() == formatWide}, nil
}

// again is what must be said in another command, too, for it to speak to the same cluster and namespace.
func (s *session) again() string {
	f := s.flags
	var b strings.Builder
	say := func(flag, value string) {
		if value != "" {
			b.WriteString(" " + flag + " " + shellWord(value))
		}
	}
	for _, flag := range []struct {
		name  string
		value *string
	}{
		{"--kubeconfig", f.KubeConfig},
		{"--context", f.Context},
		{"--cluster", f.ClusterName},
		{"--user", f.AuthInfoName},
		{"--server", f.APIServer},
		{"--as", f.Impersonate},
		{"--as-uid", f.ImpersonateUID},
	} {
		say(flag.name, *flag.value)
	}
	for _, group := range *f.ImpersonateGroup {
		say("--as-group", group)
	}
	say("-n", *f.Namespace)
	return b.String()
}

// bareWord are the words that no shell reads otherwise.
var bareWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// shellWord is a word as shells take it.
func shellWord(word string) string {
	if bareWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// width is how many columns the terminal has; zero where there is none.
func (s *session) width() int {
	file, ok := s.Out.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return width
}
