package chart

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	project = "../.."
	chart   = project + "/deploy/helm/stint"
)

// Where the two programs and the schemas lie for all tests.
var programs, schemas string

func TestMain(tests *testing.M) {
	folder, err := os.MkdirTemp("", "stint-chart-")
	if err != nil {
		panic(err)
	}
	programs, schemas = filepath.Join(folder, "bin"), filepath.Join(folder, "schemas")
	status := 1
	if err := prepare(); err == nil {
		status = tests.Run()
	} else {
		os.Stderr.WriteString("chart: " + err.Error() + "\n")
	}
	os.RemoveAll(folder)
	os.Exit(status)
}

// prepare builds helm and kubeconform as go.mod pins them: a minute or two the first time, a second with Go's cache.
func prepare() error {
	for _, folder := range []string{programs, schemas} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	build := exec.Command("go", "build", "-o", programs+"/", "helm.sh/helm/v4/cmd/helm", "github.com/yannh/kubeconform/cmd/kubeconform")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return err
	}
	return writeSchemas(schemas)
}

// valueSets are the files that stand for how the chart is used.
func valueSets(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(chart + "/ci/*-values.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("value sets: %v (%v)", files, err)
	}
	return files
}

// run gives what a program says, on either of its streams, and whether it was content.
func run(name string, arguments ...string) (string, bool) {
	var output bytes.Buffer
	command := exec.Command(filepath.Join(programs, name), arguments...)
	command.Stdout, command.Stderr = &output, &output
	err := command.Run()
	return output.String(), err == nil
}

// render gives the manifests of a value set, by kind and name.
func render(t *testing.T, arguments ...string) manifests {
	t.Helper()
	command := exec.Command(filepath.Join(programs, "helm"), append([]string{"template", "release", chart, "--namespace", "prod"}, arguments...)...)
	output, err := command.Output()
	if err != nil {
		t.Fatalf("helm template %v: %v", arguments, err)
	}
	found := manifests{text: output, objects: map[string]object{}}
	for _, document := range strings.Split(string(output), "\n---\n") {
		var manifest object
		if err := yaml.Unmarshal([]byte(document), &manifest); err != nil {
			t.Fatal(err)
		}
		if manifest != nil {
			found.objects[text(manifest, "kind")+"/"+text(manifest, "metadata", "name")] = manifest
		}
	}
	return found
}

type manifests struct {
	text    []byte
	objects map[string]object
}

func (rendered manifests) names() []string {
	names := []string{}
	for name := range rendered.objects {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// at follows keys, and indexes of lists, down from a manifest; nil where there is nothing.
func at(value any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			fields, _ := value.(object)
			value = fields[step]
		case int:
			list, _ := value.([]any)
			if step >= len(list) {
				return nil
			}
			value = list[step]
		}
	}
	return value
}

func text(value any, path ...any) string {
	found, _ := at(value, path...).(string)
	return found
}

func TestLint(t *testing.T) {
	for _, file := range valueSets(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if output, content := run("helm", "lint", "--strict", chart, "--values", file); !content {
				t.Error(output)
			}
		})
	}
}

func TestManifestsAreValid(t *testing.T) {
	for _, file := range valueSets(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			validate(t, render(t, "--values", file).text, "")
		})
	}
}

// The validator itself: a field that no kind has, a value of another type, a kind without a schema.
func TestValidatorRefuses(t *testing.T) {
	valid := string(render(t, "--values", chart+"/ci/everything-values.yaml").text)
	for name, change := range map[string]struct{ from, to, told string }{
		"a field of a container that is not there": {"imagePullPolicy:", "pullPolicy:", "pullPolicy"},
		"a port that is text":                      {"containerPort: 8443", "containerPort: grpc", "containerPort"},
		"a field of a scaled object":               {"minReplicaCount:", "minReplicas:", "minReplicas"},
		"a field of a monitor":                     {"interval: 15s", "intervall: 15s", "intervall"},
		"a field of a Postgres cluster":            {"dataDurability:", "durability:", "durability"},
		"a kind that is not there":                 {"kind: HorizontalPodAutoscaler", "kind: HorizontalAutoscaler", "could not find schema"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(valid, change.from, change.to, 1)
			if changed == valid {
				t.Fatalf("there is no %q", change.from)
			}
			validate(t, []byte(changed), change.told)
		})
	}
}

// validate expects no refusal, or one that names something.
func validate(t *testing.T, manifests []byte, refusal string) {
	t.Helper()
	command := exec.Command(filepath.Join(programs, "kubeconform"), "-strict", "-summary", "-schema-location",
		schemas+"/{{ .ResourceKind }}{{ .KindSuffix }}.json", "-")
	command.Stdin = bytes.NewReader(manifests)
	output, err := command.CombinedOutput()
	if refusal == "" && err != nil {
		t.Errorf("%s", output)
	}
	if refusal != "" && (err == nil || !strings.Contains(string(output), refusal)) {
		t.Errorf("expected a refusal that names %s, got: %s", refusal, output)
	}
}
