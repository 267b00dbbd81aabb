package rollout

import (
	"fmt"
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
	if !gate.Admits(d.Actor, d.Person, d.Groups) {
		h.refuse(d, v1alpha1.DecisionRejected, "%s is none of the approvers of step %s: %s", d.Actor, position, gate.Named())
		return
	}
	if len(v.valid(&Plan{}, gate, []Word{word})) == 0 {
		h.refuse(d, v1alpha1.DecisionSuperseded, "it is older than %s, which is how long an approval of step %s counts (expires): approve it again", gate.Expires.Duration, position)
		return
	}
	given := v.valid(&Plan{}, gate, h.progress.Approvals)
	for _, before := range given {
		if before.Actor == d.Actor || before.who() == word.who() {
			h.needless(d, "step %s is approved %s already", position, before.by())
			return
		}
	}
	if got, _ := count(given); got >= quorum(gate) {
		h.needless(d, "step %s has all approvals that it asks for: %d of %d", position, got, quorum(gate))
		return
	}
	given = append(given, word)
	h.progress.Approvals = given
	got, hint := count(given)
	tally := fmt.Sprintf("%d of %d", got, quorum(gate))
	if got < quorum(gate) {
		tally += hint
	}
	h.take(d, v1alpha1.ReasonApproved, "step %s of %s is approved %s (%s)", position, d.Revision, d.by(), tally)
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

// unlikely says whether the approvers that a gate names are enough only where it is known which user a member of Slack is.
func unlikely(gate *v1alpha1.Approval) bool {
	users, members := 0, 0
	for _, a := range gate.Approvers {
		switch {
		case a.Group != "":
			return false // It may have any number of people.
		case strings.HasPrefix(a.User, member):
			members++
		default:
			users++
		}
	}
	return len(gate.Approvers) > 0 && quorum(gate) > max(users, members)
}

func quorum(gate *v1alpha1.Approval) int { return max(int(gate.Quorum), 1) }

// approvalGate is the gate that people open.
func (v *view) approvalGate(p *Plan, approval *v1alpha1.Approval) gate {
	given := v.approvals(p, approval)
	got, hint := count(given)
	want := quorum(approval)
	if unlikely(approval) {
		hint = apart
	}
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
		g.missing += ", any of " + approval.Named()
	}
	return g
}
