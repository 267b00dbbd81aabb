package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/rollout"
)

const (
	// DecisionPolicy is the ValidatingAdmissionPolicy that checks who decides. Without it, decisions are not acted on.
	DecisionPolicy = "weighlock-decisions"
	// byRollout is the index of Decisions by the Rollout that they are about.
	byRollout = "spec.rollout"
	// decisionLimit is how many decisions with an outcome are kept for each Rollout.
	decisionLimit = 20
)

// observeDecisions gathers what people decided about a Rollout and was not acted on yet.
func (r *RolloutReconciler) observeDecisions(ctx context.Context, obj *v1alpha1.Rollout, o *observation) error {
	list := &v1alpha1.DecisionList{}
	if err := r.Client.List(ctx, list, client.InNamespace(obj.Namespace), client.MatchingFields{byRollout: obj.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing the decisions: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.Decision) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	for i := range list.Items {
		d := &list.Items[i]
		if d.Status.Outcome != "" {
			o.settled = append(o.settled, d)
			continue
		}
		pending, err := r.Freshness.Pending(ctx, d)
		if err != nil {
			return err
		}
		if pending {
			o.pending = append(o.pending, d)
			o.snapshot.Decisions = append(o.snapshot.Decisions, rollout.Decision{Name: d.Name, DecisionSpec: d.Spec, At: d.CreationTimestamp.Time})
		}
	}
	if len(o.pending) == 0 {
		return nil
	}
	var err error
	o.snapshot.Unguarded, err = r.unguarded(ctx)
	return err
}

// unguarded says why the cluster has not checked who made a decision; empty when it has.
func (r *RolloutReconciler) unguarded(ctx context.Context) (string, error) {
	const remedy = ": install it with Weighlock's manifests, and decide again"
	policy := &admissionv1.ValidatingAdmissionPolicy{}
	err := r.Client.Get(ctx, client.ObjectKey{Name: DecisionPolicy}, policy)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return "the ValidatingAdmissionPolicy " + DecisionPolicy + " is not in the cluster" + remedy, nil
	}
	if err != nil {
		return "", fmt.Errorf("asking for the admission policy: %w", err)
	}
	bindings := &admissionv1.ValidatingAdmissionPolicyBindingList{}
	if err := r.Client.List(ctx, bindings); err != nil {
		return "", fmt.Errorf("listing the bindings of admission policies: %w", err)
	}
	for i := range bindings.Items {
		spec := bindings.Items[i].Spec
		if spec.PolicyName == DecisionPolicy && slices.Contains(spec.ValidationActions, admissionv1.Deny) {
			return "", nil
		}
	}
	return "the ValidatingAdmissionPolicy " + DecisionPolicy + " has no binding that denies" + remedy, nil
}

// settle reports what became of a decision. One that was made by hand becomes the Rollout's, so that it goes with it.
func (r *RolloutReconciler) settle(ctx context.Context, obj *v1alpha1.Rollout, o *observation, a rollout.Settle) error {
	i := slices.IndexFunc(o.pending, func(d *v1alpha1.Decision) bool { return d.Name == a.Decision.Name })
	if i < 0 {
		return fmt.Errorf("decision %s is not there", a.Decision.Name)
	}
	d := o.pending[i].DeepCopy()
	if !metav1.IsControlledBy(d, obj) && !slices.ContainsFunc(d.OwnerReferences, func(ref metav1.OwnerReference) bool { return ref.UID == obj.UID }) {
		if err := r.own(ctx, obj, d); err != nil {
			return client.IgnoreNotFound(err)
		}
	}
	before := d.DeepCopy()
	now := metav1.NewTime(r.Clock.Now())
	d.Status = v1alpha1.DecisionStatus{Outcome: a.Outcome, Message: a.Message, At: &now}
	if err := r.Client.Status().Patch(ctx, d, client.MergeFrom(before), client.FieldOwner(v1alpha1.FieldManager)); err != nil {
		return client.IgnoreNotFound(err)
	}
	r.Expectations.Settled(obj, d)
	return nil
}

// own makes a decision the Rollout's.
func (r *RolloutReconciler) own(ctx context.Context, obj *v1alpha1.Rollout, d *v1alpha1.Decision) error {
	before := d.DeepCopy()
	d.OwnerReferences = append(d.OwnerReferences, metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "Rollout", Name: obj.Name, UID: obj.UID,
	})
	metav1.SetMetaDataLabel(&d.ObjectMeta, v1alpha1.LabelRollout, naming.LabelValue(obj.Name))
	return r.Client.Patch(ctx, d, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(v1alpha1.FieldManager))
}

// prune deletes the oldest decisions that have an outcome, where there are too many. It is housekeeping: what fails is tried again.
func (r *RolloutReconciler) prune(ctx context.Context, o *observation) {
	for _, d := range o.settled[:max(0, len(o.settled)-decisionLimit)] {
		if err := r.Client.Delete(ctx, d.DeepCopy()); client.IgnoreNotFound(err) != nil {
			ctrl.LoggerFrom(ctx).Error(err, "deleting an old decision", "decision", d.Name)
		}
	}
}

// decidedOn is the Rollout that a Decision is about.
func decidedOn(_ context.Context, obj client.Object) []reconcile.Request {
	d, is := obj.(*v1alpha1.Decision)
	if !is {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: d.Namespace, Name: d.Spec.Rollout}}}
}

// eventOf is the kind of event that tells of a decision's outcome.
func eventOf(a rollout.Settle) string {
	if a.Outcome == v1alpha1.DecisionApplied {
		return corev1.EventTypeNormal
	}
	return corev1.EventTypeWarning
}
