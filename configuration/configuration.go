package configuration

// APIVersion and Kind of the file.
const (
	APIVersion = "weighlock.dev/v1alpha1"
	Kind       = "Configuration"
)

// Configuration is what the file says.
type Configuration struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	// Slack is the app by which people are asked in Slack; nil where there is none.
	Slack *Slack `yaml:"slack"`
	// Sinks are where it can be told.
	Sinks []Sink `yaml:"sinks"`
	// Routes say what is told where. All that match apply.
	Routes []Route `yaml:"routes"`
}

// Modes in which Slack tells of clicks.
const (
	// ModeSocket is a connection that the leader opens: no address of the cluster need be reachable from outside.
	ModeSocket = "socket"
	// ModeHTTP is a signed request to an address of the cluster.
	ModeHTTP = "http"
)

// Slack is a Slack app.
type Slack struct {
	// Mode is socket or http.
	Mode string `yaml:"mode"`
	// BotToken is the app's own token (xoxb-...).
	BotToken Secret `yaml:"botToken"`
	// AppToken opens connections in Socket Mode (xapp-...). Only for the mode socket.
	AppToken Secret `yaml:"appToken"`
	// SigningSecret tells Slack's requests from forged ones. Only for the mode http.
	SigningSecret Secret `yaml:"signingSecret"`
	// Listen is the address that takes Slack's requests. Only for the mode http; default :9798.
	Listen string `yaml:"listen"`
	// APIURL is the address of Slack's Web API, with a slash at its end. Default Slack's own.
	APIURL string `yaml:"apiURL"`
	// Approvers are who may approve steps that name no approvers of their own, and who may abort.
	Approvers []Approvers `yaml:"approvers"`
	// People are the Kubernetes users that members of Slack are, by the member's id.
	People map[string]string `yaml:"people"`
}

// Approvers are members of Slack who may decide on rollouts in some namespaces.
type Approvers struct {
	// Namespaces are patterns such as team-*. At least one.
	Namespaces []string `yaml:"namespaces"`
	// Users are ids of members (U...), Groups ids of user groups (S...).
	Users  []string `yaml:"users"`
	Groups []string `yaml:"groups"`
}

// Sink is where it can be told. One of its kinds is set.
type Sink struct {
	// Name of the sink, for routes, annotations and metrics.
	Name string `yaml:"name"`
	// Namespaces are patterns of those whose Rollouts may name the sink in their annotation. None where empty.
	Namespaces []string `yaml:"namespaces"`

	Slack        *SlackChannel `yaml:"slack"`
	SlackWebhook *SlackWebhook `yaml:"slackWebhook"`
	Webhook      *Webhook      `yaml:"webhook"`
	Teams        *Teams        `yaml:"teams"`
	Discord      *Discord      `yaml:"discord"`
	Flux         *Flux         `yaml:"flux"`
}

// SlackChannel is a channel that the Slack app tells.
type SlackChannel struct {
	// Channel is its id (C..., or G... for old private ones).
	Channel string `yaml:"channel"`
	// Approvals says that steps can be approved and aborted there, by buttons.
	Approvals bool `yaml:"approvals"`
}

// SlackWebhook is an incoming webhook of Slack, or of what understands its messages.
type SlackWebhook struct {
	URL Secret `yaml:"url"`
}

// Webhook takes CloudEvents.
type Webhook struct {
	URL Secret `yaml:"url"`
	// Secret signs what is sent; not signed where it isn't set.
	Secret Secret `yaml:"secret"`
	// Headers are sent with each request.
	Headers map[string]Secret `yaml:"headers"`
}

// Teams is a workflow of Microsoft Teams that posts what it gets in a channel.
type Teams struct {
	URL Secret `yaml:"url"`
}

// Discord is a webhook of a Discord channel.
type Discord struct {
	URL Secret `yaml:"url"`
}

// Flux is a receiver of events in Flux's form, such as its notification-controller.
type Flux struct {
	Address string `yaml:"address"`
}

// Route says what is told to which sinks. What is empty matches everything.
type Route struct {
	// Namespaces and Rollouts are patterns such as team-*. A route that names Rollouts tells of nothing else.
	Namespaces []string `yaml:"namespaces"`
	Rollouts   []string `yaml:"rollouts"`
	// Reasons of events, such as RolledBack.
	Reasons []string `yaml:"reasons"`
	// WarningsOnly leaves out what isn't a warning.
	WarningsOnly bool `yaml:"warningsOnly"`
	// Sinks by their names.
	Sinks []string `yaml:"sinks"`
}
