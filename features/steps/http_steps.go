package steps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/cucumber/godog"

	"jasmind/internal/smscsim"
)

// The addresses of the documentation's examples.
const (
	documentedAddress = "http://127.0.0.1:1401"
	documentedPage    = "http://myserver/acknowledgement"
)

func (w *World) httpSteps(sc *godog.ScenarioContext) {
	sc.Step(`^the Python program is run:$`, func(program *godog.DocString) error { return w.python(program.Content) })
	sc.Step(`^it prints:$`, func(want *godog.DocString) error {
		if got := strings.TrimSpace(w.printed); got != strings.TrimSpace(want.Content) {
			return fmt.Errorf("it printed\n%s", got)
		}
		return nil
	})
	sc.Step(theSMSC+`gets (\d+) parts? with the TLVs:$`, func(name string, n int, t *godog.Table) error {
		s, err := w.which(name)
		if err != nil {
			return err
		}
		list, err := s.next(n)
		if err != nil {
			return err
		}
		want, err := pairs(t)
		for i := range list {
			err = errors.Join(err, checkTLVs(&list[i], want))
		}
		return err
	})
}

// checkTLVs wants exactly these TLVs, in this order; those that say which part it is do not count.
func checkTLVs(m *smscsim.Message, want [][2]string) error {
	got := slices.DeleteFunc(slices.Clone(m.TLVs), func(t smscsim.TLV) bool { return t.Tag == "more_messages_to_send" || strings.HasPrefix(t.Tag, "sar_") })
	same := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		same = same && got[i].Tag == want[i][0] && got[i].Value == want[i][1]
	}
	if !same {
		return fmt.Errorf("message %d has the TLVs %v, want %v", m.N, got, want)
	}
	return nil
}

// python runs a program of the documentation as it stands there, but for the addresses.
func (w *World) python(program string) error {
	if w.gateway == nil {
		return errors.New("the gateway is not running")
	}
	program = strings.ReplaceAll(program, documentedAddress, "http://"+w.gateway.http())
	if strings.Contains(program, documentedPage) {
		program = strings.ReplaceAll(program, documentedPage, w.dlrPage().url())
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, "python3", "-")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(program), &out, &complaint
	err := cmd.Run()
	w.printed = out.String()
	if err != nil {
		return fmt.Errorf("python3: %w\n%s", err, complaint.String())
	}
	return nil
}
