package promql_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/weighlock/weighlock/analysis/promql"
	"github.com/weighlock/weighlock/internal/prometheustest"
)

const harmlessValue = "7"

// TestFill_IsReadByPrometheusAsItWasMeant has a real server say what a filled expression is. Whatever the value, it is the
// expression that a harmless value gives, and where that has the harmless one it has this value, or a pattern that matches nothing else.
func TestFill_IsReadByPrometheusAsItWasMeant(t *testing.T) {
	server := prometheus{prometheustest.Start(t, "global: {}\n")}
	compared := 0
	for _, expression := range expressions {
		harmless, err := promql.Fill(expression, map[string]string{"args.x": harmlessValue})
		if err != nil {
			continue
		}
		want, valid := server.parse(t, harmless)
		if !valid {
			continue
		}
		for _, value := range attacks {
			filled, err := promql.Fill(expression, map[string]string{"args.x": value})
			if err != nil || !utf8.ValidString(value) {
				continue
			}
			got, valid := server.parse(t, filled)
			if !valid {
				t.Errorf("%q with %q became %q, which is no PromQL", expression, value, filled)
				continue
			}
			compared++
			if diff := cmp.Diff(meant(want, value), meant(got, harmlessValue)); diff != "" {
				t.Errorf("%q with %q is read otherwise (-want +got):\n%s", expression, value, diff)
			}
		}
	}
	if compared < 3*len(attacks) {
		t.Errorf("only %d expressions were compared", compared)
	}
}

// meant is a parsed expression without its numbers, in whose strings the harmless value is replaced by another one.
func meant(node any, value string) any {
	plain := func(text string) string { return strings.ReplaceAll(text, harmlessValue, value) }
	pattern := func(text string) string { return strings.ReplaceAll(text, harmlessValue, regexp.QuoteMeta(value)) }
	replacement := func(text string) string {
		return strings.ReplaceAll(text, harmlessValue, strings.ReplaceAll(value, "$", "$$"))
	}
	switch node := node.(type) {
	case []any:
		items := make([]any, 0, len(node))
		for _, item := range node {
			items = append(items, meant(item, value))
		}
		return items
	case map[string]any:
		if inner, isNode := node["expr"].(map[string]any); isNode && node["type"] == "parenExpr" && inner["type"] == "numberLiteral" {
			return meant(inner, value) // a negative number's
		}
		result := map[string]any{}
		for key, item := range node {
			text, isText := item.(string)
			kind, _ := node["type"].(string)
			switch {
			case key == "range" || key == "offset" || key == "val" && kind == "numberLiteral":
				result[key] = "a number"
			case isText && key == "value" && strings.HasSuffix(kind, "~"):
				result[key] = pattern(text)
			case isText && (key == "value" || key == "val"):
				result[key] = plain(text)
			default:
				result[key] = meant(item, value)
			}
		}
		if function, called := node["func"].(map[string]any); called && function["name"] == "label_replace" {
			given, args := node["args"].([]any), result["args"].([]any)
			args[2] = replacement(given[2].(map[string]any)["val"].(string))
			args[4] = pattern(given[4].(map[string]any)["val"].(string))
		}
		return result
	default:
		return node
	}
}

// prometheus is a real server.
type prometheus struct{ address string }

// parse returns what the server takes an expression for, if it is one.
func (p prometheus) parse(t *testing.T, expression string) (parsed any, valid bool) {
	t.Helper()
	status, body := p.get(t, "/api/v1/parse_query?query="+url.QueryEscape(expression))
	var answer struct{ Data any }
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return answer.Data, status == http.StatusOK
}

func (p prometheus) get(t *testing.T, path string) (status int, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 10 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}
