package cli_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/cli"
	"github.com/weighlock/weighlock/internal/apiservertest"
)

// The API server that all tests of the package ask, and its administrator.
var (
	server *apiservertest.Server
	admin  client.Client
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	apiservertest.Main(m, apiservertest.Options{CRDs: true}, func(started *apiservertest.Server) (err error) {
		types := runtime.NewScheme()
		if err := errors.Join(scheme.AddToScheme(types), v1alpha1.AddToScheme(types)); err != nil {
			return err
		}
		server = started
		admin, err = client.New(started.Config, client.Options{Scheme: types})
		return err
	})
}

// administrators may do all there is.
const administrators = "system:masters"

// kubeconfig is that of a user in groups, with a namespace as its default.
func kubeconfig(t *testing.T, namespace, user string, groups ...string) string {
	t.Helper()
	added, err := server.AddUser(user, groups...)
	if err != nil {
		t.Fatal(err)
	}
	content, err := added.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	editKubeconfig(t, content, path, func(config *clientcmdapi.Config) {
		config.Contexts[config.CurrentContext].Namespace = namespace
	})
	return path
}

// editKubeconfig writes a kubeconfig with changes.
func editKubeconfig(t *testing.T, content []byte, path string, edit func(*clientcmdapi.Config)) {
	t.Helper()
	config, err := clientcmd.Load(content)
	if err != nil {
		t.Fatal(err)
	}
	edit(config)
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
}

// newNamespace makes a namespace that no other test uses.
func newNamespace(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "cli-"}}
	if err := admin.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

// called is a call of the plugin, which may be under way still.
type called struct {
	out, errOut buffer
	done        chan struct{}
	code        int
	stop        context.CancelFunc
}

// buffer can be read while it is written to.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// caller calls the plugin with a kubeconfig. The zero of clock is the real one.
type caller struct {
	kubeconfig string
	clock      clock.WithTicker
}

// start calls the plugin, and goes on.
func (c caller) start(t *testing.T, args ...string) *called {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	call := &called{done: make(chan struct{}), stop: stop}
	options := cli.Options{
		Streams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: &call.out, ErrOut: &call.errOut},
		Version: "v1.2.3", Clock: c.clock, Getenv: func(string) string { return "" },
	}
	go func() {
		defer close(call.done)
		call.code = cli.Run(ctx, options, c.arguments(args))
	}()
	t.Cleanup(func() {
		stop()
		<-call.done
	})
	return call
}

// arguments are args with the kubeconfig, which stands before the command: the last word of a completion is the one to complete.
func (c caller) arguments(args []string) []string {
	if len(args) > 0 && args[0] == cobra.ShellCompRequestCmd {
		return slices.Concat(args[:1], []string{"--kubeconfig", c.kubeconfig}, args[1:])
	}
	return append([]string{"--kubeconfig", c.kubeconfig}, args...)
}

// run calls the plugin, and waits for its end.
func (c caller) run(t *testing.T, args ...string) *called {
	t.Helper()
	call := c.start(t, args...)
	call.wait(t)
	return call
}

// patience is how long a test waits for what must happen.
const patience = time.Minute

// wait waits for the end of the call.
func (c *called) wait(t *testing.T) {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		t.Fatalf("it doesn't end; it said:\n%s\n%s", c.out.String(), c.errOut.String())
	}
}

// expect waits until the call says something, on either stream.
func (c *called) expect(t *testing.T, words string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if strings.Contains(c.out.String()+c.errOut.String(), words) {
			return
		}
	}
	t.Fatalf("it doesn't say %q, but:\n%s\n%s", words, c.out.String(), c.errOut.String())
}
