package deployment

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
)

// maxConfig bounds how many ConfigMaps and Secrets of a template are looked at: each is a read when a step begins.
const maxConfig = 100

// absent stands for config that is not there.
const absent = "absent"

var (
	configMapKind = corev1.SchemeGroupVersion.WithKind("ConfigMap")
	secretKind    = corev1.SchemeGroupVersion.WithKind("Secret")
)

// config is a ConfigMap or Secret that pods use.
type config struct{ kind, name string }

func (c config) String() string { return c.kind + "/" + c.name }

// configOf lists the ConfigMaps and Secrets that the pods of a template mount or take their environment from, sorted.
func configOf(template map[string]any) []config {
	found := map[config]bool{}
	add := func(kind string, holder any, field, name string) {
		fields, _ := holder.(map[string]any)
		source, _ := fields[field].(map[string]any)
		if called, _ := source[name].(string); called != "" {
			found[config{kind, called}] = true
		}
	}
	for _, volume := range list(template, "spec", "volumes") {
		add(configMapKind.Kind, volume, "configMap", "name")
		add(secretKind.Kind, volume, "secret", "secretName")
		fields, _ := volume.(map[string]any)
		for _, source := range list(fields, "projected", "sources") {
			add(configMapKind.Kind, source, "configMap", "name")
			add(secretKind.Kind, source, "secret", "name")
		}
	}
	for _, containers := range []string{"containers", "initContainers"} {
		for _, container := range list(template, "spec", containers) {
			fields, _ := container.(map[string]any)
			for _, source := range list(fields, "envFrom") {
				add(configMapKind.Kind, source, "configMapRef", "name")
				add(secretKind.Kind, source, "secretRef", "name")
			}
			for _, variable := range list(fields, "env") {
				fields, _ := variable.(map[string]any)
				add(configMapKind.Kind, fields["valueFrom"], "configMapKeyRef", "name")
				add(secretKind.Kind, fields["valueFrom"], "secretKeyRef", "name")
			}
		}
	}
	sorted := slices.SortedFunc(maps.Keys(found), func(one, other config) int {
		return cmp.Or(cmp.Compare(one.kind, other.kind), cmp.Compare(one.name, other.name))
	})
	return sorted[:min(len(sorted), maxConfig)]
}

// configNow says of each ConfigMap and Secret that a template names in which state it is. What Weighlock may not
// read is left out. It needs get on configmaps, and on secrets where these are to be looked at.
func (a *Adapter) configNow(ctx context.Context, namespace string, template map[string]any) (map[string]string, error) {
	now := map[string]string{}
	for _, c := range configOf(template) {
		state, err := a.stateOf(ctx, namespace, c)
		switch {
		case apierrors.IsForbidden(err):
		case apierrors.IsNotFound(err):
			now[c.String()] = absent
		case err != nil:
			return nil, fmt.Errorf("look at %s in namespace %s: %w", c, namespace, err)
		default:
			now[c.String()] = state
		}
	}
	return now, nil
}

// stateOf is another for each content. Of a Secret only the metadata is read, so that nothing of it is ever held
// here; its version is also another when only a label changed.
func (a *Adapter) stateOf(ctx context.Context, namespace string, c config) (string, error) {
	key := types.NamespacedName{Namespace: namespace, Name: c.name}
	if c.kind == secretKind.Kind {
		there := metadataOf(secretKind)
		err := a.live.Get(ctx, key, there)
		return there.ResourceVersion, err
	}
	there := &corev1.ConfigMap{}
	if err := a.live.Get(ctx, key, there); err != nil {
		return "", err
	}
	data, err := json.Marshal([]any{there.Data, there.BinaryData})
	return naming.Hash(data, revisionLength), err
}

// noteConfig keeps on the copy u in which state its config is; of one that exists, in which state it was.
func (a *Adapter) noteConfig(ctx context.Context, existing, u *unstructured.Unstructured) error {
	if existing != nil {
		carry(existing, u, v1alpha1.AnnotationConfig)
		return nil
	}
	now, err := a.configNow(ctx, u.GetNamespace(), templateOf(u))
	if err != nil || len(now) == 0 {
		return err
	}
	data, err := json.Marshal(now)
	if err != nil {
		return fmt.Errorf("write the state of config as JSON: %w", err)
	}
	u.SetAnnotations(map[string]string{v1alpha1.AnnotationConfig: string(data)})
	return nil
}

// carry keeps an annotation in an apply, which would drop what it doesn't name.
func carry(from, to *unstructured.Unstructured, key string) {
	if value, ok := from.GetAnnotations()[key]; ok {
		annotations := to.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[key] = value
		to.SetAnnotations(annotations)
	}
}

// changedConfig lists what is not any more as it was when the copy was made, sorted.
func (a *Adapter) changedConfig(ctx context.Context, copied *unstructured.Unstructured) ([]string, error) {
	noted := map[string]string{}
	if text := copied.GetAnnotations()[v1alpha1.AnnotationConfig]; text != "" {
		if json.Unmarshal([]byte(text), &noted) != nil {
			// Somebody edited it: nothing is known.
			clear(noted)
		}
	}
	if len(noted) == 0 {
		return nil, nil
	}
	now, err := a.configNow(ctx, copied.GetNamespace(), templateOf(copied))
	if err != nil {
		return nil, err
	}
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(noted)) {
		if state, known := now[name]; known && state != noted[name] {
			changed = append(changed, name)
		}
	}
	return changed, nil
}
