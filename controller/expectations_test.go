package controller_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/controller"
)

// TestExpectations_WaitUntilCachesShowWhatWasWritten goes through what is written for a Rollout: its status, an object, a deletion.
func TestExpectations_WaitUntilCachesShowWhatWasWritten(t *testing.T) {
	meta := func(name, version string) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: "uid", ResourceVersion: version, Labels: map[string]string{v1alpha1.LabelRollout: "cart"},
		}
	}
	rollout := func(version string) client.Object { return &v1alpha1.Rollout{ObjectMeta: meta("cart", version)} }
	service := func(version string) client.Object { return &corev1.Service{ObjectMeta: meta("cart-workload", version)} }
	for _, test := range []struct {
		name   string
		before client.Object
		write  func(*controller.Expectations)
		after  entry
	}{
		{
			"the status", rollout("100"),
			func(e *controller.Expectations) { e.Reported(rollout("101").(*v1alpha1.Rollout)) }, entryOf(t, rollout("101")),
		},
		{"an object", service("100"), func(e *controller.Expectations) { e.Written(service("101")) }, entryOf(t, service("102"))},
		{"a new object", rollout("100"), func(e *controller.Expectations) { e.Written(service("101")) }, entryOf(t, service("101"))},
		{
			"a deletion", service("100"),
			func(e *controller.Expectations) { e.Deleted(service("100")) },
			entry{kind: services, name: client.ObjectKeyFromObject(service(""))},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := NewWithT(t)
			h := newHistory()
			h.add(entryOf(t, test.before))
			shown := newView(h)
			shown.show(1, nil)
			clock := clocktesting.NewFakeClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
			expectations := controller.NewExpectations(shown, testScheme, clock)
			met := func() bool {
				is, err := expectations.Met(t.Context(), "shop", "cart")
				g.Expect(err).NotTo(HaveOccurred())
				return is
			}
			g.Expect(met()).To(BeTrue(), "nothing was written")
			test.write(expectations)
			g.Expect(met()).To(BeFalse())
			other, err := expectations.Met(t.Context(), "shop", "checkout")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(other).To(BeTrue(), "another Rollout waits for nothing")

			h.add(test.after)
			g.Expect(met()).To(BeFalse())
			shown.show(2, nil)
			g.Expect(met()).To(BeTrue())

			expectations.Written(service("999"))
			g.Expect(met()).To(BeFalse())
			clock.Step(31 * time.Second)
			g.Expect(met()).To(BeTrue(), "what never comes is not waited for for good")
		})
	}
}

func entryOf(t *testing.T, obj client.Object) entry {
	t.Helper()
	u, err := asUnstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	return entry{kind: u.GroupVersionKind().GroupKind(), name: client.ObjectKeyFromObject(u), obj: u}
}
