package prometheus

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/weighlock/weighlock/analysis"
)

var dnsName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// placeholders returns what stands for {service} and its like, by name. Only names that Kubernetes can have
// come into a query.
func placeholders(track analysis.Track) (map[string]string, error) {
	if track.Workload == "" {
		track.Workload = track.Service // for those who have no use for it
	}
	values := map[string]string{
		"namespace": track.Namespace,
		"service":   track.Service,
		"workload":  track.Workload,
	}
	for name, value := range values {
		if !dnsName.MatchString(value) {
			return nil, fmt.Errorf("{%s} can't be %q: it is no name of Kubernetes", name, value)
		}
	}
	if track.Port < 1 || track.Port > 65535 {
		return nil, fmt.Errorf("{port} can't be %d", track.Port)
	}
	values["port"] = strconv.Itoa(int(track.Port))
	return values, nil
}
