package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// marks are fields by which an object whose group isn't told is known for Weighlock's: of the spec, and for AnalysisTemplates, which others
// have with much the same spec, of its metrics.
var marks = map[string][]string{
	"Rollout":          {"workload", "service", "router"},
	"GitSource":        {"url", "serviceAccountName"},
	"Decision":         {"rollout", "verb", "actor"},
	"AnalysisTemplate": {"ratio", "threshold"},
}

// misnamed says what is wrong with the apiVersion of an object that is not of Weighlock's group, and is meant to be; empty where it is another's.
func misnamed(content map[string]any) string {
	apiVersion, _ := content["apiVersion"].(string)
	kind, _ := content["kind"].(string)
	group, _, versioned := strings.Cut(apiVersion, "/")
	written := value(content["apiVersion"])
	switch {
	case group == v1alpha1.GroupVersion.Group:
		return fmt.Sprintf("can't be %s: write %s", written, v1alpha1.GroupVersion)
	case resembles(group, kind):
		return fmt.Sprintf("can't be %s: %s may be meant", written, v1alpha1.GroupVersion)
	case versioned || !isMarked(kind, content):
		return ""
	case written == "":
		return fmt.Sprintf("is missing: write %s", v1alpha1.GroupVersion)
	}
	return fmt.Sprintf("can't be %s: write %s", written, v1alpha1.GroupVersion)
}

// resembles says whether a group is most likely a slip of Weighlock's, with another ending where the kind is Weighlock's.
func resembles(group, kind string) bool {
	if nearest(group, []string{v1alpha1.GroupVersion.Group}) != "" {
		return true
	}
	name, ending, _ := strings.Cut(group, ".")
	own, _, _ := strings.Cut(v1alpha1.GroupVersion.Group, ".")
	return marks[kind] != nil && !strings.Contains(ending, ".") && nearest(name, []string{own}) != ""
}

// isMarked says whether an object whose group isn't told is Weighlock's, by its kind and what it holds.
func isMarked(kind string, content map[string]any) bool {
	spec, _ := content["spec"].(map[string]any)
	marked := func(fields map[string]any) bool {
		return slices.ContainsFunc(marks[kind], func(mark string) bool {
			_, is := fields[mark]
			return is
		})
	}
	if kind == "AnalysisTemplate" {
		metrics, _ := spec["metrics"].([]any)
		return slices.ContainsFunc(metrics, func(metric any) bool {
			fields, _ := metric.(map[string]any)
			return marked(fields)
		})
	}
	// Others have Rollouts, with a spec. One that has none yet is begun most likely.
	_, isObject := content["metadata"].(map[string]any)
	return marked(spec) || marks[kind] != nil && len(spec) == 0 && isObject
}

// mayBelong says whether what has that apiVersion and kind is worth a look. It says so of all that misnamed tells of.
func mayBelong(apiVersion, kind string) bool {
	kind = strings.TrimSuffix(kind, "List")
	group, _, versioned := strings.Cut(apiVersion, "/")
	return resembles(group, kind) || !versioned && marks[kind] != nil
}

// identity finds apiVersions and kinds in a text that is no YAML.
var identity = regexp.MustCompile(`\b(apiVersion|kind)["']?[ \t]*:[ \t]*["']?([\w./-]*)`)

// mayHold says whether a text that is no YAML is meant to be an object of Weighlock. Where it names a group of others, or leaves it to a
// template, it isn't.
func mayHold(text string) bool {
	if strings.Contains(text, v1alpha1.GroupVersion.Group+"/") {
		return true
	}
	kind := ""
	var groups []string
	for _, match := range identity.FindAllStringSubmatch(text, -1) {
		group, _, _ := strings.Cut(match[2], "/")
		switch {
		case match[1] == "apiVersion":
			groups = append(groups, group)
		case marks[match[2]] != nil:
			kind = match[2]
		}
	}
	if groups == nil {
		return slices.ContainsFunc(marks[kind], func(mark string) bool { return strings.Contains(text, mark+":") })
	}
	return slices.ContainsFunc(groups, func(group string) bool { return resembles(group, kind) })
}
