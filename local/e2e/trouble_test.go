package e2e_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/local/observe"
	"github.com/weighlock/weighlock/local/shop"
)

// stalled waits for the one condition that says what is wrong.
func (r *rig) stalled(says ...string) {
	r.t.Helper()
	r.until("Stalled to say what is wrong", func(v observe.View) error {
		if v.Rollout == nil {
			return errors.New("there is no Rollout")
		}
		condition := observe.Find(v.Rollout.Status.Conditions, "Stalled")
		if condition == nil || condition.Status != "True" {
			return errors.New("it is not Stalled")
		}
		for _, word := range says {
			if !strings.Contains(condition.Message, word) {
				return fmt.Errorf("it says %q, which lacks %q", condition.Message, word)
			}
		}
		return nil
	})
}

func TestRollout_StallsOnAnUnknownWorkload(t *testing.T) {
	t.Parallel()
	r := newRig(t, "unknown")
	example := r.files(shop.Version{Name: "1"})
	r.mustApply(example["shop.yaml"])
	r.mustApply(strings.Replace(example["rollout.yaml"], "kind: Deployment\n    name: shop", "kind: Deployment\n    name: shopp", 1))
	r.stalled("shopp")
	r.served("1")
}

func TestRollout_StallsOnAServiceThatMissesTheWorkload(t *testing.T) {
	t.Parallel()
	r := newRig(t, "missed")
	example := r.files(shop.Version{Name: "1"})
	// The Service belongs to another Deployment, which goes on answering.
	r.mustApply(strings.Replace(example["shop.yaml"], "  selector:\n    app: shop\n  ports", "  selector:\n    app: other\n  ports", 1))
	r.mustApply(strings.NewReplacer("name: shop\nspec:\n  replicas", "name: other\nspec:\n  replicas", "app: shop", "app: other", "--version=1", "--version=other").
		Replace(strings.SplitN(example["shop.yaml"], "---", 2)[0]))
	r.served("other")
	r.mustApply(example["rollout.yaml"])
	r.stalled("select")
	r.served("other")
}

func TestRollout_IsRefusedWithAnImpossibleWeight(t *testing.T) {
	t.Parallel()
	r := newRig(t, "impossible")
	rollout := r.files(shop.Version{Name: "1"})["rollout.yaml"]
	err := r.apply(strings.Replace(rollout, "weight: 50", "weight: 101", 1))
	if err == nil || !strings.Contains(err.Error(), "a step's weight can't be above totalWeight") {
		t.Errorf("applying it says %v, want a refusal that says what to write", err)
	}
}

func TestGitSource_KeepsTheLastGoodStateWhenATreeIsBroken(t *testing.T) {
	t.Parallel()
	r := newRig(t, "broken")
	r.open()
	before, stop := r.pods(), r.load(50)
	// A new version stands beside the broken file: none of the commit counts.
	broken := r.files(shop.Version{Name: "2"})
	broken["extra/settings.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings\n"
	if _, err := r.repository.CommitFiles(t.Context(), broken, "Break it"); err != nil {
		t.Fatal(err)
	}
	r.until("a condition that names the file", func(v observe.View) error {
		ready := observe.Find(v.Source.Status.Conditions, "Ready")
		if ready == nil || ready.Status != "False" || !strings.Contains(ready.Message, "extra/settings.yaml") {
			return fmt.Errorf("Ready is %+v", ready)
		}
		return nil
	})
	time.Sleep(2 * time.Second)
	if view := r.idle(); view.Rollout.Status.Candidate != nil {
		t.Errorf("a candidate of the broken commit is tried: %+v", view.Rollout.Status.Candidate)
	}
	stats := stop()
	unharmed(t, stats)
	r.samePods(before)
	if n := stats.Version("2").Requests; n > 0 {
		t.Errorf("version 2 of a broken commit answered %d requests", n)
	}
}
