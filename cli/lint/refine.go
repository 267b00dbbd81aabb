package lint

import (
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// notRE2 is what the rule of a pattern says. It can't be worked out for what is none.
const notRE2 = "regex must be an RE2 expression"

// refine makes a finding of what a rule says. A rule about all steps is told of the step, and one about a pattern with what is wrong with it.
func (o *object) refine(path, message string) Finding {
	switch {
	case strings.Contains(message, "a step's weight can't be above totalWeight"):
		total := int64(100)
		if asked, found, _ := unstructured.NestedInt64(o.content, "spec", "totalWeight"); found {
			total = asked
		}
		for i, step := range o.steps() {
			if weight, is := step["weight"].(int64); is && weight > total {
				return o.finding(Error, fmt.Sprintf("spec.steps[%d].weight", i), fmt.Sprintf("can't be %d: %s", weight, strings.TrimPrefix(message, "is wrong: ")))
			}
		}
	case strings.Contains(message, "two steps have the same name"):
		seen := map[any]bool{}
		for i, step := range o.steps() {
			name := step["name"]
			if name != nil && seen[name] {
				return o.finding(Error, fmt.Sprintf("spec.steps[%d].name", i), fmt.Sprintf("can't be %q: %s", name, strings.TrimPrefix(message, "is wrong: ")))
			}
			seen[name] = true
		}
	case strings.HasSuffix(message, notRE2):
		at, found := find(o.node, path)
		if !found {
			break
		}
		if _, err := regexp.Compile(at.value.Value); err != nil {
			message = fmt.Sprintf("can't be %q: ", at.value.Value) + notRE2 + ": " + strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		}
	}
	return o.finding(Error, path, message)
}

// steps are those of a Rollout, as far as they are maps.
func (o *object) steps() []map[string]any {
	list, _, _ := unstructured.NestedSlice(o.content, "spec", "steps")
	steps := make([]map[string]any, len(list))
	for i := range list {
		steps[i], _ = list[i].(map[string]any)
	}
	return steps
}
