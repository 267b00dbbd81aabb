package e2e_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/local/observe"
	"github.com/weighlock/weighlock/local/shop"
	"github.com/weighlock/weighlock/local/stack"
)

// The exit codes of kubectl weighlock, as its help tells them.
const (
	reached        = 0
	failed         = 1
	wrongUsage     = 2
	wasRolledBack  = 3
	waitsForPerson = 4
	tooLate        = 5
)

// said is what a command said, and how it ended.
type said struct {
	out, err string
	code     int
}

// kubectl runs the stack's kubectl, in the rig's namespace, as a person.
func (r *rig) kubectl(person string, arguments ...string) said {
	r.t.Helper()
	cmd := running.Kubectl(r.t.Context(), person, arguments...)
	cmd.Env = append(cmd.Env, "HOME="+r.home, "TERM=dumb")
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		r.t.Fatal(err)
	}
	return said{out: out.String(), err: problems.String(), code: cmd.ProcessState.ExitCode()}
}

// weighlock runs the plugin, by kubectl.
func (r *rig) weighlock(person string, arguments ...string) said {
	r.t.Helper()
	return r.kubectl(person, append(append([]string{"weighlock"}, arguments...), "--namespace="+r.namespace)...)
}

// says fails the test unless the plugin ends with that code, and says each text.
func (r *rig) says(code int, texts []string, person string, arguments ...string) {
	r.t.Helper()
	got := r.weighlock(person, arguments...)
	for _, text := range texts {
		if !strings.Contains(got.out+got.err, text) {
			r.t.Errorf("kubectl weighlock %s doesn't say %q", strings.Join(arguments, " "), text)
		}
	}
	if got.code != code {
		r.t.Errorf("kubectl weighlock %s ends with %d, want %d", strings.Join(arguments, " "), got.code, code)
	}
	r.t.Logf("%s: kubectl weighlock %s: %d\n%s%s", person, strings.Join(arguments, " "), got.code, got.out, got.err)
}

// decided are the decisions on the rig's Rollout.
func (r *rig) decided() []observe.Decision {
	r.t.Helper()
	decisions, err := r.observer.Decisions(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return decisions
}

// grant gives the stack's people their roles in the rig's namespace.
func (r *rig) grant() {
	r.t.Helper()
	if err := running.Grant(r.t.Context(), r.namespace); err != nil {
		r.t.Fatal(err)
	}
}

// state waits until the Rollout is in one.
func (r *rig) state(want string) {
	r.t.Helper()
	r.until("the state "+want, func(v observe.View) error {
		if v.Rollout == nil || v.Rollout.Status.State != want {
			return errors.New("it is another")
		}
		return nil
	})
}

func TestApproval_IsGivenByWhoMayAndByNobodyElse(t *testing.T) {
	t.Parallel()
	r := newRig(t, "approval")
	r.example, r.edit = "approval", shorter
	r.grant()
	r.open()
	stop := r.load(100)
	commit := r.commit(shop.Version{Name: "2"})
	r.says(reached, []string{"waits for approval"}, stack.Alice, "status", "shop", "--for=approval", "--commit="+commit, "--timeout="+patience.String())

	r.says(failed, []string{
		`user "dana" may not approve Rollout "shop" in namespace "approval"`, `the verb "approve" on rollouts.weighlock.dev`,
	}, stack.Dana, "approve", "shop", "--reason=mine")
	r.says(failed, []string{`the verb "approve"`}, stack.Dana, "approve", "shop", "--dry-run=server")
	r.says(reached, nil, stack.Alice, "approve", "shop", "--dry-run=server")
	if got := r.decided(); len(got) != 0 {
		t.Errorf("there are decisions: %+v", got)
	}
	// When the numbers have said yes, only a person is waited for.
	r.says(waitsForPerson, nil, stack.Bob, "status", "shop", "--for=promoted", "--commit="+commit, "--timeout="+patience.String())
	if got, _ := r.last.Share(candidate(r.atStep(0.25))); got != 0.25 {
		t.Errorf("while it waits the candidate gets %v", got)
	}

	before := time.Now().Add(-time.Second)
	r.says(reached, []string{"approved by alice through kubectl: the graphs look good"}, stack.Alice, "approve", "shop", "--reason=the graphs look good")
	// As in a script, whose next line goes by what the one before did.
	r.says(reached, nil, stack.Alice, "status", "shop", "--for=promoted", "--commit="+commit, "--timeout="+patience.String())
	r.promoted(commit)
	unharmed(t, stop())
	got := r.decided()
	if len(got) != 1 {
		t.Fatalf("the decisions are %+v", got)
	}
	d := got[0]
	if d.Spec.Actor != "alice" || d.Spec.Via != "kubectl" || d.Spec.Verb != "approve" || d.Spec.Reason != "the graphs look good" || d.Status.Outcome != "Applied" ||
		d.Metadata.CreationTimestamp.Before(before.Truncate(time.Second)) {
		t.Errorf("the decision is %+v", d)
	}
	r.says(reached, []string{"alice", "kubectl", "the graphs look good"}, stack.Dana, "history", "shop")
}

func TestPlugin_SteersARollout(t *testing.T) {
	t.Parallel()
	r := newRig(t, "steered")
	r.edit = shorter
	r.grant()
	r.open()
	stop := r.load(100)
	r.says(reached, []string{"Idle"}, stack.Alice, "list")
	commit := r.commit(shop.Version{Name: "2"})
	r.inStep("a-tenth")
	r.says(reached, nil, stack.Alice, "pause", "shop", "--reason=lunch")
	r.says(waitsForPerson, []string{"lunch"}, stack.Alice, "status", "shop")
	r.state("Paused")
	r.says(reached, []string{"alice", "lunch", "a-tenth"}, stack.Bob, "get", "shop")
	r.says(waitsForPerson, nil, stack.Bob, "status", "shop", "--for=promoted")
	r.says(tooLate, nil, stack.Bob, "status", "shop", "--for=promoted", "--wait-for-people", "--timeout=2s")
	r.says(failed, []string{`"dana" may not resume`, `the verb "pause"`}, stack.Dana, "resume", "shop")
	r.says(reached, nil, stack.Bob, "resume", "shop")
	r.says(reached, nil, stack.Bob, "status", "shop")
	r.says(reached, []string{"--version=1", "--version=2"}, stack.Bob, "diff", "shop")
	r.says(reached, nil, stack.Bob, "promote", "shop", "--reason=in a hurry")
	r.says(reached, nil, stack.Bob, "status", "shop", "--for=step=a-quarter", "--timeout="+patience.String())
	r.says(reached, nil, stack.Alice, "abort", "shop", "--reason=wrong totals")
	r.says(wasRolledBack, []string{"wrong totals"}, stack.Alice, "status", "shop", "--for=promoted", "--timeout="+patience.String())
	view := r.rolledBack()
	if want := "aborted by alice through kubectl: wrong totals"; !strings.Contains(view.Progress.Reason, want) {
		t.Errorf("it was rolled back because %q, want %q", view.Progress.Reason, want)
	}
	r.says(wasRolledBack, []string{"wrong totals"}, stack.Alice, "status", "shop", "--for=promoted", "--commit="+commit, "--timeout="+patience.String())
	r.says(reached, nil, stack.Alice, "retry", "shop")
	r.says(reached, nil, stack.Alice, "status", "shop")
	r.inStep("a-tenth")
	r.says(reached, nil, stack.Alice, "promote", "shop", "--full")
	r.says(reached, nil, stack.Alice, "status", "shop", "--for=healthy", "--commit="+commit, "--timeout="+patience.String())
	r.promoted(commit)
	unharmed(t, stop())

	var verbs []string
	for _, d := range r.decided() {
		verbs = append(verbs, d.Spec.Actor+" "+d.Spec.Verb+" "+d.Status.Outcome)
	}
	slices.Sort(verbs)
	want := []string{"alice abort Applied", "alice pause Applied", "alice promote Applied", "alice retry Applied", "bob promote Applied", "bob resume Applied"}
	if !slices.Equal(verbs, want) {
		t.Errorf("the decisions are %v, want %v", verbs, want)
	}
	r.says(reached, []string{"lunch", "wrong totals"}, stack.Dana, "history", "shop")
	r.says(reached, []string{"wrong totals"}, stack.Dana, "logs", "shop")

	// A template that was live before is asked about by the commit that brings it now.
	back := r.commit(shop.Version{Name: "1"})
	r.says(reached, nil, stack.Alice, "status", "shop", "--for=step=a-tenth", "--commit="+back, "--timeout="+patience.String())
	r.says(reached, nil, stack.Alice, "promote", "shop", "--full", "--commit="+back)
	r.says(reached, nil, stack.Alice, "status", "shop", "--for=promoted", "--commit="+back, "--timeout="+patience.String())

	// A commit that brings no version is as far as the one that is there, and one that can't be applied is nowhere.
	note := r.commitWith(shop.Version{Name: "1"}, "NOTES.md", "Nothing for the cluster.\n")
	r.says(reached, []string{"changes nothing of shop: "}, stack.Dana, "status", "shop", "--for=promoted", "--commit="+note,
		"--timeout="+patience.String())
	broken := r.commitWith(shop.Version{Name: "1"}, "extra.yaml", "kind: {")
	r.says(failed, []string{"GitSource steered/shop can't apply it", "extra.yaml"}, stack.Dana, "status", "shop", "--for=promoted", "--commit="+broken)
}

func TestPlugin_ChecksAndCompletesByTheRealKubectl(t *testing.T) {
	t.Parallel()
	r := newRig(t, "completed")
	r.grant()
	r.open()
	got := r.kubectl(stack.Alice, "__complete", "weighlock", "get", "--namespace="+r.namespace, "")
	if !strings.HasPrefix(got.out, "shop") {
		t.Errorf("the Rollout is not completed: %+v", got)
	}
	folder := shop.Example(running.Root, "approval")
	r.says(reached, nil, stack.Alice, "lint", folder)
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	content, err := os.ReadFile(filepath.Join(folder, "git", "rollout.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	before, after, _ := strings.Cut(string(content), "weight: 25")
	if err := os.WriteFile(wrong, []byte(before+"weight: 2500"+after), 0o600); err != nil {
		t.Fatal(err)
	}
	line := 1 + strings.Count(before, "\n")
	r.says(failed, []string{wrong + ":" + strconv.Itoa(line)}, stack.Alice, "lint", wrong)
	r.says(wrongUsage, []string{"--help"}, stack.Alice, "get", "--for=lunch")
	r.says(failed, []string{"nobody"}, stack.Alice, "get", "nobody")
}
