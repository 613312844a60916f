package chart

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

type object = map[string]any

const definitions = "#/definitions/"

// writeSchemas makes one JSON schema a kind in folder, named as kubeconform asks for them (deployment-apps-v1.json): Kubernetes'
// own from its OpenAPI document, the operators' from their custom resource definitions. What a schema does not name is refused.
func writeSchemas(folder string) error {
	source, err := readPinned(kubernetes, openAPI)
	if err != nil {
		return err
	}
	if err := writeKubernetes(folder, source); err != nil {
		return err
	}
	for from, paths := range customResources {
		for _, path := range paths {
			source, err := readPinned(from, path)
			if err != nil {
				return err
			}
			if err := writeCustomResource(folder, source); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	return nil
}

// readPinned gives a file of a module, whose content must have the pinned sum.
func readPinned(from pin, path string) ([]byte, error) {
	command := exec.Command("go", "mod", "download", "-json", from.path+"@"+from.version)
	// Outside any module: this one's requirements have no say in it.
	command.Dir = os.TempDir()
	command.Stderr = os.Stderr
	output, err := command.Output()
	var got struct{ Dir, Sum, Error string }
	if decodeErr := json.Unmarshal(output, &got); decodeErr != nil {
		return nil, errors.Join(err, decodeErr)
	}
	if got.Error != "" {
		return nil, errors.New(got.Error)
	}
	if got.Sum != from.sum {
		return nil, fmt.Errorf("%s@%s has the sum %s, not the pinned %s", from.path, from.version, got.Sum, from.sum)
	}
	return os.ReadFile(filepath.Join(got.Dir, path))
}

func writeKubernetes(folder string, source []byte) error {
	var document struct {
		Definitions map[string]object `json:"definitions"`
	}
	if err := json.Unmarshal(source, &document); err != nil {
		return err
	}
	for name, definition := range document.Definitions {
		closeObjects(definition)
		// Quantities and ports may be written as numbers too.
		if strings.HasSuffix(name, ".IntOrString") || strings.HasSuffix(name, ".Quantity") {
			document.Definitions[name] = object{"anyOf": []any{object{"type": "string"}, object{"type": "number"}}}
		}
	}
	for name, definition := range document.Definitions {
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		// Options of deletions and the like belong to every group.
		if len(kinds) != 1 {
			continue
		}
		kind, _ := kinds[0].(object)
		used := map[string]object{}
		collect(document.Definitions, name, used)
		schema := object{"definitions": used, "allOf": []any{object{"$ref": definitions + name}}, "required": []string{"apiVersion", "kind", "metadata"}}
		if err := writeSchema(folder, kind["group"], kind["version"], kind["kind"], schema); err != nil {
			return err
		}
	}
	return nil
}

// collect adds the definition and all that it refers to.
func collect(all map[string]object, name string, into map[string]object) {
	if _, known := into[name]; known {
		return
	}
	into[name] = all[name]
	visit(all[name], func(schema object) {
		if reference, ok := schema["$ref"].(string); ok {
			collect(all, strings.TrimPrefix(reference, definitions), into)
		}
	})
}

func writeCustomResource(folder string, source []byte) error {
	var document struct {
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct{ OpenAPIV3Schema object }
			}
		}
	}
	if err := yaml.Unmarshal(source, &document); err != nil {
		return err
	}
	for _, version := range document.Spec.Versions {
		schema := version.Schema.OpenAPIV3Schema
		if schema == nil {
			return fmt.Errorf("version %s has no schema", version.Name)
		}
		// The API server knows the fields of metadata without being told.
		schema["properties"].(object)["metadata"] = object{"x-kubernetes-preserve-unknown-fields": true}
		closeObjects(schema)
		if err := writeSchema(folder, document.Spec.Group, version.Name, document.Spec.Names.Kind, schema); err != nil {
			return err
		}
	}
	return nil
}

func writeSchema(folder string, group, version, kind any, schema object) error {
	first, _, _ := strings.Cut(fmt.Sprint(group), ".")
	name := strings.ToLower(fmt.Sprintf("%v-%s-%v.json", kind, first, version))
	text, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, strings.Replace(name, "--", "-", 1)), text, 0o600)
}

// closeObjects makes OpenAPI say what the API server's strict validation does: a field that is not named is an error.
func closeObjects(schema object) {
	visit(schema, func(schema object) {
		_, named := schema["properties"]
		_, open := schema["additionalProperties"]
		if named && !open && schema["x-kubernetes-preserve-unknown-fields"] != true {
			schema["additionalProperties"] = false
		}
		if schema["x-kubernetes-int-or-string"] == true {
			delete(schema, "type")
			schema["anyOf"] = []any{object{"type": "integer"}, object{"type": "string"}}
		}
		// Kubernetes' own formats, such as int-or-string, mean nothing to a validator of JSON schema.
		delete(schema, "format")
	})
}

// visit calls see with each schema below, itself first. A field may be called "properties", too: it is told apart by where it stands.
func visit(schema object, see func(object)) {
	if schema == nil {
		return
	}
	see(schema)
	for _, several := range []string{"properties", "patternProperties", "definitions"} {
		fields, _ := schema[several].(object)
		for _, field := range fields {
			below, _ := field.(object)
			visit(below, see)
		}
	}
	for _, single := range []string{"items", "additionalProperties", "not"} {
		below, _ := schema[single].(object)
		visit(below, see)
	}
	for _, list := range []string{"allOf", "anyOf", "oneOf"} {
		alternatives, _ := schema[list].([]any)
		for _, alternative := range alternatives {
			below, _ := alternative.(object)
			visit(below, see)
		}
	}
}
