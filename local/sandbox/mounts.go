package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/weighlock/weighlock/local/address"
)

const resolvConf = "/etc/resolv.conf"

// Resolver is the resolv.conf of every process inside.
const Resolver = "nameserver " + address.DNSIP + "\n" +
	"search svc." + address.ClusterDomain + " " + address.ClusterDomain + "\n" +
	"options ndots:5\n"

// mountAll gives the sandbox its own /proc, an empty /run (where the pods'
// /var/run/secrets go; it belongs to root outside) and the cluster's DNS.
func mountAll() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	// A resolv.conf kept in /run disappears with the mount, so where it
	// really is must be known before.
	target, err := filepath.EvalSymlinks(resolvConf)
	if errors.Is(err, fs.ErrNotExist) {
		target, err = "", nil
	}
	if err != nil {
		return fmt.Errorf("find %s: %w", resolvConf, err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	if target == "" {
		return nil
	}
	return mountResolver(target)
}

func mountResolver(target string) error {
	const source = "/run/weighlock-resolv.conf"
	if err := os.WriteFile(source, []byte(Resolver), 0o644); err != nil { //nolint:gosec // every program reads it
		return fmt.Errorf("write resolv.conf: %w", err)
	}
	if strings.HasPrefix(target, "/run/") {
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil { //nolint:gosec // every program reads it
			return fmt.Errorf("make a folder for resolv.conf: %w", err)
		}
		if err := os.WriteFile(target, nil, 0o644); err != nil { //nolint:gosec // every program reads it
			return fmt.Errorf("make resolv.conf: %w", err)
		}
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount resolv.conf: %w", err)
	}
	return nil
}
