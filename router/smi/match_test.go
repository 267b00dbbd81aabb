package smi_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/router"
	"github.com/weighlock/weighlock/router/smi"
)

func TestApply_SendsOnlyWhatMatchesToTheCandidate(t *testing.T) {
	installSMI(t)
	for _, version := range []string{"", "v1alpha3", "v1alpha4"} {
		t.Run("version "+version, func(t *testing.T) {
			r := newRig(t, smi.Options{Version: version, Match: true})
			traffic := step(0, "pilots")
			traffic.Match = []v1alpha1.RequestMatch{
				{Headers: []v1alpha1.HeaderMatch{{Name: "X-Tenant", Exact: "acme.eu"}, {Name: "x-region", Regex: "eu-.*|us"}}},
				{Headers: []v1alpha1.HeaderMatch{{Name: "cookie", Regex: "(?i)beta"}}},
			}
			r.apply(traffic)

			group := r.onlyGroup()
			want := map[string]any{"matches": []any{
				map[string]any{"name": "match-1", "headers": []any{
					map[string]any{"x-region": "^(?:eu-.*|us)$"},
					map[string]any{"x-tenant": `^(?:acme\.eu)$`},
				}},
				map[string]any{"name": "match-2", "headers": []any{map[string]any{"cookie": "^(?:(?i)beta)$"}}},
			}}
			if diff := cmp.Diff(want, group.Object["spec"]); diff != "" {
				t.Errorf("the group (-want +got):\n%s", diff)
			}
			if group.GetLabels()[v1alpha1.LabelRollout] != "checkout" {
				t.Errorf("the group has the labels %v", group.GetLabels())
			}
			want = map[string]any{
				"service": "checkout",
				"backends": []any{
					map[string]any{"service": "checkout-workload", "weight": int64(0)},
					map[string]any{"service": "checkout-abc", "weight": int64(100)},
				},
				"matches": []any{map[string]any{"kind": "HTTPRouteGroup", "name": group.GetName()}},
			}
			if diff := cmp.Diff(want, r.spec()); diff != "" {
				t.Errorf("the split (-want +got):\n%s", diff)
			}
		})
	}
}

func TestApply_WritesAGroupBeforeTheSplitThatNamesItAndDeletesItAfterwards(t *testing.T) {
	installSMI(t)
	r := newRig(t, smi.Options{Match: true})
	for _, move := range []struct {
		name    string
		traffic router.Traffic
		writes  string
	}{
		{"to weights", step(5, "1"), "create TrafficSplit"},
		{"to a match", tenant("acme", "2"), "create HTTPRouteGroup, patch TrafficSplit"},
		{"to the same again", tenant("acme", "2"), ""},
		{"to another step that matches the same", tenant("acme", "3"), "patch TrafficSplit"},
		{"to another match", tenant("globex", "4"), "create HTTPRouteGroup, patch TrafficSplit, delete HTTPRouteGroup"},
		{"back to weights", step(25, "5"), "patch TrafficSplit, delete HTTPRouteGroup"},
		{"to other weights", step(50, "6"), "patch TrafficSplit"},
	} {
		r.apply(move.traffic)
		if got := r.writes.take(); got != move.writes {
			t.Errorf("%s: it wrote %q, want %q", move.name, got, move.writes)
		}
	}
	r.apply(tenant("acme", "7"))
	r.writes.take()
	if err := r.router.Release(t.Context(), r.target); err != nil {
		t.Fatalf("release: %v", err)
	}
	if got := r.writes.take(); got != "delete TrafficSplit, delete HTTPRouteGroup" {
		t.Errorf("the release wrote %q", got)
	}
}

// Whatever write the process is killed after, the next one gets to the same end, no split ever names a group that
// isn't there, and nothing is left over.
func TestApply_GoesOnWhereItWasKilled(t *testing.T) {
	installSMI(t)
	moves := []router.Traffic{step(5, "1"), tenant("acme", "2"), tenant("globex", "3"), step(50, "4"), tenant("acme", "5")}
	for kill := range 4 {
		t.Run(fmt.Sprintf("after %d writes of each move", kill), func(t *testing.T) {
			r := newRig(t, smi.Options{Match: true})
			for _, move := range moves {
				left := kill
				r.writes.killedAfter = &left
				if err := r.router.Apply(t.Context(), r.target, move); err != nil && !errors.Is(err, errKilled) {
					t.Fatalf("apply: %v", err)
				}
				r.namesWhatIsThere()
				r.writes.killedAfter = nil
				eventually(t, "the move to be made", func() error {
					if err := r.router.Apply(t.Context(), r.target, move); err != nil {
						return err
					}
					r.namesWhatIsThere()
					if observed := r.observe(); !observed.Matches(move) {
						return errors.New("it doesn't match yet")
					}
					return nil
				})
				if want := len(move.Match); len(r.groups()) != want {
					t.Errorf("after %s there are %d groups, want %d", move.Progress, len(r.groups()), want)
				}
			}
			left := kill
			r.writes.killedAfter = &left
			if err := r.router.Release(t.Context(), r.target); err != nil && !errors.Is(err, errKilled) {
				t.Fatalf("release: %v", err)
			}
			r.writes.killedAfter = nil
			eventually(t, "the caches to show what is left", func() error {
				shows, left := r.observe().Exists, r.split("v1alpha4", "checkout") != nil || len(r.groups()) > 0
				if shows != left {
					return fmt.Errorf("something is left: %t, but it says %t", left, shows)
				}
				return nil
			})
			eventually(t, "the release", func() error { return r.router.Release(t.Context(), r.target) })
			if r.split("v1alpha4", "checkout") != nil || len(r.groups()) > 0 {
				t.Error("something is left over")
			}
		})
	}
}

func (r *rig) namesWhatIsThere() {
	r.Helper()
	split := r.split("v1alpha4", "checkout")
	if split == nil {
		return
	}
	matches, _ := split.Object["spec"].(map[string]any)["matches"].([]any)
	for _, match := range matches {
		name := match.(map[string]any)["name"].(string)
		if r.read(newGroup(r.target.Namespace, name)) == nil {
			r.Errorf("the split names HTTPRouteGroup %s, which isn't there", name)
		}
	}
}

func TestRouter_SeesAGroupThatSomebodyChangedAndSetsItRight(t *testing.T) {
	installSMI(t)
	for name, tc := range map[string]struct {
		change func(*rig)
		by     func(*rig) string
	}{
		"edited": {
			change: func(r *rig) {
				r.change(r.onlyGroup(), func(fields map[string]any) {
					fields["spec"] = map[string]any{"matches": []any{map[string]any{"name": "match-1", "headers": []any{map[string]any{"x-tenant": ".*"}}}}}
				})
			},
			by: func(*rig) string { return "somebody" },
		},
		"narrowed to a path": {
			change: func(r *rig) {
				r.change(r.onlyGroup(), func(fields map[string]any) {
					fields["spec"].(map[string]any)["matches"].([]any)[0].(map[string]any)["pathRegex"] = "/none"
				})
			},
			by: func(*rig) string { return "somebody" },
		},
		"without its label": {
			change: func(r *rig) {
				r.change(r.onlyGroup(), func(fields map[string]any) { delete(fields["metadata"].(map[string]any), "labels") })
			},
			by: func(*rig) string { return "" },
		},
		"deleted": {
			change: func(r *rig) {
				if err := server.Delete(r.Context(), r.onlyGroup()); err != nil {
					r.Fatal(err)
				}
			},
			by: func(r *rig) string {
				return "whoever deleted HTTPRouteGroup " + r.split("v1alpha4", "checkout").Object["spec"].(map[string]any)["matches"].([]any)[0].(map[string]any)["name"].(string)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, smi.Options{Match: true})
			r.apply(tenant("acme", "1"))
			before := r.onlyGroup()
			r.clock.Step(time.Minute)
			tc.change(r)
			r.contested(tenant("acme", "1"), tc.by(r))

			r.apply(tenant("acme", "1"))
			after := r.onlyGroup()
			if diff := cmp.Diff(before.Object["spec"], after.Object["spec"]); diff != "" || after.GetName() != before.GetName() || after.GetLabels()[v1alpha1.LabelRollout] == "" {
				t.Errorf("the group was not set right: %v (-want +got):\n%s", after, diff)
			}
			// The mesh has to take the change, and a fight with another writer is paced by when the route was written.
			if observed := r.observe(); !observed.WrittenAt.Equal(r.clock.Now()) || observed.Taken || observed.Foreign != "" {
				t.Errorf("just set right, but it observes %+v", observed)
			}
		})
	}
}

func TestRouter_NeverTakesOverAGroupOfSomebodyElse(t *testing.T) {
	installSMI(t)
	r := newRig(t, smi.Options{Match: true})
	r.apply(tenant("acme", "1"))
	name := r.onlyGroup().GetName()
	r.apply(step(5, "2"))

	group := newGroup(r.target.Namespace, name)
	group.Object["spec"] = map[string]any{"matches": []any{map[string]any{"name": "theirs", "pathRegex": "/theirs"}}}
	if err := server.Create(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the group to be refused", func() error {
		return isUnsupported(r.router.Apply(t.Context(), r.target, tenant("acme", "3")), r.target.Namespace+"/"+name, "delete it")
	})
	if err := r.router.Release(t.Context(), r.target); err != nil {
		t.Fatalf("release: %v", err)
	}
	if after := r.onlyGroup(); after.GetResourceVersion() != group.GetResourceVersion() {
		t.Errorf("somebody's group was touched: %v", after)
	}
}

func TestRouter_RefusesAMatchByNameWhereItCannotBeExpressed(t *testing.T) {
	type crd = *apiextensionsv1.CustomResourceDefinition
	for name, tc := range map[string]struct {
		cluster func(splits, groups crd)
		version string
		words   []string
	}{
		"a version without matches is forced": {
			cluster: func(_, _ crd) {}, version: "v1alpha2",
			words: []string{"v1alpha2", "smi.version", "v1alpha4"},
		},
		"the cluster serves no version with matches": {
			cluster: func(splits, _ crd) { serve(splits, "v1alpha2", "v1alpha1") },
			words:   []string{"v1alpha2", "newest", "use weight"},
		},
		"the cluster serves no HTTPRouteGroup that is known": {
			cluster: func(_, groups crd) {
				groups.Spec.Versions = groups.Spec.Versions[:1]
				groups.Spec.Versions[0].Name, groups.Spec.Versions[0].Storage = "v1alpha1", true
			},
			words: []string{"no HTTPRouteGroup", "v1alpha4", "install"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			installSMI(t, tc.cluster)
			r := newRig(t, smi.Options{Version: tc.version, Match: true})
			can := r.router.Capabilities()
			if err := isUnsupported(&router.UnsupportedError{Message: can.NoMatch}, tc.words...); can.Match || err != nil {
				t.Errorf("capabilities: %+v: %v", can, err)
			}
			if err := isUnsupported(r.router.Apply(t.Context(), r.target, tenant("acme", "1")), tc.words...); err != nil {
				t.Error(err)
			}
			if got := r.writes.take(); got != "" {
				t.Errorf("it wrote %q all the same", got)
			}
			r.apply(step(5, "2"))
		})
	}
}

// Without its matches a split would send all requests to the candidate.
func TestApply_NeverWritesASplitWhoseMatchesTheClusterDrops(t *testing.T) {
	installSMI(t, func(splits, _ *apiextensionsv1.CustomResourceDefinition) {
		serve(splits, "v1alpha2", "v1alpha1", "v1alpha3", "v1alpha4")
	})
	r := newRig(t, smi.Options{Match: true})
	r.apply(step(5, "1"))
	before := r.split("v1alpha4", "checkout")
	if err := isUnsupported(r.router.Apply(t.Context(), r.target, tenant("acme", "2")), "drops its matches", "v1alpha4"); err != nil {
		t.Error(err)
	}
	if after := r.split("v1alpha4", "checkout"); after.GetResourceVersion() != before.GetResourceVersion() || len(r.groups()) > 0 {
		t.Errorf("it wrote all the same: %v, %v", after, r.groups())
	}
}

func TestApply_RefusesWhatSMICannotMatch(t *testing.T) {
	installSMI(t)
	r := newRig(t, smi.Options{Match: true})
	both := tenant("acme", "1")
	both.Weight = 5
	twice := tenant("acme", "1")
	twice.Match[0].Headers = append(twice.Match[0].Headers, v1alpha1.HeaderMatch{Name: "x-tenant", Regex: "a.*"})
	for words, traffic := range map[string]router.Traffic{"two steps": both, "x-tenant once": twice} {
		if err := isUnsupported(r.router.Apply(t.Context(), r.target, traffic), words, "spec.steps"); err != nil {
			t.Error(err)
		}
	}
	if got := r.writes.take(); got != "" {
		t.Errorf("it wrote %q all the same", got)
	}
	if can := r.router.Capabilities(); !can.Match || can.WeightWithMatch || !can.RestToRoot {
		t.Errorf("its capabilities are %+v", can)
	}
}

// A group that is not named by the split is left over from a crash, whatever the split says.
func TestRouter_CleansGroupsThatACrashLeft(t *testing.T) {
	installSMI(t)
	r := newRig(t, smi.Options{Match: true})
	r.apply(step(5, "1"))
	written := r.observe().WrittenAt
	group := newGroup(r.target.Namespace, "checkout-old")
	group.SetLabels(map[string]string{v1alpha1.LabelRollout: "checkout"})
	group.Object["spec"] = map[string]any{"matches": []any{map[string]any{"name": "match-1"}}}
	if err := server.Create(t.Context(), group, client.FieldOwner(v1alpha1.FieldManager)); err != nil {
		t.Fatal(err)
	}
	r.contested(step(5, "1"), "")
	r.clock.Step(time.Minute)
	r.apply(step(5, "1"))
	if left := r.groups(); len(left) > 0 {
		t.Errorf("it is still there: %v", left)
	}
	if after := r.observe(); !after.WrittenAt.Equal(written) {
		t.Error("the traffic didn't change, but the step's clock began anew")
	}
}
