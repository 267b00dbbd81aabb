package demo

import (
	"context"
	"fmt"
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

// mustTell are the words that the history of the demo's rollouts has: the good
// version is what runs, and the bad one was tried.
var mustTell = []string{"serves", "rolled back"}

// history is what kubectl's plugin tells of the rollouts that were. The text is
// for a reader also where it is not as it should be.
func (d *demo) history(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, pluginTimeout)
	defer cancel()
	arguments := []string{"weighlock", "history", shop.Name, "--namespace=" + address.ShopNamespace}
	output, err := d.stack.Kubectl(ctx, "", arguments...).CombinedOutput()
	command := "kubectl " + strings.Join(arguments, " ")
	text := strings.ReplaceAll(strings.TrimSpace(command+":\n"+string(output)), "\n", "\n  ")
	return "\n" + text + "\n\n", tells(command, string(output), err)
}

// tells says what is wrong with what the plugin told.
func tells(command, output string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	for _, words := range mustTell {
		if !strings.Contains(output, words) {
			return fmt.Errorf("%s doesn't tell of what %q", command, words)
		}
	}
	return nil
}
