package podstatus_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/local/node/podstatus"
)

var (
	before = metav1.NewTime(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))
	now    = metav1.NewTime(before.Add(time.Minute))
)

func waiting(name string) podstatus.Container {
	return podstatus.Container{Spec: corev1.Container{Name: name}, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}}
}

func running(name string) podstatus.Container {
	return podstatus.Container{Spec: corev1.Container{Name: name}, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, Started: true, Ready: true}
}

func ended(name string, code int32) podstatus.Container {
	return podstatus.Container{
		Spec:  corev1.Container{Name: name},
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}},
		Done:  true,
	}
}

func crashing(name string) podstatus.Container {
	c := waiting(name)
	c.Last = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}
	return c
}

func unready(name string) podstatus.Container {
	c := running(name)
	c.Ready = false
	return c
}

func unstarted(name string) podstatus.Container {
	c := running(name)
	c.Started = false
	return c
}

func condition(status corev1.PodStatus, t corev1.PodConditionType) corev1.PodCondition {
	for _, c := range status.Conditions {
		if c.Type == t {
			return c
		}
	}
	return corev1.PodCondition{}
}

func TestCompute_TellsPhaseAndConditions(t *testing.T) {
	type containers = []podstatus.Container
	gate := &corev1.Pod{Spec: corev1.PodSpec{ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "open"}}}}
	opened := gate.DeepCopy()
	opened.Status.Conditions = []corev1.PodCondition{{Type: "open", Status: corev1.ConditionTrue}}
	for _, c := range []struct {
		name        string
		in          podstatus.Input
		phase       corev1.PodPhase
		initialized corev1.ConditionStatus
		ready       corev1.ConditionStatus
		reason      string
	}{
		{"being made", podstatus.Input{Main: containers{waiting("a")}}, "Pending", "True", "False", "ContainersNotReady"},
		{"initializing", podstatus.Input{Init: containers{running("i")}, Main: containers{waiting("a")}}, "Pending", "False", "False", "ContainersNotReady"},
		{"init failing and tried again", podstatus.Input{Init: containers{crashing("i")}, Main: containers{waiting("a")}}, "Pending", "False", "False", "ContainersNotReady"},
		{"init failed for good", podstatus.Input{Init: containers{ended("i", 1)}, Main: containers{waiting("a")}}, "Failed", "False", "False", "PodFailed"},
		{"running", podstatus.Input{Init: containers{ended("i", 0)}, Main: containers{running("a")}}, "Running", "True", "True", ""},
		{"one of two made", podstatus.Input{Main: containers{running("a"), waiting("b")}}, "Pending", "True", "False", "ContainersNotReady"},
		{"unready", podstatus.Input{Main: containers{running("a"), unready("b")}}, "Running", "True", "False", "ContainersNotReady"},
		{"not started", podstatus.Input{Main: containers{unstarted("a")}}, "Running", "True", "False", "ContainersNotReady"},
		{"crashing", podstatus.Input{Main: containers{crashing("a")}}, "Running", "True", "False", "ContainersNotReady"},
		{"stopping", podstatus.Input{Main: containers{running("a")}, Stopping: true}, "Running", "True", "False", "PodTerminating"},
		{"succeeded", podstatus.Input{Main: containers{ended("a", 0), ended("b", 0)}}, "Succeeded", "True", "False", "PodCompleted"},
		{"failed", podstatus.Input{Main: containers{ended("a", 0), ended("b", 2)}}, "Failed", "True", "False", "PodFailed"},
		{"one of two ended", podstatus.Input{Main: containers{ended("a", 2), running("b")}}, "Running", "True", "False", "ContainersNotReady"},
		{"gate closed", podstatus.Input{Pod: gate, Main: containers{running("a")}}, "Running", "True", "False", "ReadinessGatesNotReady"},
		{"gate open", podstatus.Input{Pod: opened, Main: containers{running("a")}}, "Running", "True", "True", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.in.Pod == nil {
				c.in.Pod = &corev1.Pod{}
			}
			c.in.Now = now
			got := podstatus.Compute(c.in)
			if got.Phase != c.phase {
				t.Errorf("phase %s, want %s", got.Phase, c.phase)
			}
			if i := condition(got, corev1.PodInitialized); i.Status != c.initialized {
				t.Errorf("Initialized is %s, want %s", i.Status, c.initialized)
			}
			ready := condition(got, corev1.PodReady)
			if ready.Status != c.ready || ready.Reason != c.reason {
				t.Errorf("Ready is %s, %q, want %s, %q", ready.Status, ready.Reason, c.ready, c.reason)
			}
		})
	}
}

func TestCompute_ReportsNoContainerReadyOnceThePodIsStopping(t *testing.T) {
	got := podstatus.Compute(podstatus.Input{Pod: &corev1.Pod{}, Main: []podstatus.Container{running("a")}, Stopping: true})
	if got.ContainerStatuses[0].Ready {
		t.Error("the container is still reported as ready")
	}
}

func TestCompute_NamesTheContainersThatAreNotReady(t *testing.T) {
	got := podstatus.Compute(podstatus.Input{Pod: &corev1.Pod{}, Main: []podstatus.Container{unready("a"), running("b"), waiting("c")}})
	if message := condition(got, corev1.PodReady).Message; message != "containers with unready status: [a c]" {
		t.Error(message)
	}
}

func TestCompute_KeepsTheTimeOfAConditionThatDidNotChangeAndConditionsOfOthers(t *testing.T) {
	pod := &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: before},
		{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: before},
		{Type: "theirs", Status: corev1.ConditionTrue, LastTransitionTime: before},
	}}}
	got := podstatus.Compute(podstatus.Input{Pod: pod, Main: []podstatus.Container{running("a")}, Now: now})
	for kind, want := range map[corev1.PodConditionType]metav1.Time{
		corev1.PodScheduled: before, corev1.PodReady: now, corev1.ContainersReady: now, "theirs": before,
	} {
		if have := condition(got, kind).LastTransitionTime; !have.Equal(&want) {
			t.Errorf("%s changed at %s, want %s", kind, have, want)
		}
	}
	if pod.Status.Conditions[1].Status != corev1.ConditionFalse {
		t.Error("the pod that was passed in was changed")
	}
}

func TestCompute_TellsAddresses(t *testing.T) {
	got := podstatus.Compute(podstatus.Input{Pod: &corev1.Pod{}, PodIP: "10.244.0.9", HostIP: "10.244.0.1", Start: before})
	want := corev1.PodStatus{
		PodIP: "10.244.0.9", PodIPs: []corev1.PodIP{{IP: "10.244.0.9"}},
		HostIP: "10.244.0.1", HostIPs: []corev1.HostIP{{IP: "10.244.0.1"}},
		StartTime: &before,
	}
	got.Conditions, got.Phase = nil, ""
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
