package kustomize_test

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// manifest is a Deployment as git has it: it says nothing of spec.paused.
const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, labels: {app: shop}}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: shop, image: "shop:%s"}]}
`

const git = "git"

// write changes the Deployment that is there, somehow.
type write func(t *testing.T, present *appsv1.Deployment) error

func TestHold_PausesInTheWriteThatChangesTheTemplate(t *testing.T) {
	held := map[string]write{
		"server-side apply from git": applyImage("v2"),
		"replace": func(t *testing.T, present *appsv1.Deployment) error {
			t.Helper()
			present.Spec.Template.Spec.Containers[0].Image = "shop:v2"
			return server.Update(t.Context(), present)
		},
		"replace that says paused is false": func(t *testing.T, present *appsv1.Deployment) error {
			t.Helper()
			present.Spec.Template.Spec.Containers[0].Image = "shop:v2"
			present.Spec.Paused = false
			return server.Update(t.Context(), present)
		},
		"strategic merge patch": patch(types.StrategicMergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"shop","image":"shop:v2"}]}}}}`),
		"JSON patch":            patch(types.JSONPatchType, `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"shop:v2"}]`),
		"merge patch that says paused is false": patch(types.MergePatchType,
			`{"spec":{"paused":false,"template":{"metadata":{"annotations":{"a":"b"}}}}}`),
		"rollout restart": patch(types.StrategicMergePatchType,
			`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-01-01T00:00:00Z"}}}}}`),
		"taking the label off in the same write": patch(types.StrategicMergePatchType,
			`{"metadata":{"labels":{"weighlock.dev/held":null}},"spec":{"template":{"spec":{"containers":[{"name":"shop","image":"shop:v2"}]}}}}`),
		"putting the label on in the same write": func(t *testing.T, present *appsv1.Deployment) error {
			t.Helper()
			if err := patch(types.MergePatchType, `{"metadata":{"labels":{"weighlock.dev/held":null}}}`)(t, present); err != nil {
				return err
			}
			return patch(types.MergePatchType, `{"metadata":{"labels":{"weighlock.dev/held":"shop"}},"spec":{"template":{"metadata":{"annotations":{"a":"b"}}}}}`)(t, present)
		},
	}
	for name, change := range held {
		t.Run(name, func(t *testing.T) {
			present := adopted(t)
			if err := change(t, present); err != nil {
				t.Fatal(err)
			}
			if !reload(t, present).Spec.Paused {
				t.Error("the new template isn't held")
			}
		})
	}
}

func TestHold_LeavesOtherWritesAlone(t *testing.T) {
	free := map[string]write{
		"the same manifest again": applyImage("v1"),
		"a label":                 patch(types.MergePatchType, `{"metadata":{"labels":{"team":"shop"}}}`),
		"replicas":                patch(types.MergePatchType, `{"spec":{"replicas":5}}`),
		"the scale subresource": func(t *testing.T, present *appsv1.Deployment) error {
			t.Helper()
			scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 4}}
			return server.SubResource("scale").Update(t.Context(), present, client.WithSubResourceBody(scale))
		},
		"status": func(t *testing.T, present *appsv1.Deployment) error {
			t.Helper()
			present.Status.ObservedGeneration = present.Generation
			return server.Status().Update(t.Context(), present)
		},
		"a new template without the label": func(t *testing.T, present *appsv1.Deployment) error {
			t.Helper()
			if err := patch(types.MergePatchType, `{"metadata":{"labels":{"weighlock.dev/held":null}}}`)(t, present); err != nil {
				return err
			}
			return applyImage("v2")(t, present)
		},
	}
	for name, change := range free {
		t.Run(name, func(t *testing.T) {
			present := adopted(t)
			if err := change(t, present); err != nil {
				t.Fatal(err)
			}
			if reload(t, present).Spec.Paused {
				t.Error("the write is held, though it changes no template")
			}
		})
	}
}

// After a hold, git applies without a conflict, a release stays, and the next
// template is held again.
func TestHold_LetsGitAndTheReleaseWork(t *testing.T) {
	present := adopted(t)
	steps := []struct {
		name   string
		change write
		paused bool
	}{
		{"git brings v2", applyImage("v2"), true},
		{"git applies v2 again", applyImage("v2"), true},
		{"weighlock releases", release, false},
		{"git applies v2 once more", applyImage("v2"), false},
		{"git brings v3", applyImage("v3"), true},
		{"git goes back to v2", applyImage("v2"), true},
		{"weighlock releases again", release, false},
	}
	for _, step := range steps {
		if err := step.change(t, present); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := reload(t, present).Spec.Paused; got != step.paused {
			t.Fatalf("%s: paused is %v, want %v", step.name, got, step.paused)
		}
	}
}

// A dry run must show what the write would do, or a differ sees drift for ever.
func TestHold_ShowsNoDriftWhereNothingChanged(t *testing.T) {
	present := adopted(t)
	if err := applyImage("v2")(t, present); err != nil {
		t.Fatal(err)
	}
	before := reload(t, present)
	tried := parse(t, "v2", present.Namespace)
	if err := server.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(tried), client.FieldOwner(git), client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if tried.GetResourceVersion() != before.ResourceVersion {
		t.Error("applying the same again would change the Deployment")
	}
}

func patch(kind types.PatchType, content string) write {
	return func(t *testing.T, present *appsv1.Deployment) error {
		t.Helper()
		return server.Patch(t.Context(), present.DeepCopy(), client.RawPatch(kind, []byte(content)))
	}
}

func applyImage(version string) write {
	return func(t *testing.T, present *appsv1.Deployment) error {
		t.Helper()
		return server.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(parse(t, version, present.Namespace)), client.FieldOwner(git))
	}
}

// release is what Weighlock does: it applies paused alone.
func release(t *testing.T, present *appsv1.Deployment) error {
	t.Helper()
	released := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": present.Name, "namespace": present.Namespace},
		"spec":     map[string]any{"paused": false},
	}}
	return server.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(released),
		client.FieldOwner(v1alpha1.FieldManager), client.ForceOwnership)
}

func parse(t *testing.T, version, namespace string) *unstructured.Unstructured {
	t.Helper()
	parsed := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(fmt.Appendf(nil, manifest, version), &parsed.Object); err != nil {
		t.Fatal(err)
	}
	parsed.SetNamespace(namespace)
	return parsed
}

// adopted is a Deployment from git that Weighlock has labelled, in a namespace of its own.
func adopted(t *testing.T) *appsv1.Deployment {
	t.Helper()
	present := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: newNamespace(t)}}
	if err := applyImage("v1")(t, present); err != nil {
		t.Fatal(err)
	}
	waitForPolicy(t, present)
	before := reload(t, present)
	if err := patch(types.MergePatchType, `{"metadata":{"labels":{"weighlock.dev/held":"shop"}}}`)(t, present); err != nil {
		t.Fatal(err)
	}
	after := reload(t, present)
	if after.Spec.Paused || !equality.Semantic.DeepEqual(before.Spec, after.Spec) {
		t.Fatal("adopting changed the spec")
	}
	return after
}

// waitForPolicy tries dry runs until the API server has read the policy.
func waitForPolicy(t *testing.T, present *appsv1.Deployment) {
	t.Helper()
	change := `{"metadata":{"labels":{"weighlock.dev/held":"shop"}},"spec":{"template":{"metadata":{"annotations":{"a":"b"}}}}}`
	for range 300 {
		tried := present.DeepCopy()
		if err := server.Patch(t.Context(), tried, client.RawPatch(types.MergePatchType, []byte(change)), client.DryRunAll); err != nil {
			t.Fatal(err)
		}
		if tried.Spec.Paused {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	t.Fatal("the admission policy holds nothing")
}

func reload(t *testing.T, present *appsv1.Deployment) *appsv1.Deployment {
	t.Helper()
	got := &appsv1.Deployment{}
	if err := server.Get(t.Context(), client.ObjectKeyFromObject(present), got); err != nil {
		t.Fatal(err)
	}
	return got
}
