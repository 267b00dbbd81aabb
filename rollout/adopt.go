package rollout

import (
	"fmt"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// adopt takes a workload in without restarting a pod: labels, a record of its
// template, a track service, and a route that sends all traffic where it goes already.
// It is also what finds its way back when the route was deleted.
func adopt(v *view) *Plan {
	w := v.Workload
	if v.progress.Phase != "" {
		return nil
	}
	if len(w.Running) > 1 && w.Paused {
		return v.mixed()
	}
	// Whether it has rolled to its template is known only once it is labelled: caches hold others in part.
	if rolling := len(w.Running) > 1; !rolling && !w.Adopted {
		return doing(v1alpha1.StateAdopting, v1alpha1.ReasonAdopting, "labelling the workload", Adopt{})
	}
	if w.Replicas > 0 && (len(w.Running) != 1 || (!w.Rolled && !w.Paused)) {
		return waiting(v1alpha1.StateAdopting, v1alpha1.ReasonAdopting, "the workload is in the middle of a roll",
			fmt.Sprintf("the workload to finish rolling: %d of %d pods ready", w.Ready, w.Replicas))
	}
	p := doing(v1alpha1.StateAdopting, v1alpha1.ReasonAdopting, "")
	if !w.Served {
		p.Actions = append(p.Actions, Serve{})
	}
	incumbent := v.want
	if len(w.Running) == 1 {
		incumbent = w.Running[0]
	}
	if _, known := v.Records[incumbent]; !known {
		if incumbent != v.want {
			return stall(v1alpha1.ReasonPausedMidway, fmt.Sprintf("the workload %s is paused, and its template is not the one that its pods run: resume it, or set the template back, then it will be adopted", w.Name))
		}
		p.Actions = append(p.Actions, Record{Template: w.Template})
	}
	if !w.Served || (w.Ready == 0 && w.Replicas > 0) {
		p.Why = "the workload's track service has no endpoints yet"
		p.Status.WaitingFor = fmt.Sprintf("endpoints of %s", w.Service)
		return p
	}
	p.Why = "the workload is adopted as it runs"
	p.Actions = append(p.Actions, SetRoute{
		Traffic:  Traffic{Total: v.total()},
		Progress: Progress{Phase: PhaseServing, Incumbent: incumbent, Reason: "adopted"},
		Event:    v1alpha1.ReasonAdopted,
	})
	return p
}

// relabel mends a workload whose labels were taken off while its rollout is under way: without
// them nothing holds it, and nothing is known of its template.
func relabel(v *view) *Plan {
	if v.progress.Phase == "" || v.Problem != nil || v.Workload == nil || v.Workload.Adopted {
		return nil
	}
	return doing(v1alpha1.StateProgressing, v1alpha1.ReasonRelabelling, "the workload lost its labels: writing them again", Adopt{})
}
