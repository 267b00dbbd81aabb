package cli_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

func TestCompletion_CompletesFlagsWithWhatThereIs(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	eventful(t, namespace)
	me := caller{kubeconfig: kubeconfig(t, namespace, "ada", administrators)}
	for _, verb := range []string{"promote", "approve", "abort", "pause", "resume", "retry", "status"} {
		me.run(t, "__complete", verb, "checkout", "--revision", "").says(t, 0, "7c4bh2aaaa\tthe candidate\n:4\n", "Completion ended with directive: ShellCompDirectiveNoFileComp\n")
	}
	for _, flag := range []string{"--from", "--to"} {
		me.run(t, "__complete", "diff", "checkout", flag, "").want(t, 0, "5d9f2cbbbb\tcommit 5d5d5d5d by Ada\n", "7c4bh2aaaa\tcommit 7c7c7c7c by Ben\n", ":4\n")
	}
	me.run(t, "__complete", "get", "-n", "").want(t, 0, namespace+"\n", "kube-system\n", ":4\n")
	me.run(t, "__complete", "help", "app").want(t, 0, "approve\t")
	// What nobody can know is not completed with files, and files are.
	for _, args := range [][]string{{"abort", "--reason"}, {"approve", "--commit"}, {"status", "--timeout"}, {"plan", "--rps"}, {"get", "--as"}} {
		me.run(t, append([]string{"__complete"}, append(args, "")...)...).says(t, 0, ":4\n", "Completion ended with directive: ShellCompDirectiveNoFileComp\n")
	}
	me.run(t, "__complete", "plan", "--filename", "").want(t, 0, ":0\n")
}

func TestCompletion_KeepsNobodyWaitingForAServerThatIsAway(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	content, err := os.ReadFile(kubeconfig(t, "default", "ada", administrators))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	editKubeconfig(t, content, path, func(config *clientcmdapi.Config) {
		config.Clusters[config.Contexts[config.CurrentContext].Cluster].Server = "http://" + silent.Addr().String()
	})
	var calls []*called
	for _, args := range [][]string{{"approve", "checkout", "--step"}, {"approve", "checkout", "--revision"}, {"diff", "checkout", "--from"}, {"get", "-n"}} {
		calls = append(calls, caller{kubeconfig: path}.start(t, append([]string{"__complete"}, append(args, "")...)...))
	}
	for _, call := range calls {
		call.wait(t)
		if got := call.out.String(); !strings.HasPrefix(got, ":") {
			t.Errorf("it completes with %s", got)
		}
	}
}

func TestHelp_TellsOfACommandByItsName(t *testing.T) {
	t.Parallel()
	nobody := caller{kubeconfig: "/nowhere"}
	for _, args := range [][]string{{"help"}, {"help", "get"}, {"help", "logs"}} {
		got, want := nobody.run(t, args...), nobody.run(t, append(args[1:], "--help")...)
		got.says(t, 0, want.out.String(), "")
	}
	nobody.run(t, "help", "gett").want(t, 2, `there is no command "gett"`, "did you mean get?")
}

func TestGet_SuggestsCommandsForTheSameClusterAndPerson(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	setStatus(t, makeRollout(t, namespace, "checkout", resting("checkout")), failed)
	path := kubeconfig(t, namespace, "ada", administrators)
	caller{kubeconfig: path}.run(t, "get", "-n", namespace, "--as", "it's me", "--as-group", administrators).
		want(t, 0, "  kubectl weighlock retry checkout --kubeconfig "+path+` --as 'it'\''s me' --as-group `+administrators+" -n "+namespace+" ")
}
