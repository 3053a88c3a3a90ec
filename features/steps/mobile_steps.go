package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cucumber/godog"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smscsim"
)

// mobiles are those whose messages the SMSCs have.
type mobiles struct {
	smscs   *smscs
	pages   *pages
	esmes   *esmes
	answers []pdu.Status // to the messages that sentences have sent
	writing *writing     // of those that write by themselves; nil: none
}

func (m *mobiles) steps(sc *godog.ScenarioContext) {
	sc.Step(`^a mobile sends "(.*)"$`, func(text string) error { return m.send("", text, nil) })
	sc.Step(`^a mobile sends "(.*)" with:$`, func(text string, t *godog.Table) error { return m.send("", text, t) })
	sc.Step(`^the SMSC is answered (\w+)$`, func(want string) error {
		if len(m.answers) == 0 || m.answers[len(m.answers)-1].String() != want {
			return fmt.Errorf("the answers are %v", m.answers)
		}
		return nil
	})
	sc.Step(`^(\d+) mobiles write (\d+) messages each$`, func(mobiles, each int) {
		w := m.write()
		w.write(mobiles, each)
		w.wg.Wait()
	})
	sc.Step(`^(\d+) mobiles keep writing$`, func(mobiles int) { m.write().write(mobiles, 0) })
	sc.Step(`^(\d+) of their messages are acknowledged$`, func(n int) error {
		w := m.write()
		before := len(w.done.all())
		return w.done.wait(fmt.Sprintf("%d messages of mobiles", n), func(list []string) bool { return len(list) >= before+n })
	})
	sc.Step(`^the mobiles stop$`, func() { m.write().stop() })
	sc.Step(`^"(\w+)" submits (\d+) messages to them as transmitter, asks for receipts and leaves$`, m.submitsAndLeaves)
	sc.Step(`^the ESME "(\w+)" gets all that waited, in order, (once|at most (\d+) of it twice)$`, func(name, once, twice string) error {
		return m.getsAllThatWaited(name, number(twice))
	})
	sc.Step(`^mobiles write until both the page "(/\w+)" and the ESME "(\w+)" have got something, each message once$`, m.writeUntilBoth)
}

// close ends their writing.
func (m *mobiles) close() {
	if m.writing != nil {
		m.writing.stop()
	}
}

// write is what mobiles write to a customer.
func (m *mobiles) write() *writing {
	if m.writing == nil {
		m.writing = &writing{sim: m.smscs.byName[""].simulator, quit: make(chan struct{}), sent: map[string][]string{}, doubt: map[string]bool{}}
	}
	return m.writing
}

// send has the SMSC send a message; the table has fields of the simulator's MO.
func (m *mobiles) send(name, text string, t *godog.Table) error {
	mo := smscsim.MO{From: "336123", To: "85111", Text: expand(text)}
	if t != nil {
		list, err := pairs(t)
		if err != nil {
			return err
		}
		fields := make(map[string]any, len(list))
		for _, kv := range list {
			fields[kv[0]] = kv[1]
			var v any
			if kv[0] != "from" && kv[0] != "to" && kv[0] != "hex" && kv[0] != "raw" && json.Unmarshal([]byte(kv[1]), &v) == nil {
				fields[kv[0]] = v
			}
		}
		b, err := json.Marshal(fields)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &mo); err != nil {
			return fmt.Errorf("fields of the message: %w", err)
		}
	}
	s := m.smscs.byName[name]
	if s == nil {
		return fmt.Errorf("there is no SMSC %q", name)
	}
	sim, err := s.simulator()
	if err != nil {
		return err
	}
	mo.Timeout = smscsim.Duration(patience)
	ctx, cancel := deadline()
	defer cancel()
	status, err := sim.InjectMO(ctx, mo)
	if err != nil {
		return err
	}
	m.answers = append(m.answers, status)
	return nil
}

// writing is what mobiles write to a customer, each one message after the other and each again
// until it is acknowledged, as an SMSC has it; and what the customer writes to them.
type writing struct {
	sim     func() (*smscsim.Simulator, error)
	quit    chan struct{}
	wg      sync.WaitGroup
	done    record[string] // texts that were acknowledged
	ids     []string       // of the customer's messages, which he asked for receipts of
	mobiles int
	times   int // that they began to write

	mu      sync.Mutex          // guards what follows
	sent    map[string][]string // texts that were acknowledged, by mobile, in order
	doubt   map[string]bool     // texts that were sent and not answered: they may come, or come twice
	refused []string            // faults
}

func mobile(i int) string { return fmt.Sprintf("33600%04d", i) }

// customer is whom mobiles write to; his messages have that address, so that his receipts and
// their messages are between the same two addresses.
const customer = "ACME"

// write has mobiles write each texts each, or until stop.
func (w *writing) write(mobiles, each int) {
	w.mobiles = mobiles
	w.times++
	times := w.times
	for i := range mobiles {
		w.wg.Go(func() {
			for n := 0; each == 0 || n < each; n++ {
				if !w.one(i, fmt.Sprintf("mobile %d message %d.%d", i, times, n)) {
					return
				}
			}
		})
	}
}

// one sends a text until it is acknowledged; false: it was told to stop before.
func (w *writing) one(i int, text string) bool {
	mo := smscsim.MO{From: mobile(i), FromTON: 1, FromNPI: 1, To: customer, ToTON: 5, Text: text, Timeout: smscsim.Duration(patience)}
	for {
		select {
		case <-w.quit:
			return false
		default:
		}
		sim, err := w.sim()
		var status pdu.Status
		if err == nil {
			status, err = sim.InjectMO(context.Background(), mo)
		}
		w.mu.Lock()
		switch {
		case err == nil && status == pdu.StatusOK:
			w.sent[mo.From] = append(w.sent[mo.From], text)
			w.mu.Unlock()
			w.done.add(text)
			return true
		case err == nil && status != pdu.StatusRxTAppn:
			w.refused = append(w.refused, text+": "+status.String())
		case err != nil && !errors.Is(err, smscsim.ErrNotBound):
			w.doubt[text] = true
		}
		w.mu.Unlock()
		t := time.NewTimer(10 * time.Millisecond) // nobody is there: it does not ask as fast as it can
		select {
		case <-t.C:
		case <-w.quit:
			t.Stop()
		}
	}
}

func (w *writing) stop() {
	select {
	case <-w.quit:
	default:
		close(w.quit)
	}
	w.wg.Wait()
}

// writeUntilBoth sends messages, each when the one before has come, until a page and an ESME have some.
func (m *mobiles) writeUntilBoth(path, name string) error {
	r, err := m.esmes.bound(name)
	if err != nil {
		return err
	}
	came := func() (page, esme int) { return len(m.pages.at(path).calls.all()), len(r.got.all()) }
	for n := 1; n <= 200; n++ { // by chance they all go one way once in 2^199 times
		if err := m.send("", fmt.Sprintf("message %d", n), nil); err != nil {
			return err
		}
		if err := until(fmt.Sprintf("message %d", n), func() bool { p, e := came(); return p+e >= n }); err != nil {
			return err
		}
		p, e := came()
		if p+e != n {
			return fmt.Errorf("of %d messages %d came to the page and %d to the ESME", n, p, e)
		}
		if p > 0 && e > 0 {
			return nil
		}
	}
	return errors.New("200 messages went one way")
}

// submitsAndLeaves has an ESME submit to the mobiles that write, in turn. It cannot be told of
// receipts, since it is bound as a transmitter; they are queued at the gateway when it has left.
func (m *mobiles) submitsAndLeaves(name string, n int) error {
	w := m.write()
	if w.mobiles == 0 {
		return errors.New("no mobiles have written")
	}
	e := m.esmes.named(name)
	if err := e.bind(m.esmes.address(), "transmitter", password); err != nil {
		return err
	}
	for i := range n {
		sm := &pdu.SubmitSM{Message: pdu.Message{Source: pdu.Address{TON: 5, Addr: customer}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: mobile(i % w.mobiles)},
			RegisteredDelivery: 1, ShortMessage: []byte(fmt.Sprintf("answer %d", i))}}
		if err := e.do(sm); err != nil {
			return err
		}
		if err := e.was("ESME_ROK"); err != nil {
			return err
		}
	}
	w.ids = e.ids
	e.close()
	sim, err := w.sim()
	if err != nil {
		return err
	}
	return until(fmt.Sprintf("%d receipts that the gateway has", n), func() bool { return sim.Stats().Receipts.Acked >= uint64(n) })
}

// getsAllThatWaited has each mobile write once more, and waits until the ESME has got these last
// messages and all receipts. Between two addresses messages come in the order in which they were
// acknowledged; of all that came, at most twice came again.
func (m *mobiles) getsAllThatWaited(name string, twice int) error {
	r, err := m.esmes.bound(name)
	if err != nil {
		return err
	}
	w := m.write()
	w.stop()
	w.quit = make(chan struct{})
	for i := range w.mobiles {
		if !w.one(i, fmt.Sprintf("mobile %d, the last", i)) {
			return errors.New("stopped")
		}
	}
	if len(w.refused) > 0 {
		return fmt.Errorf("messages were refused: %q", w.refused)
	}
	want := len(w.ids)
	for _, list := range w.sent {
		want += len(list)
	}
	var got *arrivals
	err = r.got.wait(fmt.Sprintf("%d messages and receipts", want), func(list []pdu.PDU) bool {
		got = arrivalsOf(list)
		return got.err != nil || w.missing(got) == 0
	})
	if err != nil {
		return fmt.Errorf("%w; %d are missing", err, w.missing(got))
	}
	return errors.Join(got.err, w.compare(got, twice))
}

// arrivals is what an ESME got.
type arrivals struct {
	texts    map[string][]string // of mobiles, in the order in which they came first
	receipts map[string]bool     // by id
	times    map[string]int      // how often each text or id came
	err      error
}

func arrivalsOf(list []pdu.PDU) *arrivals {
	a := &arrivals{texts: map[string][]string{}, receipts: map[string]bool{}, times: map[string]int{}}
	for _, p := range list {
		d, ok := p.(*pdu.DeliverSM)
		if !ok {
			a.err = fmt.Errorf("it got a %s", p.CommandID())
			return a
		}
		if d.ESMClass&pdu.ESMTypeMask == pdu.ESMTypeReceipt {
			rec, _, err := receiptOf(d)
			if err != nil {
				a.err = err
				return a
			}
			a.receipts[rec.ID] = true
			a.times[rec.ID]++
			continue
		}
		text := string(d.ShortMessage)
		if a.times[text]++; a.times[text] == 1 {
			a.texts[d.Source.Addr] = append(a.texts[d.Source.Addr], text)
		}
	}
	return a
}

// missing counts what was acknowledged and did not come.
func (w *writing) missing(a *arrivals) int {
	n := 0
	for _, id := range w.ids {
		if !a.receipts[id] {
			n++
		}
	}
	for _, list := range w.sent {
		for _, text := range list {
			if a.times[text] == 0 {
				n++
			}
		}
	}
	return n
}

// compare looks for what is out of order, too much, or nobody's.
func (w *writing) compare(a *arrivals, twice int) error {
	for id := range a.receipts {
		if !slices.Contains(w.ids, id) {
			return fmt.Errorf("it got a receipt for %s, which it did not send", id)
		}
	}
	for from, got := range a.texts {
		want := w.sent[from]
		got = slices.DeleteFunc(slices.Clone(got), func(text string) bool { return w.doubt[text] && !slices.Contains(want, text) })
		if !slices.Equal(got, want) {
			return fmt.Errorf("of %s it got %q, want %q", from, got, want)
		}
	}
	var again []string
	for what, n := range a.times {
		if n > 1 && !w.doubt[what] {
			again = append(again, what)
		}
	}
	if len(again) > twice {
		slices.Sort(again)
		return fmt.Errorf("%d of %d came again: %q", len(again), len(a.times), again[:min(len(again), 10)])
	}
	return nil
}
