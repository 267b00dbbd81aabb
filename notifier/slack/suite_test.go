package slack_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/decision"
	"github.com/weighlock/weighlock/internal/apiservertest"
	"github.com/weighlock/weighlock/notifier/slack"
)

// account is Weighlock's own.
const account = "system:serviceaccount:weighlock-system:weighlock"

var (
	types = runtime.NewScheme()
	// ownConfig is that of Weighlock's account.
	ownConfig *rest.Config
	// admin may do everything; own is what Weighlock's account may do.
	admin, own client.Client
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	apiservertest.Main(m, apiservertest.Options{CRDs: true}, prepare)
}

// prepare makes the clients, and installs what checks decisions and what Weighlock's account may.
func prepare(started *apiservertest.Server) (err error) {
	if err := errors.Join(scheme.AddToScheme(types), v1alpha1.AddToScheme(types)); err != nil {
		return err
	}
	if admin, err = client.New(started.Config, client.Options{Scheme: types}); err != nil {
		return err
	}
	ownConfig = rest.CopyConfig(started.Config)
	ownConfig.Impersonate = rest.ImpersonationConfig{UserName: account, Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	if own, err = client.New(ownConfig, client.Options{Scheme: types}); err != nil {
		return err
	}
	if err := started.Install(context.Background(), "namespace.yaml", "rbac.yaml"); err != nil {
		return err
	}
	err = admin.Create(context.Background(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "test-weighlock"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "weighlock"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: account}},
	})
	if err != nil {
		return err
	}
	return started.InstallDecisionCheck(context.Background())
}

// rig is a Rollout, a workspace, and the app between them.
type rig struct {
	t       *testing.T
	space   *space
	rollout *v1alpha1.Rollout
	options slack.Options
	app     *slack.App

	mu             sync.Mutex
	users, groups  []string
	people         map[string]string
	channels       []slack.Channel
	secret, bearer string
}

func newRig(t *testing.T, steps ...v1alpha1.Step) *rig {
	t.Helper()
	r := &rig{t: t, space: newSpace(t), secret: "8f742231b10e8888abcd99yyyzzz85a5", bearer: botToken, people: map[string]string{}}
	r.channels = []slack.Channel{{Sink: "releases", ID: channel, Approvals: true}}
	r.users = []string{"U0ALICE"}
	locked := func(text *string) func() (string, error) {
		return func() (string, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return *text, nil
		}
	}
	r.options = slack.Options{
		Client: indexed{own}, Live: own, Clock: clock.RealClock{}, Log: logr.Discard(), APIURL: r.space.url,
		BotToken: locked(&r.bearer), SigningSecret: locked(&r.secret), AppToken: func() (string, error) { return appToken, nil },
		Channels: func(*v1alpha1.Rollout) []slack.Channel {
			r.mu.Lock()
			defer r.mu.Unlock()
			return slices.Clone(r.channels)
		},
		Approvers: func(string) (users, groups []string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return slices.Clone(r.users), slices.Clone(r.groups)
		},
		Person: func(member string) string {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.people[member]
		},
	}
	r.start()
	r.rollout = makeRollout(t, steps...)
	return r
}

// start starts the app, as a new process does: without memory.
func (r *rig) start() {
	r.t.Helper()
	if r.app != nil {
		r.app.Wait()
	}
	app, err := slack.New(r.options)
	if err != nil {
		r.t.Fatal(err)
	}
	r.app = app
	r.t.Cleanup(app.Wait)
}

// indexed looks for Rollouts by prompt as a cache with an index does.
type indexed struct{ client.Client }

func (c indexed) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	o := (&client.ListOptions{}).ApplyOptions(options)
	rollouts, is := list.(*v1alpha1.RolloutList)
	if !is || o.FieldSelector == nil {
		return c.Client.List(ctx, list, options...)
	}
	_, id := o.FieldSelector.Requirements()[0].Field, o.FieldSelector.Requirements()[0].Value
	if err := c.Client.List(ctx, rollouts); err != nil {
		return err
	}
	rollouts.Items = slices.DeleteFunc(rollouts.Items, func(r v1alpha1.Rollout) bool {
		return !slices.ContainsFunc(r.Status.Threads, func(t v1alpha1.Thread) bool { return t.Prompt != nil && t.Prompt.ID == id })
	})
	return nil
}

// sync looks at the Rollout as it is now.
func (r *rig) sync() time.Duration {
	r.t.Helper()
	again, err := r.app.Sync(r.t.Context(), r.now())
	if err != nil {
		r.t.Fatal(err)
	}
	return again
}

// now is the Rollout as it is.
func (r *rig) now() *v1alpha1.Rollout {
	r.t.Helper()
	now := &v1alpha1.Rollout{}
	if err := admin.Get(r.t.Context(), client.ObjectKeyFromObject(r.rollout), now); err != nil {
		r.t.Fatal(err)
	}
	return now
}

// thread is what the status tells of where people were told.
func (r *rig) thread() v1alpha1.Thread {
	r.t.Helper()
	threads := r.now().Status.Threads
	if len(threads) != 1 {
		r.t.Fatalf("status.threads has %d entries, want one", len(threads))
	}
	return threads[0]
}

// becomes changes the status, as the controller does, and looks at it.
func (r *rig) becomes(edits ...func(*v1alpha1.RolloutStatus)) {
	r.t.Helper()
	r.set(edits...)
	r.sync()
}

func (r *rig) set(edits ...func(*v1alpha1.RolloutStatus)) {
	r.t.Helper()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		now := r.now()
		for _, edit := range edits {
			edit(&now.Status)
		}
		now.Status.ObservedGeneration = now.Generation
		return admin.Status().Update(r.t.Context(), now)
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// decisions are those that were made.
func (r *rig) decisions() []v1alpha1.Decision {
	r.t.Helper()
	list := &v1alpha1.DecisionList{}
	if err := admin.List(r.t.Context(), list, client.InNamespace(r.rollout.Namespace)); err != nil {
		r.t.Fatal(err)
	}
	return list.Items
}

// settle says what became of a decision, as the controller does.
func settle(t *testing.T, d *v1alpha1.Decision, outcome v1alpha1.DecisionOutcome, message string) {
	t.Helper()
	at := metav1.Now()
	d.Status = v1alpha1.DecisionStatus{Outcome: outcome, Message: message, At: &at}
	if err := admin.Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until something is so.
func (r *rig) eventually(what string, is func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if is() {
			return
		}
	}
	r.t.Fatalf("waited in vain for %s; whispered: %q", what, r.space.heard())
}

func makeRollout(t *testing.T, steps ...v1alpha1.Step) *v1alpha1.Rollout {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "shop-"}}
	if err := admin.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	if len(steps) == 0 {
		steps = []v1alpha1.Step{{Name: "pilot", Weight: new(int32(5))}, {Name: "half", Weight: new(int32(50)), Approval: &v1alpha1.Approval{}}}
	}
	rollout := &v1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "checkout"},
		Spec: v1alpha1.RolloutSpec{
			Workload: v1alpha1.WorkloadReference{Name: "checkout"}, Service: v1alpha1.ServiceReference{Name: "checkout", Port: 8080},
			Router: []v1alpha1.RouterSpec{{SMI: &v1alpha1.SMIRouter{}}}, Steps: steps,
		},
	}
	if err := admin.Create(t.Context(), rollout); err != nil {
		t.Fatal(err)
	}
	return rollout
}

// frail fails to write statuses.
type frail struct {
	client.Client
	fails bool
}

func (c *frail) Status() client.SubResourceWriter {
	if c.fails {
		return refusing{c.Client.Status()}
	}
	return c.Client.Status()
}

type refusing struct{ client.SubResourceWriter }

func (refusing) Patch(context.Context, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
	return errors.New("the API server is away")
}

// decided makes a decision through kubectl.
func decided(r *rig, verb v1alpha1.DecisionVerb, actor string) *v1alpha1.Decision {
	r.t.Helper()
	d := decision.New(r.now(), verb, decision.Author{Actor: actor, Via: "kubectl"}, "looks good")
	if err := as(r.t, actor, "system:masters").Create(r.t.Context(), d); err != nil {
		r.t.Fatal(err)
	}
	return d
}

// asMallory makes a decision in the name of mallory, who may do everything.
func asMallory(r *rig, d *v1alpha1.Decision) {
	r.t.Helper()
	if err := as(r.t, "mallory", "system:masters").Create(r.t.Context(), d); err != nil {
		r.t.Fatal(err)
	}
}

// as is the client of a user.
func as(t *testing.T, user string, groups ...string) client.Client {
	t.Helper()
	theirs := rest.CopyConfig(ownConfig)
	theirs.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	made, err := client.New(theirs, client.Options{Scheme: types})
	if err != nil {
		t.Fatal(err)
	}
	return made
}
