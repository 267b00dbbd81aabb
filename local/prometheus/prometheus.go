// Package prometheus is the local stack's Prometheus: the real server, which
// scrapes Envoy and every pod with the annotation prometheus.io/scrape.
package prometheus

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/supervise"
)

// Name is the part's.
const Name = "prometheus"

// Options say where it keeps its data and what it watches.
type Options struct {
	// Program is the server.
	Program string
	// State is a folder for its configuration and data.
	State string
	// Kubeconfig finds the pods.
	Kubeconfig string
	// Listen is the address to serve, and Envoy the one to scrape; the
	// defaults are those of the address plan.
	Listen, Envoy string
	// Interval is how often Envoy is scraped, DefaultInterval unless it is set:
	// what a verdict goes by is as old as that.
	Interval time.Duration
}

// DefaultInterval is how often Envoy is scraped.
const DefaultInterval = 2 * time.Second

// configurationFile is the name of the file in Options.State that the server
// reads when it starts, and at SIGHUP.
const configurationFile = "prometheus.yaml"

// Envoy is scraped every few seconds, so that a step that is as short as a
// demo's holds enough samples; nothing is decided by those of pods and of
// Weighlock itself.
var configuration = template.Must(template.New(configurationFile).Parse(`global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 5s
scrape_configs:
- job_name: envoy
  scrape_interval: {{ .Interval.Milliseconds }}ms
  metrics_path: /stats/prometheus
  static_configs:
  - targets: [{{ .Envoy }}]
{{- range .Jobs }}
- job_name: {{ .Name }}
  scrape_interval: {{ .Interval }}
  kubernetes_sd_configs:
  - role: pod
    kubeconfig_file: {{ $.Kubeconfig }}
  relabel_configs:
  - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape]
    regex: "true"
    action: keep
  - source_labels: [__meta_kubernetes_namespace]
    regex: weighlock-system
    action: {{ .Action }}
  # Of the targets that a pod has, one for each of its ports, one is left.
  - source_labels: [__meta_kubernetes_pod_ip, __meta_kubernetes_pod_annotation_prometheus_io_port]
    separator: ":"
    target_label: __address__
  - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path]
    regex: (.+)
    target_label: __metrics_path__
  - source_labels: [__meta_kubernetes_pod_phase]
    regex: Pending|Succeeded|Failed
    action: drop
  - source_labels: [__meta_kubernetes_namespace]
    target_label: namespace
  - source_labels: [__meta_kubernetes_pod_name]
    target_label: pod
  - action: labelmap
    regex: __meta_kubernetes_pod_label_(app|app_kubernetes_io_name|pod_template_hash)
{{- end }}
`))

// job is one way to scrape pods.
type job struct{ Name, Interval, Action string }

// Configure writes the configuration, which a server that runs takes at SIGHUP.
func Configure(options Options) error {
	if options.Envoy == "" {
		options.Envoy = address.EnvoyAdmin
	}
	if options.Interval == 0 {
		options.Interval = DefaultInterval
	}
	if err := os.MkdirAll(options.State, 0o700); err != nil {
		return fmt.Errorf("make the folder for Prometheus: %w", err)
	}
	var text bytes.Buffer
	if err := configuration.Execute(&text, struct {
		Options
		Jobs []job
	}{options, []job{{"pods", "1s", "drop"}, {"weighlock", "5s", "keep"}}}); err != nil {
		return fmt.Errorf("write Prometheus' configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(options.State, configurationFile), text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write Prometheus' configuration: %w", err)
	}
	return nil
}

// Part writes the configuration and returns the part to start.
func Part(options Options) (supervise.Part, error) {
	if options.Listen == "" {
		options.Listen = address.Prometheus
	}
	if err := Configure(options); err != nil {
		return supervise.Part{}, err
	}
	return supervise.Part{
		Name: Name,
		Path: options.Program,
		Args: []string{
			"--config.file=" + filepath.Join(options.State, configurationFile),
			"--storage.tsdb.path=" + filepath.Join(options.State, "data"),
			"--storage.tsdb.retention.time=1d",
			"--web.listen-address=" + options.Listen,
			"--log.level=warn",
			// Pods come and go within seconds here.
			"--scrape.discovery-reload-interval=500ms",
		},
		Ready:       func(ctx context.Context) error { return ready(ctx, options.Listen) },
		StopTimeout: 3 * time.Second,
	}, nil
}

// ready asks the server whether it is.
func ready(ctx context.Context, listen string) error {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listen+"/-/ready", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", response.Status)
	}
	return nil
}
