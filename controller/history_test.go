package controller_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/controller"
	"github.com/weighlock/weighlock/workload/deployment"
)

// entry is one version of one object, as the API server returned it; without an object it is a deletion.
type entry struct {
	kind schema.GroupKind
	name types.NamespacedName
	obj  *unstructured.Unstructured
	// by is who wrote it.
	by string
}

// history is every version of every object of a test's namespace, in the order of the writes. Caches are made from it, as far
// behind as a test wants them.
type history struct {
	entries []entry
	latest  map[schema.GroupKind]map[types.NamespacedName]*unstructured.Unstructured
}

func newHistory() *history {
	return &history{latest: map[schema.GroupKind]map[types.NamespacedName]*unstructured.Unstructured{}}
}

// wrote notes an object as a write returned it.
func (h *history) wrote(by string, obj client.Object) error {
	u, err := asUnstructured(obj)
	if err != nil {
		return err
	}
	h.add(entry{kind: u.GroupVersionKind().GroupKind(), name: client.ObjectKeyFromObject(u), obj: u, by: by})
	return nil
}

func (h *history) add(e entry) {
	h.entries = append(h.entries, e)
	put(h.latest, e)
}

func put(in map[schema.GroupKind]map[types.NamespacedName]*unstructured.Unstructured, e entry) {
	if in[e.kind] == nil {
		in[e.kind] = map[types.NamespacedName]*unstructured.Unstructured{}
	}
	if e.obj == nil {
		delete(in[e.kind], e.name)
		return
	}
	in[e.kind][e.name] = e.obj
}

// before is the place in the history before the newest n writes of one writer.
func (h *history) before(n int, by string) int {
	for i, e := range slices.Backward(h.entries) {
		if e.by != by {
			continue
		}
		if n--; n == 0 {
			return i
		}
	}
	return 0
}

func asUnstructured(obj client.Object) (*unstructured.Unstructured, error) {
	if u, ok := obj.(interface{ UnstructuredContent() map[string]any }); ok {
		return &unstructured.Unstructured{Object: runtime.DeepCopyJSON(u.UnstructuredContent())}, nil
	}
	kind, err := apiutil.GVKForObject(obj, testScheme)
	if err != nil {
		return nil, err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(kind)
	return u, nil
}

// view is a cache: it shows the world as it was at some place in the history, of each kind its own, as informers do. It keeps
// of objects what the caches of cmd/weighlock keep.
type view struct {
	history *history
	objects map[schema.GroupKind]map[types.NamespacedName]*unstructured.Unstructured
	shown   map[schema.GroupKind]int
	// hidden kinds are not shown at all.
	hidden map[schema.GroupKind]bool
}

// keeping is what caches keep of a kind, and the type in which their informer holds it; nil for unstructured.
type keeping struct {
	cache.ByObject
	typed reflect.Type
}

var kept = sync.OnceValue(func() map[schema.GroupVersionKind]keeping {
	out := map[schema.GroupVersionKind]keeping{}
	byObject := deployment.ByObject()
	byObject[&v1alpha1.Decision{}] = cache.ByObject{Transform: controller.TrimDecision}
	for obj, keep := range byObject {
		kind, err := apiutil.GVKForObject(obj, testScheme)
		if err != nil {
			panic(err)
		}
		out[kind] = keeping{ByObject: keep}
		if _, is := obj.(*unstructured.Unstructured); !is {
			out[kind] = keeping{ByObject: keep, typed: reflect.TypeOf(obj).Elem()}
		}
	}
	return out
})

func newView(h *history) *view {
	return &view{
		history: h, objects: map[schema.GroupKind]map[types.NamespacedName]*unstructured.Unstructured{},
		shown: map[schema.GroupKind]int{}, hidden: map[schema.GroupKind]bool{},
	}
}

// show brings those kinds that lag allows up to a place in the history.
func (v *view) show(upTo int, lags func(schema.GroupKind) bool) {
	for i, e := range v.history.entries[:upTo] {
		if i < v.shown[e.kind] || lags != nil && lags(e.kind) {
			continue
		}
		v.shown[e.kind] = i + 1
		if e.obj != nil {
			e.obj = trimmed(e.obj)
		}
		put(v.objects, e)
	}
}

// trimmed is what caches keep of an object; nil for nothing.
func trimmed(u *unstructured.Unstructured) *unstructured.Unstructured {
	keep, ok := kept()[u.GroupVersionKind()]
	if !ok {
		return u
	}
	if keep.Label != nil && !keep.Label.Matches(labels.Set(u.GetLabels())) {
		return nil
	}
	if keep.Transform == nil {
		return u
	}
	var obj any = u.DeepCopy()
	if keep.typed != nil {
		obj = reflect.New(keep.typed).Interface()
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, obj); err != nil {
			panic(err)
		}
	}
	obj, err := keep.Transform(obj)
	if err != nil {
		panic(err)
	}
	out, err := asUnstructured(obj.(client.Object))
	if err != nil {
		panic(err)
	}
	return out
}

// Get reads an object as the cache shows it.
func (v *view) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	kind, err := apiutil.GVKForObject(into, testScheme)
	if err != nil {
		return err
	}
	u := v.objects[kind.GroupKind()][key]
	if u == nil || v.hidden[kind.GroupKind()] {
		return apierrors.NewNotFound(schema.GroupResource{Group: kind.Group, Resource: strings.ToLower(kind.Kind)}, key.Name)
	}
	return fill(into, u, kind)
}

// List reads the objects of a namespace that a selector selects, in no order.
func (v *view) List(_ context.Context, into client.ObjectList, opts ...client.ListOption) error {
	kind, err := apiutil.GVKForObject(into, testScheme)
	if err != nil {
		return err
	}
	kind.Kind = strings.TrimSuffix(kind.Kind, "List")
	options := client.ListOptions{}
	options.ApplyOptions(opts)
	items := reflect.ValueOf(into).Elem().FieldByName("Items")
	items.Set(reflect.MakeSlice(items.Type(), 0, 0))
	for key, u := range v.objects[kind.GroupKind()] {
		if v.hidden[kind.GroupKind()] || options.Namespace != "" && options.Namespace != key.Namespace {
			continue
		}
		if options.LabelSelector != nil && !options.LabelSelector.Matches(labels.Set(u.GetLabels())) {
			continue
		}
		if !selected(options.FieldSelector, u) {
			continue
		}
		item := reflect.New(items.Type().Elem())
		if err := fill(item.Interface().(client.Object), u, kind); err != nil {
			return err
		}
		items.Set(reflect.Append(items, item.Elem()))
	}
	return nil
}

// selected says whether an object has the values that a selector asks for, in indexes that are named by a field's path.
func selected(by fields.Selector, u *unstructured.Unstructured) bool {
	if by == nil {
		return true
	}
	for _, requirement := range by.Requirements() {
		value, _, _ := unstructured.NestedString(u.Object, strings.Split(requirement.Field, ".")...)
		if value != requirement.Value {
			return false
		}
	}
	return true
}

// fill is what the API server and the decoder do: another version of a kind has the fields that its schema knows.
func fill(into client.Object, u *unstructured.Unstructured, kind schema.GroupVersionKind) error {
	u = u.DeepCopy()
	if kind.Group == "split.smi-spec.io" && kind.Version < "v1alpha3" {
		unstructured.RemoveNestedField(u.Object, "spec", "matches")
	}
	u.SetGroupVersionKind(kind)
	if to, is := into.(*unstructured.Unstructured); is {
		to.Object = u.Object
		return nil
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into)
}
