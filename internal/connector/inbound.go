package connector

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/logging"
	"jasmind/internal/queue"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
	"jasmind/internal/sms"
)

const (
	receiptBatch = 500      // receipts of one journal entry
	octetsMost   = 16 << 10 // of a receipt's PDU that goes along with it: AMQP limits the headers of a message
	moWorkers    = 64       // MO that are handed to the MO flow at a time
)

// temporary is the answer that makes an SMSC try again later (SMPP v3.4 §5.1.3).
const temporary = pdu.StatusRxTAppn

// inboundDeps are what an inbound works with.
type inboundDeps struct {
	*settings
	mo    MOFunc // nil: there is no MO flow
	lines *messageLog
	stats *Stats
	log   *slog.Logger
}

// inbound takes what the SMSC sends, over all binds of a connector. A receipt is answered after it is durable
// here, or refused for now when it cannot be made so at once: the SMSC sends it again. The sessions bound what waits, each by its inbound window.
//
// A receipt that comes twice, since its answer got lost, is harmless: the lookup finds its
// state recorded.
type inbound struct {
	inboundDeps
	writer   *journal.Writer[*received]
	messages chan *smpp.Request
	last     chan struct{} // closed: no session is left

	noMO, lost every // keep repeated log lines apart
}

// received is a receipt that waits to become durable.
type received struct {
	state sms.State // of a receipt that can be looked up
	req   *smpp.Request
	pub   queue.Publication
	log   func()
}

func newInbound(d inboundDeps, j journal.Journal) *inbound {
	in := &inbound{inboundDeps: d, messages: make(chan *smpp.Request, moWorkers), last: make(chan struct{}),
		noMO: every{interval: time.Minute}, lost: every{interval: 10 * time.Second}}
	in.writer = journal.NewWriter(j, journal.Work[*received]{
		What: "receipts", Max: receiptBatch, Once: true, Log: d.log,
		Add:  func(e *journal.Entry, x *received) { e.Publish = append(e.Publish, x.pub) },
		Done: func(x *received, _ journal.Fate, why error) { in.answer(x, why) },
	})
	return in
}

// ServeSMPP sorts the SMSC's requests. It never blocks, since it runs in the read loop.
func (in *inbound) ServeSMPP(_ *smpp.Session, r *smpp.Request) {
	switch p := r.PDU.(type) {
	case *pdu.DeliverSM:
		if receipt.IsReceipt(&p.Message) {
			rc, err := receipt.Parse(&p.Message)
			in.receipt(r, rc, err, func() string { return plain(p.ShortMessage, p.DataCoding, p.TLVs) })
			return
		}
		in.message(r)
	case *pdu.DataSM:
		if receipt.IsReceiptData(p) {
			rc, err := receipt.ParseData(p)
			in.receipt(r, rc, err, func() string { return plain(nil, p.DataCoding, p.TLVs) })
			return
		}
		in.message(r)
	case *pdu.AlertNotification:
		in.log.Info("alert_notification", "from", p.Source.Addr, "to", p.ESME.Addr)
	default:
		in.log.Warn("request refused", "pdu", r.Header.ID.String())
		in.respond(r, pdu.StatusInvCmdID)
	}
}

func (in *inbound) respond(r *smpp.Request, status pdu.Status) {
	if err := r.Respond(status, nil); err != nil && !errors.Is(err, smpp.ErrSessionClosed) {
		in.log.Warn("answer not sent", "pdu", r.Header.ID.String(), "status", status.String(), "err", err)
	}
}

// receipt queues a receipt for the lookup, or for the dead letters if it names no message: the
// SMSC would send it for ever if it were refused.
func (in *inbound) receipt(r *smpp.Request, rc *receipt.Receipt, err error, content func() string) {
	x := &received{req: r}
	body, encErr := pdu.Append(nil, pdu.StatusOK, r.Header.Sequence, r.PDU)
	var ids []string
	coding := sms.IDCoding(in.cfg.Load().DLRMsgID)
	if err == nil {
		if ids = sms.Candidates(coding, rc.IDs...); len(ids) == 0 {
			err = receipt.ErrNoID
		}
	}
	if err != nil {
		in.log.Error("receipt moved to the dead-letter queue", "pdu", r.Header.ID.String(), "err", err)
		m := queue.Message{ID: string(in.cid), ContentType: queue.ContentPDU, Body: body}
		if encErr != nil {
			m.ContentType, m.Body = queue.ContentText, []byte(content())
		}
		x.pub = queue.Bury(&queue.Delivery{Queue: queue.DeliverSM(in.cid), Message: m}, err.Error())
	} else {
		ev := queue.ReceiptEvent{CID: in.cid, Accounts: in.accounts(), PDU: r.Header.ID.String(), ID: ids[0], IDs: ids[1:], Unique: coding == sms.IDAutomatic,
			State: rc.State, Sub: rc.Sub, Dlvrd: rc.Dlvrd, SubmitDate: rc.SubmitDate, DoneDate: rc.DoneDate, Err: rc.Err, Text: rc.Text,
			ReceivedAt: time.Now().UnixMilli()}
		if len(body) <= octetsMost {
			ev.Octets = body
		}
		x.pub, x.state = queue.Publication{Queue: queue.DLRDeliverSM, Message: ev.Message()}, sms.State(rc.State)
		if in.lines.enabled() {
			x.log = func() { in.lines.receipt(rc, content()) }
		}
	}
	in.writer.Post(x)
}

// message hands an MO to the MO flow. One that nobody can take now is refused as a temporary
// error, never acknowledged and lost.
func (in *inbound) message(r *smpp.Request) {
	if in.mo == nil {
		if n, ok := in.noMO.allow(time.Now()); ok {
			in.log.Warn("message refused, there is no MO flow", "pdu", r.Header.ID.String(), "status", temporary.String(), "unlogged", n)
		}
		in.respond(r, temporary)
		return
	}
	select {
	case in.messages <- r:
	default:
		in.respond(r, temporary)
	}
}

// close lets run end when all that was received is answered.
func (in *inbound) close() {
	close(in.last)
	in.writer.Close()
}

// run commits receipts and serves MO until close was called and nothing is left, or ctx ends.
func (in *inbound) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	if in.mo != nil {
		for range moWorkers {
			wg.Go(func() { in.serveMO(ctx) })
		}
	}
	in.writer.Run(ctx)
}

func (in *inbound) serveMO(ctx context.Context) {
	for {
		select {
		case r := <-in.messages:
			status := temporary
			_ = logging.Guard(in.log, "message from a mobile", func() { status = in.mo(ctx, in.cid, r.PDU) })
			in.respond(r, status)
		case <-in.last:
			return
		case <-ctx.Done():
			return
		}
	}
}

// answer answers a receipt that is durable, or is not because of err.
func (in *inbound) answer(x *received, err error) {
	if err != nil {
		if n, ok := in.lost.allow(time.Now()); ok {
			in.log.Error("receipt cannot be queued", "status", temporary.String(), "unlogged", n, "err", err)
		}
		in.respond(x.req, temporary)
		return
	}
	in.stats.ReceiptCount.Add(1)
	in.stats.Quality.receipt(x.state)
	in.respond(x.req, pdu.StatusOK)
	if x.log != nil {
		x.log()
	}
}

// every lets one of many equal log lines through each interval.
type every struct {
	interval time.Duration
	mu       sync.Mutex
	last     time.Time
	dropped  int
}

// allow tells whether to log now, and how many times it said no since the last.
func (e *every) allow(now time.Time) (dropped int, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.last.IsZero() && now.Sub(e.last) < e.interval {
		e.dropped++
		return 0, false
	}
	dropped, e.dropped, e.last = e.dropped, 0, now
	return dropped, true
}
