package controller_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

func TestGitSource_AppliesCommitsAndPrunesWhatLeft(t *testing.T) {
	s := newGitStage(t)
	first := s.git.Commit("Open the shop", map[string]string{"deploy/a.yaml": shopMap("a", "1"), "deploy/b.yaml": shopMap("b", "1")})
	s.start()
	current := s.applied(first)
	s.Expect(current.Status.LastApplied.Subject).To(Equal("Open the shop"))
	s.Expect(current.Status.LastApplied.Author).To(Equal("Ada <ada@example.com>"))
	s.Expect(current.Status.LastApplied.AppliedAt).NotTo(BeNil())
	s.Expect(current.Status.Inventory).To(HaveLen(2))
	before := s.configMap("a")
	s.Expect(before.Labels).To(HaveKeyWithValue(v1alpha1.LabelSource, "shop"))
	s.Expect(before.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCommit, first))

	second := s.git.Commit("Change b", map[string]string{"deploy/a.yaml": shopMap("a", "1"), "deploy/b.yaml": shopMap("b", "2"), "deploy/c.yaml": shopMap("c", "1")})
	start := time.Now()
	s.applied(second)
	s.Expect(time.Since(start)).To(BeNumerically("<", 30*time.Second), "an interval of 1s must not take as long as the default")
	s.Expect(s.configMap("b").Data).To(HaveKeyWithValue("value", "2"))
	s.Expect(s.configMap("b").Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCommit, second))
	s.Expect(s.configMap("b").Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationAuthor, "Ada <ada@example.com>"))
	s.Expect(s.configMap("a").ResourceVersion).To(Equal(before.ResourceVersion), "the commit didn't change a")

	third := s.git.Rewrite("Start over", map[string]string{"deploy/b.yaml": shopMap("b", "2")})
	current = s.applied(third)
	s.Expect(current.Status.Inventory).To(HaveLen(1))
	s.Expect(s.absent("a")).To(BeTrue())
	s.Expect(s.absent("c")).To(BeTrue())
	s.Expect(s.configMap("b").Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCommit, second), "b is as the second commit made it")
}

func TestGitSource_WritesNothingWhileNothingMoves(t *testing.T) {
	s := newGitStage(t)
	first := s.git.Commit("Open", map[string]string{"deploy/a.yaml": shopMap("a", "1")})
	s.start()
	s.applied(first)
	s.drain()
	source, object := s.current().ResourceVersion, s.configMap("a").ResourceVersion
	s.Consistently(func(g Gomega) {
		g.Expect(s.current().ResourceVersion).To(Equal(source))
		g.Expect(s.configMap("a").ResourceVersion).To(Equal(object))
	}).WithTimeout(quiet).WithPolling(tick).Should(Succeed())
	s.Expect(s.drain()).To(BeEmpty())
}

func TestGitSource_MendsDrift(t *testing.T) {
	s := newGitStage(t)
	first := s.git.Commit("Open", map[string]string{"deploy/a.yaml": shopMap("a", "1"), "deploy/b.yaml": shopMap("b", "1")})
	s.start()
	s.applied(first)
	second := s.git.Commit("Change b", map[string]string{"deploy/a.yaml": shopMap("a", "1"), "deploy/b.yaml": shopMap("b", "2")})
	s.applied(second)

	edited := s.configMap("a")
	edited.Data["value"] = "mine"
	s.Expect(testClient.Update(t.Context(), edited)).To(Succeed())
	s.Expect(testClient.Delete(t.Context(), s.configMap("b"))).To(Succeed())
	s.Eventually(func(g Gomega) {
		g.Expect(s.configMap("a").Data).To(HaveKeyWithValue("value", "1"))
		g.Expect(s.absent("b")).To(BeFalse())
	}).WithTimeout(patience).WithPolling(tick).Should(Succeed())
	s.Expect(s.configMap("a").Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCommit, first), "the second commit didn't bring a")
}

func TestGitSource_SignsWhatARevertOfAPartlyAppliedCommitBringsBack(t *testing.T) {
	withoutDelete := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "create", "patch"}}
	s := newGitStage(t, withoutDelete)
	files := map[string]string{"deploy/a.yaml": shopMap("a", "1"), "deploy/b.yaml": shopMap("b", "1")}
	first := s.git.Commit("Open", files)
	s.start()
	s.applied(first)
	partly := s.git.Rewrite("Change a, drop b", map[string]string{"deploy/a.yaml": shopMap("a", "2")})
	s.failed("PruneFailed", partly[:8])
	s.Expect(s.configMap("a").Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCommit, partly))

	revert := s.git.Rewrite("Revert", files)
	s.applied(revert)
	s.Expect(s.configMap("a").Data).To(HaveKeyWithValue("value", "1"))
	s.Expect(s.configMap("a").Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCommit, revert), "what failed brought something else")
	s.Expect(s.configMap("b").Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCommit, first), "nothing changed b")
}

func TestGitSource_SaysWhichCommitItTriesBeforeItWrites(t *testing.T) {
	s := newGitStage(t)
	first := s.git.Commit("Open", map[string]string{"deploy/a.yaml": shopMap("a", "1")})
	s.start()
	s.applied(first)
	watched, err := client.NewWithWatch(server.Config, client.Options{Scheme: testClient.Scheme()})
	s.Expect(err).NotTo(HaveOccurred())
	maps, err := watched.Watch(t.Context(), &corev1.ConfigMapList{}, client.InNamespace(s.namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: s.configMap("a").ResourceVersion}})
	s.Expect(err).NotTo(HaveOccurred())
	defer maps.Stop()
	for n := range 5 {
		commit := s.git.Commit("Change a", map[string]string{"deploy/a.yaml": shopMap("a", string(rune('b'+n)))})
		s.Eventually(maps.ResultChan()).WithTimeout(patience).Should(Receive())
		now := s.current()
		s.Expect(now.Status.LastAttempted).To(Equal(commit))
		s.Expect(conditions.IsReady(now)).To(BeTrue(), "a new version of what is there is no reason not to be ready")
		s.applied(commit)
	}
}

func TestGitSource_ChangesNothingWhenATreeIsBroken(t *testing.T) {
	s := newGitStage(t)
	good := s.git.Commit("Open", map[string]string{"deploy/a.yaml": shopMap("a", "1")})
	s.start()
	s.applied(good)
	unchanged := func() {
		t.Helper()
		s.Expect(s.configMap("a").Data).To(HaveKeyWithValue("value", "1"))
		s.Expect(s.absent("new")).To(BeTrue())
	}

	broken := s.git.Commit("Break", map[string]string{"deploy/a.yaml": shopMap("a", "2") + "---\napiVersion: v1\nkind: [\n"})
	current := s.failed("BuildFailed", broken[:8], "deploy/a.yaml: document 2")
	s.Expect(current.Status.LastApplied.SHA).To(Equal(good))
	// The patcher writes conditions first, and the rest of the status after them.
	s.Eventually(func() string { return s.current().Status.LastAttempted }).WithTimeout(patience).WithPolling(tick).Should(Equal(broken))
	unchanged()

	s.git.Commit("Refused", map[string]string{
		"deploy/a.yaml": shopMap("a", "2"), "deploy/new.yaml": shopMap("new", "1"),
		"deploy/z.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: z}\nspec: {ports: [{port: 99999999}]}\n",
		"deploy/y.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\ntype: kubernetes.io/tls\nstringData: {password: hunter2}\n",
	})
	current = s.failed("ApplyFailed", "Service "+s.namespace+"/z", "Secret "+s.namespace+"/key")
	s.Expect(current.Status.Conditions).NotTo(ContainElement(HaveField("Message", ContainSubstring("hunter2"))))
	unchanged()

	s.git.Commit("Unknown", map[string]string{"deploy/a.yaml": shopMap("a", "2"), "deploy/x.yaml": "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: x}\n"})
	s.failed("ApplyFailed", "doesn't know example.com/v1 Thing")
	unchanged()

	s.git.Commit("Empty", map[string]string{"other/a.yaml": shopMap("a", "2")})
	s.failed("InvalidPath", "deploy")
	s.git.Commit("Empty", map[string]string{"deploy/readme": "nothing"})
	s.failed("BuildFailed", "allowEmpty")
	unchanged()

	link := s.git.Commit("Link", map[string]string{"deploy/link.yaml": "-> /etc/passwd"})
	s.failed("FetchFailed", "deploy/link.yaml")
	s.Eventually(func() string { return s.current().Status.LastAttempted }).WithTimeout(patience).WithPolling(tick).Should(Equal(link))
	unchanged()

	s.git.Commit("Empty", map[string]string{"deploy/readme": "nothing"})
	s.failed("BuildFailed", "allowEmpty")
	s.drain()
	asked := s.git.Requests.Load()
	s.Consistently(s.drain).WithTimeout(quiet).WithPolling(tick).Should(BeEmpty(), "the same failure is told once")
	s.Expect(s.git.Requests.Load()-asked).To(BeNumerically("<=", 4), "a broken commit is not cloned again")
	s.applied(s.git.Commit("Mend", map[string]string{"deploy/a.yaml": shopMap("a", "3")}))
}

func TestGitSource_KeepsTheLastStateWhileGitIsAway(t *testing.T) {
	s := newGitStage(t)
	sha := s.git.Commit("Open", map[string]string{"deploy/a.yaml": shopMap("a", "1")})
	s.start()
	s.applied(sha)
	s.git.Break()
	current := s.failed("FetchFailed", "503")
	s.Expect(current.Status.LastApplied.SHA).To(Equal(sha))
	s.Expect(s.absent("a")).To(BeFalse())
	s.git.Mend()
	s.applied(sha)
}

func TestGitSource_DoesWhatItsServiceAccountMayDo(t *testing.T) {
	s := newGitStage(t, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "create", "patch", "delete"}})
	s.git.Commit("Too much", map[string]string{
		"deploy/a.yaml": shopMap("a", "1"),
		"deploy/z.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: z}\nspec: {ports: [{port: 80}]}\n",
	})
	s.start()
	s.failed("ApplyFailed", "Service "+s.namespace+"/z", "ServiceAccount "+s.namespace+"/"+deployer+" may not")
	s.Expect(s.absent("a")).To(BeTrue(), "nothing is applied of a tree that can't be applied as a whole")

	s.git.Commit("Elsewhere", map[string]string{"deploy/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\n"})
	s.failed("ApplyFailed", "ConfigMap default/a", "may not")
}

func TestGitSource_ReadsItsSecretAsTheServiceAccount(t *testing.T) {
	maps := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"*"}}
	s := newGitStage(t, maps)
	s.git.Demand(func(r *http.Request) bool { _, password, _ := r.BasicAuth(); return password == "s3cret" })
	sha := s.git.Commit("Open", map[string]string{"deploy/a.yaml": shopMap("a", "1")})
	s.create(&corev1.Secret{ObjectMeta: s.meta("git"), StringData: map[string]string{"username": "ada", "password": "s3cret"}})
	s.start()
	s.failed("AuthenticationFailed", "refuses the credentials, or wants some")
	s.change(func(source *v1alpha1.GitSource) { source.Spec.SecretRef = &v1alpha1.LocalReference{Name: "git"} })
	s.failed("AuthenticationFailed", "read the secret git as the ServiceAccount "+deployer)
	s.allow([]rbacv1.PolicyRule{maps, {APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"git"}, Verbs: []string{"get"}}})
	s.applied(sha)
}

func TestGitSource_PrunesOnlyWhatIsItsOwn(t *testing.T) {
	s := newGitStage(t)
	s.git.Commit("Open", map[string]string{
		"deploy/a.yaml": shopMap("a", "1"), "deploy/kept.yaml": shopMap("kept", "1"), "deploy/taken.yaml": shopMap("taken", "1"),
	})
	s.start()
	s.Eventually(func() bool { return s.absent("taken") }).WithTimeout(patience).WithPolling(tick).Should(BeFalse())
	s.applied(s.git.Commit("Same", map[string]string{
		"deploy/a.yaml": shopMap("a", "1"), "deploy/kept.yaml": shopMap("kept", "1") + "  more: x\n", "deploy/taken.yaml": shopMap("taken", "1"),
	}))
	s.change(func(source *v1alpha1.GitSource) { source.Spec.Suspend = true })
	kept := s.configMap("kept")
	kept.Annotations[v1alpha1.AnnotationPrune] = "disabled"
	s.Expect(testClient.Update(t.Context(), kept)).To(Succeed())
	taken := s.configMap("taken")
	delete(taken.Labels, v1alpha1.LabelSource)
	s.Expect(testClient.Update(t.Context(), taken)).To(Succeed())

	sha := s.git.Commit("Close", map[string]string{"deploy/readme": "nothing"})
	s.Consistently(func() bool { return s.absent("a") }).WithTimeout(quiet).WithPolling(tick).Should(BeFalse(), "suspended")
	s.change(func(source *v1alpha1.GitSource) { source.Spec.Suspend = false; source.Spec.AllowEmpty = true })
	s.applied(sha)
	s.Expect(s.absent("a")).To(BeTrue())
	s.Expect(s.absent("kept")).To(BeFalse())
	s.Expect(s.absent("taken")).To(BeFalse())
}

func TestGitSource_RefusesWhatAnotherOneApplied(t *testing.T) {
	s := newGitStage(t)
	sha := s.git.Commit("Open", map[string]string{"deploy/a.yaml": shopMap("a", "1")})
	s.start()
	s.applied(sha)
	first := s.source
	s.source = s.source.DeepCopy()
	s.source.ObjectMeta = s.meta("second")
	s.start()
	s.failed("ApplyFailed", "belongs to the GitSource "+s.namespace+"/shop")

	// What a GitSource leaves behind is free.
	s.source = first
	s.change(func(source *v1alpha1.GitSource) { source.Spec.Prune = new(bool) })
	s.Expect(testClient.Delete(t.Context(), first)).To(Succeed())
	s.source = first.DeepCopy()
	s.source.ObjectMeta = s.meta("second")
	s.applied(sha)
	s.Expect(s.configMap("a").Labels).To(HaveKeyWithValue(v1alpha1.LabelSource, "second"))
}

func TestGitSource_BindsRolesThatComeAlong(t *testing.T) {
	s := newGitStage(t,
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "create", "patch"}},
		rbacv1.PolicyRule{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles", "rolebindings"}, Verbs: []string{"get", "create", "patch", "delete"}},
	)
	role := func(verbs string) string {
		return "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: reader}\nrules: [{apiGroups: [''], resources: [configmaps], verbs: [" + verbs + "]}]\n"
	}
	binding := "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: reader}\n" +
		"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}\nsubjects: [{kind: ServiceAccount, name: default, namespace: " + s.namespace + "}]\n"
	s.start()
	s.applied(s.git.Commit("Bind", map[string]string{"deploy/a-binding.yaml": binding, "deploy/b-role.yaml": role("get")}))
	s.Expect(get(s, &rbacv1.RoleBinding{}, "reader").RoleRef.Name).To(Equal("reader"))

	s.git.Commit("Too much", map[string]string{"deploy/a-binding.yaml": binding, "deploy/b-role.yaml": role("delete")})
	s.failed("ApplyFailed", "Role.rbac.authorization.k8s.io "+s.namespace+"/reader", "may not")
}

func TestGitSource_TakesARequestForASync(t *testing.T) {
	s := newGitStage(t)
	s.source.Spec.Interval = &metav1.Duration{Duration: time.Hour}
	s.git.Commit("Open", map[string]string{"deploy/a.yaml": shopMap("a", "1")})
	s.start()
	s.Eventually(func() bool { return s.absent("a") }).WithTimeout(patience).WithPolling(tick).Should(BeFalse())
	sha := s.git.Commit("Change", map[string]string{"deploy/a.yaml": shopMap("a", "2")})
	s.change(func(source *v1alpha1.GitSource) {
		source.Annotations = map[string]string{fluxmeta.ReconcileRequestAnnotation: "now"}
	})
	s.applied(sha)
}

func TestGitSource_CleansUpWhenItGoes(t *testing.T) {
	many := map[string]string{"deploy/a.yaml": shopMap("a", "1")}
	for name := range strings.FieldsSeq("b c d e f g h") {
		many["deploy/"+name+".yaml"] = shopMap(name, "1")
	}
	for name, tc := range map[string]struct {
		prepare func(*gitStage)
		pruned  bool
	}{
		"prunes":           {prepare: func(*gitStage) {}, pruned: true},
		"leaves all":       {prepare: func(s *gitStage) { s.change(func(g *v1alpha1.GitSource) { g.Spec.Prune = new(bool) }) }},
		"may not any more": {prepare: func(s *gitStage) { s.allow(nil) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newGitStage(t)
			s.start()
			s.applied(s.git.Commit("Open", many))
			tc.prepare(s)
			s.Expect(testClient.Delete(t.Context(), s.current())).To(Succeed())
			s.Eventually(func() bool {
				err := testClient.Get(t.Context(), client.ObjectKeyFromObject(s.source), &v1alpha1.GitSource{})
				return apierrors.IsNotFound(err)
			}).WithTimeout(patience).WithPolling(tick).Should(BeTrue())
			s.Expect(s.absent("a")).To(Equal(tc.pruned))
		})
	}
}
