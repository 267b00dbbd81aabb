package routing

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Services are the Services that the mesh carries traffic of.
type Services map[types.NamespacedName]Service

// Service is a Service with a selector and a cluster address.
type Service struct {
	Namespace string
	Name      string
	UID       string
	Address   netip.Addr
	Ports     []Port
}

// Port is one TCP port of a Service, and the endpoints behind it.
type Port struct {
	Number uint16
	// HTTP is set on ports that the proxy listens on.
	HTTP      bool
	Endpoints []netip.AddrPort
}

// Destination names one port of the service.
func (s Service) Destination(port uint16) Destination {
	return Destination{Namespace: s.Namespace, Service: s.Name, Port: port}
}

// Port is the port of that number; false if the Service has none.
func (s Service) Port(number uint16) (Port, bool) {
	for _, p := range s.Ports {
		if p.Number == number {
			return p, true
		}
	}
	return Port{}, false
}

// NewServices reads what the cluster says about its Services. Services without
// a selector or without an address of their own are served by somebody else
// and left out.
func NewServices(services []*corev1.Service, slices []*discoveryv1.EndpointSlice) Services {
	bySvc := map[types.NamespacedName][]*discoveryv1.EndpointSlice{}
	for _, s := range slices {
		name := types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
		bySvc[name] = append(bySvc[name], s)
	}
	out := Services{}
	for _, s := range services {
		addr, err := netip.ParseAddr(s.Spec.ClusterIP)
		if err != nil || len(s.Spec.Selector) == 0 || s.DeletionTimestamp != nil {
			continue
		}
		name := types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
		svc := Service{Namespace: s.Namespace, Name: s.Name, UID: string(s.UID), Address: addr}
		for _, p := range s.Spec.Ports {
			if p.Protocol != corev1.ProtocolTCP && p.Protocol != "" {
				continue
			}
			svc.Ports = append(svc.Ports, Port{
				Number:    uint16(p.Port), //nolint:gosec // The API server allows 1 to 65535.
				HTTP:      isHTTP(p),
				Endpoints: endpoints(bySvc[name], p.Name),
			})
		}
		out[name] = svc
	}
	return out
}

func isHTTP(p corev1.ServicePort) bool {
	if p.AppProtocol != nil {
		return strings.EqualFold(*p.AppProtocol, "http")
	}
	return p.Name == "http" || strings.HasPrefix(p.Name, "http-")
}

// endpoints are the addresses that may get new requests: ready, and not
// about to go.
func endpoints(from []*discoveryv1.EndpointSlice, portName string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, slice := range from {
		port, ok := slicePort(slice, portName)
		if !ok {
			continue
		}
		for _, e := range slice.Endpoints {
			if !takesRequests(e.Conditions) {
				continue
			}
			for _, a := range e.Addresses {
				if addr, err := netip.ParseAddr(a); err == nil {
					out = append(out, netip.AddrPortFrom(addr, port))
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b netip.AddrPort) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Port(), b.Port()))
	})
	return slices.Compact(out)
}

func slicePort(slice *discoveryv1.EndpointSlice, name string) (uint16, bool) {
	for _, p := range slice.Ports {
		if p.Port != nil && (p.Name == nil && name == "" || p.Name != nil && *p.Name == name) {
			return uint16(*p.Port), true //nolint:gosec // The API server allows 1 to 65535.
		}
	}
	return 0, false
}

// takesRequests reads a missing condition as the API defines it: unknown
// ready and serving count as true, unknown terminating as false.
func takesRequests(c discoveryv1.EndpointConditions) bool {
	is := func(b *bool, unknown bool) bool {
		if b == nil {
			return unknown
		}
		return *b
	}
	return is(c.Ready, true) && is(c.Serving, true) && !is(c.Terminating, false)
}
