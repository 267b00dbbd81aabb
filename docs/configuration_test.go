package docs_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weighlock/weighlock/configuration"
)

// blocksWith are a page's blocks of YAML that hold a text.
func blocksWith(t *testing.T, page, text string) []string {
	t.Helper()
	return slices.DeleteFunc(blocks(t, page), func(block string) bool { return !strings.Contains(block, text) })
}

func TestConfiguration_OfTheGuideIsValid(t *testing.T) {
	whole := blocksWith(t, "configuration.md", "kind: Configuration")
	if len(whole) != 1 {
		t.Fatalf("found %d configurations in the guide", len(whole))
	}
	made, err := configuration.Parse(strings.NewReader(whole[0]))
	if err != nil {
		t.Fatal(err)
	}
	if unused := made.Unused(); len(unused) > 0 {
		t.Errorf("nothing is told to %q", unused)
	}
	head := "apiVersion: weighlock.dev/v1alpha1\nkind: Configuration\n"
	parts := blocksWith(t, "notifications.md", "sinks:")
	if len(parts) < 5 {
		t.Fatalf("found %d sinks in the guide", len(parts))
	}
	app := blocksWith(t, "slack.md", "slack:")
	if len(app) < 2 {
		t.Fatalf("found %d parts of configurations in the guide of Slack", len(app))
	}
	for _, part := range slices.Concat(parts, slices.DeleteFunc(app, func(part string) bool { return !strings.HasPrefix(part, "slack:") })) {
		if _, err := configuration.Parse(strings.NewReader(head + part)); err != nil {
			t.Errorf("%v in\n%s", err, part)
		}
	}
}

func TestConfiguration_GuideTellsOfAllFields(t *testing.T) {
	text := prose(t, "configuration.md")
	for _, kind := range []reflect.Type{
		reflect.TypeFor[configuration.Slack](), reflect.TypeFor[configuration.Sink](), reflect.TypeFor[configuration.Route](),
		reflect.TypeFor[configuration.SlackChannel](), reflect.TypeFor[configuration.Webhook](), reflect.TypeFor[configuration.Flux](),
	} {
		for field := range kind.Fields() {
			if name := field.Tag.Get("yaml"); !strings.Contains(text, "`"+name) && !strings.Contains(text, ", "+name) && !strings.Contains(text, "{"+name) {
				t.Errorf("configuration.md doesn't tell of %s.%s", kind.Name(), name)
			}
		}
	}
}
