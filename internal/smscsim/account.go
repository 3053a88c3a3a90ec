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

// account is an ESME with its sessions and the receipts that wait for it.
//
// mu guards what stands under it. Sessions are called while it is held, which is safe:
// they call back from goroutines of their own.
type account struct {
	sim   *Simulator
	cfg   Account
	open  bool // no password is asked for
	limit *rate.Limiter

	mu        sync.Mutex
	bound     []*peer // all binds
	receivers []*peer // those that can be sent to
	turn      int
	ready     []delivery // from head on
	head      int
	parked    []delivery // waiting for another bind
	inFlight  int
	waiting   int // all that were taken and are not done: ready, parked, in flight, being retried
	poked     bool
}

// delivery is a receipt on its way to the ESME.
type delivery struct {
	pdu     pdu.PDU
	session uint64 // that submitted the message
	bind    string
	tries   int
	epoch   uint64
}

func newAccount(sim *Simulator, cfg Account) *account {
	return &account{sim: sim, cfg: cfg, limit: limiter(cfg.Throughput)}
}

// join counts a bind, if there is room for one.
func (a *account) join(p *peer) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cfg.MaxBinds > 0 && len(a.bound) >= a.cfg.MaxBinds {
		return false
	}
	a.bound = append(a.bound, p)
	return true
}

// receiving makes a bind one that receipts can go to.
func (a *account) receiving(p *peer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.receivers = append(a.receivers, p)
	a.unpark()
	a.pump()
}

// notReceiving takes a bind out of those that receipts can go to.
func (a *account) notReceiving(p *peer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.receivers = slices.DeleteFunc(a.receivers, func(q *peer) bool { return q == p })
	a.unpark()
	a.pump()
}

// leave forgets a bind.
func (a *account) leave(p *peer) {
	a.mu.Lock()
	a.bound = slices.DeleteFunc(a.bound, func(q *peer) bool { return q == p })
	a.mu.Unlock()
	a.notReceiving(p)
}

// clear drops what waits.
func (a *account) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting -= len(a.ready) - a.head + len(a.parked)
	a.ready, a.head, a.parked = nil, 0, nil
}

// queued is the number of receipts that are not done.
func (a *account) queued() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.waiting
}

// enqueue takes a receipt, if there is room.
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

// push puts a receipt last. a.mu is held.
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

// unpark looks again at what had no fitting bind. a.mu is held.
func (a *account) unpark() {
	if len(a.parked) == 0 {
		return
	}
	a.ready = append(slices.Clone(a.parked), a.ready[a.head:]...)
	a.head, a.parked = 0, nil
}

// pump sends what is ready while the windows have room. a.mu is held.
func (a *account) pump() {
	for a.head < len(a.ready) {
		d := a.ready[a.head]
		outcome := a.offer(d)
		if outcome == offerFull {
			if a.inFlight == 0 { // no response will come to wake us: the peer reads slowly
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

// offered is what became of an attempt to send.
type offered uint8

const (
	offerSent   offered = iota
	offerFull           // a bind that it may go to had no room
	offerNobody         // there is no bind that it may go to
	offerBad            // it cannot be sent at all
)

// offer tries to send d on one of the binds that it may go to. a.mu is held.
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
		case errors.As(err, &bad): // an address that was taken and is too long to be given back
			a.sim.logger.Error("receipt", "system_id", a.cfg.SystemID, "err", err)
			return offerBad
		}
	}
	return outcome
}

// pokeLater pumps again in a moment. a.mu is held.
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
		case <-a.sim.stopping: // nothing is sent any more, and the schedule is in a hurry
		default:
			a.pump()
		}
	})
}

// settle deals with the response to a receipt: done, or to be sent again after a pause.
// When the session ended instead, another one gets it at once, if there is one.
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

// receiver chooses a bind to send to, by session number if that is not 0.
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
