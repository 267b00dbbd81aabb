package gitsource

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// document is one document of a YAML file.
type document struct {
	text []byte
	// line is how many lines are before it in its file.
	line int
}

// split cuts a file into documents, and remembers where each begins.
func split(content []byte) []document {
	var documents []document
	current := document{}
	number := 0
	for line := range bytes.Lines(content) {
		number++
		rest, isMark := bytes.CutPrefix(line, []byte("---"))
		if isMark && len(bytes.TrimLeft(rest, " \t\r\n")) < len(rest) || isMark && len(rest) == 0 {
			documents = append(documents, current)
			current = document{line: number - 1}
			// The mark stays as an empty line, so that line numbers hold; what stands behind it belongs to
			// the document.
			line = append(bytes.Repeat([]byte(" "), len("---")), rest...)
		}
		current.text = append(current.text, line...)
	}
	documents = append(documents, current)
	if len(documents) > 1 && documents[0].empty() {
		// What stands before the first mark, a licence mostly, is no document.
		documents = documents[1:]
	}
	return documents
}

// empty tells whether there is nothing but comments.
func (d document) empty() bool {
	for line := range bytes.Lines(d.text) {
		if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 && trimmed[0] != '#' {
			return false
		}
	}
	return true
}

// parseManifest returns the objects of one file.
func parseManifest(content []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for i, doc := range split(content) {
		found, err := parseDocument(doc)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, err)
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

func parseDocument(doc document) ([]*unstructured.Unstructured, error) {
	raw, err := yaml.YAMLToJSONStrict(doc.text)
	if err != nil {
		return nil, relocate(err, doc.line)
	}
	if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		return nil, nil
	}
	first := doc.firstLine()
	var content map[string]any
	if err := json.Unmarshal(raw, &content); err != nil {
		return nil, fmt.Errorf("line %d: not a Kubernetes object", first)
	}
	object := &unstructured.Unstructured{Object: content}
	if object.IsList() {
		return parseList(object, first)
	}
	if err := validate(object); err != nil {
		return nil, fmt.Errorf("line %d: %w", first, err)
	}
	return []*unstructured.Unstructured{object}, nil
}

func parseList(list *unstructured.Unstructured, line int) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	items, _, err := unstructured.NestedSlice(list.Object, "items")
	if err != nil {
		return nil, fmt.Errorf("line %d: items is no list of objects", line)
	}
	for i, item := range items {
		content, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("line %d: items[%d] is no object", line, i)
		}
		object := &unstructured.Unstructured{Object: content}
		if err := validate(object); err != nil {
			return nil, fmt.Errorf("line %d: items[%d]: %w", line, i, err)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// validate looks at what every object must have; the rest is for the API server to say.
func validate(object *unstructured.Unstructured) error {
	_, hasName, nameErr := unstructured.NestedString(object.Object, "metadata", "name")
	switch {
	case object.GetAPIVersion() == "":
		return errors.New("apiVersion is missing: not a Kubernetes object")
	case object.GetKind() == "":
		return errors.New("kind is missing: not a Kubernetes object")
	case strings.HasPrefix(object.GetAPIVersion(), "kustomize.config.k8s.io/"):
		return errors.New("a kustomization inside of a plain folder: set spec.path to its folder, " +
			"or put a kustomization.yaml that lists it into the folder of spec.path")
	case nameErr != nil:
		return errors.New("metadata.name is no text: put it in quotes (YAML reads y, on and 1.0 as something else)")
	case !hasName || object.GetName() == "":
		return fmt.Errorf("%s without metadata.name (metadata.generateName can't be synced)", object.GetKind())
	}
	return nil
}

// firstLine is the line of the file on which the document has its first content.
func (d document) firstLine() int {
	line := d.line
	for text := range bytes.Lines(d.text) {
		line++
		trimmed := bytes.TrimSpace(text)
		if len(trimmed) > 0 && trimmed[0] != '#' {
			return line
		}
	}
	return d.line + 1
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

// relocate makes the lines of a parser's error those of the file.
func relocate(err error, offset int) error {
	text := yamlLine.ReplaceAllStringFunc(err.Error(), func(match string) string {
		line, convErr := strconv.Atoi(strings.TrimPrefix(match, "line "))
		if convErr != nil {
			return match
		}
		return fmt.Sprintf("line %d", line+offset)
	})
	text = strings.TrimPrefix(text, "error converting YAML to JSON: ")
	return errors.New(strings.ReplaceAll(strings.TrimPrefix(text, "yaml: "), "\n", " "))
}

// checkExpansion refuses a file whose aliases make it grow beyond limit values. Other parsers
// expand them first.
func checkExpansion(content []byte, limit int) error {
	if !bytes.ContainsRune(content, '*') || !bytes.ContainsRune(content, '&') {
		return nil
	}
	decoder := yamlv3.NewDecoder(bytes.NewReader(content))
	sizes := map[*yamlv3.Node]int{}
	total := 0
	for {
		var node yamlv3.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			// Whoever parses it for good reports it better.
			return nil //nolint:nilerr // see above
		}
		if total += expanded(&node, sizes, limit, 0); total > limit {
			return fmt.Errorf("%w: more than %d values once its aliases are expanded", ErrLimit, limit)
		}
	}
}

// maxDepth is how deep YAML may be nested, aliases included.
const maxDepth = 1000

// expanded counts the values of a node with its aliases expanded; each target is counted once and
// remembered. It stops soon after limit.
func expanded(node *yamlv3.Node, sizes map[*yamlv3.Node]int, limit, depth int) int {
	if size, ok := sizes[node]; ok {
		return size
	}
	if depth > maxDepth {
		return limit + 1
	}
	// An alias inside of its own anchor is endless.
	sizes[node] = limit + 1
	size := 1
	if node.Alias != nil {
		size += expanded(node.Alias, sizes, limit, depth+1)
	}
	for _, child := range node.Content {
		if size += expanded(child, sizes, limit, depth+1); size > limit {
			size = limit + 1
			break
		}
	}
	sizes[node] = size
	return size
}
