package fetch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is how often a run looks whether another has let go of a lock.
const lockPoll = 100 * time.Millisecond

// cache is a folder of folders. One that is there is complete: it is filled
// under another name and then renamed.
type cache string

func (c cache) path(key string) string {
	return filepath.Join(string(c), key)
}

// folder returns the folder of that key, filled by fill if it isn't there. Of
// several runs one fills it; the others call waiting and wait.
func (c cache) folder(ctx context.Context, key string, waiting func(), fill func(folder string) error) (string, error) {
	final := c.path(key)
	if exists(final) {
		return final, nil
	}
	if err := os.MkdirAll(string(c), 0o755); err != nil { //nolint:gosec // it holds public programs
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	unlock, err := lock(ctx, final+".lock", waiting)
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(final) {
		return final, nil
	}
	unfinished := final + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return "", fmt.Errorf("remove what an earlier run left: %w", err)
	}
	if err := os.Mkdir(unfinished, 0o755); err != nil { //nolint:gosec // it holds public programs
		return "", fmt.Errorf("make a folder in the cache: %w", err)
	}
	if err := fill(unfinished); err != nil {
		_ = os.RemoveAll(unfinished)
		return "", err
	}
	if err := os.Rename(unfinished, final); err != nil {
		return "", fmt.Errorf("put a folder into the cache: %w", err)
	}
	return final, nil
}

// lock takes a file lock, which the kernel drops when this process ends.
func lock(ctx context.Context, path string, waiting func()) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644) //nolint:gosec // a lock that other users may take too
	if err != nil {
		return nil, fmt.Errorf("open a lock in the cache folder: %w", err)
	}
	told := false
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = file.Close()
			return nil, fmt.Errorf("lock the cache: %w", err)
		}
		if !told {
			waiting()
			told = true
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, ctx.Err()
		case <-time.After(lockPoll):
		}
	}
}
