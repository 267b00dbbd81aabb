// Package naming makes the names and label values of what Weighlock creates: short
// enough for Kubernetes, and the same every time.
package naming

import (
	"crypto/sha256"
	"strings"
)

// maxLength is the most that a label value and the name of a Service can have.
const maxLength = 63

// alphabet is free of vowels and of characters that look alike, as in the names that
// Kubernetes makes.
const alphabet = "bcdfghjklmnpqrstvwxz2456789"

// LabelValue is name as the value of a label: name itself, or where it is longer than
// 63 characters its beginning and a hash of the whole.
func LabelValue(name string) string {
	if len(name) <= maxLength {
		return name
	}
	hash := Hash([]byte(name), 8)
	return trim(name[:maxLength-len(hash)-1]) + "-" + hash
}

// Join is base and suffix with a dash between them. Where that is longer than 63
// characters base is cut and a hash of it is put in, so that the suffix stays whole and
// two bases never give the same name.
func Join(base, suffix string) string {
	if len(base)+1+len(suffix) <= maxLength {
		return base + "-" + suffix
	}
	hash := Hash([]byte(base), 8)
	room := max(maxLength-len(suffix)-len(hash)-2, 0)
	return strings.TrimPrefix(trim(base[:min(room, len(base))])+"-"+hash+"-"+suffix, "-")
}

// Hash is a hash of data with length characters that are safe in any name.
func Hash(data []byte, length int) string {
	sum := sha256.Sum256(data)
	out := make([]byte, 0, length)
	for _, b := range sum[:min(length, len(sum))] {
		out = append(out, alphabet[int(b)%len(alphabet)])
	}
	return string(out)
}

// trim removes what a name must not have before a dash.
func trim(cut string) string { return strings.TrimRight(cut, "-._") }
