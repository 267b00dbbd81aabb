package demo

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weighlock/weighlock/local/observe"
	"github.com/weighlock/weighlock/local/stack"
)

// logEnd is how much of Weighlock's log is shown when the demo fails, in
// bytes.
const logEnd = 4000

const (
	// logsPrefix begins the names of folders with the logs of demos that failed,
	// which are kept for so long.
	logsPrefix = "weighlock-demo-logs-"
	logsLife   = 24 * time.Hour
)

// until shows the table until a view is as it should be. Views that can't be
// had are only an error when time is over.
func (d *demo) until(ctx context.Context, what string, timeout time.Duration, done func(observe.View) (bool, error)) error {
	deadline := time.Now().Add(timeout)
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		over, err := d.look(ctx, done)
		if over {
			return err
		}
		if time.Now().After(deadline) {
			if err == nil {
				return fmt.Errorf("waited %s in vain for %s", timeout, what)
			}
			return fmt.Errorf("waited %s in vain for %s: %w", timeout, what, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// look takes one look; it says true when the wait is over.
func (d *demo) look(ctx context.Context, done func(observe.View) (bool, error)) (bool, error) {
	view, err := d.observer.Look(ctx)
	if err != nil {
		return false, err
	}
	d.view = view
	d.show(view)
	over, err := done(view)
	return over || err != nil, err
}

// keepShowing shows the table for a while.
func (d *demo) keepShowing(ctx context.Context, during time.Duration) error {
	end := time.Now().Add(during)
	return d.until(ctx, "a pause to end", during+time.Minute, func(observe.View) (bool, error) {
		return time.Now().After(end), nil
	})
}

// show shows a view: events as they come, and the table's present row.
func (d *demo) show(view observe.View) {
	for _, event := range view.Events {
		mark := "*"
		if event.Type == "Warning" {
			mark = "!"
		}
		d.noteAt(view.At, "%s %s: %s", mark, event.Reason, event.Message)
	}
	d.screen.row(d.row(view))
}

// explain says what there is to know about a demo that failed.
func (d *demo) explain() {
	if r := d.view.Rollout; r != nil {
		d.screen.say("Rollout shop is " + r.Status.State + ", waiting for: " + r.Status.WaitingFor)
		d.screen.say(observe.Describe(r.Status.Conditions))
	} else {
		d.screen.say("There is no Rollout.")
	}
	if s := d.view.Source; s != nil {
		d.screen.say("GitSource shop:\n" + observe.Describe(s.Status.Conditions))
	}
	if d.load != nil {
		d.screen.say(failures(d.load.Stats()))
	}
	if log := weighlockLog(d.stack.Logs); log != "" {
		d.screen.say("The end of Weighlock's log:\n" + log)
	}
	d.tellLogs()
}

// tellLogs says why Envoy answered in a version's place, if it did, and where all logs are.
func (d *demo) tellLogs() {
	if content, err := os.ReadFile(filepath.Join(d.stack.Logs, stack.PartEnvoy+".log")); err == nil {
		d.screen.say("The end of Envoy's log:\n" + string(content[max(0, len(content)-logEnd):]))
	}
	folder := d.stack.Logs
	if !d.keptLogs {
		kept, err := keep(folder)
		if err != nil {
			d.screen.say("The logs could not be kept: " + err.Error())
			return
		}
		folder = kept
	}
	d.screen.say("All logs: " + folder)
}

// keep copies the logs out of a folder that goes with the stack.
func keep(logs string) (string, error) {
	forget(os.TempDir())
	folder, err := os.MkdirTemp("", logsPrefix)
	if err != nil {
		return "", fmt.Errorf("make a folder for the logs: %w", err)
	}
	if err := os.CopyFS(folder, os.DirFS(logs)); err != nil {
		return "", fmt.Errorf("copy the logs: %w", err)
	}
	return folder, nil
}

// forget removes what was kept of demos long ago. It does not matter if it can't:
// that may be another user's.
func forget(parent string) {
	found, _ := filepath.Glob(filepath.Join(parent, logsPrefix+"*"))
	for _, folder := range found {
		if info, err := os.Stat(folder); err == nil && time.Since(info.ModTime()) > logsLife {
			_ = os.RemoveAll(folder)
		}
	}
}

// weighlockLog is the end of Weighlock's log.
func weighlockLog(logs string) string {
	var found string
	_ = filepath.WalkDir(filepath.Join(logs, "pods"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.Contains(path, stack.Namespace) {
			found = path
		}
		return nil
	})
	content, err := os.ReadFile(found)
	if err != nil {
		return ""
	}
	return string(content[max(0, len(content)-logEnd):])
}
