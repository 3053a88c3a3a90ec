package smscsim

import (
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// account is an ESME of the simulator, with its sessions and the receipts that wait for it.
//
// mu guards the fields below it. Methods of a session are called while mu is held; this cannot deadlock, since a
// session calls back from a goroutine of its own.
type account struct {
	sim   *Simulator
	cfg   Account
	open  bool // any password is accepted
	limit *rate.Limiter

	mu        sync.Mutex
	bound     []*peer    // all binds
	receivers []*peer    // binds that receipts can go to
	turn      int        // index in receivers of the bind that was used last
	ready     []delivery // receipts to send next: ready[head:]
	head      int
	parked    []delivery // receipts without a bind that they may go to
	inFlight  int
	waiting   int // receipts that are ready, parked, in flight or to be sent again
	poked     bool
}

// delivery is a receipt on its way to the ESME.
type delivery struct {
	pdu     pdu.PDU
	session uint64 // number of the session that submitted the message
	bind    string
	tries   int
	epoch   uint64
}

func newAccount(sim *Simulator, cfg Account) *account {
	return &account{sim: sim, cfg: cfg, limit: limiter(cfg.Throughput)}
}

// join adds a bind, unless the account has its maximum of binds already.
func (a *account) join(p *peer) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cfg.MaxBinds > 0 && len(a.bound) >= a.cfg.MaxBinds {
		return false
	}
	a.bound = append(a.bound, p)
	return true
}

// receiving lets receipts go to a bind.
func (a *account) receiving(p *peer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.receivers = append(a.receivers, p)
	a.unpark()
	a.pump()
}

// notReceiving lets no further receipts go to a bind.
func (a *account) notReceiving(p *peer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.receivers = slices.DeleteFunc(a.receivers, func(q *peer) bool { return q == p })
	a.unpark()
	a.pump()
}

// leave removes a bind.
func (a *account) leave(p *peer) {
	a.mu.Lock()
	a.bound = slices.DeleteFunc(a.bound, func(q *peer) bool { return q == p })
	a.mu.Unlock()
	a.notReceiving(p)
}

// clear drops the receipts that are ready or parked.
func (a *account) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting -= len(a.ready) - a.head + len(a.parked)
	a.ready, a.head, a.parked = nil, 0, nil
}

// queued gives the number of receipts that wait for a final outcome.
func (a *account) queued() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.waiting
}

// enqueue adds a receipt, or drops it when ReceiptQueue of them wait already.
func (a *account) enqueue(d delivery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting >= a.sim.cfg.ReceiptQueue {
		a.sim.counters.Load().receiptsDropped.Add(1)
		return
	}
	a.waiting++
	a.push(d)
	a.pump()
}

// push appends a receipt to ready. a.mu is held.
func (a *account) push(d delivery) {
	if a.head > 0 && a.head == len(a.ready) {
		a.ready, a.head = a.ready[:0], 0
	}
	if a.head > 1024 && a.head > len(a.ready)/2 {
		a.ready = slices.Delete(a.ready, 0, a.head)
		a.head = 0
	}
	a.ready = append(a.ready, d)
}

// unpark makes parked receipts ready again. a.mu is held.
func (a *account) unpark() {
	if len(a.parked) == 0 {
		return
	}
	a.ready = append(slices.Clone(a.parked), a.ready[a.head:]...)
	a.head, a.parked = 0, nil
}

// pump sends ready receipts while the windows of the binds have room. a.mu is held.
func (a *account) pump() {
	for a.head < len(a.ready) {
		d := a.ready[a.head]
		outcome := a.offer(d)
		if outcome == offerFull {
			if a.inFlight == 0 { // no response will come that would call pump: the peer reads slowly
				a.pokeLater()
			}
			return
		}
		a.ready[a.head] = delivery{}
		a.head++
		switch outcome {
		case offerSent:
			a.inFlight++
		case offerBad:
			a.sim.counters.Load().receiptsFailed.Add(1)
			a.waiting--
		case offerNobody:
			a.parked = append(a.parked, d)
		}
	}
}

// offered is the outcome of offer.
type offered uint8

const (
	offerSent   offered = iota
	offerFull           // every bind that the receipt may go to had a full window
	offerNobody         // there is no bind that the receipt may go to
	offerBad            // the receipt cannot be encoded
)

// offer tries to send d on one of the binds that d may go to. a.mu is held.
func (a *account) offer(d delivery) offered {
	same := slices.ContainsFunc(a.receivers, func(p *peer) bool { return p.id == d.session })
	outcome := offerNobody
	for range a.receivers {
		a.turn = (a.turn + 1) % len(a.receivers)
		p := a.receivers[a.turn]
		if d.bind == BindSame && same && p.id != d.session || d.bind == BindOther && p.id == d.session {
			continue
		}
		err := p.session.TrySend(d.pdu, func(resp smpp.Response, err error) { a.settle(d, resp, err) })
		var bad *pdu.FieldError
		switch {
		case err == nil:
			a.sim.counters.Load().receiptsSent.Add(1)
			return offerSent
		case errors.Is(err, smpp.ErrWindowFull):
			outcome = offerFull
		case errors.As(err, &bad): // a submit_sm may carry an address that is too long for a deliver_sm
			a.sim.logger.Error("receipt", "system_id", a.cfg.SystemID, "err", err)
			return offerBad
		}
	}
	return outcome
}

// pokeLater has pump called again after 50 ms. a.mu is held.
func (a *account) pokeLater() {
	if a.poked {
		return
	}
	a.poked = true
	a.sim.schedule.after(50*time.Millisecond, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.poked = false
		select {
		case <-a.sim.stopping: // the schedule runs all its functions at once while the simulator stops
		default:
			a.pump()
		}
	})
}

// settle takes the response to a receipt. A refused receipt is sent again after ReceiptRetry, ReceiptTries times in all;
// a receipt whose session ended before the response goes to another bind at once, if there is one.
func (a *account) settle(d delivery, resp smpp.Response, err error) {
	c := a.sim.counters.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inFlight--
	defer a.pump()
	if err == nil && resp.Header.Status == pdu.StatusOK {
		c.receiptsAcked.Add(1)
		a.waiting--
		return
	}
	c.receiptsRefused.Add(1)
	d.tries++
	stopping := false
	select {
	case <-a.sim.stopping:
		stopping = true
	default:
	}
	switch {
	case d.epoch != a.sim.epoch.Load() || stopping:
		a.waiting--
	case errors.Is(err, smpp.ErrSessionClosed):
		d.tries--
		a.parked = append(a.parked, d)
		if len(a.receivers) > 0 {
			a.unpark()
		}
	case d.tries >= a.sim.cfg.ReceiptTries:
		c.receiptsFailed.Add(1)
		a.waiting--
	default:
		a.sim.schedule.after(time.Duration(a.sim.cfg.ReceiptRetry), func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			if d.epoch != a.sim.epoch.Load() {
				a.waiting--
				return
			}
			a.push(d)
			select {
			case <-a.sim.stopping:
			default:
				a.pump()
			}
		})
	}
}

// receiver gives the bind with a session number, or for 0 the next bind in turn; nil: there is none.
func (a *account) receiver(session uint64) *peer {
	a.mu.Lock()
	defer a.mu.Unlock()
	for range a.receivers {
		a.turn = (a.turn + 1) % len(a.receivers)
		if p := a.receivers[a.turn]; session == 0 || p.id == session {
			return p
		}
	}
	return nil
}
