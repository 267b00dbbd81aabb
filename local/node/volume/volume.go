// Package volume keeps the content of a pod's volumes in folders, from which
// they are mounted into its containers: ConfigMaps, Secrets, projected tokens
// and fields of the pod, which are brought up to date while the pod runs, and
// empty folders. Owners and fsGroup are ignored: all of the stack runs as one
// user.
package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/weighlock/weighlock/local/node/downward"
)

// defaultMode is the mode of a volume's files where none is asked for.
const defaultMode = 0o644

// Objects finds what volumes are made from.
type Objects interface {
	ConfigMap(namespace, name string) (*corev1.ConfigMap, error)
	Secret(namespace, name string) (*corev1.Secret, error)
	// Token asks for a token of the pod's ServiceAccount, bound to the pod.
	Token(ctx context.Context, pod *corev1.Pod, audience string, seconds int64) (authenticationv1.TokenRequestStatus, error)
}

// Set is the volumes of one pod. Its methods may be called from several
// goroutines.
type Set struct {
	dir     string
	objects Objects

	mu      sync.Mutex
	written map[string]files
	tokens  map[tokenKey]token
}

// New returns a Set that keeps its volumes in dir, which need not exist.
func New(dir string, objects Objects) *Set {
	return &Set{dir: dir, objects: objects, written: map[string]files{}, tokens: map[tokenKey]token{}}
}

// Sync makes the volumes of the pod, or brings them up to date. It returns when
// the first of their tokens is to be renewed, which is the zero time if there
// is none.
func (s *Set) Sync(ctx context.Context, pod *corev1.Pod, facts downward.Facts) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, v := range pod.Spec.Volumes {
		if err := s.sync(ctx, pod, facts, v); err != nil {
			errs = append(errs, fmt.Errorf("volume %s: %w", v.Name, err))
		}
	}
	return s.renewal(), errors.Join(errs...)
}

// Path is where a volume, or a part of it, is to be mounted from.
func (s *Set) Path(pod *corev1.Pod, name, subPath string) (string, error) {
	for _, v := range pod.Spec.Volumes {
		if v.Name != name {
			continue
		}
		root := s.folder(name)
		if v.HostPath != nil {
			root = v.HostPath.Path
		}
		if subPath == "" {
			return root, nil
		}
		path := filepath.Join(root, filepath.Clean("/"+subPath))
		if v.EmptyDir != nil {
			if err := os.MkdirAll(path, 0o755); err != nil { //nolint:gosec // as in any container
				return "", fmt.Errorf("make subPath %s of volume %s: %w", subPath, name, err)
			}
		}
		return path, nil
	}
	return "", fmt.Errorf("the pod has no volume %s", name)
}

// Remove takes the volumes away.
func (s *Set) Remove() error {
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove volumes: %w", err)
	}
	return nil
}

func (s *Set) folder(name string) string {
	return filepath.Join(s.dir, name)
}

func (s *Set) sync(ctx context.Context, pod *corev1.Pod, facts downward.Facts, v corev1.Volume) error {
	if v.EmptyDir != nil {
		return makeEmptyDir(s.folder(v.Name))
	}
	if v.HostPath != nil {
		_, err := os.Stat(v.HostPath.Path)
		return err
	}
	r := reader{set: s, pod: pod, facts: facts, files: files{}}
	if err := r.volume(ctx, v.VolumeSource); err != nil {
		return err
	}
	before, exists := s.written[v.Name]
	if exists && r.files.equal(before) {
		return nil
	}
	if err := publish(s.folder(v.Name), r.files); err != nil {
		return err
	}
	s.written[v.Name] = r.files
	return nil
}

func makeEmptyDir(path string) error {
	if err := os.MkdirAll(path, 0o777); err != nil { //nolint:gosec // as an emptyDir is
		return fmt.Errorf("make the folder: %w", err)
	}
	// The umask has had its part in the mode above.
	if err := os.Chmod(path, 0o777); err != nil { //nolint:gosec // as an emptyDir is
		return fmt.Errorf("open the folder to writers: %w", err)
	}
	return nil
}
