package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// switches are the kernel settings by which distributions forbid user
// namespaces, with the value that forbids them and the one that allows them.
var switches = []struct{ file, forbids, setting string }{
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"},
	{"/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"},
	{"/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=10000"},
}

// explain adds the way out to an error that says that the kernel refused.
func explain(err error) error {
	refused := errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL)
	if !refused {
		return err
	}
	for _, s := range switches {
		value, readErr := os.ReadFile(s.file)
		if readErr == nil && strings.TrimSpace(string(value)) == s.forbids {
			return fmt.Errorf("%w: this machine forbids user namespaces; allow them with 'sudo sysctl %s', or run this as root", err, s.setting)
		}
	}
	if os.Geteuid() == 0 {
		return fmt.Errorf("%w: this root may not make namespaces; in a container, give it CAP_SYS_ADMIN and an unmasked /proc (docker run --privileged)", err)
	}
	return fmt.Errorf("%w: the kernel, or the container this runs in, forbids user namespaces; allow them, or run this as root", err)
}
