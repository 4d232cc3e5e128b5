{{/*
`helm upgrade --reuse-values` takes all values from the chart of before, so keys that are newer are missing. Each template
begins with this: a key that is absent gets its default. What has names of its own keeps exactly those that it has.
*/}}
{{- define "openhands-sandbox.defaults" -}}
{{- $unsized := and .Values.gateway (not (dig "replicas" 0 (.Values.gateway | default dict))) }}
{{- include "openhands-sandbox.fill" (dict "values" .Values "defaults" (.Files.Get "files/defaults.json" | fromJson)) }}
{{- /* Every chart has had this one, so who has none does not want it. */}}
{{- if $unsized }}
{{- $_ := unset .Values.gateway "replicas" }}
{{- end }}
{{- include "openhands-sandbox.convertEgress" . }}
{{- include "openhands-sandbox.addAnyImage" . }}
{{- end }}

{{- define "openhands-sandbox.addAnyImage" -}}
{{- if and .Values.anyImage.agentServerImage .Values.sandboxClasses }}
{{- $brings := dict "agentServer" (dict "image" .Values.anyImage.agentServerImage "delivery" .Values.anyImage.delivery) }}
{{- $base := deepCopy (get .Values.sandboxClasses "default" | default dict) }}
{{- $own := get .Values.sandboxClasses "any-image" | default dict }}
{{- $_ := set .Values.sandboxClasses "any-image" (mergeOverwrite $base $brings $own) }}
{{- end }}
{{- end }}

{{- define "openhands-sandbox.fill" -}}
{{- range $key, $default := .defaults }}
{{- if not (hasKey $.values $key) }}
{{- $_ := set $.values $key $default }}
{{- else if and (kindIs "map" $default) (not (has $key (list "resources" "sandboxClasses" "egressProfiles"))) }}
{{- include "openhands-sandbox.fill" (dict "values" (index $.values $key) "defaults" $default) }}
{{- end }}
{{- end }}
{{- end }}

{{/* What charts before egress profiles said of all sandboxes is said of the profile that their classes have. */}}
{{- define "openhands-sandbox.convertEgress" -}}
{{- $sandbox := .Values.networkPolicy.sandbox }}
{{- $profiles := .Values.networkPolicy.egressProfiles }}
{{- if or (eq (dig "internet" true $sandbox) false) $sandbox.extraEgress }}
{{- $profile := deepCopy (get $profiles "Internet" | default dict) }}
{{- if eq (dig "internet" true $sandbox) false }}
{{- $_ := set $profile "internet" false }}
{{- end }}
{{- $_ := set $profile "rules" (concat ($profile.rules | default list) ($sandbox.extraEgress | default list)) }}
{{- $_ := set $profiles "Internet" $profile }}
{{- end }}
{{- $_ := unset $sandbox "internet" }}
{{- $_ := unset $sandbox "extraEgress" }}
{{- end }}

{{/* Number of gateways, if the chart says one: neither an autoscaler nor `gateway.replicas` null. */}}
{{- define "openhands-sandbox.fixedReplicas" -}}
{{- if not .Values.gateway.autoscaling.enabled }}
{{- .Values.gateway.replicas | default "" }}
{{- end }}
{{- end }}

{{/*
What the Deployment of the gateway has as `replicas`; empty: nothing. A field that Helm has set before and leaves out now goes
back to 1, so the present number stays as long as it is Helm's: always where Helm merges on the client's side.
*/}}
{{- define "openhands-sandbox.gatewayReplicas" -}}
{{- $fixed := include "openhands-sandbox.fixedReplicas" . }}
{{- if $fixed }}
{{- $fixed }}
{{- else }}
{{- $name := printf "%s-gateway" (include "openhands-sandbox.fullname" .) }}
{{- $live := lookup "apps/v1" "Deployment" .Release.Namespace $name | default dict }}
{{- $applied := false }}
{{- $others := false }}
{{- range dig "metadata" "managedFields" (list) $live }}
{{- $isHelm := hasPrefix "helm" .manager }}
{{- if and $isHelm (eq .operation "Apply") }}
{{- $applied = true }}
{{- end }}
{{- if and (not $isHelm) (hasKey (dig "fieldsV1" "f:spec" (dict) .) "f:replicas") }}
{{- $others = true }}
{{- end }}
{{- end }}
{{- if and $live (not (and $applied $others)) }}
{{- dig "spec" "replicas" "" $live }}
{{- end }}
{{- end }}
{{- end }}

{{/* Chart name, or what nameOverride says. */}}
{{- define "openhands-sandbox.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* Prefix of the names of all objects: 50 characters leave room for the longest suffix in a DNS label. */}}
{{- define "openhands-sandbox.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := include "openhands-sandbox.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Labels by which a component's pods are selected. Argument: (dict "root" $ "component" "gateway"). */}}
{{- define "openhands-sandbox.selectorLabels" -}}
app.kubernetes.io/name: {{ include "openhands-sandbox.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* All standard labels. Argument as above; without a component for what belongs to the whole release. */}}
{{- define "openhands-sandbox.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "openhands-sandbox.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: openhands-sandbox
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{- define "openhands-sandbox.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "openhands-sandbox.masterKeySecret" -}}
{{ .Values.masterKey.existingSecret | default (printf "%s-master-key" (include "openhands-sandbox.fullname" .)) }}
{{- end }}

{{- define "openhands-sandbox.namingKeySecret" -}}
{{ printf "%s-naming-key" (include "openhands-sandbox.fullname" .) }}
{{- end }}

{{/*
"true" if gateways shall read the naming key. Not in the upgrade from a chart without it: gateways of that chart still run
beside the new ones, and would not find sandboxes by names that they do not know. Gateways since mount a projection.
*/}}
{{- define "openhands-sandbox.readsNamingKey" -}}
{{- $name := printf "%s-gateway" (include "openhands-sandbox.fullname" .) }}
{{- $running := lookup "apps/v1" "Deployment" .Release.Namespace $name | default dict }}
{{- $reads := not $running }}
{{- range dig "spec" "template" "spec" "volumes" (list) $running }}
{{- if and (eq .name "master-key") .projected }}
{{- $reads = true }}
{{- end }}
{{- end }}
{{- if and $reads (not .Values.masterKey.existingSecret) }}true{{ end }}
{{- end }}

{{/* Name of the Secret with the clear API key; empty when the chart knows none. */}}
{{- define "openhands-sandbox.apiKeySecret" -}}
{{- if .Values.apiKey.create -}}
{{ .Values.apiKey.existingSecret | default (printf "%s-api-key" (include "openhands-sandbox.fullname" .)) }}
{{- end -}}
{{- end }}

{{/* The label that marks everything of a sandbox. */}}
{{- define "openhands-sandbox.sandboxSelector" -}}
matchExpressions:
  - key: sandbox.openhands.dev/sandbox
    operator: Exists
{{- end }}

{{/* Both security contexts meet the Pod Security level `restricted`; the root file system is read-only besides. */}}
{{- define "openhands-sandbox.podSecurityContext" -}}
runAsNonRoot: true
{{- if not .Values.omitIds }}
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "openhands-sandbox.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop:
    - ALL
{{- end }}

{{/* Annotations of a component's pods. Argument: (dict "root" $ "values" .Values.gateway). */}}
{{- define "openhands-sandbox.podAnnotations" -}}
{{- $annotations := dict }}
{{- if .root.Values.monitoring.scrapeAnnotations }}
{{- $annotations = dict "prometheus.io/scrape" "true" "prometheus.io/port" "8081" "prometheus.io/path" "/metrics" }}
{{- end }}
{{- with mergeOverwrite $annotations (.values.podAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What Prometheus scrapes: operator and gateway, but not the pod of `helm test`. */}}
{{- define "openhands-sandbox.scrapedSelector" -}}
matchLabels:
  app.kubernetes.io/name: {{ include "openhands-sandbox.name" . }}
  app.kubernetes.io/instance: {{ .Release.Name }}
matchExpressions:
  - key: app.kubernetes.io/component
    operator: In
    values: [operator, gateway]
{{- end }}

{{/* How Prometheus scrapes it. Argument: values of a monitor. */}}
{{- define "openhands-sandbox.scrape" -}}
port: health
interval: {{ .interval }}
scrapeTimeout: {{ .scrapeTimeout }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Scheduling of one component. Argument: its values. */}}
{{- define "openhands-sandbox.scheduling" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Probes of both components. A busy event loop may be late, so only a minute of silence restarts a container. */}}
{{- define "openhands-sandbox.probes" -}}
livenessProbe:
  httpGet:
    path: /healthz
    port: health
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: health
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 3
{{- end }}

{{/* Egress rule: DNS. */}}
{{- define "openhands-sandbox.egressToDNS" -}}
- to:
    {{- toYaml .Values.networkPolicy.dns.to | nindent 4 }}
  ports:
    {{- range .Values.networkPolicy.dns.ports }}
    - port: {{ . }}
      protocol: UDP
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}

{{/* Egress rule: the API server, whose address no selector can give. */}}
{{- define "openhands-sandbox.egressToAPIServer" -}}
- ports:
    {{- range .Values.networkPolicy.apiServer.ports }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with .Values.networkPolicy.apiServer.cidrs }}
  to:
    {{- range . }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
  {{- end }}
{{- end }}

{{/* Egress rule: the collector of traces, if there is one. */}}
{{- define "openhands-sandbox.egressToCollector" -}}
{{- if .Values.tracing.endpoint }}
- ports:
    {{- range .Values.networkPolicy.collector.ports }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with .Values.networkPolicy.collector.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Variables of OpenTelemetry, if there is a collector. */}}
{{- define "openhands-sandbox.tracing" -}}
{{- with .Values.tracing }}
{{- if .endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_TRACES_SAMPLER
  value: parentbased_traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .sampleRatio | quote }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name={{ $.Release.Namespace }},k8s.pod.name=$(POD_NAME)
{{- end }}
{{- end }}
{{- end }}

{{/*
What an untrusted process must not reach by address: IANA's special-purpose ranges, and 168.63.129.16, at which Azure
serves credentials to its machines.
*/}}
{{- define "openhands-sandbox.deniedIPv4" -}}
- 0.0.0.0/8
- 10.0.0.0/8
- 100.64.0.0/10
- 127.0.0.0/8
- 168.63.129.16/32
- 169.254.0.0/16
- 172.16.0.0/12
- 192.0.0.0/24
- 192.168.0.0/16
- 198.18.0.0/15
- 224.0.0.0/4
- 240.0.0.0/4
{{- end }}

{{- define "openhands-sandbox.deniedIPv6" -}}
- ::/96
- 64:ff9b::/96
- 64:ff9b:1::/48
- fc00::/7
- fe80::/10
- ff00::/8
{{- end }}

{{/* One pattern of `allowedImages` as a condition of the admission policy. */}}
{{- define "openhands-sandbox.imageRule" -}}
{{- $version := regexFind "[:@][^/]*$" . }}
{{- $name := regexReplaceAll "^index\\.docker\\.io/" (trimSuffix $version .) "docker.io/" }}
{{- $name = regexReplaceAll "^docker\\.io/([^/*]+)$" $name "docker.io/library/${1}" }}
{{- if hasSuffix "*" $name }}
{{- printf "variables.name.startsWith(%s)" (trimSuffix "*" $name | toJson) }}
{{- else }}
{{- printf "variables.name == %s" ($name | toJson) }}
{{- end }}
{{- if hasSuffix "*" $version }}
{{- printf " && variables.version.startsWith(%s)" (trimSuffix "*" $version | toJson) }}
{{- else if $version }}
{{- printf " && variables.version == %s" ($version | toJson) }}
{{- end }}
{{- end }}

{{/* `allowedImages` for people, as far as there is room in a message. */}}
{{- define "openhands-sandbox.toldImages" -}}
{{- $text := join ", " .Values.allowedImages }}
{{- if gt (len $text) 1000 }}
{{- $text = printf "%s ..." (trunc 1000 $text) }}
{{- end }}
{{- $text }}
{{- end }}

{{/* Egress rules of one profile. Argument: (dict "root" $ "profile" ...). */}}
{{- define "openhands-sandbox.egressOfProfile" -}}
{{- if ne .profile.dns false }}
{{ include "openhands-sandbox.egressToDNS" .root }}
{{- end }}
{{- if or .profile.internet .profile.cidrs }}
- to:
    {{- if .profile.internet }}
    - ipBlock:
        cidr: 0.0.0.0/0
        except:
          {{- include "openhands-sandbox.deniedIPv4" .root | nindent 10 }}
          {{- range .root.Values.networkPolicy.sandbox.deniedCIDRs }}
          {{- if not (contains ":" .) }}
          - {{ . }}
          {{- end }}
          {{- end }}
    - ipBlock:
        cidr: ::/0
        except:
          {{- include "openhands-sandbox.deniedIPv6" .root | nindent 10 }}
          {{- range .root.Values.networkPolicy.sandbox.deniedCIDRs }}
          {{- if contains ":" . }}
          - {{ . }}
          {{- end }}
          {{- end }}
    {{- end }}
    {{- range .profile.cidrs }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
  {{- with .profile.ports }}
  ports:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- with .profile.rules }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Profiles whose names or ranges would undo what the others promise. */}}
{{- define "openhands-sandbox.validateEgress" -}}
{{- $names := list }}
{{- range $name, $profile := .Values.networkPolicy.egressProfiles }}
{{- if eq (lower $name) "none" }}
{{- fail (printf "networkPolicy.egressProfiles.%s: None is the profile of those that reach nothing; choose another name" $name) }}
{{- end }}
{{- if has (lower $name) $names }}
{{- fail (printf "networkPolicy.egressProfiles.%s: another profile has this name in other letters; choose another name" $name) }}
{{- end }}
{{- $names = append $names (lower $name) }}
{{- range dig "cidrs" (list) (default (dict) $profile) }}
{{- $bits := splitList "/" . | last | int }}
{{- if lt $bits (ternary 16 8 (contains ":" .)) }}
{{- fail (printf "networkPolicy.egressProfiles.%s.cidrs: %s is wider than /8 (IPv6: /16) and would open cloud metadata; for the internet set internet: true" $name .) }}
{{- end }}
{{- if or (regexMatch "^169\\.(254\\.|.*/([89]|1[0-5])$)" .) (regexMatch "^168\\.(63\\.(129\\.([0-9]|[12][0-9]|3[01])/|(12[89]|1[3-9][0-9]|2[0-9][0-9])\\..*/(1[7-9]|2[0-3])$|.*/16$)|.*/([89]|1[0-5])$)" .) (regexMatch "(?i)^fd00:0?ec2:|^fd00::?/" .) (regexMatch "^100\\.100\\.100\\." .) (regexMatch "^(0|127)\\." .) (regexMatch "(?i)^fe[89ab]" .) }}
{{- fail (printf "networkPolicy.egressProfiles.%s.cidrs: %s has link-local addresses or others of the node, at which clouds serve credentials; name a narrower range" $name .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Address families of a Service; the pods of the gateway listen on both. */}}
{{- define "openhands-sandbox.ipFamilies" -}}
{{- with .Values.gateway.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.gateway.service.ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* How the gateway's Service is reached. */}}
{{- define "openhands-sandbox.gatewayScheme" -}}
{{ ternary "https" "http" (not (empty .Values.gateway.tls.secretName)) }}
{{- end }}

{{- define "openhands-sandbox.gatewayPort" -}}
{{- $port := int .Values.gateway.service.port }}
{{- if and .Values.gateway.tls.secretName (eq $port 80) }}443{{ else }}{{ $port }}{{ end }}
{{- end }}

{{/* Hosts of the Runtime API in front of the gateway. Argument: (dict "root" $ "name" "ingress.hosts" "hosts" list). */}}
{{- define "openhands-sandbox.validateHosts" -}}
{{- $domain := .root.Values.gateway.baseDomain }}
{{- if and $domain (not .hosts) }}
{{- fail (printf "%s: name the host of the Runtime API; *.%s (gateway.baseDomain) is for sandboxes alone" .name $domain) }}
{{- end }}
{{- range .hosts }}
{{- if and $domain (hasSuffix (printf ".%s" $domain) .) }}
{{- fail (printf "%s: %s is below gateway.baseDomain, where each host is a sandbox's: take one that is not" $.name .) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Values that the schema cannot judge one by one. */}}
{{- define "openhands-sandbox.validate" -}}
{{- include "openhands-sandbox.validateEgress" . }}
{{- if .Values.ingress.enabled }}
{{- include "openhands-sandbox.validateHosts" (dict "root" $ "name" "ingress.hosts" "hosts" .Values.ingress.hosts) }}
{{- if and .Values.ingress.tls.secretName (not .Values.gateway.tls.secretName) (not (hasPrefix "https:" .Values.gateway.publicURL)) }}
{{- fail "ingress.tls.secretName: set gateway.publicURL to the https URL, too; it is what clients and sandboxes are told" }}
{{- end }}
{{- if and .Values.ingress.tls.wildcardSecretName (not .Values.gateway.baseDomain) }}
{{- fail "ingress.tls.wildcardSecretName needs gateway.baseDomain: in header mode sandboxes have no hosts" }}
{{- end }}
{{- end }}
{{- if .Values.httpRoute.enabled }}
{{- if not .Values.httpRoute.parentRefs }}
{{- fail "httpRoute.parentRefs: name the Gateway that takes the route, such as [{name: public, namespace: gateways}]" }}
{{- end }}
{{- include "openhands-sandbox.validateHosts" (dict "root" $ "name" "httpRoute.hostnames" "hosts" .Values.httpRoute.hostnames) }}
{{- end }}
{{- with .Values.gateway.autoscaling }}
{{- if .enabled }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- fail "gateway.autoscaling: minReplicas is more than maxReplicas" }}
{{- end }}
{{- if not (dig "requests" "cpu" "" ($.Values.gateway.resources | default dict)) }}
{{- fail "gateway.autoscaling: set gateway.resources.requests.cpu, of which targetCPUUtilizationPercentage is a share" }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq .Values.gateway.service.ipFamilyPolicy "SingleStack") (gt (len .Values.gateway.service.ipFamilies) 1) }}
{{- fail "gateway.service.ipFamilies: SingleStack takes one family" }}
{{- end }}
{{- range $process := list "operator" "gateway" }}
{{- $names := list }}
{{- range index $.Values $process "extraEnv" }}
{{- if has .name $names }}
{{- fail (printf "%s.extraEnv: %s is there twice" $process .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- if and $.Values.tracing.endpoint (contains (printf "name: %s\n" .name) (include "openhands-sandbox.tracing" $)) }}
{{- fail (printf "%s.extraEnv: %s is one that tracing.endpoint sets" $process .name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.gateway.service.nodePort (eq .Values.gateway.service.type "ClusterIP") }}
{{- fail "gateway.service.nodePort needs gateway.service.type NodePort or LoadBalancer" }}
{{- end }}
{{- with .Values.monitoring }}
{{- if gt (len (compact (list .scrapeAnnotations .podMonitor.enabled .serviceMonitor.enabled))) 1 }}
{{- fail "monitoring: enable one of scrapeAnnotations, podMonitor and serviceMonitor; a pod that is scraped twice counts twice" }}
{{- end }}
{{- end }}
{{- if and .Values.apiKey.value .Values.apiKey.existingSecret }}
{{- fail "apiKey.value and apiKey.existingSecret exclude each other: set one" }}
{{- end }}
{{- if and (not .Values.apiKey.create) (or .Values.apiKey.value .Values.apiKey.existingSecret) }}
{{- fail "apiKey.create is false, so apiKey.value and apiKey.existingSecret must be empty" }}
{{- end }}
{{- end }}
