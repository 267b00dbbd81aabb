package configuration_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weighlock/weighlock/configuration"
)

const whole = `apiVersion: weighlock.dev/v1alpha1
kind: Configuration
slack:
  mode: http
  botToken: {file: /etc/weighlock/secrets/bot-token}
  signingSecret: {env: SLACK_SIGNING_SECRET}
  approvers:
  - namespaces: ["team-*"]
    users: [U012AB3CD]
    groups: [S012AB3CD]
  people:
    U012AB3CD: alice@example.com
sinks:
- name: releases
  namespaces: [shop]
  slack: {channel: C012AB3CD, approvals: true}
- name: audit
  webhook:
    url: {file: /etc/weighlock/secrets/audit-url}
    secret: {file: /etc/weighlock/secrets/audit-secret}
    headers:
      Authorization: {env: AUDIT_AUTHORIZATION}
- name: teams
  teams: {url: {file: /t}}
- name: discord
  discord: {url: {file: /d}}
- name: slack-plain
  slackWebhook: {url: {file: /s}}
- name: flux
  flux: {address: "http://notification-controller.flux-system/"}
routes:
- sinks: [audit, flux]
- namespaces: ["team-*"]
  rollouts: ["check*"]
  reasons: [RolledBack, ApprovalNeeded]
  warningsOnly: true
  sinks: [releases]
`

func TestParse_TakesWhatIsDocumented(t *testing.T) {
	got, err := configuration.Parse(strings.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := &configuration.Slack{
		Mode:     configuration.ModeHTTP,
		BotToken: configuration.Secret{File: "/etc/weighlock/secrets/bot-token"}, SigningSecret: configuration.Secret{Env: "SLACK_SIGNING_SECRET"},
		Listen:    ":9798",
		Approvers: []configuration.Approvers{{Namespaces: []string{"team-*"}, Users: []string{"U012AB3CD"}, Groups: []string{"S012AB3CD"}}},
		People:    map[string]string{"U012AB3CD": "alice@example.com"},
	}
	if diff := cmp.Diff(want, got.Slack); diff != "" {
		t.Errorf("slack (-want +got):\n%s", diff)
	}
	if len(got.Sinks) != 6 || !got.Sinks[0].Slack.Approvals || got.Sinks[1].Webhook.Headers["Authorization"].Env != "AUDIT_AUTHORIZATION" || got.Sinks[5].Flux == nil {
		t.Errorf("sinks %+v", got.Sinks)
	}
	if len(got.Routes) != 2 || !got.Routes[1].WarningsOnly || len(got.Routes[1].Reasons) != 2 {
		t.Errorf("routes %+v", got.Routes)
	}
}

// with is the whole configuration with one text replaced.
func with(t *testing.T, old, replacement string) string {
	t.Helper()
	if strings.Count(whole, old) != 1 {
		t.Fatalf("%q is in the configuration %d times", old, strings.Count(whole, old))
	}
	return strings.Replace(whole, old, replacement, 1)
}

func TestParse_SaysWhatIsWrongAndWhere(t *testing.T) {
	for name, test := range map[string]struct{ old, replacement, want string }{
		"another version":           {"apiVersion: weighlock.dev/v1alpha1", "apiVersion: v1", "line 1: apiVersion: write weighlock.dev/v1alpha1"},
		"no kind":                   {"kind: Configuration\n", "", "line 1: kind: write Configuration"},
		"an unknown field":          {"  mode: http", "  mod: http", "line 4: slack.mod: there is no such field, only mode, botToken"},
		"a field twice":             {"  mode: http", "  mode: http\n  mode: http", "line 5: slack.mode: it is there twice"},
		"an unknown mode":           {"mode: http", "mode: rtm", "line 4: slack.mode: want socket"},
		"no signing secret":         {"  signingSecret: {env: SLACK_SIGNING_SECRET}\n", "", "line 3: slack.signingSecret: it is missing"},
		"a secret of another mode":  {"  approvers:", "  appToken: {env: A}\n  approvers:", "line 7: slack.appToken: it is for mode: socket"},
		"a secret in the file":      {"{file: /etc/weighlock/secrets/bot-token}", "xoxb-1-hush", "line 5: slack.botToken: want {file: path} or {env: NAME}: secrets don't stand in this file"},
		"a secret in two places":    {"{env: SLACK_SIGNING_SECRET}", "{env: S, file: /s}", "line 6: slack.signingSecret: it has a file and an env"},
		"a relative path":           {"{file: /t}", "{file: t}", "sinks[2].teams.url.file: want a whole path"},
		"no environment variable":   {"AUDIT_AUTHORIZATION", "A-B", "sinks[1].webhook.headers.Authorization.env: want the name"},
		"a null":                    {"{file: /t}", "", "sinks[2].teams.url: there is no value"},
		"a list for a text":         {"mode: http", "mode: [http]", "line 4: slack.mode: want a text"},
		"a text for a list":         {`["team-*"]` + "\n    users", "all\n    users", "slack.approvers[0].namespaces: want a list"},
		"a text for a boolean":      {"approvals: true", `approvals: "true"`, "sinks[0].slack.approvals: want true or false"},
		"a text for fields":         {"{channel: C012AB3CD, approvals: true}", "C012AB3CD", "line 16: sinks[0].slack: want fields"},
		"a channel's name":          {"channel: C012AB3CD", `channel: "#releases"`, "line 16: sinks[0].slack.channel: want the id of a channel"},
		"a member's name":           {"users: [U012AB3CD]", "users: [alice]", "line 9: slack.approvers[0].users[0]: want the id of a member"},
		"a group's name":            {"groups: [S012AB3CD]", "groups: [ops]", "line 10: slack.approvers[0].groups[0]: want the id of a user group"},
		"approvers of no namespace": {`  - namespaces: ["team-*"]` + "\n    users", "  - users", "line 8: slack.approvers[0].namespaces: name a namespace"},
		"a person without an id":    {"U012AB3CD: alice@", "alice: alice@", "slack.people.alice: want the id"},
		"a person that is a member": {"alice@example.com", `"slack:U1"`, "slack.people.U012AB3CD: want the name of a Kubernetes user"},
		"two kinds":                 {"  teams: {url: {file: /t}}", "  teams: {url: {file: /t}}\n  discord: {url: {file: /t}}", "line 23: sinks[2]: it has teams and discord"},
		"no kind of sink":           {"  teams: {url: {file: /t}}\n", "", "line 23: sinks[2]: it says nothing of where to tell"},
		"one name twice":            {"name: teams", "name: audit", `line 23: sinks[2].name: another sink is called "audit"`},
		"no name":                   {"name: teams", `name: "Te ams"`, "line 23: sinks[2].name: want a name of small letters"},
		"a header of its own":       {"      Authorization", "      content-type", "sinks[1].webhook.headers.content-type: Weighlock writes this header itself"},
		"one header twice":          {"{env: AUDIT_AUTHORIZATION}", "{env: A}\n      authorization: {env: A}", "line 23: sinks[1].webhook.headers.authorization: it is there twice"},
		"one channel twice":         {"name: teams\n  teams: {url: {file: /t}}", "name: teams\n  slack: {channel: C012AB3CD}", `line 24: sinks[2].slack.channel: the sink "releases" is this channel already`},
		"no header":                 {"      Authorization", "      \"a b\"", "sinks[1].webhook.headers.a b: want the name of a header"},
		"no address":                {"http://notification-controller.flux-system/", "notification-controller", "sinks[5].flux.address: want an address"},
		"a password":                {"http://notification-controller", "http://a:b@notification-controller", "sinks[5].flux.address: it holds a name or password"},
		"no pattern":                {`["check*"]`, `["[check"]`, "line 34: routes[1].rollouts[0]: want a name, or a pattern"},
		"an unknown reason":         {"[RolledBack, ", "[rolledback, ", `line 35: routes[1].reasons[0]: "rolledback" is no reason of an event: docs/reasons lists them (is it RolledBack?)`},
		"a condition's reason":      {"[RolledBack, ", "[Holding, ", `line 35: routes[1].reasons[0]: "Holding" is what a condition says, and no event`},
		"an unknown sink":           {"sinks: [releases]", "sinks: [release]", `line 37: routes[1].sinks[0]: there is no sink "release"`},
		"a route to nowhere":        {"- sinks: [audit, flux]", "- sinks: []", "routes[0].sinks: name a sink"},
		"an alias":                  {"name: teams\n  teams: {url: {file: /t}}", "name: &x teams\n  teams: {url: {file: *x}}", "sinks[2].teams.url.file: aliases are not taken"},
		"no YAML":                   {"mode: http", "mode: [", "reading YAML: yaml: line"},
		"two documents":             {"routes:", "---\nroutes:", "more than one YAML document"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := configuration.Parse(strings.NewReader(with(t, test.old, test.replacement)))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("the secret is told: %v", err)
			}
		})
	}
}

func TestParse_RefusesWhatIsEmptyOrTooLarge(t *testing.T) {
	if _, err := configuration.Parse(strings.NewReader("# nothing\n")); err == nil || !strings.Contains(err.Error(), "the file is empty") {
		t.Errorf("empty: %v", err)
	}
	if _, err := configuration.Parse(strings.NewReader(whole + strings.Repeat("# long\n", 200000))); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("too large: %v", err)
	}
}

func TestParse_TellsAllProblemsAtOnce(t *testing.T) {
	_, err := configuration.Parse(strings.NewReader("apiVersion: v1\nkind: X\nroutes:\n- sinks: [b]\n"))
	if err == nil || len(strings.Split(err.Error(), "\n")) != 3 {
		t.Errorf("got %v, want three problems", err)
	}
}

func TestParse_TellsProblemsInTheFilesOrder(t *testing.T) {
	text := strings.NewReplacer("apiVersion: weighlock.dev/v1alpha1", "apiVersion: v2", "U012AB3CD: alice@example.com", "b: x\n    a: x\n    c: x", "name: teams", "name: T").Replace(whole)
	for range 20 { // Maps have no order of their own.
		_, err := configuration.Parse(strings.NewReader(text))
		if err == nil {
			t.Fatal("no error")
		}
		var lines []string
		for line := range strings.SplitSeq(err.Error(), "\n") {
			place, _, _ := strings.Cut(line, ": ")
			lines = append(lines, place)
		}
		if diff := cmp.Diff([]string{"line 1", "line 12", "line 13", "line 14", "line 25"}, lines); diff != "" {
			t.Fatalf("problems (-want +got):\n%s", diff)
		}
	}
}

func TestParse_AnAppWithoutSinksNeedsASinkNoApp(t *testing.T) {
	_, err := configuration.Parse(strings.NewReader("apiVersion: weighlock.dev/v1alpha1\nkind: Configuration\nsinks:\n- name: a\n  slack: {channel: C1}\n"))
	if err == nil || !strings.Contains(err.Error(), "line 5: sinks[0].slack: it needs the Slack app") {
		t.Errorf("got %v", err)
	}
}

func TestSecret_IsReadAnewEachTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	secret := configuration.Secret{File: path}
	for _, text := range []string{"first", "second"} {
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := secret.Value(); err != nil || got != text {
			t.Errorf("got %q and %v, want %q", got, err, text)
		}
	}
	t.Setenv("WEIGHLOCK_TEST_SECRET", "third")
	if got, err := (configuration.Secret{Env: "WEIGHLOCK_TEST_SECRET"}).Value(); err != nil || got != "third" {
		t.Errorf("got %q and %v", got, err)
	}
}

func TestSecret_SaysWhereNothingIs(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, secret := range map[string]configuration.Secret{
		"file " + empty + " is empty":                        {File: empty},
		"environment variable WEIGHLOCK_TEST_UNSET is empty": {Env: "WEIGHLOCK_TEST_UNSET"},
		"/nowhere/token":                                     {File: "/nowhere/token"},
		"no file or env is named":                            {},
	} {
		if _, err := secret.Value(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Reasons that the code has and the list has not could not be routed.
func TestReasons_AreThoseOfTheCode(t *testing.T) {
	var wanted []string
	for path, prefix := range map[string]string{"../api/v1alpha1/reasons.go": "Reason", "../controller/gitsource.go": "reason"} {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			spec, is := node.(*ast.ValueSpec)
			if !is || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, prefix) {
				return true
			}
			if literal, is := spec.Values[0].(*ast.BasicLit); is {
				word, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				wanted = append(wanted, word)
			}
			return true
		})
	}
	slices.Sort(wanted)
	listed := slices.Concat(configuration.Reasons(), configuration.States())
	slices.Sort(listed)
	if diff := cmp.Diff(slices.Compact(wanted), listed); diff != "" {
		t.Errorf("reasons (-in the code +in the configuration):\n%s", diff)
	}
}

// What is taken has no sink without a kind, and no route to nowhere; whatever is written, there is no panic.
func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add(routed)
	f.Add("a: &a [*a]\n")
	f.Add("<<: {kind: x}\n---\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := configuration.Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		if c.APIVersion != configuration.APIVersion || c.Kind != configuration.Kind {
			t.Errorf("took %+v", c)
		}
		for _, sink := range c.Sinks {
			if sink.Slack == nil && sink.SlackWebhook == nil && sink.Webhook == nil && sink.Teams == nil && sink.Discord == nil && sink.Flux == nil {
				t.Errorf("took a sink to nowhere: %+v", sink)
			}
		}
		for _, route := range c.Routes {
			if len(route.Sinks) == 0 {
				t.Errorf("took a route to nowhere: %+v", route)
			}
		}
	})
}
