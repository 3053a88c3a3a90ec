package connector

import (
	"context"
	"errors"
	"sync"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
)

const (
	settleBatch      = 1000 // actions of one entry
	firstSettleRetry = 50 * time.Millisecond
	lastSettleRetry  = 5 * time.Second
)

type eventKind uint8

const (
	partAnswered eventKind = iota // a response came
	partCut                       // none will come
	partBroken                    // it could not be encoded, nothing was sent
	sendEnded                     // no further part will be sent
	judgedAlready
)

// event is something that happened to an attempt.
type event struct {
	a       *attempt
	kind    eventKind
	part    int
	status  pdu.Status
	resp    *pdu.SubmitSMResp
	err     error
	sent    int // sendEnded: how many parts were
	expired bool
	verdict *verdict // judgedAlready
}

// settler makes what was answered durable: it collects events while a journal entry is being
// committed, turns them into the next entry, and frees windows and messages when that
// is durable. An entry that cannot be committed is tried again for ever, with a backoff;
// meanwhile the windows, whose places are held, bound what can accumulate.
//
// mu guards the events; all else belongs to run.
type settler struct {
	c    *Connector
	wake chan struct{}
	last chan struct{} // closed: nothing more will be posted

	mu     sync.Mutex
	events []event
	spare  []event

	pending []action // to be committed
	stuck   []action // refused one by one, for another reason than an unavailable journal
	away    bool     // the journal was unavailable at the last try
	backoff time.Duration
	retryAt time.Time // of what is left, when backoff is not 0
}

func newSettler(c *Connector) *settler {
	return &settler{c: c, wake: make(chan struct{}, 1), last: make(chan struct{})}
}

// post hands over an event; it never blocks.
func (s *settler) post(e event) {
	s.mu.Lock()
	s.events = append(s.events, e)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// close lets run end when all that was posted is durable.
func (s *settler) close() { close(s.last) }

func (s *settler) take() []event {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.events
	s.events, s.spare = s.spare[:0], nil
	return out
}

func (s *settler) giveBack(events []event) {
	clear(events)
	s.mu.Lock()
	s.spare = events[:0]
	s.mu.Unlock()
}

// run commits until close was called and nothing is left, or ctx ends.
func (s *settler) run(ctx context.Context) {
	last := s.last
	ending := false
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-s.wake:
		case <-t.C:
		case <-last:
			ending, last = true, nil
		case <-ctx.Done():
			if n := len(s.pending) + len(s.stuck); n > 0 {
				s.c.log.Error("attempts could not be settled, their messages will come again", "count", n)
			}
			return
		}
		events := s.take()
		now := time.Now()
		for i := range events {
			s.apply(&events[i], now)
		}
		s.giveBack(events)
		s.commit(ctx)
		left := len(s.pending) + len(s.stuck)
		if left > 0 {
			t.Reset(time.Until(s.retryAt))
		} else if ending {
			return
		}
	}
}

// apply notes an event in its attempt and queues what follows from it.
func (s *settler) apply(e *event, now time.Time) {
	a := e.a
	x := action{a: a, part: e.part, status: e.status, resp: e.resp}
	switch e.kind {
	case judgedAlready:
		x.verdict = e.verdict
		s.pending = append(s.pending, x)
		return
	case sendEnded:
		a.total, a.expired = e.sent, e.expired
	case partAnswered:
		a.answered++
		x.heard = true
		if e.status == pdu.StatusOK {
			x.accepted, x.slots = true, 1
			a.accepted++
			if a.took != nil {
				a.took[e.part] = true
			}
			if e.resp != nil {
				a.ids[e.part] = e.resp.MessageID
			}
			break
		}
		a.held++
		a.refuse(e.status)
	case partCut:
		a.answered++
		a.held++
		a.cut = e.err
	case partBroken:
		a.answered++
		a.held++
		a.broken = e.err
		s.c.log.Error("message cannot be encoded", "msgid", string(a.env.ID), "part", e.part+1, "err", e.err)
	}
	if !a.judged && a.answered == a.total {
		a.judged = true
		x.verdict = s.c.judge(a, now)
		x.slots += a.held
	}
	if x.heard || x.verdict != nil {
		s.pending = append(s.pending, x)
	}
}

// refuse notes a status once.
func (a *attempt) refuse(status pdu.Status) {
	for _, s := range a.refusals {
		if s == status {
			return
		}
	}
	a.refusals = append(a.refusals, status)
}

// commit makes durable what it can. What is left has retryAt as the time of its next try.
func (s *settler) commit(ctx context.Context) {
	due := s.backoff == 0 || !time.Now().Before(s.retryAt)
	if s.away && !due {
		return
	}
	s.away = false
	var failure error
	if due && len(s.stuck) > 0 {
		s.stuck, failure = s.oneByOne(ctx, s.stuck)
	}
	for len(s.pending) > 0 {
		batch := s.pending[:min(len(s.pending), settleBatch)]
		err := s.commitBatch(ctx, batch)
		if errors.Is(err, queue.ErrUnavailable) || ctx.Err() != nil {
			failure, s.away = err, true
			break
		}
		if err != nil { // one of them is at fault; the others shall not wait for it
			var bad []action
			if bad, err = s.oneByOne(ctx, batch); err != nil {
				s.stuck = append(s.stuck, bad...)
				failure = err
			}
		}
		s.pending = s.pending[len(batch):]
	}
	if len(s.pending) == 0 {
		s.pending = nil
	}
	switch {
	case len(s.pending)+len(s.stuck) == 0:
		s.backoff = 0
	case failure != nil && ctx.Err() == nil && (due || s.away):
		s.backoff = min(max(2*s.backoff, firstSettleRetry), lastSettleRetry)
		s.retryAt = time.Now().Add(s.backoff)
		s.c.log.Error("settling will be tried again", "count", len(s.pending)+len(s.stuck), "in", s.backoff, "err", failure)
	}
}

// oneByOne commits each action by itself and gives those that failed.
func (s *settler) oneByOne(ctx context.Context, actions []action) (failed []action, failure error) {
	for i := range actions {
		if err := s.commitBatch(ctx, actions[i:i+1]); err != nil {
			failed, failure = append(failed, actions[i]), err
		}
	}
	return failed, failure
}

// commitBatch commits actions as one entry and does what follows.
func (s *settler) commitBatch(ctx context.Context, batch []action) error {
	var e journal.Entry
	for i := range batch {
		batch[i].addTo(s.c, &e)
	}
	if len(e.Mappings)+len(e.Outcomes)+len(e.Publish)+len(e.Ack)+len(e.Retry) > 0 { // else nothing left its place
		if err := s.c.journal.Commit(ctx, &e); err != nil {
			if len(batch) == 1 && errors.Is(err, queue.ErrNoQueue) && batch[0].stay(s.c) {
				return s.commitBatch(ctx, batch)
			}
			return err
		}
	}
	for i := range batch {
		batch[i].finish(s.c)
	}
	return nil
}
