package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
)

// unknown tells of a field that the kind doesn't have, and of one that may be meant.
func (o *object) unknown(path string, root *structural.Structural) Finding {
	message := "is no field of a " + o.kind.Kind
	parts := parse(path)
	wrong := parts[len(parts)-1]
	within := root
	for _, part := range parts[:len(parts)-1] {
		if within == nil {
			break
		}
		if next, is := within.Properties[part]; is {
			within = &next
		} else {
			within = within.Items
		}
	}
	if within != nil {
		names := slices.Sorted(maps.Keys(within.Properties))
		if meant := nearest(wrong, names); meant != "" {
			message += fmt.Sprintf(": %s may be meant", meant)
		} else if len(names) > 0 {
			message += ": here may be " + strings.Join(names, ", ")
		}
	}
	at, _ := find(o.node, path)
	finding := o.finding(Error, path, message)
	if at.key != nil {
		finding.Line, finding.Column = o.lines+at.key.Line, at.key.Column
	}
	return finding
}

// nearest is the name that a word is most likely a slip of; empty where none is near.
func nearest(word string, names []string) string {
	best, least := "", 3
	if len(word) < 4 {
		least = 2
	}
	for _, name := range names {
		if len(word) > len(name)+least || len(name) > len(word)+least {
			continue // To measure it would take as much room as it is long.
		}
		if far := distance(strings.ToLower(word), strings.ToLower(name)); far < least {
			best, least = name, far
		}
	}
	return best
}

// distance counts the letters to be put in, left out, exchanged or swapped with the next one: the optimal string alignment
// distance (Damerau, 1964).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			differ := 1
			if a[i-1] == b[j-1] {
				differ = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+differ)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
