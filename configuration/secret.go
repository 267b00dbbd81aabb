package configuration

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// mostSecret is how long a secret may be, in bytes.
const mostSecret = 64 << 10

// Secret says where a secret is: in a file, such as one of a mounted Kubernetes Secret, or in an environment variable.
type Secret struct {
	File string `yaml:"file"`
	Env  string `yaml:"env"`
}

// IsSet says whether it names a place.
func (s Secret) IsSet() bool { return s.File != "" || s.Env != "" }

// String is the place, never the secret.
func (s Secret) String() string {
	switch {
	case s.File != "":
		return "file " + s.File
	case s.Env != "":
		return "environment variable " + s.Env
	default:
		return "no secret"
	}
}

// Value reads the secret, without space around it. It is read anew each time, so that a new one is taken without a restart. Errors
// tell the place only.
func (s Secret) Value() (string, error) {
	switch {
	case s.File != "":
		file, err := os.Open(s.File)
		if err != nil {
			return "", fmt.Errorf("reading a secret: %w", err)
		}
		defer file.Close()
		content, err := io.ReadAll(io.LimitReader(file, mostSecret+1))
		if err != nil {
			return "", fmt.Errorf("reading a secret: %w", err)
		}
		if len(content) > mostSecret {
			return "", fmt.Errorf("reading a secret: %s is longer than %d bytes", s, mostSecret)
		}
		return s.filled(string(content))
	case s.Env != "":
		return s.filled(os.Getenv(s.Env))
	default:
		return "", errors.New("reading a secret: no file or env is named")
	}
}

func (s Secret) filled(text string) (string, error) {
	if text = strings.TrimSpace(text); text == "" {
		return "", fmt.Errorf("reading a secret: %s is empty", s)
	}
	return text, nil
}
