package mesh

import (
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	"github.com/weighlock/weighlock/local/mesh/smi"
)

// notApplied is the reason of the events.
const notApplied = "NotApplied"

// problems tells about splits that are not in force as written, once for each
// thing that is wrong.
type problems struct {
	log      logr.Logger
	recorder record.EventRecorder
	told     map[types.UID]string
}

func (p *problems) report(found []smi.Problem) {
	told := map[types.UID]string{}
	for _, f := range found {
		split := f.Split
		told[split.UID] = f.Message
		if p.told[split.UID] == f.Message {
			continue
		}
		p.log.Info("A TrafficSplit is not applied", "namespace", split.Namespace, "name", split.Name, "generation", split.Generation, "reason", f.Message)
		p.recorder.Event(&corev1.ObjectReference{
			APIVersion: split.APIVersion, Kind: split.Kind, Namespace: split.Namespace, Name: split.Name,
			UID: split.UID, ResourceVersion: split.ResourceVersion,
		}, corev1.EventTypeWarning, notApplied, f.Message)
	}
	p.told = told
}
