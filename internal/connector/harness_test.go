package connector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const cid sms.ConnectorID = "smsc1"

// backend is broker, journal and store in memory, with the semantics that their contracts
// state: an entry is applied whole or not at all, a settlement after Close is stale, what was
// not settled comes again marked redelivered, and before what is behind it, as does what is put back without a delay.
type backend struct {
	mu        sync.Mutex
	ready     []*queue.Delivery
	consumers map[*consumer]bool
	subs      []int // prefetch of each subscription
	entries   []*journal.Entry
	published []queue.Publication
	retries   []queue.Retry
	acked     []string
	forgotten []sms.MessageID
	mappings  map[string]sms.Mapping
	outcomes  map[sms.MessageID][]sms.PartOutcome
	settled   map[string]bool
	expiries  []sms.Expiry
	unsettled map[*queue.Delivery]*consumer
	asked     int // calls of Settled
	overrides map[sms.MessageID]sms.Override
	claimed   map[sms.MessageID]bool
	claims    int // calls of Claim
	changes   []sms.StateChange
	handles   int

	refuse    func(*journal.Entry) error // nil: never
	settledFn func() error
}

func newBackend() *backend {
	return &backend{consumers: map[*consumer]bool{}, mappings: map[string]sms.Mapping{}, outcomes: map[sms.MessageID][]sms.PartOutcome{},
		settled: map[string]bool{}, unsettled: map[*queue.Delivery]*consumer{}}
}

type consumer struct {
	b        *backend
	c        chan *queue.Delivery
	prefetch int
	n        int
}

func (c *consumer) C() <-chan *queue.Delivery { return c.c }

func (c *consumer) Close(context.Context) error {
	b := c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.consumers[c] {
		return nil
	}
	delete(b.consumers, c)
	var back []*queue.Delivery
	for d, owner := range b.unsettled {
		if owner == c {
			delete(b.unsettled, d)
			again := *d
			again.Redelivered = true
			back = append(back, &again)
		}
	}
	b.putBackLocked(back...)
	close(c.c)
	b.dispatchLocked()
	return nil
}

func (b *backend) Consume(_ context.Context, name queue.Name, prefetch int) (queue.Consumer, error) {
	if name != queue.SubmitSM(cid) {
		return nil, fmt.Errorf("queue %s: %w", name, queue.ErrNoQueue)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &consumer{b: b, c: make(chan *queue.Delivery, prefetch), prefetch: prefetch}
	b.consumers[c] = true
	b.subs = append(b.subs, prefetch)
	b.dispatchLocked()
	return c, nil
}

// putBackLocked puts deliveries in their places: before what is behind them, as the contract of the drivers has it.
func (b *backend) putBackLocked(ds ...*queue.Delivery) {
	b.ready = append(b.ready, ds...)
	slices.SortStableFunc(b.ready, func(x, y *queue.Delivery) int { return x.Handle.(int) - y.Handle.(int) })
}

func (b *backend) dispatchLocked() {
	for c := range b.consumers {
		for len(b.ready) > 0 && c.n < c.prefetch {
			d := b.ready[0]
			b.ready = b.ready[1:]
			b.unsettled[d] = c
			c.n++
			c.c <- d
		}
	}
}

// lose is the loss of the connection to the broker: what is unsettled is stale, and comes again to the same consumers.
func (b *backend) lose() {
	b.mu.Lock()
	defer b.mu.Unlock()
	var back []*queue.Delivery
	for d := range b.unsettled {
		again := *d
		again.Redelivered = true
		back = append(back, &again)
	}
	clear(b.unsettled)
	b.putBackLocked(back...)
	for c := range b.consumers {
		c.n = 0
		for len(c.c) > 0 {
			<-c.c
		}
	}
	b.dispatchLocked()
}

// put queues messages.
func (b *backend) put(ds ...*queue.Delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range ds {
		b.handles++
		d.Queue, d.Handle = queue.SubmitSM(cid), b.handles
		b.ready = append(b.ready, d)
	}
	b.dispatchLocked()
}

func (b *backend) Commit(ctx context.Context, e *journal.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		if err := b.refuse(e); err != nil {
			return err
		}
	}
	b.entries = append(b.entries, e)
	b.published = append(b.published, e.Publish...)
	b.forgotten = append(b.forgotten, e.Forget...)
	for _, id := range e.Forget {
		delete(b.outcomes, id)
	}
	b.changes = append(b.changes, e.Changes...)
	for _, c := range e.Changes {
		b.releaseLocked(c.MsgID)
	}
	b.releaseLocked(e.Release...)
	for _, m := range e.Mappings {
		b.mappings[m.SMPPMsgID] = m
	}
	for _, o := range e.Outcomes {
		others := slices.DeleteFunc(slices.Clone(b.outcomes[o.MsgID]), func(p sms.PartOutcome) bool { return p.Part == o.Part })
		b.outcomes[o.MsgID] = append(others, o) // the last one of a part stands
	}
	for _, x := range e.Unexpire {
		b.expiries = slices.DeleteFunc(b.expiries, func(y sms.Expiry) bool { return x.MsgID == y.MsgID })
	}
	for _, a := range e.Ack {
		if a.Remember {
			b.settled[a.Delivery.Key()] = true
		}
		if b.leaveLocked(a.Delivery) {
			b.acked = append(b.acked, a.Delivery.ID)
		}
	}
	for _, r := range e.Retry {
		b.settled[r.Delivery.Key()] = true
		b.retries = append(b.retries, r)
		if b.leaveLocked(r.Delivery) {
			again := &queue.Delivery{Message: r.Delivery.Message}
			again.Attempts++
			if r.Headers != nil {
				again.Headers = r.Headers
			}
			if r.After == 0 {
				again.Queue, again.Handle = r.Delivery.Queue, r.Delivery.Handle
				b.putBackLocked(again)
				continue
			}
			time.AfterFunc(r.After, func() { b.put(again) })
		}
	}
	b.dispatchLocked()
	return nil
}

func (b *backend) leaveLocked(d *queue.Delivery) bool {
	c, ok := b.unsettled[d]
	if ok {
		delete(b.unsettled, d)
		c.n--
	}
	return ok
}

func (b *backend) Settled(_ context.Context, ds []*queue.Delivery) ([]bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if b.settledFn != nil {
		if err := b.settledFn(); err != nil {
			return nil, err
		}
	}
	out := make([]bool, len(ds))
	for i, d := range ds {
		out[i] = b.settled[d.Key()]
	}
	return out, nil
}

func (b *backend) Submissions(_ context.Context, id sms.MessageID) ([]sms.PartOutcome, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.outcomes[id]), nil
}

func (b *backend) Expired(_ context.Context, limit int) ([]sms.Expiry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []sms.Expiry
	for _, x := range b.expiries {
		if !x.At.After(time.Now()) && len(out) < limit {
			out = append(out, x)
		}
	}
	return out, nil
}

func (b *backend) Receipt(context.Context, sms.MessageID) (sms.ReceiptRequest, bool, error) {
	return sms.ReceiptRequest{}, false, errors.New("not the connector's business")
}

func (b *backend) Mapping(context.Context, sms.Account, string) (sms.Mapping, bool, error) {
	return sms.Mapping{}, false, errors.New("not the connector's business")
}

func (b *backend) RecordFinal(context.Context, sms.PartOutcome) ([]sms.PartOutcome, error) {
	return nil, errors.New("not the connector's business")
}

func (b *backend) Records(context.Context, []sms.MessageID) ([]sms.Record, error) {
	return nil, errors.New("not the connector's business")
}

func (b *backend) Claim(_ context.Context, ids []sms.MessageID) ([]sms.Override, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claims++
	var out []sms.Override
	for _, id := range ids {
		if b.claimed == nil {
			b.claimed = map[sms.MessageID]bool{}
		}
		b.claimed[id] = true
		if o, ok := b.overrides[id]; ok {
			out = append(out, o)
		}
	}
	return out, nil
}

func (b *backend) Unclaim(_ context.Context, ids []sms.MessageID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.releaseLocked(ids...)
	return nil
}

func (b *backend) releaseLocked(ids ...sms.MessageID) {
	for _, id := range ids {
		delete(b.claimed, id)
	}
}

// results are the events of dlr.submit_sm_resp in order.
func (b *backend) results(t *testing.T) []queue.SubmitResult {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []queue.SubmitResult
	for _, p := range b.published {
		if p.Queue == queue.DLRSubmitSMResp {
			r, err := queue.DecodeSubmitResult(&p.Message)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, *r)
		}
	}
	return out
}

// waiting is the number of messages in the queue, those in somebody's hands included.
func (b *backend) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.ready) + len(b.unsettled)
}

func (b *backend) do(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// arrived is a submit_sm at the SMSC.
type arrived struct {
	sess *smpp.Session
	req  *smpp.Request
	sm   *pdu.SubmitSM
	at   time.Time
}

// smsc is the other side: it accepts binds over in-memory connections and answers submit_sm by
// answer, or leaves them to the test when that is nil.
type smsc struct {
	t        *testing.T
	mu       sync.Mutex
	sessions []*smpp.Session
	got      []arrived
	open     map[*smpp.Session]int
	most     int // the most unanswered requests of one session at a time
	dials    []time.Time
	answer   func(n int, a arrived) (pdu.Status, string) // n counts from 1; status holdBack: no answer
	bind     func(n int, b *pdu.Bind) pdu.Status
	dialErr  func(n int) error
	wg       sync.WaitGroup
}

const holdBack pdu.Status = 0xFFFFFFFF

func newSMSC(t *testing.T) *smsc { return &smsc{t: t, open: map[*smpp.Session]int{}} }

// accept is a bench that accepts everything.
func accept(n int, _ arrived) (pdu.Status, string) { return pdu.StatusOK, fmt.Sprintf("id%d", n) }

func (m *smsc) dial(ctx context.Context, _ *smppc.Config, d smpp.DialConfig) (*smpp.Session, error) {
	m.mu.Lock()
	m.dials = append(m.dials, time.Now())
	n := len(m.dials)
	m.mu.Unlock()
	if m.dialErr != nil {
		if err := m.dialErr(n); err != nil {
			return nil, err
		}
	}
	ours, theirs := net.Pipe()
	server := smpp.NewSession(theirs, smpp.SMSC, smpp.Config{
		EnquireLink: -1, Inactivity: -1, Window: 1000, InboundWindow: 5000,
		Handler: m,
		Bind: func(_ context.Context, _ *smpp.Session, b *pdu.Bind) (pdu.Status, *pdu.BindResp) {
			if m.bind != nil {
				return m.bind(n, b), nil
			}
			return pdu.StatusOK, nil
		},
	})
	m.mu.Lock()
	m.sessions = append(m.sessions, server)
	m.mu.Unlock()
	m.wg.Go(func() { server.Run(context.Background()) }) //nolint:errcheck // however it ends
	s := smpp.NewSession(ours, smpp.ESME, d.Config)
	if _, err := s.Bind(ctx, &d.Bind); err != nil {
		s.Close(err)
		return nil, err
	}
	return s, nil
}

func (m *smsc) ServeSMPP(s *smpp.Session, r *smpp.Request) {
	sm, ok := r.PDU.(*pdu.SubmitSM)
	if !ok {
		r.Respond(pdu.StatusInvCmdID, nil) //nolint:errcheck // not under test
		return
	}
	m.mu.Lock()
	a := arrived{s, r, sm, time.Now()}
	m.got = append(m.got, a)
	n := len(m.got)
	m.open[s]++
	m.most = max(m.most, m.open[s])
	answer := m.answer
	m.mu.Unlock()
	if answer == nil {
		return
	}
	if status, id := answer(n, a); status != holdBack {
		m.respond(a, status, id)
	}
}

func (m *smsc) respond(a arrived, status pdu.Status, id string) {
	m.mu.Lock()
	m.open[a.sess]--
	m.mu.Unlock()
	var resp pdu.PDU
	if status == pdu.StatusOK {
		resp = &pdu.SubmitSMResp{MessageID: id}
	}
	a.req.Respond(status, resp) //nolint:errcheck // the session may be gone
}

func (m *smsc) arrivals() []arrived {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.got)
}

// dialled are the times of all connections that were tried.
func (m *smsc) dialled() []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.dials)
}

func (m *smsc) session(i int) *smpp.Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sessions[i]
}

// texts are the contents that arrived, in order.
func (m *smsc) texts() []string {
	var out []string
	for _, a := range m.arrivals() {
		out = append(out, string(a.sm.ShortMessage))
	}
	return out
}

// lines collects the messages of a log.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lines) WithGroup(string) slog.Handler            { return l }
func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, r.Message)
	return nil
}

func (l *lines) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// world is a connector between a backend and an SMSC.
type world struct {
	t    *testing.T
	c    *Connector
	b    *backend
	m    *smsc
	log  *lines
	ran  chan error
	stop context.CancelFunc
}

// start runs f in a bubble of virtual time with a connector that is running and bound.
func start(t *testing.T, change func(*Config, *Deps, *smsc), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, b: newBackend(), m: newSMSC(t), log: &lines{}, ran: make(chan error, 1)}
		cfg := Config{Connector: smppc.Default(cid)}
		cfg.Connector.SubmitThroughput = 0
		cfg.Connector.EnquireLink = 0
		cfg.Connector.Inactivity = 0
		deps := Deps{Source: w.b, Journal: w.b, Store: w.b, Messages: slog.New(w.log),
			Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))}
		if change != nil {
			change(&cfg, &deps, w.m)
		}
		c, err := New(cfg, deps)
		if err != nil {
			t.Fatal(err)
		}
		c.binds.dial = w.m.dial
		w.c = c
		ctx, cancel := context.WithCancel(t.Context())
		w.stop = cancel
		go func() { w.ran <- c.Run(ctx) }()
		synctest.Wait()
		f(w)
		cancel()
		select {
		case <-w.c.done:
		case <-time.After(time.Hour):
			t.Fatal("Run does not end")
		}
		w.m.mu.Lock()
		sessions := slices.Clone(w.m.sessions)
		w.m.mu.Unlock()
		for _, s := range sessions {
			s.Close(nil)
		}
		w.m.wg.Wait()
	})
}

// shutdown drains with an hour's patience and checks what Run returns.
func (w *world) shutdown() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Hour)
	defer cancel()
	if err := w.c.Shutdown(ctx); err != nil {
		w.t.Errorf("Shutdown: %v", err)
	}
	if err := <-w.ran; err != nil {
		w.t.Errorf("Run: %v", err)
	}
	w.ran <- nil
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s %s", time.Now().Format("15:04:05.000"), p[:len(p)-1])
	return len(p), nil
}

var _ io.Writer = testWriter{}

// message makes a queue entry of parts; change may alter it before.
func message(t testing.TB, id string, parts int, change func(*sms.Envelope)) *queue.Delivery {
	t.Helper()
	env := &sms.Envelope{ID: sms.MessageID(id), CID: cid, UID: "foo", Origin: sms.OriginHTTP, CreatedAt: time.Now().Truncate(time.Millisecond), Content: "text of " + id}
	for i := range parts {
		text := id
		if parts > 1 {
			text = fmt.Sprintf("%s/%d", id, i+1)
		}
		env.Parts = append(env.Parts, pdu.SubmitSM{Message: pdu.Message{Source: pdu.Address{TON: 2, NPI: 1, Addr: "1234"},
			Dest: pdu.Address{TON: 1, NPI: 1, Addr: "33612345678"}, ShortMessage: []byte(text)}})
	}
	if change != nil {
		change(env)
	}
	m, err := queue.EncodeEnvelope(env)
	if err != nil {
		t.Fatal(err)
	}
	return &queue.Delivery{Message: m}
}

func report(r sms.Report) func(*sms.Envelope) { return func(e *sms.Envelope) { e.Report = r } }

func wantEqual[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}
