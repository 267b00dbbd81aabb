package deployment_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
	"github.com/weighlock/weighlock/workload/deployment"
)

// claims are the managers of the workload's size.
func (r *rig) claims() []string {
	r.Helper()
	var managers []string
	for _, entry := range r.live().ManagedFields {
		if strings.Contains(entry.FieldsV1.GetRawString(), `"f:replicas"`) && entry.Subresource != "status" {
			managers = append(managers, entry.Manager)
		}
	}
	return managers
}

func TestScale_RaisesTheWorkloadAndClaimsNothing(t *testing.T) {
	r := newRig(t)
	r.shop()
	before := r.live()
	if got := r.claims(); !cmp.Equal(got, []string{"git"}) {
		t.Fatalf("the size belongs to %v", got)
	}
	eventually(t, "raise the workload", func() error { return r.Scale(t.Context(), r.ref, "", 4) })
	o := r.until("four pods", func(o *workload.Observation) bool { return o.Workload.Ready == 4 && o.Workload.Rolled })
	if got := r.claims(); len(got) > 0 || !o.Workload.Adopted {
		t.Errorf("the size belongs to %v, adopted is %v", got, o.Workload.Adopted)
	}
	after := r.live()
	if diff := cmp.Diff(before.Spec.Template, after.Spec.Template) + cmp.Diff(before.Labels, after.Labels); diff != "" {
		t.Errorf("something else changed (-before +after):\n%s", diff)
	}
	writes := len(r.written)
	for _, asked := range []int32{0, 1, 4} {
		r.must("ask for no more than there is", r.Scale(t.Context(), r.ref, "", asked))
	}
	if size := *r.live().Spec.Replicas; size != 4 || len(r.written) != writes {
		t.Errorf("the size is %d after %d more writes", size, len(r.written)-writes)
	}
	// Git names a size of 2: it is not refused, and what it says counts.
	r.commit("v1")
	if size := *r.live().Spec.Replicas; size != 2 {
		t.Errorf("git says 2, the size is %d", size)
	}
}

func TestScale_NeverRaisesTheWorkloadFromZero(t *testing.T) {
	r := newRig(t)
	r.make(shape{})
	r.until("the workload", func(o *workload.Observation) bool { return o.Workload != nil })
	r.must("scale", r.Scale(t.Context(), r.ref, "", 3))
	if size := *r.live().Spec.Replicas; size != 0 {
		t.Errorf("it was stopped, and now it has %d", size)
	}
	problem := (*workload.ProblemError)(nil)
	r.ref.Name = "missing"
	if err := r.Scale(t.Context(), r.ref, "", 3); !errors.As(err, &problem) || problem.Problem.Reason != v1alpha1.ReasonWorkloadNotFound {
		t.Errorf("the error is %v, want WorkloadNotFound", err)
	}
}

func TestScale_RefusesAWorkloadThatChangedSinceItWasLookedAt(t *testing.T) {
	r := newRig(t)
	r.make(shape{workload: func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(2)) }})
	r.until("the workload", func(o *workload.Observation) bool { return o.Workload != nil })
	stale := r.snapshot()
	r.autoscale("checkout", 0)
	if err := stale.Scale(t.Context(), r.ref, "", 3); !apierrors.IsConflict(err) {
		t.Errorf("the error is %v, want a conflict", err)
	}
	if size := *r.live().Spec.Replicas; size != 0 {
		t.Errorf("it was stopped meanwhile, and now it has %d", size)
	}
}

func TestUnguard_GivesUpTheSizeThatACrashLeftClaimed(t *testing.T) {
	for name, repair := range map[string]func(*rig) error{
		"unguard": func(r *rig) error { return r.Unguard(r.Context(), r.ref) },
		"scale":   func(r *rig) error { return r.Scale(r.Context(), r.ref, "", 3) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.shop()
			crashed := errors.New("crashed")
			watching, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
			r.must("make a client", err)
			crashing := interceptor.NewClient(watching, interceptor.Funcs{
				Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
					if patch.Type() == types.JSONPatchType {
						return crashed
					}
					return c.Patch(ctx, obj, patch, opts...)
				},
			})
			dying := deployment.New(deployment.Options{Reader: informers, Writer: crashing, Mapper: server.RESTMapper()})
			eventually(t, "crash", func() error {
				if err := dying.Scale(t.Context(), r.ref, "", 3); !errors.Is(err, crashed) {
					return errors.Join(errors.New("it hasn't crashed"), err)
				}
				return nil
			})
			if got := r.claims(); !cmp.Equal(got, []string{v1alpha1.FieldManager}) {
				t.Fatalf("the size belongs to %v", got)
			}
			r.until("three pods", func(o *workload.Observation) bool { return o.Workload.Replicas == 3 })
			r.must("repair", repair(r))
			if got := r.claims(); len(got) > 0 {
				t.Errorf("the size still belongs to %v", got)
			}
			eventually(t, "nothing more to write", func() error {
				before := len(r.written)
				if err := repair(r); err != nil || len(r.written) > before {
					return errors.Join(errors.New("it wrote again"), err)
				}
				return nil
			})
		})
	}
}

// autoscale sets a Deployment's size as an autoscaler does.
func (r *rig) autoscale(name string, size int32) {
	r.Helper()
	scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: size}}
	r.must("scale as an autoscaler", server.SubResource("scale").Update(r.Context(), r.deployment(name), client.WithSubResourceBody(scale), client.FieldOwner("kube-controller-manager")))
}

func TestScale_OnlyRaisesACopyThatIsAutoscaled(t *testing.T) {
	r := newRig(t)
	second := r.unprotected(anAutoscaler)
	name := "checkout-" + second
	r.until("the autoscaler", func(o *workload.Observation) bool { return o.Autoscaler != nil && !o.Copies[second].Protected })
	r.protect(second)
	r.autoscale(name, 4)
	seen := r.until("the autoscaler's size", func(o *workload.Observation) bool { return o.Copies[second].Ready == 4 })

	for _, asked := range []int32{1, 3, 4} {
		r.must("scale", r.Scale(t.Context(), r.ref, second, asked))
		r.must("copy", r.Copy(t.Context(), r.ref, seen.Workload, second, asked))
		if size := *r.deployment(name).Spec.Replicas; size != 4 {
			t.Fatalf("asked for %d, the copy went from 4 to %d", asked, size)
		}
	}
	edited := r.deployment(name)
	edited.Spec.Template.Spec.Containers[0].Image = "elsewhere"
	r.must("edit the copy", server.Update(t.Context(), edited, client.FieldOwner("somebody")))
	r.until("the edit to be seen", func(o *workload.Observation) bool { return o.Copies[second].Template.Revision != second })
	eventually(t, "set it right", func() error { return r.Copy(t.Context(), r.ref, seen.Workload, second, 1) })
	if d := r.deployment(name); *d.Spec.Replicas != 4 || d.Spec.Template.Spec.Containers[0].Image != "v2" {
		t.Errorf("set right, it has %d replicas of %s", *d.Spec.Replicas, d.Spec.Template.Spec.Containers[0].Image)
	}
	eventually(t, "raise it", func() error { return r.Scale(t.Context(), r.ref, second, 5) })
	r.until("five pods", func(o *workload.Observation) bool { return o.Copies[second].Ready == 5 && o.Copies[second].Rolled })
	r.autoscale(name, 6)
	r.until("six pods", func(o *workload.Observation) bool { return o.Copies[second].Ready == 6 && o.Copies[second].Rolled })
	eventually(t, "stop it", func() error { return r.Scale(t.Context(), r.ref, second, 0) })
	r.until("the emergency stop", func(o *workload.Observation) bool { return o.Copies[second].Replicas == 0 })
}

func TestScale_NeverTakesBackWhatAnAutoscalerAddedUnseen(t *testing.T) {
	r := newRig(t)
	second := r.unprotected(anAutoscaler)
	name := "checkout-" + second
	r.until("the autoscaler", func(o *workload.Observation) bool { return o.Autoscaler != nil && !o.Copies[second].Protected })
	o := r.protect(second)
	stale := r.snapshot()
	r.autoscale(name, 8)
	if err := stale.Scale(t.Context(), r.ref, second, 3); !apierrors.IsConflict(err) {
		t.Errorf("the error is %v, want a conflict", err)
	}
	if err := stale.Copy(t.Context(), r.ref, o.Workload, second, 3); !apierrors.IsConflict(err) {
		t.Errorf("the error is %v, want a conflict", err)
	}
	if size := *r.deployment(name).Spec.Replicas; size != 8 {
		t.Errorf("the autoscaler asked for 8, the copy has %d", size)
	}
}
