package v1alpha1_test

import (
	"os"
	"strings"
	"testing"
)

const validTemplate = `
apiVersion: weighlock.dev/v1alpha1
kind: AnalysisTemplate
metadata: {name: queue}
spec:
  metrics: [{name: lag, threshold: {query: "max(lag)", max: "5"}}]
`

// analysisRules are those of spec.analysis of a Rollout.
var analysisRules = []rule{
	{
		words:  "errors.slo must be a percentage below 100, written like \"99.5\"",
		accept: []string{`{analysis: {errors: {slo: "99.5"}}}`, `{analysis: {errors: {slo: "99.999999"}}}`, `{analysis: {errors: {slo: "0"}}}`},
		reject: []string{`{analysis: {errors: {slo: "100"}}}`, `{analysis: {errors: {slo: "99,5"}}}`, `{analysis: {errors: {slo: "99.5%"}}}`, `{analysis: {errors: {slo: "-1"}}}`},
	},
	{
		words:  "errors.margin must be an odds ratio of at least 1, written like \"1.25\"",
		accept: []string{`{analysis: {errors: {margin: "1"}}}`, `{analysis: {errors: {margin: "2.5"}}}`},
		reject: []string{`{analysis: {errors: {margin: "0.5"}}}`, `{analysis: {errors: {margin: "25%"}}}`},
	},
	{
		words:  "errors.ignoreBelow must be a percentage below 100, written like \"0.1\"",
		accept: []string{`{analysis: {errors: {ignoreBelow: "0"}}}`, `{analysis: {errors: {ignoreBelow: "0.05"}}}`},
		reject: []string{`{analysis: {errors: {ignoreBelow: "0.1%"}}}`, `{analysis: {errors: {ignoreBelow: "100"}}}`, `{analysis: {errors: {ignoreBelow: "-1"}}}`},
	},
	{
		words:  "latency.margin must be an odds ratio of at least 1, written like \"1.25\"",
		accept: []string{`{analysis: {latency: {margin: "1.5"}}}`},
		reject: []string{`{analysis: {latency: {margin: "0"}}}`},
	},
	{
		words:  "latency.quantile needs a threshold: add latency.threshold, such as 500ms",
		accept: []string{`{analysis: {latency: {quantile: p99, threshold: 500ms}}}`, `{analysis: {latency: {threshold: 500ms}}}`},
		reject: []string{`{analysis: {latency: {quantile: p99}}}`},
	},
	{
		words:  "latency.threshold must be above zero, written like 500ms or 1s",
		accept: []string{`{analysis: {latency: {threshold: 1ms}}}`},
		reject: []string{`{analysis: {latency: {threshold: 0s}}}`, `{analysis: {latency: {threshold: "500"}}}`},
	},
	{
		words:  "latency.warmUp must be written like 60s or 2m",
		accept: []string{`{analysis: {latency: {warmUp: 0s}}}`, `{analysis: {latency: {warmUp: 2m}}}`},
		reject: []string{`{analysis: {latency: {warmUp: "60"}}}`, `{analysis: {latency: {warmUp: -1s}}}`},
	},
	{
		words:  "analysis.interval must be at least 1s, written like 5s or 1m",
		accept: []string{`{analysis: {interval: 1s}}`},
		reject: []string{`{analysis: {interval: 999ms}}`, `{analysis: {interval: often}}`},
	},
	{
		words:  "the numbers come from one place: keep envoy or counters, not both",
		accept: []string{`{analysis: {source: {envoy: {}}}}`, `{analysis: {source: {counters: {requests: 'a{s="{service}"}', errors: 'b{s="{service}"}'}}}}`},
		reject: []string{`{analysis: {source: {envoy: {}, counters: {requests: "{service}", errors: "{service}"}}}}`},
	},
	{
		words:  "source.address must start with http:// or https://, such as http://prometheus.monitoring:9090",
		accept: []string{`{analysis: {source: {address: "https://metrics.example.com/prometheus"}}}`, `{analysis: {source: {address: "http://a:9090, http://b:9090"}}}`},
		reject: []string{`{analysis: {source: {address: "prometheus:9090"}}}`, `{analysis: {source: {address: "http://a:9090,b:9090"}}}`, `{analysis: {source: {address: "http://a:9090,"}}}`, `{analysis: {source: {address: "http://"}}}`},
	},
	{
		words:  "source.address must not hold credentials",
		accept: []string{`{analysis: {source: {address: "http://prometheus/path@2"}}}`},
		reject: []string{`{analysis: {source: {address: "http://user:pass@prometheus"}}}`, `{analysis: {source: {address: "http://a,http://user:pass@b"}}}`},
	},
	{
		words:  "cluster must contain {service}: without it the tracks can't be told apart",
		accept: []string{`{analysis: {source: {envoy: {cluster: "outbound|{port}||{service}.{namespace}"}}}}`},
		reject: []string{`{analysis: {source: {envoy: {cluster: checkout}}}}`},
	},
	{
		words:  "requests must contain {service} or {workload}: without it the tracks can't be told apart",
		accept: []string{`{analysis: {source: {counters: {requests: 'a{d="{workload}"}', errors: 'b{s="{service}"}'}}}}`},
		reject: []string{`{analysis: {source: {counters: {requests: 'a', errors: 'b{s="{service}"}'}}}}`},
	},
	{
		words:  "errors must contain {service} or {workload}: without it the tracks can't be told apart",
		accept: []string{`{analysis: {source: {counters: {requests: 'a{s="{service}"}', errors: 'b{d="{workload}"}'}}}}`},
		reject: []string{`{analysis: {source: {counters: {requests: 'a{s="{service}"}', errors: 'b'}}}}`},
	},
	{
		words:  "latency must contain {service} or {workload}: without it the tracks can't be told apart",
		accept: []string{`{analysis: {source: {counters: {requests: '{service}', errors: '{service}', latency: '{workload}'}}}}`},
		reject: []string{`{analysis: {source: {counters: {requests: '{service}', errors: '{service}', latency: 'c'}}}}`},
	},
	{
		words: "latency.threshold needs a histogram: add source.counters.latency, or remove the threshold",
		accept: []string{
			`{analysis: {latency: {threshold: 1s}, source: {counters: {requests: '{service}', errors: '{service}', latency: '{service}'}}}}`,
			`{analysis: {latency: {margin: "2"}, source: {counters: {requests: '{service}', errors: '{service}'}}}}`, `{analysis: {latency: {threshold: 1s}, source: {envoy: {}}}}`,
		},
		reject: []string{`{analysis: {latency: {threshold: 1s}, source: {counters: {requests: '{service}', errors: '{service}'}}}}`},
	},
	{
		words: "{args...} can stand in an AnalysisTemplate only: write the value itself",
		accept: []string{
			`{analysis: {metrics: [{name: a, threshold: {query: 'x{s="{candidate.service}"}', min: "1", max: "2"}}, {name: b, ratio: {bad: '{service}', total: '{service}', slo: "99", margin: "2"}}]}}`,
		},
		reject: []string{
			`{analysis: {metrics: [{name: a, threshold: {query: 'x{s="{args.a}"}', max: "1"}}]}}`, `{analysis: {metrics: [{name: a, threshold: {query: x, max: "{args.a}"}}]}}`,
			`{analysis: {metrics: [{name: a, threshold: {query: x, min: "{args.a}"}}]}}`, `{analysis: {metrics: [{name: a, ratio: {bad: '{service}{args.a}', total: '{service}'}}]}}`,
			`{analysis: {metrics: [{name: a, ratio: {bad: '{service}', total: '{service}{args.a}'}}]}}`, `{analysis: {metrics: [{name: a, ratio: {bad: '{service}', total: '{service}', slo: "{args.a}"}}]}}`,
			`{analysis: {metrics: [{name: a, ratio: {bad: '{service}', total: '{service}', margin: "{args.a}"}}]}}`,
		},
	},
	{words: `spec.analysis.latency.quantile: Unsupported value`, accept: []string{`{analysis: {latency: {quantile: p99.9, threshold: 1s}}}`}, reject: []string{`{analysis: {latency: {quantile: p42, threshold: 1s}}}`}},
	{words: `spec.analysis.metrics[1]: Duplicate value`, reject: []string{`{analysis: {metrics: [{name: a, threshold: {query: x, max: "1"}}, {name: a, threshold: {query: y, max: "1"}}]}}`}},
	{words: `spec.analysis.templates[1]: Duplicate value`, accept: []string{`{analysis: {templates: [{name: a}, {name: b}]}}`}, reject: []string{`{analysis: {templates: [{name: a}, {name: a}]}}`}},
	{words: `spec.analysis.templates[0].args[0].value: Required value`, accept: []string{`{analysis: {templates: [{name: a, args: [{name: b, value: ""}]}]}}`}, reject: []string{`{analysis: {templates: [{name: a, args: [{name: b}]}]}}`}},
	{words: `spec.analysis.templates[0].args[1]: Duplicate value`, reject: []string{`{analysis: {templates: [{name: a, args: [{name: b, value: c}, {name: b, value: d}]}]}}`}},
	{words: `spec.analysis.metrics[0].threshold.times in body should be greater than or equal to 1`, accept: []string{`{analysis: {metrics: [{name: a, threshold: {query: x, max: "1", times: 100}}]}}`}, reject: []string{`{analysis: {metrics: [{name: a, threshold: {query: x, max: "1", times: -1}}]}}`}},
}

// templateRules are those of a metric, wherever it stands, and of arguments.
var templateRules = []rule{
	{
		words:  "a metric needs exactly one of threshold and ratio",
		accept: []string{`{metrics: [{name: a, threshold: {query: x, max: "1"}}, {name: b, ratio: {bad: '{service}', total: '{workload}'}}]}`},
		reject: []string{`{metrics: [{name: a}]}`, `{metrics: [{name: a, dryRun: true}]}`, `{metrics: [{name: a, threshold: {query: x, max: "1"}, ratio: {bad: '{service}', total: '{service}'}}]}`},
	},
	{
		words:  "a metric's name must be lower case letters, digits and dashes, such as checkout-lag",
		accept: []string{`{metrics: [{name: 2-a, threshold: {query: x, max: "1"}}]}`},
		reject: []string{`{metrics: [{name: A, threshold: {query: x, max: "1"}}]}`, `{metrics: [{name: "a b", threshold: {query: x, max: "1"}}]}`, `{metrics: [{name: -a, threshold: {query: x, max: "1"}}]}`},
	},
	{
		words:  "errors and latency are judged anyway, under analysis.errors and analysis.latency: give the metric another name",
		accept: []string{`{metrics: [{name: errors-4xx, threshold: {query: x, max: "1"}}]}`},
		reject: []string{`{metrics: [{name: errors, threshold: {query: x, max: "1"}}]}`, `{metrics: [{name: latency, threshold: {query: x, max: "1"}}]}`},
	},
	{
		words:  "threshold needs min, max or both",
		accept: []string{`{metrics: [{name: a, threshold: {query: x, min: "1"}}, {name: b, threshold: {query: x, max: "1"}}]}`},
		reject: []string{`{metrics: [{name: a, threshold: {query: x}}]}`},
	},
	{
		words: "threshold's min is above its max: no value would be good",
		accept: []string{
			`{metrics: [{name: a, threshold: {query: x, min: "9", max: "10"}}]}`, `{metrics: [{name: a, threshold: {query: x, min: "-2", max: "-2.0"}}]}`,
			`{metrics: [{name: a, threshold: {query: x, min: "9", max: "{args.a}"}}]}`, `{metrics: [{name: a, threshold: {query: x, min: "{args.a}", max: "9"}}]}`,
		},
		reject: []string{`{metrics: [{name: a, threshold: {query: x, min: "10", max: "9"}}]}`, `{metrics: [{name: a, threshold: {query: x, min: "-1", max: "-2"}}]}`},
	},
	{
		words:  "threshold.min must be a number, written like \"0.5\", or in a template {args.NAME}",
		accept: []string{`{metrics: [{name: a, threshold: {query: x, min: "-0.5"}}]}`, `{metrics: [{name: a, threshold: {query: x, min: "{args.low-end}"}}]}`},
		reject: []string{`{metrics: [{name: a, threshold: {query: x, min: "5ms"}}]}`, `{metrics: [{name: a, threshold: {query: x, min: "1", max: "1{args.a}"}}, {name: b, threshold: {query: x, min: "{args.a}{args.b}"}}]}`},
	},
	{
		words:  "threshold.max must be a number, written like \"0.5\", or in a template {args.NAME}",
		accept: []string{`{metrics: [{name: a, threshold: {query: x, max: "100"}}]}`, `{metrics: [{name: a, threshold: {query: x, max: "{args.a}"}}]}`},
		reject: []string{`{metrics: [{name: a, threshold: {query: x, max: "1e3"}}]}`, `{metrics: [{name: a, threshold: {query: x, max: "NaN"}}]}`, `{metrics: [{name: a, threshold: {query: x, max: "{service}"}}]}`},
	},
	{
		words:  "ratio.bad must contain {service} or {workload}: without it the tracks can't be told apart",
		accept: []string{`{metrics: [{name: a, ratio: {bad: 'a{s="{service}"}', total: 'b{s="{service}"}'}}]}`, `{metrics: [{name: a, ratio: {bad: 'a{s="{workload}"}', total: 'b{s="{service}"}'}}]}`},
		reject: []string{`{metrics: [{name: a, ratio: {bad: a, total: 'b{s="{service}"}'}}]}`},
	},
	{
		words:  "ratio.total must contain {service} or {workload}: without it the tracks can't be told apart",
		accept: []string{`{metrics: [{name: a, ratio: {bad: 'a{s="{service}"}', total: 'b{s="{workload}"}'}}]}`},
		reject: []string{`{metrics: [{name: a, ratio: {bad: 'a{s="{service}"}', total: b}}]}`},
	},
	{
		words:  "ratio.slo must be a percentage below 100, written like \"99.5\", or in a template {args.NAME}",
		accept: []string{`{metrics: [{name: a, ratio: {bad: '{service}', total: '{service}', slo: "99.9"}}]}`, `{metrics: [{name: a, ratio: {bad: '{service}', total: '{service}', slo: "{args.a}"}}]}`},
		reject: []string{`{metrics: [{name: a, ratio: {bad: '{service}', total: '{service}', slo: "100"}}]}`, `{metrics: [{name: a, ratio: {bad: '{service}', total: '{service}', slo: "99%"}}]}`},
	},
	{
		words:  "ratio.margin must be an odds ratio of at least 1, written like \"1.25\", or in a template {args.NAME}",
		accept: []string{`{metrics: [{name: a, ratio: {bad: '{service}', total: '{service}', margin: "1"}}]}`, `{metrics: [{name: a, ratio: {bad: '{service}', total: '{service}', margin: "{args.a}"}}]}`},
		reject: []string{`{metrics: [{name: a, ratio: {bad: '{service}', total: '{service}', margin: "0.9"}}]}`, `{metrics: [{name: a, ratio: {bad: '{service}', total: '{service}', margin: "25%"}}]}`},
	},
	{
		words:  "an argument's name must be lower case letters, digits and dashes, and begin with a letter, such as max-age",
		accept: []string{`{args: [{name: max-age}, {name: a2, default: ""}]}`},
		reject: []string{`{args: [{name: maxAge}]}`, `{args: [{name: 2a}]}`, `{args: [{name: a-}]}`, `{args: [{name: a.b}]}`},
	},
	{words: `spec.args[1]: Duplicate value`, reject: []string{`{args: [{name: a}, {name: a}]}`}},
	{words: `spec.metrics[1]: Duplicate value`, reject: []string{`{metrics: [{name: a, threshold: {query: x, max: "1"}}, {name: a, threshold: {query: y, max: "1"}}]}`}},
	{words: `spec.metrics in body should have at least 1 items`, reject: []string{`{metrics: []}`}},
	{words: `spec.metrics: Required value`, reject: []string{`{metrics: null}`}},
	{words: `spec.metrics[0].threshold.query: Required value`, reject: []string{`{metrics: [{name: a, threshold: {max: "1"}}]}`}},
}

func TestAnalysisTemplate_IsCheckedByTheAPIServer(t *testing.T) {
	check(t, validTemplate, templateRules)
}

// What the documentation shows must be taken as it stands.
func TestAnalysis_ExamplesOfTheDocumentationAreTaken(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		valid, changes := validRollout, text
		if strings.HasPrefix(text, "apiVersion:") {
			valid, changes = text, `{}`
		}
		tried++
		if err := admit(t.Context(), object(t, valid, changes)); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	}
	if tried < 5 {
		t.Errorf("found %d examples", tried)
	}
}
