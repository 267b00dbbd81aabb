package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/internal/apiservertest"
)

// want checks the code, and words that both streams have together.
func (c *called) want(t *testing.T, code int, words ...string) {
	t.Helper()
	said := c.out.String() + c.errOut.String()
	if c.code != code {
		t.Errorf("it exits with %d, want %d; it said:\n%s", c.code, code, said)
	}
	for _, word := range words {
		if !strings.Contains(said, word) {
			t.Errorf("it doesn't say %q, but:\n%s", word, said)
		}
	}
}

func TestGet_FindsTheRolloutThatIsMeant(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	me.run(t, "get").want(t, 1, "there is no Rollout in namespace "+namespace)
	makeRollout(t, namespace, "checkout", resting("checkout"))
	for _, args := range [][]string{
		{"get"},
		{"get", "checkout"},
		{"get", "rollout/checkout"},
		{"get", "rollouts/checkout"},
		{"get", "rollouts.weighlock.dev/checkout"},
		{"get", "checkout", "-n", namespace},
	} {
		me.run(t, args...).want(t, 0, "checkout  Idle", "all traffic is on oldrev")
	}
	makeRollout(t, namespace, "cart", resting("cart"))
	me.run(t, "get").want(t, 2, "there are 2 Rollouts in namespace "+namespace, "cart, checkout")
	me.run(t, "get", "chekout").want(t, 1, "there is no Rollout chekout in namespace "+namespace, "cart, checkout")
	me.run(t, "get", "pod/checkout").want(t, 2, `"pod/checkout" names no Rollout`)
	me.run(t, "get", "cart", "checkout").want(t, 2, "see kubectl weighlock get --help")
}

func TestGet_ShowsPodsAndWhyTheyAreNotReady(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	makeRollout(t, namespace, "checkout", resting("checkout"))
	makeWorkload(t, namespace)
	leaving := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: "checkout-bye", Labels: map[string]string{"app": "checkout"}, Finalizers: []string{"weighlock.dev/test"},
	}}
	makePod(t, leaving, corev1.PodStatus{})
	if err := admin.Delete(t.Context(), leaving); err != nil {
		t.Fatal(err)
	}
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	got := me.run(t, "get", "checkout")
	got.want(t, 0, "checkout-good    ready", "checkout-broken  app: ErrImagePull: no such image", "checkout-bye     ends")
	at := func(pod string) int { return strings.Index(got.out.String(), pod) }
	if at("checkout-broken") > at("checkout-good") || at("checkout-good") > at("checkout-bye") {
		t.Errorf("what is wrong doesn't come first, or what ends not last:\n%s", got.out.String())
	}
}

func TestGet_ShowsWhatTheUserMaySee(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	makeRollout(t, namespace, "checkout", resting("checkout"))
	makeWorkload(t, namespace)
	grant(t, namespace, "rita", "get", "list", "watch")
	grant(t, namespace, "gerd", "get")
	reader := caller{kubeconfig: kubeconfig(t, namespace, "rita")}
	reader.run(t, "get", "checkout").want(t, 0, "checkout  Idle", "you may not get Deployments in namespace "+namespace)
	reader.run(t, "status", "checkout", "--for=promoted").want(t, 0, "oldrev serves all traffic")
	getter := caller{kubeconfig: kubeconfig(t, namespace, "gerd")}
	getter.run(t, "get", "checkout").want(t, 0, "checkout  Idle")
	getter.run(t, "get", "checkout", "--watch").want(t, 1, "the API server doesn't let you watch", "403 Forbidden")
	nobody := caller{kubeconfig: kubeconfig(t, namespace, "nora")}
	nobody.run(t, "get", "checkout").want(t, 1, `User "nora" cannot get resource "rollouts"`)
	nobody.run(t, "list").want(t, 1, `User "nora" cannot list resource "rollouts"`)
}

// grant lets a user do that with the Rollouts of a namespace, and nothing else.
func grant(t *testing.T, namespace, user string, verbs ...string) {
	t.Helper()
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: user},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"weighlock.dev"}, Resources: []string{"rollouts"}, Verbs: verbs}},
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: user},
		Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: "rbac.authorization.k8s.io", Name: user}},
		RoleRef:    rbacv1.RoleRef{Kind: "Role", APIGroup: "rbac.authorization.k8s.io", Name: user},
	}
	for _, object := range []client.Object{role, binding} {
		if err := admin.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGet_PrintsObjectsAsKubectlDoes(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	makeRollout(t, namespace, "checkout", resting("checkout"))
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	var read v1alpha1.Rollout
	got := me.run(t, "get", "-o", "json")
	if err := json.Unmarshal([]byte(got.out.String()), &read); err != nil || read.Name != "checkout" || read.Kind != "Rollout" || len(read.ManagedFields) > 0 {
		t.Errorf("-o json gives no Rollout as kubectl would: %v\n%s", err, got.out.String())
	}
	me.run(t, "get", "-o", "yaml").want(t, 0, "kind: Rollout\n")
	me.run(t, "get", "-o", "jsonpath={.status.incumbent.revision}").want(t, 0, "oldrev")
	if out := me.run(t, "get", "-o", "name").out.String(); out != "rollout.weighlock.dev/checkout\n" {
		t.Errorf("-o name gives %q", out)
	}
	me.run(t, "get", "-o", "xml").want(t, 2, "--output xml is unknown", "tree, wide, json, yaml, name")
	me.run(t, "list", "-o", "name").want(t, 0, "rollout.weighlock.dev/checkout\n")
	me.run(t, "list", "-o", "tree").want(t, 2, "--output tree is unknown")
	me.run(t, "get", "--color", "blue").want(t, 2, "--color blue is unknown")
	if out := me.run(t, "get", "--color", "always").out.String(); !strings.Contains(out, "\x1b[32m") {
		t.Errorf("--color always gives no colours: %q", out)
	}
}

func TestList_ListsByNamespaceAndLabels(t *testing.T) {
	t.Parallel()
	here, there := newNamespace(t), newNamespace(t)
	me := caller{kubeconfig: kubeconfig(t, here, "ada", administrators)}
	me.run(t, "list").want(t, 0, "there is no Rollout in namespace "+here)
	makeRollout(t, here, "checkout", resting("checkout"))
	makeRollout(t, here, "cart", resting("cart"))
	makeRollout(t, there, "search", resting("search"))
	got := me.run(t, "ls")
	got.want(t, 0, "checkout", "cart")
	if strings.Contains(got.out.String(), "search") {
		t.Errorf("it lists what is elsewhere:\n%s", got.out.String())
	}
	me.run(t, "list", "-A").want(t, 0, there+"   search", here)
	one := me.run(t, "list", "-l", "team=cart")
	one.want(t, 0, "cart")
	if strings.Contains(one.out.String(), "checkout") {
		t.Errorf("it lists what has other labels:\n%s", one.out.String())
	}
	me.run(t, "list", "-l", "team==(").want(t, 2, "--selector")
}

func TestPlugin_SaysWhatIsWrongWithTheCluster(t *testing.T) {
	t.Parallel()
	path := kubeconfig(t, newNamespace(t), "ada", administrators)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	editKubeconfig(t, content, nowhere, func(config *clientcmdapi.Config) {
		config.Clusters[config.Contexts[config.CurrentContext].Cluster].Server = "https://127.0.0.1:1"
	})
	caller{kubeconfig: nowhere}.run(t, "get").want(t, 1, "can't reach the API server")
	caller{kubeconfig: filepath.Join(t.TempDir(), "missing")}.run(t, "get").want(t, 1, "no such file")

	bare := apiservertest.Start(t, apiservertest.Options{})
	user, err := bare.AddUser("ada", administrators)
	if err != nil {
		t.Fatal(err)
	}
	without := filepath.Join(t.TempDir(), "without")
	if content, err = user.KubeConfig(); err != nil {
		t.Fatal(err)
	}
	editKubeconfig(t, content, without, func(*clientcmdapi.Config) {})
	for _, args := range [][]string{{"get"}, {"get", "checkout"}, {"list", "-A"}, {"status", "checkout"}} {
		caller{kubeconfig: without}.run(t, args...).want(t, 1, "Weighlock is not in this cluster")
	}
}

func TestPlugin_TellsWrongUsageFromErrors(t *testing.T) {
	t.Parallel()
	me := caller{kubeconfig: "/nowhere"}
	me.run(t, "gett").want(t, 2, `there is no command "gett"`, "did you mean get?")
	me.run(t, "get", "--wide").want(t, 2, "unknown flag: --wide", "see kubectl weighlock get --help")
	me.run(t, "version").want(t, 0, "kubectl-weighlock v1.2.3")
	me.run(t).want(t, 0, "See what is going on:", "kubectl weighlock COMMAND")
	me.run(t, "options").want(t, 0, "--as-group", "--color")
	help := me.run(t, "get", "--help")
	help.want(t, 0, "Examples:", "kubectl weighlock get -n shop --watch")
	if strings.Contains(help.out.String(), "--as-group") {
		t.Errorf("kubectl's flags hide the command's own:\n%s", help.out.String())
	}
}

func TestCompletion_CompletesFromTheCluster(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	r := makeRollout(t, namespace, "checkout", resting("checkout"))
	setStatus(t, r, tried)
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	me.run(t, "__complete", "get", "").want(t, 0, "checkout\tProgressing: waits for a verdict\n", ":4")
	me.run(t, "__complete", "status", "checkout", "--for=").want(t, 0, "promoted\t", "step=pilot\t5%", "step=2\t50%")
	me.run(t, "__complete", "status", "checkout", "--revision", "").want(t, 0, "newrev\tthe candidate")
	me.run(t, "__complete", "get", "-o", "").want(t, 0, "wide", "json")
	caller{kubeconfig: "/nowhere"}.run(t, "__complete", "get", "").want(t, 0, ":4")
}
