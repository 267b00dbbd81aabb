package controller_test

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

func shopDeployment(image, more string) string {
	return strings.ReplaceAll(`apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 2
`+more+`  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - name: shop
        image: IMAGE
        ports: [{containerPort: 8080}]
`, "IMAGE", image)
}

func (s *gitStage) deployment() *appsv1.Deployment {
	s.t.Helper()
	return get(s, &appsv1.Deployment{}, "shop")
}

// asWeighlock applies fields of the Deployment as a rollout does.
func (s *gitStage) asWeighlock(spec map[string]any) {
	s.t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": "shop", "namespace": s.namespace, "labels": map[string]any{v1alpha1.LabelHeld: "shop"}},
		"spec":     spec,
	}}
	s.Expect(testClient.Apply(s.t.Context(), client.ApplyConfigurationFromUnstructured(object),
		client.FieldOwner(v1alpha1.FieldManager), client.ForceOwnership)).To(Succeed())
}

func TestGitSource_LeavesAWorkloadHeld(t *testing.T) {
	s := newGitStage(t)
	s.Expect(server.InstallHold(t.Context())).To(Succeed())
	s.start()
	s.applied(s.git.Commit("Version 1", map[string]string{"deploy/shop.yaml": shopDeployment("shop:1", "")}))
	s.asWeighlock(map[string]any{})

	second := s.git.Commit("Version 2", map[string]string{"deploy/shop.yaml": shopDeployment("shop:2", "")})
	s.applied(second)
	held := s.deployment()
	s.Expect(held.Spec.Paused).To(BeTrue())
	s.Expect(held.Spec.Template.Spec.Containers[0].Image).To(Equal("shop:2"))
	s.Expect(held.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCommit, second))
	s.Consistently(func() string { return s.deployment().ResourceVersion }).WithTimeout(quiet).WithPolling(tick).
		Should(Equal(held.ResourceVersion), "a held workload is no drift")

	// Released by Weighlock, which owns the field from then on, it stays released.
	s.asWeighlock(map[string]any{"paused": false})
	s.applied(s.git.Commit("More", map[string]string{"deploy/shop.yaml": shopDeployment("shop:2", "  revisionHistoryLimit: 3\n")}))
	s.Expect(s.deployment().Spec.Paused).To(BeFalse())
	s.Expect(s.deployment().Labels).To(HaveKeyWithValue(v1alpha1.LabelHeld, "shop"))
}

func TestGitSource_TakesNoFieldFromWeighlock(t *testing.T) {
	s := newGitStage(t)
	files := func(value string) map[string]string {
		return map[string]string{"deploy/shop.yaml": shopDeployment("shop:1", "  paused: false\n"), "deploy/a.yaml": shopMap("a", value)}
	}
	s.start()
	s.applied(s.git.Commit("Says paused", files("1")))
	s.asWeighlock(map[string]any{"paused": true})
	s.applied(s.git.Commit("Still says paused", files("2")))
	s.Consistently(func() bool { return s.deployment().Spec.Paused }).WithTimeout(quiet).WithPolling(tick).Should(BeTrue())

	// From anybody else it does.
	scaled := s.deployment()
	scaled.Spec.Replicas = new(int32(7))
	s.Expect(testClient.Update(t.Context(), scaled)).To(Succeed())
	s.Eventually(func() int32 { return *s.deployment().Spec.Replicas }).WithTimeout(patience).WithPolling(tick).Should(Equal(int32(2)))
	s.Expect(s.deployment().Spec.Paused).To(BeTrue())
}

const gadgets = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.GROUP}
spec:
  group: GROUP
  names: {kind: Gadget, plural: gadgets, singular: gadget, listKind: GadgetList}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
`

func TestGitSource_BringsDefinitionsWithTheirObjects(t *testing.T) {
	s := newGitStage(t)
	group, other := s.namespace+".example.com", s.namespace+"-more"
	s.create(&rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: deployer}},
	})
	gadget := "apiVersion: " + group + "/v1\nkind: Gadget\nmetadata: {name: one}\nspec: {size: 3}\n"
	namespaced := strings.Replace(shopMap("there", "1"), "metadata:\n", "metadata:\n  namespace: "+other+"\n", 1)
	s.start()
	s.applied(s.git.Commit("All at once", map[string]string{
		"deploy/a-gadget.yaml": gadget, "deploy/b-crd.yaml": strings.ReplaceAll(gadgets, "GROUP", group),
		"deploy/c-there.yaml": namespaced, "deploy/d-namespace.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + other + "}\n",
	}))
	found := &unstructured.Unstructured{}
	found.SetAPIVersion(group + "/v1")
	found.SetKind("Gadget")
	s.Expect(testClient.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "one"}, found)).To(Succeed())
	there := client.ObjectKey{Namespace: other, Name: "there"}
	s.Expect(testClient.Get(t.Context(), there, &corev1.ConfigMap{})).To(Succeed())

	current := s.applied(s.git.Commit("Definitions leave", map[string]string{"deploy/a.yaml": shopMap("a", "1")}))
	s.Expect(current.Status.Inventory).To(HaveLen(1))
	s.Expect(apierrors.IsNotFound(testClient.Get(t.Context(), there, &corev1.ConfigMap{}))).To(BeTrue())
	s.Expect(testClient.Get(t.Context(), client.ObjectKey{Name: other}, &corev1.Namespace{})).To(Succeed(), "Namespaces are never pruned")
	definition := &unstructured.Unstructured{}
	definition.SetAPIVersion("apiextensions.k8s.io/v1")
	definition.SetKind("CustomResourceDefinition")
	s.Expect(testClient.Get(t.Context(), client.ObjectKey{Name: "gadgets." + group}, definition)).To(Succeed(), "CRDs are never pruned")
}
