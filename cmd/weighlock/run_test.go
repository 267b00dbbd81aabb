package main

import (
	"reflect"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

func TestCaches_KeepNoManagersOfOurKinds(t *testing.T) {
	kinds := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(kinds); err != nil {
		t.Fatal(err)
	}
	transforms := map[reflect.Type]func(any) (any, error){}
	for obj, keep := range kept(labels.Everything()) {
		transforms[reflect.TypeOf(obj)] = keep.Transform
	}
	found := 0
	for name := range kinds.KnownTypes(v1alpha1.GroupVersion) {
		made, err := kinds.New(v1alpha1.GroupVersion.WithKind(name))
		if err != nil {
			t.Fatal(err)
		}
		obj, is := made.(client.Object)
		if !is || strings.HasSuffix(name, "List") {
			continue
		}
		found++
		obj.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubectl"}})
		transform := transforms[reflect.TypeOf(obj)]
		if transform == nil {
			t.Errorf("a %s is kept whole", name)
			continue
		}
		if _, err := transform(obj); err != nil || len(obj.GetManagedFields()) > 0 {
			t.Errorf("a %s is kept with its managers (%v)", name, err)
		}
	}
	if found < 4 {
		t.Errorf("only %d kinds were looked at", found)
	}
}
