package logging

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

// holding is a writer that holds its first write up.
type holding struct {
	next        io.Writer
	once        sync.Once
	begun, goOn chan struct{}
}

func (h *holding) Write(p []byte) (int, error) {
	h.once.Do(func() {
		close(h.begun)
		<-h.goOn
	})
	return h.next.Write(p)
}

// What gathers while the disk is slow, which is more than the smallest file takes, comes into the log all the same.
func TestABurstOfLinesFitsIntoSmallFiles(t *testing.T) {
	dir := t.TempDir()
	l := New(nil, Limits{MiB: 1})
	log, err := l.Logger("x", Config{File: filepath.Join(dir, "x.log")})
	if err != nil {
		t.Fatal(err)
	}
	s := l.sinks[filepath.Join(dir, "x.log")]
	hold := &holding{next: s.out, begun: make(chan struct{}), goOn: make(chan struct{})}
	s.mu.Lock() // the writer waits for the first line
	s.out = hold
	s.mu.Unlock()
	log.Info("first")
	<-hold.begun
	const lines = 250
	for range lines { // 2.5 MiB
		log.Info("burst", "text", strings.Repeat("x", 10<<10))
	}
	close(hold.goOn)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	n := 0
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		n += strings.Count(string(text), "burst")
	}
	if n != lines {
		t.Errorf("%d lines of %d in %d files", n, lines, len(files))
	}
}
