package volume_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/local/node/downward"
	"github.com/weighlock/weighlock/local/node/volume"
)

// objects holds one ConfigMap, which tests change, one Secret, and hands out
// numbered tokens of the given life.
type objects struct {
	config map[string]string
	life   time.Duration
	asked  int
}

func (o *objects) ConfigMap(_, name string) (*corev1.ConfigMap, error) {
	if name != "settings" {
		return nil, apierrors.NewNotFound(corev1.Resource("configmaps"), name)
	}
	return &corev1.ConfigMap{Data: o.config, BinaryData: map[string][]byte{"raw": {0, 1}}}, nil
}

func (o *objects) Secret(_, name string) (*corev1.Secret, error) {
	if name != "keys" {
		return nil, apierrors.NewNotFound(corev1.Resource("secrets"), name)
	}
	return &corev1.Secret{Data: map[string][]byte{"password": []byte("hush")}}, nil
}

func (o *objects) Token(_ context.Context, _ *corev1.Pod, audience string, _ int64) (authenticationv1.TokenRequestStatus, error) {
	if o.life == 0 {
		return authenticationv1.TokenRequestStatus{}, errors.New("no such account")
	}
	o.asked++
	return authenticationv1.TokenRequestStatus{
		Token:               audience + "token " + strconv.Itoa(o.asked),
		ExpirationTimestamp: metav1.NewTime(time.Now().Add(o.life)),
	}, nil
}

func podWith(source corev1.VolumeSource) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "shop", Labels: map[string]string{"b": "2", "a": "1"}},
		Spec:       corev1.PodSpec{Volumes: []corev1.Volume{{Name: "v", VolumeSource: source}}},
	}
}

func named(name string) corev1.LocalObjectReference {
	return corev1.LocalObjectReference{Name: name}
}

// tree reads what a program sees in a volume.
func tree(t *testing.T, s *volume.Set, pod *corev1.Pod) map[string]string {
	t.Helper()
	root, err := s.Path(pod, "v", "")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	var walk func(string)
	walk = func(dir string) {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if strings.HasPrefix(e.Name(), "..") {
				continue
			}
			info, err := os.Stat(filepath.Join(root, path))
			if err != nil {
				t.Fatal(err)
			}
			if info.IsDir() {
				walk(path)
				continue
			}
			text, err := os.ReadFile(filepath.Join(root, path))
			if err != nil {
				t.Fatal(err)
			}
			got[path] = info.Mode().String()[1:] + " " + string(text)
		}
	}
	walk("")
	return got
}

func TestSync_WritesEveryKindOfVolume(t *testing.T) {
	mode, yes, hour := int32(0o400), true, int64(3600)
	for _, c := range []struct {
		name   string
		source corev1.VolumeSource
		want   map[string]string
	}{
		{"configMap", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: named("settings")}}, map[string]string{
			"colour": "rw-r--r-- blue", "raw": "rw-r--r-- \x00\x01",
		}},
		{"configMap with items", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: named("settings"), Items: []corev1.KeyToPath{{Key: "colour", Path: "deep/er/c", Mode: &mode}},
		}}, map[string]string{"deep/er/c": "r-------- blue"}},
		{"secret", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "keys", DefaultMode: &mode}}, map[string]string{
			"password": "r-------- hush",
		}},
		{"optional", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "absent", Optional: &yes}}, map[string]string{}},
		{"emptyDir", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}, map[string]string{}},
		{"downwardAPI", corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
			{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}},
			{Path: "ip", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}},
		}}}, map[string]string{"labels": "rw-r--r-- a=\"1\"\nb=\"2\"", "ip": "rw-r--r-- 10.244.0.9"}},
		{"projected", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &hour, Audience: "api "}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: named("settings"), Items: []corev1.KeyToPath{{Key: "colour", Path: "ca.crt"}}}},
			{Secret: &corev1.SecretProjection{LocalObjectReference: named("keys")}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
				{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}},
			}}},
		}}}, map[string]string{
			"token": "rw-r--r-- api token 1", "ca.crt": "rw-r--r-- blue", "password": "rw-r--r-- hush", "namespace": "rw-r--r-- shop",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := volume.New(filepath.Join(t.TempDir(), "volumes"), &objects{config: map[string]string{"colour": "blue"}, life: time.Hour})
			pod := podWith(c.source)
			if _, err := s.Sync(t.Context(), pod, downward.Facts{PodIP: "10.244.0.9"}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, tree(t, s, pod)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSync_SaysWhichVolumeLacksWhat(t *testing.T) {
	for want, source := range map[string]corev1.VolumeSource{
		`configmaps "absent"`:      {ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: named("absent")}},
		`secret keys has no key`:   {Secret: &corev1.SecretVolumeSource{SecretName: "keys", Items: []corev1.KeyToPath{{Key: "x", Path: "x"}}}},
		`leaves the volume`:        {Secret: &corev1.SecretVolumeSource{SecretName: "keys", Items: []corev1.KeyToPath{{Key: "password", Path: "../x"}}}},
		`has only configMap`:       {NFS: &corev1.NFSVolumeSource{}},
		`no such account`:          {Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "t"}}}}},
		`/does/not/exist: no such`: {HostPath: &corev1.HostPathVolumeSource{Path: "/does/not/exist"}},
	} {
		_, err := volume.New(t.TempDir(), &objects{}).Sync(t.Context(), podWith(source), downward.Facts{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "volume v: ") {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
}

func TestSync_FollowsChangesAtOnceAndLeavesNothingOld(t *testing.T) {
	o := &objects{config: map[string]string{"a": "1", "b": "1"}}
	dir := t.TempDir()
	s := volume.New(dir, o)
	pod := podWith(corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: named("settings")}})
	for _, config := range []map[string]string{o.config, {"a": "2", "c": "2"}} {
		o.config = config
		if _, err := s.Sync(t.Context(), pod, downward.Facts{}); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"a": "rw-r--r-- 2", "c": "rw-r--r-- 2", "raw": "rw-r--r-- \x00\x01"}
	if diff := cmp.Diff(want, tree(t, s, pod)); diff != "" {
		t.Error(diff)
	}
	folders, err := filepath.Glob(filepath.Join(dir, "v", "..*"))
	if err != nil {
		t.Fatal(err)
	}
	// The folder of the files, and the link to it.
	if len(folders) != 2 {
		t.Errorf("old files were left: %v", folders)
	}
}

func TestSync_KeepsATokenUntilItIsDueAndThenRenewsIt(t *testing.T) {
	pod := podWith(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
	}}})
	o := &objects{life: 50 * time.Millisecond}
	s := volume.New(t.TempDir(), o)
	begun := time.Now()
	renew, err := s.Sync(t.Context(), pod, downward.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	if after := renew.Sub(begun); after < 30*time.Millisecond || after > time.Since(begun)+40*time.Millisecond {
		t.Errorf("to be renewed after %s, want about 40ms", after)
	}
	time.Sleep(time.Until(renew))
	o.life = time.Hour
	for range 2 {
		if _, err := s.Sync(t.Context(), pod, downward.Facts{}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]string{"token": "rw-r--r-- token 2"}, tree(t, s, pod)); diff != "" {
		t.Error(diff)
	}
}

func TestPath_FindsPartsOfVolumes(t *testing.T) {
	dir := t.TempDir()
	s := volume.New(dir, &objects{})
	pod := podWith(corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})
	got, err := s.Path(pod, "v", "deep/../part")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "v", "part"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := os.Stat(got); err != nil {
		t.Errorf("a part of an empty folder was not made: %v", err)
	}
	if _, err := s.Path(pod, "w", ""); err == nil {
		t.Error("found a volume that the pod does not have")
	}
}

func TestRemove_LeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "volumes")
	s := volume.New(dir, &objects{})
	if _, err := s.Sync(t.Context(), podWith(corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}), downward.Facts{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}
