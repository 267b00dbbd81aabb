package forecast_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weighlock/weighlock/analysis/forecast"
)

func TestRead_FindsTheRolloutAmongOthers(t *testing.T) {
	t.Parallel()
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: checkout}\n---\n"
	rollout, err := forecast.Read(strings.NewReader(service+head+"  steps: [{weight: 20}]\n"), "")
	if err != nil || rollout.Name != "checkout" || rollout.Spec.TotalWeight != 100 || *rollout.Spec.Steps[0].Weight != 20 {
		t.Errorf("it is %+v (%v)", rollout, err)
	}
	second := strings.Replace(head, "{name: checkout}", "{name: cart}", 1)
	both := head + "  steps: [{weight: 20}]\n---\n" + second + "  steps: [{weight: 30}]\n"
	if _, err := forecast.Read(strings.NewReader(both), ""); err == nil || !strings.Contains(err.Error(), "checkout, cart") {
		t.Errorf("of two it says %v", err)
	}
	if rollout, err = forecast.Read(strings.NewReader(both), "cart"); err != nil || *rollout.Spec.Steps[0].Weight != 30 {
		t.Errorf("by its name it is %+v (%v)", rollout, err)
	}
	items := strings.ReplaceAll("\n"+head+"  steps: [{weight: 20}]", "\n", "\n  ")
	for _, list := range []string{"apiVersion: v1\nkind: List\nitems:\n-", "apiVersion: weighlock.dev/v1alpha1\nkind: RolloutList\nitems:\n-"} {
		if rollout, err = forecast.Read(strings.NewReader(list+items), ""); err != nil || rollout.Name != "checkout" || *rollout.Spec.Steps[0].Weight != 20 {
			t.Errorf("in a list it is %+v (%v)", rollout, err)
		}
		wrong := strings.Replace(list+items, "weight", "wieght", 1)
		if _, err := forecast.Read(strings.NewReader(wrong), ""); err == nil || !strings.Contains(err.Error(), "line 13: Rollouts have no field spec.steps[0].wieght") {
			t.Errorf("of a wrong one in a list it says %v", err)
		}
	}
	if _, err := forecast.Read(strings.NewReader(both), "shop"); err == nil || !strings.Contains(err.Error(), `"shop"`) {
		t.Errorf("of a name that isn't there it says %v", err)
	}
}

func TestRead_SaysWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, want string }{
		"an unknown field":  {head + "  steps:\n  - weight: 20\n  - wieght: 30\n", "line 11: Rollouts have no field spec.steps[1].wieght"},
		"another type":      {head + "  steps:\n  - weight: much\n", "line 10: spec.steps.weight can't be a string"},
		"a field twice":     {head + "  totalWeight: 100\n  totalWeight: 10\n", "line 10"},
		"no YAML":           {head + "  steps: [\n", "line"},
		"no Rollout":        {"kind: Service\n", "there is no Rollout"},
		"another's Rollout": {strings.Replace(head, "weighlock.dev", "argoproj.io", 1), "there is no Rollout"},
		"no steps":          {head, "has no steps"},
		"nothing":           {"", "there is no Rollout"},
		"a list":            {"- 1\n", "there is no Rollout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := forecast.Read(strings.NewReader(test.text), "")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("it says %v, want %q", err, test.want)
			}
		})
	}
}

func TestRead_ReadsTheExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../examples/*/git/rollout.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no examples (%v)", err)
	}
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := forecast.Read(file, ""); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
}
