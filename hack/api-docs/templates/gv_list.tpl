{{- define "gvList" -}}
# API reference

<!-- Written by make generate from the comments in api/; change those. -->
{{ range . }}
{{- template "gvDetails" . }}
{{ end }}
{{- end -}}
