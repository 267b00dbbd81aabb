package smi_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/router/smi"
)

func TestApply_AsksForCopiesInTheSameWriteAsTheTraffic(t *testing.T) {
	installSMI(t)
	r := newRig(t, smi.Options{Mirror: true, Match: true})
	const want = `{"service":"checkout-abc","percent":50}`

	r.apply(step(5, "1"))
	r.writes.take()
	shadow := step(0, "2")
	shadow.Shadow = 50
	weighted := step(25, "3")
	weighted.Shadow = 50
	matched := tenant("acme", "4")
	matched.Shadow = 50
	r.apply(shadow)
	r.apply(weighted)
	r.apply(matched)
	if got := r.split("v1alpha4", "checkout").GetAnnotations()[v1alpha1.AnnotationMirror]; got != want {
		t.Errorf("the annotation is %s, want %s", got, want)
	}
	if got := r.writes.take(); got != "patch TrafficSplit, patch TrafficSplit, create HTTPRouteGroup, patch TrafficSplit" {
		t.Errorf("it wrote %s", got)
	}
	fewer := matched
	fewer.Shadow = 49
	none := matched
	none.Shadow = 0
	if observed := r.observe(); observed.Matches(fewer) || observed.Matches(none) || !observed.Matches(matched) {
		t.Error("the copies are not told apart")
	}

	r.apply(step(25, "5"))
	annotations := r.split("v1alpha4", "checkout").GetAnnotations()
	delete(annotations, smi.AnnotationWrittenAt)
	if diff := cmp.Diff(map[string]string{v1alpha1.AnnotationProgress: "5"}, annotations); diff != "" {
		t.Errorf("annotations after the step (-want +got):\n%s", diff)
	}
}

func TestRouter_RefusesCopiesByNameUnlessTheMeshIsSaidToMakeThem(t *testing.T) {
	installSMI(t)
	r := newRig(t, smi.Options{})
	shadow := step(0, "1")
	shadow.Shadow = 50
	if err := isUnsupported(r.router.Apply(t.Context(), r.target, shadow), "shadow", "smi.mirror: true", v1alpha1.AnnotationMirror); err != nil {
		t.Error(err)
	}
	if got := r.writes.take(); got != "" {
		t.Errorf("it wrote %q all the same", got)
	}
	if can := r.router.Capabilities(); can.Mirror || can.MirrorPercent || can.NoMirror == "" {
		t.Errorf("its capabilities are %+v", can)
	}
	r.options.Mirror = true
	if can := smi.New(r.options).Capabilities(); !can.Mirror || !can.MirrorPercent || can.NoMirror != "" {
		t.Errorf("with smi.mirror its capabilities are %+v", can)
	}
}
