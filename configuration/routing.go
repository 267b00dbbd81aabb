package configuration

import (
	"path"
	"slices"
	"strings"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// Told is what is known of an event when it is decided who is told.
type Told struct {
	// Namespace of the object that it is about.
	Namespace string
	// Rollout is its name; empty where the object is another.
	Rollout string
	// Notify is the value of the Rollout's annotation weighlock.dev/notify.
	Notify string
	Reason string
	// Warning says that somebody should look.
	Warning bool
}

// For returns the names of the sinks that are told of an event, each once, in the file's order. Refused are names in the annotation
// that are no sinks, or may not be named from that namespace.
func (c *Configuration) For(event Told) (sinks, refused []string) {
	named, refused := c.named(event.Namespace, event.Notify)
	return c.reached(named, func(r *Route) bool { return r.matches(event.Namespace, event.Rollout) && r.tells(event) }), refused
}

// Channels returns the sinks that are channels of the Slack app and follow a Rollout from its start to its end: those that the
// annotation names, those of routes that leave nothing out, and of all routes those in which people are asked.
func (c *Configuration) Channels(rollout *v1alpha1.Rollout) []Sink {
	named, _ := c.named(rollout.Namespace, rollout.Annotations[v1alpha1.AnnotationNotify])
	var channels []Sink
	for _, name := range c.reached(named, func(r *Route) bool { return r.matches(rollout.Namespace, rollout.Name) }) {
		sink := c.sink(name)
		if sink.Slack == nil {
			continue
		}
		follows := sink.Slack.Approvals || slices.Contains(named, name) || slices.ContainsFunc(c.Routes, func(r Route) bool {
			return len(r.Reasons) == 0 && !r.WarningsOnly && slices.Contains(r.Sinks, name) && r.matches(rollout.Namespace, rollout.Name)
		})
		if follows {
			channels = append(channels, *sink)
		}
	}
	return channels
}

// ApproversIn returns the members and user groups that may decide on rollouts in a namespace where a step names nobody.
func (s *Slack) ApproversIn(namespace string) (users, groups []string) {
	for _, a := range s.Approvers {
		if matchesAny(a.Namespaces, namespace) {
			users = append(users, a.Users...)
			groups = append(groups, a.Groups...)
		}
	}
	return users, groups
}

// mostNamed is how many names of an annotation are read.
const mostNamed = 32

// named returns the sinks that an annotation names and may name, and those that it may not.
func (c *Configuration) named(namespace, annotation string) (named, refused []string) {
	if annotation == "" {
		return nil, nil
	}
	for name := range strings.SplitSeq(annotation, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if len(named)+len(refused) == mostNamed {
			break
		}
		if sink := c.sink(name); sink != nil && matchesAny(sink.Namespaces, namespace) {
			named = append(named, name)
		} else {
			refused = append(refused, name)
		}
	}
	return named, refused
}

// reached returns the names of the sinks that were named, or that a route names which is wanted.
func (c *Configuration) reached(named []string, wanted func(*Route) bool) []string {
	var found []string
	for i := range c.Sinks {
		name := c.Sinks[i].Name
		if slices.Contains(named, name) || slices.ContainsFunc(c.Routes, func(r Route) bool { return slices.Contains(r.Sinks, name) && wanted(&r) }) {
			found = append(found, name)
		}
	}
	return found
}

func (c *Configuration) sink(name string) *Sink {
	for i := range c.Sinks {
		if c.Sinks[i].Name == name {
			return &c.Sinks[i]
		}
	}
	return nil
}

func (r *Route) matches(namespace, rollout string) bool {
	return (len(r.Namespaces) == 0 || matchesAny(r.Namespaces, namespace)) &&
		(len(r.Rollouts) == 0 || rollout != "" && matchesAny(r.Rollouts, rollout))
}

func (r *Route) tells(event Told) bool {
	return (event.Warning || !r.WarningsOnly) && (len(r.Reasons) == 0 || slices.Contains(r.Reasons, event.Reason))
}

// matchesAny says whether one of the patterns is that of a name. Patterns were checked when the file was read.
func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}

// Unused returns the names of the sinks that nothing can reach: no route names them, and no namespace's Rollouts may.
func (c *Configuration) Unused() []string {
	var names []string
	for i := range c.Sinks {
		name := c.Sinks[i].Name
		if len(c.Sinks[i].Namespaces) == 0 && !slices.ContainsFunc(c.Routes, func(r Route) bool { return slices.Contains(r.Sinks, name) }) {
			names = append(names, name)
		}
	}
	return names
}
