package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// rollout is the Rollout that the arguments name: NAME, rollout/NAME or rollouts.weighlock.dev/NAME, or, where there are none, the
// only one of the namespace.
func (s *session) rollout(ctx context.Context, args []string) (*v1alpha1.Rollout, error) {
	name, err := rolloutName(args)
	if err != nil {
		return nil, err
	}
	namespace, err := s.namespace()
	if err != nil {
		return nil, err
	}
	api, err := s.client()
	if err != nil {
		return nil, err
	}
	if name == "" {
		return onlyRollout(ctx, api, namespace)
	}
	found := &v1alpha1.Rollout{}
	err = api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, found)
	switch {
	case apierrors.IsNotFound(err) && !noKind(err):
		return nil, missing(ctx, api, namespace, name)
	case err != nil:
		return nil, fmt.Errorf("get Rollout %s/%s: %w", namespace, name, err)
	}
	return found, nil
}

// rolloutName is the name that arguments give a Rollout, without its kind; empty where there are none.
func rolloutName(args []string) (string, error) {
	if len(args) == 0 {
		return "", nil
	}
	if len(args) > 1 {
		return "", usagef("one Rollout at a time: %s are %d", strings.Join(args, ", "), len(args))
	}
	kind, name, slash := strings.Cut(args[0], "/")
	if !slash {
		kind, name = "rollout", args[0]
	}
	if !slices.Contains([]string{"rollout", "rollouts", "rollout.weighlock.dev", "rollouts.weighlock.dev"}, strings.ToLower(kind)) {
		return "", usagef("%q names no Rollout: write its name, or rollout/NAME", args[0])
	}
	if name == "" || strings.Contains(name, "/") {
		return "", usagef("%q names no Rollout: write its name, or rollout/NAME", args[0])
	}
	return name, nil
}

// onlyRollout is the Rollout of a namespace that has one.
func onlyRollout(ctx context.Context, api client.Client, namespace string) (*v1alpha1.Rollout, error) {
	all := &v1alpha1.RolloutList{}
	if err := api.List(ctx, all, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list Rollouts in namespace %s: %w", namespace, err)
	}
	switch len(all.Items) {
	case 0:
		return nil, fmt.Errorf("there is no Rollout in namespace %s: say which with -n (kubectl weighlock list -A lists all)", namespace)
	case 1:
		return &all.Items[0], nil
	}
	return nil, usagef("there are %d Rollouts in namespace %s, name one: %s", len(all.Items), namespace, names(all))
}

// missingError says that a Rollout isn't there, and which ones are in its place.
type missingError struct {
	namespace, name string
	// others are those of the namespace, for a sentence; empty where there are none, or they may not be seen.
	others string
}

// missing tells which Rollouts there are in place of one that isn't there.
func missing(ctx context.Context, api client.Client, namespace, name string) error {
	all := &v1alpha1.RolloutList{}
	if err := api.List(ctx, all, client.InNamespace(namespace)); err != nil {
		all.Items = nil
	}
	return &missingError{namespace: namespace, name: name, others: names(all)}
}

// Error tells that it isn't there.
func (e *missingError) Error() string {
	return fmt.Sprintf("there is no Rollout %s in namespace %s", e.name, e.namespace) + e.but()
}

// yet tells the same of one that is waited for. Who waits for what will never come should see why.
func (e *missingError) yet() string { return "is not there yet in namespace " + e.namespace + e.but() }

func (e *missingError) but() string {
	if e.others == "" {
		return ""
	}
	return ", but " + e.others
}

// names lists Rollouts for a sentence, the first few of many.
func names(all *v1alpha1.RolloutList) string {
	const most = 10
	list := make([]string, 0, most)
	for i := range all.Items {
		if i == most {
			return strings.Join(list, ", ") + fmt.Sprintf(" and %d more", len(all.Items)-most)
		}
		list = append(list, all.Items[i].Name)
	}
	return strings.Join(list, ", ")
}
