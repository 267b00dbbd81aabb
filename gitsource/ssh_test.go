package gitsource_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/weighlock/weighlock/gitsource"
	"github.com/weighlock/weighlock/gitsource/gittest"
)

type keyPair struct {
	signer   ssh.Signer
	identity []byte
}

func newKeyPair(t *testing.T) keyPair {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{signer: signer, identity: pem.EncodeToMemory(block)}
}

// serveSSH lets one key read a repository over ssh, and returns the server's address. served, if any, is called
// when all of an answer is sent.
func serveSSH(t *testing.T, path string, host, user keyPair, served func()) string {
	t.Helper()
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(user.signer.PublicKey().Marshal()) {
			return nil, errors.New("who are you?")
		}
		return &ssh.Permissions{}, nil
	}}
	config.AddHostKey(host.signer)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveConnection(conn, config, path, served)
		}
	}()
	return listener.Addr().String()
}

func serveConnection(conn net.Conn, config *ssh.ServerConfig, path string, served func()) {
	defer func() { _ = conn.Close() }()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		for request := range requests {
			_ = request.Reply(request.Type == "exec", nil)
			if request.Type != "exec" {
				continue
			}
			command := exec.Command("git", "upload-pack", path) // it ends with the connection
			command.Stdin, command.Stdout, command.Stderr = channel, channel, channel.Stderr()
			status := struct{ Status uint32 }{}
			if command.Run() != nil {
				status.Status = 1
			}
			if served != nil {
				served()
			}
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(&status))
			_ = channel.Close()
		}
	}
}

func TestFetch_TrustsOnlyKnownSSHServers(t *testing.T) {
	t.Parallel()
	served := gittest.New(t)
	sha := served.Commit("first", map[string]string{"a": "hello"})
	host, user, stranger := newKeyPair(t), newKeyPair(t), newKeyPair(t)
	address := serveSSH(t, served.Path, host, user, nil)
	known := func(pair keyPair, address string) []byte {
		return []byte(knownhosts.Line([]string{knownhosts.Normalize(address)}, pair.signer.PublicKey()))
	}
	repository := func(data map[string][]byte) gitsource.Repository {
		return gitsource.Repository{
			URL: fmt.Sprintf("ssh://git@%s/shop.git", address), Branch: gittest.Branch, Credentials: gitsource.NewCredentials(data),
		}
	}
	good := repository(map[string][]byte{"identity": user.identity, "known_hosts": known(host, address)})
	fetcher := gitsource.Fetcher{}
	if head, err := fetcher.Head(t.Context(), good); err != nil || head != sha {
		t.Fatalf("Head = %q, %v; want %q", head, err, sha)
	}
	if content, _ := fetched(t, good, "a"); content != "hello" {
		t.Errorf("fetched %q", content)
	}
	for name, data := range map[string]map[string][]byte{
		"another key in known_hosts":  {"identity": user.identity, "known_hosts": known(stranger, address)},
		"another host in known_hosts": {"identity": user.identity, "known_hosts": known(host, "example.com:22")},
		"no known_hosts":              {"identity": user.identity},
		"no identity":                 {"known_hosts": known(host, address)},
		"another identity":            {"identity": stranger.identity, "known_hosts": known(host, address)},
		"a broken identity":           {"identity": []byte("-----BEGIN s3cret"), "known_hosts": known(host, address)},
		"a broken known_hosts":        {"identity": user.identity, "known_hosts": []byte("s3cret")},
	} {
		_, err := fetcher.Head(t.Context(), repository(data))
		if !errors.Is(err, gitsource.ErrCredentials) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestFetch_LeavesNothingWhenItsTimeEndsAtTheLastMoment(t *testing.T) {
	t.Parallel()
	served := gittest.New(t)
	served.Commit("first", map[string]string{"a": "hello"})
	host, user := newKeyPair(t), newKeyPair(t)
	var cancel atomic.Pointer[context.CancelFunc]
	address := serveSSH(t, served.Path, host, user, func() { (*cancel.Load())() })
	repository := gitsource.Repository{
		URL: fmt.Sprintf("ssh://git@%s/shop.git", address), Branch: gittest.Branch,
		Credentials: gitsource.NewCredentials(map[string][]byte{
			"identity":    user.identity,
			"known_hosts": []byte(knownhosts.Line([]string{knownhosts.Normalize(address)}, host.signer.PublicKey())),
		}),
	}
	fetcher := gitsource.Fetcher{Dir: t.TempDir()}
	cut := 0
	for range 20 {
		ctx, stop := context.WithCancel(t.Context())
		cancel.Store(&stop)
		checkout, err := fetcher.Fetch(ctx, repository)
		if err != nil {
			cut++
			continue
		}
		if err := checkout.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if cut == 0 {
		t.Fatal("no fetch was cut short")
	}
	left := func() []os.DirEntry {
		entries, err := os.ReadDir(fetcher.Dir)
		if err != nil {
			t.Fatal(err)
		}
		return entries
	}
	// A clone that is cut short cleans up when it ends.
	for deadline := time.After(30 * time.Second); len(left()) > 0; {
		select {
		case <-deadline:
			t.Fatalf("of %d fetches that were cut short, %d left folders behind", cut, len(left()))
		case <-time.After(10 * time.Millisecond):
		}
	}
}
