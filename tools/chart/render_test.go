package chart

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func minimal(t *testing.T, sets ...string) manifests {
	t.Helper()
	arguments := []string{"--values", chart + "/ci/minimal-values.yaml"}
	for _, set := range sets {
		arguments = append(arguments, "--set", set)
	}
	return render(t, arguments...)
}

func everything(t *testing.T) manifests {
	t.Helper()
	return render(t, "--values", chart+"/ci/everything-values.yaml")
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func podOf(rendered manifests, name string) any {
	return at(rendered.objects[name], "spec", "template", "spec")
}

// environment gives what a container is told, by name; what comes from elsewhere by where from.
func environment(pod any) map[string]any {
	told := map[string]any{}
	list, _ := at(pod, "containers", 0, "env").([]any)
	for _, entry := range list {
		if value, ok := at(entry, "value").(string); ok {
			told[text(entry, "name")] = value
		} else {
			told[text(entry, "name")] = at(entry, "valueFrom")
		}
	}
	return told
}

func TestMinimalMakes(t *testing.T) {
	expect(t, "objects", minimal(t).names(), []string{
		"Deployment/release-stint", "Job/release-stint-migrate", "NetworkPolicy/release-stint", "PodDisruptionBudget/release-stint",
		"Service/release-stint", "Service/release-stint-admin", "Service/release-stint-headless", "ServiceAccount/release-stint", "ServiceAccount/release-stint-migrate",
	})
}

func TestEverythingMakes(t *testing.T) {
	expect(t, "objects", everything(t).names(), []string{
		"Cluster/jobs-postgres", "ConfigMap/jobs-dashboard", "Deployment/jobs", "HorizontalPodAutoscaler/jobs", "Job/jobs-migrate",
		"NetworkPolicy/jobs", "PodDisruptionBudget/jobs", "PrometheusRule/jobs", "ScaledObject/mailer", "ScaledObject/thumbnailer",
		"Service/jobs", "Service/jobs-admin", "Service/jobs-headless", "ServiceAccount/jobs", "ServiceAccount/jobs-migrate", "ServiceMonitor/jobs",
	})
}

// What a probe asks decides whether an outage of the database becomes a restart of every replica.
func TestLivenessDoesNotAskForTheDatabase(t *testing.T) {
	container := at(podOf(minimal(t), "Deployment/release-stint"), "containers", 0)
	liveness := object{"port": 50051.0, "service": "liveness"}
	expect(t, "liveness", at(container, "livenessProbe", "grpc"), liveness)
	expect(t, "startup", at(container, "startupProbe", "grpc"), liveness)
	expect(t, "readiness", at(container, "readinessProbe", "grpc"), object{"port": 50051.0})
	if source := read(t, "src/ops/health.ts"); !strings.Contains(source, "LIVENESS = 'liveness'") {
		t.Error("src/ops/health.ts does not answer for the name that the probes ask for")
	}
}

func TestGraceFitsTheDrain(t *testing.T) {
	limit := regexp.MustCompile(`STOP_LIMIT_MS = (\d+)_000`).FindStringSubmatch(read(t, "src/main.ts"))
	if len(limit) != 2 {
		t.Fatal("src/main.ts does not say after how long the process ends")
	}
	pod := podOf(minimal(t, "drain.preStopSeconds=20"), "Deployment/release-stint")
	expect(t, "sleep", at(pod, "containers", 0, "lifecycle", "preStop"), object{"sleep": object{"seconds": 20.0}})
	grace, _ := at(pod, "terminationGracePeriodSeconds").(float64)
	var limitSeconds float64
	fmt.Sscan(limit[1], &limitSeconds)
	if grace < 20+limitSeconds {
		t.Errorf("a grace of %v s ends before a sleep of 20 s and a stop of %v s", grace, limitSeconds)
	}
	expect(t, "without a sleep", at(podOf(minimal(t, "drain.preStopSeconds=0"), "Deployment/release-stint"), "containers", 0, "lifecycle"), nil)
}

func TestPodsAreRestricted(t *testing.T) {
	for name, pod := range map[string]any{
		"service": podOf(everything(t), "Deployment/jobs"), "migration": podOf(everything(t), "Job/jobs-migrate"),
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, "pod", at(pod, "securityContext"), object{
				"runAsNonRoot": true, "runAsUser": 65532.0, "runAsGroup": 65532.0, "seccompProfile": object{"type": "RuntimeDefault"},
			})
			expect(t, "container", at(pod, "containers", 0, "securityContext"), object{
				"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": object{"drop": []any{"ALL"}},
			})
			expect(t, "token", at(pod, "automountServiceAccountToken"), false)
			expect(t, "links", at(pod, "enableServiceLinks"), false)
		})
	}
	given := podOf(render(t, "--values", chart+"/ci/openshift-values.yaml"), "Deployment/release-stint")
	expect(t, "ids that the platform gives", at(given, "securityContext", "runAsUser"), nil)
	if !strings.Contains(read(t, "Dockerfile"), "USER 65532:65532") {
		t.Error("the image runs as another user")
	}
}

func TestReplicasAndMigrationsSeeTheSameDatabase(t *testing.T) {
	rendered := minimal(t)
	service, job := podOf(rendered, "Deployment/release-stint"), podOf(rendered, "Job/release-stint-migrate")
	from := object{"secretKeyRef": object{"name": "stint-database", "key": "DATABASE_URL"}}
	expect(t, "service", environment(service)["DATABASE_URL"], from)
	expect(t, "job", environment(job)["DATABASE_URL"], from)
	expect(t, "image", text(job, "containers", 0, "image"), text(service, "containers", 0, "image"))
	expect(t, "arguments", at(job, "containers", 0, "args"), []any{"migrate"})
	expect(t, "replicas", environment(service)["STINT_MIGRATE"], "false")
	expect(t, "hooks", text(rendered.objects["Job/release-stint-migrate"], "metadata", "annotations", "helm.sh/hook"), "pre-install,pre-upgrade")
	account := rendered.objects["ServiceAccount/"+text(job, "serviceAccountName")]
	expect(t, "its account is a hook too", text(account, "metadata", "annotations", "helm.sh/hook"), "pre-install,pre-upgrade")
}

func TestBehindAPoolerBothKnowTheServer(t *testing.T) {
	rendered := render(t, "--values", chart+"/ci/openshift-values.yaml")
	for _, name := range []string{"Deployment/release-stint", "Job/release-stint-migrate"} {
		told := environment(podOf(rendered, name))
		expect(t, name, told["STINT_DIRECT_DATABASE_URL"], object{"secretKeyRef": object{"name": "stint-database", "key": "DIRECT_URL"}})
		expect(t, name, told["STINT_POOLER"], "transaction")
	}
}

// The Cluster comes with the installation, so a Job before it would wait for a Secret that nobody makes.
func TestANewPostgresIsMigratedByTheReplicas(t *testing.T) {
	rendered := everything(t)
	expect(t, "hooks", text(rendered.objects["Job/jobs-migrate"], "metadata", "annotations", "helm.sh/hook"), "pre-upgrade")
	told := environment(podOf(rendered, "Deployment/jobs"))
	expect(t, "replicas", told["STINT_MIGRATE"], "true")
	expect(t, "database", told["DATABASE_URL"], object{"secretKeyRef": object{"name": "jobs-postgres-app", "key": "uri"}})
	expect(t, "standbys", at(rendered.objects["Cluster/jobs-postgres"], "spec", "postgresql", "synchronous", "number"), 1.0)
}

func TestWithoutAJobTheReplicasMigrate(t *testing.T) {
	rendered := minimal(t, "migrations.job=false")
	expect(t, "job", rendered.objects["Job/release-stint-migrate"], object(nil))
	expect(t, "replicas", environment(podOf(rendered, "Deployment/release-stint"))["STINT_MIGRATE"], "true")
}

func TestWhoIsReached(t *testing.T) {
	rendered := everything(t)
	headless := rendered.objects["Service/jobs-headless"]
	expect(t, "headless", text(headless, "spec", "clusterIP"), "None")
	expect(t, "ports of the headless one", len(at(headless, "spec", "ports").([]any)), 1)
	expect(t, "port", at(rendered.objects["Service/jobs"], "spec", "ports", 0, "port"), 8443.0)
	pod := at(rendered.objects["Deployment/jobs"], "spec", "template", "metadata", "labels")
	expect(t, "ports of the one for clients, which a load balancer may carry out", len(at(rendered.objects["Service/jobs"], "spec", "ports").([]any)), 1)
	admin := rendered.objects["Service/jobs-admin"]
	expect(t, "admin", []any{at(admin, "spec", "type"), at(admin, "spec", "ports", 0, "port")}, []any{nil, 8080.0})
	for _, name := range []string{"Service/jobs", "Service/jobs-admin", "Service/jobs-headless"} {
		for label, value := range at(rendered.objects[name], "spec", "selector").(object) {
			expect(t, name+" selects "+label, at(pod, label), value)
		}
	}
	job := at(rendered.objects["Job/jobs-migrate"], "spec", "template", "metadata", "labels", "app.kubernetes.io/component")
	expect(t, "the component of the job, which no Service selects", job, "migrate")
	told := environment(podOf(rendered, "Deployment/jobs"))
	expect(t, "listens", []any{told["STINT_LISTEN"], told["STINT_ADMIN_LISTEN"], told["STINT_INSECURE"]}, []any{"0.0.0.0:8443", "0.0.0.0:8080", "true"})
	for index, target := range []string{"thumbnailer", "mailer"} {
		trigger := at(rendered.objects["ScaledObject/"+target], "spec", "triggers", 0, "metadata")
		expect(t, "scaler", text(trigger, "scalerAddress"), "jobs.prod.svc:8443")
		expect(t, "size", []any{at(trigger, "targetSize"), at(trigger, "targetAgeSeconds")}, [][]any{{"2.5", nil}, {nil, "60"}}[index])
		expect(t, "threshold, without an exponent", at(trigger, "activationThreshold"), []any{"0", "2500000"}[index])
	}
	expect(t, "the metrics' own namespace stays", at(rendered.objects["ServiceMonitor/jobs"], "spec", "endpoints", 0, "honorLabels"), true)
	peers := at(rendered.objects["NetworkPolicy/jobs"], "spec", "ingress", 0, "from").([]any)
	expect(t, "peers: who was named, and KEDA", len(peers), 2)
}

func TestReplicasAreTheAutoscalersToSet(t *testing.T) {
	expect(t, "fixed", at(minimal(t).objects["Deployment/release-stint"], "spec", "replicas"), 3.0)
	expect(t, "scaled", at(everything(t).objects["Deployment/jobs"], "spec", "replicas"), nil)
}

func TestVersionsAreThePackages(t *testing.T) {
	var manifest struct{ Version string }
	if err := json.Unmarshal([]byte(read(t, "package.json")), &manifest); err != nil {
		t.Fatal(err)
	}
	image := text(podOf(minimal(t), "Deployment/release-stint"), "containers", 0, "image")
	expect(t, "image", image, "stint:"+manifest.Version)
	expect(t, "digest", text(podOf(everything(t), "Deployment/jobs"), "containers", 0, "image"),
		"registry.example.com/platform/stint@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
}

// followed by other values are not among settings; the data folder is the embedded Postgres', which the image has not.
var setByTheChart = []string{"STINT_LISTEN", "STINT_ADMIN_LISTEN", "STINT_INSECURE", "STINT_MIGRATE", "STINT_DIRECT_DATABASE_URL", "STINT_DATA_DIR"}

func TestEverySettingCanBeSet(t *testing.T) {
	var schema object
	if err := json.Unmarshal([]byte(read(t, "deploy/helm/stint/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	settings, _ := at(schema, "properties", "settings", "properties").(object)
	found := regexp.MustCompile(`(?m)^  (STINT_[A-Z_]+):`).FindAllStringSubmatch(read(t, "src/config.ts"), -1)
	if len(found) < 5 {
		t.Fatalf("src/config.ts is read wrongly: %v", found)
	}
	for _, match := range found {
		if _, known := settings[match[1]]; !known && !slices.Contains(setByTheChart, match[1]) {
			t.Errorf("%s of src/config.ts is no property of settings in deploy/helm/stint/values.schema.json", match[1])
		}
	}
	told := environment(podOf(everything(t), "Deployment/jobs"))
	expect(t, "numbers", told["STINT_CONNECTION_AGE_SECONDS"], "86400")
}

// Each value of the chart has its line in the table, and no line is of a value that is not there.
func TestEveryValueIsExplained(t *testing.T) {
	written := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(read(t, "deploy/helm/stint/README.md"), -1)
	explained := []string{}
	for _, match := range written {
		explained = append(explained, match[1])
	}
	var schema object
	if err := json.Unmarshal([]byte(read(t, "deploy/helm/stint/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	values := leaves(schema, "")
	slices.Sort(values)
	slices.Sort(explained)
	expect(t, "values", explained, values)
}

// leaves are the values that can be set, without those of the parts of a list.
func leaves(schema any, above string) []string {
	fields, _ := at(schema, "properties").(object)
	found := []string{}
	for name, field := range fields {
		path := strings.TrimPrefix(above+"."+name, ".")
		switch {
		case path == "global":
		case at(field, "properties") != nil && name != "resources" && name != "settings":
			found = append(found, leaves(field, path)...)
		default:
			found = append(found, path)
		}
	}
	return found
}

func TestFilesOfPrometheusAndGrafanaAreWhole(t *testing.T) {
	rendered := everything(t)
	groups, _ := at(rendered.objects["PrometheusRule/jobs"], "spec", "groups").([]any)
	if len(groups) == 0 {
		t.Error("there is no group of rules")
	}
	absent := at(groups[0], "rules", 0)
	expect(t, "who is absent", text(absent, "expr"), `absent(stint_build_info{job="prod/jobs"})`)
	expect(t, "the manual", text(absent, "annotations", "runbook_url"), "https://docs.example.com/stint/operations#stintabsent")
	relabelings := at(rendered.objects["ServiceMonitor/jobs"], "spec", "endpoints", 0, "relabelings")
	expect(t, "the job", relabelings, any([]any{object{"targetLabel": "job", "replacement": "prod/jobs"}}))
	var dashboard object
	if err := json.Unmarshal([]byte(text(rendered.objects["ConfigMap/jobs-dashboard"], "data", "stint.json")), &dashboard); err != nil {
		t.Error(err)
	}
	expect(t, "the title, as in the file", strings.Contains(read(t, "deploy/helm/stint/files/dashboard.json"), text(dashboard, "title")), true)
}

func TestWhoIsReadByAnotherMonitorIsNotLookedForByName(t *testing.T) {
	rule := minimal(t, "prometheusRule.enabled=true").objects["PrometheusRule/release-stint"]
	absent := at(rule, "spec", "groups", 0, "rules", 0)
	expect(t, "who is absent", text(absent, "expr"), "absent(stint_build_info)")
	expect(t, "the manual", text(absent, "annotations", "runbook"), "docs/operations.md#stintabsent")
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(project + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
