package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// mostPods is how many ready pods of a track are shown one by one; those that aren't ready are all shown.
const mostPods = 5

// podNodes shows the pods of a track: what is wrong first.
func (v *picture) podNodes(p palette, pods []corev1.Pod) []*node {
	var nodes []*node
	ready := 0
	for i := range pods {
		if podReady(&pods[i]) {
			if ready++; ready > mostPods && !v.wide {
				continue
			}
		}
		nodes = append(nodes, v.podNode(p, &pods[i]))
	}
	if hidden := ready - mostPods; hidden > 0 && !v.wide {
		nodes = append(nodes, row(painted(faint, fmt.Sprintf("%s and %d more that are ready (-o wide shows all)", p.glyphs.good, hidden))))
	}
	return nodes
}

// podNode shows one pod.
func (v *picture) podNode(p palette, pod *corev1.Pod) *node {
	mark, trouble := painted(green, p.glyphs.good), podTrouble(pod)
	switch {
	case pod.DeletionTimestamp != nil:
		mark, trouble = painted(faint, p.glyphs.todo), "ends"
	case !podReady(pod):
		mark = painted(yellow, p.glyphs.waiting)
		if podFails(pod) {
			mark = painted(red, p.glyphs.bad)
		}
	}
	facts := text{}
	if trouble != "" {
		facts = facts.and(span{text: trouble, code: mark[0].code}, span{text: ", "})
	} else {
		facts = facts.and(span{text: "ready, "})
	}
	if restarts := podRestarts(pod); restarts > 0 {
		facts = facts.and(span{text: counted(restarts, "restart") + ", ", code: yellow})
	}
	facts = facts.and(span{text: age(v.now, pod.CreationTimestamp.Time) + " old", code: faint})
	if v.wide {
		facts = facts.and(span{text: fmt.Sprintf(", on %s, %s", cmp.Or(pod.Spec.NodeName, "no node"), cmp.Or(pod.Status.PodIP, "no address")), code: faint})
	}
	return row(mark.and(span{text: " " + pod.Name}), facts)
}

// podReady says whether the pod takes requests.
func podReady(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// podRestarts counts how often its containers were started again.
func podRestarts(pod *corev1.Pod) int {
	restarts := 0
	for _, c := range pod.Status.ContainerStatuses {
		restarts += int(c.RestartCount)
	}
	return restarts
}

// podTrouble says why a pod isn't ready, as far as it tells; empty where it is.
func podTrouble(pod *corev1.Pod) string {
	if podReady(pod) {
		return ""
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if trouble := containerTrouble(c); trouble != "" {
			return trouble
		}
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodReady} {
		for _, c := range pod.Status.Conditions {
			if c.Type == kind && c.Status != corev1.ConditionTrue && c.Message != "" {
				return "not ready: " + c.Message
			}
		}
	}
	if pod.Status.Message != "" {
		return "not ready: " + pod.Status.Message
	}
	return "not ready"
}

// containerTrouble says what keeps a container from running; empty where it runs.
func containerTrouble(c corev1.ContainerStatus) string {
	ordinary := []string{"", "ContainerCreating", "PodInitializing"}
	switch {
	case c.State.Waiting != nil && !slices.Contains(ordinary, c.State.Waiting.Reason):
		trouble := c.Name + ": " + c.State.Waiting.Reason
		if last := c.LastTerminationState.Terminated; last != nil {
			return fmt.Sprintf("%s (ended with exit code %d%s)", trouble, last.ExitCode, said(last.Message))
		}
		return trouble + said(c.State.Waiting.Message)
	case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0:
		ended := c.State.Terminated
		return fmt.Sprintf("%s: ended with exit code %d%s", c.Name, ended.ExitCode, said(ended.Message))
	}
	return ""
}

// said puts a message behind a sentence, where there is one.
func said(message string) string {
	if message = strings.TrimSpace(message); message == "" {
		return ""
	}
	return ": " + message
}

// podFails says whether a pod isn't only not ready yet: something of it failed.
func podFails(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodFailed {
		return true
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if containerTrouble(c) != "" {
			return true
		}
	}
	return false
}

// age is the time since then, in a word.
func age(now, then time.Time) string {
	if then.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(max(0, now.Sub(then)))
}
