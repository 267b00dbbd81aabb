package configuration

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	sinkName    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	member      = regexp.MustCompile(`^[UW][A-Z0-9]+$`)
	memberGroup = regexp.MustCompile(`^S[A-Z0-9]+$`)
	channel     = regexp.MustCompile(`^[CG][A-Z0-9]+$`)
	headerName  = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9_]*$`)
	envName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

func (r *reading) validate(c *Configuration) {
	if c.APIVersion != APIVersion {
		r.report("apiVersion", "write %s", APIVersion)
	}
	if c.Kind != Kind {
		r.report("kind", "write %s", Kind)
	}
	if c.Slack != nil {
		r.validateSlack(c.Slack)
	}
	names, channels := map[string]bool{}, map[string]string{}
	for i := range c.Sinks {
		at := fmt.Sprintf("sinks[%d]", i)
		sink := &c.Sinks[i]
		if sink.Slack != nil {
			// Both would keep the same message, and tell everything twice in its thread.
			if other, twice := channels[sink.Slack.Channel]; twice {
				r.report(at+".slack.channel", "the sink %q is this channel already: name that one", other)
			}
			channels[sink.Slack.Channel] = sink.Name
		}
		if !sinkName.MatchString(sink.Name) {
			r.report(at+".name", "want a name of small letters, digits and dashes, of 63 characters at most")
		} else if names[sink.Name] {
			r.report(at+".name", "another sink is called %q: each needs a name of its own", sink.Name)
		}
		names[sink.Name] = true
		r.validateSink(at, sink, c.Slack != nil)
	}
	for i := range c.Routes {
		at := fmt.Sprintf("routes[%d]", i)
		route := &c.Routes[i]
		r.patterns(at+".namespaces", route.Namespaces)
		r.patterns(at+".rollouts", route.Rollouts)
		for j, reason := range route.Reasons {
			switch {
			case slices.Contains(reasons, reason):
			case slices.Contains(states, reason):
				r.report(fmt.Sprintf("%s.reasons[%d]", at, j), "%q is what a condition says, and no event: choose another, see docs/reasons", reason)
			default:
				r.report(fmt.Sprintf("%s.reasons[%d]", at, j), "%q is no reason of an event: docs/reasons lists them%s", reason, meant(reason, reasons))
			}
		}
		if len(route.Sinks) == 0 {
			r.report(at+".sinks", "name a sink at least")
		}
		for j, name := range route.Sinks {
			if !names[name] {
				r.report(fmt.Sprintf("%s.sinks[%d]", at, j), "there is no sink %q", name)
			}
		}
	}
}

func (r *reading) validateSlack(s *Slack) {
	r.secret("slack.botToken", s.BotToken, true)
	r.secret("slack.appToken", s.AppToken, s.Mode == ModeSocket)
	r.secret("slack.signingSecret", s.SigningSecret, s.Mode == ModeHTTP)
	switch s.Mode {
	case ModeSocket:
		if s.SigningSecret.IsSet() {
			r.report("slack.signingSecret", "it is for mode: http: leave it out")
		}
		if s.Listen != "" {
			r.report("slack.listen", "it is for mode: http: leave it out")
		}
	case ModeHTTP:
		if s.AppToken.IsSet() {
			r.report("slack.appToken", "it is for mode: socket: leave it out")
		}
		if _, _, err := net.SplitHostPort(s.Listen); err != nil {
			r.report("slack.listen", "want an address such as :9798")
		}
	default:
		r.report("slack.mode", "want socket (Weighlock connects to Slack) or http (Slack calls Weighlock)")
	}
	if s.APIURL != "" {
		r.address("slack.apiURL", s.APIURL)
		if !strings.HasSuffix(s.APIURL, "/") {
			r.report("slack.apiURL", "want a slash at its end")
		}
	}
	for i, a := range s.Approvers {
		at := fmt.Sprintf("slack.approvers[%d]", i)
		if len(a.Namespaces) == 0 {
			r.report(at+".namespaces", `name a namespace at least, or write ["*"] for all`)
		}
		r.patterns(at+".namespaces", a.Namespaces)
		if len(a.Users)+len(a.Groups) == 0 {
			r.report(at, "name a user or a group at least")
		}
		r.each(at+".users", a.Users, member, "want the id of a member, such as U012AB3CD: it is in the member's profile in Slack")
		r.each(at+".groups", a.Groups, memberGroup, "want the id of a user group, such as S012AB3CD")
	}
	for id, user := range s.People {
		if !member.MatchString(id) {
			r.report("slack.people."+id, "want the id of a member before the colon, such as U012AB3CD")
		}
		if user == "" || strings.HasPrefix(user, "slack:") {
			r.report("slack.people."+id, "want the name of a Kubernetes user")
		}
	}
}

func (r *reading) validateSink(at string, s *Sink, app bool) {
	r.patterns(at+".namespaces", s.Namespaces)
	var kinds []string
	kind := func(name string, set bool) bool {
		if set {
			kinds = append(kinds, name)
		}
		return set
	}
	if kind("slack", s.Slack != nil) {
		if !channel.MatchString(s.Slack.Channel) {
			r.report(at+".slack.channel", "want the id of a channel, such as C012AB3CD: Slack shows it at the end of the channel's details")
		}
		if !app {
			r.report(at+".slack", "it needs the Slack app: describe that under slack, or use a slackWebhook")
		}
	}
	if kind("slackWebhook", s.SlackWebhook != nil) {
		r.secret(at+".slackWebhook.url", s.SlackWebhook.URL, true)
	}
	if kind("webhook", s.Webhook != nil) {
		r.secret(at+".webhook.url", s.Webhook.URL, true)
		r.secret(at+".webhook.secret", s.Webhook.Secret, false)
		seen := map[string]bool{}
		for _, name := range slices.Sorted(maps.Keys(s.Webhook.Headers)) {
			value := s.Webhook.Headers[name]
			r.header(at+".webhook.headers."+name, name)
			if canonical := http.CanonicalHeaderKey(name); seen[canonical] {
				r.report(at+".webhook.headers."+name, "it is there twice: letter case makes no difference")
			} else {
				seen[canonical] = true
			}
			r.secret(at+".webhook.headers."+name, value, true)
		}
	}
	if kind("teams", s.Teams != nil) {
		r.secret(at+".teams.url", s.Teams.URL, true)
	}
	if kind("discord", s.Discord != nil) {
		r.secret(at+".discord.url", s.Discord.URL, true)
	}
	if kind("flux", s.Flux != nil) {
		r.address(at+".flux.address", s.Flux.Address)
	}
	switch len(kinds) {
	case 0:
		r.report(at, "it says nothing of where to tell: add slack, slackWebhook, webhook, teams, discord or flux")
	case 1:
	default:
		r.report(at, "it has %s: make a sink of each", strings.Join(kinds, " and "))
	}
}

// reserved are headers that Weighlock writes itself.
var reserved = []string{"Content-Length", "Content-Type", "Host", "Transfer-Encoding", "User-Agent", "Weighlock-Signature"}

func (r *reading) header(at, name string) {
	if !headerName.MatchString(name) {
		r.report(at, "want the name of a header, such as Authorization")
	} else if slices.Contains(reserved, http.CanonicalHeaderKey(name)) {
		r.report(at, "Weighlock writes this header itself: leave it out")
	}
}

func (r *reading) secret(at string, s Secret, needed bool) {
	switch {
	case s.File != "" && s.Env != "":
		r.report(at, "it has a file and an env: leave one out")
	case s.Env != "" && !envName.MatchString(s.Env):
		r.report(at+".env", "want the name of an environment variable")
	case s.File != "" && !path.IsAbs(s.File):
		r.report(at+".file", "want a whole path, such as /etc/weighlock/secrets/token")
	case needed && !s.IsSet():
		r.report(at, "it is missing: write {file: path} or {env: NAME}")
	}
}

func (r *reading) address(at, text string) {
	if err := CheckAddress(text); err != nil {
		r.report(at, "%s", err)
	}
}

// CheckAddress says what is wrong with an address that may stand in the file. The error doesn't repeat it.
func CheckAddress(text string) error {
	parsed, err := url.Parse(text)
	switch {
	case err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "":
		return errors.New("want an address such as https://example.com/")
	case parsed.User != nil:
		return errors.New("it holds a name or password: leave them out")
	}
	return nil
}

func (r *reading) patterns(at string, patterns []string) {
	for i, pattern := range patterns {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			r.report(fmt.Sprintf("%s[%d]", at, i), "want a name, or a pattern such as team-*")
		}
	}
}

func (r *reading) each(at string, texts []string, form *regexp.Regexp, message string) {
	for i, text := range texts {
		if !form.MatchString(text) {
			r.report(fmt.Sprintf("%s[%d]", at, i), "%s", message)
		}
	}
}

// meant suggests the word that differs in letter case only.
func meant(word string, known []string) string {
	for _, other := range known {
		if strings.EqualFold(word, other) {
			return " (is it " + other + "?)"
		}
	}
	return ""
}
