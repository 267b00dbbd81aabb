package lint

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// object is an object of Weighlock in a file.
type object struct {
	file string
	// node is where it stands; lines before its document are to be added.
	node  *yamlv3.Node
	lines int
	// content is the object as it is sent to the API server, and later with what that fills in.
	content map[string]any
	kind    schema.GroupVersionKind
	// misnamed says what is wrong with its apiVersion, where that isn't one of Weighlock's.
	misnamed string
}

// syntax is what the reader of YAML says of a fault.
var syntax = regexp.MustCompile(`^(?:parsing YAML: )?(?:yaml: )?(?:unmarshal errors:\s*)?line (\d+): (.*)`)

// objects are Weighlock's in the file, and what keeps others from being found.
func (f file) objects() ([]*object, []Finding) {
	if f.large {
		return nil, []Finding{{
			File: f.path, Line: 1, Column: 1, Severity: Warning, Message: fmt.Sprintf("is larger than %d MiB, and was not looked at: name it, or split it", mostRead>>20),
		}}
	}
	var objects []*object
	var findings []Finding
	for _, document := range split(string(f.content)) {
		found, wrong := f.read(document)
		objects, findings = append(objects, found...), append(findings, wrong...)
	}
	return objects, findings
}

// document is a part of a file, with the number of lines before it.
type document struct {
	text  string
	lines int
}

// split cuts a file into its documents. A line that separates two belongs to the second, so that it may say more.
func split(text string) []document {
	documents := []document{{}}
	for number, line := range strings.SplitAfter(text, "\n") {
		if bare := strings.TrimRight(line, " \t\r\n"); bare == "---" || strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "---\t") {
			documents = append(documents, document{lines: number})
		}
		last := &documents[len(documents)-1]
		last.text += line
	}
	return documents
}

// read reads a document. Those of others are left alone, even where they are no YAML at all, such as templates of charts: unless it was they that were named.
func (f file) read(document document) ([]*object, []Finding) {
	node, err := parseOne(document.text)
	if err != nil {
		if !f.asked && !mayHold(document.text) {
			return nil, nil
		}
		return nil, []Finding{f.broken(document, err)}
	}
	root := inner(node)
	if root == nil || root.Kind != yamlv3.MappingNode || !mentions(root, true) {
		return nil, nil
	}
	twice := duplicates(root, "")
	for i := range twice {
		twice[i].File, twice[i].Line = f.path, twice[i].Line+document.lines
	}
	// The values are those that kubectl sends: YAML 1.1, to which yes is a truth value.
	body, err := yaml.YAMLToJSON([]byte(document.text))
	if err != nil {
		return nil, append(twice, f.broken(document, err))
	}
	var content map[string]any
	if err := json.Unmarshal(body, &content); err != nil {
		return nil, append(twice, f.broken(document, err))
	}
	found := gather(&object{file: f.path, node: root, lines: document.lines, content: content})
	if len(found) == 0 {
		return nil, nil
	}
	return found, twice
}

// parseOne parses a text that holds one document, or none.
func parseOne(text string) (*yamlv3.Node, error) {
	decoder := yamlv3.NewDecoder(strings.NewReader(text))
	var node, more yamlv3.Node
	if err := decoder.Decode(&node); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("parsing YAML: %w", err)
	}
	err := decoder.Decode(&more)
	switch {
	case err == nil:
		return nil, fmt.Errorf("line %d: a line --- is missing before this document", more.Line)
	case !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("parsing YAML: %w", err)
	}
	return &node, nil
}

// gather returns the object if it is Weighlock's, or those of them that a list holds. As to kubectl, it is a list of any kind that has items.
func gather(one *object) []*object {
	apiVersion, _ := one.content["apiVersion"].(string)
	kind, _ := one.content["kind"].(string)
	one.kind = schema.FromAPIVersionAndKind(apiVersion, kind)
	items, isList := one.content["items"].([]any)
	of, named := strings.CutSuffix(kind, "List")
	switch {
	case isList && named:
	case one.kind.Group == v1alpha1.GroupVersion.Group:
		return []*object{one}
	default:
		if one.misnamed = misnamed(one.content); one.misnamed == "" {
			return nil
		}
		return []*object{one}
	}
	var found []*object
	for i, item := range items {
		content, _ := item.(map[string]any)
		node, _ := find(one.node, fmt.Sprintf("items[%d]", i))
		if content != nil {
			if content["apiVersion"] == nil && content["kind"] == nil && of != "" {
				content["apiVersion"], content["kind"] = apiVersion, of
			}
			found = append(found, gather(&object{file: one.file, node: inner(node.value), lines: one.lines, content: content})...)
		}
	}
	return found
}

// mentions says whether the document, or an item of a List, may be Weighlock's. What stands for itself, by an anchor, would be followed for ever.
func mentions(root *yamlv3.Node, list bool) bool {
	var apiVersion, kind string
	for i := 0; i+1 < len(root.Content); i += 2 {
		switch key, value := root.Content[i].Value, inner(root.Content[i+1]); key {
		case "apiVersion":
			apiVersion = value.Value
		case "kind":
			kind = value.Value
		case "items":
			for _, item := range value.Content {
				if item = inner(item); list && item.Kind == yamlv3.MappingNode && mentions(item, false) {
					return true
				}
			}
		}
	}
	return mayBelong(apiVersion, kind)
}

// duplicates are the keys that are there twice. Which one counts depends on the reader.
func duplicates(node *yamlv3.Node, path string) []Finding {
	var found []Finding
	if node.Kind == yamlv3.SequenceNode {
		for i, item := range node.Content {
			found = append(found, duplicates(item, fmt.Sprintf("%s[%d]", path, i))...)
		}
	}
	if node.Kind != yamlv3.MappingNode {
		return found
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		if line, twice := seen[key.Value]; twice {
			found = append(found, Finding{
				Line: key.Line, Column: key.Column, Severity: Error, Field: at, Message: "is there twice: " + lineBefore(line, key.Line),
			})
		}
		seen[key.Value] = key.Line
		found = append(found, duplicates(node.Content[i+1], at)...)
	}
	return found
}

func lineBefore(line, now int) string {
	switch before := now - line; before {
	case 0:
		return "remove one of them"
	case 1:
		return "remove it, or the one a line before"
	default:
		return fmt.Sprintf("remove it, or the one %d lines before", before)
	}
}

// broken says where a document is no YAML.
func (f file) broken(document document, err error) Finding {
	finding := Finding{File: f.path, Line: document.lines + 1, Column: 1, Severity: Error, Message: "is no YAML: " + strings.TrimPrefix(strings.TrimPrefix(err.Error(), "parsing YAML: "), "yaml: ")}
	if match := syntax.FindStringSubmatch(err.Error()); match != nil {
		line, _ := strconv.Atoi(match[1])
		finding.Line, finding.Message = document.lines+max(line, 1), "is no YAML: "+match[2]
	}
	return finding
}
