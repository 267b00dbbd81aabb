package smi_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/router/smi"
)

func TestRouter_NamesWhoElseWroteTheRouteAndSetsItRight(t *testing.T) {
	installSMI(t)
	metadata := func(fields map[string]any, of string) map[string]any {
		return fields["metadata"].(map[string]any)[of].(map[string]any)
	}
	spec := func(fields map[string]any) map[string]any { return fields["spec"].(map[string]any) }
	for name, tc := range map[string]struct {
		version string
		by      string
		edit    func(map[string]any)
	}{
		"weights": {"v1alpha4", "somebody", func(fields map[string]any) {
			spec(fields)["backends"] = []any{map[string]any{"service": "elsewhere", "weight": int64(1)}}
		}},
		"weights in an older version": {"v1alpha2", "somebody", func(fields map[string]any) {
			spec(fields)["backends"].([]any)[0].(map[string]any)["weight"] = int64(1)
		}},
		"fractions for weights": {"v1alpha1", "a writer of v1alpha1", func(fields map[string]any) {
			spec(fields)["backends"].([]any)[0].(map[string]any)["weight"] = "500m"
		}},
		"the order of backends": {"v1alpha4", "somebody", func(fields map[string]any) {
			backends := spec(fields)["backends"].([]any)
			backends[0], backends[1] = backends[1], backends[0]
		}},
		"the root service": {"v1alpha4", "somebody", func(fields map[string]any) { spec(fields)["service"] = "other" }},
		"matches": {"v1alpha3", "somebody", func(fields map[string]any) {
			spec(fields)["matches"] = []any{map[string]any{"kind": "HTTPRouteGroup", "name": "theirs"}}
		}},
		"copies": {"v1alpha4", "somebody", func(fields map[string]any) {
			metadata(fields, "annotations")[v1alpha1.AnnotationMirror] = `{"service":"elsewhere","percent":100}`
		}},
		"copies that make no sense": {"v1alpha4", "somebody", func(fields map[string]any) {
			metadata(fields, "annotations")[v1alpha1.AnnotationMirror] = `much`
		}},
		"the label taken off": {"v1alpha4", "", func(fields map[string]any) { delete(metadata(fields, "labels"), v1alpha1.LabelRollout) }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, smi.Options{})
			r.apply(step(5, "1"))
			before := r.spec()
			r.change(r.split(tc.version, "checkout"), tc.edit)
			r.contested(step(5, "1"), tc.by)

			r.writes.take()
			r.apply(step(5, "1"))
			if got := r.writes.take(); got != "patch TrafficSplit" {
				t.Errorf("it wrote %q", got)
			}
			if observed := r.observe(); observed.Foreign != "" {
				t.Errorf("the split was set right, but %q is named", observed.Foreign)
			}
			after := r.split("v1alpha4", "checkout")
			if fmt.Sprint(r.spec()) != fmt.Sprint(before) || after.GetAnnotations()[v1alpha1.AnnotationMirror] != "" || after.GetLabels()[v1alpha1.LabelRollout] != "checkout" {
				t.Errorf("the split was not set right: %v", after)
			}
		})
	}
}

func TestRouter_SeesProgressThatSomebodyChanged(t *testing.T) {
	installSMI(t)
	r := newRig(t, smi.Options{})
	r.apply(step(5, "1"))
	r.change(r.split("v1alpha4", "checkout"), func(fields map[string]any) {
		fields["metadata"].(map[string]any)["annotations"].(map[string]any)[v1alpha1.AnnotationProgress] = "2"
	})
	eventually(t, "the change to be seen", func() error {
		if observed := r.observe(); observed.Foreign != "somebody" || observed.Progress != "2" {
			return fmt.Errorf("it observes %+v", observed)
		}
		return nil
	})
}

func TestRouter_LeavesFieldsOfOthersAlone(t *testing.T) {
	installSMI(t)
	r := newRig(t, smi.Options{})
	r.apply(step(5, "1"))
	r.change(r.split("v1alpha4", "checkout"), func(fields map[string]any) {
		fields["metadata"].(map[string]any)["annotations"].(map[string]any)["team"] = "shop"
	})
	r.awaits(step(5, "1"))
	if observed := r.observe(); observed.Foreign != "" {
		t.Errorf("%q is named for an annotation that means nothing to the route", observed.Foreign)
	}
	eventually(t, "the traffic to be written", func() error { return r.router.Apply(t.Context(), r.target, step(7, "2")) })
	if after := r.split("v1alpha4", "checkout"); after.GetAnnotations()["team"] != "shop" {
		t.Errorf("the annotation is gone: %v", after.GetAnnotations())
	}
}

func TestRouter_NamesAnotherSplitForTheSameService(t *testing.T) {
	installSMI(t)
	for name, index := range map[string]bool{"by an index": true, "without one": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, smi.Options{})
			if !index {
				r.options.Index = nil
				r.router = smi.New(r.options)
			}
			r.apply(step(5, "1"))
			r.somebodysSplit("another", "another")
			other := r.somebodysSplit("legacy", "checkout."+r.target.Namespace+".svc")
			eventually(t, "the other split to be named", func() error {
				if observed := r.observe(); observed.Foreign != "TrafficSplit legacy" || !observed.Matches(step(5, "1")) {
					return fmt.Errorf("it observes %+v", observed)
				}
				return nil
			})
			if got := r.router.Concerns(other); got != "checkout" {
				t.Errorf("an event about it concerns the service %q", got)
			}
		})
	}
}

// A process whose caches lag behind, such as one that is no longer the leader, gets a conflict and changes nothing.
func TestRouter_DoesNoHarmWhenItsCachesLag(t *testing.T) {
	installSMI(t)
	lag := func(r *rig) *smi.Router {
		options := r.options
		options.Reader = r.lagging()
		return smi.New(options)
	}
	for name, tc := range map[string]struct {
		begin func(*rig)
		then  func(*rig)
		try   func(*rig, *smi.Router) error
	}{
		"the split was changed": {
			begin: func(r *rig) { r.apply(step(5, "1")) },
			then:  func(r *rig) { r.apply(step(50, "2")) },
			try:   func(r *rig, late *smi.Router) error { return late.Apply(r.Context(), r.target, step(7, "late")) },
		},
		"the split was made by Weighlock": {
			begin: func(*rig) {},
			then:  func(r *rig) { r.apply(step(50, "2")) },
			try:   func(r *rig, late *smi.Router) error { return late.Apply(r.Context(), r.target, step(7, "late")) },
		},
		"the split was made by somebody": {
			begin: func(*rig) {},
			then:  func(r *rig) { r.somebodysSplit("checkout", "checkout") },
			try:   func(r *rig, late *smi.Router) error { return late.Apply(r.Context(), r.target, step(7, "late")) },
		},
		"the split was deleted": {
			begin: func(r *rig) { r.apply(step(5, "1")) },
			then:  func(r *rig) { r.release() },
			try:   func(r *rig, late *smi.Router) error { return late.Apply(r.Context(), r.target, step(7, "late")) },
		},
		"the split was made anew": {
			begin: func(r *rig) { r.apply(step(5, "1")) },
			then: func(r *rig) {
				r.release()
				r.apply(step(50, "2"))
			},
			try: func(r *rig, late *smi.Router) error { return late.Apply(r.Context(), r.target, step(7, "late")) },
		},
		"the group was made": {
			begin: func(r *rig) { r.apply(step(5, "1")) },
			then:  func(r *rig) { r.apply(tenant("acme", "2")) },
			try: func(r *rig, late *smi.Router) error {
				return late.Apply(r.Context(), r.target, tenant("acme", "late"))
			},
		},
		"a group that looks left over is named by now": {
			begin: func(r *rig) {
				r.apply(step(5, "1"))
				r.apply(tenant("acme", "2"))
				left := 1
				r.writes.killedAfter = &left // the group is left
				if err := r.router.Apply(r.Context(), r.target, step(5, "3")); !errors.Is(err, errKilled) {
					r.Fatal(err)
				}
				r.writes.killedAfter = nil
				r.shows("3")
			},
			then: func(r *rig) { r.apply(tenant("acme", "4")) },
			try:  func(r *rig, late *smi.Router) error { return late.Apply(r.Context(), r.target, step(5, "3")) },
		},
		"the traffic is moved while the route is given back": {
			begin: func(r *rig) { r.apply(tenant("acme", "1")) },
			then:  func(r *rig) { r.apply(tenant("acme", "2")) },
			try:   func(r *rig, late *smi.Router) error { return late.Release(r.Context(), r.target) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, smi.Options{Match: true})
			r.observe()
			tc.begin(r)
			late := lag(r)
			tc.then(r)
			before, groups := r.split("v1alpha4", "checkout"), r.groups()
			r.writes.take()
			if err := tc.try(r, late); !apierrors.IsConflict(err) {
				t.Errorf("the error is %v, want a conflict", err)
			}
			if got := r.writes.take(); got != "" {
				t.Errorf("it wrote %s", got)
			}
			after := r.split("v1alpha4", "checkout")
			if (before == nil) != (after == nil) || before != nil && after.GetResourceVersion() != before.GetResourceVersion() || len(r.groups()) != len(groups) {
				t.Errorf("it changed something: %v, %v", after, r.groups())
			}
		})
	}
}

// release gives the route back, and waits until the cache shows that.
func (r *rig) release() {
	r.Helper()
	if err := r.router.Release(r.Context(), r.target); err != nil {
		r.Fatalf("release: %v", err)
	}
	eventually(r, "the route to be gone", func() error {
		if r.observe().Exists {
			return errors.New("it is there")
		}
		return nil
	})
}

// shows waits until the cache shows that progress.
func (r *rig) shows(progress string) {
	r.Helper()
	eventually(r, "the progress to be shown", func() error {
		if got := r.observe().Progress; got != progress {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// A deleted group that a lagging cache still shows, and one whose deletion is repeated, are no errors.
func TestRelease_TakesWhatIsGoneAlreadyForDone(t *testing.T) {
	installSMI(t)
	r := newRig(t, smi.Options{Match: true})
	r.apply(tenant("acme", "1"))
	options := r.options
	options.Reader = r.lagging()
	deleted := 0
	options.Deleted = func(client.Object) { deleted++ }
	r.release()
	r.clock.Step(time.Second)
	if err := smi.New(options).Release(t.Context(), r.target); err != nil || deleted != 2 {
		t.Errorf("release of what is gone: %v; %d deletions are waited for, want 2", err, deleted)
	}
}
