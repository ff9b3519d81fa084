{{- define "stockgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* 52: "-headless" and what Kubernetes adds must fit. */}}
{{- define "stockgate.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "stockgate.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "stockgate.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "stockgate.selector" -}}
app.kubernetes.io/name: {{ include "stockgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "stockgate.labels" -}}
{{ include "stockgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* A role's Deployment, its HPA and its PDB; called with (dict "root" $ "role" "gateway"). */}}
{{- define "stockgate.deployment" -}}
{{- $root := .root }}
{{- $values := index $root.Values .role }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "stockgate.fullname" $root }}-{{ .role }}
  labels:
    {{- include "stockgate.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
spec:
  {{- if not $values.autoscaling.enabled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "stockgate.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .role }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
  template:
    metadata:
      labels:
        {{- include "stockgate.labels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .role }}
      annotations:
        # Settings are read once, at the start: other settings are other pods.
        checksum/config: {{ $root.Values.config | sha256sum }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      # It asks Kubernetes nothing, and its variables are its own.
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with $root.Values.serviceAccountName }}
      serviceAccountName: {{ . }}
      {{- end }}
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      terminationGracePeriodSeconds: {{ $root.Values.terminationGracePeriodSeconds }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        fsGroup: 10001
        seccompProfile:
          type: RuntimeDefault
      # One of a role on each node and in each zone, as far as that goes.
      topologySpreadConstraints:
        {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "stockgate.selector" $root | nindent 14 }}
              app.kubernetes.io/component: {{ $.role }}
        {{- end }}
      containers:
        - name: {{ .role }}
          image: "{{ $root.Values.image.repository }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}"
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: [serve, --role, {{ .role }}, --config, /etc/stockgate/stockgate.toml]
          env:
            - name: STOCKGATE_GRPC_LISTEN
              value: 0.0.0.0:50051
            - name: STOCKGATE_HTTP_LISTEN
              value: 0.0.0.0:8080
            - name: STOCKGATE_REDIS_URL
              valueFrom:
                secretKeyRef:
                  name: {{ required "redis.existingSecret: name a Secret that holds the URL of Redis" $root.Values.redis.existingSecret }}
                  key: {{ $root.Values.redis.key }}
            {{- with $root.Values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports:
            {{- if eq .role "gateway" }}
            - name: grpc
              containerPort: 50051
            {{- end }}
            - name: http
              containerPort: 8080
          # It serves pages as soon as it has reached Redis for the first time; until then it ends with an error and is started again.
          startupProbe:
            httpGet:
              path: /healthz
              port: http
            periodSeconds: 1
            failureThreshold: 60
          # Alive is its own affair: without Redis it answers UNAVAILABLE, and starting it anew would not bring Redis back.
          livenessProbe:
            httpGet:
              path: /healthz
              port: http
            periodSeconds: 10
            timeoutSeconds: 5
          # Both say whether Redis answers; the gateway says it where it is called.
          readinessProbe:
            {{- if eq .role "gateway" }}
            grpc:
              port: 50051
            {{- else }}
            httpGet:
              path: /readyz
              port: http
            {{- end }}
            periodSeconds: 2
            timeoutSeconds: 2
            failureThreshold: 2
          lifecycle:
            preStop:
              exec:
                command: [sleep, {{ $root.Values.preStopSeconds | quote }}]
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          volumeMounts:
            - name: config
              mountPath: /etc/stockgate/stockgate.toml
              subPath: stockgate.toml
              readOnly: true
            {{- if $root.Values.channelSecrets.existingSecret }}
            - name: channel-secrets
              mountPath: /etc/stockgate/secrets
              readOnly: true
            {{- end }}
            {{- with $root.Values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: config
          configMap:
            name: {{ include "stockgate.fullname" $root }}
        {{- with $root.Values.channelSecrets.existingSecret }}
        - name: channel-secrets
          secret:
            secretName: {{ . }}
            defaultMode: 0440
        {{- end }}
        {{- with $root.Values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}

{{- define "stockgate.autoscaler" -}}
{{- $root := .root }}
{{- $values := (index $root.Values .role).autoscaling }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "stockgate.fullname" $root }}-{{ .role }}
  labels:
    {{- include "stockgate.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "stockgate.fullname" $root }}-{{ .role }}
  minReplicas: {{ $values.minReplicas }}
  maxReplicas: {{ $values.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ $values.targetCPUUtilizationPercentage }}
    {{- if and $values.lag $values.lag.enabled }}
    - type: External
      external:
        metric:
          name: {{ $values.lag.metric }}
        target:
          type: Value
          value: {{ $values.lag.targetSeconds | quote }}
    {{- end }}
  behavior:
    scaleDown:
      # Callers keep their connections, and those of a gateway that leaves must go elsewhere: not at every dip.
      stabilizationWindowSeconds: 300
{{- end }}

{{- define "stockgate.disruptionBudget" -}}
{{- $root := .root }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "stockgate.fullname" $root }}-{{ .role }}
  labels:
    {{- include "stockgate.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
spec:
  # Not minAvailable: with one replica that would keep its node from ever being drained.
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "stockgate.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .role }}
{{- end }}
