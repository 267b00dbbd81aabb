package deployment

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

const (
	// refusedFor is for how long a claim that was refused isn't read again: it may be made, or made anew.
	refusedFor = time.Minute
	// maxClaims bounds what is remembered; when it is full, all is read again.
	maxClaims = 10_000
)

// claimsMemo remembers the access modes of volume claims. They don't change, but a claim can be made anew under its
// name while no pod uses it, so that an answer holds for one pod template of one workload.
type claimsMemo struct {
	mu    sync.Mutex
	modes map[claimKey]claimModes
}

type claimKey struct {
	workload types.UID
	template string
	claim    string
	readOnly bool
}

type claimModes struct {
	found bool
	modes []corev1.PersistentVolumeAccessMode
	until time.Time // zero where the answer holds for good
}

// twice says whether the pods of two Deployments can mount the claim, wherever they run.
func (c claimModes) twice(readOnly bool) bool {
	switch {
	case !c.found, slices.Contains(c.modes, corev1.ReadWriteOncePod):
		return false
	case slices.Contains(c.modes, corev1.ReadWriteMany):
		return true
	}
	return slices.Contains(c.modes, corev1.ReadOnlyMany) || readOnly
}

// claim is a volume of the workload by which a copy may not be able to run beside it.
type claim struct {
	volume, name string
	readOnly     bool
	claimModes
}

// claimsOf reads the claims that the template of a Deployment names. It needs get on persistentvolumeclaims.
func (a *Adapter) claimsOf(ctx context.Context, deployment *unstructured.Unstructured) ([]claim, error) {
	var claims []claim
	template := ""
	for _, volume := range list(deployment.Object, "spec", "template", "spec", "volumes") {
		fields, _ := volume.(map[string]any)
		named, ok := fields["persistentVolumeClaim"].(map[string]any)
		if !ok {
			continue
		}
		found := claim{}
		found.volume, _ = fields["name"].(string)
		found.name, _ = named["claimName"].(string)
		found.readOnly, _ = named["readOnly"].(bool)
		if template == "" {
			var err error
			if template, err = RevisionOf(templateOf(deployment)); err != nil {
				return nil, err
			}
		}
		var err error
		key := claimKey{deployment.GetUID(), template, found.name, found.readOnly}
		if found.claimModes, err = a.modesOf(ctx, key, deployment.GetNamespace()); err != nil {
			return nil, err
		}
		claims = append(claims, found)
	}
	return claims, nil
}

func (a *Adapter) modesOf(ctx context.Context, key claimKey, namespace string) (claimModes, error) {
	a.claims.mu.Lock()
	known, ok := a.claims.modes[key]
	a.claims.mu.Unlock()
	if ok && (known.until.IsZero() || a.clock.Now().Before(known.until)) {
		return known, nil
	}
	there := &corev1.PersistentVolumeClaim{}
	err := a.live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: key.claim}, there)
	if err != nil && !apierrors.IsNotFound(err) {
		return claimModes{}, fmt.Errorf("read PersistentVolumeClaim %s/%s: %w", namespace, key.claim, err)
	}
	read := claimModes{found: err == nil, modes: there.Spec.AccessModes}
	if !read.twice(key.readOnly) {
		read.until = a.clock.Now().Add(refusedFor)
	}
	a.claims.mu.Lock()
	defer a.claims.mu.Unlock()
	if a.claims.modes == nil || len(a.claims.modes) >= maxClaims {
		a.claims.modes = map[claimKey]claimModes{}
	}
	a.claims.modes[key] = read
	return read, nil
}

// cannotRunTwice names the field that keeps a copy from running beside the workload.
func (s *seen) cannotRunTwice() *workload.Problem {
	field, advice := "", ""
	if kind, _, _ := unstructured.NestedString(s.deployment.Object, "spec", "strategy", "type"); kind == "Recreate" {
		field, advice = "spec.strategy.type: Recreate", "use RollingUpdate, if two versions may run at the same time"
	}
	for _, claim := range s.claims {
		if field == "" && !claim.twice(claim.readOnly) {
			field, advice = claim.refusal()
		}
	}
	for _, name := range []string{"containers", "initContainers"} {
		for _, container := range list(s.deployment.Object, "spec", "template", "spec", name) {
			fields, _ := container.(map[string]any)
			if field == "" && len(hostPorts(fields)) > 0 {
				field, advice = fmt.Sprintf("a hostPort of container %v", fields["name"]), "remove it, and reach the pods through the Service"
			}
		}
	}
	if field == "" {
		return nil
	}
	return &workload.Problem{
		Reason:  v1alpha1.ReasonCannotRunTwice,
		Message: fmt.Sprintf("a copy of Deployment %s can't run beside it because of %s: %s", s.ref.Name, field, advice),
	}
}

// refusal says of a claim that can't be mounted twice what is wrong, and what to do.
func (c *claim) refusal() (field, advice string) {
	field = fmt.Sprintf("spec.template.spec.volumes[%s].persistentVolumeClaim", c.volume)
	if !c.found {
		return fmt.Sprintf("%s: there is no claim %s", field, c.name), "create it, with the access mode ReadWriteMany or ReadOnlyMany"
	}
	modes := make([]string, 0, len(c.modes))
	for _, mode := range c.modes {
		modes = append(modes, string(mode))
	}
	field = fmt.Sprintf("%s: claim %s is %s", field, c.name, strings.Join(modes, ", "))
	if slices.Contains(c.modes, corev1.ReadWriteOncePod) {
		return field, "keep the state elsewhere, or use a claim with the access mode ReadWriteMany or ReadOnlyMany"
	}
	return field, "keep the state elsewhere, use a claim with the access mode ReadWriteMany or ReadOnlyMany, or mount it readOnly"
}

// exclusive is a list of a pod template's parts that can't be there twice.
type exclusive struct {
	fields []string
	items  []any
}

// singletons are the volumes of a template that a second set of pods may not be able to mount, and the
// containers that want ports of their node, in a trimmed form.
func singletons(u *unstructured.Unstructured) []exclusive {
	volumes := exclusive{fields: []string{"spec", "template", "spec", "volumes"}}
	for _, volume := range list(u.Object, volumes.fields...) {
		fields, _ := volume.(map[string]any)
		if claim, ok := fields["persistentVolumeClaim"]; ok {
			volumes.items = append(volumes.items, map[string]any{"name": fields["name"], "persistentVolumeClaim": claim})
		}
	}
	found := []exclusive{volumes}
	for _, name := range []string{"containers", "initContainers"} {
		containers := exclusive{fields: []string{"spec", "template", "spec", name}}
		for _, container := range list(u.Object, containers.fields...) {
			fields, _ := container.(map[string]any)
			if ports := hostPorts(fields); len(ports) > 0 {
				containers.items = append(containers.items, map[string]any{"name": fields["name"], "ports": ports})
			}
		}
		found = append(found, containers)
	}
	return found
}

func hostPorts(container map[string]any) []any {
	var out []any
	for _, port := range list(container, "ports") {
		fields, _ := port.(map[string]any)
		if host, ok := fields["hostPort"]; ok {
			out = append(out, map[string]any{"hostPort": host})
		}
	}
	return out
}
