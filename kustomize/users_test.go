package kustomize_test

import (
	"context"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// The controller's user, and one who may do everything.
const (
	controllerUser = "system:serviceaccount:" + namespace + ":weighlock"
	administrator  = "root"
)

// as is a client that a user with groups has; RBAC decides what it may.
func as(t *testing.T, user string, groups ...string) client.Client {
	t.Helper()
	config := rest.CopyConfig(started.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	made, err := client.New(config, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// bind gives users a ClusterRole in a namespace.
func bind(t *testing.T, namespace, role string, users ...string) {
	t.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Namespace: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
	}
	for _, user := range users {
		binding.Subjects = append(binding.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user})
	}
	if err := server.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
}

// allow gives a user rules of its own in a namespace.
func allow(t *testing.T, namespace, user string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Namespace: namespace}, Rules: rules}
	if err := server.Create(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Namespace: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	if err := server.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
}

// may says whether a user may do something with a resource in a namespace, or in all where that is empty. The resource is written as for
// kubectl auth can-i: pods, rollouts.weighlock.dev, pods/exec.
func may(ctx context.Context, t *testing.T, user, verb, resource, namespace string) bool {
	t.Helper()
	resource, subresource, _ := strings.Cut(resource, "/")
	resource, group, _ := strings.Cut(resource, ".")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: group, Resource: resource, Subresource: subresource, Verb: verb, Namespace: namespace,
		},
	}}
	if err := server.Create(ctx, review); err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

// What the kubectl plugin shows, each role reads by itself, in the namespace in which it is bound.
func TestRoles_ReadWhatThePluginShows(t *testing.T) {
	shop := shop(t)
	elsewhere := newNamespace(t)
	for _, user := range []string{"alice", "bob", "carol", "dana"} {
		for _, resource := range []string{
			"rollouts.weighlock.dev", "decisions.weighlock.dev", "deployments.apps", "controllerrevisions.apps", "pods", "events",
		} {
			for _, verb := range []string{"get", "list", "watch"} {
				if !may(t.Context(), t, user, verb, resource, shop) {
					t.Errorf("%s may not %s %s", user, verb, resource)
				}
				if may(t.Context(), t, user, verb, resource, elsewhere) {
					t.Errorf("%s may %s %s elsewhere", user, verb, resource)
				}
			}
			for _, verb := range []string{"update", "patch", "delete"} {
				if !strings.HasPrefix(resource, "rollouts.") && may(t.Context(), t, user, verb, resource, shop) {
					t.Errorf("%s may %s %s", user, verb, resource)
				}
			}
		}
		for _, resource := range []string{"secrets", "configmaps", "services", "replicasets.apps", "pods/log", "pods/exec", "pods/portforward"} {
			for _, verb := range []string{"get", "list", "create"} {
				if may(t.Context(), t, user, verb, resource, shop) {
					t.Errorf("%s may %s %s", user, verb, resource)
				}
			}
		}
	}
}

func rule(resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{resource}, Verbs: verbs}
}
