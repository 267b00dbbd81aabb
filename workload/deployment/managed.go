package deployment

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// pausedBy are the managers that say whether a Deployment is paused.
func pausedBy(u *unstructured.Unstructured) []string {
	var managers []string
	for _, entry := range u.GetManagedFields() {
		if owns(entry, "f:spec", "f:paused") {
			managers = append(managers, entry.Manager)
		}
	}
	return managers
}

// owns says that a manager owns the field at path.
func owns(entry metav1.ManagedFieldsEntry, path ...string) bool {
	if entry.FieldsV1 == nil {
		return false
	}
	raw := entry.FieldsV1.GetRawBytes()
	for _, name := range path {
		fields := map[string]json.RawMessage{}
		if err := json.Unmarshal(raw, &fields); err != nil {
			return false
		}
		next, ok := fields[name]
		if !ok {
			return false
		}
		raw = next
	}
	return true
}
