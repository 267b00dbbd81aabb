package prometheus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"k8s.io/utils/clock"
)

const (
	// remembered is how long an answer is good for others who ask the same, and mostRemembered how many samples such answers may have.
	remembered     = time.Second
	mostRemembered = 50_000
	// mostReplicas is how many addresses one server may have.
	mostReplicas = 8
)

// server is a Prometheus, or several that have scraped the same. One of them is asked until it fails.
type server struct {
	address  string
	replicas []*replica
	clock    clock.PassiveClock
	timeout  time.Duration
	// replicaLabels tell who scraped a series.
	replicaLabels []model.LabelName
	used          time.Time

	mutex   sync.Mutex
	working int // the index of the replica that answered last
	flights map[string]*flight
}

// flight is a question that has been asked.
type flight struct {
	landed chan struct{}
	at     time.Time
	answer model.Value
	err    error
}

func newServer(address string, options Options, metrics *metrics) (*server, error) {
	made := &server{address: address, clock: options.Clock, timeout: options.Timeout, flights: map[string]*flight{}}
	for _, name := range options.ReplicaLabels {
		made.replicaLabels = append(made.replicaLabels, model.LabelName(name))
	}
	for one := range strings.SplitSeq(address, ",") {
		replica, err := newReplica(strings.TrimSpace(one), options, metrics)
		if err != nil {
			return nil, err
		}
		made.replicas = append(made.replicas, replica)
	}
	if len(made.replicas) > mostReplicas {
		return nil, fmt.Errorf("has %d addresses: %d are the most", len(made.replicas), mostReplicas)
	}
	return made, nil
}

func (s *server) close() {
	for _, replica := range s.replicas {
		replica.transport.CloseIdleConnections()
	}
}

// vector asks for a value of each series.
func (s *server) vector(ctx context.Context, query string, at model.Time) (model.Vector, error) {
	value, err := s.ask(ctx, question{query: query, at: at, vector: true})
	if err != nil {
		return nil, err
	}
	return value.(model.Vector), nil //nolint:forcetypeassert // A replica's answer is of the kind that was asked for.
}

// matrix asks for the samples of a range. The answer is shared: it must not be written to.
func (s *server) matrix(ctx context.Context, query string, at model.Time) (model.Matrix, error) {
	value, err := s.ask(ctx, question{query: query, at: at})
	if err != nil {
		return nil, err
	}
	return value.(model.Matrix), nil //nolint:forcetypeassert // As above.
}

// values asks for the values at several moments. The answer is shared as well.
func (s *server) values(ctx context.Context, query string, moments promv1.Range) (model.Matrix, error) {
	value, err := s.ask(ctx, question{query: query, moments: &moments})
	if err != nil {
		return nil, err
	}
	return value.(model.Matrix), nil //nolint:forcetypeassert // As above.
}

// ask asks what has not just been asked by somebody else.
func (s *server) ask(ctx context.Context, question question) (model.Value, error) {
	key := question.key()
	s.mutex.Lock()
	s.land()
	known := s.flights[key]
	if known == nil {
		known = &flight{landed: make(chan struct{})}
		s.flights[key] = known
		// Others may wait for it, and it ends in time of itself.
		go s.fly(context.WithoutCancel(ctx), key, known, question)
	}
	s.mutex.Unlock()
	select {
	case <-known.landed:
		return known.answer, known.err
	case <-ctx.Done():
		return nil, fmt.Errorf("asking Prometheus at %s: %w", s.names(), ctx.Err())
	}
}

func (s *server) fly(ctx context.Context, key string, flight *flight, question question) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(1+len(s.replicas))*s.timeout)
	defer cancel()
	flight.answer, flight.err = s.askInTurn(ctx, question)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	flight.at = s.clock.Now()
	if flight.err != nil || samplesOf(flight.answer) > mostRemembered {
		delete(s.flights, key)
	}
	close(flight.landed)
}

// land forgets old answers.
func (s *server) land() {
	now := s.clock.Now()
	for key, flight := range s.flights {
		if !flight.at.IsZero() && now.Sub(flight.at) >= remembered {
			delete(s.flights, key)
		}
	}
}

// askInTurn asks the replica that worked last, and the others if it fails.
func (s *server) askInTurn(ctx context.Context, question question) (model.Value, error) {
	s.mutex.Lock()
	first := s.working
	s.mutex.Unlock()
	var failures []error
	for i := range s.replicas {
		index := (first + i) % len(s.replicas)
		replica := s.replicas[index]
		answer, err := replica.ask(ctx, question)
		if err == nil {
			s.mutex.Lock()
			s.working = index
			s.mutex.Unlock()
			return answer, nil
		}
		err = fmt.Errorf("asking Prometheus at %s: %w", replica.name, err)
		if refused, ok := errors.AsType[*refusal](err); ok && !refused.slow && (refused.wrong || refused.tooMuch) {
			return nil, err // the others would say the same
		}
		failures = append(failures, err)
	}
	return nil, join(failures)
}

// join writes several errors in one line.
func join(failures []error) error {
	if len(failures) == 1 {
		return failures[0]
	}
	return joined(failures)
}

type joined []error

// Error returns all of them.
func (j joined) Error() string {
	texts := make([]string, len(j))
	for i, err := range j {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns the errors.
func (j joined) Unwrap() []error { return j }

func (s *server) names() string {
	var names []string
	for _, replica := range s.replicas {
		names = append(names, replica.name)
	}
	return strings.Join(names, ", ")
}

func samplesOf(value model.Value) int {
	switch value := value.(type) {
	case model.Vector:
		return len(value)
	case model.Matrix:
		sum := 0
		for _, series := range value {
			sum += len(series.Values) + 50*len(series.Histograms)
		}
		return sum
	default:
		return 0
	}
}
