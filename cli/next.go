package cli

import (
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// suggestion is a command that the user may want next.
type suggestion struct{ command, what string }

// next lists the commands that make sense now.
func (v *picture) next() []suggestion {
	r := v.rollout
	on := func(verb, flags, what string) suggestion {
		return suggestion{command: "kubectl weighlock " + verb + " " + r.Name + v.again + flags, what: what}
	}
	abort := on("abort", ` --reason "..."`, "puts all traffic back")
	switch {
	case r.DeletionTimestamp != nil:
		return nil
	case r.Status.Paused != nil:
		return []suggestion{on("resume", "", "lets it go on"), abort}
	case waitsForApproval(r):
		return []suggestion{on("approve", "", "opens the approval gate"), abort}
	}
	switch r.Status.State {
	case v1alpha1.StatePaused:
		return []suggestion{on("promote", "", "goes on to the next step in spite of the gates"), abort}
	case v1alpha1.StateRolledBack:
		return []suggestion{
			on("logs", "", "tells what happened"), on("diff", "", "shows what the revision changes"),
			on("retry", "", "tries the same revision again"),
		}
	case v1alpha1.StateStalled:
		if setBack(r) {
			return []suggestion{on("logs", "", "tells what happened"), on("retry", "", "tries the same revision again")}
		}
		return []suggestion{on("logs", "", "tells what happened")}
	case v1alpha1.StateStarting, v1alpha1.StateProgressing, v1alpha1.StateWaiting, v1alpha1.StatePromoting:
		if v.rollout.Status.Candidate != nil {
			return []suggestion{on("get", " --watch", "shows how it goes on"), abort}
		}
	case v1alpha1.StateAdopting, v1alpha1.StateIdle, v1alpha1.StateRollingBack, v1alpha1.StateSuspended, v1alpha1.StateDeleting:
	}
	return nil
}
