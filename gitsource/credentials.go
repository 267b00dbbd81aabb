package gitsource

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"
)

// The keys of a Secret with credentials. They are those that Flux uses, so that a
// Secret can be shared.
const (
	keyUsername     = "username"
	keyPassword     = "password"
	keyBearerToken  = "bearerToken"
	keyCA           = "caFile"
	keyCAAlternate  = "ca.crt"
	keyIdentity     = "identity"
	keyKnownHosts   = "known_hosts"
	sshDialTimeout  = 30 * time.Second
	defaultGitUser  = "git"
	defaultHTTPUser = "git"
)

// ErrCredentials is the error of credentials that are missing, can't be used, or are
// refused by the server.
var ErrCredentials = errors.New("authentication failed")

// Credentials are what a repository asks for. They print as nothing.
type Credentials struct {
	username, password, bearerToken string
	ca, identity, knownHosts        []byte
}

// String keeps the credentials out of whatever prints them.
func (Credentials) String() string { return "(credentials)" }

// GoString keeps the credentials out of whatever prints them.
func (c Credentials) GoString() string { return c.String() }

// NewCredentials takes credentials from the data of a Secret: username and password, or
// bearerToken, and caFile for http and https; identity and known_hosts for ssh, with password for
// an encrypted identity.
func NewCredentials(data map[string][]byte) *Credentials {
	ca := data[keyCA]
	if len(ca) == 0 {
		ca = data[keyCAAlternate]
	}
	return &Credentials{
		username:    string(data[keyUsername]),
		password:    string(data[keyPassword]),
		bearerToken: strings.TrimSpace(string(data[keyBearerToken])),
		ca:          ca,
		identity:    data[keyIdentity],
		knownHosts:  data[keyKnownHosts],
	}
}

// access is what go-git needs to reach a repository.
type access struct {
	auth transport.AuthMethod
	ca   []byte
	ssh  bool
}

// newAccess checks the credentials against the URL. dir is where a file may be
// written for a moment.
func newAccess(rawURL string, credentials *Credentials, dir string) (*access, error) {
	address, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("the URL of the repository can't be parsed")
	}
	switch address.Scheme {
	case "http", "https":
		return httpAccess(address, credentials)
	case "ssh":
		return sshAccess(address, credentials, dir)
	default:
		return nil, fmt.Errorf("the URL's scheme is %q: http, https and ssh are supported", address.Scheme)
	}
}

func httpAccess(address *url.URL, credentials *Credentials) (*access, error) {
	if address.User != nil {
		return nil, fmt.Errorf("%w: the URL must not hold credentials: put them into a Secret", ErrCredentials)
	}
	if credentials == nil {
		return &access{}, nil
	}
	result := &access{ca: credentials.ca}
	if len(credentials.ca) > 0 && !x509.NewCertPool().AppendCertsFromPEM(credentials.ca) {
		return nil, fmt.Errorf("%w: %s of the Secret holds no PEM certificate", ErrCredentials, keyCA)
	}
	switch {
	case credentials.bearerToken != "":
		result.auth = &githttp.TokenAuth{Token: credentials.bearerToken}
	case credentials.password != "":
		username := credentials.username
		if username == "" {
			username = defaultHTTPUser
		}
		result.auth = &githttp.BasicAuth{Username: username, Password: credentials.password}
	case credentials.username != "":
		return nil, fmt.Errorf("%w: the Secret has %s but no %s", ErrCredentials, keyUsername, keyPassword)
	}
	return result, nil
}

func sshAccess(address *url.URL, credentials *Credentials, dir string) (*access, error) {
	if credentials == nil || len(credentials.identity) == 0 || len(credentials.knownHosts) == 0 {
		return nil, fmt.Errorf("%w: an ssh URL needs a Secret with %s and %s", ErrCredentials, keyIdentity, keyKnownHosts)
	}
	user := defaultGitUser
	if address.User != nil && address.User.Username() != "" {
		user = address.User.Username()
	}
	keys, err := gitssh.NewPublicKeys(user, credentials.identity, credentials.password)
	if err != nil {
		// The parser's own words could quote the key.
		return nil, fmt.Errorf("%w: %s of the Secret is no private key, or %s does not open it", ErrCredentials, keyIdentity, keyPassword)
	}
	file, err := os.CreateTemp(dir, "known_hosts-")
	if err != nil {
		return nil, fmt.Errorf("write known_hosts: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = file.Write(credentials.knownHosts)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("write known_hosts: %w", err)
	}
	known, err := gitssh.NewKnownHostsDb(file.Name())
	if err != nil {
		return nil, fmt.Errorf("%w: %s of the Secret can't be parsed", ErrCredentials, keyKnownHosts)
	}
	port := address.Port()
	if port == "" {
		port = fmt.Sprint(gitssh.DefaultPort)
	}
	keys.HostKeyCallback = known.HostKeyCallback()
	// Only the kinds of key that known_hosts has are asked for: the server may have others
	// that it would rather show.
	keys.HostKeyAlgorithms = known.HostKeyAlgorithms(net.JoinHostPort(address.Hostname(), port))
	if len(keys.HostKeyAlgorithms) == 0 {
		return nil, fmt.Errorf("%w: %s of the Secret has no key of %s", ErrCredentials, keyKnownHosts, address.Host)
	}
	return &access{auth: &timedKeys{PublicKeys: keys}, ssh: true}, nil
}

// timedKeys bounds how long a connection may take to be made.
type timedKeys struct {
	*gitssh.PublicKeys
}

// ClientConfig implements gitssh.AuthMethod.
func (k *timedKeys) ClientConfig() (*ssh.ClientConfig, error) {
	config, err := k.PublicKeys.ClientConfig()
	if err != nil {
		return nil, err
	}
	config.Timeout = sshDialTimeout
	return config, nil
}

// within runs what may ignore its context, as go-git's ssh handshake does, and returns
// when the context ends at the latest.
func within(ctx context.Context, run func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
