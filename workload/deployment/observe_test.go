package deployment_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
	"github.com/weighlock/weighlock/workload/deployment"
)

func unstructuredDeployment() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	return u
}

func TestRevisionOf_NamesTheTemplateAndNothingElse(t *testing.T) {
	t.Parallel()
	template := func(change func(map[string]any)) map[string]any {
		content := map[string]any{
			"metadata": map[string]any{"labels": map[string]any{"app": "checkout"}},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "shop", "image": "v1"}}, "terminationGracePeriodSeconds": int64(30)},
		}
		change(content)
		return content
	}
	label := func(key, value string) func(map[string]any) {
		return func(content map[string]any) {
			_ = unstructured.SetNestedField(content, value, "metadata", "labels", key)
		}
	}
	base, err := deployment.RevisionOf(template(func(map[string]any) {}))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(map[string]any)
		same   bool
	}{
		"a label of Weighlock's":        {label(v1alpha1.LabelTrack, "checkout-x"), true},
		"the ReplicaSet's label":        {label("pod-template-hash", "abc"), true},
		"a null of an older API server": {func(c map[string]any) { c["metadata"].(map[string]any)["creationTimestamp"] = nil }, true},
		"a label of the user's":         {label("tier", "web"), false},
		"an annotation": {func(c map[string]any) {
			_ = unstructured.SetNestedField(c, "now", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")
		}, false},
		"a number": {func(c map[string]any) {
			_ = unstructured.SetNestedField(c, int64(31), "spec", "terminationGracePeriodSeconds")
		}, false},
		"a field that Weighlock doesn't know": {func(c map[string]any) {
			_ = unstructured.SetNestedField(c, "yes", "spec", "fromTheFuture")
		}, false},
	} {
		changed := template(test.change)
		before := runtime.DeepCopyJSON(changed)
		got, err := deployment.RevisionOf(changed)
		if err != nil {
			t.Fatal(err)
		}
		if (got == base) != test.same {
			t.Errorf("%s: the revision is %s, without it %s", name, got, base)
		}
		if !cmp.Equal(before, changed) {
			t.Errorf("%s: the template was changed", name)
		}
	}
}

func TestObserve_SeesAMixAndWhyItIsStuck(t *testing.T) {
	r := newRig(t)
	r.commit("v1")
	r.create(newService(r.ref.Namespace, "checkout", map[string]string{"app": "checkout"}))
	r.until("the workload to be available", func(o *workload.Observation) bool { return o.Workload != nil && o.Workload.Ready == 2 })
	r.retry("adopt", func(state *workload.State) error { return r.Adopt(t.Context(), r.ref, state) })
	o := r.until("the workload to be adopted", func(o *workload.Observation) bool { return o.Workload.Adopted && o.Workload.Rolled })
	first := o.Workload.Template.Revision
	impatient := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"progressDeadlineSeconds":1}}`))
	r.must("make it impatient", server.Patch(t.Context(), r.live(), impatient))

	r.commit(brokenImage)
	o = r.until("the new template to be held", func(o *workload.Observation) bool {
		return o.Workload.Template.Revision != first && o.Workload.Paused
	})
	second := o.Workload.Template.Revision
	r.retry("release", func(state *workload.State) error { return r.Release(t.Context(), r.ref, state) })
	want := []string{first, second}
	slices.Sort(want)
	o = r.until("a mix that is stuck", func(o *workload.Observation) bool {
		return cmp.Equal(o.Workload.Running, want) && o.Workload.Stuck != ""
	})
	if o.Workload.Rolled || !strings.Contains(o.Workload.Stuck, "progress") {
		t.Errorf("it observes %s", describe(o))
	}
}

func TestObserve_KnowsARecordedTemplateThatReadsBackWithMoreDefaults(t *testing.T) {
	r := newRig(t)
	o := r.shop()
	// What an API server would have returned that didn't know two of today's defaults yet.
	old := runtime.DeepCopyJSON(o.Workload.Template.Content)
	unstructured.RemoveNestedField(old, "spec", "schedulerName")
	unstructured.RemoveNestedField(old, "spec", "dnsPolicy")
	revision, err := deployment.RevisionOf(old)
	if err != nil {
		t.Fatal(err)
	}
	other := runtime.DeepCopyJSON(old)
	r.must("make another template", unstructured.SetNestedField(other, "Never", "spec", "restartPolicyOfSomeSort"))
	r.must("make another template", unstructured.SetNestedField(other, int64(5), "spec", "terminationGracePeriodSeconds"))
	otherRevision, err := deployment.RevisionOf(other)
	if err != nil {
		t.Fatal(err)
	}
	r.record(workload.Template{Revision: otherRevision, Content: other})
	o = r.until("a record", func(o *workload.Observation) bool { return len(o.Records) == 1 })
	if o.Workload.Template.Revision == otherRevision {
		t.Errorf("another template was taken for the workload's: %s", describe(o))
	}

	r.record(workload.Template{Revision: revision, Content: old})
	o = r.until("both records", func(o *workload.Observation) bool { return len(o.Records) == 2 })
	if o.Workload.Template.Revision != revision || !cmp.Equal(o.Workload.Running, []string{revision}) || !o.Workload.Rolled {
		t.Errorf("the record %s is the workload's template, but it observes %s", revision, describe(o))
	}
	r.commit("v2")
	o = r.until("a new template", func(o *workload.Observation) bool { return o.Workload.Template.Revision != revision })
	if !cmp.Equal(o.Workload.Running, []string{revision}) {
		t.Errorf("it runs revision %s, but it observes %s", revision, describe(o))
	}
}

func TestRecord_KeepsTemplatesInOrder(t *testing.T) {
	r := newRig(t)
	o, first, second := r.candidate()
	live := o.Workload.Template
	o = r.until("both records", func(o *workload.Observation) bool { return len(o.Records) == 2 })
	if o.Records[first].Number >= o.Records[second].Number {
		t.Errorf("the first has number %d, the second %d", o.Records[first].Number, o.Records[second].Number)
	}
	if diff := cmp.Diff(live.Content, o.Records[second].Content); diff != "" {
		t.Errorf("the template was not kept as it is (-live +recorded):\n%s", diff)
	}

	r.must("mark as failed", r.MarkFailed(t.Context(), r.ref, second, "errors above the SLO"))
	o = r.until("the mark", func(o *workload.Observation) bool { return o.Records[second].Failed == "errors above the SLO" })
	if o.Records[first].Failed != "" || o.Records[second].Content == nil {
		t.Errorf("the records are %+v", o.Records)
	}
	r.must("record again", r.Record(t.Context(), r.ref, live))
	r.must("take the mark off", r.MarkFailed(t.Context(), r.ref, second, ""))
	r.until("the mark to be off", func(o *workload.Observation) bool { return o.Records[second].Failed == "" })

	r.must("forget", r.Forget(t.Context(), r.ref, []string{second}))
	o = r.until("one record to be forgotten", func(o *workload.Observation) bool { return len(o.Records) == 1 })
	if _, ok := o.Records[second]; !ok {
		t.Errorf("the records are %+v", o.Records)
	}
	r.must("forget all", r.Forget(t.Context(), r.ref, nil))
	r.until("all records to be forgotten", func(o *workload.Observation) bool { return len(o.Records) == 0 })
}

func TestRecord_KeepsWhoBroughtTheTemplate(t *testing.T) {
	r := newRig(t)
	r.shop()
	r.must("annotate", server.Patch(t.Context(), r.live(), client.RawPatch("application/merge-patch+json",
		[]byte(`{"metadata":{"annotations":{"weighlock.dev/commit":"4b2f","weighlock.dev/commit-author":"Ada"}}}`))))
	o := r.until("the commit", func(o *workload.Observation) bool { return o.Workload.Template.Commit != "" })
	r.record(o.Workload.Template)
	o = r.until("the record", func(o *workload.Observation) bool { return len(o.Records) == 1 })
	if record := o.Records[o.Workload.Template.Revision]; record.Commit != "4b2f" || record.Author != "Ada" {
		t.Errorf("the record is of commit %q by %q", record.Commit, record.Author)
	}

	// As a git revert does.
	again := o.Workload.Template
	again.Commit, again.Author = "77e0", "Bob"
	r.must("mark", r.MarkFailed(t.Context(), r.ref, again.Revision, "errors above the SLO"))
	r.until("the mark", func(o *workload.Observation) bool { return o.Records[again.Revision].Failed != "" })
	r.record(again)
	o = r.until("the other commit", func(o *workload.Observation) bool { return o.Records[again.Revision].Commit == "77e0" })
	if record := o.Records[again.Revision]; len(o.Records) != 1 || record.Author != "Bob" || record.Failed != "errors above the SLO" || record.Number != 1 {
		t.Errorf("of %d records it is %+v", len(o.Records), record)
	}
	again.Commit, again.Author = "", ""
	r.record(again)
	o = r.until("the record", func(o *workload.Observation) bool { return len(o.Records) == 1 })
	if record := o.Records[again.Revision]; record.Commit != "77e0" {
		t.Errorf("a write that no commit brings makes it one of commit %q", record.Commit)
	}
}

func TestCaches_HoldOnlyWhatIsNeeded(t *testing.T) {
	r := newRig(t)
	r.commit("v1")
	r.create(newService(r.ref.Namespace, "checkout", map[string]string{"app": "checkout"}))
	r.until("the workload to be available", func(o *workload.Observation) bool { return o.Workload != nil && o.Workload.Ready == 2 })
	holds := func(fields ...string) bool {
		t.Helper()
		u := unstructuredDeployment()
		r.must("read the cache", informers.Get(t.Context(), client.ObjectKey{Namespace: r.ref.Namespace, Name: "checkout"}, u))
		_, ok, _ := unstructured.NestedFieldNoCopy(u.Object, fields...)
		return ok
	}
	if holds("spec", "template", "spec", "containers") || holds("metadata", "annotations", "team") {
		t.Error("a Deployment that nobody adopted is held whole")
	}
	sets := &unstructured.UnstructuredList{}
	sets.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("ReplicaSetList"))
	r.must("list ReplicaSets", informers.List(t.Context(), sets, client.InNamespace(r.ref.Namespace)))
	for i := range sets.Items {
		if _, ok, _ := unstructured.NestedFieldNoCopy(sets.Items[i].Object, "spec", "template"); ok {
			t.Error("the template of a ReplicaSet is held")
		}
	}
	endpoints := &discoveryv1.EndpointSliceList{}
	r.must("list EndpointSlices", informers.List(t.Context(), endpoints, client.InNamespace(r.ref.Namespace)))
	for i := range endpoints.Items {
		for _, endpoint := range endpoints.Items[i].Endpoints {
			if len(endpoint.Addresses) > 0 || endpoint.NodeName != nil {
				t.Errorf("of an endpoint %+v is held", endpoint)
			}
		}
	}
	r.retry("adopt", func(state *workload.State) error { return r.Adopt(t.Context(), r.ref, state) })
	r.until("the workload to be adopted", func(o *workload.Observation) bool { return o.Workload.Adopted })
	if !holds("spec", "template", "spec", "containers") {
		t.Error("an adopted Deployment is not held whole")
	}
}

func TestSubjectOf_TellsWhatAnEventIsAbout(t *testing.T) {
	t.Parallel()
	held := unstructuredDeployment()
	held.SetNamespace("shop")
	held.SetName("checkout")
	held.SetLabels(map[string]string{v1alpha1.LabelHeld: "rollout"})
	plain := unstructuredDeployment()
	plain.SetNamespace("shop")
	plain.SetName("checkout")
	set := &unstructured.Unstructured{}
	set.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
	set.SetNamespace("shop")
	set.SetOwnerReferences([]metav1.OwnerReference{{Kind: "Deployment", Name: "checkout", Controller: new(true)}})
	meta := func(name string, labels map[string]string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: labels}
	}
	made := map[string]string{v1alpha1.LabelRollout: "rollout"}
	policy, twin := networkPolicy(), networkPolicy()
	policy.SetNamespace("data")
	twin.SetNamespace("data")
	twin.SetLabels(map[string]string{v1alpha1.LabelRollout: "rollout", v1alpha1.LabelRolloutNamespace: "shop"})
	for name, test := range map[string]struct {
		obj  client.Object
		want deployment.Subject
	}{
		"an adopted Deployment": {held, deployment.Subject{Namespace: "shop", Rollout: "rollout", Workload: "checkout"}},
		"a Deployment":          {plain, deployment.Subject{Namespace: "shop", Workload: "checkout"}},
		"a ReplicaSet":          {set, deployment.Subject{Namespace: "shop", Workload: "checkout"}},
		"a record":              {&appsv1.ControllerRevision{ObjectMeta: meta("checkout-x", made)}, deployment.Subject{Namespace: "shop", Rollout: "rollout"}},
		"a network policy":      {policy, deployment.Subject{Namespace: "data", Copies: true}},
		"a twin elsewhere":      {twin, deployment.Subject{Namespace: "shop", Rollout: "rollout"}},
		"a root service":        {&corev1.Service{ObjectMeta: meta("checkout", nil)}, deployment.Subject{Namespace: "shop", Service: "checkout"}},
		"a track service":       {&corev1.Service{ObjectMeta: meta("checkout-x", made)}, deployment.Subject{Namespace: "shop", Rollout: "rollout", Service: "checkout-x"}},
		"an EndpointSlice": {
			&discoveryv1.EndpointSlice{ObjectMeta: meta("checkout-abc", map[string]string{discoveryv1.LabelServiceName: "checkout"})},
			deployment.Subject{Namespace: "shop", Service: "checkout"},
		},
	} {
		if diff := cmp.Diff(test.want, deployment.SubjectOf(test.obj)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// Namespaces are cached for their labels, and change no observation by themselves.
	if n := len(deployment.Watched()) + 1; n != len(deployment.ByObject()) {
		t.Errorf("%d kinds are watched, %d are cached", n-1, len(deployment.ByObject()))
	}
}

func TestCopy_OfARevisionThatIsNotRecordedIsRefused(t *testing.T) {
	r := newRig(t)
	o := r.shop()
	if err := r.Copy(t.Context(), r.ref, o.Workload, "unknown", 1); err == nil || !strings.Contains(err.Error(), "not recorded") {
		t.Errorf("the error is %v", err)
	}
	problem := (*workload.ProblemError)(nil)
	r.ref.Name = "missing"
	if err := r.Copy(t.Context(), r.ref, o.Workload, "unknown", 1); !errors.As(err, &problem) || problem.Problem.Reason != v1alpha1.ReasonWorkloadNotFound {
		t.Errorf("the error is %v, want WorkloadNotFound", err)
	}
}
