package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"
)

// output is the flag --output of a command: formats of the command's own, and those that print objects as kubectl does.
type output struct {
	own   []string
	print *genericclioptions.PrintFlags
	// printer prints objects. It is one for all of them, as it writes a line between two where the format needs one.
	printer printers.ResourcePrinter
}

// bind adds the flag to a command, with its own formats; the first of them is what is printed without the flag, and may be empty.
// Objects are printed as json, yaml, name, jsonpath=... and go-template=... .
func (o *output) bind(cmd *cobra.Command, own ...string) {
	o.own = own
	o.print = genericclioptions.NewPrintFlags("")
	*o.print.OutputFormat = own[0]
	o.print.AddFlags(cmd)
	flag := cmd.Flags().Lookup("output")
	flag.Usage = "What to print: " + strings.Join(o.formats(), ", ") + ", or jsonpath=..., go-template=... and the like."
	for _, detail := range []string{"allow-missing-template-keys", "show-managed-fields", "template"} {
		cmd.Flags().Lookup(detail).Hidden = true
	}
	complete := cobra.FixedCompletions(slices.DeleteFunc(o.formats(), func(f string) bool { return f == "" }), cobra.ShellCompDirectiveNoFileComp)
	// It fails only where the flag isn't there.
	_ = cmd.RegisterFlagCompletionFunc("output", complete)
}

// formats are the ones that a user is told of.
func (o *output) formats() []string {
	return append(slices.DeleteFunc(slices.Clone(o.own), func(f string) bool { return f == "" }), "json", "yaml", "name")
}

// format is what the user asked for.
func (o *output) format() string { return *o.print.OutputFormat }

// isOwn says whether the command prints in a format of its own, and not objects.
func (o *output) isOwn() bool {
	return slices.Contains(o.own, o.format()) && (o.print.TemplatePrinterFlags.TemplateArgument == nil || *o.print.TemplatePrinterFlags.TemplateArgument == "")
}

// check tells what may be asked for, where something else was.
func (o *output) check() error {
	if o.isOwn() {
		return nil
	}
	if _, err := o.print.ToPrinter(); err != nil {
		if genericclioptions.IsNoCompatiblePrinterError(err) {
			return usagef("--output %s is unknown: it is one of %s, jsonpath=... and go-template=...", o.format(), strings.Join(o.formats(), ", "))
		}
		return &exitError{code: ExitUsage, err: fmt.Errorf("read --output: %w", err)}
	}
	return nil
}

// object prints an object as the flag asks.
func (o *output) object(s *session, object runtime.Object) error {
	if o.printer == nil {
		types, err := newScheme()
		if err != nil {
			return err
		}
		if o.printer, err = o.print.WithTypeSetter(types).ToPrinter(); err != nil {
			return &exitError{code: ExitUsage, err: fmt.Errorf("read --output: %w", err)}
		}
	}
	if err := o.printer.PrintObj(object, s.Out); err != nil {
		return fmt.Errorf("print %T: %w", object, err)
	}
	return nil
}
