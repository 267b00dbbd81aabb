package rollout

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// member begins the names of Slack's members and user groups.
const member = "slack:"

// approve notes an approval of the present step.
func (v *view) approve(d Decision, word Word) {
	h := &v.heard
	gate := v.step().Approval
	position := v.position(v.index())
	if gate == nil {
		h.refuse(d, v1alpha1.DecisionRejected, "step %s asks for no approval", position)
		return
	}
	if !eligible(gate, d) {
		h.refuse(d, v1alpha1.DecisionRejected, "%s is none of the approvers of step %s: %s", d.Actor, position, approvers(gate))
		return
	}
	given := v.valid(&Plan{}, gate, h.progress.Approvals)
	for _, before := range given {
		if before.Actor == d.Actor || before.who() == word.who() {
			h.refuse(d, v1alpha1.DecisionSuperseded, "step %s is approved %s already", position, before.by())
			return
		}
	}
	given = append(given, word)
	h.progress.Approvals = given
	got, hint := count(given)
	tally := fmt.Sprintf("%d of %d", got, quorum(gate))
	if got > quorum(gate) {
		tally = fmt.Sprintf("%d, and %d needed", got, quorum(gate))
	} else if got < quorum(gate) {
		tally += hint
	}
	h.take(d, v1alpha1.ReasonApproved, "step %s of %s is approved %s (%s)", position, d.Revision, d.by(), tally)
}

// eligible says whether the actor of a decision is among those who may approve.
func eligible(gate *v1alpha1.Approval, d Decision) bool {
	return len(gate.Approvers) == 0 || slices.ContainsFunc(gate.Approvers, func(a v1alpha1.Approver) bool {
		return (a.User != "" && (a.User == d.Actor || a.User == d.Person)) || (a.Group != "" && slices.Contains(d.Groups, a.Group))
	})
}

// approvers tells people who may approve.
func approvers(gate *v1alpha1.Approval) string {
	var names []string
	for _, a := range gate.Approvers {
		if a.User != "" {
			names = append(names, "user "+a.User)
		} else {
			names = append(names, "group "+a.Group)
		}
	}
	return strings.Join(names, ", ")
}

// approvals are those that count: given for the spec as it is, and not expired. When the next one expires is noted.
func (v *view) approvals(p *Plan, gate *v1alpha1.Approval) []Word {
	return v.valid(p, gate, v.progress.Approvals)
}

func (v *view) valid(p *Plan, gate *v1alpha1.Approval, words []Word) []Word {
	var valid []Word
	for _, word := range words {
		if word.Generation != v.Generation {
			continue
		}
		if gate.Expires != nil && v.reached(p, word.At.Add(gate.Expires.Duration)) {
			continue
		}
		valid = append(valid, word)
	}
	return valid
}

// who is the person behind a word, by the name that is known best.
func (w Word) who() string {
	if w.Person != "" {
		return w.Person
	}
	return w.Actor
}

// apart tells people why some approvals are not added up; empty where all are.
const apart = "; members of Slack count apart from users, unless slack.people of Weighlock's configuration says who they are"

// count is how many different people gave approvals. Who is known only by a name of Slack may be any of those who are known by
// their user's name, so both kinds are not added up; hint says so where it matters.
func count(given []Word) (n int, hint string) {
	users, members, unknown := map[string]bool{}, map[string]bool{}, false
	for _, word := range given {
		if strings.HasPrefix(word.Actor, member) {
			members[word.Actor] = true
		}
		if who := word.who(); !strings.HasPrefix(who, member) {
			users[who] = true
		} else {
			unknown = true
		}
	}
	if n = max(len(users), len(members)); unknown && len(users) > 0 {
		hint = apart
	}
	return n, hint
}

func quorum(gate *v1alpha1.Approval) int { return max(int(gate.Quorum), 1) }

// approvalGate is the gate that people open.
func (v *view) approvalGate(p *Plan, approval *v1alpha1.Approval) gate {
	given := v.approvals(p, approval)
	got, hint := count(given)
	want := quorum(approval)
	g := gate{name: GateApproval, reason: v1alpha1.ReasonApprovalNeeded, open: got >= want}
	var names []string
	for _, word := range given {
		names = append(names, word.by())
	}
	said := strings.Join(names, " and ")
	switch {
	case g.open:
		g.detail = "approved " + said
	case want == 1:
		g.missing = "a person's approval"
	default:
		g.missing = fmt.Sprintf("the approval of %d people (%d so far%s)", want, got, hint)
		g.detail = said
	}
	if len(approval.Approvers) > 0 && !g.open {
		g.missing += ", any of " + approvers(approval)
	}
	return g
}
