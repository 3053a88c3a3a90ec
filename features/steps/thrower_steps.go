package steps

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/cucumber/godog"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
	"jasmind/internal/smscsim"
)

// silent is a customer's host that takes connections and requests and never answers.
type silent struct {
	server *httptest.Server
	quit   chan struct{}
	calls  record[string]
}

func (m *mobiles) silentURL() string {
	if m.silent == nil {
		s := &silent{quit: make(chan struct{})}
		s.server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			s.calls.add(r.URL.Path)
			<-s.quit
		}))
		m.silent = s
	}
	return m.silent.server.URL
}

func (s *silent) close() {
	close(s.quit)
	s.server.CloseClientConnections()
	s.server.Close()
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

func (w *World) mobilesWrite() *writing {
	if w.mo.writing == nil {
		w.mo.writing = &writing{sim: w.smscs[""].simulator, quit: make(chan struct{}), sent: map[string][]string{}, doubt: map[string]bool{}}
	}
	return w.mo.writing
}

func (w *World) throwerSteps(sc *godog.ScenarioContext) {
	sc.Step(`^(\d+) mobiles write (\d+) messages each$`, func(mobiles, each int) {
		m := w.mobilesWrite()
		m.write(mobiles, each)
		m.wg.Wait()
	})
	sc.Step(`^(\d+) mobiles keep writing$`, func(mobiles int) { w.mobilesWrite().write(mobiles, 0) })
	sc.Step(`^(\d+) of their messages are acknowledged$`, func(n int) error {
		m := w.mobilesWrite()
		before := len(m.done.all())
		return m.done.wait(fmt.Sprintf("%d messages of mobiles", n), func(list []string) bool { return len(list) >= before+n })
	})
	sc.Step(`^the mobiles stop$`, func() { w.mobilesWrite().stop() })
	sc.Step(`^"(\w+)" submits (\d+) messages to them as transmitter, asks for receipts and leaves$`, w.submitsAndLeaves)
	sc.Step(`^the ESME "(\w+)" gets all that waited, in order, (once|at most (\d+) of it twice)$`, func(name, once, twice string) error {
		return w.getsAllThatWaited(name, number(twice))
	})
	sc.Step(`^the ESME "(\w+)" answers (ESME_\w+) to what it gets$`, func(name, status string) error {
		s, ok := pdu.ParseStatus(status)
		if !ok {
			return fmt.Errorf("%s is no status", status)
		}
		w.mo.mu.Lock()
		defer w.mo.mu.Unlock()
		w.mo.refuses[name] = s
		return nil
	})
	sc.Step(`^the ESME "(\w+)" refused (\d+) messages?$`, func(name string, n int) error {
		r := w.mo.esmes[name]
		if r == nil {
			return fmt.Errorf("the ESME %q is not bound", name)
		}
		if got := len(r.refused.all()); got != n {
			return fmt.Errorf("it refused %d", got)
		}
		return nil
	})
	sc.Step(`^the page "(/\w+)" answers (\d+) "(.*)"$`, func(path string, status int, body string) {
		w.mo.answer(path, pageAnswer{status: status, body: body}, 0)
	})
	sc.Step(`^the page "(/\w+)" answers (\d+) "(.*)" to the (?:first|next) (\d+) calls?$`, func(path string, status int, body string, n int) {
		w.mo.answer(path, pageAnswer{status: status, body: body}, n)
	})
	sc.Step(`^the page "(/\w+)" redirects to the page "(/\w+)" by (\d+)$`, func(path, other string, status int) {
		w.mo.answer(path, pageAnswer{status: status, body: "moved", location: w.mo.url() + other}, 0)
	})
	sc.Step(`^the page "(/\w+)" is well again$`, func(path string) { w.mo.answer(path, pageAnswer{status: http.StatusOK, body: "ACK/Jasmin"}, 0) })
	sc.Step(`^the page "(/\w+)" was called (\d+) times?$`, func(path string, n int) error {
		count := func(calls []moCall) int {
			k := 0
			for _, c := range calls {
				if c.path == path {
					k++
				}
			}
			return k
		}
		if err := w.mo.calls.wait(fmt.Sprintf("%d calls of the page %s", n, path), func(c []moCall) bool { return count(c) >= n }); err != nil {
			return err
		}
		if k := count(w.mo.calls.all()); k != n {
			return fmt.Errorf("it was called %d times", k)
		}
		return nil
	})
	sc.Step(`^the page "(/\w+)" is called (\d+) times at last$`, func(path string, n int) error {
		return w.mo.calls.wait(fmt.Sprintf("%d calls of the page %s", n, path), func(calls []moCall) bool {
			return n <= len(slices.DeleteFunc(calls, func(c moCall) bool { return c.path != path }))
		})
	})
	sc.Step(`^the silent host has (\d+) calls? of "(/\w+)" and no more$`, func(n int, path string) error {
		w.mo.silentURL()
		count := func(calls []string) int {
			return len(slices.DeleteFunc(calls, func(p string) bool { return p != path }))
		}
		err := w.mo.silent.calls.wait(fmt.Sprintf("%d calls of the silent host", n), func(c []string) bool { return count(c) >= n })
		if k := count(w.mo.silent.calls.all()); err == nil && k != n {
			err = fmt.Errorf("it has %d", k)
		}
		return err
	})
	sc.Step(`^mobiles write until both the page "(/\w+)" and the ESME "(\w+)" have got something, each message once$`, w.writeUntilBoth)
	sc.Step(`^(\d+) messages are sent one after the other with:$`, func(n int, t *godog.Table) error {
		for range n {
			if err := w.send("GET", t); err != nil {
				return err
			}
			if w.answer.id == "" {
				return fmt.Errorf("the answer was %s", w.answer)
			}
		}
		return nil
	})
}

// writeUntilBoth sends messages, each when the one before has come, until a page and an ESME have some.
func (w *World) writeUntilBoth(path, name string) error {
	r := w.mo.esmes[name]
	if r == nil {
		return fmt.Errorf("the ESME %q is not bound", name)
	}
	came := func() (page, esme int) {
		return len(slices.DeleteFunc(w.mo.calls.all(), func(c moCall) bool { return c.path != path })), len(r.got.all())
	}
	for n := 1; n <= 200; n++ { // by chance they all go one way once in 2^199 times
		if err := w.mobileSends("", fmt.Sprintf("message %d", n), nil); err != nil {
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
func (w *World) submitsAndLeaves(name string, n int) error {
	m := w.mobilesWrite()
	if m.mobiles == 0 {
		return errors.New("no mobiles have written")
	}
	e := w.esmeNamed(name)
	if err := e.bind(w.smppAddress(), "transmitter", "bar"); err != nil {
		return err
	}
	for i := range n {
		sm := &pdu.SubmitSM{Message: pdu.Message{Source: pdu.Address{TON: 5, Addr: customer}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: mobile(i % m.mobiles)},
			RegisteredDelivery: 1, ShortMessage: []byte(fmt.Sprintf("answer %d", i))}}
		if err := e.do(sm); err != nil {
			return err
		}
		if err := e.was("ESME_ROK"); err != nil {
			return err
		}
	}
	m.ids = e.ids
	e.close()
	sim, err := m.sim()
	if err != nil {
		return err
	}
	return until(fmt.Sprintf("%d receipts that the gateway has", n), func() bool { return sim.Stats().Receipts.Acked >= uint64(n) })
}

// getsAllThatWaited has each mobile write once more, and waits until the ESME has got these last
// messages and all receipts. Between two addresses messages come in the order in which they were
// acknowledged; of all that came, at most twice came again.
func (w *World) getsAllThatWaited(name string, twice int) error {
	m, r := w.mobilesWrite(), w.mo.esmes[name]
	if r == nil {
		return fmt.Errorf("the ESME %q is not bound", name)
	}
	m.stop()
	m.quit = make(chan struct{})
	for i := range m.mobiles {
		if !m.one(i, fmt.Sprintf("mobile %d, the last", i)) {
			return errors.New("stopped")
		}
	}
	if len(m.refused) > 0 {
		return fmt.Errorf("messages were refused: %q", m.refused)
	}
	want := len(m.ids)
	for _, list := range m.sent {
		want += len(list)
	}
	var got *arrivals
	err := r.got.wait(fmt.Sprintf("%d messages and receipts", want), func(list []pdu.PDU) bool {
		got = arrivalsOf(list)
		return got.err != nil || m.missing(got) == 0
	})
	if err != nil {
		return fmt.Errorf("%w; %d are missing", err, m.missing(got))
	}
	return errors.Join(got.err, m.compare(got, twice))
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
			rec, err := receipt.Parse(&d.Message)
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
