package demo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/shop"
	"github.com/weighlock/weighlock/local/up"
)

// pluginTimeout bounds how long the plugin may take to answer.
const pluginTimeout = 15 * time.Second

// next says what a reader can try after the demo.
const next = `Try it yourself: make local starts the same and keeps it. There:
  kubectl weighlock get shop -n shop --watch             see a rollout in one picture
  kubectl weighlock pause shop -n shop --reason lunch    and resume, promote, abort, retry
  kubectl weighlock status shop -n shop --for=promoted   wait for it, as a CI does
A step that asks a person, to be answered on a page that stands in for Slack or by
kubectl weighlock approve: make local ARGS='--example ` + up.Approval + `'
`

// history is what kubectl's plugin tells of the rollouts that were.
func (d *demo) history(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, pluginTimeout)
	defer cancel()
	arguments := []string{"weighlock", "history", shop.Name, "--namespace=" + address.ShopNamespace}
	cmd := exec.CommandContext(ctx, filepath.Join(d.stack.Bin, "kubectl"), arguments...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+d.stack.Kubeconfig, "PATH="+d.stack.Bin+":"+os.Getenv("PATH"))
	output, err := cmd.CombinedOutput()
	text := fmt.Sprintf("kubectl %s:\n%s", strings.Join(arguments, " "), output)
	if err != nil {
		text += err.Error() + "\n"
	}
	return "\n" + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n\n"
}
