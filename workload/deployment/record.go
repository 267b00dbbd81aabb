package deployment

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
	"github.com/weighlock/weighlock/workload"
)

// Record keeps a template as a ControllerRevision. Of one that is kept already only who brings it now is changed. It needs
// create and patch on controllerrevisions.
func (a *Adapter) Record(ctx context.Context, ref workload.Reference, template workload.Template) error {
	records, err := a.records(ctx, ref)
	if err != nil {
		return err
	}
	record, known := records[template.Revision]
	switch {
	case known && (template.Commit == "" || template.Commit == record.Commit):
		return nil
	case known:
		record.Commit, record.Author = template.Commit, template.Author
		return a.applyRecord(ctx, ref, record)
	}
	record = workload.Record{Template: template, Number: 1}
	for _, other := range records {
		record.Number = max(record.Number, other.Number+1)
	}
	record.Content = canonical(template.Content)
	return a.applyRecord(ctx, ref, record)
}

// MarkFailed remembers why a revision was rolled back; without a reason it may be tried again. It needs
// patch on controllerrevisions.
func (a *Adapter) MarkFailed(ctx context.Context, ref workload.Reference, revision, reason string) error {
	records, err := a.records(ctx, ref)
	if err != nil {
		return err
	}
	record, ok := records[revision]
	if !ok {
		return fmt.Errorf("mark revision %s of %s/%s as failed: %w", revision, ref.Namespace, ref.Name, errNotRecorded)
	}
	if record.Failed == reason {
		return nil
	}
	record.Failed = reason
	return a.applyRecord(ctx, ref, record)
}

// Forget deletes the records of all revisions but those in keep. It needs delete on controllerrevisions.
func (a *Adapter) Forget(ctx context.Context, ref workload.Reference, keep []string) error {
	kept, err := a.listRecords(ctx, ref)
	if err != nil {
		return err
	}
	for i := range kept {
		if slices.Contains(keep, kept[i].Labels[v1alpha1.LabelRevision]) {
			continue
		}
		if err := a.remove(ctx, &kept[i]); err != nil {
			return fmt.Errorf("forget a template: %w", err)
		}
	}
	return nil
}

// applyRecord writes a record. Its data can't be changed once written, and isn't.
func (a *Adapter) applyRecord(ctx context.Context, ref workload.Reference, record workload.Record) error {
	u := object(recordKind, ref.Namespace, naming.Join(ref.Name, record.Revision))
	u.SetLabels(map[string]string{
		v1alpha1.LabelRollout:  naming.LabelValue(ref.Rollout),
		v1alpha1.LabelRevision: record.Revision,
	})
	annotations := map[string]string{}
	for key, value := range map[string]string{
		v1alpha1.AnnotationFailed: record.Failed,
		v1alpha1.AnnotationCommit: record.Commit,
		v1alpha1.AnnotationAuthor: record.Author,
	} {
		if value != "" {
			annotations[key] = value
		}
	}
	if len(annotations) > 0 {
		u.SetAnnotations(annotations)
	}
	u.Object["revision"] = record.Number
	u.Object["data"] = record.Content
	return a.apply(ctx, u, true)
}

// records reads the Rollout's records, by revision.
func (a *Adapter) records(ctx context.Context, ref workload.Reference) (map[string]workload.Record, error) {
	kept, err := a.listRecords(ctx, ref)
	if err != nil {
		return nil, err
	}
	records := make(map[string]workload.Record, len(kept))
	for i := range kept {
		record := &kept[i]
		content := map[string]any{}
		// This decoder keeps whole numbers whole, as the API machinery does.
		if err := json.Unmarshal(record.Data.Raw, &content); err != nil {
			return nil, fmt.Errorf("read the template in ControllerRevision %s/%s: %w", record.Namespace, record.Name, err)
		}
		revision := record.Labels[v1alpha1.LabelRevision]
		records[revision] = workload.Record{
			Template: workload.Template{
				Revision: revision,
				Content:  content,
				Commit:   record.Annotations[v1alpha1.AnnotationCommit],
				Author:   record.Annotations[v1alpha1.AnnotationAuthor],
			},
			Failed: record.Annotations[v1alpha1.AnnotationFailed],
			Number: record.Revision,
		}
	}
	return records, nil
}

func (a *Adapter) listRecords(ctx context.Context, ref workload.Reference) ([]appsv1.ControllerRevision, error) {
	kept := &appsv1.ControllerRevisionList{}
	err := a.reader.List(ctx, kept, client.InNamespace(ref.Namespace),
		client.MatchingLabels{v1alpha1.LabelRollout: naming.LabelValue(ref.Rollout)})
	if err != nil {
		return nil, fmt.Errorf("list the recorded templates of %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	return kept.Items, nil
}
