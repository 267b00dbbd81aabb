package lint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metavalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// check holds the object against the rules of its kind, in the order of the API server, and fills in what that does.
func (o *object) check() ([]Finding, error) {
	if o.misnamed != "" {
		return []Finding{o.finding(Error, "apiVersion", o.misnamed)}, nil
	}
	rules, err := rulesOf(o.kind)
	if unknown, is := errors.AsType[*unknownKindError](err); is {
		return []Finding{o.finding(Error, unknown.field(), unknown.Error())}, nil
	}
	if err != nil {
		return nil, err
	}
	meta, found := o.checkMeta()
	for _, path := range pruning.PruneWithOptions(o.content, rules.structure, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		found = append(found, o.unknown(path, rules.structure))
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(o.content, rules.structure)
	delete(o.content, "status") // as the API server does with what is new
	defaulting.Default(o.content, rules.structure)
	problems := field.ErrorList{}
	if meta != nil {
		if meta.Namespace == "" {
			meta.Namespace = metav1.NamespaceDefault
		}
		if meta.Name == "" && meta.GenerateName != "" {
			meta.Name = meta.GenerateName + "name" // The API server makes one first of all.
		}
		problems = metavalidation.ValidateObjectMeta(meta, true, metavalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
	}
	problems = append(problems, validation.ValidateCustomResource(nil, o.content, rules.schema)...)
	problems = append(problems, listtype.ValidateListSetsAndMaps(nil, rules.structure, o.content)...)
	blocked := slices.ContainsFunc(problems, blocks)
	// The context is for cancelling only.
	byExpression, _ := rules.expressions.Validate(context.Background(), nil, rules.structure, o.content, nil, celconfig.RuntimeCELCostBudget)
	for _, problem := range byExpression {
		// The API server doesn't try the expressions when the object isn't of the right shape. Here they are, so that all is told at once, but for
		// those that can't be worked out then.
		if !blocked || !strings.Contains(problem.Detail, "evaluating rule: ") || strings.HasSuffix(problem.Detail, notRE2) {
			problems = append(problems, problem)
		}
	}
	for _, problem := range problems {
		found = append(found, o.explain(problem))
	}
	return found, nil
}

// checkMeta reads the metadata, which no schema describes.
func (o *object) checkMeta() (*metav1.ObjectMeta, []Finding) {
	meta, _, unknown, err := objectmeta.GetObjectMetaWithOptions(o.content, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		_, problem, _ := strings.Cut(err.Error(), "cannot unmarshal ")
		if problem == "" {
			problem = err.Error()
		}
		return nil, []Finding{o.finding(Error, "metadata", "can't be read: "+problem)}
	}
	var found []Finding
	for _, path := range unknown {
		found = append(found, o.finding(Error, path, "is no field of metadata"))
	}
	return meta, found
}

// blocks says whether the object isn't even of the right shape, so that rules written as expressions may fail for that alone.
func blocks(problem *field.Error) bool {
	switch problem.Type { //nolint:exhaustive // All others are about values.
	case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
		return true
	}
	return false
}

// explain tells of a problem in the words of the API server, without what only it needs.
func (o *object) explain(problem *field.Error) Finding {
	path := problem.Field
	if path == "<nil>" {
		path = ""
	}
	message := problem.Detail
	// What schemas are violated by is told with the path in front.
	if _, after, found := strings.Cut(message, " in body "); found {
		message = after
	}
	switch problem.Type { //nolint:exhaustive // All others say it in their detail.
	case field.ErrorTypeRequired:
		message = strings.TrimSuffix("is missing: "+problem.Detail, ": ")
	case field.ErrorTypeNotSupported:
		message = fmt.Sprintf("can't be %s: %s", value(problem.BadValue), problem.Detail)
	case field.ErrorTypeDuplicate:
		message = "is there twice: " + value(problem.BadValue)
	case field.ErrorTypeInvalid:
		if text := value(problem.BadValue); text != "" && message != problem.Detail {
			message = fmt.Sprintf("can't be %s: it %s", text, message)
		} else if text != "" {
			message = fmt.Sprintf("can't be %s: %s", text, message)
		} else {
			message = "is wrong: " + message
		}
	}
	return o.refine(path, message)
}

// value shows what is wrong, unless it is more than a word or a number.
func value(bad any) string {
	switch bad := bad.(type) {
	case string:
		switch {
		case bad == "" || bad == "object" || bad == "array":
			return ""
		case len(bad) > 60:
			return fmt.Sprintf("%.57q...", bad)
		}
		return fmt.Sprintf("%q", bad)
	case int64, int32, int, float64, bool:
		return fmt.Sprint(bad)
	case map[string]any:
		var parts []string
		for _, key := range []string{"name"} {
			if part, is := bad[key].(string); is {
				parts = append(parts, fmt.Sprintf("%s: %s", key, part))
			}
		}
		return strings.Join(parts, ", ")
	}
	return ""
}
