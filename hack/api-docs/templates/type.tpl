{{- define "type" -}}
{{- $type := . -}}
{{- if markdownShouldRenderType $type }}
### {{ $type.Name }}
{{ if $type.IsAlias }}
A {{ markdownRenderTypeLink $type.UnderlyingType }}.
{{ end }}
{{ $type.Doc }}
{{ if $type.Validation }}
Rules: {{ template "rules" $type.Validation }}.
{{ end }}
{{- if $type.References }}
Part of
{{- range $i, $reference := $type.SortedReferences }}{{ if $i }},{{ end }} {{ markdownRenderTypeLink $reference }}{{ end }}.
{{ end }}
{{- if $type.Members }}
| field | what it is | default | rules |
|---|---|---|---|
{{ if $type.GVK -}}
| `apiVersion` string | `{{ $type.GVK.Group }}/{{ $type.GVK.Version }}` | | |
| `kind` string | `{{ $type.GVK.Kind }}` | | |
{{ end -}}
{{ range $type.Members -}}
| `{{ .Name }}` {{ markdownRenderType .Type }} | {{ template "type_members" . }} | {{ markdownRenderDefault .Default }} | {{ template "rules" .Validation }} |
{{ end -}}
{{ end -}}
{{- end -}}
{{- end -}}
{{- define "rules" -}}
{{- $shown := list -}}
{{- range . -}}
{{- if eq . "Optional: {}" -}}{{- $shown = append $shown "optional" -}}
{{- else if eq . "Required: {}" -}}{{- $shown = append $shown "required" -}}
{{- else if not (or (eq . "Type: string") (hasPrefix "XIntOrString" .)) -}}{{- $shown = append $shown (markdownRenderFieldDoc .) -}}
{{- end -}}
{{- end -}}
{{- join ", " $shown -}}
{{- end -}}
