package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/weighlock/weighlock/local/fetch"
	"github.com/weighlock/weighlock/local/kube"
	"github.com/weighlock/weighlock/local/node"
	"github.com/weighlock/weighlock/local/node/process"
	"github.com/weighlock/weighlock/local/sandbox"
	"github.com/weighlock/weighlock/local/supervise"
)

// The tests share one control plane and one node, in a sandbox. The test
// binary is also the helper and the containers' program.
var (
	client kubernetes.Interface
	logs   string
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "become":
			fmt.Fprintln(os.Stderr, process.Become())
			os.Exit(1)
		case "program":
			os.Exit(program(os.Args[2:]))
		}
	}
	err := sandbox.Run(context.Background(), sandbox.Options{}, func(ctx context.Context, _ sandbox.Inside) error {
		state, err := os.MkdirTemp("", "node-test-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(state) }()
		return runTests(ctx, m, state)
	})
	var exit *sandbox.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(sandbox.ExitCode(err))
}

func runTests(ctx context.Context, m *testing.M, state string) error {
	programs, err := fetch.Cached(fetch.Options{})
	if err != nil {
		return err
	}
	supervisor, err := supervise.New(filepath.Join(state, "logs"))
	if err != nil {
		return err
	}
	defer supervisor.Stop()
	cluster, err := kube.Start(ctx, kube.Options{Program: programs.Kube, State: filepath.Join(state, "kube"), Supervisor: supervisor})
	if err != nil {
		return err
	}
	if client, err = kubernetes.NewForConfig(cluster.Config); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logs = filepath.Join(state, "logs", "pods")
	nodeCtx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		err := node.Run(nodeCtx, node.Options{
			Client:      client,
			Programs:    map[string]node.Program{"example.com:5000/test/program": {Path: self, Args: []string{"program"}}},
			Logs:        logs,
			State:       filepath.Join(state, "node"),
			ClusterDNS:  "10.96.0.10",
			ServeDNS:    true,
			RestartBase: 500 * time.Millisecond,
			Helper:      []string{"/proc/self/exe", "become"},
			Log:         slog.New(slog.NewTextHandler(os.Stderr, nil)),
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, "node:", err)
		}
	})
	code := m.Run()
	stop()
	running.Wait()
	if code != 0 {
		return errors.New("tests failed")
	}
	return nil
}

// program is what containers run.
func program(args []string) int {
	switch args[0] {
	case "exit":
		fmt.Println("last words")
		if args[1] == "0" {
			return 0
		}
		return 3
	case "say":
		fmt.Println(strings.Join(args[1:], " "))
		return 0
	case "serve":
		return serve()
	}
	return 2
}

// serve answers /read?path with a file, /call?url with what the API server
// says to the pod's token, /flip to turn the answers of /healthz around, and
// writes down that it was asked to stop.
func serve() int {
	stopping := make(chan os.Signal, 1)
	signal.Notify(stopping, syscall.SIGTERM)
	var mu sync.Mutex
	unhealthy := false
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if unhealthy {
			http.Error(w, "not now", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/flip", func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		unhealthy = !unhealthy
	})
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		content, err := os.ReadFile(r.URL.Query().Get("path"))
		fmt.Fprint(w, string(content), err)
	})
	mux.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Join(os.Environ(), "\n"))
	})
	go func() { _ = http.ListenAndServe(os.Getenv("POD_IP")+":8080", mux) }()
	<-stopping
	fmt.Println("asked to stop")
	time.Sleep(300 * time.Millisecond)
	fmt.Println("stopped")
	return 0
}

// ask gets a path of a pod's server.
func ask(t *testing.T, pod *corev1.Pod, path string) string {
	t.Helper()
	reply, err := (&http.Client{Timeout: 5 * time.Second}).Get("http://" + pod.Status.PodIP + ":8080" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reply.Body.Close() }()
	var body bytes.Buffer
	if _, err := io.Copy(&body, io.LimitReader(reply.Body, 1<<20)); err != nil {
		t.Fatal(err)
	}
	return body.String()
}

// podOf is a pod with one container that runs the test's program.
func podOf(name string, args ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "example.com:5000/test/program:v1", Args: args,
			Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
		}}},
	}
}

func create(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	pod, err := client.CoreV1().Pods(pod.Namespace).Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		now := int64(0)
		_ = client.CoreV1().Pods(pod.Namespace).Delete(context.Background(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	})
	return pod
}

// await waits until a pod is as wanted and returns it.
func await(t *testing.T, pod *corev1.Pod, what string, wanted func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	started := time.Now()
	for {
		got, err := client.CoreV1().Pods(pod.Namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatalf("wait until %s is %s: %v", pod.Name, what, err)
		}
		if wanted(got) {
			t.Logf("%s is %s after %v", pod.Name, what, time.Since(started).Round(time.Millisecond))
			return got
		}
		if time.Since(started) > 60*time.Second {
			t.Fatalf("%s is not %s: %+v", pod.Name, what, got.Status)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func logOf(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(logs, pod.Namespace+"_"+pod.Name+"_main.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
