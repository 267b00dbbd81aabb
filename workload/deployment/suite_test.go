package deployment_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload/deployment"
)

// The real API server and controller manager that all tests of this package share, with the admission
// policy that holds workloads, and caches as a controller has them. Pods are made ready by a stand-in for
// the kubelet.
var (
	config    *rest.Config
	server    client.Client
	informers cache.Cache
	// kubeconfig is the path of a kubeconfig of an administrator.
	kubeconfig string
	scheme     = runtime.NewScheme()
)

const (
	nodeName = "node"
	// brokenImage is one whose pods never get ready.
	brokenImage = "broken"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	env := &envtest.Environment{
		Scheme:                scheme,
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "crds")},
		ErrorIfCRDPathMissing: true,
	}
	var err error
	if config, err = env.Start(); err != nil {
		return failed("start the API server (is KUBEBUILDER_ASSETS set?)", err)
	}
	defer func() {
		if err := env.Stop(); err != nil {
			failed("stop the API server", err)
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if server, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return failed("make a client", err)
	}
	stop, err := startControllerManager(env.KubeConfig)
	if err != nil {
		return failed("start the controller manager", err)
	}
	defer stop()
	if err := installPolicy(ctx); err != nil {
		return failed("install the admission policy", err)
	}
	if informers, err = cache.New(config, cache.Options{Scheme: scheme, ByObject: deployment.ByObject()}); err != nil {
		return failed("make the caches", err)
	}
	go func() { _ = informers.Start(ctx) }()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}}
	if err := server.Create(ctx, node); err != nil {
		return failed("create the node", err)
	}
	go runKubelet(ctx)
	return m.Run()
}

func failed(what string, err error) int {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	return 1
}

// startControllerManager runs the controllers that make ReplicaSets, pods and EndpointSlices.
func startControllerManager(content []byte) (stop func(), err error) {
	dir, err := os.MkdirTemp("", "kcm")
	if err != nil {
		return nil, err
	}
	kubeconfig = filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(kubeconfig, content, 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kube-controller-manager"),
		"--kubeconfig", kubeconfig, "--leader-elect=false", "--secure-port=0", "--use-service-account-credentials=false",
		"--controllers=deployment-controller,replicaset-controller,endpointslice-controller,garbage-collector-controller")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		_ = os.RemoveAll(dir)
	}, nil
}

// installPolicy installs the admission policy, and waits until the API server acts by it.
func installPolicy(ctx context.Context) error {
	file, err := os.Open(filepath.Join("..", "..", "kustomize", "base", "admission.yaml"))
	if err != nil {
		return err
	}
	defer file.Close()
	decoder := yaml.NewYAMLOrJSONDecoder(file, 4096)
	for {
		u := &unstructured.Unstructured{}
		if decoder.Decode(u) != nil {
			break
		}
		if err := server.Create(ctx, u); client.IgnoreAlreadyExists(err) != nil {
			return err
		}
	}
	return awaitPolicy(ctx)
}

// awaitPolicy tries the policy on a Deployment of its own until that is paused.
func awaitPolicy(ctx context.Context) error {
	probe := newDeployment("default", "probe-"+fmt.Sprint(time.Now().UnixNano()), "v1")
	probe.Labels = map[string]string{v1alpha1.LabelHeld: "probe"}
	probe.Spec.Replicas = new(int32)
	if err := server.Create(ctx, probe); err != nil {
		return err
	}
	defer func() { _ = server.Delete(ctx, probe) }()
	for range 200 {
		tried := probe.DeepCopy()
		patch := client.MergeFrom(probe.DeepCopy())
		tried.Spec.Template.Annotations = map[string]string{"try": "it"}
		if err := server.Patch(ctx, tried, patch, client.DryRunAll); err != nil {
			return err
		}
		if tried.Spec.Paused {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("the policy has no effect")
}

// runKubelet binds every pod to the node, makes it ready unless its image is broken, and lets it go when
// it is deleted.
func runKubelet(ctx context.Context) {
	next := 0
	for ctx.Err() == nil {
		pods := &corev1.PodList{}
		if err := server.List(ctx, pods); err == nil {
			for i := range pods.Items {
				next++
				_ = runPod(ctx, &pods.Items[i], fmt.Sprintf("10.244.%d.%d", next/200, next%200+1))
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func runPod(ctx context.Context, pod *corev1.Pod, address string) error {
	switch {
	case pod.DeletionTimestamp != nil:
		return server.Delete(ctx, pod, client.GracePeriodSeconds(0))
	case pod.Spec.NodeName == "":
		binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: nodeName}}
		return server.SubResource("binding").Create(ctx, pod, binding)
	case pod.Status.PodIP == "":
		pod.Status.Phase = corev1.PodRunning
		pod.Status.PodIP = address
		pod.Status.PodIPs = []corev1.PodIP{{IP: address}}
		ready := corev1.ConditionTrue
		if pod.Spec.Containers[0].Image == brokenImage {
			ready = corev1.ConditionFalse
		}
		pod.Status.Conditions = []corev1.PodCondition{
			{Type: corev1.PodReady, Status: ready, LastTransitionTime: metav1.Now()},
		}
		return server.Status().Update(ctx, pod)
	}
	return nil
}

func newNamespace(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := server.Create(t.Context(), namespace); err != nil {
		t.Fatalf("create a namespace: %v", err)
	}
	return namespace.Name
}

// eventually tries check until it succeeds, for 30 seconds.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// gone is no error where an object is not there.
func gone(obj client.Object) error {
	err := server.Get(context.Background(), client.ObjectKeyFromObject(obj), obj)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		return fmt.Errorf("%T %s is there", obj, obj.GetName())
	}
	return err
}
