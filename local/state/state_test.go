package state_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weighlock/weighlock/local/state"
)

func TestOpen_RemovesWhatAKilledStackLeftButNotWhatOneUses(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	used, err := state.Open("")
	if err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(os.TempDir(), "weighlock-local-stale")
	if err := os.MkdirAll(filepath.Join(stale, "etcd"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(stale, ".weighlock-local"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := state.Open("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("the folder of a stack that has gone is still there")
	}
	if _, err := os.Stat(used.Path); err != nil {
		t.Errorf("the folder of a stack that runs: %v", err)
	}
	for _, folder := range []*state.Folder{used, second} {
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(folder.Path); err == nil {
			t.Errorf("%s is still there after Close", folder.Path)
		}
	}
}

func TestOpen_TakesANamedFolderOnlyWhenItIsFreeAndAStacks(t *testing.T) {
	path := t.TempDir()
	folder, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(path, "part.log")
	if err := os.WriteFile(log, []byte("log"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := state.Open(path); err == nil || !strings.Contains(err.Error(), "another stack runs") {
		t.Errorf("a folder in use: error %v", err)
	}
	if err := folder.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(log); err != nil {
		t.Errorf("a named folder lost its logs at the end: %v", err)
	}
	again, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(log); err == nil {
		t.Error("what the stack before left is still there")
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	other := t.TempDir()
	precious := filepath.Join(other, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := state.Open(other); err == nil || !strings.Contains(err.Error(), "name an empty folder") {
		t.Errorf("a folder with other things: error %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("other things were touched: %v", err)
	}
}
