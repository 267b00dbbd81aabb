package slack

import (
	"fmt"
	"strings"

	slackapi "github.com/slack-go/slack"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/notifier"
)

// asks says whether the present step waits for people to approve it, as far as the spec was looked at.
func asks(rollout *v1alpha1.Rollout) bool {
	status := &rollout.Status
	return status.Approval != nil && status.Step != nil && status.Candidate != nil && status.Approval.Count < status.Approval.Quorum &&
		status.ObservedGeneration == rollout.Generation && rollout.DeletionTimestamp.IsZero()
}

// about says whether a prompt is about the present step, of the spec as it is.
func about(prompt *v1alpha1.Prompt, rollout *v1alpha1.Rollout) bool {
	status := &rollout.Status
	return status.Step != nil && status.Candidate != nil && prompt.Step == status.Step.Index &&
		prompt.Revision == status.Candidate.Revision && prompt.Generation == rollout.Generation
}

// wants is the title of a question.
func wants(rollout *v1alpha1.Rollout) string {
	return fmt.Sprintf("%s/%s asks for approval of step %s", rollout.Namespace, rollout.Name, position(rollout))
}

// question is the message that asks for an approval, with a button for each of what somebody in Slack may do.
func (a *App) question(rollout *v1alpha1.Rollout, prompt *v1alpha1.Prompt) message {
	title := wants(rollout)
	lines := []string{":raised_hand: *" + said(title) + "*"}
	if next := after(rollout); next != "" {
		lines = append(lines, next)
	}
	buttons, approvable := a.buttons(rollout, prompt)
	whom := who(rollout)
	if !approvable {
		whom += ", by " + code("kubectl weighlock approve")
	}
	lines = append(lines, approvals(rollout)+"; "+whom)
	m := message{plain: notifier.Cut(escape(title), mostPlain), state: "open " + approvals(rollout)}
	m.blocks = append(m.blocks, section(strings.Join(lines, "\n")), section("", facts(rollout, &v1alpha1.Thread{Revision: prompt.Revision})...))
	if evidence := evidence(rollout); evidence != "" {
		m.blocks = append(m.blocks, section(evidence))
	}
	var given []string
	for _, voiced := range rollout.Status.Approval.Given {
		given = append(given, ":thumbsup: "+voice(voiced))
	}
	if len(given) > 0 {
		m.blocks = append(m.blocks, small(strings.Join(given, "\n")))
	}
	if len(buttons) > 0 {
		m.blocks = append(m.blocks, slackapi.NewActionBlock("weighlock", buttons...))
	}
	return m
}

// bare asks in words alone, where Slack doesn't take the form of a question: then people know at least.
func bare(rollout *v1alpha1.Rollout) message {
	title := wants(rollout)
	text := ":raised_hand: *" + saidIn(mostText/2, title) + "*\nSlack doesn't take the form with buttons: decide by " + code("kubectl weighlock approve") + " or " + code("abort")
	return message{plain: notifier.Cut(escape(title), mostPlain), blocks: []slackapi.Block{section(text)}, state: "bare"}
}

// buttons are those of a question; approvable says that one approves.
func (a *App) buttons(rollout *v1alpha1.Rollout, prompt *v1alpha1.Prompt) (buttons []slackapi.BlockElement, approvable bool) {
	approvable, abortable := a.answerable(rollout)
	if approvable {
		approve := slackapi.NewButtonBlockElement(actionApprove, prompt.ID, plain("Approve")).WithStyle(slackapi.StylePrimary)
		text := "*" + saidIn(mostConfirm/2, rollout.Namespace+"/"+rollout.Name) + "* goes on from step " +
			saidIn(mostConfirm/4, position(rollout)) + " when the other gates are open, too."
		approve.Confirm = slackapi.NewConfirmationBlockObject(plain("Approve this step?"), markdown(text), plain("Approve"), plain("Not yet"))
		buttons = append(buttons, approve)
	}
	if abortable {
		buttons = append(buttons, slackapi.NewButtonBlockElement(actionAbort, prompt.ID, plain("Abort …")).WithStyle(slackapi.StyleDanger))
	}
	return buttons, approvable
}

// after tells what comes after the present step.
func after(rollout *v1alpha1.Rollout) string {
	next := int(rollout.Status.Step.Index) + 1
	if next >= len(rollout.Spec.Steps) {
		return "After it, the candidate is promoted: it gets all requests."
	}
	step := rollout.Spec.Steps[next]
	total := rollout.Spec.TotalWeight
	if total == 0 {
		total = 100
	}
	var parts []string
	if step.Weight != nil {
		parts = append(parts, fmt.Sprintf("%g%% of the requests", float64(*step.Weight)*100/float64(total)))
	}
	if len(step.Match) > 0 {
		parts = append(parts, "requests that match")
	}
	if step.Shadow != nil {
		parts = append(parts, fmt.Sprintf("copies of %d%% of the requests", *step.Shadow))
	}
	if len(parts) == 0 {
		return ""
	}
	return "After it, the candidate gets " + strings.Join(parts, " and ") + "."
}

// who tells who may approve the present step.
func who(rollout *v1alpha1.Rollout) string {
	gate := gateOf(rollout, rollout.Status.Step.Index)
	if gate == nil || len(gate.Approvers) == 0 {
		return "whoever may approve in " + code(rollout.Namespace)
	}
	var names []string
	for _, approver := range gate.Approvers {
		switch {
		case strings.HasPrefix(approver.Group, memberPrefix):
			names = append(names, "<!subteam^"+escape(strings.TrimPrefix(approver.Group, memberPrefix))+">")
		case approver.Group != "":
			names = append(names, "group "+code(approver.Group))
		default:
			names = append(names, mention(approver.User))
		}
	}
	return "any of " + strings.Join(names, ", ")
}

func voice(v v1alpha1.Voice) string {
	text := mention(v.Actor)
	if v.Via != "" {
		text += " through " + said(v.Via)
	}
	if v.Reason != "" {
		text += ": " + said(v.Reason)
	}
	return text
}

// closed is the message that asked once, and does no more. Decided are the decisions that were applied to its step.
func closed(rollout *v1alpha1.Rollout, prompt *v1alpha1.Prompt, decided []v1alpha1.Decision) message {
	name := rollout.Namespace + "/" + rollout.Name
	title := fmt.Sprintf("%s asked for approval of step %d of %s", name, prompt.Step+1, prompt.Revision)
	m := message{plain: notifier.Cut(escape(title), mostPlain), state: "closed"}
	var lines []string
	for _, d := range decided {
		sign := ":thumbsup:"
		if d.Spec.Verb == v1alpha1.VerbAbort {
			sign = ":octagonal_sign:"
		}
		lines = append(lines, sign+" "+said(past(d.Spec.Verb))+" by "+voice(v1alpha1.Voice{Actor: d.Spec.Actor, Via: d.Spec.Via, Reason: d.Spec.Reason}))
	}
	if len(lines) == 0 {
		lines = append(lines, "Nobody answered before the rollout moved on.")
	}
	m.blocks = append(m.blocks, section(said(title)), small(strings.Join(lines, "\n")))
	return m
}

func past(verb v1alpha1.DecisionVerb) string {
	switch verb {
	case v1alpha1.VerbPause:
		return "paused"
	case v1alpha1.VerbRetry:
		return "retried"
	case v1alpha1.VerbPromote, v1alpha1.VerbApprove, v1alpha1.VerbResume:
		return strings.TrimSuffix(string(verb), "e") + "ed"
	case v1alpha1.VerbAbort:
		return "aborted"
	default:
		return string(verb)
	}
}

// gateOf is the approval gate of a step; nil when it has none.
func gateOf(rollout *v1alpha1.Rollout, step int32) *v1alpha1.Approval {
	if step < 0 || int(step) >= len(rollout.Spec.Steps) {
		return nil
	}
	return rollout.Spec.Steps[step].Approval
}
