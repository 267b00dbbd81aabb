package forecast

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/runtime"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/json"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// mostRead is how large a file may be.
const mostRead = 4 << 20

// Read finds a Rollout in YAML of one or more documents, or of lists such as kubectl prints, by its name if there are several. Fields that Rollouts don't have are errors, which tell
// their lines. What is not set is as the API server would set it.
func Read(in io.Reader, name string) (*v1alpha1.Rollout, error) {
	decoder := yaml.NewDecoder(io.LimitReader(in, mostRead))
	var found []*yaml.Node
	var names []string
	for {
		var document yaml.Node
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reading YAML: %w", err)
		}
		for _, node := range rolloutsIn(&document) {
			own := text(node, "metadata", "name")
			names = append(names, own)
			if name == "" || own == name {
				found = append(found, node)
			}
		}
	}
	switch {
	case len(names) == 0:
		return nil, fmt.Errorf("there is no Rollout of %s in it", v1alpha1.GroupVersion.Group)
	case len(found) == 0:
		return nil, fmt.Errorf("there is no Rollout %q in it, only %s", name, strings.Join(names, ", "))
	case len(found) > 1:
		return nil, fmt.Errorf("there are %d Rollouts in it: choose one of %s", len(found), strings.Join(names, ", "))
	}
	return decode(found[0])
}

// rolloutsIn are the Rollouts of a document: itself, or those of a list.
func rolloutsIn(document *yaml.Node) []*yaml.Node {
	candidates := []*yaml.Node{document}
	if items := child(document, "items"); items != nil && strings.HasSuffix(text(document, "kind"), "List") {
		candidates = items.Content
	}
	return slices.DeleteFunc(slices.Clone(candidates), func(node *yaml.Node) bool {
		return text(node, "kind") != "Rollout" || !strings.HasPrefix(text(node, "apiVersion"), v1alpha1.GroupVersion.Group+"/")
	})
}

// text is the scalar at a path; empty when there is none.
func text(node *yaml.Node, path ...string) string {
	for _, key := range path {
		if node = child(node, key); node == nil {
			return ""
		}
	}
	return node.Value
}

// child is the value of a key, or the item at an index; nil when there is none.
func child(node *yaml.Node, key string) *yaml.Node {
	for node.Kind == yaml.DocumentNode && len(node.Content) > 0 || node.Kind == yaml.AliasNode {
		if node.Kind == yaml.AliasNode {
			node = node.Alias
			continue
		}
		node = node.Content[0]
	}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == key {
				return node.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(key); err == nil && i < len(node.Content) {
			return node.Content[i]
		}
	default:
	}
	return nil
}

func decode(document *yaml.Node) (*v1alpha1.Rollout, error) {
	var loose any
	if err := document.Decode(&loose); err != nil {
		return nil, fmt.Errorf("reading YAML: %w", err)
	}
	body, err := json.Marshal(loose)
	if err != nil {
		return nil, fmt.Errorf("line %d: turning YAML into JSON: %w", document.Line, err)
	}
	kinds := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(kinds); err != nil {
		return nil, fmt.Errorf("registering kinds: %w", err)
	}
	strict := serializer.NewSerializerWithOptions(serializer.DefaultMetaFactory, kinds, kinds, serializer.SerializerOptions{Strict: true})
	rollout := &v1alpha1.Rollout{}
	if _, _, err := strict.Decode(body, nil, rollout); err != nil {
		return nil, placed(document, err)
	}
	if rollout.Spec.TotalWeight == 0 {
		rollout.Spec.TotalWeight = 100
	}
	if len(rollout.Spec.Steps) == 0 {
		return nil, fmt.Errorf("line %d: the Rollout has no steps: a candidate gets all traffic as soon as it is ready, and nothing is weighed", document.Line)
	}
	return rollout, nil
}

// Quoted in the errors of the decoder: the path of an unknown field, and that of one of another type, which lacks indexes.
var (
	unknownField = regexp.MustCompile(`unknown field "([^"]+)"`)
	otherType    = regexp.MustCompile(`cannot unmarshal (\w+) into Go struct field \w+\.(\S+) of type (\S+)`)
)

// placed says on which line of the document an error is.
func placed(document *yaml.Node, err error) error {
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		var all []error
		for _, err := range strict.Errors() {
			match := unknownField.FindStringSubmatch(err.Error())
			if match == nil {
				all = append(all, err)
				continue
			}
			all = append(all, fmt.Errorf("line %d: Rollouts have no field %s", lineOf(document, match[1]), match[1]))
		}
		return errors.Join(all...)
	}
	if match := otherType.FindStringSubmatch(err.Error()); match != nil {
		lines := linesOf(document, strings.Split(match[2], "."))
		if len(lines) == 1 {
			return fmt.Errorf("line %d: %s can't be a %s", lines[0], match[2], match[1])
		}
		return fmt.Errorf("%s can't be a %s (one of the lines %s)", match[2], match[1], strings.Trim(fmt.Sprint(lines), "[]"))
	}
	return err
}

// lineOf is the line of a field, such as spec.steps[0].weight, or of the last part of its path that is there.
func lineOf(document *yaml.Node, field string) int {
	node := document
	for _, key := range strings.FieldsFunc(field, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		next := child(node, key)
		if next == nil {
			break
		}
		node = next
	}
	return node.Line
}

// linesOf are those of all fields of a path without indexes.
func linesOf(node *yaml.Node, path []string) []int {
	for node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
		node = node.Content[0]
	}
	var lines []int
	if node.Kind == yaml.SequenceNode {
		for _, item := range node.Content {
			lines = append(lines, linesOf(item, path)...)
		}
		return slices.Compact(lines)
	}
	if len(path) == 0 {
		return []int{node.Line}
	}
	if next := child(node, path[0]); next != nil {
		return linesOf(next, path[1:])
	}
	return nil
}
