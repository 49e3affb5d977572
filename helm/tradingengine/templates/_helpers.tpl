{{- define "tradingengine.name" -}}
{{- if contains "tradingengine" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-tradingengine" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tradingengine.selector" -}}
app.kubernetes.io/name: tradingengine-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tradingengine.labels" -}}
{{ include "tradingengine.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "tradingengine.image" -}}
{{- with .Values.image.registry }}{{ . }}/{{ end }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion -}}
{{- end -}}

{{- define "tradingengine.registry" -}}
{{- .Values.images.registry | default .Values.image.registry -}}
{{- end -}}

{{- define "tradingengine.postgres" -}}
{{- if .Values.images.postgres -}}
{{- .Values.images.postgres -}}
{{- else -}}
{{- with include "tradingengine.registry" . }}{{ . }}/{{ end }}tradingengine-postgres:{{ .Chart.AppVersion -}}
{{- end -}}
{{- end -}}

{{- define "tradingengine.namespaces" -}}
{{- .Values.watchNamespaces | default (list .Release.Namespace) | sortAlpha | join "," -}}
{{- end -}}

{{- define "tradingengine.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "tradingengine.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "tradingengine.requesterPolicy" -}}
{{- printf "%s-%s-requester" .Release.Namespace (include "tradingengine.name" .) -}}
{{- end -}}

{{- /* Whether who asks is stamped: MutatingAdmissionPolicy is v1 from 1.36 on, and the operator looks it up by name. */ -}}
{{- define "tradingengine.stamps" -}}
{{- and .Values.clusterRole.enabled (semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
