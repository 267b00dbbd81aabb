package v1alpha1_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

func TestRollout_KeepsItsWorkloadAndService(t *testing.T) {
	created := object(t, validRollout, `{}`)
	created.SetName("immutable")
	if err := server.Create(t.Context(), created); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ changes, words string }{
		"workload": {`{workload: {name: other}}`, "spec.workload can't be changed: delete this Rollout"},
		"service":  {`{service: {name: other}}`, "spec.service can't be changed: delete this Rollout"},
		"port":     {`{service: {port: 9090}}`, "spec.service can't be changed: delete this Rollout"},
		"steps":    {`{steps: [{weight: 5}]}`, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			changed := created.DeepCopy()
			spec, _ := changed.Object["spec"].(map[string]any)
			changed.Object["spec"] = merge(spec, fragment(t, test.changes))
			err := server.Update(t.Context(), changed, client.DryRunAll)
			if test.words == "" && err != nil {
				t.Errorf("rejected: %v", err)
			}
			if test.words != "" && (err == nil || !strings.Contains(err.Error(), test.words)) {
				t.Errorf("got %v, want a rejection that says %q", err, test.words)
			}
		})
	}
}

func TestRollout_GetsDefaults(t *testing.T) {
	rollout := &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Name: "defaults", Namespace: metav1.NamespaceDefault},
		Spec: v1alpha1.RolloutSpec{
			Workload: v1alpha1.WorkloadReference{Name: "checkout"},
			Service:  v1alpha1.ServiceReference{Name: "checkout", Port: 8080},
			Router:   []v1alpha1.RouterSpec{{SMI: &v1alpha1.SMIRouter{}}},
			Steps:    []v1alpha1.Step{{Weight: ptr.To[int32](5)}},
			Analysis: &v1alpha1.Analysis{Source: &v1alpha1.MetricSource{Envoy: &v1alpha1.EnvoyMetrics{}}, Metrics: []v1alpha1.Metric{
				{Name: "lag", Threshold: &v1alpha1.ThresholdMetric{Query: "lag", Max: "5"}},
				{Name: "carts", Ratio: &v1alpha1.RatioMetric{Bad: `a{s="{service}"}`, Total: `b{s="{service}"}`}},
			}},
		},
	}
	want := rollout.Spec.DeepCopy()
	want.Workload.Kind = "Deployment"
	want.Router[0].SMI.Settle = &metav1.Duration{Duration: 2 * time.Second}
	want.TotalWeight = 100
	want.AbortDelay = &metav1.Duration{Duration: 30 * time.Second}
	want.RouteDeadline = &metav1.Duration{Duration: 5 * time.Minute}
	want.DeletionPolicy = v1alpha1.DeletionKeep
	want.Analysis.Errors = &v1alpha1.ErrorAnalysis{SLO: "99", Margin: "1.25", IgnoreBelow: "0"}
	want.Analysis.Latency = &v1alpha1.LatencyAnalysis{Margin: "1.25", WarmUp: &metav1.Duration{Duration: time.Minute}}
	want.Analysis.Metrics[0].Threshold.Times = 3
	want.Analysis.Metrics[1].Ratio.Margin = "1.25"
	want.Analysis.Interval = &metav1.Duration{Duration: 5 * time.Second}
	want.Analysis.Source.Envoy.Cluster = "{namespace}/{service}/{port}"
	if err := server.Create(t.Context(), rollout); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*want, rollout.Spec); diff != "" {
		t.Errorf("defaults differ (-want +got):\n%s", diff)
	}
}

func TestGitSource_GetsDefaults(t *testing.T) {
	source := &v1alpha1.GitSource{
		ObjectMeta: metav1.ObjectMeta{Name: "defaults", Namespace: metav1.NamespaceDefault},
		Spec:       v1alpha1.GitSourceSpec{URL: "https://example.com/shop.git", ServiceAccountName: "shop"},
	}
	want := source.Spec
	want.Branch = "main"
	want.Path = "./"
	want.Interval = &metav1.Duration{Duration: time.Minute}
	want.Timeout = &metav1.Duration{Duration: 2 * time.Minute}
	want.Prune = new(true)
	if err := server.Create(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, source.Spec); diff != "" {
		t.Errorf("defaults differ (-want +got):\n%s", diff)
	}
}

func TestRollout_StatusSurvivesTheServer(t *testing.T) {
	rollout := fullRollout(t, "status")
	got := &v1alpha1.Rollout{}
	if err := server.Get(t.Context(), client.ObjectKeyFromObject(rollout), got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fullStatus(), got.Status, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("status differs (-want +got):\n%s", diff)
	}
}

func TestRollout_PrintsEveryColumn(t *testing.T) {
	fullRollout(t, "columns")
	printsEveryColumn(t, "rollouts", "columns")
}

func TestGitSource_PrintsEveryColumn(t *testing.T) {
	source := &v1alpha1.GitSource{
		ObjectMeta: metav1.ObjectMeta{Name: "columns", Namespace: metav1.NamespaceDefault},
		Spec:       v1alpha1.GitSourceSpec{URL: "https://example.com/shop.git", ServiceAccountName: "shop"},
	}
	if err := server.Create(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	source.Status = v1alpha1.GitSourceStatus{
		LastApplied: &v1alpha1.CommitStatus{SHA: strings.Repeat("a", 40), Short: "aaaaaaaa"},
		Conditions:  []metav1.Condition{ready()},
	}
	if err := server.Status().Update(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	printsEveryColumn(t, "gitsources", "columns")
}

func ready() metav1.Condition {
	return metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Applied", Message: "all is well",
		LastTransitionTime: metav1.NewTime(time.Unix(1700000000, 0)),
	}
}

// fullStatus has a value in every field.
func fullStatus() v1alpha1.RolloutStatus {
	return v1alpha1.RolloutStatus{
		ObservedGeneration: 1,
		State:              v1alpha1.StateProgressing,
		WaitingFor:         "hold, 20s more",
		Incumbent:          &v1alpha1.RevisionStatus{Revision: "5d9f", Track: "checkout", Replicas: 2, Ready: 2, Commit: "0a1b2c3d", Author: "Ada"},
		Candidate:          &v1alpha1.RevisionStatus{Revision: "7c4b", Track: "checkout-7c4b", Replicas: 1, Ready: 1, Failed: "error rate"},
		Step:               &v1alpha1.StepStatus{Index: 1, Position: "2/5", Name: "pilot", Since: new(metav1.NewTime(time.Unix(1700000000, 0)))},
		Traffic:            &v1alpha1.TrafficStatus{Asked: "5%", Measured: "4.8%", Taken: true},
		Verdict: &v1alpha1.VerdictStatus{Outcome: v1alpha1.OutcomeInconclusive, Message: "20 requests more", Metrics: []v1alpha1.MetricStatus{
			{Name: "errors", Outcome: v1alpha1.OutcomePass, DryRun: true, Message: "safe"},
		}},
		AnalysisHistory: []v1alpha1.AnalysisRecord{{
			Candidate: "7c4b", Step: 0, Name: "ghost", Traffic: "5%", Since: metav1.NewMicroTime(time.UnixMicro(1700000000123456)),
			Until: new(metav1.NewMicroTime(time.UnixMicro(1700000060000001))), Outcome: v1alpha1.OutcomePass, Message: "no worse",
		}},
		Hold:       v1alpha1.HoldAdmission,
		Conditions: []metav1.Condition{ready()},
	}
}

func fullRollout(t *testing.T, name string) *v1alpha1.Rollout {
	t.Helper()
	rollout := &v1alpha1.Rollout{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object(t, validRollout, `{}`).Object, rollout); err != nil {
		t.Fatal(err)
	}
	rollout.Name = name
	if err := server.Create(t.Context(), rollout); err != nil {
		t.Fatal(err)
	}
	rollout.Status = fullStatus()
	if err := server.Status().Update(t.Context(), rollout); err != nil {
		t.Fatal(err)
	}
	return rollout
}

// printsEveryColumn asks for an object as kubectl get does. A column whose path
// leads nowhere has an empty cell.
func printsEveryColumn(t *testing.T, resource, name string) {
	t.Helper()
	config := rest.CopyConfig(serverConfig)
	config.APIPath = "/apis"
	config.GroupVersion = &schema.GroupVersion{Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version}
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	asks, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	table := &metav1.Table{}
	err = asks.Get().Namespace(metav1.NamespaceDefault).Resource(resource).Name(name).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Into(table)
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Rows) != 1 || len(table.ColumnDefinitions) < 5 {
		t.Fatalf("got %d rows and %d columns", len(table.Rows), len(table.ColumnDefinitions))
	}
	for i, column := range table.ColumnDefinitions {
		if cell := table.Rows[0].Cells[i]; cell == nil || cell == "" || cell == "<unknown>" {
			t.Errorf("column %q is empty: %v", column.Name, cell)
		}
	}
}
