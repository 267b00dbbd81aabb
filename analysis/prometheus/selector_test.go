package prometheus

import (
	"strings"
	"testing"

	"github.com/weighlock/weighlock/analysis"
)

var checkout = analysis.Track{Namespace: "shop", Service: "checkout-abc", Workload: "checkout.v2", Port: 8080}

func TestSelector_PutsTheTrackInItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		`http_requests_total{service="{service}"}`:                      `http_requests_total{service="checkout-abc"}`,
		` job:rq { pod =~ "{workload}-[a-z0-9]{2,5}" , a!='b',}`:        `job:rq{pod=~"checkout\\.v2-[a-z0-9]{2,5}",a!="b"}`,
		`{__name__="rq",port="{port}",ns!~` + "`{namespace}|\\d`" + `}`: `rq{port="8080",ns!~"shop|\\d"}`,
		`{"http.requests", "service.name"="{service}"}`:                 `{__name__="http.requests","service.name"="checkout-abc"}`,
		`rq{path="/a\"} or vector(1)",s="{service}"}`:                   `rq{path="/a\"} or vector(1)",s="checkout-abc"}`,
		`rq`: `rq{}`,
	} {
		template, err := parseSelector(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		values, err := placeholders(checkout)
		if err != nil {
			t.Fatal(err)
		}
		selector, err := template.replace(values)
		if err != nil || selector.String() != want {
			t.Errorf("%s became %s (%v), want %s", text, selector, err, want)
		}
	}
}

func TestSelector_RefusesAllElse(t *testing.T) {
	for _, text := range []string{
		``, `{}`, `{a="b"}`, `rate(rq{service="{service}"}[5m])`, `rq{a="b"}[5m]`, `rq{a="b"} or rq`, `rq{a="b"} offset 5m`, `rq{a="b"}, rq`, `rq{a="b"`,
		`rq{a="b}`, `rq{a=b}`, `rq{a=="b"}`, `rq{a}`, `rq{a="b" c="d"}`, `rq{="b"}`, `rq{a=~"("}`, `rq{__name__="other"}`, `{__name__=~"rq|qr"}`, `rq{a="\q"}`, `rq # {`,
	} {
		if selector, err := parseSelector(text); err == nil {
			t.Errorf("%s was read as %s", text, selector)
		}
	}
}

func TestSelector_RefusesUnknownPlaceholders(t *testing.T) {
	template, err := parseSelector(`rq{service="{svc}"}`)
	if err != nil {
		t.Fatal(err)
	}
	values, err := placeholders(checkout)
	if err != nil {
		t.Fatal(err)
	}
	if selector, err := template.replace(values); err == nil || !strings.Contains(err.Error(), "{svc}") {
		t.Errorf("got %s, %v", selector, err)
	}
}

func TestPlaceholders_RefusesWhatIsNoNameOfKubernetes(t *testing.T) {
	for _, name := range []string{"", `a"} or vector(1)`, "a|b", "-a", "A", ".*", "a\n"} {
		track := checkout
		track.Service = name
		if values, err := placeholders(track); err == nil {
			t.Errorf("%q became %v", name, values)
		}
	}
}

func FuzzSelector(f *testing.F) {
	f.Add(`rq{a="b",c=~'d{2}'}`)
	f.Add("{\"x\",`y`=\"z\"}")
	f.Fuzz(func(t *testing.T, text string) {
		first, err := parseSelector(text)
		if err != nil {
			return
		}
		second, err := parseSelector(first.String())
		if err != nil || second.String() != first.String() {
			t.Errorf("%q was written as %q, and that read as %q, %v", text, first, second, err)
		}
	})
}
