package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/weighlock/weighlock/local/git"
	"github.com/weighlock/weighlock/local/observe"
	"github.com/weighlock/weighlock/local/sandbox"
	"github.com/weighlock/weighlock/local/shop"
	"github.com/weighlock/weighlock/local/stack"
)

// running is the stack that all tests share; each has a namespace of its own.
var running *stack.Stack

// atATime is how many of the tests that may run side by side do, unless
// -parallel says otherwise: each sends up to 200 requests a second.
const atATime = 4

// lease is shorter than the default: tests that kill Weighlock wait until it is
// over. The API server, which is ended too, must be back well before.
const lease = 12 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		// Most of a test's time is spent in waiting for steps to be over.
		_ = flag.Set("test.parallel", strconv.Itoa(atATime))
	}
	options := stack.Options{OtherProgram: true, Webhook: "http://" + hooks + "/events", Lease: lease}
	err := stack.Run(context.Background(), options, func(_ context.Context, s *stack.Stack) error {
		running = s
		if err := told.listen(); err != nil {
			return err
		}
		if m.Run() != 0 {
			return errors.New("tests failed")
		}
		return nil
	})
	var exit *sandbox.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(sandbox.ExitCode(err))
}

// patient lets requests take as long as they may on a machine with other work,
// and asks for less, which fewer requests show: neither the machine's speed nor
// a version's quality is what is tried. One rollout in some hundreds may convict
// a good version for its latency; the margin leaves that to the test of it.
var patient = edited()

// edited edits examples as patient does, and else as the pairs say.
func edited(pairs ...string) *strings.Replacer {
	return strings.NewReplacer(append(pairs,
		"threshold: 1s", "threshold: 10s", `value: "50"`, `value: "500"`, "quantile: p99", "quantile: p95", `slo: "99"`, `slo: "95"`,
		"warmUp: 5s", "warmUp: 5s\n      margin: \"3\"")...)
}

// asWritten leaves an example as it is.
var asWritten = strings.NewReplacer()

// rig is a shop in a namespace of its own.
type rig struct {
	t          *testing.T
	namespace  string
	observer   *observe.Observer
	cluster    kubernetes.Interface
	repository *shop.Repository
	// example is the one whose Rollout is committed; edit changes it before.
	example string
	edit    *strings.Replacer
	last    observe.View
	// home is where kubectl keeps what it caches.
	home string
	// first is the version that is there when a test begins.
	first shop.Version
	// watched is called with each view; it may be nil.
	watched func(observe.View)
}

func newRig(t *testing.T, namespace string) *rig {
	t.Helper()
	r := &rig{t: t, namespace: namespace, example: shop.Canary, edit: patient, first: shop.Version{Name: "1"}, home: t.TempDir()}
	var err error
	if r.observer, err = observe.New(running.Config, namespace, shop.Name, 80); err != nil {
		t.Fatal(err)
	}
	if r.cluster, err = kubernetes.NewForConfig(running.Config); err != nil {
		t.Fatal(err)
	}
	if err := running.Apply(t.Context(), []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: "+namespace+"}\n")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.explain)
	return r
}

// explain says what there was to see last, if the test failed.
func (r *rig) explain() {
	if !r.t.Failed() {
		return
	}
	if v := r.last.Rollout; v != nil {
		r.t.Logf("Rollout: %s, waiting for %q\n%s", v.Status.State, v.Status.WaitingFor, observe.Describe(v.Status.Conditions))
	}
	if v := r.last.Source; v != nil {
		r.t.Logf("GitSource:\n%s", observe.Describe(v.Status.Conditions))
	}
	r.t.Logf("progress %+v, copies %v", r.last.Progress, r.last.Copies)
	// Envoy says why it answered by itself.
	r.showEnd(filepath.Join(running.Logs, stack.PartEnvoy+".log"))
	logs, _ := filepath.Glob(filepath.Join(running.Logs, "pods", stack.Namespace+"_*.log"))
	for _, log := range logs {
		r.showEnd(log)
	}
}

func (r *rig) showEnd(path string) {
	content, _ := os.ReadFile(path)
	r.t.Logf("the end of %s:\n%s", path, content[max(0, len(content)-4000):])
}

// open makes a repository that the namespace follows, and commits the shop's
// first version.
func (r *rig) open() {
	r.t.Helper()
	r.host()
	r.commit(r.first)
	r.follow()
	r.idle()
}

// host makes an empty repository.
func (r *rig) host() {
	r.t.Helper()
	name := r.namespace + ".git"
	if err := git.Create(r.t.Context(), filepath.Join(running.State, "git", name)); err != nil {
		r.t.Fatal(err)
	}
	var err error
	if r.repository, err = shop.Open(r.t.Context(), running, name); err != nil {
		r.t.Fatal(err)
	}
}

// follow has the namespace follow the repository.
func (r *rig) follow() {
	r.t.Helper()
	if err := shop.Follow(r.t.Context(), running, r.namespace, r.namespace+".git"); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) commit(version shop.Version) string {
	r.t.Helper()
	return r.commitFiles(r.files(version), "Version "+version.Name)
}

// commitWith commits a version with one more file.
func (r *rig) commitWith(version shop.Version, name, content string) string {
	r.t.Helper()
	files := r.files(version)
	files[name] = content
	return r.commitFiles(files, "Add "+name)
}

func (r *rig) commitFiles(files map[string]string, message string) string {
	r.t.Helper()
	hash, err := r.repository.CommitFiles(r.t.Context(), files, message)
	if err != nil {
		r.t.Fatal(err)
	}
	return hash
}

// files are what the repository holds with a version.
func (r *rig) files(version shop.Version) map[string]string {
	r.t.Helper()
	files, err := shop.Files(running.Root, r.example, version)
	if err != nil {
		r.t.Fatal(err)
	}
	files["rollout.yaml"] = r.edit.Replace(files["rollout.yaml"])
	return files
}

var metadata = regexp.MustCompile(`(?m)^metadata:\n`)

// apply applies manifests that name no namespace to the test's.
func (r *rig) apply(manifest string) error {
	manifest = metadata.ReplaceAllString(manifest, "metadata:\n  namespace: "+r.namespace+"\n")
	return running.Apply(r.t.Context(), []byte(manifest))
}

func (r *rig) mustApply(manifest string) {
	r.t.Helper()
	if err := r.apply(manifest); err != nil {
		r.t.Fatal(err)
	}
}

// patience is how long anything is waited for: more than it takes on any machine
// where it happens at all.
const patience = 5 * time.Minute

// until waits until a view is as it should be, which is when check says nil.
func (r *rig) until(what string, check func(observe.View) error) observe.View {
	r.t.Helper()
	view, err := r.observer.Until(r.t.Context(), patience, func(view observe.View) error {
		r.last = view
		if r.watched != nil {
			r.watched(view)
		}
		return check(view)
	})
	if err != nil {
		r.t.Fatalf("waited for %s: %v", what, err)
	}
	return view
}

// idle waits until the shop is adopted and nothing is under way.
func (r *rig) idle() observe.View {
	r.t.Helper()
	return r.until("the shop to be adopted and idle", func(v observe.View) error {
		if v.Rollout == nil || v.Rollout.Status.State != "Idle" || v.Progress == nil || len(v.Copies) > 0 {
			return errors.New("it is not")
		}
		if v.Route.InForce == nil || v.Route.InForce.Source.Kind != "TrafficSplit" {
			return errors.New("the mesh has not taken its route")
		}
		return nil
	})
}

// atStep waits until Envoy sends the candidate a share of the requests.
func (r *rig) atStep(share float64) observe.View {
	r.t.Helper()
	return r.until(fmt.Sprintf("the candidate to get %.0f%%", share*100), func(v observe.View) error {
		if v.Progress == nil || v.Progress.Phase != observe.PhaseStep {
			return errors.New("no step is under way")
		}
		if got, _ := v.Share(candidate(v)); got != share {
			return fmt.Errorf("it gets %v", got)
		}
		return nil
	})
}

// inStep waits until the Rollout is in a step.
func (r *rig) inStep(name string) {
	r.t.Helper()
	r.until("step "+name, func(v observe.View) error {
		if v.Rollout == nil || v.Progress == nil {
			return errors.New("there is no Rollout, or no route")
		}
		if v.Progress.Phase == observe.PhaseStep && v.Rollout.Status.Step != nil && v.Rollout.Status.Step.Name == name {
			return nil
		}
		if v.Progress.Phase == observe.PhaseRolledBack {
			r.t.Fatalf("it was rolled back: %s", v.Progress.Reason)
		}
		return fmt.Errorf("the state is %s, waiting for %s", v.Rollout.Status.State, v.Rollout.Status.WaitingFor)
	})
}

// candidate is the Service of the candidate's copy.
func candidate(v observe.View) string { return shop.Name + "-" + v.Progress.Candidate }

// promoted waits until a commit is the incumbent and its copy is gone.
func (r *rig) promoted(commit string) observe.View {
	r.t.Helper()
	return r.until("the commit to be promoted", func(v observe.View) error {
		if v.Rollout == nil || v.Progress == nil {
			return errors.New("there is no Rollout, or no route")
		}
		status := v.Rollout.Status
		if status.State == "RolledBack" && status.Candidate != nil && status.Candidate.Commit == commit {
			r.t.Fatalf("it was rolled back: %s", v.Progress.Reason)
		}
		if status.State != "Idle" || status.Incumbent == nil || status.Incumbent.Commit != commit || v.Progress.OnCopy || len(v.Copies) > 0 {
			return fmt.Errorf("the state is %s, waiting for %s", status.State, status.WaitingFor)
		}
		return nil
	})
}

// rolledBack waits until the candidate was rolled back and its copy is gone.
func (r *rig) rolledBack() observe.View {
	r.t.Helper()
	return r.until("the candidate to be rolled back", func(v observe.View) error {
		if v.Progress == nil || v.Progress.Phase != observe.PhaseRolledBack {
			return errors.New("it was not")
		}
		if len(v.Copies) > 0 {
			return fmt.Errorf("copies are left: %v", v.Copies)
		}
		return nil
	})
}

// pods are the UIDs and restarts of the shop's own pods, copies left out.
func (r *rig) pods() map[types.UID]int32 {
	r.t.Helper()
	list, err := r.cluster.CoreV1().Pods(r.namespace).List(r.t.Context(), metav1.ListOptions{LabelSelector: "app=" + shop.Name})
	if err != nil {
		r.t.Fatal(err)
	}
	pods := map[types.UID]int32{}
	for _, pod := range list.Items {
		for _, c := range pod.Status.ContainerStatuses {
			pods[pod.UID] += c.RestartCount
		}
		if pod.Status.Phase != corev1.PodRunning {
			pods[pod.UID] = -1
		}
	}
	return pods
}

func (r *rig) samePods(before map[types.UID]int32) {
	r.t.Helper()
	if now := r.pods(); !maps.Equal(before, now) {
		r.t.Errorf("the pods were %v and are %v: something restarted them", before, now)
	}
}
