package throw

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
	"jasmind/internal/sms"
)

// session is a receiver of the test's.
type session struct {
	name   string
	window int

	mu      sync.Mutex
	open    []*sent // in flight
	all     []string
	came    chan struct{} // cap 1
	answer  func(pdu.PDU) (pdu.Status, error)
	closed  bool
	highest int // of open
}

// sent is a request that a session was given.
type sent struct {
	p    pdu.PDU
	done func(smpp.Response, error)
}

// newSession makes a session that answers everything at once; nil answer: it answers nothing by itself.
func newSession(name string, window int, answer func(pdu.PDU) (pdu.Status, error)) *session {
	return &session{name: name, window: window, answer: answer, came: make(chan struct{}, 1)}
}

func well(pdu.PDU) (pdu.Status, error) { return pdu.StatusOK, nil }

func (s *session) TrySend(p pdu.PDU, done func(smpp.Response, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return smpp.ErrSessionClosed
	case len(s.open) >= s.window:
		return smpp.ErrWindowFull
	}
	if _, err := pdu.Append(nil, 0, 1, p); err != nil {
		return err
	}
	x := &sent{p, done}
	s.open = append(s.open, x)
	s.highest = max(s.highest, len(s.open))
	s.all = append(s.all, idOf(p))
	select {
	case s.came <- struct{}{}:
	default:
	}
	if s.answer != nil {
		go func() {
			st, err := s.answer(p)
			s.finish(x, st, err)
		}()
	}
	return nil
}

// finish answers a request.
func (s *session) finish(x *sent, st pdu.Status, err error) {
	s.mu.Lock()
	s.open = slices.DeleteFunc(s.open, func(o *sent) bool { return o == x })
	s.mu.Unlock()
	x.done(smpp.Response{Header: pdu.Header{ID: pdu.CmdDeliverSMResp, Status: st}}, err)
}

func (s *session) inFlight() []*sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.open)
}

// got are the ids of what the session was given, in order.
func (s *session) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

func idOf(p pdu.PDU) string {
	switch q := p.(type) {
	case *pdu.DeliverSM:
		if id, ok := q.TLVs.CString(pdu.TagReceiptedMessageID); ok {
			return id
		}
		return string(q.ShortMessage)
	case *pdu.DataSM:
		id, _ := q.TLVs.CString(pdu.TagReceiptedMessageID)
		return id
	}
	return ""
}

// esmeStack is the embedded backend with a thrower to ESMEs.
type esmeStack struct {
	*stack
	t  *testing.T
	th *SMPPS
	// stop cancels, waits and shuts the backend.
	cancel, stop func()
}

func startSMPPS(t *testing.T, dir string, cfg SMPPSConfig, wrap ...func(journal.Journal) journal.Journal) *esmeStack {
	t.Helper()
	s := &esmeStack{stack: openStack(t, dir), t: t}
	if err := s.Declare(t.Context(), queue.DLRThrowerSMPPS, queue.DeliverSMSMPPS); err != nil {
		t.Fatal(err)
	}
	known := func() (out []string) {
		for _, n := range s.Names() {
			if id, ok := queue.ESMEOf(n); ok {
				out = append(out, id)
			}
		}
		return out
	}
	var j journal.Journal = s
	for _, f := range wrap {
		j = f(j)
	}
	s.th = NewSMPPS(cfg, s, j, known, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.th.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	s.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		s.shut(t)
	})
	t.Cleanup(s.stop)
	return s
}

// dlrFor is a receipt for an ESME about a message to a subscriber.
func dlrFor(systemID, id, to string) *queue.SMPPDLR {
	return &queue.SMPPDLR{MsgID: sms.MessageID(id), SystemID: systemID, Source: pdu.Address{TON: 5, Addr: "ACME"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: to},
		Status: "DELIVRD", Err: "000", SubmittedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local), CreatedAt: time.Now(), Done: "2601020305"}
}

func (s *esmeStack) tell(ds ...*queue.SMPPDLR) {
	s.t.Helper()
	var ps []queue.Publication
	for _, d := range ds {
		ps = append(ps, queue.Publication{Queue: queue.DLRThrowerSMPPS, Message: d.Message()})
	}
	if err := s.Publish(s.t.Context(), ps...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *esmeStack) until(what string, f func() bool) {
	s.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(deadline)
	for !f() {
		select {
		case <-tick.C:
		case <-end:
			s.t.Fatalf("still waiting: %s", what)
		}
	}
}

// settled waits until so many were delivered, and nothing is in the thrower's hands.
func (s *esmeStack) settled(n int64) {
	s.t.Helper()
	s.until(fmt.Sprint(n, " are delivered"), func() bool { return s.th.Metrics.Delivered.Load() >= n && s.th.Metrics.Waiting.Load() == 0 })
	if got := s.th.Metrics.Delivered.Load(); got != n {
		s.t.Errorf("%d were delivered, want %d", got, n)
	}
}

// buried gives the dead letters' ids and reasons.
func (s *esmeStack) buried(n int) (out []string) {
	s.t.Helper()
	c, err := s.Consume(s.t.Context(), queue.DeadLetter, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close(context.Background()) //nolint:errcheck // the test is over
	for range n {
		select {
		case d := <-c.C():
			out = append(out, d.ID+": "+d.Headers.Str(queue.HeaderDeadReason))
			if err := s.Commit(s.t.Context(), &journal.Entry{Ack: []journal.Ack{{Delivery: d}}}); err != nil {
				s.t.Fatal(err)
			}
		case <-time.After(deadline):
			s.t.Fatalf("%d dead letters, want %d", len(out), n)
		}
	}
	return out
}

func ids(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint("m", i))
	}
	return out
}

// Who stays away and then binds gets everything that waited, in order, once, also over a restart.
func TestWhatWaitedIsDeliveredInOrderOnce(t *testing.T) {
	dir := t.TempDir()
	const n = 1500 // more than one prefetch, and than the window of a queue in memory
	s := startSMPPS(t, dir, SMPPSConfig{})
	var waiting []*queue.SMPPDLR
	for i := range n {
		waiting = append(waiting, dlrFor("acme", fmt.Sprint("m", i), fmt.Sprint("336", i%7)))
	}
	s.tell(waiting...)
	s.until("all are moved", func() bool { return s.th.Metrics.Moved.Load() == n })
	s.stop()

	s = startSMPPS(t, dir, SMPPSConfig{})
	one := newSession("one", 50, well)
	s.th.Bound("acme", one)
	s.settled(n)
	perSubscriber := map[int][]string{}
	for _, id := range one.got() {
		var i int
		fmt.Sscanf(id, "m%d", &i)
		perSubscriber[i%7] = append(perSubscriber[i%7], id)
	}
	for k := range 7 {
		var want []string
		for i := k; i < n; i += 7 {
			want = append(want, fmt.Sprint("m", i))
		}
		if !slices.Equal(perSubscriber[k], want) {
			t.Errorf("subscriber %d: got %d in another order than the %d sent", k, len(perSubscriber[k]), len(want))
		}
	}
	if one.highest > 7 {
		t.Errorf("%d in flight to 7 subscribers", one.highest)
	}
}

func TestOneSessionSeesTheOrderOfTheQueue(t *testing.T) {
	s := startSMPPS(t, t.TempDir(), SMPPSConfig{})
	var waiting []*queue.SMPPDLR
	for i := range 400 {
		waiting = append(waiting, dlrFor("acme", fmt.Sprint("m", i), fmt.Sprint("336", i)))
	}
	s.tell(waiting...)
	s.until("all are moved", func() bool { return s.th.Metrics.Moved.Load() == 400 })
	one := newSession("one", 10, well)
	s.th.Bound("acme", one)
	s.settled(400)
	if got := one.got(); !slices.Equal(got, ids(0, 400)) {
		t.Errorf("got %v", got)
	}
	if one.highest != 10 {
		t.Errorf("%d in flight, want the whole window of 10", one.highest)
	}
}

func TestOneIsInFlightBetweenTwoAddresses(t *testing.T) {
	s := startSMPPS(t, t.TempDir(), SMPPSConfig{})
	one := newSession("one", 10, nil)
	s.th.Bound("acme", one)
	s.tell(dlrFor("acme", "m0", "336"), dlrFor("acme", "m1", "336"), dlrFor("acme", "x", "337"))
	s.until("two in flight", func() bool { return len(one.inFlight()) == 2 })
	if got := one.got(); !slices.Equal(got, []string{"m0", "x"}) {
		t.Fatalf("got %v", got)
	}
	one.finish(one.inFlight()[0], pdu.StatusOK, nil)
	s.until("the next one", func() bool { return len(one.got()) == 3 })
	for _, x := range one.inFlight() {
		one.finish(x, pdu.StatusOK, nil)
	}
	s.settled(3)
}

func TestSessionsTakeTurns(t *testing.T) {
	s := startSMPPS(t, t.TempDir(), SMPPSConfig{})
	all := []*session{newSession("a", 5, nil), newSession("b", 5, nil), newSession("c", 5, nil)}
	for _, one := range all {
		s.th.Bound("acme", one)
	}
	for i := range 20 {
		s.tell(dlrFor("acme", fmt.Sprint("m", i), fmt.Sprint("336", i)))
	}
	s.until("all windows are full", func() bool {
		n := 0
		for _, one := range all {
			n += len(one.inFlight())
		}
		return n == 15
	})
	// One of them goes, unanswered; the others have what it had.
	gone := all[0]
	gone.mu.Lock()
	gone.closed = true
	lost := slices.Clone(gone.open)
	gone.mu.Unlock()
	s.th.Unbound("acme", gone)
	for _, x := range lost {
		gone.finish(x, 0, fmt.Errorf("%w: %w", smpp.ErrSessionClosed, smpp.ErrPeerClosed))
	}
	s.until("all are delivered", func() bool {
		for _, one := range all[1:] {
			for _, x := range one.inFlight() {
				one.finish(x, pdu.StatusOK, nil)
			}
		}
		return s.th.Metrics.Delivered.Load() == 20
	})
	s.settled(20)
	got := append(all[1].got(), all[2].got()...)
	slices.Sort(got)
	want := ids(0, 20)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestEachGetsHisOwn(t *testing.T) {
	s := startSMPPS(t, t.TempDir(), SMPPSConfig{})
	const esmes, each = 20, 50
	var all []*session
	for i := range esmes {
		one := newSession(fmt.Sprint("esme", i), 10, well)
		all = append(all, one)
		if i%2 == 0 { // the others come later
			s.th.Bound(one.name, one)
		}
	}
	for n := range each {
		var ds []*queue.SMPPDLR
		for i := range esmes {
			ds = append(ds, dlrFor(fmt.Sprint("esme", i), fmt.Sprint("esme", i, "-", n), fmt.Sprint("336", n)))
		}
		s.tell(ds...)
	}
	for i := 1; i < esmes; i += 2 {
		s.th.Bound(all[i].name, all[i])
	}
	s.settled(esmes * each)
	for _, one := range all {
		got := one.got()
		if len(got) != each || slices.ContainsFunc(got, func(id string) bool { return !strings.HasPrefix(id, one.name+"-") }) {
			t.Errorf("%s got %v", one.name, got)
		}
	}
}

func TestErrorsOfAnESMEAreRetriedThenBuried(t *testing.T) {
	s := startSMPPS(t, t.TempDir(), SMPPSConfig{RetryDelay: time.Millisecond, MaxRetries: 2})
	var mu sync.Mutex
	calls := map[string]int{}
	one := newSession("one", 10, func(p pdu.PDU) (pdu.Status, error) {
		mu.Lock()
		defer mu.Unlock()
		id := idOf(p)
		calls[id]++
		switch {
		case id == "m0":
			return pdu.StatusSysErr, nil
		case id == "m1" && calls[id] == 1:
			return pdu.StatusRxTAppn, nil
		case id == "m1" && calls[id] == 2:
			return 0, smpp.ErrResponseTimeout
		case id == "m2":
			return pdu.StatusRxPAppn, nil
		case id == "m3" && calls[id] == 1: // the session ended: that is no try
			return 0, smpp.ErrSessionClosed
		}
		return pdu.StatusOK, nil
	})
	s.th.Bound("acme", one)
	for i := range 5 { // in one chain: each waits for the one before it
		s.tell(dlrFor("acme", fmt.Sprint("m", i), "336"))
	}
	s.settled(3)
	dead := s.buried(2)
	if want := []string{"m0: try 3 at acme: ESME_RSYSERR", "m2: try 1 at acme: ESME_RX_P_APPN"}; !slices.Equal(dead, want) {
		t.Errorf("buried %q, want %q", dead, want)
	}
	if want := []string{"m0", "m0", "m0", "m1", "m1", "m1", "m2", "m3", "m3", "m4"}; !slices.Equal(one.got(), want) {
		t.Errorf("sent %v, want %v", one.got(), want)
	}
	if n := s.th.Metrics.Failed.Load(); n != 6 {
		t.Errorf("%d failures, want 6", n)
	}
}

func TestWhatIsHeldTooLongIsBuried(t *testing.T) {
	s := startSMPPS(t, t.TempDir(), SMPPSConfig{Hold: time.Hour, Sweep: 5 * time.Millisecond})
	old := func(id, systemID string) *queue.SMPPDLR {
		d := dlrFor(systemID, id, "336")
		d.CreatedAt = time.Now().Add(-2 * time.Hour)
		return d
	}
	// One who is not bound: the sweeper finds what is too old, and leaves the rest.
	s.tell(old("m0", "away"), old("m1", "away"), dlrFor("away", "m2", "336"), dlrFor("away", "m3", "336"))
	if got := s.buried(2); !slices.Equal(got, []string{"m0: held for more than 1h0m0s", "m1: held for more than 1h0m0s"}) {
		t.Errorf("buried %q", got)
	}
	one := newSession("one", 10, well)
	s.th.Bound("away", one)
	s.settled(2)
	if got := one.got(); !slices.Equal(got, ids(2, 4)) {
		t.Errorf("got %v", got)
	}
	// One who is bound does not get it either.
	s.tell(old("m4", "away"), dlrFor("away", "m5", "336"))
	s.buried(1)
	s.settled(3)
	if got := one.got(); !slices.Equal(got, []string{"m2", "m3", "m5"}) {
		t.Errorf("got %v", got)
	}
}

func TestWhatMakesNoSenseIsBuried(t *testing.T) {
	s := startSMPPS(t, t.TempDir(), SMPPSConfig{})
	one := newSession("one", 10, well)
	s.th.Bound("acme", one)
	nobody := dlrFor("no such name!", "m0", "336")
	stateless := dlrFor("acme", "m1", "336")
	stateless.Status = "WHATEVER"
	long := dlrFor("acme", "m2", strings.Repeat("3", 25))
	s.tell(nobody, stateless, long)
	dead := s.buried(3)
	slices.Sort(dead)
	for i, want := range []string{"no username", `message_status "WHATEVER" is no state`, "source_addr"} {
		if !strings.Contains(dead[i], want) {
			t.Errorf("buried %q, want %q", dead[i], want)
		}
	}
	if n := s.th.Metrics.Dead.Load(); n != 3 {
		t.Errorf("%d dead, want 3", n)
	}
}

func TestPDUsPassAsTheyAre(t *testing.T) {
	s := startSMPPS(t, t.TempDir(), SMPPSConfig{})
	one := newSession("one", 10, nil)
	s.th.Bound("acme", one)
	m := &pdu.DeliverSM{Message: pdu.Message{Source: pdu.Address{Addr: "336"}, Dest: pdu.Address{Addr: "1234"}, ShortMessage: []byte("hello"), TLVs: pdu.TLVs{{Tag: 0x1400, Value: []byte{1}}}}}
	body, err := pdu.Append(nil, 0, 0, m)
	if err != nil {
		t.Fatal(err)
	}
	msg := queue.Message{ID: "mo", ContentType: queue.ContentPDU, Body: body, Headers: queue.Headers{{Name: queue.HeaderSystemID, Str: "acme"}}}
	if err := s.Publish(t.Context(), queue.Publication{Queue: queue.DeliverSMSMPPS, Message: msg}); err != nil {
		t.Fatal(err)
	}
	s.until("it comes", func() bool { return len(one.inFlight()) == 1 })
	got, err := pdu.Append(nil, 0, 0, one.inFlight()[0].p)
	if err != nil || !slices.Equal(got, body) {
		t.Errorf("got %x, want %x", got, body)
	}
	one.finish(one.inFlight()[0], pdu.StatusOK, nil)
	s.settled(1)
}

// What is in flight when the thrower stops is settled when it is answered, and comes again when not.
func TestStoppingSettlesWhatIsAnswered(t *testing.T) {
	dir := t.TempDir()
	s := startSMPPS(t, dir, SMPPSConfig{Grace: 50 * time.Millisecond})
	one := newSession("one", 10, nil)
	s.th.Bound("acme", one)
	s.tell(dlrFor("acme", "m0", "1"), dlrFor("acme", "m1", "2"))
	s.until("both are in flight", func() bool { return len(one.inFlight()) == 2 })
	one.finish(one.inFlight()[0], pdu.StatusOK, nil)
	s.until("the answer is settled", func() bool { return s.th.Metrics.Delivered.Load() == 1 })
	s.stop()

	s = startSMPPS(t, dir, SMPPSConfig{})
	again := newSession("again", 10, well)
	s.th.Bound("acme", again)
	s.settled(1)
	if got := again.got(); !slices.Equal(got, []string{"m1"}) {
		t.Errorf("got %v", got)
	}
}

func TestReceipt(t *testing.T) {
	d := dlrFor("acme", "0f7c3a62-8a6a-4b0e-9c6a-000000000001", "336")
	d.Text = "hello"
	th := NewSMPPS(SMPPSConfig{}, nil, nil, nil, slog.New(slog.DiscardHandler))
	p, err := th.receipt(d)
	if err != nil {
		t.Fatal(err)
	}
	m, ok := p.(*pdu.DeliverSM)
	if !ok || m.Source != d.Dest || m.Dest != d.Source || m.ESMClass != 0x04 {
		t.Fatalf("got %+v", p)
	}
	want := "id:0f7c3a62-8a6a-4b0e-9c6a-000000000001 sub:001 dlvrd:001 submit date:2601020304 done date:2601020305 stat:DELIVRD err:000 text:hello"
	if got := string(m.ShortMessage); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r, err := receipt.Parse(&m.Message)
	if err != nil || r.ID != string(d.MsgID) || len(r.IDs) != 1 || r.MessageState != pdu.StateDelivered || len(m.TLVs) != 2 {
		t.Errorf("read as %+v, %v", r, err)
	}

	th = NewSMPPS(SMPPSConfig{DataSM: true}, nil, nil, nil, slog.New(slog.DiscardHandler))
	if p, err = th.receipt(d); err != nil {
		t.Fatal(err)
	}
	q, ok := p.(*pdu.DataSM)
	if !ok || q.Source != d.Dest || q.Dest != d.Source || q.ESMClass != 0x04 {
		t.Fatalf("got %+v", p)
	}
	if text, _ := q.TLVs.Get(pdu.TagMessagePayload); string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if r, err := receipt.ParseData(q); err != nil || r.ID != string(d.MsgID) || r.MessageState != pdu.StateDelivered {
		t.Errorf("read as %+v, %v", r, err)
	}
}

func TestReceiptOfARefusedSubmission(t *testing.T) {
	th := NewSMPPS(SMPPSConfig{}, nil, nil, nil, slog.New(slog.DiscardHandler))
	d := dlrFor("acme", "m0", "336")
	d.Status, d.Err, d.Done = "UNDELIV", "99", ""
	p, err := th.receipt(d)
	if err != nil {
		t.Fatal(err)
	}
	text := string(p.(*pdu.DeliverSM).ShortMessage)
	if want := "stat:UNDELIV err:99 text:"; !strings.HasSuffix(text, want) || !strings.Contains(text, "done date:"+receipt.FormatDate(d.CreatedAt)) {
		t.Errorf("got %s, want ... %s", text, want)
	}
}

func TestOddFieldsOfAReceiptDoNotLoseIt(t *testing.T) {
	th := NewSMPPS(SMPPSConfig{}, nil, nil, nil, slog.New(slog.DiscardHandler))
	d := dlrFor("acme", "m0", "336")
	d.Err, d.Sub, d.Done = "no such subscriber", "1 of 2", "soon"
	p, err := th.receipt(d)
	if err != nil || !strings.Contains(string(p.(*pdu.DeliverSM).ShortMessage), "stat:DELIVRD err:000") {
		t.Errorf("got %+v, %v", p, err)
	}
}

// flaky is a journal that is away for its first entries.
type flaky struct {
	journal.Journal
	left *atomic.Int64
}

func (j flaky) Commit(ctx context.Context, e *journal.Entry) error {
	if j.left.Add(-1) >= 0 {
		return fmt.Errorf("%w: for a moment", queue.ErrUnavailable)
	}
	return j.Journal.Commit(ctx, e)
}

// refusing is a journal that will never take what concerns one message, but as a dead letter.
type refusing struct {
	journal.Journal
	id string
}

func (r refusing) Commit(ctx context.Context, e *journal.Entry) error {
	for i := range e.Publish {
		if p := &e.Publish[i]; p.Message.ID == r.id && p.Queue != queue.DeadLetter {
			return errors.New("exists with other arguments")
		}
	}
	return r.Journal.Commit(ctx, e)
}

// A message that its queue will never take is buried, and those that came with it arrive.
func TestMessageThatIsRefusedForEverIsBuried(t *testing.T) {
	s := startSMPPS(t, t.TempDir(), SMPPSConfig{}, func(j journal.Journal) journal.Journal { return refusing{j, "m1"} })
	one := newSession("one", 10, well)
	s.th.Bound("acme", one)
	s.tell(dlrFor("acme", "m0", "336"), dlrFor("acme", "m1", "336"), dlrFor("acme", "m2", "336"))
	s.settled(2)
	if got := one.got(); !slices.Equal(got, []string{"m0", "m2"}) {
		t.Errorf("got %v", got)
	}
	if dead := s.buried(1); dead[0] != "m1: exists with other arguments" {
		t.Errorf("buried %q", dead)
	}
}

// without is a broker that can never make the queue of one ESME.
type without struct {
	queues
	systemID string
}

func (w without) Declare(ctx context.Context, names ...queue.Name) error {
	if slices.Contains(names, queue.ESME(w.systemID)) {
		return errors.New("exists with other arguments")
	}
	return w.queues.Declare(ctx, names...)
}

// The ESME whose queue cannot be made keeps nothing from the others.
func TestAQueueThatCannotBeMadeStallsNobodyElse(t *testing.T) {
	s := &esmeStack{stack: openStack(t, t.TempDir()), t: t}
	defer s.shut(t)
	if err := s.Declare(t.Context(), queue.DLRThrowerSMPPS, queue.DeliverSMSMPPS); err != nil {
		t.Fatal(err)
	}
	s.th = NewSMPPS(SMPPSConfig{}, without{s, "odd"}, s, func() []string { return nil }, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	one := newSession("one", 10, well)
	s.th.Bound("acme", one)
	s.tell(dlrFor("acme", "m0", "336"), dlrFor("odd", "m1", "336"), dlrFor("acme", "m2", "336"))
	go func() { ended <- s.th.Run(ctx) }()
	s.settled(2)
	if got := one.got(); !slices.Equal(got, []string{"m0", "m2"}) {
		t.Errorf("got %v", got)
	}
	if dead := s.buried(1); dead[0] != "m1: declare smpps.odd: exists with other arguments" {
		t.Errorf("buried %q", dead)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// halfway is a journal that stops with half of a move done when its time is up in the middle.
type halfway struct {
	journal.Journal
	begun, resume chan struct{}
}

func (h halfway) Commit(ctx context.Context, e *journal.Entry) error {
	if len(e.Publish) == 0 || e.Publish[0].Queue == queue.DeadLetter {
		return h.Journal.Commit(ctx, e)
	}
	close(h.begun)
	<-h.resume
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), h.Journal.Commit(context.Background(), &journal.Entry{Publish: e.Publish}))
	}
	return h.Journal.Commit(ctx, e)
}

// A stop in the middle of a move delivers nothing twice.
func TestStopInTheMiddleOfAMove(t *testing.T) {
	dir := t.TempDir()
	h := halfway{begun: make(chan struct{}), resume: make(chan struct{})}
	s := startSMPPS(t, dir, SMPPSConfig{}, func(j journal.Journal) journal.Journal { h.Journal = j; return h })
	s.tell(dlrFor("acme", "m0", "336"))
	<-h.begun
	s.cancel()
	close(h.resume)
	s.stop()

	s = startSMPPS(t, dir, SMPPSConfig{})
	one := newSession("one", 10, well)
	s.th.Bound("acme", one)
	s.tell(dlrFor("acme", "m1", "336"))
	s.settled(2)
	if got := one.got(); !slices.Equal(got, ids(0, 2)) {
		t.Errorf("got %v", got)
	}
}

// A journal that is away for a while costs nothing but time.
func TestJournalAwayForAWhile(t *testing.T) {
	left := new(atomic.Int64)
	left.Store(2)
	s := startSMPPS(t, t.TempDir(), SMPPSConfig{}, func(j journal.Journal) journal.Journal { return flaky{j, left} })
	one := newSession("one", 10, well)
	s.th.Bound("acme", one)
	s.tell(dlrFor("acme", "m0", "336"))
	s.until("it is moved", func() bool { return s.th.Metrics.Moved.Load() == 1 })
	left.Store(1)
	s.tell(dlrFor("acme", "m1", "336"))
	s.settled(2)
	if got := one.got(); !slices.Equal(got, ids(0, 2)) {
		t.Errorf("got %v", got)
	}
}
