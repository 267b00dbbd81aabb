package controller_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/decision"
	"github.com/weighlock/weighlock/workload/deployment"
)

const (
	// perNamespace is how many Rollouts are in a namespace of the benchmark.
	perNamespace = 100
	// restTime is how long calls are counted for.
	restTime = 30 * time.Second
	// forced is how many Rollouts are looked at again to time that.
	forced = 200
)

// BenchmarkIdle runs the program cmd/weighlock on the API server, with as many idle Rollouts as WEIGHLOCK_BENCH says, such as
// "1 100 1000 10000", and prints what they cost. What is there for fewer stays there for more. WEIGHLOCK_BENCH_DECISIONS says how
// many decisions of people each has, if any; more than 20 are not kept.
func BenchmarkIdle(b *testing.B) {
	sizes := strings.Fields(os.Getenv("WEIGHLOCK_BENCH"))
	if len(sizes) == 0 {
		b.Skip("WEIGHLOCK_BENCH does not say how many Rollouts")
	}
	if err := prepare(); err != nil {
		b.Fatal(err)
	}
	decisions, err := strconv.Atoi(cmp.Or(os.Getenv("WEIGHLOCK_BENCH_DECISIONS"), "0"))
	if err != nil {
		b.Fatal(err)
	}
	bench := &bench{B: b, decisions: decisions, program: filepath.Join(b.TempDir(), "weighlock"), kubeconfig: filepath.Join(b.TempDir(), "kubeconfig")}
	bench.must(os.WriteFile(bench.kubeconfig, server.KubeConfig, 0o600))
	build := exec.CommandContext(b.Context(), "go", "build", "-o", bench.program, "../cmd/weighlock")
	build.Stderr = os.Stderr
	bench.must(build.Run())
	installed.Do(func() { installSMI(b); installPolicy(b) })

	var table bytes.Buffer
	columns := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(columns, "idle Rollouts\tadopted in\tcold start\treconcile\theap\theap each\tRSS\tRSS each\tcalls in 30s\t")
	empty := bench.measure(0)
	row(columns, 0, empty, empty)
	for _, text := range sizes {
		size, err := strconv.Atoi(text)
		bench.must(err)
		adopted := bench.grow(size)
		measured := bench.measure(size)
		measured.adopted = adopted
		row(columns, size, measured, empty)
	}
	bench.must(columns.Flush())
	b.Logf("\n%s", table.String())
}

// cost is what so many Rollouts took.
type cost struct {
	adopted, start, reconcile time.Duration
	heap, resident            float64
	calls                     float64
}

func row(w io.Writer, size int, c, empty cost) {
	const mega, kilo = 1 << 20, 1 << 10
	each := func(now, before float64) string {
		if size == 0 {
			return "-"
		}
		return fmt.Sprintf("%.0f kB", (now-before)/float64(size)/kilo)
	}
	_, _ = fmt.Fprintf(w, "%d\t%.1fs\t%.2fs\t%s\t%.1f MB\t%s\t%.1f MB\t%s\t%.0f\t\n", size, c.adopted.Seconds(), c.start.Seconds(),
		c.reconcile.Round(time.Microsecond), c.heap/mega, each(c.heap, empty.heap), c.resident/mega, each(c.resident, empty.resident), c.calls)
}

type bench struct {
	*testing.B
	program, kubeconfig string
	made, decisions     int
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// grow makes Rollouts until there are so many, and has them adopted. It returns how long the latter took.
func (b *bench) grow(size int) time.Duration {
	b.Helper()
	var workers sync.WaitGroup
	numbers := make(chan int)
	errs := make(chan error, 16)
	for range cap(errs) {
		workers.Go(func() {
			for number := range numbers {
				if err := b.make(number); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	for ; b.made < size; b.made++ {
		if b.made%perNamespace == 0 {
			b.must(quickClient.Create(b.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceOf(b.made)}}))
		}
		select {
		case numbers <- b.made:
		case err := <-errs:
			b.Fatal(err)
		}
	}
	close(numbers)
	workers.Wait()
	begin := time.Now()
	program := b.start()
	defer program.stop()
	b.wait("all Rollouts to be adopted", func() bool { return program.quiet(size) && b.idle() == size })
	return time.Since(begin)
}

func namespaceOf(number int) string { return fmt.Sprintf("bench-%d", number/perNamespace) }

// make makes a workload that runs, with its Service and its Rollout.
func (b *bench) make(number int) error {
	namespace, name := namespaceOf(number), fmt.Sprintf("shop-%d", number)
	d := workloadOf(namespace, "v1")
	d.Name = name
	labels := map[string]string{"app": name}
	d.Spec.Selector.MatchLabels, d.Spec.Template.Labels, d.Spec.Replicas = labels, labels, new(int32(2))
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
	for _, obj := range []client.Object{d, service} {
		if err := quickClient.Create(b.Context(), obj); err != nil {
			return err
		}
	}
	// Claiming it raises its generation, which nobody here answers.
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation + 1000, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 2}
	if err := quickClient.Status().Update(b.Context(), d); err != nil {
		return err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&d.Spec.Template)
	if err != nil {
		return err
	}
	hash, err := deployment.RevisionOf(content)
	if err != nil {
		return err
	}
	set := newSet(d, hash)
	set.Spec.Replicas = new(int32(2))
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: name + "-workload", Namespace: namespace,
			Labels: map[string]string{discoveryv1.LabelServiceName: name + "-workload", v1alpha1.LabelRollout: name},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for i := range 2 {
		pod := fmt.Sprintf("%s-%d", set.Name, i)
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{addressOf(pod)}, TargetRef: &corev1.ObjectReference{Name: pod}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
		})
	}
	ro := &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: v1alpha1.RolloutSpec{
			Workload: v1alpha1.WorkloadReference{Name: name}, Service: v1alpha1.ServiceReference{Name: name, Port: 80},
			Router: []v1alpha1.RouterSpec{{SMI: &v1alpha1.SMIRouter{}}}, Steps: weights(5, 25, 50),
		},
	}
	for _, obj := range []client.Object{set, slice, ro} {
		if err := quickClient.Create(b.Context(), obj); err != nil {
			return err
		}
	}
	return b.decide(ro)
}

// decide makes the decisions of a Rollout, as long ago.
func (b *bench) decide(ro *v1alpha1.Rollout) error {
	ro.Status.Candidate = &v1alpha1.RevisionStatus{Revision: "mpq7g6qxkh"}
	for range b.decisions {
		d := decision.New(ro, v1alpha1.VerbPause, decision.Author{Actor: administrator, Via: "kubectl"}, "until the sale is over")
		if err := quickClient.Create(b.Context(), d); err != nil {
			return err
		}
		d.Status = v1alpha1.DecisionStatus{Outcome: v1alpha1.DecisionApplied, At: new(metav1.Now()), Message: "mpq7g6qxkh is paused by admin through kubectl: until the sale is over"}
		if err := quickClient.Status().Update(b.Context(), d); err != nil {
			return err
		}
	}
	return nil
}

// idle counts the Rollouts that are idle.
func (b *bench) idle() int {
	var list v1alpha1.RolloutList
	b.must(quickClient.List(b.Context(), &list))
	count := 0
	for i := range list.Items {
		if list.Items[i].Status.State == v1alpha1.StateIdle {
			count++
		}
	}
	return count
}

// measure starts the program on what there is, and looks what that costs.
func (b *bench) measure(size int) cost {
	b.Helper()
	var c cost
	begin := time.Now()
	p := b.start()
	defer p.stop()
	b.wait("all Rollouts to be looked at", func() bool { return p.quiet(size) })
	c.start = time.Since(begin)
	// Caches that ask for what a Rollout names start as it is looked at.
	time.Sleep(2 * time.Second)

	before := p.sum("rest_client_requests_total")
	time.Sleep(restTime)
	c.calls = p.sum("rest_client_requests_total") - before

	p.get("/debug/pprof/heap?gc=1")
	c.heap = p.sum("go_memstats_heap_alloc_bytes ")
	c.resident = p.sum("process_resident_memory_bytes ")

	const sum, count = `controller_runtime_reconcile_time_seconds_sum{controller="rollout"}`, `controller_runtime_reconcile_time_seconds_count{controller="rollout"}`
	seconds, times := p.sum(sum), p.sum(count)
	for number := range min(size, forced) {
		obj := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("shop-%d", number), Namespace: namespaceOf(number)}}
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":"%d"}}}`, time.Now().UnixNano())
		b.must(quickClient.Patch(b.Context(), obj, client.RawPatch(types.MergePatchType, patch)))
	}
	b.wait("Rollouts to be looked at again", func() bool { return p.sum(count) >= times+float64(min(size, forced)) })
	if size > 0 {
		c.reconcile = time.Duration((p.sum(sum) - seconds) / (p.sum(count) - times) * float64(time.Second))
	}
	return c
}

func (b *bench) wait(what string, until func() bool) {
	b.Helper()
	deadline := time.Now().Add(20 * time.Minute)
	for !until() {
		if time.Now().After(deadline) {
			b.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// program is a run of cmd/weighlock.
type program struct {
	bench   *bench
	cmd     *exec.Cmd
	address string
	// looked is how many reconciliations there were, since when.
	looked float64
	since  time.Time
}

func (b *bench) start() *program {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	b.must(err)
	p := &program{bench: b, address: listener.Addr().String()}
	b.must(listener.Close())
	p.cmd = exec.Command(b.program, "--metrics-addr", p.address, "--health-addr", "127.0.0.1:0", "--prometheus-address", "http://127.0.0.1:1", "--log-level", "error")
	p.cmd.Env = append(os.Environ(), "KUBECONFIG="+b.kubeconfig, "RUNTIME_NAMESPACE=default")
	p.cmd.Stderr = os.Stderr
	b.must(p.cmd.Start())
	b.wait("the program to serve", func() bool { return p.fetch("/metrics") != nil })
	return p
}

func (p *program) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()
}

// quiet says whether at least so many reconciliations were done, and none came in the last second.
func (p *program) quiet(size int) bool {
	now := p.sum(`controller_runtime_reconcile_total{controller="rollout"`)
	if now != p.looked || p.since.IsZero() {
		p.looked, p.since = now, time.Now()
	}
	return now >= float64(size) && p.sum(`controller_runtime_active_workers{controller="rollout"}`) == 0 &&
		p.sum(`workqueue_depth{controller="rollout"`) == 0 && time.Since(p.since) > time.Second
}

// sum adds up the samples whose lines begin so.
func (p *program) sum(prefix string) float64 {
	total := 0.0
	for line := range strings.Lines(string(p.get("/metrics"))) {
		if !strings.HasPrefix(line, prefix) {
			continue
		}
		fields := strings.Fields(line)
		value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		p.bench.must(err)
		total += value
	}
	return total
}

func (p *program) get(path string) []byte {
	text := p.fetch(path)
	if text == nil {
		p.bench.Fatal("the program does not answer")
	}
	return text
}

// fetch is nil while the program doesn't answer.
func (p *program) fetch(path string) []byte {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path, nil)
	p.bench.must(err)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		if p.cmd.ProcessState != nil {
			p.bench.must(errors.Join(errors.New("the program ended"), err))
		}
		return nil
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	p.bench.must(err)
	return text
}
