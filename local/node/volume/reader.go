package volume

import (
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/weighlock/weighlock/local/node/downward"
)

// errUnsupported says which kinds of volume there are.
var errUnsupported = errors.New("the local node has only configMap, secret, projected, downwardAPI, emptyDir and hostPath volumes")

// reader collects the files of one volume.
type reader struct {
	set   *Set
	pod   *corev1.Pod
	facts downward.Facts
	files files
}

func (r *reader) volume(ctx context.Context, source corev1.VolumeSource) error {
	switch {
	case source.ConfigMap != nil:
		v := source.ConfigMap
		return r.configMap(v.Name, v.Items, v.Optional, modeOf(v.DefaultMode, defaultMode))
	case source.Secret != nil:
		v := source.Secret
		return r.secret(v.SecretName, v.Items, v.Optional, modeOf(v.DefaultMode, defaultMode))
	case source.DownwardAPI != nil:
		return r.downward(source.DownwardAPI.Items, modeOf(source.DownwardAPI.DefaultMode, defaultMode))
	case source.Projected != nil:
		mode := modeOf(source.Projected.DefaultMode, defaultMode)
		for _, part := range source.Projected.Sources {
			if err := r.projection(ctx, part, mode); err != nil {
				return err
			}
		}
		return nil
	}
	return errUnsupported
}

func (r *reader) projection(ctx context.Context, part corev1.VolumeProjection, mode uint32) error {
	switch {
	case part.ConfigMap != nil:
		return r.configMap(part.ConfigMap.Name, part.ConfigMap.Items, part.ConfigMap.Optional, mode)
	case part.Secret != nil:
		return r.secret(part.Secret.Name, part.Secret.Items, part.Secret.Optional, mode)
	case part.DownwardAPI != nil:
		return r.downward(part.DownwardAPI.Items, mode)
	case part.ServiceAccountToken != nil:
		text, err := r.set.token(ctx, r.pod, *part.ServiceAccountToken)
		if err != nil {
			return err
		}
		return r.add(part.ServiceAccountToken.Path, []byte(text), mode)
	}
	return errUnsupported
}

func (r *reader) configMap(name string, items []corev1.KeyToPath, optional *bool, mode uint32) error {
	object, err := r.set.objects.ConfigMap(r.pod.Namespace, name)
	if apierrors.IsNotFound(err) && optional != nil && *optional {
		return nil
	}
	if err != nil {
		return err
	}
	data := map[string][]byte{}
	for key, value := range object.Data {
		data[key] = []byte(value)
	}
	maps.Copy(data, object.BinaryData)
	return r.keys("configmap "+name, data, items, optional, mode)
}

func (r *reader) secret(name string, items []corev1.KeyToPath, optional *bool, mode uint32) error {
	object, err := r.set.objects.Secret(r.pod.Namespace, name)
	if apierrors.IsNotFound(err) && optional != nil && *optional {
		return nil
	}
	if err != nil {
		return err
	}
	return r.keys("secret "+name, object.Data, items, optional, mode)
}

// keys adds all of an object's data, or the items chosen of it.
func (r *reader) keys(where string, data map[string][]byte, items []corev1.KeyToPath, optional *bool, mode uint32) error {
	if len(items) == 0 {
		for key, value := range data {
			if err := r.add(key, value, mode); err != nil {
				return err
			}
		}
		return nil
	}
	for _, item := range items {
		value, ok := data[item.Key]
		if !ok && optional != nil && *optional {
			continue
		}
		if !ok {
			return fmt.Errorf("%s has no key %q", where, item.Key)
		}
		if err := r.add(item.Path, value, modeOf(item.Mode, mode)); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) downward(items []corev1.DownwardAPIVolumeFile, mode uint32) error {
	for _, item := range items {
		value, err := r.field(item)
		if err != nil {
			return err
		}
		if err := r.add(item.Path, []byte(value), modeOf(item.Mode, mode)); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) field(item corev1.DownwardAPIVolumeFile) (string, error) {
	if item.FieldRef != nil {
		return downward.Field(r.pod, r.facts, item.FieldRef.FieldPath)
	}
	if item.ResourceFieldRef == nil {
		return "", fmt.Errorf("%s has neither a fieldRef nor a resourceFieldRef", item.Path)
	}
	for _, container := range r.pod.Spec.Containers {
		if container.Name == item.ResourceFieldRef.ContainerName {
			return downward.Resource(container, r.facts, *item.ResourceFieldRef)
		}
	}
	return "", fmt.Errorf("the pod has no container %s", item.ResourceFieldRef.ContainerName)
}

func modeOf(mode *int32, otherwise uint32) uint32 {
	if mode == nil {
		return otherwise
	}
	return uint32(*mode) & 0o777 //nolint:gosec // the API server allows 0 to 0777
}
