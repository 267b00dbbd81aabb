package slack

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	slackapi "github.com/slack-go/slack"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/notifier"
)

const (
	// Slack's limits, in characters: of the text of a section, of one of its fields, of what confirms a click, and of a message's plain
	// text.
	mostText, mostField, mostConfirm, mostPlain = 2900, 1900, 300, 2900
	// The ids of the buttons.
	actionApprove, actionAbort = "weighlock-approve", "weighlock-abort"
)

// message is one as Slack gets it.
type message struct {
	// plain is for notifications, and for readers of screens.
	plain  string
	blocks []slackapi.Block
	// state changes when something happened, and not when only numbers did.
	state string
}

// escape keeps text from being read as Slack's markup.
func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

// code is text as code: nothing in it is markup.
func code(text string) string {
	return "`" + strings.ReplaceAll(escape(strings.Join(strings.Fields(text), " ")), "`", "'") + "`"
}

// emoji are their names in a text, as Slack shows them as signs. They are in small letters.
var emoji = regexp.MustCompile(`:([+-]1|100|1234|[\p{N}_+'-]*[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_+'-]*):`)

// said is what others wrote, without their markup and signs, and in one line: else it could look like one of ours.
func said(text string) string {
	text = emoji.ReplaceAllString(strings.Join(strings.Fields(text), " "), "∶$1∶")
	return strings.NewReplacer("*", "∗", "_", "ˍ", "~", "∼", "`", "'").Replace(escape(text))
}

// saidIn is what others wrote, cut to a number of characters: what is escaped gets longer.
func saidIn(most int, text string) string {
	for n := most; ; n-- {
		if cut := said(notifier.Cut(text, n)); utf8.RuneCountInString(cut) <= most {
			return cut
		}
	}
}

// speaker is the first who is named in a sentence that tells of a decision: before anything that was said.
var speaker = regexp.MustCompile(`\bby (?:` + memberPrefix + `([UW][A-Z0-9]{2,30})\b)?`)

// attributed is what others wrote of a decision, with the name of the member who decided. Whoever else is named in it may be named
// in what somebody gave as a reason, so that no name is made of that.
func attributed(text string) string {
	text = said(text)
	at := speaker.FindStringSubmatchIndex(text)
	if at == nil || at[2] < 0 {
		return text
	}
	return text[:at[2]-len(memberPrefix)] + "<@" + text[at[2]:at[3]] + ">" + text[at[3]:]
}

func markdown(text string) *slackapi.TextBlockObject {
	// Verbatim: Slack makes no links and mentions of what looks like some.
	return slackapi.NewTextBlockObject(slackapi.MarkdownType, notifier.Cut(text, mostText), false, true)
}

func plain(text string) *slackapi.TextBlockObject {
	return slackapi.NewTextBlockObject(slackapi.PlainTextType, text, true, false)
}

func section(text string, fields ...*slackapi.TextBlockObject) slackapi.Block {
	if text == "" {
		return slackapi.NewSectionBlock(nil, fields, nil)
	}
	return slackapi.NewSectionBlock(markdown(text), fields, nil)
}

func small(text string) slackapi.Block { return slackapi.NewContextBlock("", markdown(text)) }

func field(name, value string) *slackapi.TextBlockObject {
	return slackapi.NewTextBlockObject(slackapi.MarkdownType, notifier.Cut("*"+name+"*\n"+value, mostField), false, true)
}

// standing is what a rollout is doing: a sign, a word and a sentence.
type standing struct {
	sign, word, why string
	// over says that nothing more will happen to this attempt.
	over bool
}

// stands tells how the attempt of a thread stands.
func stands(rollout *v1alpha1.Rollout, thread *v1alpha1.Thread) standing {
	status := &rollout.Status
	serves := ""
	if status.Incumbent != nil {
		serves = status.Incumbent.Revision
	}
	promoted := serves == thread.Revision && serves != ""
	switch {
	case !rollout.DeletionTimestamp.IsZero():
		return standing{":wastebasket:", "Over", "the Rollout is deleted", true}
	case status.Attempt > thread.Attempt && promoted:
		return standing{":white_check_mark:", "Promoted", "it serves all requests", true}
	case status.Attempt > thread.Attempt && status.Candidate != nil && status.Candidate.Revision == thread.Revision:
		return standing{":fast_forward:", "Over", "the same version is tried again", true}
	case status.Attempt > thread.Attempt:
		return standing{":fast_forward:", "Superseded", "another version is tried", true}
	}
	switch status.State { //nolint:exhaustive // All else is told by what it does.
	case v1alpha1.StateRolledBack:
		if status.Step != nil {
			return standing{":rewind:", "Rolling back", "", false} // It was decided, and isn't done.
		}
		why := ""
		if status.Candidate != nil {
			why = status.Candidate.Failed
		}
		return standing{":rewind:", "Rolled back", why, true}
	case v1alpha1.StateStalled:
		return standing{":warning:", "Stalled", status.WaitingFor, false}
	case v1alpha1.StateRollingBack:
		return standing{":rewind:", "Rolling back", status.WaitingFor, false}
	case v1alpha1.StateSuspended:
		return standing{":double_vertical_bar:", string(status.State), status.WaitingFor, false}
	case v1alpha1.StatePaused:
		return standing{":double_vertical_bar:", "Paused", waits(status.WaitingFor), false}
	case v1alpha1.StateWaiting:
		return standing{":hourglass_flowing_sand:", "In step " + position(rollout), waits(status.WaitingFor), false}
	case v1alpha1.StateIdle:
		if promoted {
			return standing{":white_check_mark:", "Promoted", "it serves all requests", true}
		}
		return standing{":leftwards_arrow_with_hook:", "Withdrawn", "the version before serves all requests", true}
	}
	switch {
	case promoted:
		return standing{":white_check_mark:", "Promoted", "it serves all requests; the workload is brought up to it", false}
	case status.Step != nil:
		return standing{":arrow_forward:", "In step " + position(rollout), status.WaitingFor, false}
	default:
		return standing{":arrow_forward:", string(status.State), status.WaitingFor, false}
	}
}

func waits(what string) string {
	if what == "" {
		return ""
	}
	return "waits for " + what
}

// position names the present step, such as "2/5, half".
func position(rollout *v1alpha1.Rollout) string {
	step := rollout.Status.Step
	if step == nil {
		return ""
	}
	if step.Name == "" {
		return step.Position
	}
	return step.Position + ", " + step.Name
}

// root is the message of one attempt.
func root(rollout *v1alpha1.Rollout, thread *v1alpha1.Thread) message {
	s := stands(rollout, thread)
	name := rollout.Namespace + "/" + rollout.Name
	title := name + ": " + s.word
	m := message{
		plain: notifier.Cut(escape(title+". "+s.why), mostPlain),
		// What is over may be called what it was called before, and changes no more.
		state: strings.Join([]string{s.word, strconv.FormatBool(s.over), approvals(rollout), pausedBy(rollout)}, "|"),
	}
	text := s.sign + " *" + said(title) + "*"
	if s.why != "" {
		text += "\n" + said(s.why)
	}
	m.blocks = append(m.blocks, section(text))
	if over := rollout.Status.Attempt > thread.Attempt; over {
		m.blocks = append(m.blocks, section("", field("Candidate", code(thread.Revision))))
		return m
	}
	m.blocks = append(m.blocks, section("", facts(rollout, thread)...))
	if evidence := evidence(rollout); evidence != "" && !s.over {
		m.blocks = append(m.blocks, section(evidence))
	}
	return m
}

func facts(rollout *v1alpha1.Rollout, thread *v1alpha1.Thread) []*slackapi.TextBlockObject {
	status := &rollout.Status
	fields := []*slackapi.TextBlockObject{field("Candidate", code(cmp.Or(thread.Revision, "none")))}
	brought := status.Candidate
	if status.Incumbent != nil && status.Incumbent.Revision == thread.Revision {
		brought = status.Incumbent
	} else if status.Incumbent != nil {
		fields = append(fields, field("Incumbent", code(status.Incumbent.Revision)))
	}
	if brought != nil && brought.Revision == thread.Revision && brought.Commit != "" {
		text := code(notifier.ShortCommit(brought.Commit))
		if brought.Author != "" {
			text += " by " + said(brought.Author)
		}
		fields = append(fields, field("Commit", text))
	}
	if traffic := status.Traffic; traffic != nil && status.Step != nil {
		text := said(traffic.Asked)
		if traffic.Measured != "" {
			text += " (measured " + said(traffic.Measured) + ")"
		}
		fields = append(fields, field("Traffic", text))
	}
	return fields
}

// evidence is what was measured, and what analysis says of it.
func evidence(rollout *v1alpha1.Rollout) string {
	verdict := rollout.Status.Verdict
	if verdict == nil {
		return ""
	}
	lines := []string{"*" + said(string(verdict.Outcome)) + "* " + said(verdict.Message)}
	for _, metric := range verdict.Metrics {
		if metric.Candidate == "" && metric.Incumbent == "" {
			continue
		}
		line := "• " + said(metric.Name) + ": " + said(cmp.Or(metric.Candidate, "nothing measured"))
		if metric.Incumbent != "" {
			line += ", incumbent " + said(metric.Incumbent)
		}
		if metric.DryRun {
			line += " (decides nothing)"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func approvals(rollout *v1alpha1.Rollout) string {
	if approval := rollout.Status.Approval; approval != nil {
		return fmt.Sprintf("%d of %d approvals", approval.Count, approval.Quorum)
	}
	return ""
}

func pausedBy(rollout *v1alpha1.Rollout) string {
	if rollout.Status.Paused == nil {
		return ""
	}
	return rollout.Status.Paused.Actor
}

// mention names who acted: members of Slack so that Slack shows their names.
func mention(actor string) string {
	if id, is := strings.CutPrefix(actor, memberPrefix); is && memberID.MatchString(id) {
		return "<@" + id + ">"
	}
	return said(actor)
}
