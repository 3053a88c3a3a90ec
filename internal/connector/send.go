package connector

import (
	"context"
	"errors"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// sending is what the sender of a bind knows of an attempt.
type sending struct {
	*attempt
	launched int // parts that were sent
}

// send takes messages and sends their parts until ctx ends, the bind is stopped or the session takes no more. A
// place in the window comes first, so that a bind that is full leaves messages to the others.
func (b *bind) send(ctx context.Context, s *smpp.Session) {
	for b.win.acquire(ctx, b.stop) {
		select {
		case a := <-b.jobs:
			if !b.transmit(ctx, s, a) {
				return
			}
		case <-b.stop:
			b.win.release(1)
			return
		case <-ctx.Done():
			b.win.release(1)
			return
		}
	}
}

// transmit sends the parts of a message in their order, all on this bind. It comes with one
// place in the window. The settler is told of each part that is sent when it was answered or
// failed, and, if not all could be sent, how many were. false: the session takes no more.
func (b *bind) transmit(ctx context.Context, s *smpp.Session, a *attempt) bool {
	m := sending{attempt: a}
	for i, part := range a.todo {
		if i > 0 && !b.win.acquire(ctx, a.halt) {
			b.settler.ended(a, m.launched, false)
			return true
		}
		// Until its first part is sent, a message can go back when consumption ends.
		var stop <-chan struct{} = a.halt
		if i == 0 {
			stop = a.sub.ended
		}
		generation, ok := b.pace.wait(ctx, stop)
		if !ok {
			b.win.release(1)
			b.unsent(ctx, &m)
			return true
		}
		now := time.Now()
		if !a.env.ExpiresAt.IsZero() && !a.env.ExpiresAt.After(now) {
			b.win.release(1)
			b.settler.ended(a, m.launched, true)
			return true
		}
		sm := &a.env.Parts[part]
		if left := remainingValidity(sm.ValidityPeriod, a.env.ExpiresAt, now); left != sm.ValidityPeriod {
			own := *sm
			own.ValidityPeriod = left
			sm = &own
		}
		m.launched++
		err := s.Send(ctx, sm, func(r smpp.Response, err error) { b.answered(s, a, part, generation, r, err) })
		if err == nil {
			continue
		}
		if wrong := new(pdu.FieldError); errors.As(err, &wrong) {
			b.settler.broken(a, b.win, part, err)
			if i < len(a.todo)-1 {
				b.settler.ended(a, m.launched, false)
			}
			return true
		}
		m.launched-- // nothing was sent
		b.win.release(1)
		b.unsent(ctx, &m)
		return false
	}
	return true
}

// unsent handles a message of which a part could not be sent. One of which nothing was sent
// goes to another bind, or back to its queue when consumption ends.
func (b *bind) unsent(ctx context.Context, m *sending) {
	if m.launched > 0 {
		b.settler.ended(m.attempt, m.launched, false)
		return
	}
	b.offer(ctx, m.attempt)
}

// answered takes the answer to one part, or that none came, in a goroutine of the session; after a timeout it may be called once more,
// with the late answer.
func (b *bind) answered(s *smpp.Session, a *attempt, part int, generation uint64, r smpp.Response, err error) {
	status := r.Header.Status
	if err != nil && r.Header.ID == 0 {
		b.stats.UnansweredCount.Add(1)
		a.stop()
		b.settler.unanswered(a, b.win, err)
		if errors.Is(err, smpp.ErrResponseTimeout) && b.hearing.unanswered() {
			s.Part(errDeaf)
		}
		return
	}
	b.hearing.answered()
	// A body that cannot be read does not undo an acceptance: it just has no id.
	resp, ok := r.PDU.(*pdu.SubmitSMResp)
	if !ok && r.Header.ID == pdu.CmdGenericNack && status == pdu.StatusOK {
		status = pdu.StatusUnknownErr
	}
	b.pace.answered(generation, status, stateIn(r.PDU))
	switch status {
	case pdu.StatusOK:
		b.stats.SubmitSMCount.Add(1)
	case pdu.StatusThrottled:
		b.stats.ThrottlingErrorCount.Add(1)
	default:
		b.stats.OtherSubmitErrorCount.Add(1)
	}
	b.stats.Quality.answer(status)
	if r.Late {
		b.stats.LateCount.Add(1)
		b.settler.late(a, part, status, resp)
		return
	}
	if status != pdu.StatusOK {
		a.stop()
	}
	b.settler.answered(a, b.win, part, status, resp)
}
