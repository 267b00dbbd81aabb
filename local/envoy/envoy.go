// Package envoy says how to run the Envoy of the local stack.
package envoy

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"

	"github.com/weighlock/weighlock/local/address"
)

// Config is what an Envoy is started with. Addresses are host:port.
type Config struct {
	// Node names this Envoy to its control plane. Default "local".
	Node string
	// Admin is where the admin interface and /stats/prometheus listen.
	// Default address.EnvoyAdmin.
	Admin string
	// XDS is the control plane's address. Default address.MeshXDS.
	XDS string
	// LogLevel is one of Envoy's. Default "warning".
	LogLevel string
}

func (c Config) withDefaults() Config {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&c.Node, "local")
	set(&c.Admin, address.EnvoyAdmin)
	set(&c.XDS, address.MeshXDS)
	set(&c.LogLevel, "warning")
	return c
}

// Args are the arguments of the Envoy program. The bootstrap is among them, so
// that there is no file to leave behind.
func Args(c Config) ([]string, error) {
	c = c.withDefaults()
	bootstrap, err := Bootstrap(c)
	if err != nil {
		return nil, err
	}
	return []string{
		"--config-yaml", string(bootstrap),
		"--concurrency", "1",
		// Two Envoys on one machine would share memory under one base id.
		"--use-dynamic-base-id",
		"--disable-hot-restart",
		"--drain-time-s", "10",
		"--log-level", c.LogLevel,
	}, nil
}

type object = map[string]any

// Bootstrap is Envoy's bootstrap configuration as JSON.
func Bootstrap(c Config) ([]byte, error) {
	c = c.withDefaults()
	admin, err := socket(c.Admin)
	if err != nil {
		return nil, fmt.Errorf("read the admin address: %w", err)
	}
	xds, err := socket(c.XDS)
	if err != nil {
		return nil, fmt.Errorf("read the control plane's address: %w", err)
	}
	overADS := object{"ads": object{}, "resource_api_version": "V3"}
	bootstrap := object{
		"node":  object{"id": c.Node, "cluster": c.Node},
		"admin": object{"address": admin},
		// Histograms are merged once per flush; analysis reads them every few
		// seconds, and Envoy's default of 5 s would have it wait.
		"stats_flush_interval": "1s",
		"dynamic_resources": object{
			"ads_config": object{
				"api_type": "GRPC", "transport_api_version": "V3",
				"grpc_services": []object{{"envoy_grpc": object{"cluster_name": "xds"}}},
			},
			"cds_config": overADS,
			"lds_config": overADS,
		},
		"static_resources": object{"clusters": []object{{
			"name": "xds", "type": "STATIC", "connect_timeout": "1s",
			"typed_extension_protocol_options": object{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
				"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				"explicit_http_config": object{"http2_protocol_options": object{}},
			}},
			"load_assignment": object{
				"cluster_name": "xds",
				"endpoints":    []object{{"lb_endpoints": []object{{"endpoint": object{"address": xds}}}}},
			},
		}}},
	}
	out, err := json.Marshal(bootstrap)
	if err != nil {
		return nil, fmt.Errorf("encode the bootstrap: %w", err)
	}
	return out, nil
}

func socket(hostPort string) (object, error) {
	host, text, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, fmt.Errorf("split %q: %w", hostPort, err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("read the port of %q: %w", hostPort, err)
	}
	return object{"socket_address": object{"address": host, "port_value": port}}, nil
}
