package smscsim_test

import (
	"fmt"
	"sync"
	"testing"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smscsim"
)

// TestLoad has two binds submit with receipts while rules, lists and counters are used,
// and accounts for each message and each receipt.
func TestLoad(t *testing.T) {
	const perBind = 3000
	late := smscsim.Span{Max: 2e6}
	sim := start(t, smscsim.Config{MaxMessages: 1000, Behaviour: smscsim.Behaviour{Receipt: smscsim.Receipt{Delay: &late},
		Rules: []smscsim.Rule{{To: "1", Answer: &smscsim.Answer{Delay: smscsim.Span{Max: 1e6}}}}}})
	var mu sync.Mutex
	got, all := map[string]int{}, make(chan struct{})
	config := smpp.Config{Window: 50}
	var esmes []*esme
	for range 2 {
		e := connect(t, sim, esmeOptions{config: config, answers: func(p pdu.PDU) pdu.Status {
			mu.Lock()
			defer mu.Unlock()
			id, _ := p.(*pdu.DeliverSM).TLVs.CString(pdu.TagReceiptedMessageID)
			if got[id]++; len(got) == 2*perBind {
				close(all)
			}
			return pdu.StatusOK
		}})
		esmes = append(esmes, e)
		go func() { // so that its handler never waits
			for {
				select {
				case <-e.delivered:
				case <-e.Done():
					return
				}
			}
		}()
	}
	var wg sync.WaitGroup
	for b, e := range esmes {
		wg.Go(func() {
			for i := range perBind {
				m := asking(hello(fmt.Sprint(i % 3)))
				m.ShortMessage = fmt.Appendf(nil, "#load:%d#", b*perBind+i)
				if err := e.Send(t.Context(), &pdu.SubmitSM{Message: m}, func(smpp.Response, error) {}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for sim.Stats().Submitted < 2*perBind && !t.Failed() {
			sim.Messages(smscsim.Filter{Text: "load", Joined: true})
			sim.Sessions()
		}
	})
	wg.Wait()
	wait(t, sim, 1000, smscsim.Filter{})
	<-all
	for _, e := range esmes {
		e.barrier(t)
	}
	for id, n := range got {
		if n != 1 {
			t.Errorf("%d receipts for %s", n, id)
		}
	}
	rep, _ := sim.IDs("load", 0, 2*perBind)
	s := sim.Stats()
	if rep.Distinct != 2*perBind || rep.Duplicates != 0 || rep.Missing != 0 || s.Accepted != 2*perBind || s.Kept != 1000 ||
		s.Receipts.Acked != 2*perBind || s.Receipts.Queued != 0 || s.Receipts.Scheduled > 0 {
		t.Errorf("%+v\n%+v", rep, s)
	}
}
