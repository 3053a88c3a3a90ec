package logging

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file that is full gives way to a new one, and of the older ones only as many are kept as the limit says.
func TestFilesOfALogAreBoundedInSizeAndNumber(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "x.log")
	for _, day := range []string{"01", "02", "03"} {
		if err := os.WriteFile(file+"-2020-01-"+day+"_00-00-00-time", []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		l := New(nil, Limits{MiB: 1, Files: 1})
		log, err := l.Logger("x", Config{File: file})
		if err != nil {
			t.Fatal(err)
		}
		for range 60 { // 600 KiB, which twice are more than one file
			log.Info(strings.Repeat("x", 10<<10)) //nolint:sloglint // of a size
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 1<<20 || strings.Contains(f.Name(), "2020") {
			t.Errorf("%s has %d octets", f.Name(), info.Size())
		}
	}
	if len(files) != 2 {
		t.Errorf("%d files: %v", len(files), files)
	}
}
