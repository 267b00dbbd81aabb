// Package dns is the local stack's cluster DNS: it answers for the names of
// Services, from the API server's Services and EndpointSlices. It forwards
// nothing, since there is nowhere to forward to: every other name does not
// exist, and that is said at once.
//
//	<service>.<namespace>.svc.cluster.local              the cluster address, or all ready endpoints of a headless Service
//	<hostname>.<service>.<namespace>.svc.cluster.local   one endpoint of a headless Service
package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"

	"github.com/weighlock/weighlock/local/address"
)

// ttl is how long an answer may be kept, in seconds: long enough for one
// request, short enough that nobody waits for a changed Service.
const ttl = 1

// stopTimeout bounds how long queries in hand may take when the server stops.
const stopTimeout = 2 * time.Second

// zone is what the server answers for.
const zone = address.ClusterDomain + "."

// Options say what the server serves, and where.
type Options struct {
	Client kubernetes.Interface
	// Listen is the address, for udp and tcp.
	Listen string
	// Ready, if set, is closed once both are listened on and Services known.
	Ready chan<- struct{}
}

// server answers from the informers' caches.
type server struct {
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
}

// Run serves until the context ends.
func Run(ctx context.Context, options Options) error {
	factory := informers.NewSharedInformerFactory(options.Client, 0)
	s := &server{
		services: factory.Core().V1().Services().Lister(),
		slices:   factory.Discovery().V1().EndpointSlices().Lister(),
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	for kind, ok := range factory.WaitForCacheSync(ctx.Done()) {
		if !ok && ctx.Err() == nil {
			return fmt.Errorf("list %s: the cache did not fill", kind)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return s.serve(ctx, options)
}

func (s *server) serve(ctx context.Context, options Options) error {
	var config net.ListenConfig
	packets, err := config.ListenPacket(ctx, "udp", options.Listen)
	if err != nil {
		return fmt.Errorf("serve DNS over udp: %w", err)
	}
	stream, err := config.Listen(ctx, "tcp", options.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("serve DNS over tcp: %w", err), packets.Close())
	}
	servers := []*dns.Server{{PacketConn: packets, Handler: s}, {Listener: stream, Handler: s}}
	group, ctx := errgroup.WithContext(ctx)
	for _, each := range servers {
		group.Go(each.ActivateAndServe)
	}
	group.Go(func() error {
		<-ctx.Done()
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		for _, each := range servers {
			// One that has stopped already says so; there is no more to do.
			_ = each.ShutdownContext(limited)
		}
		return nil
	})
	if options.Ready != nil {
		close(options.Ready)
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("serve DNS: %w", err)
	}
	return nil
}

// ServeDNS answers one query.
func (s *server) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg)
	reply.SetReply(query)
	reply.Authoritative = true
	if len(query.Question) != 1 {
		reply.Rcode = dns.RcodeFormatError
	} else {
		s.answer(reply, query.Question[0])
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		size := dns.MinMsgSize
		if edns := query.IsEdns0(); edns != nil {
			size = int(edns.UDPSize())
		}
		reply.Truncate(size)
	}
	// Whoever asked has gone; it asks again if it still wants to know.
	_ = w.WriteMsg(reply)
}

func (s *server) answer(reply *dns.Msg, question dns.Question) {
	addresses, alias, exists, err := s.find(strings.ToLower(question.Name))
	switch {
	case err != nil:
		reply.Rcode = dns.RcodeServerFailure
		return
	case !exists:
		reply.Rcode = dns.RcodeNameError
	case alias != "":
		reply.Answer = append(reply.Answer, &dns.CNAME{Hdr: header(question.Name, dns.TypeCNAME), Target: alias})
		// Resolvers look no further than this reply. An alias of an alias is
		// left to them, or two could lead to each other for ever.
		addresses, _, _, _ = s.find(strings.ToLower(alias))
		reply.Answer = append(reply.Answer, records(alias, question.Qtype, addresses)...)
	default:
		reply.Answer = records(question.Name, question.Qtype, addresses)
	}
	if len(reply.Answer) == 0 {
		reply.Ns = append(reply.Ns, authority())
	}
}

func records(name string, kind uint16, addresses []netip.Addr) []dns.RR {
	if kind != dns.TypeA && kind != dns.TypeANY {
		return nil
	}
	var out []dns.RR
	for _, a := range addresses {
		out = append(out, &dns.A{Hdr: header(name, dns.TypeA), A: a.AsSlice()})
	}
	return out
}

// find looks a name up: its addresses, or another name that it stands for. A
// name can exist without an address.
func (s *server) find(name string) (addresses []netip.Addr, alias string, exists bool, err error) {
	rest, ok := strings.CutSuffix(name, ".svc."+zone)
	if !ok {
		return nil, "", isParent(name), nil
	}
	parts := strings.Split(rest, ".")
	host := ""
	switch len(parts) {
	case 2:
	case 3:
		host, parts = parts[0], parts[1:]
	default:
		return nil, "", false, nil
	}
	service, err := s.services.Services(parts[1]).Get(parts[0])
	if apierrors.IsNotFound(err) {
		return nil, "", false, nil
	}
	if err != nil {
		return nil, "", false, fmt.Errorf("find the Service: %w", err)
	}
	headless := service.Spec.ClusterIP == corev1.ClusterIPNone
	switch {
	case headless:
		return s.endpoints(service, host)
	case host != "":
		return nil, "", false, nil
	case service.Spec.Type == corev1.ServiceTypeExternalName:
		return nil, dns.Fqdn(service.Spec.ExternalName), true, nil
	}
	if address, err := netip.ParseAddr(service.Spec.ClusterIP); err == nil && address.Is4() {
		addresses = append(addresses, address)
	}
	return addresses, "", true, nil
}

// endpoints are the addresses of a headless Service, or of one host of it.
func (s *server) endpoints(service *corev1.Service, host string) (addresses []netip.Addr, alias string, exists bool, err error) {
	selector := labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service.Name})
	slices, err := s.slices.EndpointSlices(service.Namespace).List(selector)
	if err != nil {
		return nil, "", false, fmt.Errorf("list EndpointSlices: %w", err)
	}
	for _, slice := range slices {
		if slice.AddressType != discoveryv1.AddressTypeIPv4 {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			if !serves(service, endpoint) || host != "" && (endpoint.Hostname == nil || *endpoint.Hostname != host) {
				continue
			}
			for _, text := range endpoint.Addresses {
				if address, err := netip.ParseAddr(text); err == nil {
					addresses = append(addresses, address)
				}
			}
		}
	}
	return addresses, "", host == "" || len(addresses) > 0, nil
}

func serves(service *corev1.Service, endpoint discoveryv1.Endpoint) bool {
	ready := endpoint.Conditions.Ready
	return service.Spec.PublishNotReadyAddresses || ready == nil || *ready
}

// isParent says whether names that exist lie below this one.
func isParent(name string) bool {
	return name == zone || name == "svc."+zone
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

// authority lets resolvers remember for a moment that there is no answer.
func authority() *dns.SOA {
	return &dns.SOA{
		Hdr: header(zone, dns.TypeSOA), Ns: "ns.dns." + zone, Mbox: "hostmaster." + zone,
		Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: ttl,
	}
}
