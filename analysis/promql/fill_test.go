package promql_test

import (
	"strings"
	"testing"

	"github.com/weighlock/weighlock/analysis/promql"
)

var values = map[string]string{
	"service": "checkout-abc", "candidate.workload": "checkout.v2", "port": "8080",
	"args.window": "5m", "args.max": "0.5", "args.low": "-3", "args.path": `/a"b\c{service}`, "args.price": "$1", "args.quote": "it's `so`\n",
}

func TestFill_PutsValuesIntoTheirPlaces(t *testing.T) {
	for text, want := range map[string]string{
		`rq`: `rq`,
		`rate(rq{service="{service}",port='{port}'}[5m])`:    `rate(rq{service="checkout-abc",port='8080'}[5m])`,
		`rq{pod=~"{candidate.workload}-[a-z0-9]{2,5}"}`:      `rq{pod=~"checkout\\.v2-[a-z0-9]{2,5}"}`,
		`rq{pod !~ "{candidate.workload}"}`:                  `rq{pod !~ "checkout\\.v2"}`,
		`rq{pod =~ # why` + "\n" + `'{candidate.workload}'}`: `rq{pod =~ # why` + "\n" + `'checkout\\.v2'}`,
		`{__name__="rq",service="{service}"}`:                `{__name__="rq",service="checkout-abc"}`,
		`{"rq",service="{service}"}`:                         `{"rq",service="checkout-abc"}`,
		// In each kind of string a value is written as that kind needs it, and a brace of a value is nobody's placeholder.
		`rq{path="{args.path}"}`:            `rq{path="/a\"b\\c\x7bservice}"}`,
		`rq{path='{args.path}'}`:            `rq{path='/a"b\\c\x7bservice}'}`,
		"rq{path=`\\d\"{args.path}`}":       `rq{path="\\d\"/a\"b\\c\x7bservice}"}`,
		`rq{path='{args.quote}'}`:           `rq{path='it\'s ` + "`so`" + `\n'}`,
		"rq{path=`{args.quote}`}":           `rq{path="it's ` + "`so`" + `\n"}`,
		`rq{path=~"{args.path}"}`:           `rq{path=~"/a\"b\\\\c\\\x7bservice\\}"}`,
		`rq{path="\"{service}\\{service}`:   ``,
		`rq{path="\"{service}\\{service}"}`: `rq{path="\"checkout-abc\\checkout-abc"}`,
		// Braces that are no placeholders stay.
		`rq{path="/orders/\x7bid}",code=~"[45][0-9]{2}"}`: `rq{path="/orders/\x7bid}",code=~"[45][0-9]{2}"}`,
		"rq{path=`/{N}`,code=`{1}`} or up{}":              "rq{path=`/{N}`,code=`{1}`} or up{}",
		// Outside of strings numbers and durations can stand, and a sign never becomes an operator.
		`rate(rq[{args.window}]) > {args.max}`:      `rate(rq[5m]) > 0.5`,
		`rq offset {args.window} * ({args.low})`:    `rq offset 5m * ((-3))`,
		`up {args.low}`:                             `up (-3)`,
		`rq[{port}s]`:                               `rq[8080s]`,
		"rq # {nothing} \"is 'filled\n + {port} #'": "rq # {nothing} \"is 'filled\n + 8080 #'",
		// label_replace has a pattern, and a replacement with groups of its own.
		`label_replace(rq{a=~"{port}",b="x,y"}, "dst", "{args.price} ${name} $1", "src", "(?P<name>.*){candidate.workload}")`: `label_replace(rq{a=~"8080",b="x,y"}, "dst", "$$1 ${name} $1", "src", "(?P<name>.*)checkout\\.v2")`,
		`label_join(rq, "{candidate.workload}", "a", "b", "{candidate.workload}")`:                                            `label_join(rq, "checkout.v2", "a", "b", "checkout.v2")`,
	} {
		got, err := promql.Fill(text, values)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%s\nbecame %s (%v)\nwant   %s", text, got, err, want)
		}
	}
}

func TestFill_SaysWhatItCantDo(t *testing.T) {
	for text, words := range map[string]string{
		`rq{service="{svc}"}`:                                    "has an unknown placeholder {svc}: there are {args.low}, {args.max}, {args.path}, {args.price}, {args.quote}, {args.window}, {candidate.workload}, {port}, {service}",
		`rq{service="{Service}{service.x}"}`:                     "unknown placeholder {service.x}",
		`{service}`:                                              `only a number or a duration can stand, and "checkout-abc" is neither`,
		`rate(rq[{args.low}])`:                                   `and "-3" is neither`,
		`rq offset {args.low}m`:                                  `and "-3" is neither`,
		`rq[{args.window}{args.max}]`:                            "has {args.max} as a part of a name",
		`rq{args.window}`:                                        "has {args.window} as a part of a name",
		`rq{service="{service}`:                                  "has a string that does not end",
		"rq{service=\"\n{service}\"}":                            "has a string that does not end",
		`rq{service='{service}\'}`:                               "has a string that does not end",
		`rq{service="\{service}"}`:                               "has a backslash before {service}",
		`rq{service='\\\{service}'}`:                             "has a backslash before {service}",
		`rq{service=~"\\{service}"}`:                             "has a backslash before {service}",
		"rq{service=~`\\{service}`}":                             "has a backslash before {service}",
		`label_replace(rq, "dst", "${args.price}", "src", ".*")`: "has a $ before {args.price}",
	} {
		got, err := promql.Fill(text, values)
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s became %q (%v), want an error that says %q", text, got, err, words)
		}
	}
	if _, err := promql.Fill(`rq{service="{svc}"}`, nil); err == nil || !strings.Contains(err.Error(), "there are none here") {
		t.Errorf("got %v", err)
	}
}

func TestFillOnly_LeavesOthersForLater(t *testing.T) {
	text := `rate(rq{service="{service}",path="{args.path}"}[{args.window}]) / {port}`
	first, err := promql.FillOnly("args.", text, values)
	if want := `rate(rq{service="{service}",path="/a\"b\\c\x7bservice}"}[5m]) / {port}`; err != nil || first != want {
		t.Fatalf("became %s (%v), want %s", first, err, want)
	}
	second, err := promql.Fill(first, map[string]string{"service": "checkout", "port": "80"})
	if want := `rate(rq{service="checkout",path="/a\"b\\c\x7bservice}"}[5m]) / 80`; err != nil || second != want {
		t.Errorf("became %s (%v), want %s", second, err, want)
	}
	if _, err := promql.FillOnly("args.", `rq{a="{args.b}"}`, nil); err == nil {
		t.Error("an argument that is not given was left")
	}
}

func TestFillText_EscapesNothing(t *testing.T) {
	got, err := promql.FillText("", "{service}|{args.path}", values)
	if want := `checkout-abc|/a"b\c{service}`; err != nil || got != want {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
	if _, err := promql.FillText("", "{svc}", values); err == nil {
		t.Error("an unknown placeholder was left")
	}
	if got, err := promql.FillText("args.", "{args.max}{service}", values); err != nil || got != "0.5{service}" {
		t.Errorf("got %s (%v)", got, err)
	}
}
