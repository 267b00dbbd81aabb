package node

import (
	"context"
	"net/netip"
	"sync"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"

	"github.com/weighlock/weighlock/local/address"
)

var everything = labels.Everything()

// objects finds what environments and volumes are made from.
type objects struct {
	client     kubernetes.Interface
	configMaps corelisters.ConfigMapLister
	secrets    corelisters.SecretLister
}

// ConfigMap finds a ConfigMap in the cache.
func (o *objects) ConfigMap(namespace, name string) (*corev1.ConfigMap, error) {
	return o.configMaps.ConfigMaps(namespace).Get(name)
}

// Secret finds a Secret in the cache.
func (o *objects) Secret(namespace, name string) (*corev1.Secret, error) {
	return o.secrets.Secrets(namespace).Get(name)
}

// Token asks for a token of the pod's ServiceAccount that ends with the pod.
func (o *objects) Token(ctx context.Context, pod *corev1.Pod, audience string, seconds int64) (authenticationv1.TokenRequestStatus, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	if audience != "" {
		request.Spec.Audiences = []string{audience}
	}
	got, err := o.client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.TokenRequestStatus{}, err
	}
	return got.Status, nil
}

// hostIP is the node's own address, one that no pod gets.
const hostIP = "10.244.0.1"

// addresses hands out the pods' addresses. One that was given back is the last
// to be used again, since clients may still try to reach who had it.
type addresses struct {
	mu     sync.Mutex
	next   netip.Addr
	held   map[types.UID]netip.Addr
	in     map[netip.Addr]bool
	first  netip.Addr
	within netip.Prefix
}

func newAddresses() *addresses {
	first := netip.MustParseAddr(address.FirstPod)
	return &addresses{
		next: first, first: first,
		held: map[types.UID]netip.Addr{}, in: map[netip.Addr]bool{},
		within: netip.MustParsePrefix(address.Pods),
	}
}

// keep leaves an address to a pod that has it already.
func (a *addresses) keep(uid types.UID, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ip, err := netip.ParseAddr(text)
	if err != nil || !a.within.Contains(ip) || a.in[ip] {
		return
	}
	a.held[uid], a.in[ip] = ip, true
}

// hold returns a pod's address.
func (a *addresses) hold(uid types.UID) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ip, ok := a.held[uid]; ok {
		return ip.String()
	}
	for a.in[a.next] || !a.within.Contains(a.next) {
		a.advance()
	}
	ip := a.next
	a.advance()
	a.held[uid], a.in[ip] = ip, true
	return ip.String()
}

func (a *addresses) advance() {
	a.next = a.next.Next()
	if !a.within.Contains(a.next) {
		a.next = a.first
	}
}

func (a *addresses) release(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.in, a.held[uid])
	delete(a.held, uid)
}
