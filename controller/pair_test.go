package controller_test

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// lag is how far a controller's caches are behind, and of which kinds.
type lag struct {
	entries int
	kinds   func(schema.GroupKind) bool
	name    string
}

func lags() []lag {
	all := []lag{{0, everything, "by nothing"}}
	for _, n := range []int{1, 2, 5, 12} {
		all = append(all, lag{n, everything, fmt.Sprintf("by %d writes", n)})
	}
	for i, name := range []string{"routes", "workloads", "Rollouts", "records", "services"} {
		all = append(all, lag{8, lagging(i), "by 8 writes for " + name})
	}
	return all
}

// TestTwoControllers_DoWhatOneDoes lets another controller, which took the first for dead and whose caches lag, look at
// the Rollout before each write of the first and after it. The traffic states and the end are those of one controller alone.
func TestTwoControllers_DoWhatOneDoes(t *testing.T) {
	t.Parallel()
	for i, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			want := play(t, s)
			for j, behind := range lags() {
				if !everyCrash && (i+j)%3 != 0 {
					continue
				}
				t.Run("one is behind "+behind.name, func(t *testing.T) {
					t.Parallel()
					l := newLab(t, s)
					l.running = l.start(t, "weighlock", 0)
					l.beside = l.start(t, "other", 0)
					l.beside.lags, l.beside.lag = behind.kinds, behind.entries
					l.running.before = func(int) {
						if _, err := l.beside.reconcile(t.Context()); err != nil {
							t.Logf("the other controller: %v", err)
						}
					}
					l.play(t, s)
					l.compare(t, want)
				})
			}
		})
	}
}
