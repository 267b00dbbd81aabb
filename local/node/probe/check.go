package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// maxReply bounds how much of a reply is read, in bytes; only its beginning is
// reported.
const (
	maxReply    = 10 << 10
	maxReported = 200
)

// errUnsupported tells a probe that can't be made from one that failed.
var errUnsupported = errors.New("the local node probes by httpGet and tcpSocket only")

// Check makes one probe of a container at a pod's address. The error of a
// failed probe says what was seen.
func Check(ctx context.Context, handler corev1.ProbeHandler, container corev1.Container, podIP string) error {
	switch {
	case handler.HTTPGet != nil:
		return Get(ctx, *handler.HTTPGet, container, podIP)
	case handler.TCPSocket != nil:
		return connect(ctx, *handler.TCPSocket, container, podIP)
	default:
		return errUnsupported
	}
}

// Get makes the HTTP request of a probe or of a lifecycle hook. Replies from
// 200 to 399 are a success; redirects are not followed.
func Get(ctx context.Context, action corev1.HTTPGetAction, container corev1.Container, podIP string) error {
	host, err := hostPort(action.Host, action.Port, container, podIP)
	if err != nil {
		return err
	}
	scheme := "http"
	if action.Scheme != "" {
		scheme = strings.ToLower(string(action.Scheme))
	}
	path := "/" + strings.TrimPrefix(action.Path, "/")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+host+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("make the probe's request: %w", err)
	}
	request.Header.Set("User-Agent", "kube-probe/local")
	for _, header := range action.HTTPHeaders {
		if strings.EqualFold(header.Name, "Host") {
			request.Host = header.Value
		}
		request.Header.Add(header.Name, header.Value)
	}
	return do(request)
}

func do(request *http.Request) error {
	transport := &http.Transport{
		// As a kubelet: what a container serves is known by where it
		// listens, and its certificate is made for other names.
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		DisableKeepAlives: true,
		Proxy:             nil,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	reply, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = reply.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(reply.Body, maxReply))
	if err != nil {
		return fmt.Errorf("read the reply: %w", err)
	}
	if reply.StatusCode >= http.StatusOK && reply.StatusCode < http.StatusBadRequest {
		return nil
	}
	if len(body) > maxReported {
		body = body[:maxReported]
	}
	return fmt.Errorf("HTTP probe failed with statuscode: %d: %s", reply.StatusCode, strings.TrimSpace(string(body)))
}

func connect(ctx context.Context, action corev1.TCPSocketAction, container corev1.Container, podIP string) error {
	host, err := hostPort(action.Host, action.Port, container, podIP)
	if err != nil {
		return err
	}
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	return connection.Close()
}

// hostPort finds the address of an action, whose port may be a name.
func hostPort(host string, port intstr.IntOrString, container corev1.Container, podIP string) (string, error) {
	if host == "" {
		host = podIP
	}
	if port.Type == intstr.Int {
		return net.JoinHostPort(host, port.String()), nil
	}
	for _, p := range container.Ports {
		if p.Name == port.StrVal {
			return net.JoinHostPort(host, fmt.Sprint(p.ContainerPort)), nil
		}
	}
	return "", fmt.Errorf("container %s has no port named %q", container.Name, port.StrVal)
}

// Run probes until the context ends, which it returns after, and calls changed
// with every new result, and with what was seen when it is a Failure. Each
// failed probe is told to failed.
func (s *State) Run(ctx context.Context, check func(context.Context) error, changed func(Result, error), failed func(error)) {
	for {
		timer := time.NewTimer(time.Until(s.Next()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		limited, cancel := context.WithTimeout(ctx, s.Timeout())
		err := check(limited)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failed(err)
		}
		if s.Record(err == nil, time.Now()) {
			changed(s.Result(), err)
		}
	}
}
