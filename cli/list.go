package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// listing is what list was asked for.
type listing struct {
	out      output
	all      bool
	selector string
	watch    bool
}

// newListCommand lists Rollouts.
func newListCommand(s *session) *cobra.Command {
	l := &listing{}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List rollouts, each in a line",
		Long: `List the Rollouts of a namespace, or of all, each in a line: what it does, the step, the traffic that was asked for and measured, the
verdict, and what it waits for.`,
		Example: `  # All Rollouts of the cluster, as they go on.
  kubectl weighlock list -A --watch

  # Those of a team, with revisions and commits.
  kubectl weighlock list -l team=payments -o wide`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.list(cmd.Context(), l)
		},
	}
	l.out.bind(cmd, "", formatWide)
	cmd.Flags().BoolVarP(&l.all, "all-namespaces", "A", false, "List the Rollouts of all namespaces.")
	cmd.Flags().StringVarP(&l.selector, "selector", "l", "", "Labels that the Rollouts must have, such as team=payments,tier!=test.")
	cmd.Flags().BoolVarP(&l.watch, "watch", "w", false, "List again whenever something changes.")
	return cmd
}

// list lists what was asked for.
func (s *session) list(ctx context.Context, l *listing) error {
	if err := l.out.check(); err != nil {
		return err
	}
	selector, err := labels.Parse(l.selector)
	if err != nil {
		return usagef("--selector %s can't be read: %w", l.selector, err)
	}
	namespace, err := s.namespace()
	if err != nil {
		return err
	}
	if l.all {
		namespace = ""
	}
	api, err := s.client()
	if err != nil {
		return err
	}
	if l.watch {
		// One is enough to tell that there is something to see.
		if _, err := rollouts(ctx, api, namespace, selector, client.Limit(1)); err != nil {
			return err
		}
		return s.watchList(ctx, l, namespace, selector)
	}
	found, err := rollouts(ctx, api, namespace, selector)
	switch {
	case err != nil:
		return err
	case l.out.format() == "name":
		for i := range found.Items {
			if err := l.out.object(s, &found.Items[i]); err != nil {
				return err
			}
		}
		return nil
	case !l.out.isOwn():
		return l.out.object(s, found)
	case len(found.Items) == 0:
		fmt.Fprintln(s.ErrOut, "there is no Rollout "+where(namespace, l.selector))
		return nil
	}
	for _, line := range l.table(found, s.clock.Now()).lines(s.palette(), 0) {
		s.line("%s", line)
	}
	return nil
}

// where names the place that was looked at.
func where(namespace, selector string) string {
	place := "in namespace " + namespace
	if namespace == "" {
		place = "in any namespace"
	}
	if selector != "" {
		place += " with the labels " + selector
	}
	return place
}

// rollouts lists Rollouts by namespace and name.
func rollouts(ctx context.Context, api client.Reader, namespace string, selector labels.Selector, more ...client.ListOption) (*v1alpha1.RolloutList, error) {
	found := &v1alpha1.RolloutList{}
	options := append([]client.ListOption{client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: selector}}, more...)
	if err := api.List(ctx, found, options...); err != nil {
		return nil, fmt.Errorf("list Rollouts %s: %w", where(namespace, ""), err)
	}
	slices.SortFunc(found.Items, func(a, b v1alpha1.Rollout) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return found, nil
}

// table lays Rollouts out in columns, below a line that names these.
func (l *listing) table(found *v1alpha1.RolloutList, now time.Time) *table {
	t := &table{}
	head := []string{"NAME", "STATE", "STEP", "ASKED", "MEASURED", "VERDICT", "WAITING FOR", "AGE"}
	if l.out.format() == formatWide {
		head = slices.Insert(head, 6, "INCUMBENT", "CANDIDATE", "COMMIT", "ATTEMPT")
	}
	if l.all {
		head = slices.Insert(head, 0, "NAMESPACE")
	}
	t.head(head...)
	for i := range found.Items {
		t.add(l.row(&found.Items[i], now)...)
	}
	return t
}

// row is one Rollout in columns.
func (l *listing) row(r *v1alpha1.Rollout, now time.Time) []text {
	_, code := stateMark(palette{}, r)
	status := r.Status
	step, asked, measured := "", "", ""
	if status.Step != nil {
		step = strings.TrimSpace(status.Step.Position + " " + status.Step.Name)
	}
	if status.Traffic != nil {
		asked, measured = status.Traffic.Asked, status.Traffic.Measured
	}
	verdict := text{}
	if status.Verdict != nil {
		verdict = painted(outcomeColour(status.Verdict.Outcome), string(status.Verdict.Outcome))
	}
	cells := []text{painted(bold, r.Name), painted(code, stateName(r)), words(step), words(asked), words(measured), verdict}
	if l.out.format() == formatWide {
		incumbent, candidate, commit := "", "", ""
		if status.Incumbent != nil {
			incumbent, commit = status.Incumbent.Revision, status.Incumbent.Commit
		}
		if status.Candidate != nil {
			candidate, commit = status.Candidate.Revision, status.Candidate.Commit
		}
		cells = append(cells, words(incumbent), words(candidate), words(commit), words(fmt.Sprint(status.Attempt)))
	}
	cells = append(cells, words(shorten(strings.TrimPrefix(why(r), "waits for "))), words(age(now, r.CreationTimestamp.Time)))
	if l.all {
		cells = slices.Insert(cells, 0, words(r.Namespace))
	}
	return cells
}

// shorten cuts a sentence that would push all else off the screen.
func shorten(sentence string) string {
	const most = 60
	sentence = clean(sentence)
	if ansi.StringWidth(sentence) <= most {
		return sentence
	}
	return strings.TrimRight(ansi.Truncate(sentence, most-1, ""), " ") + "…"
}

// watchList lists again whenever something changes: in place on a terminal, else a line for each Rollout that changed.
func (s *session) watchList(ctx context.Context, l *listing, namespace string, selector labels.Selector) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	e, err := s.open(ctx, sight{namespace: namespace, labels: selector})
	if err != nil {
		return err
	}
	if l.out.isOwn() && s.canRepaint() {
		return s.repaint(ctx, e, func(ctx context.Context) (frame, error) {
			found, err := rollouts(ctx, e, namespace, labels.Everything())
			if err != nil {
				return nil, err
			}
			return func(p palette, width int, at time.Time) []string {
				if len(found.Items) == 0 {
					return []string{"there is no Rollout " + where(namespace, l.selector)}
				}
				return l.table(found, at).lines(p, width)
			}, nil
		})
	}
	seen := map[client.ObjectKey]string{}
	return each(ctx, e, func() (bool, error) {
		found, err := rollouts(ctx, e, namespace, labels.Everything())
		if err != nil {
			return true, err
		}
		return false, s.printChanged(l, found, seen)
	})
}

// printChanged prints those Rollouts that are others than seen, and notes them there.
func (s *session) printChanged(l *listing, found *v1alpha1.RolloutList, seen map[client.ObjectKey]string) error {
	there := map[client.ObjectKey]bool{}
	for i := range found.Items {
		r := &found.Items[i]
		key := keyOf(r)
		there[key] = true
		if !l.out.isOwn() {
			if seen[key] != r.ResourceVersion {
				seen[key] = r.ResourceVersion
				if err := l.out.object(s, r); err != nil {
					return err
				}
			}
			continue
		}
		line := changeLine(s.palette(), r)
		if l.all {
			line = r.Namespace + "/" + line
		}
		if seen[key] != line {
			seen[key] = line
			s.line("%s  %s", s.moment(), line)
		}
	}
	for key := range seen {
		if !there[key] {
			delete(seen, key)
			if l.out.isOwn() {
				s.line("%s  %s: deleted", s.moment(), key.Name)
			}
		}
	}
	return nil
}
