package cli

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
)

// stepNodes shows the steps: those that are behind, the present one with its gates, and what comes.
func (v *picture) stepNodes(p palette) *node {
	r := v.rollout
	if len(r.Spec.Steps) == 0 {
		return row(painted(bold, "steps"), words("none: a new revision gets all traffic as soon as it is ready"))
	}
	if r.Status.Step == nil && !v.hasFailed() && r.Status.State != v1alpha1.StatePromoting {
		return row(painted(bold, "steps"), words(v.stepList(p)))
	}
	records := v.records()
	n := row(painted(bold, "steps"), words(""))
	for i := range r.Spec.Steps {
		n.add(v.stepNode(p, i, records[int32(i)]))
	}
	return n
}

// stepList is all steps in one line.
func (v *picture) stepList(p palette) string {
	list := make([]string, 0, len(v.rollout.Spec.Steps))
	for i := range v.rollout.Spec.Steps {
		step := &v.rollout.Spec.Steps[i]
		if step.Name != "" {
			list = append(list, step.Name+" "+stepTraffic(v.rollout, step))
			continue
		}
		list = append(list, stepTraffic(v.rollout, step))
	}
	return strings.Join(append(list, "all"), " "+p.glyphs.arrow+" ")
}

// hasFailed says whether the last thing that happened is that a candidate went back.
func (v *picture) hasFailed() bool {
	state := v.rollout.Status.State
	return v.rollout.Status.Candidate != nil && (v.rollout.Status.Candidate.Failed != "" || state == v1alpha1.StateRolledBack || state == v1alpha1.StateRollingBack)
}

// records are those of the steps that the present candidate, or the last one, went through.
func (v *picture) records() map[int32]*v1alpha1.AnalysisRecord {
	revision := ""
	switch status := v.rollout.Status; {
	case status.Candidate != nil:
		revision = status.Candidate.Revision
	case status.Incumbent != nil:
		revision = status.Incumbent.Revision
	}
	found := map[int32]*v1alpha1.AnalysisRecord{}
	for i := range v.rollout.Status.AnalysisHistory {
		if record := &v.rollout.Status.AnalysisHistory[i]; record.Candidate == revision {
			found[record.Step] = record
		}
	}
	return found
}

// stepTraffic is the share that a step asks for, such as 5% + match.
func stepTraffic(r *v1alpha1.Rollout, step *v1alpha1.Step) string {
	t := rollout.Traffic{Candidate: "any", Total: r.Spec.TotalWeight, Match: step.Match}
	if t.Total == 0 {
		t.Total = 100
	}
	if step.Weight != nil {
		t.Weight = *step.Weight
	}
	if step.Shadow != nil {
		t.Shadow = *step.Shadow
	}
	return t.Asked()
}

// stepNode shows one step.
func (v *picture) stepNode(p palette, index int, record *v1alpha1.AnalysisRecord) *node {
	step := &v.rollout.Spec.Steps[index]
	present := v.rollout.Status.Step
	name := strconv.Itoa(index + 1)
	if step.Name != "" {
		name += " " + step.Name
	}
	asked := stepTraffic(v.rollout, step)
	switch {
	case present != nil && int(present.Index) == index:
		state := "the mesh is taking it"
		if present.Since != nil {
			state = "for " + age(v.now, present.Since.Time)
		}
		n := row(painted(cyan, p.glyphs.present+" ").and(span{text: name, code: bold}), painted(bold, asked), words(state))
		return n.add(v.gateNodes(p)...)
	case record != nil && record.Outcome == v1alpha1.OutcomeFail:
		return row(painted(red, p.glyphs.bad+" ").and(span{text: name}), words(asked), v.recordText(record))
	case record != nil:
		code, glyph := green, p.glyphs.good
		if v.hasFailed() && v.isLast(record) {
			code, glyph = red, p.glyphs.bad
		}
		return row(painted(code, glyph+" ").and(span{text: name}), words(asked), v.recordText(record))
	case present != nil && index < int(present.Index), v.rollout.Status.State == v1alpha1.StatePromoting:
		return row(painted(green, p.glyphs.good+" ").and(span{text: name}), words(asked))
	}
	return row(painted(faint, p.glyphs.todo+" "+name), painted(faint, asked), painted(faint, needs(step)))
}

// isLast says whether the record is of the last step that was entered.
func (v *picture) isLast(record *v1alpha1.AnalysisRecord) bool {
	history := v.rollout.Status.AnalysisHistory
	return len(history) > 0 && record == &history[len(history)-1]
}

// recordText tells how a step went.
func (v *picture) recordText(record *v1alpha1.AnalysisRecord) text {
	line := text{}
	if record.Until != nil {
		line = line.and(span{text: "for " + duration.HumanDuration(record.Until.Sub(record.Since.Time)), code: faint})
	} else {
		line = line.and(span{text: "entered " + age(v.now, record.Since.Time) + " ago", code: faint})
	}
	if record.Outcome != "" {
		line = line.and(span{text: ", "}, span{text: string(record.Outcome), code: outcomeColour(record.Outcome)})
	}
	if record.Message != "" && (v.wide || (record.Outcome == v1alpha1.OutcomeFail && !strings.Contains(stalledMessage(v.rollout), record.Message))) {
		line = line.and(span{text: ": " + record.Message, code: faint})
	}
	return line
}

func outcomeColour(outcome v1alpha1.Outcome) string {
	switch outcome {
	case v1alpha1.OutcomePass:
		return green
	case v1alpha1.OutcomeFail:
		return red
	case v1alpha1.OutcomeInconclusive:
	}
	return yellow
}

// needs tells the gates of a step that is to come.
func needs(step *v1alpha1.Step) string {
	var list []string
	if step.Hold != nil {
		list = append(list, "hold "+step.Hold.Duration.String())
	}
	if approval := step.Approval; approval != nil {
		list = append(list, "approval by "+people(approval.Quorum))
	}
	return strings.Join(list, ", ")
}

// people counts people; at least one is asked for.
func people(n int32) string {
	if n <= 1 {
		return "1 person"
	}
	return fmt.Sprintf("%d people", n)
}

// gateNodes shows the gates of the present step, with what was measured and who approved.
func (v *picture) gateNodes(p palette) []*node {
	status := &v.rollout.Status
	var nodes []*node
	for _, gate := range status.Gates {
		mark, code := p.glyphs.good, green
		if !gate.Open {
			mark, code = p.glyphs.waiting, yellow
		}
		n := row(painted(code, mark+" "+gate.Name), words(gate.Message))
		switch gate.Name {
		case "analysis":
			n.add(v.metricNodes(p)...)
		case "approval":
			if !gate.Open {
				// An open gate tells whose approvals opened it.
				n.add(v.approvalNodes(p)...)
			}
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// metricNodes shows what was measured of each metric on both tracks.
func (v *picture) metricNodes(p palette) []*node {
	verdict := v.rollout.Status.Verdict
	if verdict == nil {
		return nil
	}
	var nodes []*node
	for _, m := range verdict.Metrics {
		measured := words("")
		if m.Incumbent != "" || m.Candidate != "" {
			measured = words(fmt.Sprintf("%s %s %s", told(m.Incumbent), p.glyphs.arrow, told(m.Candidate)))
		}
		outcome := text{{text: string(m.Outcome), code: outcomeColour(m.Outcome)}}
		if m.DryRun {
			outcome = outcome.and(span{text: " (dry run)", code: faint})
		}
		if m.Message != "" && (v.wide || len(verdict.Metrics) > 1 && m.Outcome == v1alpha1.OutcomeFail) {
			outcome = outcome.and(span{text: ": " + m.Message, code: faint})
		}
		nodes = append(nodes, row(words(m.Name), measured, outcome))
	}
	return nodes
}

// told is a value, or that there is none.
func told(value string) string {
	if value == "" {
		return "nothing"
	}
	return value
}

// approvalNodes shows who has approved.
func (v *picture) approvalNodes(p palette) []*node {
	approval := v.rollout.Status.Approval
	if approval == nil {
		return nil
	}
	var nodes []*node
	for _, given := range approval.Given {
		nodes = append(nodes, row(painted(green, p.glyphs.good+" ").and(span{text: v.voice(&given)})))
	}
	return nodes
}

// waitsForApproval says whether the present step lacks approvals.
func waitsForApproval(r *v1alpha1.Rollout) bool {
	approval := r.Status.Approval
	return r.Status.Step != nil && approval != nil && approval.Count < approval.Quorum
}
