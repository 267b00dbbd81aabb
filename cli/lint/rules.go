package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/weighlock/weighlock/crds"
)

// rules are those of a kind, as the API server holds them.
type rules struct {
	structure   *structural.Structural
	schema      validation.SchemaValidator
	expressions *cel.Validator
}

// definitions are the schemas of all kinds.
var definitions = sync.OnceValues(func() (map[schema.GroupVersionKind]*apiextensions.JSONSchemaProps, error) {
	entries, err := crds.Files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("reading the CustomResourceDefinitions: %w", err)
	}
	found := map[schema.GroupVersionKind]*apiextensions.JSONSchemaProps{}
	for _, entry := range entries {
		content, err := crds.Files.ReadFile(entry.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the CustomResourceDefinitions: %w", err)
		}
		definition := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(content, definition); err != nil {
			return nil, fmt.Errorf("reading %s: %w", entry.Name(), err)
		}
		for _, version := range definition.Spec.Versions {
			props := &apiextensions.JSONSchemaProps{}
			if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, props, nil); err != nil {
				return nil, fmt.Errorf("reading the schema in %s: %w", entry.Name(), err)
			}
			found[schema.GroupVersionKind{Group: definition.Spec.Group, Version: version.Name, Kind: definition.Spec.Names.Kind}] = props
		}
	}
	return found, nil
})

var (
	compiled     = map[schema.GroupVersionKind]*rules{}
	compiledLock sync.Mutex
)

// rulesOf are those of a kind. Compiling them takes a moment, and is done once.
func rulesOf(kind schema.GroupVersionKind) (*rules, error) {
	compiledLock.Lock()
	defer compiledLock.Unlock()
	if known := compiled[kind]; known != nil {
		return known, nil
	}
	known, err := definitions()
	if err != nil {
		return nil, err
	}
	props := known[kind]
	if props == nil {
		return nil, &unknownKindError{kind, slices.Collect(maps.Keys(known))}
	}
	structure, err := structural.NewStructural(props)
	if err != nil {
		return nil, fmt.Errorf("reading the schema of %s: %w", kind.Kind, err)
	}
	validator, _, err := validation.NewSchemaValidator(props)
	if err != nil {
		return nil, fmt.Errorf("reading the schema of %s: %w", kind.Kind, err)
	}
	compiled[kind] = &rules{structure, validator, cel.NewValidator(structure, true, celconfig.PerCallLimit)}
	return compiled[kind], nil
}

// unknownKindError says that Weighlock has no such kind.
type unknownKindError struct {
	kind  schema.GroupVersionKind
	known []schema.GroupVersionKind
}

func (e *unknownKindError) Error() string {
	var kinds []string
	for _, known := range e.known {
		if known.Kind == e.kind.Kind {
			return fmt.Sprintf("can't be %q: write %s", e.kind.GroupVersion(), known.GroupVersion())
		}
		kinds = append(kinds, known.Kind)
	}
	slices.Sort(kinds)
	if meant := nearest(e.kind.Kind, kinds); meant != "" {
		return fmt.Sprintf("can't be %q: %s may be meant", e.kind.Kind, meant)
	}
	return fmt.Sprintf("can't be %q: of %s there are %s", e.kind.Kind, e.kind.Group, strings.Join(kinds, ", "))
}

// field is where that is seen.
func (e *unknownKindError) field() string {
	if slices.ContainsFunc(e.known, func(known schema.GroupVersionKind) bool { return known.Kind == e.kind.Kind }) {
		return "apiVersion"
	}
	return "kind"
}
