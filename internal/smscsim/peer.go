package smscsim

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// peer is the ESME at the other end of a connection.
//
// mu guards what stands under it. frame belongs to the read loop.
type peer struct {
	sim     *Simulator
	id      uint64
	conn    *conn
	session *smpp.Session
	since   time.Time
	account atomic.Pointer[account] // nil before the bind
	submits atomic.Uint64
	frame   []byte        // of the request that is being served
	bound   chan struct{} // closed when the peer is bound

	boundOnce sync.Once

	mu       sync.Mutex
	active   int           // requests taken and not yet answered
	held     []heldRequest // above the window
	draining bool
	gathered []answer // responses to be sent in reverse
	gather   uint64   // number of the gathering
}

type heldRequest struct {
	r     *smpp.Request
	frame []byte
}

// answer is a response that is about to be sent.
type answer struct {
	r      *smpp.Request
	status pdu.Status
	resp   pdu.PDU
	edit   string // how it is deformed, "" if it is not
	unbind bool
	after  func() // called when it was queued; nil for nothing
}

// errDropped is why a session ends that a rule or the API drops.
var errDropped = errors.New("smscsim: dropped on request")

func newPeer(sim *Simulator, id uint64, c net.Conn) *peer {
	p := &peer{sim: sim, id: id, since: time.Now(), bound: make(chan struct{})}
	p.conn = &conn{Conn: c, mute: func() bool { return sim.behaviour.Load().mute }}
	p.session = smpp.NewSession(p.conn, smpp.SMSC, smpp.Config{
		Window:        sim.cfg.ReceiptWindow,
		InboundWindow: inboundWindow,
		EnquireLink:   time.Duration(sim.cfg.EnquireLink),
		Inactivity:    time.Duration(sim.cfg.Inactivity),
		Response:      time.Duration(sim.cfg.Response),
		Handler:       p,
		Bind:          p.bind,
		OnStateChange: p.stateChanged,
		Trace:         p.trace,
		Logger:        sim.logger.With("session", id),
	})
	return p
}

// systemID is the account's, "" before the bind.
func (p *peer) systemID() string {
	if a := p.account.Load(); a != nil {
		return a.cfg.SystemID
	}
	return ""
}

// trace counts and logs every PDU and keeps the octets of the one that came in: the
// session calls it just before it hands the request on.
func (p *peer) trace(dir smpp.Direction, h pdu.Header, body pdu.PDU) {
	c := p.sim.counters.Load()
	if dir == smpp.In {
		p.frame = p.conn.take(int(h.Length))
		c.pdusIn.Add(1)
		c.operation(h.ID)
	} else {
		c.pdusOut.Add(1)
	}
	p.sim.log.pdu(p, dir, h, body)
}

// bind authenticates.
func (p *peer) bind(ctx context.Context, s *smpp.Session, b *pdu.Bind) (pdu.Status, *pdu.BindResp) {
	d := p.sim.behaviour.Load().decide(&request{op: opBind, account: b.SystemID})
	if d.delay > 0 {
		t := time.NewTimer(d.delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		case <-p.sim.stopping:
		}
	}
	switch {
	case d.action == ActionDrop:
		s.Close(errDropped)
		return pdu.StatusBindFail, nil
	case d.action == ActionNone:
		<-ctx.Done()
		return pdu.StatusBindFail, nil
	case d.status != pdu.StatusOK:
		return d.status, nil
	}
	a, status := p.sim.account(b)
	if a == nil {
		return status, nil
	}
	if types := a.cfg.BindTypes; len(types) > 0 && !slices.Contains(types, b.Type.String()) {
		return pdu.StatusBindFail, nil
	}
	if !a.join(p) {
		return pdu.StatusAlyBnd, nil
	}
	p.account.Store(a)
	if d.action == ActionUnbind {
		p.sim.schedule.after(0, p.unbind)
	}
	resp := &pdu.BindResp{SystemID: p.sim.cfg.SystemID}
	if p.sim.version != 0 {
		resp.TLVs.SetUint8(pdu.TagSCInterfaceVersion, p.sim.version)
	}
	return pdu.StatusOK, resp
}

// stateChanged lets receipts flow when the bind is complete, and answers what is held
// back when the peer wants to leave.
func (p *peer) stateChanged(_ *smpp.Session, from, to smpp.State) {
	switch to {
	case smpp.BoundRX, smpp.BoundTRX:
		p.account.Load().receiving(p)
	case smpp.Unbinding:
		if a := p.account.Load(); a != nil {
			a.notReceiving(p)
		}
		p.release()
	}
	p.noteBound(to)
	if to.Bound() {
		p.sim.log.event("#%d %s bound as %s", p.id, p.systemID(), p.session.BindType())
	}
}

// ended takes leave of a session.
func (p *peer) ended(err error) {
	if a := p.account.Load(); a != nil {
		a.leave(p)
	}
	why := "ended"
	if err != nil {
		why = err.Error()
	}
	p.sim.log.event("#%d %s gone: %s", p.id, p.systemID(), why)
}

// unbind ends the session politely, in a goroutine since that takes the peer's time.
func (p *peer) unbind() {
	p.sim.mu.Lock()
	_, there := p.sim.peers[p.id]
	if there {
		p.sim.conns.Add(1) // the session's own is still counted, so the wait has not ended
	}
	p.sim.mu.Unlock()
	if !there {
		return
	}
	go func() {
		defer p.sim.conns.Done()
		ctx, cancel := context.WithTimeout(context.Background(), unbindTime)
		defer cancel()
		if err := p.session.Unbind(ctx); err != nil {
			p.session.Close(err)
		}
	}()
}

// unbindTime is how long a peer may take to answer our unbind.
const unbindTime = 5 * time.Second

// ServeSMPP takes a request: at once, later, or not at all, as the account's window says.
func (p *peer) ServeSMPP(_ *smpp.Session, r *smpp.Request) {
	a := p.account.Load()
	if a == nil || a.cfg.Window == 0 {
		p.process(r, p.frame)
		return
	}
	p.mu.Lock()
	switch {
	case p.active < a.cfg.Window && len(p.held) == 0: // those held come first
		p.active++
		p.mu.Unlock()
		p.process(r, p.frame)
	case a.cfg.WindowMode == WindowHold:
		p.held = append(p.held, heldRequest{r, bytes.Clone(p.frame)})
		p.mu.Unlock()
	default:
		p.mu.Unlock()
		p.respond(answer{r: r, status: pdu.StatusThrottled})
	}
}

// process does what a request asks for.
func (p *peer) process(r *smpp.Request, frame []byte) {
	switch q := r.PDU.(type) {
	case *pdu.SubmitSM, *pdu.DataSM, *pdu.SubmitMulti:
		p.submission(r, frame)
	case *pdu.QuerySM:
		status, resp := p.query(q)
		p.operation(r, opQuerySM, status, resp)
	case *pdu.CancelSM:
		p.operation(r, opCancelSM, p.cancel(q), nil)
	case *pdu.ReplaceSM:
		p.operation(r, opReplaceSM, p.replace(q), nil)
	default:
		p.finish(answer{r: r, status: pdu.StatusInvCmdID}, decision{action: ActionAnswer})
	}
}

// finish gives an answer in the way, and at the time, that the rules say.
func (p *peer) finish(a answer, d decision) {
	if d.delay > 0 {
		p.sim.schedule.after(d.delay, func() {
			d.delay = 0
			p.finish(a, d)
		})
		return
	}
	switch d.action {
	case ActionDrop:
		p.session.Close(errDropped)
		if a.after != nil { // the message was taken all the same
			a.after()
		}
		return
	case ActionNone:
		a.edit = editDrop
	case ActionMalformed:
		a.edit = d.malformed
	case ActionUnbind:
		a.unbind = true
	}
	if n := p.sim.behaviour.Load().reorder; n > 1 {
		p.gatherAnswer(a, n)
		return
	}
	p.send(a)
}

// gatherAnswer keeps an answer until there are n, and sends them in reverse.
func (p *peer) gatherAnswer(a answer, n int) {
	p.mu.Lock()
	p.gathered = append(p.gathered, a)
	full := len(p.gathered) >= n
	first, number := len(p.gathered) == 1, p.gather
	p.mu.Unlock()
	switch {
	case full || p.leaving():
		p.release()
	case first:
		p.sim.schedule.after(p.sim.behaviour.Load().wait, func() {
			p.mu.Lock()
			due := p.gather == number
			p.mu.Unlock()
			if due {
				p.release()
			}
		})
	}
}

// leaving reports whether the session is about to end, so that nothing is to be held back.
func (p *peer) leaving() bool { return p.session.State() == smpp.Unbinding }

// release sends what was gathered, the last first.
func (p *peer) release() {
	p.mu.Lock()
	list := p.gathered
	p.gathered = nil
	p.gather++
	p.mu.Unlock()
	for _, a := range slices.Backward(list) {
		p.send(a)
	}
}

// send queues an answer, does what follows from it and takes what waits for its place.
func (p *peer) send(a answer) {
	p.respond(a)
	if a.after != nil {
		a.after()
	}
	if a.unbind {
		p.unbind()
	}
	p.answered()
}

// respond queues an answer.
func (p *peer) respond(a answer) {
	if a.edit != "" {
		p.conn.edit(a.r.Header.ID.Response(), a.r.Header.Sequence, a.edit)
	}
	if err := a.r.Respond(a.status, a.resp); err != nil && !errors.Is(err, smpp.ErrSessionClosed) {
		p.sim.logger.Error("answer", "session", p.id, "pdu", a.r.Header.ID.String(), "err", err)
	}
}

// answered gives the place in the window to those held above it.
func (p *peer) answered() {
	a := p.account.Load()
	if a == nil || a.cfg.Window == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active--
	if p.draining { // further up in this goroutine, or in another that goes on
		return
	}
	p.draining = true
	for len(p.held) > 0 && p.active < a.cfg.Window {
		h := p.held[0]
		p.held[0] = heldRequest{}
		p.held = p.held[1:]
		p.active++
		p.mu.Unlock()
		p.process(h.r, h.frame)
		p.mu.Lock()
	}
	p.draining = false
}
