package chart

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

const (
	token     = "chart-test"
	startedIn = time.Minute
)

// Everything that the chart renders, given to a real API server in a namespace that enforces the restricted Pod Security Standard. It builds
// kube-apiserver from its module, ten minutes of CPU the first time, and needs etcd, so it is asked for: STINT_API_SERVER=1.
func TestAnAPIServerTakesTheManifests(t *testing.T) {
	if os.Getenv("STINT_API_SERVER") != "1" {
		t.Skip("set STINT_API_SERVER=1; needs etcd")
	}
	server := startAPIServer(t)
	for from, paths := range customResources {
		for _, path := range paths {
			source, err := readPinned(from, path)
			if err != nil {
				t.Fatal(err)
			}
			server.create(t, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", source)
		}
	}
	restricted := object{"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
	server.create(t, "/api/v1/namespaces", encode(t, object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": "prod", "labels": restricted}}))
	for _, resource := range []string{"monitoring.coreos.com/v1/prometheusrules", "keda.sh/v1alpha1/scaledobjects", "postgresql.cnpg.io/v1/clusters"} {
		server.awaitReady(t, "/apis/"+resource)
	}
	server.create(t, "/apis/scheduling.k8s.io/v1/priorityclasses",
		encode(t, object{"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": object{"name": "platform"}, "value": 1000}))
	for _, file := range valueSets(t) {
		rendered := render(t, "--values", file)
		for name, manifest := range rendered.objects {
			t.Run(filepath.Base(file)+"/"+name, func(t *testing.T) {
				server.create(t, collectionOf(manifest)+"?dryRun=All&fieldValidation=Strict", encode(t, manifest))
				if pod, ok := podOf(rendered, name).(object); ok {
					// Who runs it is looked up, and a dry run has made nobody.
					pod["serviceAccountName"] = "runner"
					server.createOnce("/api/v1/namespaces/prod/serviceaccounts", encode(t, object{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": object{"name": "runner"}}))
					body := object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "probe"}, "spec": pod}
					server.create(t, "/api/v1/namespaces/prod/pods?dryRun=All&fieldValidation=Strict", encode(t, body))
				}
			})
		}
	}
}

type apiServer struct {
	address string
	client  http.Client
}

func startAPIServer(t *testing.T) *apiServer {
	t.Helper()
	folder := t.TempDir()
	binary := buildAPIServer(t, folder)
	etcd, peers, port := "http://127.0.0.1:"+freePort(t), "http://127.0.0.1:"+freePort(t), freePort(t)
	start(t, "etcd", "--data-dir", folder+"/etcd", "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default="+peers)
	tokens, key := folder+"/tokens.csv", folder+"/key.pem"
	if err := os.WriteFile(tokens, []byte(token+",admin,admin,system:masters\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command("openssl", "genrsa", "-out", key, "2048").CombinedOutput(); err != nil {
		t.Fatalf("openssl: %s", output)
	}
	start(t, binary, "--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--secure-port", port, "--cert-dir", folder+"/certificates",
		"--token-auth-file", tokens, "--authorization-mode", "RBAC", "--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-key-file", key, "--service-account-signing-key-file", key, "--service-cluster-ip-range", "10.96.0.0/16")
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	server := &apiServer{address: "https://127.0.0.1:" + port, client: http.Client{Transport: transport, Timeout: startedIn}}
	server.awaitReady(t, "/readyz")
	return server
}

// buildAPIServer makes a module that requires Kubernetes and, at the version that belongs to it, what its own go.mod replaces by folders.
func buildAPIServer(t *testing.T, folder string) string {
	t.Helper()
	source, err := readPinned(kubernetes, "go.mod")
	if err != nil {
		t.Fatal(err)
	}
	requirements := "module example.com/api-server\n\ngo " + regexp.MustCompile(`(?m)^go (\S+)`).FindStringSubmatch(string(source))[1] + "\n"
	requirements += fmt.Sprintf("require %s %s\n", kubernetes.path, kubernetes.version)
	for _, staged := range regexp.MustCompile(`(?m)^\s*(k8s\.io/\S+) => \./staging`).FindAllStringSubmatch(string(source), -1) {
		requirements += fmt.Sprintf("require %s v0.%s\n", staged[1], strings.TrimPrefix(kubernetes.version, "v1."))
	}
	module := filepath.Join(folder, "module")
	if err := os.MkdirAll(module, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(module+"/go.mod", []byte(requirements), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-mod=mod", "-o", folder+"/kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver")
	build.Dir = module
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("kube-apiserver: %s", output)
	}
	return folder + "/kube-apiserver"
}

// start runs a program until the test is over; what it says is told where it fails.
func start(t *testing.T, name string, arguments ...string) {
	t.Helper()
	var output bytes.Buffer
	command := exec.Command(name, arguments...)
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("%s: %s", name, output.Bytes()[max(0, output.Len()-2_000):])
		}
	})
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

func (server *apiServer) send(method, path string, body []byte) (int, string, string) {
	request, err := http.NewRequest(method, server.address+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", err.Error()
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/yaml")
	response, err := server.client.Do(request)
	if err != nil {
		return 0, "", err.Error()
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(response.Body)
	var status struct{ Message string }
	_ = json.Unmarshal(answer, &status)
	return response.StatusCode, strings.Join(response.Header.Values("Warning"), "; "), status.Message
}

// create expects it to be made, without a word of warning.
func (server *apiServer) create(t *testing.T, path string, body []byte) {
	t.Helper()
	if code, warning, message := server.send(http.MethodPost, path, body); code != http.StatusCreated || warning != "" {
		t.Errorf("%s: %d %s %s", path, code, warning, message)
	}
}

func (server *apiServer) createOnce(path string, body []byte) {
	server.send(http.MethodPost, path, body)
}

func (server *apiServer) awaitReady(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(startedIn); ; time.Sleep(100 * time.Millisecond) {
		code, _, message := server.send(http.MethodGet, path, nil)
		if code == http.StatusOK {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s is not ready: %d %s", path, code, message)
		}
	}
}

// collectionOf is where an object of its kind is made: /apis/GROUP/VERSION/namespaces/prod/PLURAL.
func collectionOf(manifest object) string {
	version, plural := text(manifest, "apiVersion"), strings.ToLower(text(manifest, "kind"))+"s"
	if root, ends := strings.CutSuffix(plural, "ys"); ends {
		plural = root + "ies"
	}
	base := "/apis/" + version
	if version == "v1" {
		base = "/api/v1"
	}
	return base + "/namespaces/prod/" + plural
}

func encode(t *testing.T, value any) []byte {
	t.Helper()
	encoded, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}
