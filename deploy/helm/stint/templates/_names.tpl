{{- define "stint.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Room is left for the longest suffix, "-dashboard". */}}
{{- define "stint.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- else if contains (include "stint.name" .) .Release.Name }}
{{- .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "stint.name" .) | trunc 53 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "stint.selectorLabels" -}}
app.kubernetes.io/name: {{ include "stint.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{/* Of what is not selected by the services: no component. */}}
{{- define "stint.commonLabels" -}}
app.kubernetes.io/name: {{ include "stint.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "stint.labels" -}}
{{ include "stint.commonLabels" . }}
app.kubernetes.io/component: server
{{- end }}

{{- define "stint.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "stint.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "stint.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "stint.postgresCluster" -}}
{{ include "stint.fullname" . }}-postgres
{{- end }}

{{- /* What Prometheus calls the replicas of this release: by it they are told from those of another. */}}
{{- define "stint.job" -}}
{{ .Release.Namespace }}/{{ include "stint.fullname" . }}
{{- end }}
