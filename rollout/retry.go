package rollout

import "github.com/weighlock/weighlock/api/v1alpha1"

// retry forgets that a revision failed, or was set back, when somebody wants it tried once more. It starts from the first step,
// like any other.
func retry(v *view) *Plan {
	decision := v.heard.retry
	if decision == nil {
		return nil
	}
	why := v.want + " is tried once more " + decision.by()
	p := doing(v1alpha1.StateProgressing, v1alpha1.ReasonRetried, why)
	serve := v.serve(v1alpha1.ReasonRetried, why)
	serve.Progress.Decided, serve.Progress.Retried = []string{decision.UID}, v.want
	p.Actions = append(p.Actions, serve, acted(*decision, "", "%s starts from its first step", v.want))
	return p
}

// retriable says whether the revision that is wanted failed, or was set back.
func (v *view) retriable() bool {
	return v.want != "" && v.want != v.progress.Incumbent && v.progress.Phase != PhaseStep && (v.failed(v.want) != "" || v.isSetBack())
}
