package deployment

import (
	"context"
	"fmt"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
)

// HoldPolicy is the name of the MutatingAdmissionPolicy that pauses an adopted workload in the write that
// changes its template.
const HoldPolicy = "weighlock-hold"

// unservedFor is for how long a cluster that doesn't serve such policies isn't asked again.
const unservedFor = time.Minute

// policyMemo remembers when the cluster was last seen not to serve such policies.
type policyMemo struct {
	mu       sync.Mutex
	unserved time.Time
}

// heldByAdmission says that the policy and a binding of it are in the cluster.
func (a *Adapter) heldByAdmission(ctx context.Context) (bool, error) {
	served, err := a.servesPolicies()
	if err != nil || !served {
		return false, err
	}
	policy := &admissionv1.MutatingAdmissionPolicy{}
	found, err := a.get(ctx, "", HoldPolicy, policy)
	if err != nil || !found || policy.DeletionTimestamp != nil {
		return false, err
	}
	bindings := &admissionv1.MutatingAdmissionPolicyBindingList{}
	if err := a.reader.List(ctx, bindings); err != nil {
		return false, fmt.Errorf("list the bindings of admission policies: %w", err)
	}
	for i := range bindings.Items {
		if bindings.Items[i].Spec.PolicyName == HoldPolicy && bindings.Items[i].DeletionTimestamp == nil {
			return true, nil
		}
	}
	return false, nil
}

// servesPolicies says that the cluster knows MutatingAdmissionPolicies: Kubernetes before 1.36 doesn't, and
// a cache that is asked for an unknown kind waits for it.
func (a *Adapter) servesPolicies() (bool, error) {
	a.policy.mu.Lock()
	defer a.policy.mu.Unlock()
	if !a.policy.unserved.IsZero() && a.clock.Since(a.policy.unserved) < unservedFor {
		return false, nil
	}
	kind := admissionv1.SchemeGroupVersion.WithKind("MutatingAdmissionPolicy")
	_, err := a.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		a.policy.unserved = a.clock.Now()
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask whether the cluster serves admission policies: %w", err)
	}
	a.policy.unserved = time.Time{}
	return true, nil
}
