package connector

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
	"jasmind/internal/sms"
)

const (
	receiptBatch = 500 // receipts of one journal entry
	moWorkers    = 64  // MO that are handed to the MO flow at a time
)

// temporary is the answer that makes an SMSC try again later (SMPP v3.4 §5.1.3).
const temporary = pdu.StatusRxTAppn

// inbound takes what the SMSC sends, over all binds of a connector. A receipt is answered after it is durable
// here: run commits all receipts that came while the last entry was being written as one
// entry. The sessions bound what waits, each by its inbound window.
//
// A receipt that comes twice, since its answer got lost, is harmless: the lookup finds its
// state recorded.
//
// mu guards the lists; notices keep repeated log lines apart.
type inbound struct {
	c    *Connector
	wake chan struct{}
	last chan struct{} // closed: no session is left
	mo   chan *smpp.Request

	mu       sync.Mutex
	receipts []received
	spare    []received

	noMO, lost every
}

// received is a receipt that waits to become durable.
type received struct {
	state string // of a receipt that can be looked up
	req   *smpp.Request
	pub   queue.Publication
	log   func()
}

func newInbound(c *Connector) *inbound {
	return &inbound{c: c, wake: make(chan struct{}, 1), last: make(chan struct{}),
		mo: make(chan *smpp.Request, moWorkers), noMO: every{interval: time.Minute}, lost: every{interval: 10 * time.Second}}
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
		in.c.log.Info("alert_notification", "from", p.Source.Addr, "to", p.ESME.Addr)
	default:
		in.c.log.Warn("request refused", "pdu", r.Header.ID.String())
		in.respond(r, pdu.StatusInvCmdID)
	}
}

func (in *inbound) respond(r *smpp.Request, status pdu.Status) {
	if err := r.Respond(status, nil); err != nil && !errors.Is(err, smpp.ErrSessionClosed) {
		in.c.log.Warn("answer not sent", "pdu", r.Header.ID.String(), "status", status.String(), "err", err)
	}
}

// receipt queues a receipt for the lookup, or for the dead letters if it names no message: the
// SMSC would send it for ever if it were refused.
func (in *inbound) receipt(r *smpp.Request, rc *receipt.Receipt, err error, content func() string) {
	c := in.c
	x := received{req: r}
	var ids []string
	coding := sms.IDCoding(c.cfg.Load().DLRMsgID)
	if err == nil {
		if ids = sms.Candidates(coding, rc.IDs...); len(ids) == 0 {
			err = receipt.ErrNoID
		}
	}
	if err != nil {
		c.log.Error("receipt moved to the dead-letter queue", "pdu", r.Header.ID.String(), "err", err)
		body, encErr := pdu.Append(nil, pdu.StatusOK, 0, r.PDU)
		m := queue.Message{ID: string(c.cid), ContentType: queue.ContentPDU, Body: body}
		if encErr != nil {
			m.ContentType, m.Body = queue.ContentText, []byte(content())
		}
		x.pub = queue.Bury(&queue.Delivery{Queue: queue.DeliverSM(c.cid), Message: m}, err.Error())
	} else {
		ev := queue.ReceiptEvent{CID: c.cid, PDU: r.Header.ID.String(), ID: ids[0], IDs: ids[1:], Unique: coding == sms.IDAutomatic,
			State: rc.State, Sub: rc.Sub, Dlvrd: rc.Dlvrd, SubmitDate: rc.SubmitDate, DoneDate: rc.DoneDate, Err: rc.Err, Text: rc.Text,
			ReceivedAt: time.Now().UnixMilli()}
		x.pub, x.state = queue.Publication{Queue: queue.DLRDeliverSM, Message: ev.Message()}, rc.State
		if c.messages.Enabled(context.Background(), slog.LevelInfo) {
			x.log = func() { c.logReceipt(rc, content()) }
		}
	}
	in.mu.Lock()
	in.receipts = append(in.receipts, x)
	in.mu.Unlock()
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// message hands an MO to the MO flow. One that nobody can take now is refused as a temporary
// error, never acknowledged and lost.
func (in *inbound) message(r *smpp.Request) {
	if in.c.mo == nil {
		if n, ok := in.noMO.allow(time.Now()); ok {
			in.c.log.Warn("message refused, there is no MO flow", "pdu", r.Header.ID.String(), "status", temporary.String(), "unlogged", n)
		}
		in.respond(r, temporary)
		return
	}
	select {
	case in.mo <- r:
	default:
		in.respond(r, temporary)
	}
}

// close lets run end when all that was received is answered.
func (in *inbound) close() { close(in.last) }

// run commits receipts and serves MO until close was called and nothing is left, or ctx ends.
func (in *inbound) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	if in.c.mo != nil {
		for range moWorkers {
			wg.Go(func() { in.serveMO(ctx) })
		}
	}
	for {
		select {
		case <-in.wake:
			in.commit(ctx)
		case <-in.last:
			in.commit(ctx)
			return
		case <-ctx.Done():
			return
		}
	}
}

func (in *inbound) serveMO(ctx context.Context) {
	for {
		select {
		case r := <-in.mo:
			in.respond(r, in.c.mo(ctx, in.c.cid, r.PDU))
		case <-in.last:
			return
		case <-ctx.Done():
			return
		}
	}
}

// commit makes all waiting receipts durable and answers them; what cannot be made durable
// now the SMSC shall send again.
func (in *inbound) commit(ctx context.Context) {
	in.mu.Lock()
	all := in.receipts
	in.receipts, in.spare = in.spare[:0], nil
	in.mu.Unlock()
	for rest := all; len(rest) > 0; {
		batch := rest[:min(len(rest), receiptBatch)]
		rest = rest[len(batch):]
		err := in.commitBatch(ctx, batch)
		if err == nil || len(batch) == 1 || errors.Is(err, queue.ErrUnavailable) || ctx.Err() != nil {
			in.answer(batch, err)
			continue
		}
		for i := range batch { // one of them is at fault; the others shall not be refused with it
			one := batch[i : i+1]
			in.answer(one, in.commitBatch(ctx, one))
		}
	}
	clear(all)
	in.mu.Lock()
	in.spare = all[:0]
	in.mu.Unlock()
}

// commitBatch makes receipts durable, all or none.
func (in *inbound) commitBatch(ctx context.Context, batch []received) error {
	e := journal.Entry{Publish: make([]queue.Publication, len(batch))}
	for i := range batch {
		e.Publish[i] = batch[i].pub
	}
	return in.c.journal.Commit(ctx, &e)
}

// answer answers receipts that are durable, or are not because of err.
func (in *inbound) answer(batch []received, err error) {
	status := pdu.StatusOK
	if err != nil {
		status = temporary
		if n, ok := in.lost.allow(time.Now()); ok {
			in.c.log.Error("receipts cannot be queued", "count", len(batch), "status", status.String(), "unlogged", n, "err", err)
		}
	} else {
		in.c.stats.ReceiptCount.Add(int64(len(batch)))
		for i := range batch {
			in.c.stats.Quality.receipt(batch[i].state)
		}
	}
	for i := range batch {
		in.respond(batch[i].req, status)
		if status == pdu.StatusOK && batch[i].log != nil {
			batch[i].log()
		}
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
