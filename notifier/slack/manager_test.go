package slack_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/notifier/slack"
)

var logging sync.Mutex

// logTo writes a log into a text.
func logTo(text *strings.Builder) logr.Logger {
	return funcr.New(func(prefix, args string) {
		logging.Lock()
		defer logging.Unlock()
		text.WriteString(prefix + " " + args + "\n")
	}, funcr.Options{})
}

func logged(text *strings.Builder) string {
	logging.Lock()
	defer logging.Unlock()
	return text.String()
}

// run runs the app in a manager, with caches, until the function that it returns is called.
func (r *rig) run() (stop func()) {
	r.t.Helper()
	mgr, err := ctrl.NewManager(ownConfig, ctrl.Options{
		Scheme: types, Logger: logr.Discard(), Metrics: metrics.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: new(true)},
		Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{r.rollout.Namespace: {}}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.options.Client, r.options.Live = mgr.GetClient(), mgr.GetAPIReader()
	r.start()
	if err := r.app.SetupWithManager(mgr, 2); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		r.t.Fatal("the cache doesn't fill")
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
	})
	r.t.Cleanup(stop)
	return stop
}

func TestManager_TellsAndAsksThroughOutagesAndRestarts(t *testing.T) {
	r := newRig(t)
	stop := r.run()
	r.space.setAway(true)
	r.set(asking)
	r.eventually("tries", func() bool { return r.space.called() > 1 })
	r.space.setAway(false)
	r.eventually("the message and the prompt", func() bool { return len(r.space.all()) == 2 && r.thread().Prompt.Timestamp != "" })
	stop()
	stop = r.run()
	r.click(r.approve("U0ALICE").payload())
	r.made(1, v1alpha1.DecisionApplied, "approved (1 of 1)")
	r.answered("U0ALICE", "Done: approved (1 of 1)")
	r.set(approvedBy("slack:U0ALICE"))
	r.eventually("the prompt to close", func() bool { return r.thread().Prompt.Closed })
	stop()
	r.set(promoted)
	r.run()
	r.eventually("the end", func() bool { return r.thread().Over })
	all := r.space.all()
	if len(all) != 2 || !strings.Contains(all[0].Text, "Promoted") || !strings.Contains(all[1].says(), "U0ALICE") {
		t.Errorf("want the rollout promoted, and the prompt to say who approved, got %+v", all)
	}
	r.space.once(t)
}

func TestManager_AsksInAChannelThatIsAddedLater(t *testing.T) {
	r := newRig(t)
	r.channels = nil
	r.run()
	r.set(asking)
	time.Sleep(200 * time.Millisecond) // So that it was looked at.
	r.mu.Lock()
	r.channels = []slack.Channel{{Sink: "releases", ID: channel, Approvals: true}}
	r.mu.Unlock()
	r.eventually("the prompt", func() bool {
		if err := r.app.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(r.space.all()) == 2
	})
}

func TestManager_ClosesWhatWasAskedInAChannelThatIsTakenAway(t *testing.T) {
	for name, channels := range map[string][]slack.Channel{
		"no channel": nil, "another one": {{Sink: "releases", ID: "C0ANOTHER", Approvals: true}}, "for reading": {{Sink: "releases", ID: channel}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.becomes(asking)
			r.channels = channels
			r.sync()
			if p := r.space.all()[1]; p.Channel != channel || strings.Contains(p.says(), "button") {
				t.Errorf("the prompt still asks: %s", p.says())
			}
		})
	}
}

func TestManager_SaysThatARolloutIsDeleted(t *testing.T) {
	r := newRig(t)
	r.edit(func(rollout *v1alpha1.Rollout) { rollout.Finalizers = []string{"test.weighlock.dev/wait"} })
	r.run()
	r.set(asking)
	r.eventually("the prompt", func() bool { return len(r.space.all()) == 2 && r.thread().Prompt.Timestamp != "" })
	if err := admin.Delete(t.Context(), r.now()); err != nil {
		t.Fatal(err)
	}
	r.eventually("the end", func() bool { return r.thread().Over })
	r.edit(func(rollout *v1alpha1.Rollout) { rollout.Finalizers = nil })
	all := r.space.all()
	if len(all) != 2 || !strings.Contains(string(all[0].Blocks), "deleted") || strings.Contains(all[1].says(), "button") {
		t.Errorf("want a message that says so, and no buttons, got %+v", all)
	}
}

func TestManager_LeavesRefusalsToTheLog(t *testing.T) {
	r := newRig(t)
	var log strings.Builder
	r.options.Log = logTo(&log)
	fake := r.stopped()
	r.set(inStep)
	for range 3 {
		r.space.trouble("conversations.history", trouble{word: "not_in_channel"})
		fake.Step(r.sync() + time.Second)
	}
	if text := logged(&log); strings.Count(text, "invite it") != 1 || strings.Contains(text, botToken) {
		t.Errorf("the log says %s, want once what to do, and no token", text)
	}
}
