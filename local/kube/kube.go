// Package kube is the Kubernetes control plane of the local stack: etcd, the
// API server and the controller manager, with RBAC, service accounts and the
// default admission as any cluster has them.
package kube

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/supervise"
)

// The parts, as the supervisor knows them.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
)

// controllers are those that the stack has a use for; fewer start faster.
var controllers = []string{
	"deployment-controller",
	"replicaset-controller",
	"statefulset-controller",
	"daemonset-controller",
	"job-controller",
	"endpointslice-controller",
	"garbage-collector-controller",
	"namespace-controller",
	"serviceaccount-controller",
	"serviceaccount-token-controller",
	"root-ca-certificate-publisher-controller",
	"clusterrole-aggregation-controller",
	"disruption-controller",
	"horizontal-pod-autoscaler-controller",
	"resourcequota-controller",
	"validatingadmissionpolicy-status-controller",
}

// Options say what to start and where.
type Options struct {
	// Program is the multi-call binary.
	Program string
	// State is the folder for data, keys and kubeconfigs.
	State string
	// Outside is the address by which the user reaches the API server from
	// outside the sandbox; empty if it can't be reached.
	Outside string
	// Users may log in besides the administrator, each with a kubeconfig of
	// their own. They may do nothing until they are given roles.
	Users []string
	// Supervisor runs the parts.
	Supervisor *supervise.Supervisor
	// Started is called when a part is ready; it may be nil.
	Started func(part string)
}

// Cluster is a control plane that serves.
type Cluster struct {
	// Kubeconfig is an administrator's, for use inside the sandbox.
	Kubeconfig string
	// UserKubeconfig is an administrator's, for use outside; empty if the
	// API server can't be reached from there.
	UserKubeconfig string
	// Of are kubeconfigs of the other users, for use inside, UserOf those for
	// use outside.
	Of, UserOf map[string]string
	// Config is that of Kubeconfig, without limits on the client's rate.
	Config *rest.Config
}

// Start starts the control plane and waits until it serves and has made the
// default service account.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	c, err := prepare(options)
	if err != nil {
		return nil, err
	}
	for _, part := range []supervise.Part{c.etcd(), c.apiServer(), c.controllerManager()} {
		if err := options.Supervisor.Start(ctx, part); err != nil {
			return nil, err
		}
		if options.Started != nil {
			options.Started(part.Name)
		}
	}
	return &c.Cluster, nil
}

// cluster is a control plane that is being started.
type cluster struct {
	Cluster
	Options
	keys   keys
	tokens string
	client kubernetes.Interface
}

func prepare(options Options) (*cluster, error) {
	c := &cluster{Options: options}
	if err := os.MkdirAll(options.State, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for Kubernetes' state: %w", err)
	}
	var err error
	if c.keys, err = writeKeys(filepath.Join(options.State, "pki")); err != nil {
		return nil, err
	}
	if err := c.admit(); err != nil {
		return nil, err
	}
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	c.Config.QPS = -1
	if c.client, err = kubernetes.NewForConfig(c.Config); err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return c, nil
}

func (c *cluster) etcd() supervise.Part {
	return supervise.Part{
		Name: Etcd,
		Path: c.Program,
		Args: []string{
			"etcd",
			"--data-dir=" + filepath.Join(c.State, "etcd"),
			"--listen-client-urls=http://" + address.Etcd,
			"--advertise-client-urls=http://" + address.Etcd,
			"--listen-peer-urls=http://" + address.EtcdPeer,
			"--initial-advertise-peer-urls=http://" + address.EtcdPeer,
			"--initial-cluster=default=http://" + address.EtcdPeer,
			// Nothing here outlives the machine.
			"--unsafe-no-fsync",
			"--log-level=warn",
		},
		Ready: func(ctx context.Context) error {
			client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address.Etcd+"/readyz", nil)
			if err != nil {
				return err
			}
			response, err := client.Do(request)
			if err != nil {
				return err
			}
			defer func() { _ = response.Body.Close() }()
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("etcd answers %s", response.Status)
			}
			return nil
		},
		StopTimeout: 3 * time.Second,
	}
}

func (c *cluster) apiServer() supervise.Part {
	return supervise.Part{
		Name: APIServer,
		Path: c.Program,
		Args: []string{
			"kube-apiserver",
			"--etcd-servers=http://" + address.Etcd,
			"--bind-address=" + address.APIServerIP,
			"--secure-port=" + address.APIServerPort,
			"--advertise-address=" + address.APIServerIP,
			// The server listens on the kubernetes Service's own address.
			"--endpoint-reconciler-type=none",
			"--cert-dir=" + filepath.Join(c.State, "pki"),
			"--tls-cert-file=" + c.keys.serverCert,
			"--tls-private-key-file=" + c.keys.serverKey,
			"--client-ca-file=" + c.keys.ca,
			"--service-account-key-file=" + c.keys.serviceAccount,
			"--service-account-signing-key-file=" + c.keys.serviceAccount,
			"--service-account-issuer=https://kubernetes.default.svc." + address.ClusterDomain,
			"--token-auth-file=" + c.tokens,
			"--authorization-mode=RBAC",
			"--allow-privileged=true",
			"--service-cluster-ip-range=" + address.Services,
			"--profiling=false",
			"--shutdown-delay-duration=0",
		},
		Ready: func(ctx context.Context) error {
			_, err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").Timeout(2 * time.Second).DoRaw(ctx)
			return err
		},
		StopTimeout: 3 * time.Second,
	}
}

func (c *cluster) controllerManager() supervise.Part {
	return supervise.Part{
		Name: ControllerManager,
		Path: c.Program,
		Args: []string{
			"kube-controller-manager",
			"--kubeconfig=" + c.Kubeconfig,
			"--service-account-private-key-file=" + c.keys.serviceAccount,
			"--root-ca-file=" + c.keys.ca,
			"--controllers=" + strings.Join(controllers, ","),
			"--use-service-account-credentials=false",
			"--leader-elect=false",
			"--secure-port=0",
			"--kube-api-qps=500",
			"--kube-api-burst=500",
			// No metrics API: the autoscaler must not act on its absence soon.
			"--horizontal-pod-autoscaler-sync-period=15s",
		},
		// It serves nothing that could be asked; but pods need a service
		// account, which it makes as soon as it works.
		Ready: func(ctx context.Context) error {
			_, err := c.client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
			return err
		},
		StopTimeout: 2 * time.Second,
	}
}
