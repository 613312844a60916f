package tests

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func writeFile(t *testing.T, content []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A slowFile ends when the test says so: work that takes as long as a test needs.
type slowFile struct {
	path string
	pipe *os.File
}

func newSlowFile(t *testing.T) *slowFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "slow")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	// For reading too, so that opening waits for nobody, and readers find no end as long as this is open.
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pipe.Close() })
	return &slowFile{path, pipe}
}

func (f *slowFile) write(t *testing.T, data string) {
	t.Helper()
	if _, err := f.pipe.WriteString(data); err != nil {
		t.Fatal(err)
	}
}

func (f *slowFile) end() { f.pipe.Close() }
