package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jasmind/internal/billing"
	"jasmind/internal/deadletter"
	"jasmind/internal/dlr"
	"jasmind/internal/journal"
	"jasmind/internal/journal/embedded"
	"jasmind/internal/journal/services"
	"jasmind/internal/localdb"
	"jasmind/internal/mt"
	"jasmind/internal/queue"
	queuepebble "jasmind/internal/queue/pebble"
	"jasmind/internal/queue/rabbit"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
	storepebble "jasmind/internal/store/pebble"
	storeredis "jasmind/internal/store/redis"
	"jasmind/internal/testenv"
	"jasmind/internal/throw"
)

// line is the queue of one consumer with five messages, the third of which can never be settled.
type line struct {
	name  string // the messages are <name>-0 to <name>-4
	queue queue.Name
	// message makes one, and adds to the entry what it needs.
	message func(e *journal.Entry, id string) queue.Message
	// together: the consumer gathers batches from the queue, so that all five are one entry.
	together bool
}

const (
	lineLength = 5
	lineFault  = 2
)

func (l *line) id(i int) string { return fmt.Sprint(l.name, "-", i) }

// lines are the consumers that make effects durable and acknowledge with them. Each goes on without the message at fault, which
// becomes a dead letter.
func lines(url string) []line {
	request := func(id string, r sms.Report) sms.ReceiptRequest {
		return sms.ReceiptRequest{MsgID: sms.MessageID(id), Origin: sms.OriginHTTP, CID: "smsc1", Report: r, Parts: 1, Expiry: time.Hour, URL: url, Method: "GET"}
	}
	phone := pdu.Address{TON: 1, NPI: 1, Addr: "336"}
	forESME := func(systemID string) func(*journal.Entry, string) queue.Message {
		return func(_ *journal.Entry, id string) queue.Message {
			return (&queue.SMPPDLR{MsgID: sms.MessageID(id), SystemID: systemID, Source: phone, Dest: phone, Status: "DELIVRD", SubmittedAt: time.Now(), CreatedAt: time.Now()}).Message()
		}
	}
	fromMobile := pdu.DeliverSM{Message: pdu.Message{Source: phone, Dest: phone, ShortMessage: []byte("Help")}}
	return []line{
		{"answer", queue.DLRSubmitSMResp, func(e *journal.Entry, id string) queue.Message {
			e.Receipts = append(e.Receipts, request(id, sms.ReportSubmit))
			return (&queue.SubmitResult{MsgID: sms.MessageID(id), CID: "smsc1", SMPPMsgID: "1", Status: "ESME_ROK"}).Message()
		}, true},
		{"receipt", queue.DLRDeliverSM, func(e *journal.Entry, id string) queue.Message {
			e.Receipts = append(e.Receipts, request(id, sms.ReportFinal))
			e.Mappings = append(e.Mappings, sms.Mapping{Account: "smsc1", SMPPMsgID: id, MsgID: sms.MessageID(id), Part: 1, Parts: 1, Origin: sms.OriginHTTP, Expiry: time.Hour})
			return (&queue.ReceiptEvent{CID: "smsc1", PDU: "deliver_sm", ID: id, State: "DELIVRD"}).Message()
		}, true},
		{"dlr-http", queue.DLRThrowerHTTP, func(_ *journal.Entry, id string) queue.Message {
			return (&queue.HTTPDLR{MsgID: sms.MessageID(id), URL: url, Method: "GET", Level: 1, Status: "ESME_ROK", CID: "smsc1"}).Message()
		}, false},
		{"mo-http", queue.DeliverSMHTTP, func(_ *journal.Entry, id string) queue.Message {
			m, err := (&queue.MOCall{MsgID: sms.MessageID(id), Targets: []queue.MOTarget{{CID: "h", URL: url, Method: "POST"}}, CID: "smsc1", CreatedAt: time.Now(),
				Parts: []pdu.DeliverSM{fromMobile}, Total: 1}).Message()
			if err != nil {
				panic(err)
			}
			return m
		}, false},
		{"dlr-away", queue.DLRThrowerSMPPS, forESME("away"), true},
		{"mo-away", queue.DeliverSMSMPPS, func(_ *journal.Entry, id string) queue.Message {
			body, err := pdu.Append(nil, pdu.StatusOK, 0, &fromMobile)
			if err != nil {
				panic(err)
			}
			return queue.Message{ID: id, ContentType: queue.ContentPDU, Headers: queue.Headers{{Name: queue.HeaderSystemID, Str: "away"}}, Body: body}
		}, true},
		{"bound", queue.ESME("bound"), forESME("bound"), false},
		{"bill", queue.BillRequests, func(_ *journal.Entry, id string) queue.Message {
			p := (&queue.BillRequest{Bill: billing.BillID(id), UID: "u1", Amount: 1}).Publication()
			return p.Message
		}, true},
		{"letter", queue.DeadLetter, func(_ *journal.Entry, id string) queue.Message {
			p := queue.BuryAs(&queue.Delivery{Queue: "submit.sm.gone", Message: queue.Message{ID: id, Body: []byte("body")}}, queue.CauseRetries, "given up")
			return p.Message
		}, true},
	}
}

// broker is what both queue drivers have.
type broker interface {
	queue.Source
	Declare(ctx context.Context, names ...queue.Name) error
	Length(ctx context.Context, name queue.Name) (int, error)
	Delete(ctx context.Context, name queue.Name) error
}

// records is what both stores have.
type records interface {
	journal.Store
	journal.Letters
}

// One entry that is refused keeps nobody else's effects, whatever consumes: the others are settled meanwhile, and it
// becomes a dead letter with its reason.
func TestAnEntryThatIsRefusedStallsNoConsumer(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		db, err := localdb.Open(t.TempDir(), localdb.Config{})
		must(t, err)
		q, err := queuepebble.New(db, queuepebble.Config{})
		must(t, err)
		defer func() { must(t, errors.Join(q.Close(), db.Close())) }()
		s := storepebble.New(db)
		refuse(t, q, embedded.New(db, q, s), s, false)
	})
	t.Run("services", func(t *testing.T) {
		const patience = 2 * time.Minute // a busy machine is no reason to give up
		log := slog.New(slog.DiscardHandler)
		b, err := rabbit.Open(t.Context(), rabbit.Config{URL: testenv.RabbitMQ(t).URL(), DialTimeout: patience, ConfirmTimeout: patience, Logger: log})
		must(t, err)
		s, err := storeredis.Open(t.Context(), storeredis.Config{URL: testenv.Redis(t).URL(), DialTimeout: patience, Timeout: patience, Logger: log})
		must(t, err)
		defer func() { must(t, errors.Join(b.Close(), s.Close())) }()
		refuse(t, b, services.New(b, s), s, true)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refuse runs all consumers over a backend.
func refuse(t *testing.T, b broker, j journal.Journal, store records, frames bool) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, throw.Acknowledgement) }))
	defer srv.Close()
	rows := lines(srv.URL)
	r := &veto{Journal: j, faults: make(map[string]bool), size: make(map[string]int), acked: make(map[string][]string)}
	var first journal.Entry
	gates := &gates{broker: b, first: make(map[queue.Name]bool)}
	for i := range rows {
		l := &rows[i]
		must(t, b.Declare(t.Context(), l.queue))
		gates.first[l.queue] = true
		r.faults[key(l.queue, l.id(lineFault))] = true
		for n := range lineLength {
			first.Publish = append(first.Publish, queue.Publication{Queue: l.queue, Message: l.message(&first, l.id(n))})
		}
	}
	want := len(rows) * lineLength
	huge := sms.ReceiptRequest{MsgID: "huge", Origin: sms.OriginHTTP, CID: "smsc1", Report: sms.ReportSubmit, Parts: 1, Expiry: time.Hour, URL: srv.URL + "/" + strings.Repeat("u", 130_000), Method: "GET"}
	if frames { // AMQP has no room for the DLR, so that the driver itself refuses it
		first.Receipts = append(first.Receipts, huge)
		first.Publish = append(first.Publish, queue.Publication{Queue: queue.DLRSubmitSMResp,
			Message: (&queue.SubmitResult{MsgID: huge.MsgID, CID: "smsc1", SMPPMsgID: "1", Status: "ESME_ROK"}).Message()})
		want++
	}
	must(t, j.Commit(t.Context(), &first))

	log := slog.New(slog.DiscardHandler)
	esmes := throw.NewSMPPS(throw.SMPPSConfig{}, gates, r, func() []string { return nil }, log)
	esmes.Bound("bound", willing{})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, run := range []func(context.Context) error{
		dlr.New(dlr.Config{Workers: 1}, gates, r, store, log).Run,
		throw.NewHTTP(throw.Config{}, gates, r, log).Run,
		throw.NewMO(throw.Config{}, gates, r, log).Run,
		esmes.Run,
		mt.NewBills(gates, r, log).Run,
		deadletter.New(deadletter.Config{}, gates, r, store, log).Run,
	} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}

	letters := len(rows) + lineLength - 1 // one of each line, and those of the line of letters
	if frames {
		letters++
	}
	until(t, "everything is settled", func() bool {
		n, err := store.CountLetters(t.Context())
		must(t, err)
		kept := 0
		for _, c := range n {
			kept += c.Count
		}
		return kept >= letters && r.settled(rows) >= want
	})
	cancel()
	wg.Wait()

	all, err := store.Letters(t.Context(), "", "", 1000)
	must(t, err)
	dead := make(map[string]queue.Letter)
	for _, l := range all {
		dead[key(l.Queue, l.Message.ID)] = l
	}
	if len(all) != letters || len(dead) != letters {
		t.Errorf("%d letters of %d messages, want %d", len(all), len(dead), letters)
	}
	if frames {
		l := dead[key(queue.DLRSubmitSMResp, "huge")]
		if l.Cause != queue.CauseRefused || !strings.Contains(l.Reason, "headers of message huge for dlr_thrower.http have 13") {
			t.Errorf("what AMQP has no room for: %+v", l)
		}
	}
	for i := range rows {
		l := &rows[i]
		t.Run(l.name, func(t *testing.T) {
			acked := slices.DeleteFunc(r.acked[string(l.queue)], func(id string) bool { return !strings.HasPrefix(id, l.name+"-") })
			fault := l.id(lineFault)
			if len(acked) != lineLength || acked[lineLength-1] != fault {
				t.Errorf("acknowledged: %q, want %d with %s as the last", acked, lineLength, fault)
			}
			if n := r.size[key(l.queue, fault)]; l.together && n < lineLength {
				t.Errorf("it was refused with %d deliveries, want %d", n, lineLength)
			}
			if l.queue == queue.DeadLetter {
				for n := range lineLength {
					got := dead[key("submit.sm.gone", l.id(n))]
					reason, body := "given up", "body"
					if n == lineFault {
						reason, body = "given up; without its body of 4 octets, which the store refused: "+refusal(fault), ""
					}
					if got.Cause != queue.CauseRetries || got.Reason != reason || string(got.Message.Body) != body {
						t.Errorf("letter %d: %+v", n, got)
					}
				}
				return
			}
			if got := dead[key(l.queue, fault)]; got.Cause != queue.CauseRefused || got.Reason != refusal(fault) {
				t.Errorf("cause %q, reason %q", got.Cause, got.Reason)
			}
		})
	}
}

func key(name queue.Name, id string) string { return string(name) + " " + id }

func refusal(id string) string { return "nothing that comes of " + id + " can be stored" }

// veto is a journal that refuses every entry with the acknowledgement of a message at fault, unless that becomes a dead letter.
type veto struct {
	journal.Journal
	faults map[string]bool

	mu    sync.Mutex
	size  map[string]int      // by fault: acknowledgements of the largest entry that was refused
	acked map[string][]string // by queue, in order
}

func (r *veto) Commit(ctx context.Context, e *journal.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range e.Ack {
		d := a.Delivery
		if k := key(d.Queue, d.ID); r.faults[k] && !buries(e, d) {
			r.size[k] = max(r.size[k], len(e.Ack))
			return errors.New(refusal(d.ID))
		}
	}
	if err := r.Journal.Commit(ctx, e); err != nil {
		return err
	}
	for _, a := range e.Ack {
		name := string(a.Delivery.Queue)
		r.acked[name] = append(r.acked[name], a.Delivery.ID)
	}
	return nil
}

// buries tells whether an entry makes a delivery a dead letter, or one that is a dead letter already one without a body.
func buries(e *journal.Entry, d *queue.Delivery) bool {
	return slices.ContainsFunc(e.Publish, func(p queue.Publication) bool { return p.Queue == queue.DeadLetter && p.Message.ID == d.ID }) ||
		slices.ContainsFunc(e.Letters, func(l queue.Letter) bool { return l.Message.ID == d.ID && l.Message.Body == nil })
}

// settled counts the messages of the lines, and the huge one, that left their queue.
func (r *veto) settled(rows []line) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range rows {
		for _, id := range r.acked[string(rows[i].queue)] {
			if strings.HasPrefix(id, rows[i].name+"-") || id == "huge" {
				n++
			}
		}
	}
	return n
}

// gates is a broker whose first subscription to a queue gives nothing until a whole line is there.
type gates struct {
	broker
	mu    sync.Mutex
	first map[queue.Name]bool
}

func (g *gates) Consume(ctx context.Context, name queue.Name, prefetch int) (queue.Consumer, error) {
	c, err := g.broker.Consume(ctx, name, prefetch)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil || !g.first[name] {
		return c, err
	}
	g.first[name] = false
	out := make(chan *queue.Delivery, prefetch)
	go func() {
		defer close(out)
		var held []*queue.Delivery
		for d := range c.C() {
			if held = append(held, d); len(held) < lineLength {
				continue
			}
			for _, d := range held {
				out <- d // it has room: nobody settles them, so that the prefetch bounds them
			}
			break
		}
		for d := range c.C() {
			out <- d
		}
	}()
	return gated{c, out}, nil
}

type gated struct {
	queue.Consumer
	out chan *queue.Delivery
}

func (g gated) C() <-chan *queue.Delivery { return g.out }

// willing is a session of an ESME that takes everything.
type willing struct{}

func (willing) TrySend(_ pdu.PDU, done func(smpp.Response, error)) error {
	go done(smpp.Response{Header: pdu.Header{ID: pdu.CmdDeliverSMResp}}, nil)
	return nil
}
