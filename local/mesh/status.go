package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/weighlock/weighlock/local/mesh/xds"
)

// maxStatus is the most that is read of a status reply, in bytes.
const maxStatus = 16 << 20

// serveStatus serves `/ready`, which answers 200 once an Envoy is connected
// and has acknowledged routes, and `/status`, an xds.Report as JSON.
func (m *mesh) serveStatus(ctx context.Context, listener net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if r := m.publisher.Report(); r.Proxies == 0 || r.Acknowledged["listeners"] == 0 {
			http.Error(w, "no Envoy has taken its configuration yet", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(m.publisher.Report()); err != nil {
			m.log.V(1).Info("Sending the status failed", "reason", err.Error())
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the status: %w", err)
	}
	return nil
}

// ReadStatus reads the report of the mesh whose status address (host and
// port) is given.
func ReadStatus(ctx context.Context, client *http.Client, address string) (xds.Report, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/status", http.NoBody)
	if err != nil {
		return xds.Report{}, fmt.Errorf("make a status request: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return xds.Report{}, fmt.Errorf("read the mesh's status: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return xds.Report{}, fmt.Errorf("read the mesh's status: %s", response.Status)
	}
	var report xds.Report
	if err := json.NewDecoder(io.LimitReader(response.Body, maxStatus)).Decode(&report); err != nil {
		return xds.Report{}, fmt.Errorf("read the mesh's status: %w", err)
	}
	return report, nil
}
