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
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/internal/apiservertest"
	"github.com/weighlock/weighlock/workload/deployment"
)

// The real API server and controller manager that all tests of this package share, with the admission
// policy that holds workloads, and caches as a controller has them. Pods are made ready by a stand-in for
// the kubelet.
var (
	apiServer *apiservertest.Server
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

func TestMain(m *testing.M) {
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	apiservertest.Main(m, apiservertest.Options{CRDs: true}, prepare)
}

func prepare(started *apiservertest.Server) (err error) {
	ctx, cancel := context.WithCancel(context.Background())
	started.Cleanup(cancel)
	apiServer, config = started, started.Config
	if server, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	stop, err := startControllerManager(started.KubeConfig)
	if err != nil {
		return fmt.Errorf("start the controller manager: %w", err)
	}
	started.Cleanup(stop)
	if err := started.InstallHold(ctx); err != nil {
		return err
	}
	if informers, err = cache.New(config, cache.Options{Scheme: scheme, ByObject: deployment.ByObject()}); err != nil {
		return fmt.Errorf("make the caches: %w", err)
	}
	go func() { _ = informers.Start(ctx) }()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}}
	if err := server.Create(ctx, node); err != nil {
		return fmt.Errorf("create the node: %w", err)
	}
	go runKubelet(ctx)
	return nil
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
	}, nil
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
	deadline := time.Now().Add(time.Minute)
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
