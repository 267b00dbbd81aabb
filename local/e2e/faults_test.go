package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weighlock/weighlock/local/kube"
	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/observe"
	"github.com/weighlock/weighlock/local/prometheus"
	"github.com/weighlock/weighlock/local/shop"
	"github.com/weighlock/weighlock/local/stack"
)

// The tests of this file end parts that all tests share, so each runs alone.

// away is how long a part that was killed stays away.
const away = 2 * time.Second

// fault is a rollout in whose steps something is ended.
type fault struct {
	*rig
	begun  time.Time
	users  *users
	commit string
}

// shorter is patient, and has drains as short as they need to be here.
var shorter = edited("abortDelay: 5s", "abortDelay: 2s")

// underFault brings a good version as far as its first step, under load.
func underFault(t *testing.T, namespace, example, first string) *fault {
	t.Helper()
	r := newRig(t, namespace)
	r.example, r.edit = example, shorter
	r.open()
	r.watched = onward(t)
	f := &fault{rig: r, begun: time.Now(), users: r.users(load.Options{Rate: 200, Tenants: tenants, Keep: true})}
	f.commit = r.commit(shop.Version{Name: "2"})
	r.inStep(first)
	return f
}

// goesOn waits until the version is promoted.
func (f *fault) goesOn() load.Stats {
	f.t.Helper()
	f.promoted(f.commit)
	time.Sleep(2 * time.Second)
	return f.users.stop()
}

// onward returns what fails the test if a step is seen after a later one.
func onward(t *testing.T) func(observe.View) {
	t.Helper()
	last := -1
	return func(v observe.View) {
		if v.Progress == nil || v.Progress.Phase != observe.PhaseStep {
			return
		}
		if v.Progress.Step < last {
			t.Errorf("step %d was entered after step %d", v.Progress.Step, last)
		}
		last = v.Progress.Step
	}
}

// restart kills a part of the stack, and starts it again after a while.
func (f *fault) restart(part string, meanwhile func()) {
	f.t.Helper()
	if err := running.Supervisor.Kill(part); err != nil {
		f.t.Fatal(err)
	}
	if meanwhile != nil {
		meanwhile()
	}
	time.Sleep(away)
	if err := running.Supervisor.Restart(f.t.Context(), part); err != nil {
		f.t.Fatal(err)
	}
}

func TestFault_EnvoyAwayCostsOnlyTheRequestsOfThatTime(t *testing.T) {
	f := underFault(t, "without-envoy", shop.Canary, "a-tenth")
	f.atStep(0.1)
	from := time.Now()
	f.restart(stack.PartEnvoy, nil)
	// It has connected to the mesh, and listens once it has its configuration.
	f.answered()
	to := time.Now()
	stats := f.goesOn()
	// Its counters began anew, and no version is to blame for what failed.
	wholeVersions(t, stats)
	lost := int64(0)
	for _, r := range f.users.generator.Requests() {
		if !r.Failed() {
			continue
		}
		lost++
		if r.Done.Before(from) || r.Sent.After(to) {
			t.Errorf("a request failed outside of the time without Envoy, from %v to %v: %+v", from, to, r)
		}
		if r.Error == "" || r.Error == load.ErrorTimeout || r.Error == load.ErrorOther {
			t.Errorf("a request failed in another way than for want of a proxy: %+v", r)
		}
	}
	if lost == 0 {
		t.Error("no request failed: Envoy was not away")
	}
	if stats.Failed != lost || stats.Dropped > 0 {
		t.Errorf("%d of %d requests failed, %d of them told; %d were dropped", stats.Failed, stats.Sent, lost, stats.Dropped)
	}
	t.Logf("%d of %d requests failed in the %v without Envoy", lost, stats.Sent, to.Sub(from))
}

func TestFault_NothingIsLostOrMisledWithoutAControlPlane(t *testing.T) {
	f := underFault(t, "without-control-plane", "tenants", "pilot")
	f.atStep(1)
	time.Sleep(lag)
	matching := time.Now()
	f.restart(stack.PartMesh, nil)
	f.inStep("friends")
	f.restart(kube.APIServer, nil)
	f.inStep("a-quarter")
	weighted := f.last.Progress.WrittenAt
	f.restart(kube.Etcd, nil)
	unharmed(t, f.goesOn())
	for _, r := range load.Within(f.users.generator.Requests(), matching, weighted) {
		friend := r.Tenant == "globex" || r.Tenant == "initech"
		if !friend && (r.Version == newVersion) != (r.Tenant == "acme") {
			t.Errorf("version %s answered tenant %q while the mesh was away or after", r.Version, r.Tenant)
		}
	}
	f.served("2")
}

func TestFault_TheTrafficIsHeldWithoutPrometheus(t *testing.T) {
	f := underFault(t, "without-prometheus", shop.Canary, "a-tenth")
	f.restart(prometheus.Name, func() {
		f.until("the Rollout to say that metrics are away", func(v observe.View) error {
			if v.Rollout.Status.Verdict != nil && v.Rollout.Status.Verdict.Outcome == "Fail" {
				t.Fatalf("an outage became a verdict: %+v", v.Rollout.Status.Verdict)
			}
			if waits := v.Rollout.Status.WaitingFor; !strings.Contains(waits, "metrics") && !strings.Contains(waits, "Prometheus") {
				return fmt.Errorf("it waits for %q", waits)
			}
			return nil
		})
		for range 20 {
			time.Sleep(250 * time.Millisecond)
			if view := f.atStep(0.1); view.Progress.Step != 0 {
				t.Fatalf("step %d was entered without metrics", view.Progress.Step+1)
			}
		}
	})
	unharmed(t, f.goesOn())
}

func TestFault_VerdictsHoldWhenTheScrapeIntervalChanges(t *testing.T) {
	bad := newRig(t, "paced-bad")
	bad.edit = shorter
	bad.open()
	badUsers := bad.users(load.Options{Rate: 100})
	f := underFault(t, "paced", shop.Canary, "a-tenth")
	t.Cleanup(func() {
		if err := running.Scrape(0); err != nil {
			t.Error(err)
		}
	})
	for _, change := range []struct {
		step     string
		interval time.Duration
	}{{"a-tenth", 5 * time.Second}, {"a-quarter", time.Second}, {"half", 3 * time.Second}} {
		f.inStep(change.step)
		if err := running.Scrape(change.interval); err != nil {
			t.Fatal(err)
		}
		if change.step == "a-tenth" {
			bad.commit(shop.Version{Name: "2", ErrorRate: 0.1})
		}
	}
	unharmed(t, f.goesOn())
	bad.rolledBack()
	unharmed(t, badUsers.stop(), "2")
}

func TestFault_NothingIsLostOrRepeatedWithoutWeighlock(t *testing.T) {
	// One rollout is in a step when Weighlock ends, and one is about to fail.
	bad := newRig(t, "without-weighlock-bad")
	bad.edit = shorter
	bad.open()
	badUsers := bad.users(load.Options{Rate: 50})
	f := underFault(t, "without-weighlock", shop.Canary, "a-tenth")
	bad.commit(shop.Version{Name: "2", ErrorRate: 0.1})
	f.inStep("a-quarter")
	before := f.last.Progress.WrittenAt
	pid := killWeighlock(t)
	f.until("another Weighlock to go on", func(v observe.View) error {
		if v.Progress == nil || !v.Progress.WrittenAt.After(before) {
			return errors.New("nothing was written since")
		}
		return nil
	})
	if again := weighlock(t); again == pid {
		t.Fatal("Weighlock was not ended")
	}
	unharmed(t, f.goesOn())
	wantStages(t, stages(f.last.Route.History, shop.Name+"-"+f.last.Progress.Incumbent, f.begun, time.Now()),
		state{}, state{Share: 0.1}, state{Share: 0.25}, state{Share: 0.5}, state{Share: 1}, state{})
	bad.rolledBack()
	unharmed(t, badUsers.stop(), "2")
}

// killWeighlock ends Weighlock's process, and returns what was its id.
func killWeighlock(t *testing.T) int {
	t.Helper()
	pid := weighlock(t)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	return pid
}

// weighlock is the id of Weighlock's process, of which the stack's own machine
// has one.
func weighlock(t *testing.T) int {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Base(running.Programs.Weighlock)
	for _, path := range names {
		if name, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(name)) != want {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(path, "/")[2])
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	t.Fatal("Weighlock does not run")
	return 0
}
