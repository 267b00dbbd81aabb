package prometheus

import (
	"testing"

	"github.com/prometheus/common/model"

	"github.com/weighlock/weighlock/analysis"
	"github.com/weighlock/weighlock/analysis/promql"
)

var checkout = analysis.Track{Namespace: "shop", Service: "checkout-abc", Workload: "checkout.v2", Port: 8080}

func TestSelector_PutsTheTrackInItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		`http_requests_total{service="{service}"}`:                      `http_requests_total{service="checkout-abc"}`,
		` job:rq { pod =~ "{workload}-[a-z0-9]{2,5}" , a!='b',}`:        `job:rq{pod=~"checkout\\.v2-[a-z0-9]{2,5}",a!="b"}`,
		`{__name__="rq",port="{port}",ns!~` + "`{namespace}|\\d`" + `}`: `rq{port="8080",ns!~"shop|\\d"}`,
		`{"http.requests", "service.name"="{service}"}`:                 `{__name__="http.requests","service.name"="checkout-abc"}`,
		`rq{path="/a\"} or vector(1)",s="{service}"}`:                   `rq{path="/a\"} or vector(1)",s="checkout-abc"}`,
		`rq`:                         `rq{}`,
		`rq{r="/orders/\x7bid}"}`:    `rq{r="/orders/{id}"}`,
		"rq{r=`/a`,s=~`{service}.`}": `rq{r="/a",s=~"checkout-abc."}`,
	} {
		values, err := placeholders(checkout)
		if err != nil {
			t.Fatal(err)
		}
		filled, err := promql.Fill(text, values)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		selector, err := parseSelector(filled)
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

// What is asked for both tracks at once must be told apart by the same rules that a server has.
func TestSelector_MatchesAsAServerDoes(t *testing.T) {
	labels := model.Metric{"a": "x.y", "b": ""}
	for text, want := range map[string]bool{
		`rq{a="x.y"}`: true, `rq{a="x"}`: false, `rq{a!="x"}`: true, `rq{a=~"x.+"}`: true, `rq{a=~"x"}`: false, `rq{a=~"x|x[.]y"}`: true, `rq{a!~"x.*"}`: false,
		`rq{b="",c=""}`: true, `rq{c!=""}`: false, `rq{c=~".*"}`: true, `rq{a="x.y",c="d"}`: false, `rq`: true,
	} {
		selector, err := parseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := selector.matches(labels); got != want {
			t.Errorf("%s matches: %t", text, got)
		}
	}
}

func TestSelector_AsksForBothTracksAtOnce(t *testing.T) {
	for _, test := range [][3]string{
		{`rq{a="x.y",c=~"d"}`, `rq{a="z",c=~"d"}`, `rq{a=~"x\\.y|z",c=~"d"}`},
		{`rq{a=~"x|y"}`, `rq{a=~"z.*"}`, `rq{a=~"(?:x|y)|(?:z.*)"}`},
		{`rq{a!="x"}`, `rq{a!="y"}`, ``},
		{`rq{a="x"}`, `qr{a="y"}`, ``},
		{`rq{a="x"}`, `rq{b="x"}`, ``},
		{`rq{a="x"}`, `rq{a="x",b="y"}`, ``},
	} {
		one, err := parseSelector(test[0])
		if err != nil {
			t.Fatal(err)
		}
		two, err := parseSelector(test[1])
		if err != nil {
			t.Fatal(err)
		}
		both, ok := one.or(two)
		if ok != (test[2] != "") || ok && both.String() != test[2] {
			t.Errorf("%s and %s became %s, %t", test[0], test[1], both, ok)
		}
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
