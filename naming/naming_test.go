package naming_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/weighlock/weighlock/naming"
)

func TestJoin_GivesValidAndDistinctNames(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, base := range []string{
		"checkout",
		strings.Repeat("a", 52),
		strings.Repeat("a", 53),
		strings.Repeat("a", 62) + "b",
		strings.Repeat("a", 62) + "c",
		strings.Repeat("a", 43) + "-" + strings.Repeat("b", 40),
		strings.Repeat("a.b-", 60),
	} {
		name := naming.Join(base, "kz4b7lmn2p")
		if errs := validation.IsDNS1123Subdomain(name); len(errs) > 0 || len(name) > 63 {
			t.Errorf("Join(%q) = %q, which is no name: %v", base, name, errs)
		}
		if !strings.HasSuffix(name, "-kz4b7lmn2p") {
			t.Errorf("Join(%q) = %q, which has lost its suffix", base, name)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%q and %q both give %q", base, other, name)
		}
		seen[name] = base
	}
	if got := naming.Join("checkout", "workload"); got != "checkout-workload" {
		t.Errorf("a short name was changed: %q", got)
	}
}

func TestLabelValue_CutsOnlyLongNames(t *testing.T) {
	t.Parallel()
	if got := naming.LabelValue("checkout"); got != "checkout" {
		t.Errorf("a short name was changed: %q", got)
	}
	long := strings.Repeat("a", 200)
	first, second := naming.LabelValue(long+"x"), naming.LabelValue(long+"y")
	if first == second {
		t.Errorf("two names give the same value %q", first)
	}
	if errs := validation.IsValidLabelValue(first); len(errs) > 0 {
		t.Errorf("%q is no label value: %v", first, errs)
	}
}

func TestHash_IsStable(t *testing.T) {
	t.Parallel()
	if got := naming.Hash([]byte("weighlock"), 10); got != naming.Hash([]byte("weighlock"), 10) || len(got) != 10 {
		t.Errorf("the hash %q is not stable or has another length", got)
	}
}
