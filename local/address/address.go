// Package address is the address plan of the local stack. Inside the stack's
// network namespace every address of Pods and Services belongs to the machine
// itself, so that any process can listen on any of them.
package address

// The two ranges that are routed to the loopback interface.
const (
	// Pods is the range that pod addresses are handed out from.
	Pods = "10.244.0.0/16"
	// FirstPod is the first pod address; the others follow it.
	FirstPod = "10.244.0.2"
	// Services is the range of the Services' cluster addresses.
	Services = "10.96.0.0/16"
)

// The Kubernetes control plane.
const (
	// Etcd is where etcd serves its clients, in plain text.
	Etcd = "127.0.0.1:2379"
	// EtcdPeer is where etcd would serve its peers.
	EtcdPeer = "127.0.0.1:2380"
	// APIServerIP is the cluster address of the kubernetes Service; the API
	// server itself listens there, so that clients in pods work as anywhere.
	APIServerIP = "10.96.0.1"
	// APIServerPort is the API server's port.
	APIServerPort = "443"
	// APIServer is the API server's host and port.
	APIServer = APIServerIP + ":" + APIServerPort
)

// The cluster's DNS server.
const (
	// DNSIP is the address in every pod's resolv.conf.
	DNSIP = "10.96.0.10"
	// DNS serves both udp and tcp.
	DNS = DNSIP + ":53"
	// ClusterDomain ends the name of every Service.
	ClusterDomain = "cluster.local"
)

// Prometheus, and the Service that gives it a name.
const (
	PrometheusIP        = "10.96.0.20"
	PrometheusPort      = "9090"
	Prometheus          = PrometheusIP + ":" + PrometheusPort
	PrometheusNamespace = "monitoring"
	PrometheusService   = "prometheus"
	PrometheusURL       = "http://" + PrometheusService + "." + PrometheusNamespace + ".svc." + ClusterDomain + ":" + PrometheusPort
)

// Git over http, and the Service that gives it a name.
const (
	GitIP        = "10.96.0.21"
	GitPort      = "80"
	Git          = GitIP + ":" + GitPort
	GitNamespace = "git"
	GitService   = "git"
	// GitURL is the server's address as pods know it, without a repository.
	GitURL = "http://" + GitService + "." + GitNamespace + ".svc." + ClusterDomain
	// ShopRepository is the repository that the demo commits to.
	ShopRepository = "shop.git"
	ShopURL        = GitURL + "/" + ShopRepository
)

// The mesh and its proxy.
const (
	// MeshXDS is where the mesh serves Envoy its configuration.
	MeshXDS = "127.0.0.1:15010"
	// EnvoyAdmin is Envoy's admin interface; /stats/prometheus is scraped.
	EnvoyAdminIP   = "10.96.0.30"
	EnvoyAdminPort = "15000"
	EnvoyAdmin     = EnvoyAdminIP + ":" + EnvoyAdminPort
	// MeshStatus is where the mesh says what Envoy has taken.
	MeshStatusIP   = "10.96.0.31"
	MeshStatusPort = "15014"
	MeshStatus     = MeshStatusIP + ":" + MeshStatusPort
)

// The stand-in for Slack, and the Service that gives it a name.
const (
	SlackIP        = "10.96.0.22"
	SlackPort      = "80"
	Slack          = SlackIP + ":" + SlackPort
	SlackNamespace = "chat"
	SlackService   = "slack"
	SlackURL       = "http://" + SlackService + "." + SlackNamespace + ".svc." + ClusterDomain
)

// The demo shop.
const (
	ShopNamespace = "shop"
	ShopService   = "shop"
	ShopPort      = "80"
	Shop          = ShopService + "." + ShopNamespace + ".svc." + ClusterDomain + ":" + ShopPort
)

// Images that the node knows; a tag does not matter.
const (
	WeighlockImage = "ghcr.io/weighlock/weighlock"
	ShopImage      = "ghcr.io/weighlock/demo-shop"
	LoadImage      = "ghcr.io/weighlock/load"
)
