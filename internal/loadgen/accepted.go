package loadgen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The file of accepted messages is text: a first line that names the run, then a line for each
// message, its number and its id.
const acceptedHeader = "# loadgen accepted run="

// acceptedWriter writes the file. add is called under the tally's lock.
type acceptedWriter struct {
	mu   sync.Mutex
	f    *os.File
	w    *bufio.Writer
	line []byte
}

func createAccepted(path, run string) (*acceptedWriter, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("--accepted-file: %w", err)
	}
	a := &acceptedWriter{f: f, w: bufio.NewWriterSize(f, 64<<10)}
	a.w.WriteString(acceptedHeader + run + "\n") //nolint:errcheck // close reports it
	return a, nil
}

func (a *acceptedWriter) add(n uint64, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.line = strconv.AppendUint(a.line[:0], n, 10)
	a.line = append(append(append(a.line, ' '), id...), '\n')
	a.w.Write(a.line) //nolint:errcheck // close reports it
}

// flush hands what was added to the system, so that it outlives this process.
func (a *acceptedWriter) flush() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.w.Flush() //nolint:errcheck // close reports it
}

func (a *acceptedWriter) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := errors.Join(a.w.Flush(), a.f.Close()); err != nil {
		return fmt.Errorf("--accepted-file: %w", err)
	}
	return nil
}

// readAccepted reads a file of accepted messages. The last line may be cut, since a loadgen that was killed
// leaves such a file: without an id its number does not count.
func readAccepted(r io.Reader) (run string, numbers *bitmap, err error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 4096)
	if !in.Scan() {
		if in.Err() != nil {
			return "", nil, in.Err()
		}
		return "", nil, errors.New("is empty")
	}
	run, ok := strings.CutPrefix(in.Text(), acceptedHeader)
	if err := validRun(run); !ok || err != nil {
		return "", nil, fmt.Errorf("line 1: must be %qRUN", acceptedHeader)
	}
	numbers = new(bitmap)
	var cut error
	for line := 2; in.Scan(); line++ {
		if cut != nil {
			return "", nil, cut
		}
		number, _, ok := strings.Cut(in.Text(), " ")
		if !ok {
			cut = fmt.Errorf("line %d: %.40q is not a number and an id", line, number)
			continue
		}
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil || n == 0 || n >= maxNumber {
			return "", nil, fmt.Errorf("line %d: %.40q is not a message number", line, number)
		}
		numbers.set(n)
	}
	return run, numbers, in.Err()
}

// Verify compares a file of accepted messages with what has arrived at smsc-sim. It waits until all have, or
// until nothing new came for the settle time.
func Verify(ctx context.Context, path, smscURL string, settle time.Duration) (run string, a Arrival, err error) {
	if err := validSMSC(smscURL); err != nil {
		return "", a, fmt.Errorf("--smsc %q: %w", smscURL, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", a, fmt.Errorf("--verify: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	run, numbers, err := readAccepted(f)
	if err != nil {
		return "", a, fmt.Errorf("--verify %s: %w", path, err)
	}
	s := newSMSC(smscURL)
	defer s.close()
	if err := s.reachable(ctx); err != nil {
		return run, a, err
	}
	a, err = s.await(run).all(ctx, numbers, settle)
	return run, a, err
}
