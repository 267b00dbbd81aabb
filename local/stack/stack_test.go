package stack_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/git"
	"github.com/weighlock/weighlock/local/prometheus"
	"github.com/weighlock/weighlock/local/sandbox"
	"github.com/weighlock/weighlock/local/stack"
)

// running is the stack that the tests run in.
var running *stack.Stack

func TestMain(m *testing.M) {
	options := stack.Options{OtherProgram: true, WithoutWeighlock: true}
	err := stack.Run(context.Background(), options, func(_ context.Context, s *stack.Stack) error {
		running = s
		if m.Run() != 0 {
			return errors.New("tests failed")
		}
		return nil
	})
	var exit *sandbox.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(sandbox.ExitCode(err))
}

const shop = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata:
      labels: {app: shop}
      annotations: {prometheus.io/scrape: "true", prometheus.io/port: "8080"}
    spec:
      containers:
      - name: shop
        image: ghcr.io/weighlock/demo-shop:1
        args: [--version=one]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: shop}
spec:
  selector: {app: shop}
  ports: [{name: http, port: 80, targetPort: http}]
`

// eventually tries until it works or a time has passed.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	started := time.Now()
	for {
		err := try()
		if err == nil {
			t.Logf("%s after %v", what, time.Since(started).Round(time.Millisecond))
			return
		}
		if time.Since(started) > time.Minute {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func get(ctx context.Context, address string) (http.Header, []byte, error) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", address, response.Status, body)
	}
	return response.Header, body, err
}

// series counts the series that a query finds.
func series(ctx context.Context, query string) (int, error) {
	_, body, err := get(ctx, address.PrometheusURL+"/api/v1/query?query="+url.QueryEscape(query))
	if err != nil {
		return 0, err
	}
	var answer struct{ Data struct{ Result []any } }
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, err
	}
	return len(answer.Data.Result), nil
}

func TestRun_ServesAShopThroughTheMeshAndMeasuresIt(t *testing.T) {
	if err := running.Apply(t.Context(), []byte(shop)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a reply through the mesh", func() error {
		header, _, err := get(t.Context(), "http://"+address.Shop+"/")
		if err == nil && header.Get("X-Version") != "one" {
			return fmt.Errorf("it came from version %q", header.Get("X-Version"))
		}
		return err
	})
	for name, query := range map[string]string{
		"Envoy's count of replies": `envoy_cluster_external_upstream_rq{envoy_cluster_name=~"shop/shop/.*",envoy_response_code="200"} > 0`,
		"the pods' own metrics":    `up{job="pods",namespace="shop",app="shop"} == 1`,
	} {
		eventually(t, name, func() error {
			found, err := series(t.Context(), query)
			if err == nil && found == 0 {
				err = errors.New("nothing found")
			}
			return err
		})
	}
}

func TestRun_ServesGitByName(t *testing.T) {
	checkout, err := git.Clone(t.Context(), running.GitURL(address.ShopRepository), filepath.Join(t.TempDir(), "shop"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checkout.Commit(t.Context(), git.Commit{Files: map[string]string{"shop.yaml": shop}, Message: "Sell things"}); err != nil {
		t.Fatal(err)
	}
}

func TestRun_LetsPartsBeKilledAndRestarted(t *testing.T) {
	if err := running.Supervisor.Kill(prometheus.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := series(t.Context(), "up"); err == nil {
		t.Error("Prometheus answers after it was killed")
	}
	if err := running.Supervisor.Restart(t.Context(), prometheus.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := series(t.Context(), "up"); err != nil {
		t.Error(err)
	}
}
