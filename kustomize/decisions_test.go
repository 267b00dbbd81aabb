package kustomize_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// decided is a decision on the Rollout checkout, in the actor's own name unless changes say otherwise.
func decided(namespace string, verb v1alpha1.DecisionVerb, actor string, changes ...func(*v1alpha1.Decision)) *v1alpha1.Decision {
	decision := &v1alpha1.Decision{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "checkout-", Namespace: namespace},
		Spec: v1alpha1.DecisionSpec{
			Rollout: "checkout", Verb: verb, Revision: "mpq7g6qxkh", Step: new(int32(1)), Actor: actor, Via: "kubectl",
		},
	}
	for _, change := range changes {
		change(decision)
	}
	return decision
}

func groups(names ...string) func(*v1alpha1.Decision) {
	return func(d *v1alpha1.Decision) { d.Spec.Groups = names }
}

func throughSlack(d *v1alpha1.Decision) { d.Spec.Via = "slack" }

func on(rollout string) func(*v1alpha1.Decision) {
	return func(d *v1alpha1.Decision) { d.Spec.Rollout = rollout }
}

// shop is a namespace in which alice promotes, bob edits, carol administers and dana views, once the API server knows.
func shop(t *testing.T) string {
	t.Helper()
	name := newNamespace(t)
	bind(t, name, "weighlock-promoter", "alice")
	bind(t, name, "weighlock-editor", "bob")
	bind(t, name, "weighlock-admin", "carol")
	bind(t, name, "weighlock-viewer", "dana")
	settle(t, name)
	return name
}

// settle waits until the API server acts by the policy, and by the roles that were bound so far.
func settle(t *testing.T, name string) {
	t.Helper()
	bind(t, name, "weighlock-promoter", "last")
	allow(t, name, "latest", rule("decisions", "create"), rule("rollouts", "pause"))
	until(t, "the policy to act", func() bool {
		for _, user := range []string{"last", "latest"} {
			if as(t, user).Create(t.Context(), decided(name, v1alpha1.VerbPause, user), client.DryRunAll) != nil {
				return false
			}
		}
		return server.Create(t.Context(), decided(name, v1alpha1.VerbPause, "somebody"), client.DryRunAll) != nil
	})
}

// try makes a decision as a user, and holds the answer to the words that it must have; none where it must be taken.
func try(t *testing.T, who client.Client, decision *v1alpha1.Decision, words ...string) {
	t.Helper()
	err := who.Create(t.Context(), decision)
	if len(words) == 0 {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if err == nil {
		t.Errorf("taken, and it must be refused with %q", words)
		return
	}
	if !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
		t.Errorf("refused as %v: %v", apierrors.ReasonForError(err), err)
	}
	for _, want := range words {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("refused with\n%v\nwhich doesn't say\n%s", err, want)
		}
	}
}

var allVerbs = []v1alpha1.DecisionVerb{
	v1alpha1.VerbPromote, v1alpha1.VerbApprove, v1alpha1.VerbAbort, v1alpha1.VerbPause, v1alpha1.VerbResume, v1alpha1.VerbRetry,
}

func TestDecisions_AreForPromotersAndAdmins(t *testing.T) {
	shop := shop(t)
	for _, verb := range allVerbs {
		t.Run(string(verb), func(t *testing.T) {
			for _, user := range []string{"alice", "carol"} {
				try(t, as(t, user), decided(shop, verb, user))
			}
			try(t, as(t, "bob"), decided(shop, verb, "bob"),
				`user "bob" may not `+string(verb)+` Rollout "checkout" in namespace "`+shop+`": that takes the verb "`+verb.Permission()+
					`" on rollouts.weighlock.dev, which the ClusterRole weighlock-promoter has`)
			try(t, as(t, "dana"), decided(shop, verb, "dana"), `User "dana" cannot create resource "decisions"`)
			try(t, as(t, "mallory"), decided(shop, verb, "mallory"), `User "mallory" cannot create resource "decisions"`)
		})
	}
	elsewhere := newNamespace(t)
	try(t, as(t, "alice"), decided(elsewhere, v1alpha1.VerbPause, "alice"), `User "alice" cannot create resource "decisions"`)
}

func TestDecisions_TakeTheirOwnVerb(t *testing.T) {
	shop := newNamespace(t)
	for _, verb := range allVerbs {
		allow(t, shop, "only-"+string(verb), rule("decisions", "create"), rule("rollouts", verb.Permission()))
	}
	settle(t, shop)
	for _, verb := range allVerbs {
		for _, other := range allVerbs {
			user := "only-" + string(verb)
			if verb.Permission() == other.Permission() {
				try(t, as(t, user), decided(shop, other, user))
			} else {
				try(t, as(t, user), decided(shop, other, user), `takes the verb "`+other.Permission()+`"`)
			}
		}
	}
}

func TestDecisions_MayBeLimitedToARolloutByName(t *testing.T) {
	shop := newNamespace(t)
	approve := rule("rollouts", "approve")
	approve.ResourceNames = []string{"checkout"}
	allow(t, shop, "erin", rule("decisions", "create"), approve)
	settle(t, shop)
	try(t, as(t, "erin"), decided(shop, v1alpha1.VerbApprove, "erin"))
	try(t, as(t, "erin"), decided(shop, v1alpha1.VerbApprove, "erin", on("cart")), `user "erin" may not approve Rollout "cart"`)
}

func TestDecisions_AreMadeInOnesOwnName(t *testing.T) {
	shop := shop(t)
	const another = `a decision is made in one's own name`
	try(t, as(t, "alice"), decided(shop, v1alpha1.VerbApprove, "carol"), `spec.actor is "carol"`, `"alice"`, another)
	try(t, as(t, administrator, "system:masters"), decided(shop, v1alpha1.VerbApprove, "alice"), another)
	try(t, as(t, administrator, "system:masters"), decided(shop, v1alpha1.VerbApprove, administrator))
	try(t, as(t, controllerUser), decided(shop, v1alpha1.VerbApprove, "alice"), `weighlock" may not approve Rollout "checkout"`)

	leads := as(t, "alice", "leads", "oncall")
	try(t, leads, decided(shop, v1alpha1.VerbApprove, "alice", groups("leads")))
	try(t, leads, decided(shop, v1alpha1.VerbApprove, "alice", groups("oncall", "leads", "system:authenticated")))
	try(t, leads, decided(shop, v1alpha1.VerbApprove, "alice", groups("leads", "owners")), `spec.groups names "owners", and user "alice" is not in that group`)
	try(t, as(t, "alice"), decided(shop, v1alpha1.VerbApprove, "alice", groups("leads")), `spec.groups names "leads"`)
}

func TestDecisions_AreRelayedByWeighlockAlone(t *testing.T) {
	shop := shop(t)
	member := func(changes ...func(*v1alpha1.Decision)) *v1alpha1.Decision {
		return decided(shop, v1alpha1.VerbApprove, "slack:U012AB3CD", append([]func(*v1alpha1.Decision){throughSlack}, changes...)...)
	}
	weighlock := as(t, controllerUser)
	try(t, weighlock, member())
	try(t, weighlock, member(groups("slack:S0614TZR7"), func(d *v1alpha1.Decision) { d.Spec.Person = "alice" }))

	const relay = `may not decide for a member of Slack: that is for Weighlock's ServiceAccount weighlock, with the verb "relay" on decisions.weighlock.dev`
	try(t, as(t, "alice"), member(), `user "alice" `+relay)
	try(t, as(t, administrator, "system:masters"), member(), `user "`+administrator+`" `+relay)
	try(t, as(t, "alice"), decided(shop, v1alpha1.VerbApprove, "alice", throughSlack), relay)

	// An account of that name elsewhere may do as it is allowed to where it is allowed to.
	namesake := "system:serviceaccount:" + shop + ":weighlock"
	bind(t, shop, "weighlock-promoter", namesake)
	bind(t, shop, "weighlock-promoter", "system:serviceaccount:"+shop+":other")
	allow(t, shop, "system:serviceaccount:"+shop+":other", rule("decisions", "relay"))
	settle(t, shop)
	try(t, as(t, namesake), member(), relay)
	try(t, as(t, "system:serviceaccount:"+shop+":other"), member(), relay)
	allow(t, shop, namesake, rule("decisions", "relay"))
	until(t, "the namesake to be allowed to relay", func() bool {
		return as(t, namesake).Create(t.Context(), member(), client.DryRunAll) == nil
	})

	const names = `a decision through slack names a member, such as slack:U012AB3CD`
	for _, actor := range []string{"alice", "slack:", "slack:u012", "slack:S0614TZR7", "slack:U01 2", "xslack:U012"} {
		try(t, weighlock, decided(shop, v1alpha1.VerbApprove, actor, throughSlack), names)
	}
	try(t, weighlock, member(groups("system:masters")), names)
	try(t, weighlock, member(groups("slack:S0614TZR7", "slack:U012AB3CD")), names)
}

// Where a cluster's users come from, somebody may be able to choose such a name.
func TestDecisions_MakeNoMembersOfSlackOutOfUsers(t *testing.T) {
	shop := newNamespace(t)
	bind(t, shop, "weighlock-promoter", "slack:U012AB3CD", "frank")
	settle(t, shop)
	const words = "names that begin with slack: are those of members of Slack"
	try(t, as(t, "slack:U012AB3CD"), decided(shop, v1alpha1.VerbApprove, "slack:U012AB3CD"), words)
	try(t, as(t, "frank", "slack:S0614TZR7"), decided(shop, v1alpha1.VerbApprove, "frank", groups("slack:S0614TZR7")), words)
}

func TestDecisions_StandAsTheyWereMade(t *testing.T) {
	shop := shop(t)
	alice := as(t, "alice")
	made := decided(shop, v1alpha1.VerbApprove, "alice", func(d *v1alpha1.Decision) {
		d.Status.Outcome = v1alpha1.DecisionApplied
	})
	try(t, alice, made)
	if made.Status.Outcome != "" {
		t.Errorf("a decision is made with the outcome %s", made.Status.Outcome)
	}
	changed := made.DeepCopy()
	changed.Spec.Reason = "another"
	if err := server.Update(t.Context(), changed); err == nil || !strings.Contains(err.Error(), "a decision can't be changed: make another") {
		t.Errorf("the administrator changes a decision: got %v", err)
	}
	for _, user := range []string{"alice", "bob", "carol", "dana"} {
		answered := made.DeepCopy()
		answered.Status.Outcome = v1alpha1.DecisionApplied
		if err := as(t, user).Status().Patch(t.Context(), answered, client.MergeFrom(made)); !apierrors.IsForbidden(err) {
			t.Errorf("%s writes the status of a decision: got %v", user, err)
		}
		if err := as(t, user).Patch(t.Context(), changed.DeepCopy(), client.MergeFrom(made)); !apierrors.IsForbidden(err) {
			t.Errorf("%s patches a decision: got %v", user, err)
		}
		if err := as(t, user).Delete(t.Context(), made); !apierrors.IsForbidden(err) {
			t.Errorf("%s deletes a decision: got %v", user, err)
		}
		if err := as(t, user).Get(t.Context(), client.ObjectKeyFromObject(made), &v1alpha1.Decision{}); err != nil {
			t.Errorf("%s reads a decision: %v", user, err)
		}
	}
	weighlock, answered := as(t, controllerUser), made.DeepCopy()
	answered.Status.Outcome = v1alpha1.DecisionApplied
	if err := weighlock.Status().Patch(t.Context(), answered, client.MergeFrom(made)); err != nil {
		t.Errorf("Weighlock answers a decision: %v", err)
	}
	if err := weighlock.Delete(t.Context(), answered); err != nil {
		t.Errorf("Weighlock removes an old decision: %v", err)
	}
}

func TestDecisions_AreCheckedInADryRunToo(t *testing.T) {
	shop := shop(t)
	credentials := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(credentials, started.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	kubectl := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl")
	text := `{"apiVersion": "weighlock.dev/v1alpha1", "kind": "Decision", "metadata": {"generateName": "checkout-approve-"}, "spec": ` +
		`{"rollout": "checkout", "verb": "approve", "revision": "mpq7g6qxkh", "step": 1, "actor": "bob"}}`
	create := exec.CommandContext(t.Context(), kubectl, "--kubeconfig", credentials, "--as", "bob", "-n", shop, "create", "--dry-run=server", "-f", "-")
	create.Stdin = strings.NewReader(text)
	output, err := create.CombinedOutput()
	if err == nil || !strings.Contains(string(output), `user "bob" may not approve Rollout "checkout"`) {
		t.Errorf("got %v:\n%s", err, output)
	}
}

// Whoever may list what is in a namespace sees the decisions, and who may write there writes no answers.
func TestRoles_AreAddedToThoseOfKubernetes(t *testing.T) {
	objects, err := build("base")
	if err != nil {
		t.Fatal(err)
	}
	for name, label := range map[string]string{
		"weighlock-viewer": "view", "weighlock-editor": "edit", "weighlock-promoter": "admin", "weighlock-admin": "admin",
	} {
		role := find(t, objects, "ClusterRole", name)
		if role.GetLabels()["rbac.authorization.k8s.io/aggregate-to-"+label] != "true" {
			t.Errorf("%s isn't a part of %s", name, label)
		}
		var read rbacv1.ClusterRole
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(role.Object, &read); err != nil {
			t.Fatal(err)
		}
		for _, rule := range read.Rules {
			for _, resource := range rule.Resources {
				if strings.Contains(resource, "/") || strings.Contains(resource, "*") {
					t.Errorf("%s writes %s", name, resource)
				}
			}
		}
	}
}

func TestInstallation_MayBeInAnotherNamespace(t *testing.T) {
	folder := t.TempDir()
	base, err := filepath.Abs("base")
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(folder, base)
	if err != nil {
		t.Fatal(err)
	}
	text := `resources: [` + relative + `]
transformers:
- |-
  apiVersion: builtin
  kind: NamespaceTransformer
  metadata: {name: elsewhere, namespace: delivery}
  setRoleBindingSubjects: allServiceAccounts
`
	if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	objects, err := build(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "delivery"}}); err != nil {
		t.Fatal(err)
	}
	if err := apply(t.Context(), objects, client.DryRunAll); err != nil {
		t.Error(err)
	}
	var binding rbacv1.ClusterRoleBinding
	found := find(t, objects, "ClusterRoleBinding", "weighlock")
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found.Object, &binding); err != nil {
		t.Fatal(err)
	}
	if binding.Subjects[0].Namespace != "delivery" {
		t.Errorf("the controller's role goes to %v", binding.Subjects)
	}
	shop := newNamespace(t)
	bind(t, shop, "weighlock", "system:serviceaccount:delivery:weighlock")
	settle(t, shop)
	until(t, "the account in delivery to relay", func() bool {
		relayed := decided(shop, v1alpha1.VerbAbort, "slack:W7", throughSlack)
		return as(t, "system:serviceaccount:delivery:weighlock").Create(t.Context(), relayed, client.DryRunAll) == nil
	})
}
