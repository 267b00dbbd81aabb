package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// The formats of answers for other programs.
const (
	formatJSON = "json"
	formatYAML = "yaml"
)

// report is the flag --output of a command whose answer is no object of the cluster.
type report struct {
	own     []string
	format  string
	printed int
}

// bind adds the flag to a command, with its own formats; the first of them is what is printed without the flag, and may be empty.
func (r *report) bind(cmd *cobra.Command, own ...string) {
	r.own = own
	cmd.Flags().StringVarP(&r.format, "output", "o", own[0], "What to print: "+strings.Join(r.formats(), ", ")+".")
	// It fails only where the flag isn't there.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(r.formats(), cobra.ShellCompDirectiveNoFileComp))
}

// formats are the ones that a user is told of.
func (r *report) formats() []string {
	return append(slices.DeleteFunc(slices.Clone(r.own), func(f string) bool { return f == "" }), formatJSON, formatYAML)
}

// isData says whether the answer is for other programs.
func (r *report) isData() bool { return r.format == formatJSON || r.format == formatYAML }

// check tells what may be asked for, where something else was.
func (r *report) check() error {
	if r.isData() || slices.Contains(r.own, r.format) {
		return nil
	}
	return usagef("--output %s is unknown: it is one of %s", r.format, strings.Join(r.formats(), ", "))
}

// print writes an answer for other programs, or one more of several.
func (r *report) print(out io.Writer, answer any) error {
	body, err := json.MarshalIndent(answer, "", "  ")
	if err == nil && r.format == formatYAML {
		body, err = yaml.JSONToYAML(body)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", r.format, err)
	}
	text := strings.TrimSuffix(string(body), "\n") + "\n"
	if r.printed++; r.printed > 1 && r.format == formatYAML {
		text = "---\n" + text
	}
	if _, err := io.WriteString(out, text); err != nil {
		return fmt.Errorf("write %s: %w", r.format, err)
	}
	return nil
}
