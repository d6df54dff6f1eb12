{{- define "modelyard.fullname" -}}
{{- if contains "modelyard" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-modelyard" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "modelyard.selector" -}}
app.kubernetes.io/name: modelyard
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "modelyard.labels" -}}
{{ include "modelyard.selector" . }}
app.kubernetes.io/part-of: modelyard
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "modelyard.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "modelyard.fullname" .) -}}
{{- end -}}

{{- /* The operator as the API server knows it: what policies let write status and what serves. */ -}}
{{- define "modelyard.user" -}}
{{- printf "system:serviceaccount:%s:%s" .Release.Namespace (include "modelyard.serviceAccount" .) -}}
{{- end -}}

{{- define "modelyard.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{- /* The Secret with the key that signs the ledger's records. */ -}}
{{- define "modelyard.keySecret" -}}
{{- .Values.ledger.keySecret | default (printf "%s-ledger-key" (include "modelyard.fullname" .)) -}}
{{- end -}}

{{- /* What the operator may do where it watches: exactly what its code calls. tests/chart holds the same as a table. */ -}}
{{- define "modelyard.rules" -}}
# `create` brings back from the ledger what was lost, for which the policies also ask for `register`, `govern` and `alias`, and is what the
# probe tries every minute as a dry run, which the policies must refuse. `promote` for a stage's `autoPromote`.
- apiGroups: [modelyard.dev]
  resources: [models]
  verbs: [list, watch, create, promote, register, govern, alias]
- apiGroups: [modelyard.dev]
  resources: [modelversions]
  verbs: [list, watch, create]
# What a stage's `autoPromote` asks for.
- apiGroups: [modelyard.dev]
  resources: [promotions]
  verbs: [list, watch, create]
- apiGroups: [modelyard.dev]
  resources: [models/status, modelversions/status, promotions/status]
  verbs: [patch]
# What serves: applied from the Model's template, removed when the stage or the Model is retired.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
# What the init container of a serving pod fetches, put back when somebody deletes it, deleted when no rollout needs it; and a Model's
# `storage.caBundle`. Of ConfigMaps that are listed and watched, only those with our labels, and only their metadata.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
# Why a rollout does not come up.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# A Model's `storage.credentials`, by name.
- apiGroups: [""]
  resources: [secrets]
  {{- with .Values.rbac.secretNames }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
# Whether what is gone was lost, or went with its namespace.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end -}}
