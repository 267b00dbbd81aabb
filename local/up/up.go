// Package up keeps a local stack running for a person to play with.
package up

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/app"
	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/prometheus"
	"github.com/weighlock/weighlock/local/shop"
	"github.com/weighlock/weighlock/local/stack"
)

// Command is the subcommand that starts a stack, says how to reach it, and
// keeps it until it is interrupted.
func Command() *cobra.Command {
	var options stack.Options
	var rate float64
	var example string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the whole stack and keep it running until Ctrl-C",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			started := time.Now()
			return stack.Run(cmd.Context(), options, func(ctx context.Context, s *stack.Stack) error {
				seeded := !options.WithoutWeighlock
				if seeded {
					if err := seed(ctx, s, example); err != nil {
						return err
					}
				}
				if _, err := io.WriteString(cmd.OutOrStdout(), guide(s, time.Since(started), seeded, example, rate)); err != nil {
					return err
				}
				if seeded && rate > 0 {
					return send(ctx, rate)
				}
				<-ctx.Done()
				return nil
			})
		},
	}
	Flags(cmd, &options)
	cmd.Flags().StringVar(&example, "example", shop.Canary, "folder of examples whose Rollout takes the shop's versions live")
	cmd.Flags().Float64Var(&rate, "rate", 200, "users' requests per second that reach the shop, without which nothing could be weighed; 0 for none")
	return cmd
}

// seed has the cluster follow the repository, and commits the shop's first
// version to it, with an example's Rollout.
func seed(ctx context.Context, s *stack.Stack, example string) error {
	repository, err := shop.Open(ctx, s, address.ShopRepository)
	if err != nil {
		return err
	}
	if _, err := repository.CommitExample(ctx, example, shop.Version{Name: "1"}, "Open the shop"); err != nil {
		return err
	}
	if err := shop.Follow(ctx, s, address.ShopNamespace, address.ShopRepository); err != nil {
		return err
	}
	return s.Grant(ctx, address.ShopNamespace)
}

// tenants of whom examples speak send a part of the requests.
var tenants = []load.Tenant{{Name: "acme", Share: 0.2}, {Name: "globex", Share: 0.1}, {Name: "initech", Share: 0.1}}

// send sends users' requests until the stack ends.
func send(ctx context.Context, rate float64) error {
	generator, err := load.New(load.Options{URL: "http://" + address.Shop + "/", Rate: rate, Tenants: tenants})
	if err != nil {
		return err
	}
	return generator.Run(ctx)
}

// Flags adds the flags of every command that starts a stack.
func Flags(cmd *cobra.Command, options *stack.Options) {
	flags := cmd.Flags()
	flags.StringVar(&options.Root, "root", "", "the checkout (default: found from the working folder)")
	flags.StringVar(&options.State, "state", "", "folder for data and logs, kept at the end (default: a temporary one that is removed)")
	flags.StringToStringVar(&options.Ports, "port", nil, "address outside of kubernetes, shop, prometheus, git, mesh or slack, such as shop=127.0.0.1:8080 (default: any free port of 127.0.0.1)")
	flags.StringVar(&options.Shop, "shop", address.Shop, "host and port inside that the shop's port leads to")
	flags.StringVar(&options.Kustomize, "kustomize", "", "folder to install Weighlock from (default: kustomize/overlays/smi of the checkout)")
	flags.BoolVar(&options.WithoutWeighlock, "without-weighlock", false, "leave Weighlock out")
	flags.DurationVar(&options.ScrapeInterval, "scrape-interval", prometheus.DefaultInterval, "how often Prometheus scrapes Envoy, which bounds how soon a verdict can come")
	flags.DurationVar(&options.RestartBase, "restart-base", 0, "the node's first back-off of a container that ends (default: 10s, as a kubelet's)")
}

// guide says how to reach a stack from another shell.
func guide(s *stack.Stack, took time.Duration, seeded bool, example string, rate float64) string {
	lines := []string{
		"",
		fmt.Sprintf("The local stack runs (%.1f s). In another shell:", took.Seconds()),
		"",
		"  export KUBECONFIG=" + s.UserKubeconfig,
		"  export PATH=" + s.Bin + ":$PATH   # kubectl, and its plugin",
		"  kubectl get rollouts --all-namespaces --watch",
		"  git clone " + s.GitURLOutside(address.ShopRepository),
		"",
		"  shop        http://" + s.Outside[stack.PortShop],
		"  Prometheus  http://" + s.Outside[stack.PortPrometheus],
		"  mesh        http://" + s.Outside[stack.PortMesh] + "/status",
		"  Slack       http://" + s.Outside[stack.PortSlack] + "   (a stand-in: the channel #releases)",
		"  logs        " + s.Logs,
		"",
	}
	if seeded {
		lines = append(lines, try(rate)...)
		lines = append(lines, follow(s, example)...)
	}
	lines = append(lines, "Ctrl-C stops it.", "")
	return strings.Join(lines, "\n")
}

// try says what to do with a stack that serves the shop.
func try(rate float64) []string {
	lines := []string{fmt.Sprintf("Version 1 of a shop goes live, and gets %.0f requests a second. Give it another, in the clone:", rate), ""}
	for _, version := range []struct{ number, arguments, is string }{
		{"2", "", "a good one"},
		{"3", ", --error-rate=0.05", "one that fails"},
		{"4", ", --latency-p99=" + (2 * app.DefaultLatencyP99).String(), "a slow one"},
	} {
		lines = append(lines,
			"  # "+version.is,
			fmt.Sprintf("  sed -i 's/demo-shop:.*/demo-shop:%[1]s/; s/--version=[^]]*/--version=%[1]s%[2]s/' shop.yaml", version.number, version.arguments),
			fmt.Sprintf("  git commit --all --message='Version %s' && git push origin main", version.number), "")
	}
	return lines
}

// Approval is the example with a step that waits for a person.
const Approval = "approval"

// follow says how to watch a rollout, and how people have their say.
func follow(s *stack.Stack, example string) []string {
	lines := []string{
		"Watch it, and have your say (kubectl weighlock --help lists all that can be said):",
		"",
		"  kubectl weighlock get shop --namespace=shop --watch",
		"  kubectl weighlock pause shop --namespace=shop --reason='lunch'     # then resume",
		"  kubectl weighlock abort shop --namespace=shop --reason='not today'  # then retry",
		"  kubectl weighlock history shop --namespace=shop",
		"",
	}
	if example != Approval {
		return append(lines, "A rollout that asks a person: make local ARGS='--example "+Approval+"'", "")
	}
	return append(lines,
		"Version 2 will wait for a person in one of its steps. Answer in Slack, or here:",
		"",
		"  # as alice, who may",
		"  KUBECONFIG="+s.UserOf[stack.Alice]+" kubectl weighlock approve shop --namespace=shop --reason='looks good'",
		"  # as dana, whom the API server refuses",
		"  KUBECONFIG="+s.UserOf[stack.Dana]+" kubectl weighlock approve shop --namespace=shop",
		"  # who said what, when and why",
		"  kubectl get decisions --namespace=shop",
		"")
}
