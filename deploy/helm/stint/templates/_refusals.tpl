{{/* What one value says against another; each alone is held by values.schema.json. */}}
{{- define "stint.refusals" -}}
{{- $secret := .Values.database.existingSecret.name }}
{{- if not .Values.insecure }}
{{- fail "insecure: this version has neither TLS nor authentication; set insecure=true to install it where that is accepted" }}
{{- end }}
{{- if and .Values.cloudNativePG.enabled $secret }}
{{- fail "database.existingSecret.name: cloudNativePG.enabled makes a database of its own; set one of them" }}
{{- end }}
{{- if not (or .Values.cloudNativePG.enabled $secret) }}
{{- fail "database.existingSecret.name: name a Secret that holds DATABASE_URL, or set cloudNativePG.enabled=true" }}
{{- end }}
{{- if and .Values.database.existingSecret.directKey (ne (get .Values.settings "STINT_POOLER") "transaction") }}
{{- fail "database.existingSecret.directKey: only behind a pooler; set settings.STINT_POOLER=transaction" }}
{{- end }}
{{- if and .Values.database.existingSecret.directKey .Values.cloudNativePG.enabled }}
{{- fail "database.existingSecret.directKey: cloudNativePG.enabled makes a database of its own" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (lt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas)) }}
{{- fail "autoscaling.maxReplicas: must not be less than autoscaling.minReplicas" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (not (dig "requests" "cpu" "" .Values.resources)) }}
{{- fail "resources.requests.cpu: autoscaling.targetCpuPercent is a share of it; set it" }}
{{- end }}
{{- if eq (int .Values.service.grpcPort) (int .Values.service.adminPort) }}
{{- fail "service.adminPort: must not be service.grpcPort" }}
{{- end }}
{{- if and .Values.cloudNativePG.enabled (ge (int .Values.cloudNativePG.synchronousStandbys) (int .Values.cloudNativePG.instances)) }}
{{- fail "cloudNativePG.synchronousStandbys: must be less than cloudNativePG.instances, one of which is the primary" }}
{{- end }}
{{- if and .Values.keda.enabled (not .Values.keda.workers) }}
{{- fail "keda.workers: name the Deployments to scale, or leave keda.enabled=false" }}
{{- end }}
{{- range .Values.keda.workers }}
{{- if gt (int .minReplicas) (int (.maxReplicas | default 50)) }}
{{- fail (printf "keda.workers: minReplicas of %s must not be more than its maxReplicas" .deployment) }}
{{- end }}
{{- end }}
{{- end }}
