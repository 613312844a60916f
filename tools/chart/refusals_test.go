package chart

import (
	"regexp"
	"strings"
	"testing"
)

// Each is refused before anything reaches the cluster, and told by the name of its value.
func TestWrongValuesAreRefused(t *testing.T) {
	for _, wrong := range []struct{ sets, told string }{
		{"insecure=false", "insecure"},
		{"insecure=yes", "/insecure"},
		{"database.existingSecret.name=", "database.existingSecret.name"},
		{"database.existingSecret.name=Not_A_Name", "/database/existingSecret/name"},
		{"database.url=postgres://a:b@c/d", "url"},
		{"database.existingSecret.directKey=DIRECT", "database.existingSecret.directKey"},
		{"cloudNativePG.enabled=true", "cloudNativePG.enabled"},
		{"database.existingSecret.name=,cloudNativePG.enabled=true,cloudNativePG.instances=1", "cloudNativePG.synchronousStandbys"},
		{"cloudNativePG.parameters.fsync=off", "fsync"},
		{"cloudNativePG.storage.size=20 GB", "/cloudNativePG/storage/size"},
		{"replicaCount=0", "/replicaCount"},
		{"replicaCount=three", "/replicaCount"},
		{"replicas=3", "replicas"},
		{"image.tag=a:b", "/image/tag"},
		{"image.digest=sha256:short", "/image/digest"},
		{"image.repository=", "/image/repository"},
		{"image.pullPolicy=Sometimes", "/image/pullPolicy"},
		{"settings.STINT_LOG_LEVEL=loud", "STINT_LOG_LEVEL"},
		{"settings.STINT_JOURNAL_RETENTION_DAYS=1", "STINT_JOURNAL_RETENTION_DAYS"},
		{"settings.STINT_LOG_LEVLE=info", "STINT_LOG_LEVLE"},
		{"settings.STINT_LISTEN=0.0.0.0:1", "STINT_LISTEN"},
		{"extraEnv[0].name=STINT_LOG_LEVEL,extraEnv[0].value=info", "/extraEnv/0/name"},
		{"extraEnv[0].name=DATABASE_URL,extraEnv[0].value=x", "/extraEnv/0/name"},
		{"extraEnv[0].value=x", "name"},
		{"listenHost=localhost", "/listenHost"},
		{"service.type=ExternalName", "/service/type"},
		{"service.grpcPort=80", "/service/grpcPort"},
		{"service.grpcPort=9464", "service.adminPort"},
		{"resources.limits.memory=lots", "/resources/limits/memory"},
		{"resources.limit.memory=1Gi", "limit"},
		{"drain.preStopSeconds=-1", "/drain/preStopSeconds"},
		{"startup.limitSeconds=1", "/startup/limitSeconds"},
		{"podDisruptionBudget.maxUnavailable=0", "/podDisruptionBudget/maxUnavailable"},
		{"podDisruptionBudget.minAvailable=1", "minAvailable"},
		{"autoscaling.enabled=true,autoscaling.minReplicas=5,autoscaling.maxReplicas=2", "autoscaling.maxReplicas"},
		{"autoscaling.enabled=true,resources.requests.cpu=null", "resources.requests.cpu"},
		{"autoscaling.targetCpuPercent=700", "/autoscaling/targetCpuPercent"},
		{"topologySpread.zones=Maybe", "/topologySpread/zones"},
		{"runAsUser=0", "/runAsUser"},
		{"serviceAccount.automount=true", "automount"},
		{"networkPolicy.grpcFrom=everyone", "/networkPolicy/grpcFrom"},
		{"serviceMonitor.intervalSeconds=30s", "/serviceMonitor/intervalSeconds"},
		{"prometheusRule.manualUrl=operations", "/prometheusRule/manualUrl"},
		{"keda.enabled=true", "keda.workers"},
		{"keda.workers[0].deployment=thumbnailer", "queue"},
		{"keda.workers[0].deployment=a,keda.workers[0].queue=b,keda.workers[0].scaleBy=age", "scaleBy"},
		{"keda.enabled=true,keda.workers[0].deployment=a,keda.workers[0].queue=b,keda.workers[0].minReplicas=60", "minReplicas of a"},
	} {
		t.Run(wrong.sets, func(t *testing.T) {
			output, content := run("helm", "template", "release", chart, "--values", chart+"/ci/minimal-values.yaml", "--set", wrong.sets)
			if content {
				t.Fatal("it was taken")
			}
			if !named(output, wrong.told) {
				t.Errorf("%q is not named: %s", wrong.told, output)
			}
		})
	}
}

// named finds the value as a path, or as a property in quotes.
func named(output, value string) bool {
	return strings.Contains(output, value) && regexp.MustCompile(`(^|[\s'"/.])`+regexp.QuoteMeta(strings.TrimPrefix(value, "/"))+`([\s'":;,]|$)`).MatchString(output)
}
