package controller_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/fluxcd/pkg/runtime/conditions/check"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/controller"
	"github.com/weighlock/weighlock/gitsource/gittest"
)

const (
	deployer = "deployer"
	patience = time.Minute
	tick     = 100 * time.Millisecond
	// quiet is how long nothing must happen: several syncs and looks for drift.
	quiet = 3 * time.Second
)

// gitStage is a namespace with a ServiceAccount, a repository and a running controller.
type gitStage struct {
	*WithT

	t         *testing.T
	namespace string
	git       *gittest.Repository
	source    *v1alpha1.GitSource
	events    *record.FakeRecorder
}

// newGitStage starts all but the GitSource. The controller's own identity may only impersonate: what is
// applied, is applied by the ServiceAccount.
func newGitStage(t *testing.T, rules ...rbacv1.PolicyRule) *gitStage {
	t.Helper()
	t.Parallel()
	s := &gitStage{
		WithT: NewWithT(t), t: t, namespace: newNamespace(t), git: gittest.New(t),
		events: record.NewFakeRecorder(1000),
	}
	if len(rules) == 0 {
		rules = []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"configmaps", "services", "secrets"}, Verbs: []string{"*"}},
			{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"*"}},
		}
	}
	s.create(&corev1.ServiceAccount{ObjectMeta: s.meta(deployer)})
	s.allow(rules)
	s.source = &v1alpha1.GitSource{
		ObjectMeta: s.meta("shop"),
		Spec: v1alpha1.GitSourceSpec{
			URL: s.git.URL, Branch: gittest.Branch, Path: "./deploy", ServiceAccountName: deployer,
			Interval: &metav1.Duration{Duration: time.Second},
		},
	}
	config := impersonator(t)
	startManager(t, s.namespace, wiring{}, func(mgr ctrl.Manager) error {
		reconciler := &controller.GitSourceReconciler{
			Client: mgr.GetClient(), Config: config, Events: s.events, Clock: clock.RealClock{},
		}
		return reconciler.SetupWithManager(mgr, controller.GitSourceOptions{DriftInterval: time.Second, CloneDir: t.TempDir()})
	})
	return s
}

// impersonator is an identity that may impersonate ServiceAccounts and nothing else.
func impersonator(t *testing.T) *rest.Config {
	t.Helper()
	name := "impersonator-" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, Verbs: []string{"impersonate"}}},
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}},
	}
	for _, object := range []client.Object{role, binding} {
		if err := testClient.Create(t.Context(), object); err != nil {
			t.Fatalf("create the impersonator: %v", err)
		}
	}
	user, err := server.AddUser(name)
	if err != nil {
		t.Fatalf("add the impersonator: %v", err)
	}
	return user.Config()
}

func (s *gitStage) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: s.namespace}
}

func (s *gitStage) create(object client.Object) {
	s.t.Helper()
	s.Expect(testClient.Create(s.t.Context(), object)).To(Succeed())
}

// allow replaces what the ServiceAccount may do in its namespace.
func (s *gitStage) allow(rules []rbacv1.PolicyRule) {
	s.t.Helper()
	role := &rbacv1.Role{ObjectMeta: s.meta(deployer)}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: s.meta(deployer),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: deployer},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: deployer}},
	}
	_, err := ctrl.CreateOrUpdate(s.t.Context(), testClient, role, func() error {
		role.Rules = rules
		return nil
	})
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(client.IgnoreAlreadyExists(testClient.Create(s.t.Context(), binding))).To(Succeed())
}

// start makes the GitSource.
func (s *gitStage) start() { s.t.Helper(); s.create(s.source) }

// change edits the GitSource's spec or metadata.
func (s *gitStage) change(edit func(*v1alpha1.GitSource)) {
	s.t.Helper()
	before := s.current()
	after := before.DeepCopy()
	edit(after)
	s.Expect(testClient.Patch(s.t.Context(), after, client.MergeFrom(before))).To(Succeed())
}

func (s *gitStage) current() *v1alpha1.GitSource {
	s.t.Helper()
	current := &v1alpha1.GitSource{}
	s.Expect(testClient.Get(s.t.Context(), client.ObjectKeyFromObject(s.source), current)).To(Succeed())
	return current
}

// applied waits until a commit is live and all is well.
func (s *gitStage) applied(sha string) *v1alpha1.GitSource {
	s.t.Helper()
	s.Eventually(func(g Gomega) {
		current := s.current()
		g.Expect(current.Status.LastApplied).NotTo(BeNil())
		g.Expect(current.Status.LastApplied.SHA).To(Equal(sha), "message: %s", conditions.GetMessage(current, v1alpha1.ConditionReady))
		g.Expect(conditions.IsReady(current)).To(BeTrue(), "%v", current.Status.Conditions)
		g.Expect(current.Status.ObservedGeneration).To(Equal(current.Generation))
	}).WithTimeout(patience).WithPolling(tick).Should(Succeed())
	return s.checked()
}

// failed waits until the sync fails with a reason, and a message that holds the texts.
func (s *gitStage) failed(reason string, texts ...string) *v1alpha1.GitSource {
	s.t.Helper()
	s.Eventually(func(g Gomega) {
		current := s.current()
		g.Expect(conditions.IsFalse(current, v1alpha1.ConditionReady)).To(BeTrue())
		g.Expect(conditions.GetReason(current, v1alpha1.ConditionReady)).To(Equal(reason),
			conditions.GetMessage(current, v1alpha1.ConditionReady))
		for _, text := range texts {
			g.Expect(conditions.GetMessage(current, v1alpha1.ConditionReady)).To(ContainSubstring(text))
		}
	}).WithTimeout(patience).WithPolling(tick).Should(Succeed())
	return s.checked()
}

// checked holds the conditions against what kstatus demands.
func (s *gitStage) checked() *v1alpha1.GitSource {
	s.t.Helper()
	current := s.current()
	checker := check.NewChecker(testClient, &check.Conditions{
		NegativePolarity: []string{v1alpha1.ConditionStalled, v1alpha1.ConditionReconciling},
	})
	checker.DisableFetch = true
	checker.WithT(s.WithT).CheckErr(s.t.Context(), current)
	return current
}

// get reads an object of the stage's namespace.
func get[T client.Object](s *gitStage, object T, name string) T {
	s.t.Helper()
	s.Expect(testClient.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, object)).To(Succeed())
	return object
}

func (s *gitStage) configMap(name string) *corev1.ConfigMap {
	s.t.Helper()
	return get(s, &corev1.ConfigMap{}, name)
}

// absent tells whether there is no ConfigMap of a name.
func (s *gitStage) absent(name string) bool {
	s.t.Helper()
	err := testClient.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, &corev1.ConfigMap{})
	return apierrors.IsNotFound(err)
}

// shopMap is the manifest of a ConfigMap.
func shopMap(name, value string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\ndata:\n  value: \"" + value + "\"\n"
}

// drain returns the events that were told since the last call.
func (s *gitStage) drain() []string {
	var told []string
	for {
		select {
		case event := <-s.events.Events:
			told = append(told, event)
		default:
			return told
		}
	}
}
