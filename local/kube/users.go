package kube

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/weighlock/weighlock/local/address"
)

// administrator is who may do everything.
const administrator = "admin"

// admit gives the administrator and the other users tokens, and kubeconfigs
// that hold them.
func (c *cluster) admit() error {
	c.Of, c.UserOf = map[string]string{}, map[string]string{}
	folder := filepath.Join(c.State, "users")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the folder for kubeconfigs: %w", err)
	}
	var lines []string
	for _, user := range append([]string{administrator}, c.Users...) {
		secret := make([]byte, 16)
		if _, err := rand.Read(secret); err != nil {
			return fmt.Errorf("make a token for %s: %w", user, err)
		}
		token := hex.EncodeToString(secret)
		line := token + "," + user + "," + user
		inside, outside := filepath.Join(folder, user+"-inside"), filepath.Join(folder, user)
		if user == administrator {
			line += `,"system:masters"`
			inside, outside = filepath.Join(c.State, "kubeconfig-inside"), filepath.Join(c.State, "kubeconfig")
			c.Kubeconfig = inside
		} else {
			c.Of[user] = inside
		}
		lines = append(lines, line+"\n")
		if err := writeKubeconfig(inside, "https://"+address.APIServer, c.keys.caPEM, token); err != nil {
			return err
		}
		if c.Outside == "" {
			continue
		}
		if err := writeKubeconfig(outside, "https://"+c.Outside, c.keys.caPEM, token); err != nil {
			return err
		}
		if user == administrator {
			c.UserKubeconfig = outside
		} else {
			c.UserOf[user] = outside
		}
	}
	c.tokens = filepath.Join(c.State, "tokens.csv")
	if err := os.WriteFile(c.tokens, []byte(strings.Join(lines, "")), 0o600); err != nil {
		return fmt.Errorf("write the users' tokens: %w", err)
	}
	return nil
}
