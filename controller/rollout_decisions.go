package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
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
	// disownedFor is how long the answer to a decision about a Rollout that doesn't exist is kept for its author.
	disownedFor = time.Hour
	// decisionsAtOnce is how many are looked at in one reconciliation: people make few.
	decisionsAtOnce = 32
)

// TrimDecision leaves of a Decision what caches need to keep: of one that has an outcome, of which there may be 20 for each Rollout, only
// whose it is and since when. It is a cache's transform.
func TrimDecision(obj any) (any, error) {
	d, is := obj.(*v1alpha1.Decision)
	if !is {
		return obj, nil
	}
	d.ManagedFields = nil
	if d.Status.Outcome != "" {
		d.Annotations = nil
		d.Spec = v1alpha1.DecisionSpec{Rollout: d.Spec.Rollout}
		d.Status.Message = ""
	}
	return d, nil
}

// observeDecisions gathers what people decided about a Rollout and was not acted on yet: the oldest, and aborts before all others, if
// there are very many.
func (r *RolloutReconciler) observeDecisions(ctx context.Context, obj *v1alpha1.Rollout, o *observation) error {
	waiting, err := r.decisions(ctx, client.ObjectKeyFromObject(obj), o)
	if err != nil || len(waiting) == 0 {
		return err
	}
	guard, err := r.guard(ctx)
	if err != nil {
		return err
	}
	adopted := o.snapshot.Route.Progress != nil && o.snapshot.Route.Progress.Phase != ""
	for _, d := range waiting {
		said := rollout.Decision{Name: d.Name, UID: string(d.UID), DecisionSpec: d.Spec, At: d.CreationTimestamp.Time, Unchecked: guard.unchecked(d)}
		if ofAnother(d, obj) {
			said.Void = "it was made for another Rollout of that name, which is gone"
		}
		if !adopted && !o.snapshot.Deleting && said.Unchecked == "" && said.Void == "" {
			continue // It waits for the adoption, however long that takes, and no call is made for it.
		}
		pending, err := r.Freshness.Pending(ctx, d)
		if err != nil {
			return err
		}
		if !pending {
			continue
		}
		o.pending = append(o.pending, d)
		o.snapshot.Decisions = append(o.snapshot.Decisions, said)
	}
	return nil
}

// decisions lists those without an outcome, as many as are worked on at once, and notes the others.
func (r *RolloutReconciler) decisions(ctx context.Context, key client.ObjectKey, o *observation) ([]*v1alpha1.Decision, error) {
	list := &v1alpha1.DecisionList{}
	if err := r.Client.List(ctx, list, client.InNamespace(key.Namespace), client.MatchingFields{byRollout: key.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the decisions: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.Decision) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), writtenFirst(&a, &b), cmp.Compare(a.Name, b.Name))
	})
	var waiting []*v1alpha1.Decision
	for i := range list.Items {
		if d := &list.Items[i]; d.Status.Outcome == "" {
			waiting = append(waiting, d)
		} else {
			o.settled = append(o.settled, d)
		}
	}
	if len(waiting) > decisionsAtOnce {
		slices.SortStableFunc(waiting, func(a, b *v1alpha1.Decision) int {
			return cmp.Compare(urgency(a.Spec.Verb), urgency(b.Spec.Verb))
		})
		waiting = waiting[:decisionsAtOnce]
	}
	return waiting, nil
}

// writtenFirst orders decisions by when they were written last, where their times, which are in whole seconds, don't tell.
func writtenFirst(a, b *v1alpha1.Decision) int {
	order, err := resourceversion.CompareResourceVersion(a.ResourceVersion, b.ResourceVersion)
	if err != nil {
		return 0
	}
	return order
}

// urgency orders verbs: what lowers risk comes first.
func urgency(verb v1alpha1.DecisionVerb) int {
	switch verb {
	case v1alpha1.VerbAbort:
		return 0
	case v1alpha1.VerbPause:
		return 1
	default:
		return 2
	}
}

// ofAnother says that a decision belongs to a Rollout which had that name before.
func ofAnother(d *v1alpha1.Decision, obj *v1alpha1.Rollout) bool {
	return slices.ContainsFunc(d.OwnerReferences, func(ref metav1.OwnerReference) bool { return isRollout(ref) && ref.UID != obj.UID })
}

func isRollout(ref metav1.OwnerReference) bool {
	group, _, _ := strings.Cut(ref.APIVersion, "/")
	return ref.Kind == "Rollout" && group == v1alpha1.GroupVersion.Group
}

// guard is what checks, in the cluster, who decides.
type guard struct {
	// missing says why nothing does; empty when something does, which is so since then.
	missing string
	since   time.Time
}

// unchecked says why nothing has checked who made a decision; empty when something has.
func (g guard) unchecked(d *v1alpha1.Decision) string {
	switch {
	case g.missing != "":
		return g.missing + ": install it with Weighlock's manifests, and decide again"
	case d.CreationTimestamp.Time.Before(g.since):
		return "the decision is older than the ValidatingAdmissionPolicy " + DecisionPolicy + ", or its binding: decide again"
	default:
		return ""
	}
}

// guard looks whether the policy is there, with a binding that denies, everywhere.
func (r *RolloutReconciler) guard(ctx context.Context) (guard, error) {
	policy := &admissionv1.ValidatingAdmissionPolicy{}
	err := r.Client.Get(ctx, client.ObjectKey{Name: DecisionPolicy}, policy)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return guard{missing: "the ValidatingAdmissionPolicy " + DecisionPolicy + " is not in the cluster"}, nil
	}
	if err != nil {
		return guard{}, fmt.Errorf("asking for the admission policy: %w", err)
	}
	if failure := policy.Spec.FailurePolicy; failure != nil && *failure != admissionv1.Fail {
		return guard{missing: "the ValidatingAdmissionPolicy " + DecisionPolicy + " lets pass what it can't check (failurePolicy)"}, nil
	}
	bindings := &admissionv1.ValidatingAdmissionPolicyBindingList{}
	if err := r.Client.List(ctx, bindings); err != nil {
		return guard{}, fmt.Errorf("listing the bindings of admission policies: %w", err)
	}
	found := guard{missing: "the ValidatingAdmissionPolicy " + DecisionPolicy + " has no binding that denies, and in all namespaces"}
	for i := range bindings.Items {
		binding := &bindings.Items[i]
		everywhere := binding.Spec.MatchResources == nil && binding.Spec.ParamRef == nil
		if binding.Spec.PolicyName != DecisionPolicy || !everywhere || !slices.Contains(binding.Spec.ValidationActions, admissionv1.Deny) {
			continue
		}
		since := binding.CreationTimestamp.Time
		if since.Before(policy.CreationTimestamp.Time) {
			since = policy.CreationTimestamp.Time
		}
		if found.missing != "" || since.Before(found.since) {
			found = guard{since: since}
		}
	}
	return found, nil
}

// disown rejects what was decided about a Rollout that doesn't exist: it must not lie in wait for one of that name. Some time later
// it is removed, for nothing else would. It returns when the next is to be.
func (r *RolloutReconciler) disown(ctx context.Context, key client.ObjectKey) (ctrl.Result, error) {
	o := &observation{}
	waiting, err := r.decisions(ctx, key, o)
	if err != nil {
		return ctrl.Result{}, err
	}
	next := r.expire(ctx, o)
	if len(waiting) == 0 {
		return next, nil
	}
	// Another Weighlock may look after that Rollout, or the caches lag.
	if exists, err := r.Freshness.Exists(ctx, key); err != nil || exists {
		return next, err
	}
	for _, d := range waiting {
		after := d.DeepCopy()
		now := metav1.NewTime(r.Clock.Now())
		after.Status = v1alpha1.DecisionStatus{Outcome: v1alpha1.DecisionRejected, At: &now, Message: fmt.Sprintf("there is no Rollout %s in namespace %s", key.Name, key.Namespace)}
		err := r.Client.Status().Patch(ctx, after, client.MergeFrom(d), client.FieldOwner(v1alpha1.FieldManager))
		if client.IgnoreNotFound(err) != nil {
			return next, fmt.Errorf("rejecting decision %s: %w", d.Name, err)
		}
	}
	r.prune(ctx, o)
	// The outcomes bring events, upon which the time of each is found.
	return next, nil
}

// expire deletes the decisions that were disowned a while ago, and returns when the next will have been.
func (r *RolloutReconciler) expire(ctx context.Context, o *observation) ctrl.Result {
	result := ctrl.Result{}
	for _, d := range o.settled {
		// What is the Rollout's goes with it, which another Weighlock may look after.
		owned := slices.ContainsFunc(d.OwnerReferences, func(ref metav1.OwnerReference) bool { return isRollout(ref) && ref.Name == d.Spec.Rollout })
		if owned || d.Status.At == nil {
			continue
		}
		if left := d.Status.At.Add(disownedFor).Sub(r.Clock.Now()); left > 0 {
			if result.RequeueAfter == 0 || left < result.RequeueAfter {
				result.RequeueAfter = left
			}
			continue
		}
		r.remove(ctx, d)
	}
	return result
}

// settle reports what became of a decision. One that was made by hand becomes the Rollout's, so that it goes with it.
func (r *RolloutReconciler) settle(ctx context.Context, obj *v1alpha1.Rollout, o *observation, a rollout.Settle) error {
	i := slices.IndexFunc(o.pending, func(d *v1alpha1.Decision) bool { return d.Name == a.Decision.Name })
	if i < 0 {
		return fmt.Errorf("decision %s is not there", a.Decision.Name)
	}
	d := o.pending[i].DeepCopy()
	if a.Decision.Void == "" && !slices.ContainsFunc(d.OwnerReferences, func(ref metav1.OwnerReference) bool { return ref.UID == obj.UID }) {
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

// prune deletes the oldest decisions that have an outcome, where there are too many.
func (r *RolloutReconciler) prune(ctx context.Context, o *observation) {
	for _, d := range o.settled[:max(0, len(o.settled)-decisionLimit)] {
		r.remove(ctx, d)
	}
}

// remove deletes an old decision. It is housekeeping: what fails is tried again.
func (r *RolloutReconciler) remove(ctx context.Context, d *v1alpha1.Decision) {
	if err := r.Client.Delete(ctx, d.DeepCopy()); client.IgnoreNotFound(err) != nil {
		ctrl.LoggerFrom(ctx).Error(err, "deleting an old decision", "decision", d.Name)
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
