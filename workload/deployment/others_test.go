package deployment_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/weighlock/weighlock/workload"
)

// foreign are the kinds of others that select pods, each with a spec that finds the pods of app checkout.
var foreign = []struct {
	group, version, kind string
	selects              func(app string) map[string]any
}{
	{"autoscaling.k8s.io", "v1", "VerticalPodAutoscaler", func(app string) map[string]any {
		return map[string]any{"targetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": app}}
	}},
	{"cilium.io", "v2", "CiliumNetworkPolicy", by("endpointSelector", "matchLabels", "k8s:app")},
	{"extensions.istio.io", "v1alpha1", "WasmPlugin", by("selector", "matchLabels", "app")},
	{"monitoring.coreos.com", "v1", "PodMonitor", by("selector", "matchLabels", "app")},
	{"networking.istio.io", "v1alpha3", "EnvoyFilter", by("workloadSelector", "labels", "app")},
	{"networking.istio.io", "v1beta1", "ProxyConfig", by("selector", "matchLabels", "app")},
	{"networking.istio.io", "v1", "Sidecar", by("workloadSelector", "labels", "app")},
	{"policy.linkerd.io", "v1beta3", "Server", by("podSelector", "matchLabels", "app")},
	{"security.istio.io", "v1", "AuthorizationPolicy", by("selector", "matchLabels", "app")},
	{"security.istio.io", "v1", "PeerAuthentication", by("selector", "matchLabels", "app")},
	{"security.istio.io", "v1", "RequestAuthentication", by("selector", "matchLabels", "app")},
	{"telemetry.istio.io", "v1", "Telemetry", by("selector", "matchLabels", "app")},
}

func by(field, kind, key string) func(string) map[string]any {
	return func(app string) map[string]any {
		return map[string]any{field: map[string]any{kind: map[string]any{key: app}}}
	}
}

// install serves the foreign kinds. They take any spec.
func install(t *testing.T) {
	t.Helper()
	var definitions []*apiextensionsv1.CustomResourceDefinition
	for _, f := range foreign {
		plural := strings.ToLower(f.kind) + "s"
		definitions = append(definitions, &apiextensionsv1.CustomResourceDefinition{
			ObjectMeta: metav1.ObjectMeta{Name: plural + "." + f.group, Annotations: map[string]string{"api-approved.kubernetes.io": "unapproved, test-only"}},
			Spec: apiextensionsv1.CustomResourceDefinitionSpec{
				Group: f.group, Scope: apiextensionsv1.NamespaceScoped,
				Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: plural, Singular: strings.ToLower(f.kind), Kind: f.kind, ListKind: f.kind + "List"},
				Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
					Name: f.version, Served: true, Storage: true,
					Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
						Type: "object", XPreserveUnknownFields: new(true),
					}},
				}},
			},
		})
	}
	options := envtest.CRDInstallOptions{CRDs: definitions}
	if _, err := envtest.InstallCRDs(config, options); err != nil {
		t.Fatalf("install the kinds of others: %v", err)
	}
	t.Cleanup(func() {
		if err := envtest.UninstallCRDs(config, options); err != nil {
			t.Errorf("remove the kinds of others: %v", err)
		}
	})
}

func (r *rig) foreign(name string, spec func(i int) map[string]any) {
	r.Helper()
	for i, f := range foreign {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": f.group + "/" + f.version, "kind": f.kind}}
		u.SetNamespace(r.ref.Namespace)
		u.SetName(name)
		if content := spec(i); content != nil {
			u.Object["spec"] = content
		}
		r.create(u)
	}
}

func TestInspect_ListsWhatDoesNotApplyToTheCopy(t *testing.T) {
	install(t)
	r := newRig(t)
	r.foreign("for-it", func(i int) map[string]any { return foreign[i].selects("checkout") })
	r.foreign("for-another", func(i int) map[string]any { return foreign[i].selects("cart") })
	r.foreign("for-all", func(int) map[string]any { return nil })
	revision := r.tried()
	// One that finds copies is nothing to tell of.
	r.foreign("for-the-copy", func(i int) map[string]any { return foreign[i].selects("checkout-" + revision) })
	r.must("inspect", r.Inspect(t.Context(), r.ref, revision))
	var want []string
	for _, f := range foreign {
		want = append(want, f.kind+"/for-it")
	}
	slices.Sort(want)
	r.until("the others", func(o *workload.Observation) bool { return len(o.Others) > 0 && cmp.Diff(want, o.Others) == "" })

	writes := len(r.written)
	r.must("inspect again", r.Inspect(t.Context(), r.ref, revision))
	if len(r.written) != writes {
		t.Errorf("%d objects were written though nothing changed", len(r.written)-writes)
	}
	for _, f := range foreign {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": f.group + "/" + f.version, "kind": f.kind}}
		u.SetNamespace(r.ref.Namespace)
		u.SetName("for-it")
		r.must("delete one", server.Delete(t.Context(), u))
	}
	r.must("inspect", r.Inspect(t.Context(), r.ref, revision))
	r.until("them to be gone", func(o *workload.Observation) bool { return len(o.Others) == 0 })
}

func TestInspect_IsFineWithoutTheKindsOfOthers(t *testing.T) {
	r := newRig(t)
	revision := r.tried()
	r.must("inspect", r.Inspect(t.Context(), r.ref, revision))
	r.must("inspect a copy that isn't there", r.Inspect(t.Context(), r.ref, "unknown"))
	if o := r.until("the copy", func(o *workload.Observation) bool { return o.Copies[revision] != nil }); len(o.Others) > 0 {
		t.Errorf("others are %v", o.Others)
	}
}

func TestObserve_ListsServicesThatMissTheCopy(t *testing.T) {
	r := newRig(t)
	external := newService(r.ref.Namespace, "external", nil)
	external.Spec.Type, external.Spec.ExternalName = corev1.ServiceTypeExternalName, "example.com"
	r.create(external,
		newService(r.ref.Namespace, "for-it", map[string]string{"app": "checkout", "tier": "web"}),
		newService(r.ref.Namespace, "for-both", map[string]string{"tier": "web"}),
		newService(r.ref.Namespace, "for-another", map[string]string{"app": "cart"}),
		newService(r.ref.Namespace, "for-nobody", nil),
	)
	revision := r.tried()
	r.must("serve", r.Serve(t.Context(), r.ref, nil))
	r.until("the other service", func(o *workload.Observation) bool { return cmp.Equal(o.Others, []string{"Service/for-it"}) })
	r.must("delete it", server.Delete(t.Context(), newService(r.ref.Namespace, "for-it", nil)))
	r.until("it to be gone", func(o *workload.Observation) bool { return len(o.Others) == 0 && o.Copies[revision] != nil })
}
