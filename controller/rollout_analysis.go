package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/monitor"
	"github.com/weighlock/weighlock/analysis/template"
	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/rollout"
	"github.com/weighlock/weighlock/workload"
)

// observeCriteria resolves the templates that the analysis names, and says what is wrong with it before a rollout begins.
func (r *RolloutReconciler) observeCriteria(ctx context.Context, obj *v1alpha1.Rollout, o *observation) error {
	if obj.Spec.Analysis == nil {
		return nil
	}
	resolved, err := template.Resolve(*obj.Spec.Analysis, func(name string) (*v1alpha1.AnalysisTemplate, error) {
		found := &v1alpha1.AnalysisTemplate{}
		err := r.Client.Get(ctx, client.ObjectKey{Namespace: obj.Namespace, Name: name}, found)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return found, err
	})
	if err == nil {
		o.criteria = &resolved
		_, err = analysis.ParseCriteria(resolved.Analysis)
		err = resolved.Explain(err)
	}
	if field, is := errors.AsType[*analysis.FieldError](err); is {
		o.obstruct(v1alpha1.ReasonInvalidAnalysis, field.Error())
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the analysis: %w", err)
	}
	return nil
}

// obstruct says what is in the way, unless something else is already.
func (o *observation) obstruct(reason, message string) {
	if o.snapshot.Obstacle == nil {
		o.snapshot.Obstacle = &workload.Problem{Reason: reason, Message: message}
	}
}

// observeVerdict takes the newest answer on the present step.
func (r *RolloutReconciler) observeVerdict(obj *v1alpha1.Rollout, o *observation) {
	answer, known := r.Monitor.Latest(keyOf(obj))
	if !known || answer.Stage != stageID(o.snapshot.Route) {
		return
	}
	o.answer = &answer
	switch {
	case answer.Err == nil:
	case answer.IsFieldError() && o.criteria != nil:
		o.obstruct(v1alpha1.ReasonInvalidAnalysis, o.criteria.Explain(answer.Err).Error())
		return
	default:
		o.snapshot.Outage = answer.Err.Error()
	}
	o.snapshot.Verdict, o.snapshot.Measured = &answer.Verdict, &answer.Newest
	o.snapshot.MeasuredLate = answer.Late
}

// weigh has the present step weighed, or stops that. What was found of the rollout stays while it runs.
func (r *RolloutReconciler) weigh(obj *v1alpha1.Rollout, o *observation, plan rollout.Plan) {
	progress := o.snapshot.Route.Progress
	switch {
	case progress == nil || progress.Phase != rollout.PhaseStep || o.snapshot.Deleting || obj.Spec.Analysis == nil:
		r.Monitor.Forget(keyOf(obj))
	case !plan.Weigh:
		r.Monitor.Rest(keyOf(obj))
	case o.criteria == nil:
		// What can't be read any more must not blind us in mid-step: what was asked before is asked on.
	default:
		r.Monitor.Watch(keyOf(obj), o.question(obj))
	}
}

// question is what is to be known of the rollout that runs.
func (o *observation) question(obj *v1alpha1.Rollout) monitor.Question {
	progress := o.snapshot.Route.Progress
	question := monitor.Question{
		ID: progress.Incumbent + "/" + progress.Candidate, Criteria: o.criteria.Analysis, Incumbent: o.measured(o.incumbentTrack()),
	}
	if o.criteria.Analysis.Interval != nil {
		question.Interval = o.criteria.Analysis.Interval.Duration
	}
	if candidate := o.track(progress.Candidate); candidate != nil {
		question.Ready = candidate.ReadySince
	}
	for _, record := range o.history(obj.Status.AnalysisHistory) {
		if int(record.Step) >= len(obj.Spec.Steps) {
			continue
		}
		traffic := o.snapshot.TrafficOf(obj.Spec.Steps[record.Step])
		if !traffic.Reaches() {
			continue
		}
		stage := o.stage(traffic)
		stage.Since = record.Since.Time
		stage.ID = stageName(record.Candidate, int(record.Step), stage.Since)
		if record.Until != nil {
			stage.Until = record.Until.Time
		}
		question.Stages = append(question.Stages, stage)
	}
	return question
}

// stage is what is weighed where that traffic was asked for.
func (o *observation) stage(traffic rollout.Traffic) monitor.Stage {
	stage := monitor.Stage{
		Incumbent: o.measured(o.incumbentTrack()), Candidate: o.measured(o.snapshot.Route.Progress.Candidate),
		Stage: analysis.Stage{Share: traffic.Share(), Random: len(traffic.Match) == 0, Mirrored: traffic.Mirrors()},
	}
	if source := o.criteria.Analysis.Source; len(traffic.Match) > 0 && o.snapshot.RestToRoot && (source == nil || source.Counters == nil) {
		// What doesn't match goes past the incumbent's track service, and the mesh counts it on the root Service's.
		stage.Incumbent.Service = o.ref.Service
	}
	return stage
}

// incumbentTrack names the track that serves the incumbent.
func (o *observation) incumbentTrack() string {
	if progress := o.snapshot.Route.Progress; progress.OnCopy {
		return progress.Incumbent
	}
	return ""
}

// measured names a track to the metrics provider.
func (o *observation) measured(track string) analysis.Track {
	state := o.track(track)
	if state == nil {
		return analysis.Track{}
	}
	return analysis.Track{Namespace: o.ref.Namespace, Service: state.Service, Workload: state.Name, Port: o.ref.Port}
}

// stageID names the present step of a route: another step has another one, and the same step again too.
func stageID(route rollout.Route) string {
	if route.Progress == nil {
		return ""
	}
	return stageName(route.Progress.Candidate, route.Progress.Step, sinceOf(route))
}

func stageName(candidate string, step int, since time.Time) string {
	return fmt.Sprintf("%s/%d/%d", candidate, step, since.UnixMicro())
}

// sinceOf is when the mesh had taken the route, as exactly as a status keeps it.
func sinceOf(route rollout.Route) time.Time { return route.TakenAt.UTC().Truncate(time.Microsecond) }

// templatesOf are the templates that a Rollout names.
func templatesOf(obj *v1alpha1.Rollout) []string {
	if obj.Spec.Analysis == nil {
		return nil
	}
	var names []string
	for _, reference := range obj.Spec.Analysis.Templates {
		names = append(names, reference.Name)
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}
