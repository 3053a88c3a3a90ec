package steps

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cucumber/godog"

	"jasmind/internal/smscsim"
)

func (w *World) httpSteps(sc *godog.ScenarioContext) {
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
