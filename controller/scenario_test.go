package controller_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
)

// scenario is a rollout with what people and git do in it.
type scenario struct {
	name string
	// without says that no admission policy holds workloads.
	without bool
	bad     map[string]int32
	spec    func(*v1alpha1.RolloutSpec)
	events  []occasion
	// kills begin with this event: what is before it is another scenario's.
	from int
	// until says what the end is like.
	until func(*lab) bool
}

// occasion is something that is done once the rollout rests where it is due.
type occasion struct {
	when func(*lab) bool
	do   func(*testing.T, *lab)
}

func commit(when func(*lab) bool, image string) occasion {
	return occasion{when: when, do: func(t *testing.T, l *lab) { t.Helper(); l.commit(t, image) }}
}

func remove(when func(*lab) bool) occasion {
	return occasion{when: when, do: func(t *testing.T, l *lab) { t.Helper(); l.remove(t) }}
}

func scale(when func(*lab) bool, replicas int32) occasion {
	return occasion{when: when, do: func(t *testing.T, l *lab) { t.Helper(); l.scale(t, replicas) }}
}

func decide(when func(*lab) bool, verb v1alpha1.DecisionVerb) occasion {
	return occasion{when: when, do: func(t *testing.T, l *lab) { t.Helper(); l.decide(t, verb, false) }}
}

// waits says that the rollout waits for something.
func waits(what string) func(*lab) bool {
	return func(l *lab) bool { return l.seen() != nil && strings.Contains(l.seen().Status.WaitingFor, what) }
}

func approved(spec *v1alpha1.RolloutSpec) { spec.Steps[0].Approval = &v1alpha1.Approval{} }

func idle(l *lab) bool {
	obj := l.seen()
	return obj != nil && obj.Status.State == v1alpha1.StateIdle
}

func gone(l *lab) bool { return l.seen() == nil }

func rolledBack(l *lab) bool { return l.progress().Phase == rollout.PhaseRolledBack }

func onCopy(l *lab) bool { return l.progress().OnCopy }

func inStep(index int) func(*lab) bool {
	return func(l *lab) bool {
		p := l.progress()
		return p.Phase == rollout.PhaseStep && p.Step == index
	}
}

// runs says that the rollout is idle, and that an image serves.
func runs(image string) func(*lab) bool {
	return func(l *lab) bool { return idle(l) && l.image() == image }
}

func analysed(spec *v1alpha1.RolloutSpec) {
	spec.Analysis = &v1alpha1.Analysis{Errors: &v1alpha1.ErrorAnalysis{SLO: "99"}}
}

func blueGreen(spec *v1alpha1.RolloutSpec) {
	all := intstr.FromString("100%")
	spec.Steps = weights(0, 100)
	spec.Steps[0].Replicas = &all
}

func tenants(spec *v1alpha1.RolloutSpec) {
	acme := v1alpha1.RequestMatch{Headers: []v1alpha1.HeaderMatch{{Name: "x-tenant", Exact: "acme"}}}
	some := v1alpha1.RequestMatch{Headers: []v1alpha1.HeaderMatch{{Name: "x-tenant", Regex: "a.*"}}}
	spec.Steps = weights(0, 0, 50)
	spec.Steps[0] = v1alpha1.Step{Match: []v1alpha1.RequestMatch{acme}, Hold: spec.Steps[0].Hold}
	spec.Steps[1] = v1alpha1.Step{Match: []v1alpha1.RequestMatch{acme, some}, Hold: spec.Steps[1].Hold}
}

func shadow(spec *v1alpha1.RolloutSpec) {
	spec.Router[0].SMI.Mirror = true
	spec.Steps = weights(0, 50)
	spec.Steps[0] = v1alpha1.Step{Shadow: new(int32(50)), Hold: spec.Steps[0].Hold}
}

// scenarios are whole rollouts, from the adoption to the end.
func scenarios() []scenario {
	return []scenario{
		{name: "promotion", events: []occasion{commit(idle, "v2")}, until: runs("v2")},
		{name: "rollback", spec: analysed, bad: failing(1), events: []occasion{commit(idle, "v2")}, until: rolledBack},
		{name: "another version after a rollback", spec: analysed, bad: failing(0), events: []occasion{
			commit(idle, "v2"), commit(rolledBack, "v3"),
		}, from: 1, until: runs("v3")},
		{name: "revert after a rollback", spec: analysed, bad: failing(0), events: []occasion{
			commit(idle, "v2"), commit(rolledBack, "v1"),
		}, from: 1, until: runs("v1")},
		{name: "supersession before the shift", events: []occasion{commit(idle, "v2"), commit(inStep(1), "v3")}, from: 1, until: runs("v3")},
		{name: "supersession after the shift", events: []occasion{commit(idle, "v2"), commit(onCopy, "v3")}, from: 1, until: runs("v3")},
		{name: "revert", events: []occasion{commit(idle, "v2"), commit(inStep(1), "v1")}, from: 1, until: runs("v1")},
		{name: "a copy that never gets ready", events: []occasion{commit(idle, brokenImage)}, until: rolledBack},
		{name: "deletion when idle", events: []occasion{remove(idle)}, until: gone},
		{name: "deletion in a step", events: []occasion{commit(idle, "v2"), remove(inStep(0))}, from: 1, until: gone},
		{name: "deletion after the shift", events: []occasion{commit(idle, "v2"), remove(onCopy)}, from: 1, until: gone},
		{name: "deletion after a rollback", spec: analysed, bad: failing(0), events: []occasion{commit(idle, "v2"), remove(rolledBack)}, from: 1, until: gone},
		{name: "a new version at zero", events: []occasion{
			scale(idle, 0), commit(idle, "v2"), scale(runs("v2"), 2),
		}, until: runs("v2")},
		{name: "zero in a step", events: []occasion{commit(idle, "v2"), scale(inStep(0), 0)}, from: 1, until: runs("v2")},
		{name: "blue/green", spec: blueGreen, events: []occasion{commit(idle, "v2")}, until: runs("v2")},
		{name: "tenants", spec: tenants, events: []occasion{commit(idle, "v2")}, until: runs("v2")},
		{name: "shadow", spec: shadow, events: []occasion{commit(idle, "v2")}, until: runs("v2")},
		{name: "approval", spec: approved, events: []occasion{commit(idle, "v2"), decide(waits("approval"), v1alpha1.VerbApprove)}, from: 1, until: runs("v2")},
		{name: "abort and retry", events: []occasion{
			commit(idle, "v2"), decide(inStep(1), v1alpha1.VerbAbort), decide(rolledBack, v1alpha1.VerbRetry),
		}, from: 1, until: runs("v2")},
		{name: "pause, resume and promote", events: []occasion{
			commit(idle, "v2"), decide(inStep(0), v1alpha1.VerbPause), decide(waits("resume"), v1alpha1.VerbResume), decide(waits("hold"), v1alpha1.VerbPromote),
		}, from: 1, until: runs("v2")},
		{name: "promotion without the admission policy", without: true, events: []occasion{commit(idle, "v2")}, until: runs("v2")},
	}
}

// failing is the table of a candidate, v2, that fails in a step, and after it.
func failing(step int32) map[string]int32 {
	return map[string]int32{"v2": step}
}

// play drives a scenario to its end. It returns how many writes the first controller had made when the event came from which on it
// is killed.
func (l *lab) play(t *testing.T, s scenario) (prelude int) {
	t.Helper()
	next := 0
	for range 300 {
		wait := l.rest(t)
		if next < len(s.events) && s.events[next].when(l) {
			if next == s.from {
				prelude = l.running.writes
			}
			s.events[next].do(t, l)
			next++
			continue
		}
		if wait > 0 {
			l.clock.Step(wait)
			continue
		}
		if next == len(s.events) && s.until(l) {
			return prelude
		}
		t.Fatalf("nothing happens any more, before event %d: %s", next, l.tail(30))
	}
	t.Fatalf("there is no end: %s", l.tail(30))
	return 0
}

// route is what one write of the route asked for, and remembers of the rollout.
func route(e entry) string {
	if e.obj == nil {
		return "no route"
	}
	spec, _, _ := unstructured.NestedMap(e.obj.Object, "spec")
	annotations := e.obj.GetAnnotations()
	return fmt.Sprint(spec, annotations[v1alpha1.AnnotationMirror], unseen(annotations[v1alpha1.AnnotationProgress]))
}

// unseen is progress without which versions of objects were looked at, and when people decided: no two runs have that in common.
func unseen(progress string) string {
	parsed, err := rollout.ParseProgress(progress)
	if err != nil {
		return progress
	}
	parsed.Seen, parsed.Decided, parsed.Rested = nil, nil, 0
	for i := range parsed.Approvals {
		parsed.Approvals[i].At = time.Time{}
	}
	for _, word := range []*rollout.Word{parsed.Paused, parsed.Hastened} {
		if word != nil {
			word.At = time.Time{}
		}
	}
	return parsed.String()
}

// traffic is the sequence of the traffic states: a write that repeats the state before it counts for nothing.
func (l *lab) traffic() []string {
	var states []string
	for _, e := range l.history.entries {
		if e.kind != trafficSplits {
			continue
		}
		if state := route(e); len(states) == 0 || states[len(states)-1] != state {
			states = append(states, state)
		}
	}
	return states
}

// end is all that is in the namespace, without what no two runs have in common.
func (l *lab) end() map[string]map[string]any {
	out := map[string]map[string]any{}
	for kind, objects := range l.history.latest {
		for key, u := range objects {
			if key.Namespace == l.namespace {
				out[kind.Kind+"/"+key.Name] = normalised(u.DeepCopy())
			}
		}
	}
	return out
}

// normalised drops identities and times.
func normalised(u *unstructured.Unstructured) map[string]any {
	managers := []string{}
	for _, m := range u.GetManagedFields() {
		if m.FieldsV1 != nil {
			fields := string(m.FieldsV1.GetRawBytes())
			for _, owner := range u.GetOwnerReferences() {
				fields = strings.ReplaceAll(fields, string(owner.UID), "")
			}
			managers = append(managers, m.Manager+" "+m.Subresource+" "+string(m.Operation)+" "+fields)
		}
	}
	slices.Sort(managers)
	for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "generation", "managedFields", "namespace"} {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	for _, annotation := range []string{"weighlock.dev/written-at", v1alpha1.AnnotationClaim} {
		unstructured.RemoveNestedField(u.Object, "metadata", "annotations", annotation)
	}
	if annotations := u.GetAnnotations(); annotations[v1alpha1.AnnotationProgress] != "" {
		annotations[v1alpha1.AnnotationProgress] = unseen(annotations[v1alpha1.AnnotationProgress])
		u.SetAnnotations(annotations)
	}
	owners := u.GetOwnerReferences()
	for i := range owners {
		owners[i].UID = ""
	}
	u.SetOwnerReferences(owners)
	for _, path := range [][]string{
		{"status", "observedGeneration"}, {"spec", "clusterIP"}, {"spec", "clusterIPs"}, {"revision"}, {"status", "step", "since"},
	} {
		unstructured.RemoveNestedField(u.Object, path...)
	}
	if u.GetKind() == "Decision" { // What a crash kept from being reported is told in other words.
		unstructured.RemoveNestedField(u.Object, "status", "at")
		unstructured.RemoveNestedField(u.Object, "status", "message")
	}
	dropFromEach(u, []string{"lastTransitionTime", "observedGeneration"}, "status", "conditions")
	dropFromEach(u, []string{"since", "until"}, "status", "analysisHistory")
	u.Object["managers"] = managers
	return u.Object
}

// dropFromEach drops fields from each item of a list, if there is one.
func dropFromEach(u *unstructured.Unstructured, fields []string, path ...string) {
	items, _, _ := unstructured.NestedSlice(u.Object, path...)
	for _, item := range items {
		content, _ := item.(map[string]any)
		for _, field := range fields {
			delete(content, field)
		}
	}
	if items != nil {
		_ = unstructured.SetNestedSlice(u.Object, items, path...)
	}
}

// image is what serves, from the workload; empty when a copy does.
func (l *lab) image() string {
	if l.progress().OnCopy {
		return ""
	}
	image, _ := l.images.Load("shop-" + l.progress().Incumbent)
	name, _ := image.(string)
	return name
}
