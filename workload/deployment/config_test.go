package deployment_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
	"github.com/weighlock/weighlock/workload/deployment"
)

func configMap(namespace, name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string]string{"key": value}}
}

func secret(namespace, name, value string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, StringData: map[string]string{"key": value}}
}

// configured is a Deployment that uses ConfigMaps and Secrets in all ways that there are, two that are missing among them.
func configured(d *appsv1.Deployment) {
	named := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }
	pod := &d.Spec.Template.Spec
	pod.Volumes = []corev1.Volume{
		{Name: "one", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: named("mounted")}}},
		{Name: "two", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "mounted"}}},
		{Name: "three", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: named("projected")}},
			{Secret: &corev1.SecretProjection{LocalObjectReference: named("projected")}},
		}}}},
	}
	pod.Containers[0].EnvFrom = []corev1.EnvFromSource{
		{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: named("environment")}},
		{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: named("environment"), Optional: new(true)}},
	}
	pod.Containers[0].Env = []corev1.EnvVar{
		{Name: "A", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: named("variable"), Key: "key", Optional: new(true)}}},
	}
	pod.InitContainers = []corev1.Container{{Name: "init", Image: "init", Env: []corev1.EnvVar{
		{Name: "B", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: named("variable"), Key: "key"}}},
	}}}
}

// configure makes a configured workload, and a copy of it.
func (r *rig) configure() string {
	r.Helper()
	for _, name := range []string{"mounted", "projected", "environment", "variable", "unused"} {
		r.create(configMap(r.ref.Namespace, name, "first"), secret(r.ref.Namespace, name, "first"))
	}
	r.must("remove a ConfigMap", server.Delete(r.Context(), configMap(r.ref.Namespace, "variable", "")))
	r.must("remove a Secret", server.Delete(r.Context(), secret(r.ref.Namespace, "environment", "")))
	r.make(shape{workload: configured})
	return r.tryAdopted()
}

// finds inspects the copy until the observation has changed.
func (r *rig) finds(revision string, changed ...string) {
	r.Helper()
	r.must("inspect", r.Inspect(r.Context(), r.ref, revision))
	r.until(fmt.Sprintf("%v to have changed", changed), func(o *workload.Observation) bool {
		return cmp.Equal(o.Copies[revision].Changed, changed)
	})
}

func TestInspect_FindsConfigThatChangedInPlace(t *testing.T) {
	r := newRig(t)
	revision := r.configure()
	writes := len(r.written)
	r.finds(revision)
	if len(r.written) != writes {
		t.Errorf("%d objects were written though nothing changed", len(r.written)-writes)
	}

	labelled := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"some":"label"}}}`))
	r.must("label a ConfigMap", server.Patch(t.Context(), configMap(r.ref.Namespace, "mounted", ""), labelled))
	r.must("change a ConfigMap that isn't used", server.Update(t.Context(), configMap(r.ref.Namespace, "unused", "second")))
	r.must("change a Secret that isn't used", server.Update(t.Context(), secret(r.ref.Namespace, "unused", "second")))
	r.finds(revision)

	var want []string
	for _, name := range []string{"environment", "mounted", "projected"} {
		r.must("change a ConfigMap", server.Update(t.Context(), configMap(r.ref.Namespace, name, "second")))
		want = append(want, "ConfigMap/"+name)
		r.finds(revision, want...)
	}
	r.create(configMap(r.ref.Namespace, "variable", "late"))
	r.create(secret(r.ref.Namespace, "environment", "late"))
	want = append(want, "ConfigMap/variable", "Secret/environment")
	r.finds(revision, want...)
	for _, name := range []string{"mounted", "projected"} {
		r.must("change a Secret", server.Update(t.Context(), secret(r.ref.Namespace, name, "second")))
		want = append(want, "Secret/"+name)
	}
	r.must("delete a Secret", server.Delete(t.Context(), secret(r.ref.Namespace, "variable", "")))
	want = append(want, "Secret/variable")
	r.finds(revision, want...)

	writes = len(r.written)
	r.finds(revision, want...)
	if len(r.written) != writes {
		t.Errorf("%d objects were written though nothing changed since", len(r.written)-writes)
	}
	for key, value := range r.deployment("checkout-" + revision).Annotations {
		if strings.Contains(value, "first") || strings.Contains(value, "second") {
			t.Errorf("annotation %s holds content: %s", key, value)
		}
	}
}

func TestInspect_IsNotUndoneByOtherWritesToTheCopy(t *testing.T) {
	r := newRig(t)
	revision := r.configure()
	r.must("change a ConfigMap", server.Update(t.Context(), configMap(r.ref.Namespace, "mounted", "second")))
	r.finds(revision, "ConfigMap/mounted")
	// Written again where somebody edited it, and sized.
	pause := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"paused":true}}`))
	r.must("edit the copy", server.Patch(t.Context(), r.deployment("checkout-"+revision), pause, client.FieldOwner("somebody")))
	o := r.until("the edit to be seen", func(o *workload.Observation) bool { return o.Copies[revision].Paused })
	r.must("copy again", r.Copy(t.Context(), r.ref, o.Workload, revision, 0))
	r.until("the copy to be set right", func(o *workload.Observation) bool { return !o.Copies[revision].Paused })
	r.must("scale", r.Scale(t.Context(), r.ref, revision, 1))
	r.until("the copy to be scaled", func(o *workload.Observation) bool { return o.Copies[revision].Replicas == 1 })
	before := r.deployment("checkout-" + revision).Annotations
	r.must("change another ConfigMap", server.Update(t.Context(), configMap(r.ref.Namespace, "projected", "second")))
	r.finds(revision, "ConfigMap/mounted", "ConfigMap/projected")
	after := r.deployment("checkout-" + revision)
	if before[v1alpha1.AnnotationConfig] == "" || before[v1alpha1.AnnotationConfig] != after.Annotations[v1alpha1.AnnotationConfig] {
		t.Errorf("what was noted went from %q to %q", before[v1alpha1.AnnotationConfig], after.Annotations[v1alpha1.AnnotationConfig])
	}
	if *after.Spec.Replicas != 1 {
		t.Errorf("the copy has %d replicas, want 1", *after.Spec.Replicas)
	}
	r.must("set the ConfigMap back", server.Update(t.Context(), configMap(r.ref.Namespace, "projected", "first")))
	r.finds(revision, "ConfigMap/mounted")
}

// limited is a client that may read ConfigMaps, and no Secrets.
func limited(t *testing.T, namespace string) client.Client {
	t.Helper()
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "limited"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get"}}},
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "limited"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "limited"},
		Subjects:   []rbacv1.Subject{{Kind: "User", Name: "limited"}},
	}
	for _, obj := range []client.Object{role, binding} {
		if err := server.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	as := rest.CopyConfig(config)
	as.Impersonate = rest.ImpersonationConfig{UserName: "limited"}
	out, err := client.New(as, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the role to be known", func() error {
		return client.IgnoreNotFound(out.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "any"}, &corev1.ConfigMap{}))
	})
	return out
}

func TestInspect_LeavesOutWhatItMayNotRead(t *testing.T) {
	r := newRig(t)
	r.Adapter = deployment.New(deployment.Options{Reader: informers, Live: limited(t, r.ref.Namespace), Writer: server, Mapper: server.RESTMapper()})
	revision := r.configure()
	if noted := r.deployment("checkout-" + revision).Annotations[v1alpha1.AnnotationConfig]; strings.Contains(noted, "Secret") || !strings.Contains(noted, "ConfigMap/mounted") {
		t.Errorf("it noted %s", noted)
	}
	r.must("change a Secret", server.Update(t.Context(), secret(r.ref.Namespace, "mounted", "second")))
	r.must("change a ConfigMap", server.Update(t.Context(), configMap(r.ref.Namespace, "mounted", "second")))
	r.finds(revision, "ConfigMap/mounted")
}
