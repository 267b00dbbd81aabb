package environ_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/local/node/downward"
	"github.com/weighlock/weighlock/local/node/environ"
)

// objects holds one ConfigMap and one Secret, both called settings.
type objects struct{}

func (objects) ConfigMap(_, name string) (*corev1.ConfigMap, error) {
	if name != "settings" {
		return nil, apierrors.NewNotFound(corev1.Resource("configmaps"), name)
	}
	return &corev1.ConfigMap{Data: map[string]string{"colour": "blue", "size": "5"}}, nil
}

func (objects) Secret(_, name string) (*corev1.Secret, error) {
	if name != "settings" {
		return nil, apierrors.NewNotFound(corev1.Resource("secrets"), name)
	}
	return &corev1.Secret{Data: map[string][]byte{"password": []byte("hush")}}, nil
}

var (
	yes = true
	pod = &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "checkout-1", Namespace: "shop", UID: "u-1", Labels: map[string]string{"app": "checkout"}},
		Spec:       corev1.PodSpec{NodeName: "local", ServiceAccountName: "clerk"},
	}
	facts = downward.Facts{PodIP: "10.244.0.9", HostIP: "10.244.0.1", Allocatable: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi"),
	}}
)

func field(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

func limit(name, resourceName, divisor string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{
		Resource: resourceName, Divisor: resource.MustParse(divisor),
	}}}
}

func key(name, object, k string, optional *bool) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: object}, Key: k, Optional: optional,
	}}}
}

func secretKey(name, object, k string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: object}, Key: k,
	}}}
}

func TestBuild_ReadsEverySourceOfValues(t *testing.T) {
	container := corev1.Container{
		Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1500m")}},
		EnvFrom: []corev1.EnvFromSource{{Prefix: "SHOP_", ConfigMapRef: &corev1.ConfigMapEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "settings"},
		}}},
		Env: []corev1.EnvVar{
			{Name: "PLAIN", Value: "1"},
			{Name: "BUILT", Value: "$(BASE)-$(PLAIN)-$(SHOP_colour)-$(LATER)"},
			{Name: "LATER", Value: "2"},
			{Name: "BASE", Value: "overridden"},
			field("NAME", "metadata.name"), field("NAMESPACE", "metadata.namespace"), field("UID", "metadata.uid"),
			field("IP", "status.podIP"), field("HOST", "status.hostIP"), field("NODE", "spec.nodeName"),
			field("ACCOUNT", "spec.serviceAccountName"), field("APP", "metadata.labels['app']"), field("NONE", "metadata.annotations['x']"),
			limit("CPUS", "limits.cpu", "1"), limit("MILLIS", "limits.cpu", "1m"), limit("MEMORY", "limits.memory", "1Mi"),
			key("COLOUR", "settings", "colour", nil), key("MISSING_KEY", "settings", "x", &yes), key("MISSING_MAP", "x", "x", &yes),
			secretKey("PASSWORD", "settings", "password"),
		},
	}
	got, err := environ.Build(pod, container, facts, objects{}, environ.Environment{"BASE": "base"})
	if err != nil {
		t.Fatal(err)
	}
	want := environ.Environment{
		"BASE": "overridden", "PLAIN": "1", "BUILT": "base-1-blue-$(LATER)", "LATER": "2",
		"SHOP_colour": "blue", "SHOP_size": "5",
		"NAME": "checkout-1", "NAMESPACE": "shop", "UID": "u-1", "IP": "10.244.0.9", "HOST": "10.244.0.1", "NODE": "local",
		"ACCOUNT": "clerk", "APP": "checkout", "NONE": "",
		"CPUS": "2", "MILLIS": "1500", "MEMORY": "8192",
		"COLOUR": "blue", "PASSWORD": "hush",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBuild_NamesWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name     string
		variable corev1.EnvVar
		want     []string
	}{
		{"object", key("A", "absent", "x", nil), []string{"A", "configmaps", "absent"}},
		{"key", key("A", "settings", "absent", nil), []string{"A", "configmap settings", "absent"}},
		{"secret's key", secretKey("A", "settings", "absent"), []string{"A", "secret settings", "absent"}},
		{"field", field("A", "spec.mood"), []string{"A", "spec.mood"}},
		{"resource", limit("A", "moods.cpu", "1"), []string{"A", "moods.cpu"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := environ.Build(pod, corev1.Container{Env: []corev1.EnvVar{c.variable}}, facts, objects{}, nil)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not name %s: %v", want, err)
				}
			}
		})
	}
}

func TestExpand_FollowsKubernetesSyntax(t *testing.T) {
	env := environ.Environment{"A": "1", "B": "$(A)"}
	for text, want := range map[string]string{
		"":           "",
		"plain":      "plain",
		"$(A)":       "1",
		"--a=$(A)x":  "--a=1x",
		"$(A)$(A)":   "11",
		"$(B)":       "$(A)",
		"$(C)":       "$(C)",
		"$$(A)":      "$(A)",
		"$$$(A)":     "$1",
		"$A":         "$A",
		"$":          "$",
		"$(A":        "$(A",
		"cost: 5$":   "cost: 5$",
		"$(C $(A))":  "$(C $(A))",
		"$(C)-$(A)":  "$(C)-1",
		"${A} $(A)!": "${A} 1!",
	} {
		if got := env.Expand(text); got != want {
			t.Errorf("Expand(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestList_IsInOrder(t *testing.T) {
	if diff := cmp.Diff([]string{"A=1", "B=2"}, (environ.Environment{"B": "2", "A": "1"}).List()); diff != "" {
		t.Error(diff)
	}
}
