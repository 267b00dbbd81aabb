package configuration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
)

// defaultEvery is how often a file is looked at. Mounted ConfigMaps change within a minute or so anyway.
const defaultEvery = 5 * time.Second

// FileOptions say how a file is watched.
type FileOptions struct {
	Clock clock.Clock
	Log   logr.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	// Every is how often the file is looked at. Default 5 s.
	Every time.Duration
	// Amend changes each version that is read, before it is used; nil for none.
	Amend func(*Configuration)
	// OnChange is called with each version but the first; nil for none.
	OnChange func(*Configuration)
	// OnInvalid is called when the file has become invalid, once for each content; nil for none.
	OnInvalid func(error)
}

// File is a configuration file that may change while it is used. What is invalid is told of, and the version before it stays in use.
type File struct {
	path    string
	o       FileOptions
	current atomic.Pointer[Configuration]
	// seen is what was read last, or why nothing could be.
	seen  [sha256.Size]byte
	valid prometheus.Gauge
	loads *prometheus.CounterVec
}

// Open reads a file, which must be valid. Without a path, the configuration is empty for good.
func Open(path string, o FileOptions) (*File, error) {
	if o.Every == 0 {
		o.Every = defaultEvery
	}
	f := &File{
		path: path, o: o,
		valid: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weighlock_configuration_valid", Help: "Whether the configuration file is valid as it stands: 1, or 0 where an older version of it is in use.",
		}),
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weighlock_configuration_loads_total", Help: "How often a version of the configuration file was taken, or refused.",
		}, []string{"result"}),
	}
	// From 0 on, so that the first refusal is an increase.
	f.loads.WithLabelValues("taken")
	f.loads.WithLabelValues("refused")
	if o.Registerer != nil {
		for _, c := range []prometheus.Collector{f.valid, f.loads} {
			if err := o.Registerer.Register(c); err != nil {
				return nil, fmt.Errorf("registering metrics of the configuration: %w", err)
			}
		}
	}
	read := &Configuration{APIVersion: APIVersion, Kind: Kind}
	if path != "" {
		content, err := load(path)
		if err == nil {
			f.seen = sha256.Sum256(content)
			read, err = Parse(bytes.NewReader(content))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		f.loads.WithLabelValues("taken").Inc()
	}
	f.valid.Set(1)
	f.take(read)
	return f, nil
}

// Current is the version in use. It must not be changed.
func (f *File) Current() *Configuration { return f.current.Load() }

// NeedLeaderElection says that each replica reads the file.
func (*File) NeedLeaderElection() bool { return false }

// Start looks at the file from time to time, until the context ends.
func (f *File) Start(ctx context.Context) error {
	if f.path == "" {
		<-ctx.Done()
		return nil
	}
	for {
		timer := f.o.Clock.NewTimer(f.o.Every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
			f.look()
		}
	}
}

// look reads the file, and takes it where it changed and is valid.
func (f *File) look() {
	content, err := load(f.path)
	sum := sha256.Sum256(content)
	if err != nil {
		sum = sha256.Sum256([]byte("error: " + err.Error()))
	}
	if sum == f.seen {
		return
	}
	f.seen = sum
	var read *Configuration
	if err == nil {
		read, err = Parse(bytes.NewReader(content))
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", f.path, err)
		f.valid.Set(0)
		f.loads.WithLabelValues("refused").Inc()
		f.o.Log.Error(err, "the configuration file is invalid, and the version before stays in use")
		if f.o.OnInvalid != nil {
			f.o.OnInvalid(err)
		}
		return
	}
	f.valid.Set(1)
	f.loads.WithLabelValues("taken").Inc()
	f.o.Log.Info("a new version of the configuration file is in use")
	f.take(read)
	if f.o.OnChange != nil {
		f.o.OnChange(read)
	}
}

func (f *File) take(read *Configuration) {
	if f.o.Amend != nil {
		f.o.Amend(read)
	}
	f.current.Store(read)
}

func load(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // The administrator names it.
	if err != nil {
		return nil, fmt.Errorf("opening the configuration: %w", err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, mostRead+1))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return content, nil
}
