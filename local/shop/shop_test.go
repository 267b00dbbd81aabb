package shop_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/local/fetch"
	"github.com/weighlock/weighlock/local/shop"
)

func TestFiles_AreTheCanarysShopWithTheRolloutOfAnotherExample(t *testing.T) {
	t.Parallel()
	root, err := fetch.Root("")
	if err != nil {
		t.Fatal(err)
	}
	canary, err := shop.Files(root, shop.Canary, shop.Version{Name: "7", ErrorRate: 0.25})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(canary["shop.yaml"], "demo-shop:7\n") || !strings.Contains(canary["shop.yaml"], "args: [--version=7, --error-rate=0.25]") {
		t.Errorf("the shop is not of the version:\n%s", canary["shop.yaml"])
	}
	seen := []string{canary["rollout.yaml"]}
	for _, example := range []string{"blue-green", "tenants", "shadow", "all", "slow-release", "approval"} {
		files, err := shop.Files(root, example, shop.Version{Name: "7", ErrorRate: 0.25})
		if err != nil {
			t.Fatal(err)
		}
		if files["shop.yaml"] != canary["shop.yaml"] {
			t.Errorf("%s has another shop", example)
		}
		rollout := files["rollout.yaml"]
		if !strings.Contains(rollout, "kind: Rollout\n") || slices.Contains(seen, rollout) {
			t.Errorf("%s has no Rollout of its own", example)
		}
		seen = append(seen, rollout)
	}
}

func TestFiles_HaveTheVersionsArguments(t *testing.T) {
	t.Parallel()
	root, err := fetch.Root("")
	if err != nil {
		t.Fatal(err)
	}
	files, err := shop.Files(root, shop.Canary, shop.Version{Name: "7", ErrorRate: 0.05, Median: 4 * time.Millisecond, P99: 40 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(files["shop.yaml"], "args: [--version=7, --error-rate=0.05, --latency=4ms, --latency-p99=40ms]\n") {
		t.Errorf("the shop is not of the version:\n%s", files["shop.yaml"])
	}
}

func TestFiles_AreNoneOfAnUnknownExample(t *testing.T) {
	t.Parallel()
	root, err := fetch.Root("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shop.Files(root, "canari", shop.Version{Name: "1"}); err == nil || !strings.Contains(err.Error(), "canari") {
		t.Errorf("it says %v, want an error that names the example", err)
	}
}
