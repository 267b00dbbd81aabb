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

// report fills the status with what is once the plan is done, for people. What was measured is the controller's to add.
func (v *view) report(p *Plan) {
	if next := v.after(p); next != nil {
		next.describe(&p.Status)
	} else {
		v.describe(&p.Status)
	}
	if v.progress.Phase != "" {
		p.Status.Attempt = v.attempt(p)
	}
}

// describe fills a status with what is, but for the state.
func (v *view) describe(s *v1alpha1.RolloutStatus) {
	s.Hold = v1alpha1.HoldAlways
	if v.HeldByAdmission {
		s.Hold = v1alpha1.HoldAdmission
	}
	s.AlsoSelecting = v.Others
	if v.progress.Phase == "" {
		return
	}
	s.Warnings = v.warnings()
	if paused := v.paused(); paused != nil && v.keeps(paused) {
		voice := paused.voice()
		s.Paused = &voice
	}
	s.Incumbent = v.revision(v.progress.Incumbent, v.incumbent)
	if candidate := v.latest(); candidate != "" {
		s.Candidate = v.revision(candidate, v.Copies[candidate])
	}
	traffic := v.traffic()
	s.Traffic = &v1alpha1.TrafficStatus{Asked: traffic.Asked(), Taken: v.Route.Taken}
	if v.progress.Phase == PhaseStep {
		v.describeStep(s)
	}
}

// keeps says whether a pause keeps the rollout from going on. One of a candidate that is to leave the traffic for another revision, or
// with the Rollout, does not, though it is remembered until that is done.
func (v *view) keeps(paused *Word) bool {
	return !v.Deleting && (v.want == "" || paused.Revision == v.want)
}

// latest is the revision that is the candidate to people: what is tried, or is to be, or else what was given up last.
func (v *view) latest() string {
	switch {
	case v.progress.Phase == PhaseStep:
		return v.progress.Candidate
	case v.want != "" && v.want != v.progress.Incumbent:
		return v.want
	case v.progress.Phase != PhaseServing:
		return v.progress.Candidate
	}
	return ""
}

func (v *view) describeStep(s *v1alpha1.RolloutStatus) {
	index := v.index()
	s.Step = &v1alpha1.StepStatus{Index: int32(index), Position: v.position(index), Name: v.step().Name} //nolint:gosec // at most 50.
	if v.Verdict != nil {
		s.Verdict = verdictStatus(v.Verdict)
	}
	if !v.Route.Taken {
		return
	}
	since := metav1.NewTime(v.Route.TakenAt)
	s.Step.Since = &since
	s.Gates = v.gateStatus()
	if approval := v.step().Approval; approval != nil {
		s.Approval = v.approvalStatus(approval)
	}
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
	r.Unproven = v.isUnproven(name)
	if track != nil {
		r.Track, r.Replicas, r.Ready = track.Name, track.Replicas, track.Ready
		if r.Commit == "" && track.Template.Revision == name {
			r.Commit, r.Author = track.Template.Commit, track.Template.Author
		}
	}
	if r.Commit == "" && v.want == name && v.Workload != nil {
		// It waits for something, and has no record yet.
		r.Commit, r.Author = v.Workload.Template.Commit, v.Workload.Template.Author
	}
	return r
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
