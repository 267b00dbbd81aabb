package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/analysis/monitor"
	"github.com/weighlock/weighlock/analysis/template"
	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
	"github.com/weighlock/weighlock/router"
	"github.com/weighlock/weighlock/workload"
)

// observation is all that one reconciliation looked at.
type observation struct {
	snapshot rollout.Snapshot
	ref      workload.Reference
	target   router.Target
	routers  []router.Router
	// seen are the states of the Rollout and the workload.
	seen []rollout.Seen
	// kinds of the routes.
	kinds []client.Object
	// criteria of the analysis, in which templates are resolved; nil without an analysis that makes sense.
	criteria *template.Resolved
	answer   *monitor.Answer
	// pending are the decisions that have no outcome yet, settled those that have, oldest first.
	pending, settled []*v1alpha1.Decision
}

// observe gathers, from caches, what a plan is made from.
func (r *RolloutReconciler) observe(ctx context.Context, obj *v1alpha1.Rollout) (*observation, error) {
	o := &observation{
		ref: workload.Reference{
			Namespace: obj.Namespace, Rollout: obj.Name, UID: string(obj.UID), Name: obj.Spec.Workload.Name,
			TrackLabel: obj.Spec.Workload.TrackLabel, Service: obj.Spec.Service.Name, Port: obj.Spec.Service.Port,
		},
		target:   router.Target{Namespace: obj.Namespace, Rollout: obj.Name, Service: obj.Spec.Service.Name, Port: obj.Spec.Service.Port},
		snapshot: rollout.Snapshot{Spec: obj.Spec, Generation: obj.Generation, Deleting: !obj.DeletionTimestamp.IsZero()},
	}
	seen, err := r.Workloads.Observe(ctx, o.ref)
	if err != nil {
		return nil, fmt.Errorf("observing %s: %w", obj.Spec.Workload.Name, err)
	}
	o.snapshot.Observation = *seen
	o.seen = []rollout.Seen{{UID: string(obj.UID), Generation: obj.Generation}}
	if w := seen.Workload; w != nil {
		o.seen = append(o.seen, rollout.Seen{UID: w.UID, Generation: w.Generation})
	}
	if err := r.observeRoutes(ctx, obj, o); err != nil {
		return nil, err
	}
	if o.snapshot.Obstacle == nil {
		o.snapshot.Obstacle = stepObstacle(obj.Spec.Steps, o.routers)
	}
	if err := r.observeCriteria(ctx, obj, o); err != nil {
		return nil, err
	}
	r.observeVerdict(obj, o)
	if err := r.observeDecisions(ctx, obj, o); err != nil {
		return nil, err
	}
	return o, nil
}

// observeRoutes asks every router. The first one's progress counts; the route stands when all of them hold it.
func (r *RolloutReconciler) observeRoutes(ctx context.Context, obj *v1alpha1.Rollout, o *observation) error {
	var all []router.Observed
	for i, spec := range obj.Spec.Router {
		adapter, err := r.Routers(spec, obj.Spec.Steps)
		if err != nil {
			return fmt.Errorf("making router %d: %w", i, err)
		}
		o.routers = append(o.routers, adapter)
		seen, err := adapter.Observe(ctx, o.target)
		var unsupported *router.UnsupportedError
		switch {
		case errors.As(err, &unsupported):
			o.snapshot.Obstacle = &workload.Problem{Reason: v1alpha1.ReasonRouterUnsupported, Message: unsupported.Message}
		case err != nil:
			return fmt.Errorf("observing the route: %w", err)
		default:
			o.kinds = append(o.kinds, r.watches.ensure(ctx, adapter)...)
		}
		all = append(all, seen)
		o.snapshot.RestToRoot = o.snapshot.RestToRoot || adapter.Capabilities().RestToRoot
	}
	o.snapshot.Route = r.route(obj, o, all)
	return nil
}

func (r *RolloutReconciler) route(obj *v1alpha1.Rollout, o *observation, all []router.Observed) rollout.Route {
	first := all[0]
	route := rollout.Route{Exists: first.Exists, Foreign: first.Foreign, Taken: true}
	if first.Exists {
		// Progress that can't be read is as good as none: the workload is looked at as if for the first time.
		route.Progress, _ = rollout.ParseProgress(first.Progress)
	}
	for _, seen := range all {
		route.Taken = route.Taken && seen.Taken
		if seen.WrittenAt.After(route.WrittenAt) {
			route.WrittenAt = seen.WrittenAt
		}
		if seen.TakenAt.After(route.TakenAt) {
			route.TakenAt = seen.TakenAt
		}
		if seen.Settles.After(route.Settles) {
			route.Settles = seen.Settles
		}
	}
	route.Holds = func(traffic rollout.Traffic) bool {
		routed, ok := o.routed(traffic)
		if !ok {
			return false
		}
		for _, seen := range all {
			if !seen.Matches(routed) {
				return false
			}
		}
		return true
	}
	if o.snapshot.Deleting && !route.Exists {
		route.GoneSince = r.goneSince(obj)
	}
	return route
}

// goneSince is when the route of a Rollout under deletion was first seen to be gone. It is forgotten in a
// restart, which makes the deletion wait a little longer.
func (r *RolloutReconciler) goneSince(obj *v1alpha1.Rollout) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if since, known := r.gone[obj.UID]; known {
		return since
	}
	if r.gone == nil {
		r.gone = map[types.UID]time.Time{}
	}
	r.gone[obj.UID] = r.Clock.Now()
	return r.gone[obj.UID]
}

// routed names the Services of the tracks of a traffic state; false when a track is not there.
func (o *observation) routed(traffic rollout.Traffic) (router.Traffic, bool) {
	routed := router.Traffic{Weight: traffic.Weight, Total: traffic.Total, Match: traffic.Match, Shadow: traffic.Shadow}
	incumbent := o.track(traffic.Incumbent)
	if incumbent == nil {
		return routed, false
	}
	routed.Incumbent = incumbent.Service
	if traffic.Candidate == "" {
		return routed, true
	}
	candidate := o.track(traffic.Candidate)
	if candidate == nil {
		return routed, false
	}
	routed.Candidate = candidate.Service
	return routed, true
}

func (o *observation) track(name string) *workload.State {
	if name == "" {
		return o.snapshot.Workload
	}
	return o.snapshot.Copies[name]
}

// stepObstacle says which step the routers can't express, before any traffic moves; nil when they can all.
func stepObstacle(steps []v1alpha1.Step, routers []router.Router) *workload.Problem {
	for i, step := range steps {
		for _, adapter := range routers {
			if message := inexpressible(step, adapter.Capabilities()); message != "" {
				return &workload.Problem{Reason: v1alpha1.ReasonStepUnsupported, Message: fmt.Sprintf("spec.steps[%d]: %s", i, message)}
			}
		}
		for j, match := range step.Match {
			for k, header := range match.Headers {
				if _, err := regexp.Compile(header.Regex); err != nil {
					return &workload.Problem{Reason: v1alpha1.ReasonInvalidRegex, Message: fmt.Sprintf("spec.steps[%d].match[%d].headers[%d].regex is not RE2: %s", i, j, k, err)}
				}
			}
		}
	}
	return nil
}

func inexpressible(step v1alpha1.Step, can router.Capabilities) string {
	switch {
	case step.Weight != nil && *step.Weight > 0 && !can.Weights:
		return "the router can't split by weight"
	case len(step.Match) > 0 && !can.Match:
		return cmp.Or(can.NoMatch, "the router can't match headers: use weight steps, or a router that can")
	case len(step.Match) > 0 && step.Weight != nil && *step.Weight > 0 && !can.WeightWithMatch:
		return "the router can't match headers and split by weight at once: make two steps of it"
	case step.Shadow != nil && !can.Mirror:
		return cmp.Or(can.NoMirror, "the router can't mirror requests: leave the shadow step out, or use a router that can")
	}
	return ""
}

func keyOf(obj *v1alpha1.Rollout) string { return obj.Namespace + "/" + obj.Name }
