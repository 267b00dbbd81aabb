package lint

import (
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// place is where a field stands: its key and its value. An item of a list has no key.
type place struct {
	key, value *yamlv3.Node
}

// position is the value's where that is a word or a number, and else the key's: a block begins below its key.
func (p place) position() (line, column int) {
	at := p.value
	if p.key != nil && p.value.Kind != yamlv3.ScalarNode {
		at = p.key
	}
	return at.Line, at.Column
}

// inner is what a document holds, or an alias stands for.
func inner(node *yamlv3.Node) *yamlv3.Node {
	for node != nil {
		switch {
		case node.Kind == yamlv3.AliasNode:
			node = node.Alias
		case node.Kind == yamlv3.DocumentNode && len(node.Content) > 0:
			node = node.Content[0]
		default:
			return node
		}
	}
	return nil
}

// find follows a path such as spec.steps[0].weight or metadata.labels[a.b/c] as far as it goes, and says whether that is its end.
func find(root *yamlv3.Node, path string) (place, bool) {
	at := place{value: inner(root)}
	parts := parse(path)
	for len(parts) > 0 {
		next, used := step(at.value, parts)
		if used == 0 {
			return at, false
		}
		at, parts = next, parts[used:]
	}
	return at, true
}

// parse cuts a path into keys and indexes.
func parse(path string) []string {
	var parts []string
	for path != "" {
		if rest, bracket := strings.CutPrefix(path, "["); bracket {
			part, after, _ := strings.Cut(rest, "]")
			parts, path = append(parts, part), strings.TrimPrefix(after, ".")
			continue
		}
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		parts, path = append(parts, path[:end]), strings.TrimPrefix(path[end:], ".")
	}
	return parts
}

// step goes on by one key or index. A key may hold dots, and so be several parts.
func step(node *yamlv3.Node, parts []string) (place, int) {
	if node.Kind == yamlv3.SequenceNode {
		index, err := strconv.Atoi(parts[0])
		if err != nil || index < 0 || index >= len(node.Content) {
			return place{}, 0
		}
		return place{value: inner(node.Content[index])}, 1
	}
	if node.Kind != yamlv3.MappingNode {
		return place{}, 0
	}
	for used := 1; used <= len(parts); used++ {
		key := strings.Join(parts[:used], ".")
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == key {
				return place{key: node.Content[i], value: inner(node.Content[i+1])}, used
			}
		}
	}
	// What a merge key brings along.
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == "<<" {
			if found, used := step(inner(node.Content[i+1]), parts); used > 0 {
				return found, used
			}
		}
	}
	return place{}, 0
}

// finding is about a field of the object. Where the field isn't there, it is told of what it should be in.
func (o *object) finding(severity Severity, field, message string) Finding {
	at, _ := find(o.node, field)
	line, column := at.position()
	return Finding{
		File: o.file, Line: o.lines + line, Column: column, Severity: severity, Object: o.String(), Field: field, Message: message,
	}
}

// String names the object.
func (o *object) String() string {
	name := o.name()
	if name == "" {
		return o.kind.Kind
	}
	return o.kind.Kind + "/" + name
}

func (o *object) metadata(field string) string {
	metadata, _ := o.content["metadata"].(map[string]any)
	value, _ := metadata[field].(string)
	return value
}

func (o *object) name() string      { return o.metadata("name") }
func (o *object) namespace() string { return o.metadata("namespace") }
