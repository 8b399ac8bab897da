{{- define "resilientslice.name" -}}
{{- if .Values.nameOverride -}}
{{- .Values.nameOverride -}}
{{- else if contains "resilientslice" .Release.Name -}}
{{- printf "%s-operator" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-resilientslice-operator" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "resilientslice.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "resilientslice.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The name can't be chosen: the NetworkPolicies of every slice let the operator in by this label. */}}
{{- define "resilientslice.selector" -}}
app.kubernetes.io/name: resilientslice-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "resilientslice.labels" -}}
{{ include "resilientslice.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: resilientslice
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* An image with the registry before it. Takes a list: the root, the image. */}}
{{- define "resilientslice.image" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.registry }}{{ trimSuffix "/" $root.Values.registry }}/{{ end }}{{ index . 1 }}
{{- end -}}

{{- define "resilientslice.operatorImage" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- include "resilientslice.image" (list . (printf "%s@%s" $image.repository $image.digest)) -}}
{{- else -}}
{{- include "resilientslice.image" (list . (printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag))) -}}
{{- end -}}
{{- end -}}

{{/* Rules of a role from a list of files/rules.yaml, without their reasons. */}}
{{- define "resilientslice.rules" -}}
{{- range . }}
- apiGroups: {{ toJson .apiGroups }}
  resources: {{ toJson .resources }}
  verbs: {{ keys .verbs | sortAlpha | toJson }}
{{- end }}
{{- end -}}
