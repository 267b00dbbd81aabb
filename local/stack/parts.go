package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/envoy"
	"github.com/weighlock/weighlock/local/mesh"
	"github.com/weighlock/weighlock/local/supervise"
)

// services give what is not a pod a name in the cluster's DNS. They have no
// selector, so that no mesh takes their addresses.
const services = `
apiVersion: v1
kind: Namespace
metadata: {name: ` + address.PrometheusNamespace + `}
---
apiVersion: v1
kind: Namespace
metadata: {name: ` + address.GitNamespace + `}
---
apiVersion: v1
kind: Namespace
metadata: {name: ` + address.SlackNamespace + `}
---
apiVersion: v1
kind: Service
metadata: {name: ` + address.PrometheusService + `, namespace: ` + address.PrometheusNamespace + `}
spec:
  clusterIP: ` + address.PrometheusIP + `
  ports: [{name: web, port: ` + address.PrometheusPort + `}]
---
apiVersion: v1
kind: Service
metadata: {name: ` + address.GitService + `, namespace: ` + address.GitNamespace + `}
spec:
  clusterIP: ` + address.GitIP + `
  ports: [{name: web, port: ` + address.GitPort + `}]
---
apiVersion: v1
kind: Service
metadata: {name: ` + address.SlackService + `, namespace: ` + address.SlackNamespace + `}
spec:
  clusterIP: ` + address.SlackIP + `
  ports: [{name: web, port: ` + address.SlackPort + `}]
`

// node runs the pods' programs and answers DNS.
func (s *Stack) node() supervise.Part {
	arguments := []string{
		"node",
		"--kubeconfig=" + s.Kubeconfig,
		"--logs=" + filepath.Join(s.Logs, "pods"),
		"--state=" + filepath.Join(s.State, "node"),
		"--cluster-dns=" + address.DNSIP,
		"--program=" + address.ShopImage + "=" + s.Programs.Local + ",app",
		"--program=" + address.LoadImage + "=" + s.Programs.Local + ",load",
	}
	if s.Programs.Weighlock != "" {
		arguments = append(arguments, "--program="+address.WeighlockImage+"="+s.Programs.Weighlock)
	}
	if s.handover.RestartBase > 0 {
		arguments = append(arguments, "--restart-base="+s.handover.RestartBase.String())
	}
	return supervise.Part{
		Name: PartNode,
		Path: s.Programs.Local,
		Args: arguments,
		Ready: func(ctx context.Context) error {
			var resolver net.Resolver
			_, err := resolver.LookupHost(ctx, "kubernetes.default.svc."+address.ClusterDomain)
			return err
		},
		StopTimeout: 5 * time.Second,
	}
}

func (s *Stack) git() supervise.Part {
	return supervise.Part{
		Name: PartGit,
		Path: s.Programs.Local,
		Args: []string{"git", "--folder=" + filepath.Join(s.State, "git"), "--repository=" + address.ShopRepository},
		Ready: func(ctx context.Context) error {
			return answers(ctx, "http://"+address.Git+"/"+address.ShopRepository+"/info/refs?service=git-upload-pack")
		},
		StopTimeout: 3 * time.Second,
	}
}

func (s *Stack) mesh() supervise.Part {
	return supervise.Part{
		Name: PartMesh,
		Path: s.Programs.Local,
		Args: []string{"mesh", "--kubeconfig=" + s.Kubeconfig, "--verbosity=1"},
		// It is ready when Envoy is, which needs it first.
		Ready: func(ctx context.Context) error {
			var dialer net.Dialer
			connection, err := dialer.DialContext(ctx, "tcp", address.MeshXDS)
			if err != nil {
				return err
			}
			return connection.Close()
		},
		StopTimeout: 3 * time.Second,
	}
}

func (s *Stack) envoy() (supervise.Part, error) {
	arguments, err := envoy.Args(envoy.Config{})
	if err != nil {
		return supervise.Part{}, fmt.Errorf("configure Envoy: %w", err)
	}
	return supervise.Part{
		Name: PartEnvoy,
		Path: s.Programs.Envoy,
		Args: arguments,
		// Not its own /ready, for which the mesh must have something to serve.
		Ready:       connected,
		StopTimeout: 3 * time.Second,
	}, nil
}

// connected asks whether the mesh knows the cluster's Services, and an Envoy.
func connected(ctx context.Context) error {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	report, err := mesh.ReadStatus(ctx, client, address.MeshStatus)
	if err != nil {
		return err
	}
	if len(report.Sent) == 0 || report.Proxies == 0 {
		return errors.New("it has not connected to the mesh")
	}
	return nil
}

// answers asks whether a URL is answered with 200.
func answers(ctx context.Context, url string) error {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}
