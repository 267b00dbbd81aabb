package cli_test

import (
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// makeRollout makes a Rollout with two steps, and its status.
func makeRollout(t *testing.T, namespace, name string, status v1alpha1.RolloutStatus) *v1alpha1.Rollout {
	t.Helper()
	weight := func(n int32) *int32 { return &n }
	r := &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"team": name}},
		Spec: v1alpha1.RolloutSpec{
			Workload: v1alpha1.WorkloadReference{Name: name}, Service: v1alpha1.ServiceReference{Name: name, Port: 8080},
			Router: []v1alpha1.RouterSpec{{SMI: &v1alpha1.SMIRouter{}}},
			Steps:  []v1alpha1.Step{{Name: "pilot", Weight: weight(5)}, {Weight: weight(50), Approval: &v1alpha1.Approval{}}},
		},
	}
	if err := admin.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	setStatus(t, r, func(s *v1alpha1.RolloutStatus) {
		*s = status
		s.ObservedGeneration = r.Generation
	})
	return r
}

// setStatus changes the status of a Rollout, as its controller would.
func setStatus(t *testing.T, r *v1alpha1.Rollout, edit func(*v1alpha1.RolloutStatus)) {
	t.Helper()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(r), r); err != nil {
			return err
		}
		edit(&r.Status)
		return admin.Status().Update(t.Context(), r)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// resting is the status of a Rollout at rest.
func resting(track string) v1alpha1.RolloutStatus {
	return v1alpha1.RolloutStatus{
		State: v1alpha1.StateIdle, Hold: v1alpha1.HoldAdmission, Attempt: 1,
		Incumbent: &v1alpha1.RevisionStatus{Revision: "oldrev", Track: track, Replicas: 1, Ready: 1},
		Traffic:   &v1alpha1.TrafficStatus{Asked: "0%", Taken: true},
		Conditions: []metav1.Condition{{
			Type: "Ready", Status: metav1.ConditionTrue, Reason: "Idle", Message: "all traffic is on oldrev", LastTransitionTime: metav1.Now(),
		}},
	}
}

// tried makes the status that of a rollout in its first step.
func tried(s *v1alpha1.RolloutStatus) {
	since := metav1.Now()
	s.State, s.WaitingFor, s.Attempt = v1alpha1.StateProgressing, "a verdict", 2
	s.Candidate = &v1alpha1.RevisionStatus{Revision: "newrev", Track: "checkout-newrev", Replicas: 1, Ready: 1, Commit: "c0ffee0123", Author: "Ada"}
	s.Step = &v1alpha1.StepStatus{Index: 0, Position: "1/2", Name: "pilot", Since: &since}
	s.Traffic = &v1alpha1.TrafficStatus{Asked: "5%", Measured: "4.9%", Taken: true}
	s.Gates = []v1alpha1.GateStatus{{Name: "analysis", Message: "a verdict"}}
}

// asked makes it one that waits for approval in its second step.
func asked(s *v1alpha1.RolloutStatus) {
	tried(s)
	s.State, s.WaitingFor = v1alpha1.StateWaiting, "approval by 1 more"
	s.Step.Index, s.Step.Position, s.Step.Name = 1, "2/2", ""
	s.Gates = []v1alpha1.GateStatus{{Name: "approval", Message: "approval by 1 more"}}
	s.Approval = &v1alpha1.ApprovalStatus{Quorum: 1}
}

// promoted makes it one whose candidate serves.
func promoted(s *v1alpha1.RolloutStatus) {
	s.State, s.WaitingFor, s.Step, s.Gates, s.Approval = v1alpha1.StateIdle, "", nil, nil, nil
	s.Incumbent = &v1alpha1.RevisionStatus{Revision: "newrev", Track: "checkout", Replicas: 1, Ready: 1, Commit: "c0ffee0123"}
	s.Candidate = nil
}

// failed makes it one whose candidate was rolled back.
func failed(s *v1alpha1.RolloutStatus) {
	s.State, s.WaitingFor, s.Step, s.Gates, s.Approval = v1alpha1.StateRolledBack, "", nil, nil, nil
	s.Candidate = &v1alpha1.RevisionStatus{Revision: "newrev", Failed: "error rate 5% is worse than the incumbent's 0%"}
}

// makeWorkload makes the Deployment checkout, and a pod of it that is ready and one that is not.
func makeWorkload(t *testing.T, namespace string) *appsv1.Deployment {
	t.Helper()
	name := "checkout"
	labels := map[string]string{"app": name}
	containers := []corev1.Container{{Name: "app", Image: "shop/" + name + ":1"}}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: containers}},
		},
	}
	if err := admin.Create(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
	pod := func(suffix string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + suffix, Labels: labels}}
	}
	makePod(t, pod("-good"), corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}})
	makePod(t, pod("-broken"), corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
		Name: "app", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "no such image"}},
	}}})
	return deployment
}

// makePod makes a pod with a status.
func makePod(t *testing.T, pod *corev1.Pod, status corev1.PodStatus) {
	t.Helper()
	pod.Spec.Containers = []corev1.Container{{Name: "app", Image: "shop/app:1"}}
	if err := admin.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	pod.Status = status
	if err := admin.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
}

// link is a connection to the API server that can be cut, and mended.
type link struct {
	server string
	passed atomic.Int64

	mu    sync.Mutex
	isCut bool
	open  []net.Conn
}

// newLink makes a link, and the kubeconfig of a caller who goes through it.
func newLink(t *testing.T, path string) (*link, string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{}
	through := filepath.Join(t.TempDir(), "kubeconfig")
	editKubeconfig(t, content, through, func(config *clientcmdapi.Config) {
		cluster := config.Clusters[config.Contexts[config.CurrentContext].Cluster]
		server, err := url.Parse(cluster.Server)
		if err != nil {
			t.Fatal(err)
		}
		l.server = server.Host
		server.Host = listener.Addr().String()
		cluster.Server = server.String()
	})
	t.Cleanup(func() {
		listener.Close()
		l.cut()
	})
	go l.serve(listener)
	return l, through
}

// mend lets connections through.
func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = false
}

func (l *link) serve(listener net.Listener) {
	for {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		far, err := net.DialTimeout("tcp", l.server, 5*time.Second)
		if err != nil {
			near.Close()
			continue
		}
		if l.join(near, far) {
			go l.pipe(near, far)
			go l.pipe(far, near)
		}
	}
}

// join lets a connection through, unless the link is cut.
func (l *link) join(near, far net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		near.Close()
		far.Close()
		return false
	}
	l.open = append(l.open, near, far)
	return true
}

func (l *link) pipe(to, from net.Conn) {
	_, err := io.Copy(io.MultiWriter(to, l), from)
	_ = errors.Join(err, to.Close(), from.Close())
}

// Write counts what passes.
func (l *link) Write(bytes []byte) (int, error) {
	l.passed.Add(int64(len(bytes)))
	return len(bytes), nil
}

// quiet waits until what was asked through the link is answered.
func (l *link) quiet() {
	for before := int64(-1); before != l.passed.Load(); time.Sleep(time.Second) {
		before = l.passed.Load()
	}
}

// cut ends all connections, and lets no more through.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	for _, connection := range l.open {
		connection.Close()
	}
	l.open = nil
}
