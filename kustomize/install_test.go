package kustomize_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestOverlays_AreTakenByTheAPIServer(t *testing.T) {
	for _, folder := range []string{"base", "overlays/smi", "overlays/no-admission-policy"} {
		t.Run(folder, func(t *testing.T) {
			objects, err := build(folder)
			if err != nil {
				t.Fatal(err)
			}
			if err := apply(t.Context(), objects, client.DryRunAll); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNoAdmissionPolicy_LeavesOnlyTheHoldOut(t *testing.T) {
	base, err := build("base")
	if err != nil {
		t.Fatal(err)
	}
	without, err := build("overlays/no-admission-policy")
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range without {
		if strings.HasPrefix(object.GetKind(), "MutatingAdmissionPolicy") {
			t.Errorf("%s %s is still there", object.GetKind(), object.GetName())
		}
	}
	find(t, without, "ValidatingAdmissionPolicy", "weighlock-decisions")
	find(t, without, "ValidatingAdmissionPolicyBinding", "weighlock-decisions")
	if len(without) != len(base)-2 {
		t.Errorf("got %d objects, want the %d of base without its policy and binding", len(without), len(base))
	}
}

// The namespace enforces the restricted pod security standard; a Deployment that
// breaks it is taken, and its pods are refused.
func TestController_PodIsAdmittedAsRestricted(t *testing.T) {
	deployment := controller(t)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "tried", Namespace: namespace, Labels: deployment.Spec.Template.Labels},
		Spec:       deployment.Spec.Template.Spec,
	}
	if err := server.Create(t.Context(), pod, client.DryRunAll); err != nil {
		t.Errorf("the controller's pod is refused: %v", err)
	}
	pod.Spec.SecurityContext = nil
	pod.Spec.Containers[0].SecurityContext = nil
	pod.ResourceVersion = ""
	if err := server.Create(t.Context(), pod, client.DryRunAll); err == nil {
		t.Error("a pod without a security context is admitted: the namespace enforces nothing")
	}
}

func TestSMI_PointsTheControllerAtPrometheus(t *testing.T) {
	args := controller(t).Spec.Template.Spec.Containers[0].Args
	if !slices.Contains(args, "--prometheus-address=http://prometheus.monitoring.svc.cluster.local:9090") {
		t.Errorf("no Prometheus address among %q", args)
	}
	if !slices.Contains(args, "--enable-leader-election") {
		t.Errorf("the overlay loses the arguments of base: %q", args)
	}
}

func TestSecrets_MayBeReadOneByOneWhereTheComponentIsUsed(t *testing.T) {
	objects, err := build("components/secrets")
	if err != nil {
		t.Fatal(err)
	}
	if err := apply(t.Context(), objects); err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, object := range objects {
			if err := server.Delete(context.Background(), object); err != nil {
				t.Errorf("remove the component: %v", err)
			}
		}
		until(t, "Secrets not to be read any more", func() bool { return !may(context.Background(), t, controllerUser, "get", "secrets", "shop") })
	}()
	until(t, "Secrets to be read", func() bool { return may(t.Context(), t, controllerUser, "get", "secrets", "shop") })
	for _, verb := range []string{"list", "watch", "patch", "delete"} {
		if may(t.Context(), t, controllerUser, verb, "secrets", "shop") {
			t.Errorf("%s is allowed", verb)
		}
	}
}

// until waits for what the API server does a moment later.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 200 {
		if done() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("waited in vain for %s", what)
}

func TestService_SelectsTheController(t *testing.T) {
	service := &corev1.Service{}
	if err := server.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "weighlock"}, service); err != nil {
		t.Fatal(err)
	}
	labels := controller(t).Spec.Template.Labels
	if len(service.Spec.Selector) == 0 {
		t.Error("the Service selects nothing")
	}
	for key, value := range service.Spec.Selector {
		if labels[key] != value {
			t.Errorf("the Service selects %s=%s, the pods have %q", key, value, labels[key])
		}
	}
}

func TestController_MayDoItsWorkAndNoMore(t *testing.T) {
	tests := []struct {
		// resource as in kubectl auth can-i: pods, rollouts.weighlock.dev, serviceaccounts/token.
		resource, verb, namespace string
		want                      bool
	}{
		{"rollouts.weighlock.dev", "watch", "", true},
		{"rollouts.weighlock.dev", "patch", "shop", true},
		{"gitsources.weighlock.dev", "patch", "shop", true},
		{"analysistemplates.weighlock.dev", "watch", "", true},
		{"deployments.apps", "patch", "shop", true},
		{"controllerrevisions.apps", "create", "shop", true},
		{"services", "delete", "shop", true},
		{"trafficsplits.split.smi-spec.io", "patch", "shop", true},
		{"networkpolicies.networking.k8s.io", "create", "shop", true},
		{"networkpolicies.networking.k8s.io", "watch", "", true},
		{"namespaces", "watch", "", true},
		{"pods", "list", "shop", true},
		{"persistentvolumeclaims", "get", "shop", true},
		{"configmaps", "get", "shop", true},
		{"servers.policy.linkerd.io", "list", "shop", true},
		{"authorizationpolicies.security.istio.io", "list", "shop", true},
		{"mutatingadmissionpolicies.admissionregistration.k8s.io", "list", "", true},
		{"validatingadmissionpolicies.admissionregistration.k8s.io", "watch", "", true},
		{"validatingadmissionpolicybindings.admissionregistration.k8s.io", "watch", "", true},
		{"decisions.weighlock.dev", "watch", "", true},
		{"decisions.weighlock.dev", "create", "shop", true},
		{"decisions.weighlock.dev", "delete", "shop", true},
		{"decisions.weighlock.dev", "relay", "shop", true},
		{"decisions.weighlock.dev/status", "patch", "shop", true},
		{"events", "create", "shop", true},
		{"serviceaccounts", "impersonate", "shop", true},
		{"leases.coordination.k8s.io", "update", namespace, true},

		{"leases.coordination.k8s.io", "update", "shop", false},
		{"rollouts.weighlock.dev", "create", "shop", false},
		{"rollouts.weighlock.dev", "delete", "shop", false},
		{"rollouts.weighlock.dev", "approve", "shop", false},
		{"rollouts.weighlock.dev", "promote", "shop", false},
		{"decisions.weighlock.dev", "deletecollection", "shop", false},
		{"analysistemplates.weighlock.dev", "patch", "shop", false},
		{"deployments.apps", "deletecollection", "shop", false},
		{"replicasets.apps", "patch", "shop", false},
		{"secrets", "get", "shop", false},
		{"secrets", "get", namespace, false},
		{"secrets", "list", "shop", false},
		{"configmaps", "list", "shop", false},
		{"configmaps", "patch", "shop", false},
		{"namespaces", "patch", "shop", false},
		{"pods", "delete", "shop", false},
		{"authorizationpolicies.security.istio.io", "patch", "shop", false},
		{"pods", "create", "shop", false},
		{"users", "impersonate", "", false},
		{"groups", "impersonate", "", false},
		{"serviceaccounts/token", "create", "shop", false},
		{"mutatingadmissionpolicies.admissionregistration.k8s.io", "patch", "", false},
		{"validatingadmissionpolicies.admissionregistration.k8s.io", "patch", "", false},
		{"clusterroles.rbac.authorization.k8s.io", "escalate", "", false},
	}
	for _, test := range tests {
		t.Run(strings.Join([]string{test.verb, test.resource, test.namespace}, " "), func(t *testing.T) {
			if got := may(t.Context(), t, controllerUser, test.verb, test.resource, test.namespace); got != test.want {
				t.Errorf("allowed is %v, want %v", got, test.want)
			}
		})
	}
}

// controller is the Deployment of the overlay smi.
func controller(t *testing.T) *appsv1.Deployment {
	t.Helper()
	objects, err := build("overlays/smi")
	if err != nil {
		t.Fatal(err)
	}
	deployment := &appsv1.Deployment{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(find(t, objects, "Deployment", "weighlock").Object, deployment); err != nil {
		t.Fatal(err)
	}
	return deployment
}
