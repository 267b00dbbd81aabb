package node_test

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/weighlock/weighlock/local/address"
)

func healthz() corev1.ProbeHandler {
	return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromString("http")}}
}

func TestRun_MakesADeploymentAvailableAndRollsIt(t *testing.T) {
	replicas, zero := int32(2), intstr.FromInt32(0)
	labels := map[string]string{"app": "web"}
	template := podOf("web", "serve").Spec
	template.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: healthz()}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: template},
			Strategy: appsv1.DeploymentStrategy{RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &zero}},
		},
	}
	deployments := client.AppsV1().Deployments("default")
	deployment, err := deployments.Create(t.Context(), deployment, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := deployments.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()
	available := func(generation int64) {
		t.Helper()
		started := time.Now()
		for {
			d, err := deployments.Get(t.Context(), "web", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			s := d.Status
			if s.ObservedGeneration >= generation && s.UpdatedReplicas == replicas && s.AvailableReplicas == replicas && s.Replicas == replicas {
				t.Logf("available after %v", time.Since(started).Round(time.Millisecond))
				return
			}
			if took := time.Since(started); took > 30*time.Second {
				t.Fatalf("not available after %v: %+v", took, s)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	available(deployment.Generation)
	deployment, err = deployments.Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	deployment.Spec.Template.Annotations = map[string]string{"version": "2"}
	if deployment, err = deployments.Update(t.Context(), deployment, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	available(deployment.Generation)
}

func TestRun_GivesAPodItsIdentity(t *testing.T) {
	pod := podOf("identity", "serve")
	pod.Spec.Containers[0].Env = []corev1.EnvVar{
		{Name: "NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
		{Name: "GREETING", Value: "I am $(NAME)"},
	}
	pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: healthz()}
	pod = await(t, create(t, pod), "ready", ready)
	env := ask(t, pod, "/env")
	for _, want := range []string{"GREETING=I am identity", "POD_IP=" + pod.Status.PodIP, "KUBERNETES_SERVICE_HOST=10.96.0.1"} {
		if !strings.Contains(env, want) {
			t.Errorf("the environment lacks %q:\n%s", want, env)
		}
	}
	if got := ask(t, pod, "/read?path=/etc/resolv.conf"); !strings.Contains(got, "nameserver 10.96.0.10\nsearch default.svc.cluster.local") {
		t.Errorf("resolv.conf: %s", got)
	}
	const account = "/read?path=/var/run/secrets/kubernetes.io/serviceaccount/"
	token := strings.TrimSuffix(ask(t, pod, account+"token"), "<nil>")
	ca := strings.TrimSuffix(ask(t, pod, account+"ca.crt"), "<nil>")
	// The API server takes the token for what it is, and no more.
	own, err := kubernetes.NewForConfig(&rest.Config{Host: "https://" + address.APIServer, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: []byte(ca)}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = own.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "system:serviceaccount:default:default") {
		t.Errorf("with the pod's token: %v, want that its ServiceAccount may not list secrets", err)
	}
}

func TestRun_StopsADeletedPodGracefully(t *testing.T) {
	pod := podOf("leaving", "serve")
	pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: healthz()}
	pod = await(t, create(t, pod), "ready", ready)
	if err := client.CoreV1().Pods("default").Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, pod, "unready while it stops", func(p *corev1.Pod) bool { return !ready(p) && p.DeletionTimestamp != nil })
	gone := false
	for deadline := time.Now().Add(30 * time.Second); !gone && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		_, err := client.CoreV1().Pods("default").Get(t.Context(), pod.Name, metav1.GetOptions{})
		gone = apierrors.IsNotFound(err)
	}
	if !gone {
		t.Error("the pod is still there")
	}
	if log := logOf(t, pod); !strings.Contains(log, "asked to stop\nstopped\n") {
		t.Errorf("log %q, want that it could stop by itself", log)
	}
}

func TestRun_BacksOffFromAContainerThatEndsAgainAndAgain(t *testing.T) {
	pod := create(t, podOf("crashing", "exit", "3"))
	pod = await(t, pod, "backing off", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil &&
			p.Status.ContainerStatuses[0].State.Waiting.Reason == "CrashLoopBackOff" && p.Status.ContainerStatuses[0].RestartCount >= 2
	})
	c := pod.Status.ContainerStatuses[0]
	if c.LastTerminationState.Terminated == nil || c.LastTerminationState.Terminated.ExitCode != 3 || !strings.Contains(c.State.Waiting.Message, "back-off 1s") {
		t.Errorf("status %+v, want exit code 3 and a back-off that has doubled to 1s", c)
	}
	if !strings.Contains(logOf(t, pod), "last words") {
		t.Error("the log lacks what it said")
	}
}

func TestRun_FollowsReadiness(t *testing.T) {
	pod := podOf("moody", "serve")
	pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: healthz(), PeriodSeconds: 1, FailureThreshold: 1}
	pod = await(t, create(t, pod), "ready", ready)
	ask(t, pod, "/flip")
	await(t, pod, "unready", func(p *corev1.Pod) bool { return !ready(p) })
	ask(t, pod, "/flip")
	pod = await(t, pod, "ready again", ready)
	if restarts := pod.Status.ContainerStatuses[0].RestartCount; restarts != 0 {
		t.Errorf("%d restarts, want none", restarts)
	}
}

func TestRun_RestartsAContainerThatIsNotAlive(t *testing.T) {
	pod := podOf("hanging", "serve")
	pod.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: healthz(), PeriodSeconds: 1, FailureThreshold: 1}
	pod = await(t, create(t, pod), "running", ready)
	// The container counts as ready at once, but it takes a moment to listen.
	time.Sleep(200 * time.Millisecond)
	ask(t, pod, "/flip")
	await(t, pod, "restarted", func(p *corev1.Pod) bool { return ready(p) && p.Status.ContainerStatuses[0].RestartCount == 1 })
}

func TestRun_EndsPodsThatAreNotToRunAgain(t *testing.T) {
	for args, want := range map[string]corev1.PodPhase{"0": corev1.PodSucceeded, "3": corev1.PodFailed} {
		pod := podOf("ending-"+args, "exit", args)
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		await(t, create(t, pod), string(want), func(p *corev1.Pod) bool { return p.Status.Phase == want })
	}
}

func TestRun_SaysWhichImagesThereAre(t *testing.T) {
	pod := podOf("unknown", "serve")
	pod.Spec.Containers[0].Image = "nginx:1"
	await(t, create(t, pod), "refused", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil &&
			p.Status.ContainerStatuses[0].State.Waiting.Reason == "ErrImagePull" &&
			strings.Contains(p.Status.ContainerStatuses[0].State.Waiting.Message, "only for example.com:5000/test/program")
	})
}

func TestRun_WaitsForAConfigMapAndFollowsIt(t *testing.T) {
	pod := podOf("configured", "serve")
	pod.Spec.Volumes = []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}}}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "config", MountPath: "/config"}}
	pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: healthz()}
	pod = create(t, pod)
	await(t, pod, "waiting", func(p *corev1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil &&
			strings.Contains(p.Status.ContainerStatuses[0].State.Waiting.Message, `configmap "settings" not found`)
	})
	maps := client.CoreV1().ConfigMaps("default")
	settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"key": "one"}}
	if _, err := maps.Create(t.Context(), settings, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod = await(t, pod, "ready", ready)
	if got := ask(t, pod, "/read?path=/config/key"); got != "one<nil>" {
		t.Errorf("the file holds %q", got)
	}
	settings.Data["key"] = "two"
	if _, err := maps.Update(t.Context(), settings, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ask(t, pod, "/read?path=/config/key") != "two<nil>"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the file does not follow the ConfigMap")
		}
	}
}

func TestRun_RunsInitContainersFirst(t *testing.T) {
	pod := podOf("prepared", "serve")
	pod.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "example.com:5000/test/program", Command: []string{"/bin/init", "say"}, Args: []string{"first"}}}
	pod = await(t, create(t, pod), "ready", ready)
	if s := pod.Status.InitContainerStatuses; len(s) != 1 || s[0].State.Terminated == nil || s[0].State.Terminated.ExitCode != 0 {
		t.Errorf("init container's status %+v, want that it has ended well", s)
	}
}
