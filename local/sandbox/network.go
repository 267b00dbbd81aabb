package sandbox

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weighlock/weighlock/local/address"
)

// dialTimeout bounds how long a caller outside waits for a part inside.
const dialTimeout = 10 * time.Second

// setUpNetwork turns the loopback interface on and makes every address of the
// two ranges one of this machine's own.
func setUpNetwork() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("turn the loopback interface on: %w", err)
	}
	for _, cidr := range []string{address.Pods, address.Services} {
		_, ipNet, err := net.ParseCIDR(cidr)
		if err != nil {
			return fmt.Errorf("parse %s: %w", cidr, err)
		}
		route := &netlink.Route{
			LinkIndex: lo.Attrs().Index,
			Dst:       ipNet,
			Table:     unix.RT_TABLE_LOCAL,
			Type:      unix.RTN_LOCAL,
			Scope:     netlink.SCOPE_HOST,
		}
		if err := netlink.RouteAdd(route); err != nil {
			return fmt.Errorf("route %s to the loopback interface: %w", cidr, err)
		}
	}
	return nil
}

// forward serves a port that was opened outside from an address inside.
func forward(ctx context.Context, listener net.Listener, to string) {
	dialer := &net.Dialer{
		Timeout: dialTimeout,
		Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address.DNS)
		}},
	}
	for {
		outer, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = outer.Close() }()
			inner, err := dialer.DialContext(ctx, "tcp", to)
			if err != nil {
				return
			}
			defer func() { _ = inner.Close() }()
			join(outer.(*net.TCPConn), inner.(*net.TCPConn))
		}()
	}
}

// join copies both ways, and passes on which side has finished sending.
func join(a, b *net.TCPConn) {
	var both sync.WaitGroup
	for _, way := range [][2]*net.TCPConn{{a, b}, {b, a}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].CloseWrite()
		})
	}
	both.Wait()
}
