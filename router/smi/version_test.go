package smi_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weighlock/weighlock/router"
	"github.com/weighlock/weighlock/router/smi"
)

func weights(tb testing.TB, split *unstructured.Unstructured) string {
	tb.Helper()
	backends, _, err := unstructured.NestedSlice(split.Object, "spec", "backends")
	if err != nil {
		tb.Fatal(err)
	}
	text := ""
	for _, backend := range backends {
		fields, _ := backend.(map[string]any)
		text += fmt.Sprintf("%v:%v ", fields["service"], fields["weight"])
	}
	return text
}

func TestRouter_SpeaksEveryVersion(t *testing.T) {
	for _, version := range []string{"v1alpha1", "v1alpha2", "v1alpha3", "v1alpha4"} {
		for name, cluster := range map[string]func(splits, groups *apiextensionsv1.CustomResourceDefinition){
			"forced":      func(_, _ *apiextensionsv1.CustomResourceDefinition) {},
			"served only": func(splits, _ *apiextensionsv1.CustomResourceDefinition) { serve(splits, version) },
		} {
			t.Run(version+" "+name, func(t *testing.T) {
				installSMI(t, cluster)
				how := smi.Options{}
				if name == "forced" {
					how.Version = version
				}
				r := newRig(t, how)
				r.apply(step(5, "1"))
				finest := router.Traffic{Incumbent: "checkout-workload", Candidate: "checkout-abc", Weight: 1, Total: 10000, Progress: "2"}
				r.apply(finest)
				if got := weights(t, r.split(version, "checkout")); got != "checkout-workload:9999 checkout-abc:1 " {
					t.Errorf("the weights are %s", got)
				}
				finest.Weight = 2
				if r.observe().Matches(finest) {
					t.Error("0.01% is taken for 0.02%")
				}
				r.writes.take()
				finest.Weight = 1
				r.apply(finest)
				if got := r.writes.take(); got != "" {
					t.Errorf("the same traffic was written again: %s", got)
				}
				r.apply(step(0, "3"))
				if err := r.router.Release(t.Context(), r.target); err != nil || r.split(version, "checkout") != nil {
					t.Errorf("release: %v", err)
				}
			})
		}
	}
}

func TestRouter_RefusesAVersionThatIsNotServedByName(t *testing.T) {
	installSMI(t, func(splits, _ *apiextensionsv1.CustomResourceDefinition) { serve(splits, "v1alpha2", "v1alpha1") })
	r := newRig(t, smi.Options{Version: "v1alpha4"})
	if err := isUnsupported(r.router.Apply(t.Context(), r.target, step(5, "")), "v1alpha4", "smi.version", "v1alpha1, v1alpha2"); err != nil {
		t.Error(err)
	}
}

// Through v1alpha2 a split that matches looks as if it sent all requests to the candidate.
func TestRouter_IsNotMisledByWhatAnOlderVersionHides(t *testing.T) {
	installSMI(t)
	r := newRig(t, smi.Options{Match: true})
	r.apply(tenant("acme", "1"))

	// The spec is edited: it matches no more, and forces an older version.
	r.options.Match, r.options.Version = false, "v1alpha2"
	r.router = smi.New(r.options)
	if observed := r.observe(); observed.Matches(step(100, "1")) || observed.Progress != "1" || observed.Foreign != "" {
		t.Errorf("only a tenant is sent to the candidate, but it observes %+v, and that all requests are", observed)
	}
	r.apply(step(100, "2"))
	want := map[string]any{"service": "checkout", "backends": []any{
		map[string]any{"service": "checkout-workload", "weight": int64(0)},
		map[string]any{"service": "checkout-abc", "weight": int64(100)},
	}}
	if diff := cmp.Diff(want, r.spec()); diff != "" {
		t.Errorf("the split (-want +got):\n%s", diff)
	}
	if left := r.groups(); len(left) > 0 {
		t.Errorf("groups are left over: %v", left)
	}
}

// Whatever version a split was last written in, by Weighlock or somebody else, it can be written in any other.
func TestApply_ChangesFromEveryVersionToEveryOther(t *testing.T) {
	installSMI(t)
	versions := []string{"v1alpha1", "v1alpha2", "v1alpha3", "v1alpha4"}
	for _, from := range versions {
		for _, to := range versions {
			t.Run(from+" to "+to, func(t *testing.T) {
				r := newRig(t, smi.Options{Version: from})
				r.apply(step(5, "1"))
				r.options.Version, r.options.Match = to, to > "v1alpha2"
				r.router = smi.New(r.options)
				if !r.observe().Matches(step(5, "1")) {
					t.Error("it doesn't know its own traffic any more")
				}
				if r.options.Match {
					r.apply(tenant("acme", "2"))
				}
				r.apply(step(7, "3"))
				if got := weights(t, r.split("v1alpha2", "checkout")); got != "checkout-workload:93 checkout-abc:7 " {
					t.Errorf("the weights are %s", got)
				}
			})
		}
	}
}
