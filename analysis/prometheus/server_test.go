package prometheus_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weighlock/weighlock/internal/prometheustest"
)

// target is what Prometheus scrapes: counters that a test sets.
type target struct {
	*httptest.Server
	mutex   sync.Mutex
	series  map[string]float64
	scrapes int
}

func newTarget(t *testing.T) *target {
	t.Helper()
	made := &target{series: map[string]float64{}}
	made.Server = httptest.NewServer(http.HandlerFunc(func(writer http.ResponseWriter, _ *http.Request) {
		made.mutex.Lock()
		defer made.mutex.Unlock()
		made.scrapes++
		writer.Header().Set("Content-Type", "text/plain; version=0.0.4")
		for name, value := range made.series {
			if _, err := fmt.Fprintf(writer, "%s %g\n", name, value); err != nil {
				t.Log(err)
			}
		}
	}))
	t.Cleanup(made.Close)
	return made
}

// show sets counters, removes those that are negative, and waits until they must have been scraped.
func (s *target) show(t *testing.T, series map[string]float64) {
	t.Helper()
	s.mutex.Lock()
	for name, value := range series {
		if value < 0 {
			delete(s.series, name)
		} else {
			s.series[name] = value
		}
	}
	seen := s.scrapes
	s.mutex.Unlock()
	// The second scrape from now on began after the first, which holds the change, was stored.
	for deadline := time.After(20 * time.Second); ; {
		s.mutex.Lock()
		enough := s.scrapes >= seen+2
		s.mutex.Unlock()
		if enough {
			return
		}
		select {
		case <-deadline:
			t.Fatal("Prometheus does not scrape")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// startPrometheus runs a real server that scrapes the targets, and returns its address.
func startPrometheus(t *testing.T, targets ...*target) string {
	t.Helper()
	var addresses []string
	for _, target := range targets {
		addresses = append(addresses, target.URL)
	}
	return startConfigured(t, "", addresses...)
}

// startConfigured runs one with more in its configuration, such as "  honor_timestamps: false" with a line's end.
func startConfigured(t *testing.T, more string, targets ...string) string {
	t.Helper()
	config := "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs:\n- job_name: test\n" + more + "  static_configs:\n  - targets: ["
	for _, target := range targets {
		config += strings.TrimPrefix(target, "http://") + ", "
	}
	return prometheustest.Start(t, config+"]\n", "--scrape.discovery-reload-interval=100ms") // new targets wait 5s otherwise
}
