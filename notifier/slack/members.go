package slack

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	slackapi "github.com/slack-go/slack"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// memberPrefix begins the names of members and user groups in decisions.
const memberPrefix = "slack:"

// memberID is what ids of members look like.
var memberID = regexp.MustCompile(`^[UW][A-Z0-9]{2,30}$`)

// groupID is what ids of user groups look like.
var groupID = regexp.MustCompile(`^S[A-Z0-9]{2,30}$`)

// mostGroups are remembered.
const mostGroups = 1000

// groupLife is how long what Slack said of a user group is believed.
const groupLife = 5 * time.Minute

// members remember who is in the user groups.
type members struct {
	mu    sync.Mutex
	known map[string]group
}

type group struct {
	users []string
	at    time.Time
}

// refusal is why somebody may not do something, in words for that person.
type refusal struct{ message string }

func (r *refusal) Error() string { return r.message }

// may says whether a member may decide on a step of a Rollout, and by which of its groups; a refusal where not.
func (a *App) may(ctx context.Context, rollout *v1alpha1.Rollout, step int32, verb v1alpha1.DecisionVerb, user string) (groups []string, err error) {
	if now := rollout.Status.Step; now != nil && verb == v1alpha1.VerbAbort {
		step = now.Index
	}
	gate := gateOf(rollout, step)
	named := gate != nil && len(gate.Approvers) > 0
	if !named || verb == v1alpha1.VerbAbort {
		refused := a.mayHere(ctx, rollout.Namespace, verb, user)
		if refused == nil || !named {
			return nil, refused
		}
	}
	return a.mayApprove(ctx, gate, verb, user)
}

// answerable says whether anybody in Slack may approve the present step, and abort its rollout.
func (a *App) answerable(rollout *v1alpha1.Rollout) (approve, abort bool) {
	users, groups := a.o.Approvers(rollout.Namespace)
	configured := len(users) > 0 || len(groups) > 0
	gate := gateOf(rollout, rollout.Status.Step.Index)
	if gate == nil || len(gate.Approvers) == 0 {
		return configured, configured
	}
	return ofSlack(gate), ofSlack(gate) || configured
}

// ofSlack says whether a step names approvers that are of Slack.
func ofSlack(gate *v1alpha1.Approval) bool {
	return slices.ContainsFunc(gate.Approvers, func(approver v1alpha1.Approver) bool {
		return strings.HasPrefix(approver.User, memberPrefix) || strings.HasPrefix(approver.Group, memberPrefix)
	})
}

// mayHere says whether the configuration lets a member decide in a namespace.
func (a *App) mayHere(ctx context.Context, namespace string, verb v1alpha1.DecisionVerb, user string) error {
	users, groups := a.o.Approvers(namespace)
	if len(users) == 0 && len(groups) == 0 {
		return &refusal{fmt.Sprintf("Nobody may %s through Slack in namespace %s: slack.approvers of Weighlock's configuration names nobody there.", verb, namespace)}
	}
	if slices.Contains(users, user) {
		return nil
	}
	in, doubt := a.among(ctx, user, groups)
	if len(in) > 0 {
		return nil
	}
	if doubt != nil {
		return doubt
	}
	return &refusal{fmt.Sprintf("You may not %s in namespace %s: you are not among slack.approvers of Weighlock's configuration.", verb, namespace)}
}

// mayApprove says whether a member is among the approvers of a step, and by which groups.
func (a *App) mayApprove(ctx context.Context, gate *v1alpha1.Approval, verb v1alpha1.DecisionVerb, user string) (groups []string, err error) {
	if !ofSlack(gate) {
		return nil, &refusal{fmt.Sprintf("You may not %s through Slack: the step's approvers are users and groups of the cluster. Use kubectl weighlock %s.", verb, verb)}
	}
	allowed, person := false, a.o.Person(user)
	var ids []string
	for _, approver := range gate.Approvers {
		id, isGroup := strings.CutPrefix(approver.Group, memberPrefix)
		switch {
		case approver.User == memberPrefix+user, person != "" && approver.User == person:
			allowed = true
		case isGroup:
			ids = append(ids, id)
		}
	}
	in, doubt := a.among(ctx, user, ids)
	for _, id := range in {
		allowed, groups = true, append(groups, memberPrefix+id)
	}
	if !allowed && doubt != nil {
		return nil, doubt
	}
	if !allowed {
		return nil, &refusal{fmt.Sprintf("You may not %s: you are none of the step's approvers.", verb)}
	}
	return groups, nil
}

// among says in which of some user groups a member is; doubt is why of some that isn't known. Slack is asked for all at once: the modal
// of an abort must open within three seconds of the click.
func (a *App) among(ctx context.Context, user string, ids []string) (in []string, doubt error) {
	is, errs := make([]bool, len(ids)), make([]error, len(ids))
	var work sync.WaitGroup
	for i, id := range ids {
		work.Go(func() { is[i], errs[i] = a.isIn(ctx, user, id) })
	}
	work.Wait()
	for i, id := range ids {
		if is[i] {
			in = append(in, id)
		}
		doubt = cmp.Or(errs[i], doubt)
	}
	return in, doubt
}

// isIn says whether a member is in a user group. Where Slack can't tell, nobody is.
func (a *App) isIn(ctx context.Context, user, id string) (bool, error) {
	if !groupID.MatchString(id) {
		return false, &refusal{fmt.Sprintf("Nobody can decide by the user group %q: ids of user groups look like S0614TZR7.", id)}
	}
	now := a.o.Clock.Now()
	a.members.mu.Lock()
	known, is := a.members.known[id]
	a.members.mu.Unlock()
	if is && now.Sub(known.at) < groupLife {
		return slices.Contains(known.users, user), nil
	}
	err := a.call(ctx, "usergroups.users.list", "", func(ctx context.Context, api *slackapi.Client) (err error) {
		known.users, err = api.GetUserGroupMembersContext(ctx, id)
		return err
	})
	if err != nil {
		a.o.Log.Error(advised(err), "asking who is in a user group of Slack", "group", id)
		return false, &refusal{fmt.Sprintf("Slack doesn't tell who is in the user group %s, so nobody can decide by it now. Try again, or use kubectl weighlock.", id)}
	}
	known.at = now
	a.members.mu.Lock()
	if len(a.members.known) >= mostGroups {
		clear(a.members.known)
	}
	a.members.known[id] = known
	a.members.mu.Unlock()
	return slices.Contains(known.users, user), nil
}
