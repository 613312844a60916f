// Package chart holds the Helm chart of the project to the API of Kubernetes and to the service that it runs.
package chart

// pin is a Go module that is read for its files, not compiled: the modules of operators cannot be required beside helm's, whose
// versions of Kubernetes' libraries they would move.
type pin struct {
	path, version, sum string
}

// Kubernetes 1.37: the newest whose module is whole.
var kubernetes = pin{"k8s.io/kubernetes", "v1.37.1", "h1:LTUzSbp9n0W7649oVKBYfC48zcoD3vCk++1PZQn28q8="}

const openAPI = "api/openapi-spec/swagger.json"

// customResources are where the operators' modules have them.
var customResources = map[pin][]string{
	// Of newer ones only the Go types could be had, not the folder of their definitions.
	{"github.com/prometheus-operator/prometheus-operator", "v0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="}: {
		"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
	},
	{"github.com/kedacore/keda/v2", "v2.21.0", "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps="}: {
		"config/crd/bases/keda.sh_scaledobjects.yaml",
	},
	{"github.com/cloudnative-pg/cloudnative-pg", "v1.30.1", "h1:d1jxp0jQi7/3zrEhsv9ycD+G5ssmkNvDvTmogaGccCw="}: {
		"config/crd/bases/postgresql.cnpg.io_clusters.yaml",
	},
}
