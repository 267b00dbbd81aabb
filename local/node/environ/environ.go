// Package environ makes the environment and the arguments of a container's
// program from what the pod's specification says.
package environ

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/weighlock/weighlock/local/node/downward"
)

// Objects finds what environments refer to.
type Objects interface {
	ConfigMap(namespace, name string) (*corev1.ConfigMap, error)
	Secret(namespace, name string) (*corev1.Secret, error)
}

// Environment is a container's environment.
type Environment map[string]string

// Build returns the container's environment: the base, which the node gives to
// every container, then envFrom, then env, later ones winning. Values may use
// $(NAME) of what is defined before them.
func Build(pod *corev1.Pod, container corev1.Container, facts downward.Facts, objects Objects, base Environment) (Environment, error) {
	env := maps.Clone(base)
	if env == nil {
		env = Environment{}
	}
	for _, from := range container.EnvFrom {
		data, err := bulk(pod.Namespace, from, objects)
		if err != nil {
			return nil, err
		}
		for key, value := range data {
			env[from.Prefix+key] = value
		}
	}
	for _, variable := range container.Env {
		if variable.ValueFrom == nil {
			env[variable.Name] = env.Expand(variable.Value)
			continue
		}
		value, ok, err := single(pod, container, facts, *variable.ValueFrom, objects)
		if err != nil {
			return nil, fmt.Errorf("environment variable %s: %w", variable.Name, err)
		}
		if ok {
			env[variable.Name] = value
		}
	}
	return env, nil
}

// List returns the environment as NAME=value, in order of the names.
func (e Environment) List() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(e)) {
		out = append(out, name+"="+e[name])
	}
	return out
}

// Expand replaces $(NAME) by the variable's value and $$ by $; a reference to
// what is not defined is left as it is.
func (e Environment) Expand(text string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		text = after
		switch {
		case strings.HasPrefix(text, "$"):
			out.WriteString("$")
			text = text[1:]
		case strings.HasPrefix(text, "("):
			name, rest, closed := strings.Cut(text[1:], ")")
			if !closed {
				out.WriteString("$")
				continue
			}
			value, defined := e[name]
			if !defined {
				value = "$(" + name + ")"
			}
			out.WriteString(value)
			text = rest
		default:
			out.WriteString("$")
		}
	}
}

// ExpandAll expands each of a command's words.
func (e Environment) ExpandAll(words []string) []string {
	var out []string
	for _, word := range words {
		out = append(out, e.Expand(word))
	}
	return out
}

// single finds the value of one variable; none is set when what it refers to is
// missing and optional.
func single(pod *corev1.Pod, container corev1.Container, facts downward.Facts, source corev1.EnvVarSource, objects Objects) (string, bool, error) {
	switch {
	case source.FieldRef != nil:
		value, err := downward.Field(pod, facts, source.FieldRef.FieldPath)
		return value, err == nil, err
	case source.ResourceFieldRef != nil:
		value, err := downward.Resource(container, facts, *source.ResourceFieldRef)
		return value, err == nil, err
	case source.ConfigMapKeyRef != nil:
		ref := source.ConfigMapKeyRef
		data, err := configMap(pod.Namespace, ref.Name, ref.Optional, objects)
		return pick(data, ref.Key, ref.Optional, "configmap "+ref.Name, err)
	case source.SecretKeyRef != nil:
		ref := source.SecretKeyRef
		data, err := secret(pod.Namespace, ref.Name, ref.Optional, objects)
		return pick(data, ref.Key, ref.Optional, "secret "+ref.Name, err)
	}
	return "", false, fmt.Errorf("the local node does not know this source of a value")
}

func bulk(namespace string, from corev1.EnvFromSource, objects Objects) (map[string]string, error) {
	switch {
	case from.ConfigMapRef != nil:
		return configMap(namespace, from.ConfigMapRef.Name, from.ConfigMapRef.Optional, objects)
	case from.SecretRef != nil:
		return secret(namespace, from.SecretRef.Name, from.SecretRef.Optional, objects)
	}
	return nil, nil
}

func configMap(namespace, name string, optional *bool, objects Objects) (map[string]string, error) {
	object, err := objects.ConfigMap(namespace, name)
	if apierrors.IsNotFound(err) && isTrue(optional) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return object.Data, nil
}

func secret(namespace, name string, optional *bool, objects Objects) (map[string]string, error) {
	object, err := objects.Secret(namespace, name)
	if apierrors.IsNotFound(err) && isTrue(optional) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data := map[string]string{}
	for key, value := range object.Data {
		data[key] = string(value)
	}
	return data, nil
}

func pick(data map[string]string, key string, optional *bool, where string, err error) (string, bool, error) {
	if err != nil {
		return "", false, err
	}
	value, ok := data[key]
	if !ok && !isTrue(optional) {
		return "", false, fmt.Errorf("%s has no key %q", where, key)
	}
	return value, ok, nil
}

func isTrue(b *bool) bool {
	return b != nil && *b
}
