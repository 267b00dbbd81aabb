package cli

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files anew")

// now is the moment at which all pictures are taken.
var now = time.Date(2026, 11, 23, 20, 30, 0, 0, time.UTC)

// ago is a time before that.
func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

// golden compares with a file, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is drawn in another way (-golden +got), -update writes it:\n%s", name, diff)
	}
}

// drawing is how a picture is drawn in a test.
type drawing struct {
	picture *picture
	palette palette
	width   int
}

func TestTree_TellsHowARolloutIs(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]drawing{
		"tree-idle":         {picture: idle()},
		"tree-idle-wide":    {picture: wide(idle())},
		"tree-new":          {picture: justMade()},
		"tree-starting":     {picture: starting()},
		"tree-waiting":      {picture: waiting()},
		"tree-waiting-wide": {picture: wide(waiting())},
		"tree-narrow":       {picture: waiting(), width: 80},
		"tree-coloured":     {picture: waiting(), palette: palette{colours: true}},
		"tree-ascii":        {picture: waiting(), palette: palette{glyphs: plain}},
		"tree-paused":       {picture: paused()},
		"tree-rolled-back":  {picture: rolledBack()},
		"tree-stalled":      {picture: stalled()},
		"tree-promoting":    {picture: promoting()},
		"tree-blind":        {picture: blind()},
		"tree-hostile":      {picture: hostile()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d.palette.glyphs == (glyphs{}) {
				d.palette.glyphs = drawn
			}
			golden(t, name, strings.Join(d.picture.draw(d.palette, d.width), "\n")+"\n")
		})
	}
}

func TestTree_IsNeverWiderThanTheTerminal(t *testing.T) {
	t.Parallel()
	for _, width := range []int{60, 72, 100} {
		for _, line := range waiting().draw(palette{glyphs: drawn}, width) {
			if got := words(line).width(); got > width && !strings.Contains(line, "kubectl weighlock") {
				t.Errorf("a line has %d columns on a terminal of %d: %q", got, width, line)
			}
		}
	}
}

func TestList_TellsTheSameOfMany(t *testing.T) {
	t.Parallel()
	all := &v1alpha1.RolloutList{}
	for _, v := range []*picture{idle(), starting(), waiting(), paused(), rolledBack(), stalled(), promoting(), justMade(), hostile()} {
		all.Items = append(all.Items, *v.rollout)
	}
	for name, format := range map[string]string{"list": "", "list-wide": formatWide} {
		l := &listing{all: true}
		l.out.bind(newVersionCommand(nil), format)
		golden(t, name, strings.Join(l.table(all, now).lines(palette{glyphs: drawn}, 0), "\n")+"\n")
	}
	var lines []string
	for i := range all.Items {
		lines = append(lines, changeLine(palette{glyphs: drawn}, &all.Items[i]))
	}
	golden(t, "changes", strings.Join(lines, "\n")+"\n")
}

func wide(v *picture) *picture {
	v.wide = true
	return v
}

// shop is the Rollout that all pictures are of.
func shop() *v1alpha1.Rollout {
	weight := func(n int32) *int32 { return &n }
	return &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout", Generation: 3, CreationTimestamp: ago(50 * time.Hour)},
		Spec: v1alpha1.RolloutSpec{
			Workload: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "checkout"},
			Service:  v1alpha1.ServiceReference{Name: "checkout", Port: 8080}, TotalWeight: 100,
			Steps: []v1alpha1.Step{
				{Name: "ghost", Shadow: weight(50), Hold: &metav1.Duration{Duration: 2 * time.Minute}},
				{Name: "pilot", Match: []v1alpha1.RequestMatch{{Headers: []v1alpha1.HeaderMatch{{Name: "x-tenant", Exact: "acme"}}}}, Weight: weight(5)},
				{
					Weight: weight(25), Hold: &metav1.Duration{Duration: time.Minute},
					Approval: &v1alpha1.Approval{Quorum: 2},
				},
				{Weight: weight(50), Hold: &metav1.Duration{Duration: 5 * time.Minute}, Approval: &v1alpha1.Approval{}},
			},
		},
		Status: v1alpha1.RolloutStatus{ObservedGeneration: 3, Hold: v1alpha1.HoldAdmission, Attempt: 7},
	}
}

func condition(kind string, is metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: is, Reason: reason, Message: message, LastTransitionTime: ago(3 * time.Minute)}
}

func deployment(name, image string, replicas int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}}},
		},
		Status: appsv1.DeploymentStatus{ReadyReplicas: replicas, UpdatedReplicas: replicas},
	}
}

func readyPod(name string, old time.Duration) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", CreationTimestamp: ago(old)},
		Spec:       corev1.PodSpec{NodeName: "node-1"},
		Status: corev1.PodStatus{
			PodIP:             "10.244.0.7",
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
		},
	}
}

func idle() *picture {
	r := shop()
	r.Status.State = v1alpha1.StateIdle
	r.Status.Incumbent = &v1alpha1.RevisionStatus{
		Revision: "7d9c4bxk2p", Track: "checkout", Replicas: 7, Ready: 7,
		Commit: "3f1e0c9a77d1c2b5a9b8", Author: "Ada Lovelace <ada@example.org>",
	}
	r.Status.Traffic = &v1alpha1.TrafficStatus{Asked: "0%", Taken: true}
	r.Status.Conditions = []metav1.Condition{condition("Ready", metav1.ConditionTrue, "Idle", "all traffic is on 7d9c4bxk2p")}
	v := &picture{rollout: r, now: now, tracks: []track{{role: roleIncumbent, revision: r.Status.Incumbent, deployment: deployment("checkout", "shop/checkout:1.4.0", 7)}}}
	for _, suffix := range []string{"4kqzx", "7bmpn", "9xvwd", "c2fhl", "gq8rt", "k5jzs", "pw6cv"} {
		v.tracks[0].pods = append(v.tracks[0].pods, readyPod("checkout-6f9d8-"+suffix, 26*time.Hour))
	}
	return v
}

// under is idle with a candidate.
func under(state v1alpha1.State) *picture {
	v := idle()
	r := v.rollout
	r.Status.State = state
	r.Status.Candidate = &v1alpha1.RevisionStatus{
		Revision: "b6m2hn8wqz", Track: "checkout-b6m2hn8wqz", Replicas: 2, Ready: 2,
		Commit: "9a8b7c6d5e4f30211234", Author: "Grace Hopper",
	}
	v.tracks[0].pods = v.tracks[0].pods[:2]
	v.tracks[0].revision.Replicas, v.tracks[0].revision.Ready = 2, 2
	restarted := readyPod("checkout-b6m2hn8wqz-59c-nvx2k", 4*time.Minute)
	restarted.Status.ContainerStatuses[0].RestartCount = 1
	v.tracks = append(v.tracks, track{
		role: roleCandidate, revision: r.Status.Candidate, deployment: deployment("checkout-b6m2hn8wqz", "shop/checkout:1.5.0", 2),
		pods: []corev1.Pod{readyPod("checkout-b6m2hn8wqz-59c-8kd4m", 4*time.Minute), restarted},
	})
	r.Status.Conditions = []metav1.Condition{
		condition("Ready", metav1.ConditionUnknown, "Progressing", "b6m2hn8wqz is on its way"),
		condition("Reconciling", metav1.ConditionTrue, "Progressing", "b6m2hn8wqz is on its way"),
	}
	return v
}

func justMade() *picture {
	r := shop()
	r.Status = v1alpha1.RolloutStatus{}
	return &picture{rollout: r, now: now, tracks: []track{{role: roleWorkload}}}
}

func starting() *picture {
	v := under(v1alpha1.StateStarting)
	c := v.rollout.Status.Candidate
	c.Ready = 0
	v.rollout.Status.Traffic = &v1alpha1.TrafficStatus{Asked: "0%", Taken: true}
	v.rollout.Status.WaitingFor = "2 ready pods of b6m2hn8wqz: 0 of 2"
	v.rollout.Status.Conditions[0].Message = "b6m2hn8wqz starts, and waits for 2 ready pods: 0 of 2"
	pulling, crashing := &v.tracks[1].pods[0], &v.tracks[1].pods[1]
	pulling.Status.Conditions, crashing.Status.Conditions = nil, nil
	pulling.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
		Reason: "ImagePullBackOff", Message: `Back-off pulling image "shop/checkout:1.5.0"`,
	}}
	crashing.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	crashing.Status.ContainerStatuses[0].LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Message: "no database"}}
	crashing.Status.ContainerStatuses[0].RestartCount = 4
	slow, leaving := readyPod("checkout-b6m2hn8wqz-59c-slow7", time.Minute), readyPod("checkout-b6m2hn8wqz-59c-wzz99", 2*time.Minute)
	slow.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, Message: "containers with unready status: [app]"}}
	end := ago(2 * time.Second)
	leaving.DeletionTimestamp = &end
	v.tracks[1].pods = append(v.tracks[1].pods, slow, leaving)
	return v
}

func waiting() *picture {
	v := under(v1alpha1.StateWaiting)
	v.again = " -n shop"
	s := &v.rollout.Status
	entered := ago(4 * time.Minute)
	s.Step = &v1alpha1.StepStatus{Index: 2, Position: "3/4", Since: &entered}
	s.WaitingFor = "approval by 1 more"
	s.Traffic = &v1alpha1.TrafficStatus{Asked: "25%", Measured: "24.7%", Taken: true}
	s.Gates = []v1alpha1.GateStatus{
		{Name: "hold", Open: true, Message: "held for 1m0s"},
		{Name: "analysis", Open: true, Message: "error rate 0.11% of 4,211 requests is no worse than the incumbent's 0.12% of 12,640; p99 121 ms is no slower than 118 ms"},
		{Name: "approval", Message: "approval by 1 more: 1 of 2"},
	}
	s.Verdict = &v1alpha1.VerdictStatus{Outcome: v1alpha1.OutcomePass, Metrics: []v1alpha1.MetricStatus{
		{Name: "errors", Outcome: v1alpha1.OutcomePass, Incumbent: "0.12%", Candidate: "0.11%", Message: "error rate 0.11% is no worse"},
		{Name: "latency", Outcome: v1alpha1.OutcomePass, Incumbent: "p99 118 ms", Candidate: "p99 121 ms", Message: "p99 121 ms is no slower"},
		{Name: "queue", Outcome: v1alpha1.OutcomeInconclusive, DryRun: true, Candidate: "3"},
	}}
	s.Approval = &v1alpha1.ApprovalStatus{Quorum: 2, Count: 1, Given: []v1alpha1.Voice{
		{Actor: "alice", Via: "kubectl", Reason: "fine in the pilot", At: ago(90 * time.Second)},
	}}
	s.AnalysisHistory = steps(v1alpha1.OutcomePass, v1alpha1.OutcomePass, "")
	return v
}

// steps are records of steps that were left with these outcomes; the last one wasn't left, where it has none.
func steps(outcomes ...v1alpha1.Outcome) []v1alpha1.AnalysisRecord {
	names, asked := []string{"ghost", "pilot", "", ""}, []string{"shadow 50%", "5% + match", "25%", "50%"}
	var records []v1alpha1.AnalysisRecord
	for i, outcome := range outcomes {
		record := v1alpha1.AnalysisRecord{
			Candidate: "b6m2hn8wqz", Step: int32(i), Name: names[i], Traffic: asked[i], Outcome: outcome,
			Since: metav1.NewMicroTime(now.Add(time.Duration(2*i-8) * time.Minute)),
		}
		if outcome != "" {
			until := metav1.NewMicroTime(record.Since.Add(119 * time.Second))
			record.Until, record.Message = &until, "error rate 0.1% is no worse"
		}
		records = append(records, record)
	}
	return records
}

func paused() *picture {
	v := waiting()
	s := &v.rollout.Status
	s.State = v1alpha1.StatePaused
	s.Paused = &v1alpha1.Voice{Actor: "slack:U012AB3CD", Via: "slack", Reason: "the shop has a sale", At: ago(20 * time.Second)}
	s.WaitingFor = "somebody to resume it: paused by slack:U012AB3CD through slack: the shop has a sale"
	s.Warnings = []string{"ConfigMap checkout changed in place since the copy was made"}
	v.rollout.Generation = 4
	return v
}

func rolledBack() *picture {
	v := under(v1alpha1.StateRolledBack)
	s := &v.rollout.Status
	s.Candidate.Track, s.Candidate.Replicas, s.Candidate.Ready = "", 0, 0
	s.Candidate.Failed = "error rate 4.6% of 152 requests is worse than the incumbent's 0% of 1,448"
	s.Traffic = &v1alpha1.TrafficStatus{Asked: "0%", Taken: true}
	s.AnalysisHistory = steps(v1alpha1.OutcomePass, v1alpha1.OutcomeFail)
	s.AnalysisHistory[1].Message = s.Candidate.Failed
	message := "b6m2hn8wqz failed: " + s.Candidate.Failed + ". It stays held: commit another version, or retry"
	s.Conditions = []metav1.Condition{
		condition("Ready", metav1.ConditionFalse, "RolledBack", message), condition("Stalled", metav1.ConditionTrue, "RolledBack", message),
	}
	v.tracks[1].deployment, v.tracks[1].pods = nil, nil
	return v
}

func stalled() *picture {
	v := idle()
	v.rollout.Status.State = v1alpha1.StateStalled
	message := "Service checkout has no port 8080: name one of its ports in spec.service.port (80, 9090)"
	v.rollout.Status.Conditions = []metav1.Condition{
		condition("Ready", metav1.ConditionFalse, "PortNotFound", message), condition("Stalled", metav1.ConditionTrue, "PortNotFound", message),
	}
	v.tracks[0].pods = v.tracks[0].pods[:1]
	return v
}

func promoting() *picture {
	v := under(v1alpha1.StatePromoting)
	s := &v.rollout.Status
	s.Incumbent, s.Candidate = s.Candidate, nil
	s.Incumbent.Unproven = true
	s.Traffic = &v1alpha1.TrafficStatus{Asked: "0%"}
	s.WaitingFor = "the workload to roll: 1 of 2 pods ready"
	s.Conditions[0].Message = "b6m2hn8wqz serves; the workload rolls: 1 of 2 pods ready"
	s.AnalysisHistory = steps(v1alpha1.OutcomePass, v1alpha1.OutcomePass, v1alpha1.OutcomePass, v1alpha1.OutcomePass)
	workload := deployment("checkout", "shop/checkout:1.5.0", 2)
	workload.Status.ReadyReplicas, workload.Status.UpdatedReplicas = 1, 1
	v.tracks = []track{
		{role: roleIncumbent, revision: s.Incumbent, deployment: v.tracks[1].deployment, pods: v.tracks[1].pods[:1]},
		{role: roleWorkload, deployment: workload, pods: v.tracks[0].pods[:1]},
	}
	return v
}

// blind is what somebody sees who may get Rollouts only.
func blind() *picture {
	v := stalled()
	v.rollout.Spec.Steps = nil
	v.tracks[0].deployment, v.tracks[0].pods, v.tracks[0].unseen = nil, nil, "you may not get Deployments in namespace shop"
	return v
}

// hostile is one whose words would command the terminal.
func hostile() *picture {
	v := rolledBack()
	v.rollout.Status.Candidate.Author = "Mallory\x1b]0;pwned\x07"
	v.rollout.Status.Candidate.Failed = "line one\nline two\x1b[2J\u202e"
	return v
}
