// Package podstatus says what a pod's status is, from what its containers are
// doing. It is pure: it does nothing and knows no clock.
package podstatus

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Container is what one container is doing.
type Container struct {
	Spec corev1.Container
	// State is what it does now, Last how it ended before.
	State, Last corev1.ContainerState
	Restarts    int32
	// Started is set once the startup probe has succeeded, Ready while the
	// readiness probe does.
	Started, Ready bool
	// ID names the present or else the last process.
	ID string
	// Done is set when it will not run again.
	Done bool
}

// Input is everything that a pod's status depends on.
type Input struct {
	// Pod is the pod as it is known; its status is the one to go on from.
	Pod        *corev1.Pod
	PodIP      string
	HostIP     string
	Start      metav1.Time
	Init, Main []Container
	// Stopping is set once the pod is to end.
	Stopping bool
	Now      metav1.Time
}

// Compute returns the pod's status. Conditions of other owners are kept, and a
// condition's time changes only with its status.
func Compute(in Input) corev1.PodStatus {
	status := *in.Pod.Status.DeepCopy()
	status.ObservedGeneration = in.Pod.Generation
	status.HostIP, status.PodIP = in.HostIP, in.PodIP
	status.HostIPs, status.PodIPs = nil, nil
	if in.HostIP != "" {
		status.HostIPs = []corev1.HostIP{{IP: in.HostIP}}
	}
	if in.PodIP != "" {
		status.PodIPs = []corev1.PodIP{{IP: in.PodIP}}
	}
	status.StartTime = &in.Start
	status.InitContainerStatuses = containerStatuses(in.Init, in.Stopping)
	status.ContainerStatuses = containerStatuses(in.Main, in.Stopping)
	status.Phase = phase(in)
	for _, c := range conditions(in, status) {
		c.ObservedGeneration = in.Pod.Generation
		setCondition(&status.Conditions, c, in.Now)
	}
	return status
}

func containerStatuses(containers []Container, stopping bool) []corev1.ContainerStatus {
	var out []corev1.ContainerStatus
	for _, c := range containers {
		started := c.Started && c.State.Running != nil
		out = append(out, corev1.ContainerStatus{
			Name:                 c.Spec.Name,
			State:                c.State,
			LastTerminationState: c.Last,
			Ready:                isReady(c) && !stopping,
			RestartCount:         c.Restarts,
			Image:                c.Spec.Image,
			ImageID:              c.Spec.Image,
			ContainerID:          c.ID,
			Started:              &started,
		})
	}
	return out
}

func isReady(c Container) bool {
	return c.State.Running != nil && c.Started && c.Ready
}

// phase follows the rules of a kubelet: a pod is Pending until each container
// has run, Running while any may run, and has then Succeeded or Failed.
func phase(in Input) corev1.PodPhase {
	for _, c := range in.Init {
		if c.Done && exitCode(c) != 0 {
			return corev1.PodFailed
		}
	}
	if !initialized(in) {
		return corev1.PodPending
	}
	done := !slices.ContainsFunc(in.Main, func(c Container) bool { return !c.Done })
	if done && slices.ContainsFunc(in.Main, func(c Container) bool { return exitCode(c) != 0 }) {
		return corev1.PodFailed
	}
	if done {
		return corev1.PodSucceeded
	}
	if slices.ContainsFunc(in.Main, neverRan) {
		return corev1.PodPending
	}
	return corev1.PodRunning
}

func neverRan(c Container) bool {
	return c.State.Running == nil && c.State.Terminated == nil && c.Last.Terminated == nil
}

func exitCode(c Container) int32 {
	if c.State.Terminated == nil {
		return 0
	}
	return c.State.Terminated.ExitCode
}

func initialized(in Input) bool {
	return !slices.ContainsFunc(in.Init, func(c Container) bool { return !c.Done || exitCode(c) != 0 })
}

func conditions(in Input, status corev1.PodStatus) []corev1.PodCondition {
	yes := func(t corev1.PodConditionType) corev1.PodCondition {
		return corev1.PodCondition{Type: t, Status: corev1.ConditionTrue}
	}
	no := func(t corev1.PodConditionType, reason, message string) corev1.PodCondition {
		return corev1.PodCondition{Type: t, Status: corev1.ConditionFalse, Reason: reason, Message: message}
	}
	out := []corev1.PodCondition{yes(corev1.PodScheduled)}
	if initialized(in) {
		out = append(out, yes(corev1.PodInitialized))
	} else {
		out = append(out, no(corev1.PodInitialized, "ContainersNotInitialized", "containers with incomplete status: "+names(in.Init, func(c Container) bool {
			return c.Done && exitCode(c) == 0
		})))
	}
	containers := yes(corev1.ContainersReady)
	switch {
	case status.Phase == corev1.PodSucceeded:
		containers = no(corev1.ContainersReady, "PodCompleted", "")
	case status.Phase == corev1.PodFailed:
		containers = no(corev1.ContainersReady, "PodFailed", "")
	case in.Stopping:
		containers = no(corev1.ContainersReady, "PodTerminating", "the pod is being stopped")
	case slices.ContainsFunc(in.Main, func(c Container) bool { return !isReady(c) }):
		containers = no(corev1.ContainersReady, "ContainersNotReady", "containers with unready status: "+names(in.Main, isReady))
	}
	ready := containers
	ready.Type = corev1.PodReady
	if gate, open := closedGate(in.Pod, status); open && ready.Status == corev1.ConditionTrue {
		ready = no(corev1.PodReady, "ReadinessGatesNotReady", "the condition "+gate+" is not True")
	}
	return append(out, containers, ready)
}

// names lists the containers for which a thing does not hold.
func names(containers []Container, holds func(Container) bool) string {
	text := "["
	for _, c := range containers {
		if holds(c) {
			continue
		}
		if text != "[" {
			text += " "
		}
		text += c.Spec.Name
	}
	return text + "]"
}

// closedGate finds a readiness gate that keeps the pod from being ready.
func closedGate(pod *corev1.Pod, status corev1.PodStatus) (string, bool) {
	for _, gate := range pod.Spec.ReadinessGates {
		open := slices.ContainsFunc(status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == gate.ConditionType && c.Status == corev1.ConditionTrue
		})
		if !open {
			return string(gate.ConditionType), true
		}
	}
	return "", false
}

func setCondition(conditions *[]corev1.PodCondition, c corev1.PodCondition, now metav1.Time) {
	i := slices.IndexFunc(*conditions, func(have corev1.PodCondition) bool { return have.Type == c.Type })
	if i < 0 {
		c.LastTransitionTime = now
		*conditions = append(*conditions, c)
		return
	}
	have := (*conditions)[i]
	c.LastProbeTime, c.LastTransitionTime = have.LastProbeTime, have.LastTransitionTime
	if have.Status != c.Status {
		c.LastTransitionTime = now
	}
	(*conditions)[i] = c
}
