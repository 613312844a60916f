{{/* What the service and its migrations share, so that both see the same database from the same image. */}}

{{- define "stint.databaseUrl" -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      {{- if .Values.cloudNativePG.enabled }}
      name: {{ include "stint.postgresCluster" . }}-app
      key: uri
      {{- else }}
      name: {{ .Values.database.existingSecret.name }}
      key: {{ .Values.database.existingSecret.key }}
      {{- end }}
{{- with .Values.database.existingSecret.directKey }}
- name: STINT_DIRECT_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.database.existingSecret.name }}
      key: {{ . }}
{{- end }}
{{- end }}

{{- define "stint.podSecurityContext" -}}
runAsNonRoot: true
{{- with .Values.runAsUser }}
runAsUser: {{ . }}
{{- end }}
{{- with .Values.runAsGroup }}
runAsGroup: {{ . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "stint.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "stint.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Helm reads a number as a float, and writes a large one with an exponent. Whatever else is left as it is. */}}
{{- define "stint.number" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- define "stint.settings" -}}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ include "stint.number" $value | quote }}
{{- end }}
{{- end }}

{{/* Counted within one revision, or a rolling update would spread its pods by those that are about to go. */}}
{{- define "stint.topologySpread" -}}
{{- $places := list }}
{{- if ne .Values.topologySpread.zones "Off" }}
{{- $places = append $places (list "topology.kubernetes.io/zone" .Values.topologySpread.zones) }}
{{- end }}
{{- if ne .Values.topologySpread.hosts "Off" }}
{{- $places = append $places (list "kubernetes.io/hostname" .Values.topologySpread.hosts) }}
{{- end }}
{{- with $places }}
topologySpreadConstraints:
  {{- range . }}
  - topologyKey: {{ index . 0 }}
    whenUnsatisfiable: {{ index . 1 }}
    maxSkew: 1
    labelSelector:
      matchLabels:
        {{- include "stint.selectorLabels" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}
