// Package docs_test holds the documentation to what it describes.
package docs_test

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root is the repository, seen from this folder.
const root = ".."

// pages are the texts that are checked.
func pages(t *testing.T) []string {
	t.Helper()
	found := []string{filepath.Join(root, "README.md"), filepath.Join(root, "CHANGELOG.md"), filepath.Join(root, "CONTRIBUTING.md")}
	for _, folder := range []string{"docs", "examples"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, _ fs.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".md" {
				found = append(found, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// reasons are the constants of the block with that comment, by their values.
func reasons(t *testing.T, comment string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "api/v1alpha1/reasons.go"), nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, declaration := range file.Decls {
		block, ok := declaration.(*ast.GenDecl)
		if !ok || !strings.HasPrefix(block.Doc.Text(), comment) {
			continue
		}
		for _, spec := range block.Specs {
			for _, value := range spec.(*ast.ValueSpec).Values {
				text, err := strconv.Unquote(value.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				values = append(values, text)
			}
		}
	}
	if len(values) == 0 {
		t.Fatalf("found no block %q in reasons.go", comment)
	}
	return values
}

func TestReasons_HaveAPageEach(t *testing.T) {
	wanted := reasons(t, "Reasons of a Rollout's conditions.")
	for _, reason := range wanted {
		text, err := os.ReadFile(filepath.Join("reasons", reason+".md"))
		if err != nil {
			t.Errorf("reason %s has no page: %v", reason, err)
			continue
		}
		if heading, _, _ := strings.Cut(string(text), "\n"); heading != "# "+reason {
			t.Errorf("the page of reason %s begins with %q", reason, heading)
		}
	}
	there, err := filepath.Glob("reasons/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range there {
		reason := strings.TrimSuffix(filepath.Base(page), ".md")
		if reason != "README" && !slices.Contains(wanted, reason) {
			t.Errorf("%s is about no reason", page)
		}
	}
}

func TestReasons_AreAllInTheIndex(t *testing.T) {
	index, err := os.ReadFile("reasons/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range reasons(t, "Reasons of a Rollout's conditions.") {
		if !strings.Contains(string(index), fmt.Sprintf("[%s](%s.md)", reason, reason)) {
			t.Errorf("reasons/README.md does not list %s", reason)
		}
	}
	for _, reason := range reasons(t, "Reasons of events") {
		if !strings.Contains(string(index), "\n| "+reason+" ") {
			t.Errorf("reasons/README.md does not list the event %s", reason)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestLinks_LeadSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(prose(t, page), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(match[1], "#")
			target := filepath.Join(filepath.Dir(page), path)
			if path == "" {
				target = page
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", page, match[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(t, target), anchor) {
				t.Errorf("%s links to %s, which has no such heading", page, match[1])
			}
		}
	}
}

// prose is a page without its code blocks.
func prose(t *testing.T, page string) string {
	t.Helper()
	var out strings.Builder
	for line, block := range lines(t, page) {
		if block == "" {
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

// anchors are the names by which a page's headings are linked to.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	var names []string
	for line := range strings.Lines(prose(t, page)) {
		heading := strings.TrimLeft(line, "#")
		if heading == line || !strings.HasPrefix(heading, " ") {
			continue
		}
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z':
				return r
			}
			return -1
		}, strings.ToLower(strings.TrimSpace(heading)))
		names = append(names, name)
	}
	return names
}

// lines goes through a page, telling of each line which block of code it is in: the words behind the opening fence and a
// number that makes blocks differ; empty outside of blocks. Fences themselves are left out.
func lines(t *testing.T, page string) func(yield func(line, block string) bool) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(line, block string) bool) {
		block, number := "", 0
		scanner := bufio.NewScanner(strings.NewReader(string(text)))
		for scanner.Scan() {
			info, fence := strings.CutPrefix(strings.TrimSpace(scanner.Text()), "```")
			switch {
			case fence && block == "":
				number++
				block = fmt.Sprintf("%d %s", number, info)
			case fence:
				block = ""
			default:
				if !yield(scanner.Text(), block) {
					return
				}
			}
		}
	}
}

// TestQuotes_AreWordForWord looks at blocks of code whose fence names a file of the repository, behind the language: their lines are
// in it, one after the other, "..." standing for some that are left out.
func TestQuotes_AreWordForWord(t *testing.T) {
	quotes := 0
	for _, page := range pages(t) {
		rest, skips := map[string][]string{}, map[string]bool{}
		for line, block := range lines(t, page) {
			words := strings.Fields(block)
			if len(words) != 3 {
				continue
			}
			if _, known := rest[block]; !known {
				quotes++
				text, err := os.ReadFile(filepath.Join(root, words[2]))
				if err != nil {
					t.Errorf("%s quotes a file that is not there: %v", page, err)
				}
				rest[block], skips[block] = strings.Split(string(text), "\n"), true
			}
			if strings.TrimSpace(line) == "..." {
				skips[block] = true
				continue
			}
			at := slices.Index(rest[block], line)
			if at < 0 || at > 0 && !skips[block] {
				t.Errorf("%s quotes %s with a line that it doesn't have there: %q", page, words[2], line)
			}
			rest[block], skips[block] = rest[block][at+1:], false
		}
	}
	if quotes == 0 {
		t.Error("found no quotes")
	}
}

// TestRollbacks_AreToldInTheCoresWords holds the sentence that a rollback ends with, wherever pages quote it, to the core's.
func TestRollbacks_AreToldInTheCoresWords(t *testing.T) {
	logs, err := filepath.Glob(filepath.Join(root, "rollout/testdata/*.golden"))
	if err != nil {
		t.Fatal(err)
	}
	held := regexp.MustCompile(`It stays held[:;].*`)
	var said []string
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, held.FindAllString(string(text), -1)...)
	}
	if len(said) == 0 {
		t.Fatal("the core says nowhere that a workload stays held")
	}
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		// What a terminal shows goes on in its next line.
		for _, quote := range held.FindAllString(strings.Join(strings.Fields(string(text)), " "), -1) {
			if !slices.ContainsFunc(said, func(sentence string) bool { return strings.HasPrefix(quote, sentence) }) {
				t.Errorf("%s says %.90q, which the core doesn't: it says %q", page, quote, slices.Compact(slices.Sorted(slices.Values(said))))
			}
		}
	}
}

// TestPictures_AreShownSomewhere finds pictures that no page shows.
func TestPictures_AreShownSomewhere(t *testing.T) {
	shown := map[string]bool{}
	for _, page := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(prose(t, page), -1) {
			shown[filepath.Join(filepath.Dir(page), match[1])] = true
		}
	}
	there, err := filepath.Glob("images/*")
	if err != nil || len(there) == 0 {
		t.Fatalf("found no pictures: %v", err)
	}
	for _, picture := range there {
		if !shown[filepath.Join(root, "docs", picture)] {
			t.Errorf("no page shows %s", picture)
		}
	}
}
