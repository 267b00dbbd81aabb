package slack

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// pingEvery is how often a socket is tried; an app that hears nothing
	// connects anew.
	pingEvery    = 5 * time.Second
	writeTimeout = 2 * time.Second
)

// sockets are the connections by which the app gets what members click.
type sockets struct {
	mu      sync.Mutex
	tickets map[string]bool
	open    []*socket
}

// socket is one of them.
type socket struct {
	connection *websocket.Conn
	mu         sync.Mutex
	waiting    map[string]chan json.RawMessage
}

// connect gives the app an address for a socket.
func (w *Workspace) connect(arguments) (Object, string) {
	at, err := url.Parse(w.options.URL)
	if err != nil {
		return nil, "internal_error"
	}
	at.Scheme = "ws"
	ticket := id("")
	w.sockets.mu.Lock()
	defer w.sockets.mu.Unlock()
	if w.sockets.tickets == nil {
		w.sockets.tickets = map[string]bool{}
	}
	w.sockets.tickets[ticket] = true
	return Object{"url": at.JoinPath("socket", ticket).String()}, ""
}

// serveSocket serves one until it closes.
func (w *Workspace) serveSocket(reply http.ResponseWriter, request *http.Request) {
	ticket := request.PathValue("ticket")
	w.sockets.mu.Lock()
	known := w.sockets.tickets[ticket]
	delete(w.sockets.tickets, ticket)
	w.sockets.mu.Unlock()
	if !known {
		http.Error(reply, "no such ticket", http.StatusForbidden)
		return
	}
	upgrader := websocket.Upgrader{HandshakeTimeout: writeTimeout, CheckOrigin: func(*http.Request) bool { return true }}
	connection, err := upgrader.Upgrade(reply, request, nil)
	if err != nil {
		return
	}
	s := &socket{connection: connection, waiting: map[string]chan json.RawMessage{}}
	defer w.sockets.remove(s)
	if s.write(Object{"type": "hello", "num_connections": w.sockets.add(s), "connection_info": Object{"app_id": App}, "debug_info": Object{"host": "local"}}) != nil {
		return
	}
	stop := make(chan struct{})
	defer close(stop)
	go s.ping(stop)
	s.read()
}

func (s *sockets) add(one *socket) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, one)
	return len(s.open)
}

func (s *sockets) remove(one *socket) {
	_ = one.connection.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.open {
		if other == one {
			s.open = append(s.open[:i:i], s.open[i+1:]...)
			return
		}
	}
}

// count is how many are open.
func (s *sockets) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// drop closes all, as Slack does now and then.
func (s *sockets) drop() {
	s.mu.Lock()
	open := s.open
	s.mu.Unlock()
	for _, one := range open {
		s.remove(one)
	}
}

// deliver tells the app by the newest socket; it says false if there is none.
func (s *sockets) deliver(ctx context.Context, payload []byte) (Delivery, bool) {
	s.mu.Lock()
	if len(s.open) == 0 {
		s.mu.Unlock()
		return Delivery{}, false
	}
	one := s.open[len(s.open)-1]
	s.mu.Unlock()
	begun := time.Now()
	answered := make(chan json.RawMessage, 1)
	envelope := id("E")
	one.mu.Lock()
	one.waiting[envelope] = answered
	one.mu.Unlock()
	d := Delivery{}
	if err := one.write(Object{"type": "interactive", "envelope_id": envelope, "accepts_response_payload": true, "payload": json.RawMessage(payload)}); err != nil {
		d.Problem = err.Error()
		return d, true
	}
	select {
	case body := <-answered:
		d.Status, d.Body = http.StatusOK, string(body)
	case <-time.After(deliveryTimeout):
		d.Problem = "the app did not acknowledge the envelope"
	case <-ctx.Done():
		d.Problem = ctx.Err().Error()
	}
	d.Took = time.Since(begun).Milliseconds()
	return d, true
}

func (s *socket) write(object Object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.connection.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return s.connection.WriteJSON(object)
}

func (s *socket) ping(stop <-chan struct{}) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			if s.connection.WriteControl(websocket.PingMessage, []byte("ping"), time.Now().Add(writeTimeout)) != nil {
				return
			}
		}
	}
}

// read takes acknowledgements until the socket closes.
func (s *socket) read() {
	for {
		var ack struct {
			Envelope string          `json:"envelope_id"`
			Payload  json.RawMessage `json:"payload"`
		}
		if err := s.connection.ReadJSON(&ack); err != nil {
			return
		}
		s.mu.Lock()
		waiting := s.waiting[ack.Envelope]
		delete(s.waiting, ack.Envelope)
		s.mu.Unlock()
		if waiting != nil {
			waiting <- ack.Payload
		}
	}
}
