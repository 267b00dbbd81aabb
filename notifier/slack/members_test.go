package slack_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

func TestClick_IsForThoseWhoMay(t *testing.T) {
	gate := func(approvers ...v1alpha1.Approver) []v1alpha1.Step {
		return []v1alpha1.Step{{Weight: new(int32(5))}, {Weight: new(int32(50)), Approval: &v1alpha1.Approval{Approvers: approvers}}}
	}
	alice, leads := v1alpha1.Approver{User: "slack:U0ALICE"}, v1alpha1.Approver{Group: "slack:S0LEADS"}
	for name, try := range map[string]struct {
		steps  []v1alpha1.Step
		user   string
		edit   func(*rig)
		groups []string
		says   string
	}{
		"configured":            {user: "U0ALICE"},
		"configured group":      {user: "U0LEAD", edit: func(r *rig) { r.groups = []string{"S0LEADS"} }},
		"not configured":        {user: "U0EVE", says: "You may not approve in namespace"},
		"nobody configured":     {user: "U0ALICE", edit: func(r *rig) { r.users = nil }, says: "Nobody may approve through Slack"},
		"named":                 {steps: gate(alice), user: "U0ALICE"},
		"named group":           {steps: gate(leads), user: "U0LEAD", groups: []string{"slack:S0LEADS"}},
		"named, not the others": {steps: gate(alice, leads), user: "U0EVE", says: "none of the step's approvers"},
		"configured, not named": {steps: gate(leads), user: "U0ALICE", says: "none of the step's approvers"},
		"only users of the cluster": {
			steps: gate(v1alpha1.Approver{User: "alice"}, v1alpha1.Approver{Group: "leads"}), user: "U0ALICE", says: "Use kubectl weighlock approve",
		},
		"known as a user of the cluster": {
			steps: gate(v1alpha1.Approver{User: "alice"}, leads), user: "U0ALICE", edit: func(r *rig) { r.people["U0ALICE"] = "alice" },
		},
		"known as a user, where nobody of Slack is named": {
			steps: gate(v1alpha1.Approver{User: "alice"}), user: "U0ALICE", edit: func(r *rig) { r.people["U0ALICE"] = "alice" },
			says: "Use kubectl weighlock approve",
		},
		"a group that Slack doesn't tell": {steps: gate(v1alpha1.Approver{Group: "slack:S0GONE"}), user: "U0LEAD", says: "Slack doesn't tell who is in the user group S0GONE"},
		"named, beside such a group":      {steps: gate(v1alpha1.Approver{Group: "slack:S0GONE"}, alice), user: "U0ALICE"},
		"no id of a group":                {user: "U0LEAD", edit: func(r *rig) { r.groups = []string{"leads"} }, says: "ids of user groups look like"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, try.steps...)
			r.space.groups["S0LEADS"] = []string{"U0LEAD", "U0OTHER"}
			if try.edit != nil {
				try.edit(r)
			}
			r.becomes(asking)
			r.click(r.approve(try.user).payload())
			if try.says != "" {
				r.refused(try.user, try.says)
				return
			}
			d := r.made(1, v1alpha1.DecisionApplied, "approved")[0]
			if d.Spec.Actor != "slack:"+try.user || !slices.Equal(d.Spec.Groups, try.groups) {
				t.Errorf("the decision is %+v, want it by %s of %v", d.Spec, try.user, try.groups)
			}
		})
	}
}

func TestClick_AbortIsForWhoeverMayApproveAndForThoseConfigured(t *testing.T) {
	for user, may := range map[string]bool{"U0NAMED": true, "U0ALICE": true, "U0EVE": false} {
		r := newRig(t, v1alpha1.Step{Weight: new(int32(5))}, v1alpha1.Step{
			Weight: new(int32(50)), Approval: &v1alpha1.Approval{Approvers: []v1alpha1.Approver{{User: "slack:U0NAMED"}}},
		})
		r.becomes(asking)
		why := strings.ReplaceAll(r.reason("broken"), "U0ALICE", user)
		r.click(why)
		if may {
			r.made(1, v1alpha1.DecisionApplied, "aborted")
		} else {
			r.refused(user, "You may not abort")
		}
	}
}

func TestClick_AsksForAllGroupsAtOnce(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{"S0A", "S0B", "S0C", "S0D", "S0E", "S0F"} {
		r.space.groups[id], r.groups = []string{"U0LEAD"}, append(r.groups, id)
	}
	r.space.slow = map[string]time.Duration{"usergroups.users.list": 2 * time.Second}
	r.users = nil
	r.becomes(asking)
	r.app.Prepare(t.Context())
	if n := r.space.called("auth.test"); n != 1 {
		t.Errorf("Slack was asked %d times where the app is installed ahead of the click, want once", n)
	}
	began := time.Now()
	c := r.approve("U0LEAD")
	c.action = "weighlock-abort"
	r.click(c.payload())
	r.eventually("a modal", func() bool { return r.space.called("views.open") == 1 })
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the modal came after %s: one group is asked for after the other", took)
	}
	if n := r.space.called("auth.test"); n != 1 {
		t.Errorf("Slack was asked %d times where the app is installed, want once", n)
	}
}

func TestClick_AsksSlackOnceInAWhileWhoIsInAGroup(t *testing.T) {
	r := newRig(t)
	r.groups = []string{"S0LEADS"}
	r.space.groups["S0LEADS"] = []string{"U0LEAD"}
	r.becomes(asking, two)
	r.set(two)
	r.sync()
	r.click(r.approve("U0LEAD").payload())
	r.made(1, v1alpha1.DecisionApplied, "approved")
	second := r.approve("U0EVE")
	r.click(second.payload())
	r.answered("U0EVE", "You may not approve")
	if n := r.space.called("usergroups.users.list"); n != 1 {
		t.Errorf("Slack was asked %d times who is in the group, want once", n)
	}
}

func TestClick_ByPeopleOfOtherWorkspacesIsRefused(t *testing.T) {
	for name, edit := range map[string]func(*clicked){
		"clicked elsewhere": func(c *clicked) { c.team = "T0OTHER" },
		"guest":             func(c *clicked) { c.home = "T0OTHER" },
		"from nowhere":      func(c *clicked) { c.home, c.team = "", "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.becomes(asking)
			c := r.approve("U0ALICE")
			edit(&c)
			r.click(c.payload())
			r.refused("U0ALICE", "another workspace")
		})
	}
}

func TestClick_ByPeopleOfTheSameOrganisationCounts(t *testing.T) {
	r := newRig(t)
	r.space.org = "E0ORG"
	r.becomes(asking)
	c := r.approve("U0ALICE")
	c.home = "E0ORG"
	r.click(c.payload())
	r.made(1, v1alpha1.DecisionApplied, "approved")
}

func TestClick_AsksForTheWorkspaceAgainWhenTheTokenIsAnother(t *testing.T) {
	r := newRig(t)
	r.becomes(asking)
	r.click(r.approve("U0EVE").payload())
	r.answered("U0EVE", "You may not")
	r.mu.Lock()
	r.bearer = "xoxb-another"
	r.mu.Unlock()
	r.click(r.approve("U0ALICE").payload())
	r.eventually("another question", func() bool { return r.space.called("auth.test") == 2 })
	r.app.Wait()
	if n := len(r.decisions()); n != 0 {
		t.Errorf("there are %d decisions, though Slack doesn't take the token", n)
	}
}
