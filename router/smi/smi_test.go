package smi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/router"
	"github.com/weighlock/weighlock/router/smi"
)

// rig is a Router on the real API server, with a clock that stands still.
type rig struct {
	*testing.T
	router  *smi.Router
	target  router.Target
	clock   *clocktesting.FakeClock
	mapper  meta.RESTMapper
	reader  client.Reader
	written []client.Object
}

func newRig(t *testing.T, version string) *rig {
	t.Helper()
	r := &rig{
		T: t, clock: clocktesting.NewFakeClock(time.Date(2026, 5, 4, 12, 0, 0, 5000, time.UTC)),
		mapper: newMapper(t), reader: startCache(t),
		target: router.Target{Namespace: newNamespace(t), Rollout: "checkout", Service: "checkout", Port: 8080},
	}
	r.router = r.with(version)
	return r
}

func (r *rig) with(version string) *smi.Router {
	return smi.New(smi.Options{
		Reader: r.reader, Writer: server, Mapper: r.mapper, Version: version, Settle: 2 * time.Second, Clock: r.clock,
		Written: func(obj client.Object) { r.written = append(r.written, obj) },
	})
}

// apply writes traffic, and waits until the cache shows it.
func (r *rig) apply(traffic router.Traffic) {
	r.Helper()
	if err := r.router.Apply(r.Context(), r.target, traffic); err != nil {
		r.Fatalf("apply %+v: %v", traffic, err)
	}
	eventually(r.T, "the cache to show the traffic", func() error {
		observed, err := r.router.Observe(r.Context(), r.target)
		if err != nil {
			return err
		}
		if !observed.Matches(traffic) || observed.Progress != traffic.Progress {
			return fmt.Errorf("it shows %+v", observed)
		}
		return nil
	})
}

func (r *rig) observe() router.Observed {
	r.Helper()
	observed, err := r.router.Observe(r.Context(), r.target)
	if err != nil {
		r.Fatalf("observe: %v", err)
	}
	return observed
}

// split reads the TrafficSplit from the API server; nil when there is none.
func (r *rig) split(version, name string) *unstructured.Unstructured {
	r.Helper()
	u := newSplit(version, "", "")
	err := server.Get(context.Background(), types.NamespacedName{Namespace: r.target.Namespace, Name: name}, u)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		r.Fatalf("read TrafficSplit %s: %v", name, err)
	}
	return u
}

func newSplit(version, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: "split.smi-spec.io", Version: version, Kind: "TrafficSplit"})
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// somebodysSplit makes a TrafficSplit that isn't Weighlock's.
func (r *rig) somebodysSplit(name, service string) *unstructured.Unstructured {
	r.Helper()
	u := newSplit("v1alpha2", r.target.Namespace, name)
	u.Object["spec"] = map[string]any{"service": service, "backends": []any{map[string]any{"service": "mine", "weight": int64(1)}}}
	if err := server.Create(r.Context(), u); err != nil {
		r.Fatalf("create TrafficSplit %s: %v", name, err)
	}
	return u
}

func isUnsupported(err error, words ...string) error {
	unsupported := (*router.UnsupportedError)(nil)
	if !errors.As(err, &unsupported) {
		return fmt.Errorf("the error is %w, want an UnsupportedError", err)
	}
	for _, word := range words {
		if !strings.Contains(unsupported.Message, word) {
			return fmt.Errorf("the message %q doesn't say %q", unsupported.Message, word)
		}
	}
	return nil
}

func step(weight int32, progress string) router.Traffic {
	return router.Traffic{Incumbent: "checkout-workload", Candidate: "checkout-abc", Weight: weight, Total: 100, Progress: progress}
}

func TestRouter_SaysThatTheClusterHasNoTrafficSplit_AndWorksOnceItHas(t *testing.T) {
	r := newRig(t, "")
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
	r := newRig(t, "")
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
	r := newRig(t, "")
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
	r := newRig(t, "")
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

func TestRouter_NamesWhoElseWroteTheRoute_AndSetsItRight(t *testing.T) {
	installSMI(t)
	r := newRig(t, "")
	r.apply(step(5, "step 1"))
	edited := r.split("v1alpha2", "checkout")
	if err := unstructured.SetNestedSlice(edited.Object, []any{map[string]any{"service": "elsewhere", "weight": int64(1)}}, "spec", "backends"); err != nil {
		t.Fatal(err)
	}
	if err := server.Update(t.Context(), edited, client.FieldOwner("somebody")); err != nil {
		t.Fatalf("change the split: %v", err)
	}
	eventually(t, "the change to be seen", func() error {
		if observed := r.observe(); observed.Foreign != "somebody" || observed.Matches(step(5, "")) {
			return fmt.Errorf("it observes %+v", observed)
		}
		return nil
	})
	r.apply(step(5, "step 1"))
	if observed := r.observe(); observed.Foreign != "" {
		t.Errorf("the split was set right, but %q is named", observed.Foreign)
	}
}

func TestRouter_NeverTakesOverASplitOfSomebodyElse(t *testing.T) {
	installSMI(t)
	for name, split := range map[string]string{"of its name": "checkout", "for its service": "legacy"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "")
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

func TestRouter_LeavesASplitAloneThatCachesDoNotShowYet(t *testing.T) {
	installSMI(t)
	r := newRig(t, "")
	if r.observe().Exists {
		t.Fatal("there is a split already")
	}
	before := r.somebodysSplit("checkout", "checkout")
	blind := smi.New(smi.Options{Reader: empty{r.reader}, Writer: server, Mapper: r.mapper, Clock: clock.RealClock{}})
	if err := blind.Apply(t.Context(), r.target, step(5, "")); !apierrors.IsConflict(err) {
		t.Errorf("the error is %v, want a conflict", err)
	}
	if after := r.split("v1alpha2", "checkout"); after.GetResourceVersion() != before.GetResourceVersion() {
		t.Error("somebody's split was overwritten")
	}
}

// empty is a cache that lags behind so far that it has nothing.
type empty struct{ client.Reader }

func (empty) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

func TestRouter_ReleaseDeletesWhatItWrote(t *testing.T) {
	installSMI(t)
	r := newRig(t, "")
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

func TestRouter_RefusesWhatItCannotExpress(t *testing.T) {
	installSMI(t)
	r := newRig(t, "")
	match := step(5, "")
	match.Match = []v1alpha1.RequestMatch{{Headers: []v1alpha1.HeaderMatch{{Name: "x-tenant", Exact: "acme"}}}}
	shadow := step(0, "")
	shadow.Shadow = 50
	for word, traffic := range map[string]router.Traffic{"match": match, "shadow": shadow} {
		if err := isUnsupported(r.router.Apply(t.Context(), r.target, traffic), word, "spec.steps"); err != nil {
			t.Errorf("%s: %v", word, err)
		}
	}
	if err := r.router.Apply(t.Context(), r.target, step(101, "")); err == nil {
		t.Error("a weight above the total was accepted")
	}
	if left := r.split("v1alpha2", "checkout"); left != nil {
		t.Errorf("something was written all the same: %v", left)
	}
}

func TestRouter_SpeaksTheVersionThatIsForced(t *testing.T) {
	installSMI(t)
	for _, version := range []string{"v1alpha1", "v1alpha2", "v1alpha3", "v1alpha4"} {
		t.Run(version, func(t *testing.T) {
			r := newRig(t, version)
			r.apply(step(5, "step 1"))
			r.apply(step(25, "step 2"))
			before := r.split(version, "checkout").GetResourceVersion()
			r.apply(step(25, "step 2"))
			after := r.split(version, "checkout")
			if after.GetResourceVersion() != before {
				t.Error("the same traffic was written again")
			}
			backends, _, _ := unstructured.NestedSlice(after.Object, "spec", "backends")
			weights := ""
			for _, backend := range backends {
				fields, _ := backend.(map[string]any)
				weights += fmt.Sprint(fields["weight"], " ")
			}
			if weights != "75 25 " {
				t.Errorf("the weights are %s", weights)
			}
		})
	}
	r := newRig(t, "")
	if err := isUnsupported(r.with("v1beta1").Apply(t.Context(), r.target, step(5, "")), "v1beta1", "v1alpha2"); err != nil {
		t.Error(err)
	}
}
