package dns_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	miekg "github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/weighlock/weighlock/local/dns"
)

func service(name string, spec corev1.ServiceSpec) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"}, Spec: spec}
}

func endpoint(ip, hostname string, ready bool) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Addresses: []string{ip}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}
	if hostname != "" {
		e.Hostname = &hostname
	}
	return e
}

// start serves a small cluster and returns the server's address.
func start(t *testing.T) string {
	t.Helper()
	many := []discoveryv1.Endpoint{}
	for i := range 100 {
		many = append(many, endpoint("10.244.1."+string(rune('0'+i/10%10))+string(rune('0'+i%10)), "", true))
	}
	many = many[10:]
	slice := func(name string, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Name: name + "-x", Namespace: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: name}},
			AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints,
		}
	}
	client := fake.NewClientset(
		service("checkout", corev1.ServiceSpec{ClusterIP: "10.96.3.4"}),
		service("peers", corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone}),
		service("early", corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, PublishNotReadyAddresses: true}),
		service("many", corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone}),
		service("elsewhere", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "checkout.shop.svc.cluster.local"}),
		slice("peers", endpoint("10.244.0.2", "peer-0", true), endpoint("10.244.0.3", "peer-1", false)),
		slice("early", endpoint("10.244.0.4", "", false)),
		slice("many", many...),
	)
	// Not 127.0.0.1: its ports are taken by whatever connects to anything, of which one protocol tells nothing of the other.
	probe, err := net.ListenPacket("udp", "127.83.71.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := probe.LocalAddr().String()
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- dns.Run(ctx, dns.Options{Client: client, Listen: address, Ready: ready}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case <-time.After(10 * time.Second):
		t.Fatal("the server did not become ready")
	}
	return address
}

// ask returns the answer's code and its addresses or names.
func ask(t *testing.T, server, network, name string, kind uint16) string {
	t.Helper()
	query := new(miekg.Msg)
	query.SetQuestion(name, kind)
	client := &miekg.Client{Net: network, Timeout: 5 * time.Second}
	reply, _, err := client.Exchange(query, server)
	if err != nil {
		t.Fatal(err)
	}
	words := []string{miekg.RcodeToString[reply.Rcode]}
	for _, record := range reply.Answer {
		words = append(words, miekg.Field(record, 1))
	}
	return strings.Join(words, " ")
}

func TestServer_AnswersForServicesAndNothingElse(t *testing.T) {
	server := start(t)
	for _, c := range []struct {
		name string
		kind uint16
		want string
	}{
		{"checkout.shop.svc.cluster.local.", miekg.TypeA, "NOERROR 10.96.3.4"},
		{"CheckOut.shop.svc.Cluster.local.", miekg.TypeA, "NOERROR 10.96.3.4"},
		{"checkout.shop.svc.cluster.local.", miekg.TypeAAAA, "NOERROR"},
		{"peers.shop.svc.cluster.local.", miekg.TypeA, "NOERROR 10.244.0.2"},
		{"peer-0.peers.shop.svc.cluster.local.", miekg.TypeA, "NOERROR 10.244.0.2"},
		{"peer-1.peers.shop.svc.cluster.local.", miekg.TypeA, "NXDOMAIN"},
		{"early.shop.svc.cluster.local.", miekg.TypeA, "NOERROR 10.244.0.4"},
		{"elsewhere.shop.svc.cluster.local.", miekg.TypeA, "NOERROR checkout.shop.svc.cluster.local. 10.96.3.4"},
		{"absent.shop.svc.cluster.local.", miekg.TypeA, "NXDOMAIN"},
		{"checkout.absent.svc.cluster.local.", miekg.TypeA, "NXDOMAIN"},
		{"x.checkout.shop.svc.cluster.local.", miekg.TypeA, "NXDOMAIN"},
		{"a.b.c.d.svc.cluster.local.", miekg.TypeA, "NXDOMAIN"},
		{"svc.cluster.local.", miekg.TypeA, "NOERROR"},
		{"example.com.", miekg.TypeA, "NXDOMAIN"},
		{"4.3.96.10.in-addr.arpa.", miekg.TypePTR, "NXDOMAIN"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			if diff := cmp.Diff(c.want, ask(t, server, network, c.name, c.kind)); diff != "" {
				t.Errorf("%s over %s: %s", c.name, network, diff)
			}
		}
	}
}

func TestServer_IsUnderstoodByGosResolver(t *testing.T) {
	server := start(t)
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, server)
	}}
	got, err := resolver.LookupHost(t.Context(), "checkout.shop.svc.cluster.local.")
	if diff := cmp.Diff([]string{"10.96.3.4"}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	// More than a packet holds: the resolver must be told to ask over tcp.
	if got, err = resolver.LookupHost(t.Context(), "many.shop.svc.cluster.local."); len(got) != 90 || err != nil {
		t.Errorf("got %d addresses, error %v, want 90", len(got), err)
	}
	if !slices.Contains(got, "10.244.1.99") {
		t.Error("the last address is missing")
	}
	begun := time.Now()
	_, err = resolver.LookupHost(t.Context(), "example.com.")
	var missing *net.DNSError
	if !errors.As(err, &missing) || !missing.IsNotFound {
		t.Errorf("got error %v, want one that says there is no such name", err)
	}
	// Without an answer it would try twice, for five seconds each.
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("took %s to say that a name does not exist", took)
	}
}
