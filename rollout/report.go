package rollout

import (
	"fmt"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

// report fills the status: what is, for people. What was measured is the controller's to add.
func (v *view) report(p *Plan) {
	s := &p.Status
	s.Hold = v1alpha1.HoldAlways
	if v.HeldByAdmission {
		s.Hold = v1alpha1.HoldAdmission
	}
	s.AlsoSelecting = v.Others
	if v.progress.Phase == "" {
		return
	}
	s.Warnings = v.warnings()
	s.Attempt = v.attempt(p)
	if paused := v.paused(); paused != nil {
		voice := paused.voice()
		s.Paused = &voice
	}
	s.Incumbent = v.revision(v.progress.Incumbent, v.incumbent)
	switch {
	case v.progress.Phase != PhaseServing:
		s.Candidate = v.revision(v.progress.Candidate, v.Copies[v.progress.Candidate])
	case v.want != v.progress.Incumbent && v.want != "":
		s.Candidate = v.revision(v.want, v.candidate)
	}
	traffic := v.traffic()
	s.Traffic = &v1alpha1.TrafficStatus{Asked: traffic.Asked(), Taken: v.Route.Taken}
	if v.foretold(p) {
		return
	}
	if v.progress.Phase != PhaseStep {
		return
	}
	index := v.index()
	s.Step = &v1alpha1.StepStatus{Index: int32(index), Position: v.position(index), Name: v.step().Name} //nolint:gosec // at most 50.
	if v.Route.Taken {
		since := metav1.NewTime(v.Route.TakenAt)
		s.Step.Since = &since
	}
	if v.Verdict != nil {
		s.Verdict = verdictStatus(v.Verdict)
	}
	if v.Route.Taken {
		s.Gates = v.gateStatus()
	}
	if approval := v.step().Approval; approval != nil && v.Route.Taken {
		s.Approval = v.approvalStatus(approval)
	}
}

// foretold tells of a rollback as it will be once the plan is done: it is what people wait to read, and they read it once.
func (v *view) foretold(p *Plan) bool {
	for _, action := range p.Actions {
		route, is := action.(SetRoute)
		if !is || route.Progress.Phase != PhaseRolledBack {
			continue
		}
		failed := route.Progress.Candidate
		p.Status.Candidate = v.revision(failed, v.Copies[failed])
		p.Status.Candidate.Failed = route.Progress.Reason
		p.Status.Traffic = &v1alpha1.TrafficStatus{Asked: route.Traffic.Asked()}
		return true
	}
	return false
}

func (v *view) gateStatus() []v1alpha1.GateStatus {
	var gates []v1alpha1.GateStatus
	for _, g := range v.gates(&Plan{}, v.step()) {
		gates = append(gates, v1alpha1.GateStatus{Name: g.name, Open: g.open, Message: g.String()})
	}
	return gates
}

func (v *view) approvalStatus(approval *v1alpha1.Approval) *v1alpha1.ApprovalStatus {
	given := v.approvals(&Plan{}, approval)
	got, _ := count(given)
	status := &v1alpha1.ApprovalStatus{Quorum: int32(quorum(approval)), Count: int32(got)} //nolint:gosec // both are small.
	for _, word := range given {
		status.Given = append(status.Given, word.voice())
	}
	return status
}

// warnings are what people should know though nothing waits for it.
func (v *view) warnings() []string {
	var warnings []string
	for _, revision := range sortedKeys(v.Copies) {
		if changed := v.Copies[revision].Changed; len(changed) > 0 && v.inUse(revision) {
			warnings = append(warnings, strings.Join(changed, " and ")+" changed in place since the copy "+v.Copies[revision].Name+
				" was made, for both tracks: give such objects generated names, so that a change is a new revision")
		}
	}
	if v.Route.Foreign != "" {
		warnings = append(warnings, "the route is written by "+v.Route.Foreign+" too: take it out of what "+v.Route.Foreign+" applies")
	}
	return warnings
}

func (v *view) revision(name string, track *workload.State) *v1alpha1.RevisionStatus {
	record := v.Records[name]
	r := &v1alpha1.RevisionStatus{Revision: name, Commit: record.Commit, Author: record.Author, Failed: v.failed(name)}
	r.Unproven = v.progress.Unproven && name == v.unprovenRevision()
	if track != nil {
		r.Track, r.Replicas, r.Ready = track.Name, track.Replicas, track.Ready
		if r.Commit == "" && track.Template.Revision == name {
			r.Commit, r.Author = track.Template.Commit, track.Template.Author
		}
	}
	return r
}

// unprovenRevision is the one of which the progress may say that it is unproven.
func (v *view) unprovenRevision() string {
	if v.progress.Phase == PhaseStep {
		return v.progress.Candidate
	}
	return v.progress.Incumbent
}

// Asked tells people the candidate's share, such as "5%", "5% + match" or "shadow 50%".
func (t Traffic) Asked() string {
	var parts []string
	if t.Weight > 0 || !t.Reaches() {
		share := strconv.FormatFloat(float64(t.Weight)*100/float64(t.Total), 'f', -1, 64)
		parts = append(parts, share+"%")
	}
	if len(t.Match) > 0 {
		parts = append(parts, "match")
	}
	if t.Shadow > 0 {
		parts = append(parts, fmt.Sprintf("shadow %d%%", t.Shadow))
	}
	return strings.Join(parts, " + ")
}

func verdictStatus(verdict *analysis.Verdict) *v1alpha1.VerdictStatus {
	status := &v1alpha1.VerdictStatus{Outcome: verdict.Outcome, Message: verdict.Message}
	for _, metric := range verdict.Metrics {
		status.Metrics = append(status.Metrics, v1alpha1.MetricStatus{
			Name: metric.Name, Outcome: metric.Outcome, DryRun: metric.DryRun, Message: metric.Message,
			Incumbent: metric.Incumbent, Candidate: metric.Candidate,
		})
	}
	return status
}
