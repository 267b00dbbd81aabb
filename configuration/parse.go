package configuration

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// mostRead is how large the file may be, in bytes.
const mostRead = 1 << 20

// FieldError is something wrong in the file.
type FieldError struct {
	// Line of it, from 1.
	Line int
	// Path of the field, such as sinks[1].webhook.url.
	Path string
	// Message says what is wrong, and what to write instead.
	Message string
}

func (p *FieldError) Error() string {
	if p.Path == "" {
		return fmt.Sprintf("line %d: %s", p.Line, p.Message)
	}
	return fmt.Sprintf("line %d: %s: %s", p.Line, p.Path, p.Message)
}

// Parse reads and checks a configuration. The error joins the FieldErrors that were found.
func Parse(in io.Reader) (*Configuration, error) {
	limited := &io.LimitedReader{R: in, N: mostRead + 1}
	decoder := yaml.NewDecoder(limited)
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case limited.N == 0:
		return nil, fmt.Errorf("the file is larger than %d bytes", mostRead)
	case errors.Is(err, io.EOF):
		return nil, &FieldError{Line: 1, Message: "the file is empty: write apiVersion: " + APIVersion + " and kind: " + Kind}
	case err != nil:
		return nil, fmt.Errorf("reading YAML: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, &FieldError{Line: document.Content[0].Line, Message: "there is more than one YAML document in the file"}
	}
	root := document.Content[0]
	read := &reading{lines: map[string]int{"": root.Line}}
	read.check(root, reflect.TypeFor[Configuration](), "")
	if err := read.failure(); err != nil {
		return nil, err
	}
	made := &Configuration{}
	if err := root.Decode(made); err != nil {
		return nil, fmt.Errorf("reading YAML: %w", err)
	}
	made.setDefaults()
	read.validate(made)
	if err := read.failure(); err != nil {
		return nil, err
	}
	return made, nil
}

func (c *Configuration) setDefaults() {
	if c.Slack != nil && c.Slack.Mode == ModeHTTP && c.Slack.Listen == "" {
		c.Slack.Listen = ":9798"
	}
}

// reading is one file while it is read.
type reading struct {
	// lines of the fields, by their paths.
	lines    map[string]int
	problems []*FieldError
}

// failure joins the problems, in the file's order.
func (r *reading) failure() error {
	slices.SortStableFunc(r.problems, func(a, b *FieldError) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Path, b.Path))
	})
	var all []error
	for _, problem := range r.problems {
		all = append(all, problem)
	}
	return errors.Join(all...)
}

// report notes a problem at the field, or at the nearest one around it that is in the file.
func (r *reading) report(path, format string, args ...any) {
	at := path
	line, found := r.lines[at]
	for ; !found && at != ""; line, found = r.lines[at] {
		at = at[:max(strings.LastIndexAny(at, ".["), 0)]
	}
	r.problems = append(r.problems, &FieldError{Line: line, Path: path, Message: fmt.Sprintf(format, args...)})
}

// check says whether a node has the shape of a type, and remembers its line.
func (r *reading) check(node *yaml.Node, want reflect.Type, path string) {
	r.lines[path] = node.Line
	for want.Kind() == reflect.Pointer {
		want = want.Elem()
	}
	if node.Kind == yaml.AliasNode {
		r.report(path, "aliases are not taken: write the value itself")
		return
	}
	if node.Tag == "!!null" {
		r.report(path, "there is no value: leave the field out, or write one")
		return
	}
	switch want.Kind() {
	case reflect.Struct, reflect.Map:
		r.checkMapping(node, want, path)
	case reflect.Slice:
		if node.Kind != yaml.SequenceNode {
			r.report(path, "want a list")
			return
		}
		for i, item := range node.Content {
			r.check(item, want.Elem(), path+"["+strconv.Itoa(i)+"]")
		}
	case reflect.Bool:
		if node.Kind != yaml.ScalarNode || node.Tag != "!!bool" {
			r.report(path, "want true or false")
		}
	default:
		if node.Kind != yaml.ScalarNode || node.Tag != "!!str" {
			r.report(path, "want a text: set it in quotes where it looks like something else")
		}
	}
}

func (r *reading) checkMapping(node *yaml.Node, want reflect.Type, path string) {
	if node.Kind != yaml.MappingNode {
		if want == reflect.TypeFor[Secret]() {
			r.report(path, "want {file: path} or {env: NAME}: secrets don't stand in this file")
			return
		}
		r.report(path, "want fields and their values")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		if key.Kind != yaml.ScalarNode || key.Tag != "!!str" {
			r.lines[at] = key.Line
			r.report(at, "want a text before the colon: set it in quotes")
			continue
		}
		if seen[key.Value] {
			r.problems = append(r.problems, &FieldError{Line: key.Line, Path: at, Message: "it is there twice"})
			continue
		}
		seen[key.Value] = true
		if want.Kind() == reflect.Map {
			r.check(value, want.Elem(), at)
			continue
		}
		field, known := fieldOf(want, key.Value)
		if !known {
			r.problems = append(r.problems, &FieldError{Line: key.Line, Path: at, Message: "there is no such field, only " + fieldsOf(want)})
			continue
		}
		r.check(value, field, at)
		r.lines[at] = key.Line
	}
}

func fieldOf(of reflect.Type, name string) (reflect.Type, bool) {
	for field := range of.Fields() {
		if field.Tag.Get("yaml") == name {
			return field.Type, true
		}
	}
	return nil, false
}

func fieldsOf(of reflect.Type) string {
	var names []string
	for field := range of.Fields() {
		names = append(names, field.Tag.Get("yaml"))
	}
	return strings.Join(names, ", ")
}
