package slack_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares a message with a file of testdata. What differs from run to run is replaced.
func (r *rig) golden(name string, p post) {
	r.t.Helper()
	var text bytes.Buffer
	if err := json.Indent(&text, p.Blocks, "", "  "); err != nil {
		r.t.Fatal(err)
	}
	replace := []string{r.rollout.Namespace, "NAMESPACE"}
	for _, thread := range r.now().Status.Threads {
		if thread.Prompt != nil {
			replace = append(replace, thread.Prompt.ID, "PROMPT")
		}
	}
	got := strings.NewReplacer(replace...).Replace(p.Text + "\n" + text.String() + "\n")
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		r.t.Errorf("%s differs (go test -update rewrites it):\n%s", name, diff)
	}
}

func TestSync_TellsHowARolloutStands(t *testing.T) {
	for name, states := range map[string][]func(*v1alpha1.RolloutStatus){
		"starting":    {starting},
		"in-step":     {inStep},
		"paused":      {inStep, paused},
		"rolled-back": {inStep, rolledBack},
		"promoting":   {inStep, promoting},
		"promoted":    {inStep, promoted},
		"superseded":  {inStep, superseded},
		"retried":     {inStep, retried},
		"withdrawn":   {inStep, idle},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			for _, state := range states {
				r.becomes(state)
			}
			r.golden(name, r.space.all()[0])
		})
	}
}

func TestSync_AsksPeople(t *testing.T) {
	for name, states := range map[string][]func(*v1alpha1.RolloutStatus){
		"asking":       {asking},
		"asking-again": {askingTwo, approvedBy("slack:U0ALICE")},
		"closed":       {asking, promoting},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, v1alpha1.Step{Name: "pilot", Weight: new(int32(5))}, v1alpha1.Step{
				Name: "half", Weight: new(int32(50)), Approval: &v1alpha1.Approval{
					Approvers: []v1alpha1.Approver{{User: "slack:U0ALICE"}, {Group: "slack:S0LEADS"}, {User: "carol"}, {Group: "release-managers"}},
				},
			})
			for _, state := range states {
				r.becomes(state)
			}
			all := r.space.all()
			if len(all) != 2 || all[1].Thread != all[0].TS || !all[1].Broadcast {
				t.Fatalf("want the rollout's message, and the prompt in its thread, shown in the channel, too; got %+v", all)
			}
			r.golden(name, all[1])
		})
	}
}

func TestSync_SaysWhatOthersWroteWithoutItsMarkup(t *testing.T) {
	r := newRig(t)
	r.becomes(asking, func(s *v1alpha1.RolloutStatus) {
		s.Candidate.Author = "<!channel> *Boss* `x` <https://evil.example|Approve>"
		s.Verdict.Message = "<@U0ALICE> & <!here> " + strings.Repeat("long ", 2000)
		s.Approval.Quorum, s.Approval.Count = 3, 1
		s.Approval.Given = []v1alpha1.Voice{{Actor: "mallory<!everyone>", Via: "kubectl", Reason: "*trust* <!channel>", At: metav1.Now()}}
		s.WaitingFor = "<!subteam^S0LEADS>"
	})
	all := r.space.all()
	if len(all) != 2 {
		t.Fatalf("want two messages, got %d", len(all))
	}
	for _, p := range all {
		said := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(p.says())
		for _, markup := range []string{"<!", "<@", "<http", "*Boss*", "*trust*", "`x`"} {
			if strings.Contains(said, markup) {
				t.Errorf("the markup %s of others is in the message %s", markup, said)
			}
		}
	}
}
