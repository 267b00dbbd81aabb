package smi_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/router"
	"github.com/weighlock/weighlock/router/smi"
)

func TestRouter_SaysThatTheClusterHasNoTrafficSplit_AndWorksOnceItHas(t *testing.T) {
	r := newRig(t, smi.Options{})
	for name, try := range map[string]func() error{
		"Apply":   func() error { return r.router.Apply(t.Context(), r.target, step(5, "")) },
		"Observe": func() error { _, err := r.router.Observe(t.Context(), r.target); return err },
		"Watched": func() error { _, err := r.router.Watched(); return err },
	} {
		if err := isUnsupported(try(), "serves no TrafficSplit", "install a mesh"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.router.Release(t.Context(), r.target); err != nil {
		t.Errorf("Release without the kind: %v", err)
	}

	installSMI(t)
	eventually(t, "the router to see the kind", func() error { _, err := r.router.Watched(); return err })
	r.apply(step(5, "{}"))
}

func TestRouter_WritesTheWholeStateInOneSplit(t *testing.T) {
	installSMI(t)
	r := newRig(t, smi.Options{})
	if observed := r.observe(); observed.Exists || observed.Taken {
		t.Fatalf("there is no route yet, but it observes %+v", observed)
	}

	r.apply(router.Traffic{Incumbent: "checkout-workload", Total: 100, Progress: "serving"})
	r.apply(step(5, "step 1"))

	got := r.split("v1alpha2", "checkout")
	want := map[string]any{
		"service": "checkout",
		"backends": []any{
			map[string]any{"service": "checkout-workload", "weight": int64(95)},
			map[string]any{"service": "checkout-abc", "weight": int64(5)},
		},
	}
	if diff := cmp.Diff(want, got.Object["spec"]); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{v1alpha1.LabelRollout: "checkout"}, got.GetLabels()); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if got.GetAnnotations()[v1alpha1.AnnotationProgress] != "step 1" {
		t.Errorf("progress is %q", got.GetAnnotations()[v1alpha1.AnnotationProgress])
	}
	if n := len(r.written); n != 2 || r.written[1].GetResourceVersion() != got.GetResourceVersion() {
		t.Errorf("%d writes were told of, the last with resourceVersion %q; want 2 and %q", n, r.written[n-1].GetResourceVersion(), got.GetResourceVersion())
	}
}

func TestRouter_WritesNothingWhereNothingChanges(t *testing.T) {
	installSMI(t)
	r := newRig(t, smi.Options{})
	r.apply(step(25, "step 2"))
	before := r.split("v1alpha2", "checkout").GetResourceVersion()
	r.clock.Step(time.Minute)
	r.apply(step(25, "step 2"))
	if after := r.split("v1alpha2", "checkout").GetResourceVersion(); after != before || len(r.written) != 1 {
		t.Errorf("the split was written %d times, resourceVersion %s and then %s", len(r.written), before, after)
	}
}

func TestRouter_IsTakenOnceTheMeshHadTimeToSettle(t *testing.T) {
	installSMI(t)
	r := newRig(t, smi.Options{})
	start := r.clock.Now()
	r.apply(step(5, "step 1"))

	if observed := r.observe(); observed.Taken || !observed.Settles.Equal(start.Add(2*time.Second)) {
		t.Errorf("just written, but it observes %+v", observed)
	}
	r.clock.Step(2*time.Second - time.Nanosecond)
	if observed := r.observe(); observed.Taken {
		t.Errorf("taken a nanosecond early: %+v", observed)
	}
	r.clock.Step(time.Nanosecond)
	if observed := r.observe(); !observed.Taken || !observed.TakenAt.Equal(start.Add(2*time.Second)) || !observed.Settles.IsZero() {
		t.Errorf("the mesh had its time, but it observes %+v", observed)
	}

	r.apply(step(5, "step 2, of the same weight"))
	if observed := r.observe(); observed.Taken || !observed.Settles.Equal(start.Add(4*time.Second)) {
		t.Errorf("another step has a clock of its own, but it observes %+v", observed)
	}
	r.clock.Step(2 * time.Second)
	r.apply(step(5, "step 2, of the same weight"))
	if observed := r.observe(); !observed.Taken || !observed.TakenAt.Equal(start.Add(4*time.Second)) {
		t.Errorf("nothing changed, but it observes %+v", observed)
	}
	r.apply(step(25, "step 3"))
	if observed := r.observe(); observed.Taken {
		t.Errorf("the traffic changed, but it observes %+v", observed)
	}
}

func TestRouter_NeverTakesOverASplitOfSomebodyElse(t *testing.T) {
	installSMI(t)
	for name, split := range map[string]string{"of its name": "checkout", "for its service": "legacy"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, smi.Options{})
			before := r.somebodysSplit(split, "checkout."+r.target.Namespace+".svc.cluster.local")
			eventually(t, "the split to be seen", func() error {
				observed, err := r.router.Observe(t.Context(), r.target)
				if observed.Exists || observed.Matches(step(5, "")) {
					return fmt.Errorf("it observes %+v", observed)
				}
				return isUnsupported(err, r.target.Namespace+"/"+split, "delete it")
			})
			if split == "checkout" {
				if err := isUnsupported(r.router.Apply(t.Context(), r.target, step(5, "")), split, "delete it"); err != nil {
					t.Error(err)
				}
			}
			if err := r.router.Release(t.Context(), r.target); err != nil {
				t.Errorf("release: %v", err)
			}
			after := r.split("v1alpha2", split)
			if after == nil || after.GetResourceVersion() != before.GetResourceVersion() {
				t.Errorf("somebody's split was touched: %v", after)
			}
		})
	}
}

func TestRouter_ReleaseDeletesWhatItWrote(t *testing.T) {
	installSMI(t)
	r := newRig(t, smi.Options{})
	r.apply(step(5, "step 1"))
	if err := r.router.Release(t.Context(), r.target); err != nil {
		t.Fatalf("release: %v", err)
	}
	if left := r.split("v1alpha2", "checkout"); left != nil {
		t.Errorf("the split is still there: %v", left)
	}
	eventually(t, "the route to be gone", func() error {
		if observed := r.observe(); observed.Exists {
			return fmt.Errorf("it observes %+v", observed)
		}
		return nil
	})
	if err := r.router.Release(t.Context(), r.target); err != nil {
		t.Errorf("release again: %v", err)
	}
}
