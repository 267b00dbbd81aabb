package fetch

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// wellFilled is how big Go's build cache is, about, once all is in it.
const wellFilled = 4 << 30

// requireDisk says whether the builds will fit, before minutes are spent on
// them. A build cache that already holds much is given the benefit of the
// doubt: what needs the space may be in it.
func requireDisk(goCache string, need uint64) error {
	folder := goCache
	for !exists(folder) {
		folder = filepath.Dir(folder)
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return fmt.Errorf("see how much disk is free: %w", err)
	}
	free := stat.Bavail * uint64(stat.Bsize) //nolint:gosec // a block size is positive
	if free >= need || (free >= need/4 && size(goCache) > wellFilled) {
		return nil
	}
	return fmt.Errorf("the builds need about %.0f GB of disk, and %s has %.1f GB free: make room, or set GOCACHE, GOMODCACHE and WEIGHLOCK_CACHE to folders on another disk",
		float64(need)/(1<<30), folder, float64(free)/(1<<30))
}
