package controller_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// reference is how a scenario goes when nothing breaks.
type reference struct {
	prelude, writes int
	traffic         []string
	end             map[string]map[string]any
}

func play(t *testing.T, s scenario) reference {
	t.Helper()
	l := newLab(t, s)
	l.running = l.start(t, "weighlock", 0)
	out := reference{prelude: l.play(t, s)}
	out.writes, out.traffic, out.end = l.running.writes, l.traffic(), l.end()
	return out
}

// crash is one way to die at a write, and to come back.
type crash struct {
	name string
	// arrange has the process die at its k-th write, and says how the next begins.
	arrange func(t *testing.T, l *lab, k int)
}

func everything(schema.GroupKind) bool { return true }

// lagging are the kinds whose caches are behind after a restart: all, or one while the others are not.
func lagging(k int) func(schema.GroupKind) bool {
	kinds := []schema.GroupKind{trafficSplits, deployments, rollouts, {Group: "apps", Kind: "ControllerRevision"}, services}
	i := k % (len(kinds) + 2)
	if i >= len(kinds) {
		return everything
	}
	return func(kind schema.GroupKind) bool { return kind == kinds[i] }
}

// everyCrash has each kind of crash tried at each write.
var everyCrash = os.Getenv("WEIGHLOCK_CRASHES") == "all"

var crashes = []crash{
	{"and started again", func(t *testing.T, l *lab, k int) {
		t.Helper()
		l.dieAt(k, func() *process { return l.start(t, "weighlock", len(l.history.entries)) })
	}},
	{"and started again with caches from before its last writes", func(t *testing.T, l *lab, k int) {
		t.Helper()
		l.dieAt(k, func() *process {
			p := l.start(t, "weighlock", l.history.before(1+k%4, "weighlock"))
			p.stale, p.lags = 4, lagging(k)
			return p
		})
	}},
	{"before it heard the answer", func(t *testing.T, l *lab, k int) {
		t.Helper()
		l.running.after = func(n int) error {
			if n != k {
				return nil
			}
			l.running.stale, l.running.lags = 3, everything
			return errLost
		}
	}},
}

// dieAt has the process die right after its k-th write.
func (l *lab) dieAt(k int, again func() *process) {
	p := l.running
	p.after = func(n int) error {
		if n == k {
			p.kill()
			l.again = again
		}
		return nil
	}
}

// TestCrash_ChangesNothingInTheEnd kills the controller after each of its writes, and finds the same sequence of traffic states
// and the same end as without that.
func TestCrash_ChangesNothingInTheEnd(t *testing.T) {
	t.Parallel()
	for number, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			want := play(t, s)
			first := want.prelude + 1
			if s.name == "promotion" {
				first = 1 // one scenario is enough to try the adoption
			}
			for k := first; k <= want.writes; k++ {
				for i, c := range crashes {
					if !everyCrash && (number+k+i)%len(crashes) != 0 {
						continue // the others are for a longer run
					}
					t.Run(fmt.Sprintf("killed at write %d %s", k, c.name), func(t *testing.T) {
						t.Parallel()
						l := newLab(t, s)
						l.running = l.start(t, "weighlock", 0)
						c.arrange(t, l, k)
						l.play(t, s)
						l.compare(t, want)
					})
				}
			}
		})
	}
}

// compare holds a run against how it should have gone.
func (l *lab) compare(t *testing.T, want reference) {
	t.Helper()
	if diff := cmp.Diff(want.traffic, l.traffic()); diff != "" {
		t.Errorf("another sequence of traffic states (-want +got):\n%s%s", diff, l.tail(400))
	}
	if diff := cmp.Diff(want.end, l.end()); diff != "" {
		t.Errorf("another end (-want +got):\n%s", diff)
	}
}
