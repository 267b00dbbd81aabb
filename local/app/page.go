package app

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strings"
)

var page = template.Must(template.New("shop").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Shop {{.Version}}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 4rem auto; max-width: 32rem; padding: 0 1rem; color: #1c2430; background: #f6f7f9; }
main { background: #fff; border-radius: .5rem; padding: 2rem; box-shadow: 0 1px 4px #0002; }
b { font-size: 3rem; display: block; line-height: 1.1; }
.failed { color: #b3261e; }
small { color: #5b6675; }
</style>
</head>
<body>
<main>
{{if .Failed}}<p class="failed">This checkout failed.</p>{{else}}<p>Your order is on its way.</p>{{end}}
<b>{{.Version}}</b>
<small>answered this request{{with .Tenant}} of tenant {{.}}{{end}}. Reload to be routed again.</small>
</main>
</body>
</html>
`))

// reply is what the shop says.
type reply struct {
	Version string `json:"version"`
	Tenant  string `json:"tenant,omitempty"`
	Path    string `json:"path"`
	Failed  bool   `json:"failed,omitempty"`
}

// render answers as HTML to browsers, as JSON to who asks for it, and else in
// a line of text.
func (a *App) render(w http.ResponseWriter, r *http.Request, code int) {
	say := reply{Version: a.options.Version, Tenant: r.Header.Get(TenantHeader), Path: r.URL.Path, Failed: code >= http.StatusInternalServerError}
	w.Header().Set("Cache-Control", "no-store")
	accept := r.Header.Get("Accept")
	switch {
	case strings.Contains(accept, "text/html"):
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(code)
		_ = page.Execute(w, say)
	case strings.Contains(accept, "application/json"):
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(say)
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(code)
		if say.Failed {
			_, _ = fmt.Fprintf(w, "%s failed\n", say.Version)
			return
		}
		_, _ = fmt.Fprintf(w, "%s ok\n", say.Version)
	}
}
