package rollout

import (
	"fmt"
	"strings"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

// natively deals with a workload that was rolled out past its steps: it was not held, or somebody resumed it. What
// has rolled is the incumbent, for it serves already; unless it failed before.
func natively(v *view) *Plan {
	w := v.Workload
	if v.progress.OnCopy || v.want == v.progress.Incumbent || w.Replicas == 0 || v.failed(v.want) != "" {
		return nil
	}
	if !w.Rolled || !runs(w, v.want) {
		return nil
	}
	return v.takeAsItIs(v.want+" was rolled out past its steps, and serves", SetRoute{
		Progress: Progress{Reason: "rolled out past its steps"}, Event: v1alpha1.ReasonRolledNatively, Warning: true,
	})
}

// rescue serves the incumbent from a copy of its own when the workload's pods are not, or not only, the
// incumbent's: frozen in mid-roll, resumed by somebody else, or scaled from zero. A pause keeps such a mix for good, and
// what it rolls to may be a version that failed.
func rescue(v *view) *Plan {
	if !v.displaced() {
		return nil
	}
	if _, known := v.Records[v.progress.Incumbent]; !known {
		return v.mixed()
	}
	why := v.mixture() + ": " + v.progress.Incumbent + " serves from a copy"
	p := doing(v1alpha1.StateProgressing, v1alpha1.ReasonRescuing, why)
	size, revision := v.size(), v.progress.Incumbent
	c := v.Copies[revision]
	switch {
	case c == nil || !c.Served:
		p.Actions = append(p.Actions, Copy{Revision: revision, Replicas: size})
	case !c.Deleting:
		p.Actions = append(p.Actions, resize(revision, c, size)...)
	}
	if c == nil || !c.Served || c.Deleting || c.Ready < size {
		p.Status.WaitingFor = "a copy of the incumbent to be ready"
		// Meanwhile a route that somebody else wrote is none to keep.
		if mended := reassert(v); mended != nil {
			p.Actions = append(p.Actions, mended.Actions...)
			again(p, mended.Again)
		}
		return p
	}
	route := SetRoute{Traffic: v.traffic(), Progress: v.anew(), Event: v1alpha1.ReasonRescued, Warning: true}
	if len(route.Traffic.Match) > 0 && v.RestToRoot {
		route.Traffic = Traffic{Total: v.total()}
		route.Progress = v.serve("", why).Progress
		route.Progress.Paused = v.keptPause()
	}
	route.Traffic.Incumbent, route.Progress.OnCopy = revision, true
	p.Actions = append(p.Actions, v.protected(revision, c)...)
	p.Actions = append(p.Actions, route)
	return p
}

// displaced says that the workload is the incumbent's track, and can't be.
func (v *view) displaced() bool {
	w := v.Workload
	if v.progress.Phase == "" || v.progress.OnCopy || w == nil || !w.Adopted {
		return false
	}
	home := v.want == v.progress.Incumbent
	switch {
	case w.Replicas == 0:
		return !home && v.stays()
	case home && !w.Paused:
		return false // it rolls to the incumbent by itself
	}
	return !runs(w, v.progress.Incumbent)
}

// mixture tells what the workload's pods run instead of the incumbent.
func (v *view) mixture() string {
	w := v.Workload
	how := "rolls to " + v.want + " by itself (is the admission policy weighlock-hold installed, and has nobody resumed it?)"
	if w.Paused {
		how = "is paused"
	}
	switch {
	case w.Replicas == 0:
		return fmt.Sprintf("the workload %s has no pods, and must not start %s", w.Name, v.want)
	case len(w.Running) == 0:
		return fmt.Sprintf("the workload %s %s without pods", w.Name, how)
	default:
		return fmt.Sprintf("the workload %s %s while its pods run %s", w.Name, how, strings.Join(w.Running, " and "))
	}
}

// mixed says that a workload was frozen in mid-roll, which only a person can resolve.
func (v *view) mixed() *Plan {
	return stall(v1alpha1.ReasonMixed, v.mixture()+": resume it to let it finish")
}

// runs says whether a track has pods, and all of them run one revision.
func runs(track *workload.State, revision string) bool {
	return len(track.Running) == 1 && track.Running[0] == revision
}

// runsOnly says likewise of a track that may have no pods yet.
func runsOnly(track *workload.State, revision string) bool {
	return len(track.Running) == 0 || runs(track, revision)
}

// mend takes a candidate out of the traffic whose copy was changed by somebody else, so that it runs something
// that nobody committed; tidy makes it again, and it starts from the first step.
func mend(v *view) *Plan {
	c := v.candidate
	if v.progress.Phase != PhaseStep || c == nil || runsOnly(c, v.progress.Candidate) {
		return nil
	}
	return v.withdraw(v1alpha1.ReasonCopyChanged, fmt.Sprintf("pods of the copy %s run %s: somebody changed it", c.Name, strings.Join(c.Running, " and ")))
}
