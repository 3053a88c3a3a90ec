package connector

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// settleBatch is how many actions one journal entry holds at most.
const settleBatch = 1000

// settlerDeps are what a settler works with.
type settlerDeps struct {
	*settings
	policy *policy
	hands  *Hands
	lines  *messageLog
	stats  *Stats
	log    *slog.Logger
}

// settler judges attempts by what their parts were answered, and makes durable what follows; windows and
// messages are freed when it is. The windows, whose places are held meanwhile, bound what can wait for the journal.
//
// mu guards judgings, which has the attempts that more is to come of.
type settler struct {
	settlerDeps
	writer *journal.Writer[*action]

	mu       sync.Mutex
	judgings map[*attempt]*judging
}

func newSettler(d settlerDeps, j journal.Journal) *settler {
	s := &settler{settlerDeps: d, judgings: make(map[*attempt]*judging)}
	s.writer = journal.NewWriter(j, journal.Work[*action]{
		What: "attempts", Max: settleBatch, Log: d.log,
		Add: func(e *journal.Entry, x *action) { x.addTo(s, e) },
		Amend: func(x *action, err error) bool {
			return errors.Is(err, queue.ErrNoQueue) && s.stay(x)
		},
		Bury: func(e *journal.Entry, x *action, reason string) { x.bury(s, e, reason) },
		Done: s.done,
	})
	return s
}

// run makes durable what is handed over until close was called and nothing is left, or ctx ends.
func (s *settler) run(ctx context.Context) { s.writer.Run(ctx) }

// close lets run end when all that was handed over is durable.
func (s *settler) close() { s.writer.Close() }

// apply changes what is known of an attempt, and judges it when that was all. f gives what the change adds to the journal, nil for nothing.
func (s *settler) apply(a *attempt, f func(j *judging) *action) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.judgings[a]
	if j == nil {
		j = newJudging(a)
	}
	x := f(j)
	if j.answered == j.total {
		delete(s.judgings, a)
		if x == nil {
			x = &action{queued: a.queued}
		}
		x.judged, x.verdict = j, s.policy.judge(j, time.Now())
		x.slots += j.held
		x.win = j.win
	} else {
		s.judgings[a] = j
	}
	if x != nil {
		s.writer.Post(x)
	}
}

// answered notes the answer to a part.
func (s *settler) answered(a *attempt, win *window, part int, status pdu.Status, resp *pdu.SubmitSMResp) {
	s.apply(a, func(j *judging) *action {
		j.win = win
		j.answered++
		x := &action{queued: a.queued, heard: true, win: win, part: part, status: status, resp: resp}
		if status != pdu.StatusOK {
			j.held++
			j.refuse(status)
			return x
		}
		x.accepted, x.slots = true, 1
		if resp != nil {
			x.id = resp.MessageID
		}
		j.accept(part, x.id)
		return x
	})
}

// late takes the answer to a part that comes after its response timer: the message is on its way back to its queue, or was given up.
func (s *settler) late(a *attempt, part int, status pdu.Status, resp *pdu.SubmitSMResp) {
	x := &action{queued: a.queued, heard: true, late: true, part: part, status: status, resp: resp, accepted: status == pdu.StatusOK}
	if resp != nil {
		x.id = resp.MessageID
	}
	s.log.Info("answered late", "msgid", string(a.env.ID), "part", part+1, "status", status.String(), "smpp_msgid", x.id)
	s.writer.Post(x)
}

// unanswered notes that no answer to a part will come.
func (s *settler) unanswered(a *attempt, win *window, err error) {
	s.apply(a, func(j *judging) *action {
		j.win, j.cut = win, err
		j.answered++
		j.held++
		return nil
	})
}

// broken notes that a part could not be encoded: nothing was sent.
func (s *settler) broken(a *attempt, win *window, part int, err error) {
	s.log.Error("message cannot be encoded", "msgid", string(a.env.ID), "part", part+1, "err", err)
	s.apply(a, func(j *judging) *action {
		j.win, j.broken = win, err
		j.answered++
		j.held++
		return nil
	})
}

// ended notes that no further part will be sent than the first sent ones.
func (s *settler) ended(a *attempt, sent int, expired bool) {
	s.apply(a, func(j *judging) *action {
		j.total, j.expired = sent, expired
		return nil
	})
}

// unsent concludes an attempt of which nothing was sent: its message was cancelled, or expired, or all of its parts were
// accepted before.
func (s *settler) unsent(a *attempt, canceled, expired bool) {
	s.apply(a, func(j *judging) *action {
		j.total, j.canceled, j.expired = 0, canceled, expired
		return nil
	})
}

// conclude takes what has a verdict without an attempt.
func (s *settler) conclude(q queued, v *verdict) { s.writer.Post(&action{queued: q, verdict: v}) }

// settledBefore takes what was settled already out of its queue.
func (s *settler) settledBefore(q queued) {
	s.stats.SettledBeforeCount.Add(1)
	s.conclude(q, &verdict{outcome: settledBefore})
}

// release lets go of an attempt that is settled, and of the copies that waited for it.
func (s *settler) release(d *queue.Delivery) {
	for _, c := range s.hands.release(d) {
		s.settledBefore(c)
	}
}

// resume settles a message by what an earlier connector of this process knew of its attempt, which is not under way here.
func (s *settler) resume(q queued, left []*action) {
	s.log.Info("message was submitted before, it is settled now", "msgid", q.d.ID)
	for _, x := range left {
		own := *x
		own.d, own.sub, own.win, own.slots = q.d, q.sub, nil, 0
		if x.judged != nil {
			j, a := *x.judged, *x.judged.attempt
			a.queued, a.strict = own.queued, false
			j.attempt, own.judged = &a, &j
		}
		s.writer.Post(&own)
	}
}

// stay decides anew about a message that was to move to a connector which is gone; false: it
// was not to move.
func (s *settler) stay(x *action) bool {
	if x.verdict == nil || x.verdict.move == "" {
		return false
	}
	s.log.Warn("message cannot move to a connector that does not exist", "msgid", string(x.env.ID), "to", string(x.verdict.move))
	x.judged.failover = x.verdict.failover
	x.verdict = s.policy.judge(x.judged, time.Now())
	return true
}

// done does what follows from an action that is durable.
func (s *settler) done(x *action, f journal.Fate, why error) {
	if f == journal.Abandoned {
		if x.verdict == nil || x.verdict.outcome != settledBefore {
			s.hands.leave(x)
		}
		return
	}
	if f == journal.Buried {
		s.log.Error("settlement given up", "msgid", x.d.ID, "dead_letter", x.verdict != nil, "err", why)
	}
	if x.slots > 0 {
		x.win.release(x.slots)
	}
	v := x.verdict
	if v == nil {
		return
	}
	if v.outcome != settledBefore {
		s.lines.submission(x.queued, v)
	}
	if v.outcome == expired {
		s.stats.ExpiredCount.Add(1)
	}
	if v.move != "" {
		s.stats.MovedCount.Add(1)
	}
	strict := x.judged != nil && x.judged.strict
	next := v.again
	if f == journal.Buried {
		next = nil
	}
	if next == nil && v.outcome != settledBefore {
		s.release(x.d)
	}
	if !x.sub.finish(strict, next) {
		s.hands.giveBack(&next.queued)
	}
}

// action is what an answer or a verdict adds to a journal entry. The writer has it alone.
type action struct {
	queued
	accepted bool // part was
	part     int
	id       string            // what the SMSC calls the part
	resp     *pdu.SubmitSMResp // nil without a body
	status   pdu.Status        // of the answer
	heard    bool              // there was an answer
	late     bool              // it came late
	win      *window
	slots    int      // places in win that it frees
	verdict  *verdict // nil: more is to come
	judged   *judging // what verdict was found by; nil without an attempt
}

// outcomeExpiry is how long the outcomes of parts are kept at least once their message has left its queue. Before, they are kept as long as
// it may wait there: they also say what a long message that is tried again need not send again.
const outcomeExpiry = 24 * time.Hour

// addTo writes the action's effects into e. It may be called again for another entry.
func (x *action) addTo(s *settler, e *journal.Entry) {
	if x.heard && s.common.PublishSubmitSMResp {
		x.publishCopy(s, e)
	}
	if x.accepted {
		x.addAccepted(s.settings, e)
	}
	if x.late {
		x.addLate(s, e)
	}
	v := x.verdict
	switch {
	case v == nil, v.again != nil:
		return
	case v.move != "":
		x.move(e)
		x.forgetCounted(s, e)
		return
	case v.retry:
		r := queue.Retry{Delivery: x.d, After: v.after}
		env := *x.env
		env.Refusals, env.Losses = v.refusals, v.losses
		r.Headers = queue.EnvelopeHeaders(&env)
		e.Retry = append(e.Retry, r)
		x.forgetCounted(s, e)
		if x.env.Origin == sms.OriginSMPP {
			e.Release = append(e.Release, x.env.ID)
		}
		return
	}
	if v.report {
		r := v.result(s.cid, x.env.ID)
		e.Publish = append(e.Publish, queue.Publication{Queue: queue.DLRSubmitSMResp, Message: r.Message()})
	}
	if v.bury != "" {
		e.Publish = append(e.Publish, queue.BuryAs(x.d, v.cause, v.bury))
	}
	x.leave(s, e)
}

// forgetCounted drops the late refusals that the verdict has counted.
func (x *action) forgetCounted(s *settler, e *journal.Entry) {
	if x.judged.attempt.refusals != nil {
		e.Forget = append(e.Forget, refusedLate(x.env.ID, s.cid))
	}
}

// addAccepted adds what follows from the acceptance of a part.
func (x *action) addAccepted(s *settings, e *journal.Entry) {
	parts, expiry := len(x.env.Parts), s.cfg.Load().DLRExpiry
	if x.env.Report != 0 && x.id != "" {
		e.Mappings = append(e.Mappings, sms.Mapping{Account: s.scope(), SMPPMsgID: sms.NormalID(x.id), MsgID: x.env.ID, Part: x.part + 1, Parts: parts,
			Origin: x.env.Origin, Expiry: expiry, SentBy: s.cid})
	}
	if x.env.Bill.Rest > 0 {
		r := queue.BillRequest{Bill: billing.PartBill(x.env.ID, x.part+1), UID: x.env.UID, Amount: billing.Amount(x.env.Bill.Rest)}
		e.Publish = append(e.Publish, r.Publication())
	}
	if parts > 1 {
		e.Outcomes = append(e.Outcomes, sms.PartOutcome{MsgID: x.env.ID, Part: x.part + 1, Parts: parts,
			Status: pdu.StatusOK, SMPPMsgID: x.id, Expiry: x.keptFor(max(expiry, outcomeExpiry))})
	}
}

// keptFor is how long the outcome of a part is kept that is wanted for so long after the message has left its queue.
func (x *action) keptFor(after time.Duration) time.Duration {
	if v := x.verdict; v != nil && v.again == nil && v.move == "" && !v.retry {
		return after
	}
	return sms.QueueStay + after
}

// addLate adds what is to be known when the message comes again. The acceptance of a message of one part is all that there is to say of it:
// who asked is told at once, and the message can neither be changed nor expire any more.
func (x *action) addLate(s *settler, e *journal.Entry) {
	env := x.env
	id := lateOf(env.ID)
	if !x.accepted {
		id = refusedLate(env.ID, s.cid)
	}
	e.Outcomes = append(e.Outcomes, sms.PartOutcome{MsgID: id, Part: x.part + 1, Parts: len(env.Parts), Status: x.status, SMPPMsgID: x.id,
		Expiry: x.keptFor(outcomeExpiry)})
	if !x.accepted || len(env.Parts) > 1 {
		return
	}
	v := &verdict{outcome: accepted, smppID: x.id}
	if asked(env.Report, accepted) {
		r := v.result(s.cid, env.ID)
		e.Publish = append(e.Publish, queue.Publication{Queue: queue.DLRSubmitSMResp, Message: r.Message()})
	}
	if env.Origin == sms.OriginSMPP {
		e.Changes = append(e.Changes, v.change(env.ID))
	}
	if !env.ExpiresAt.IsZero() {
		e.Unexpire = append(e.Unexpire, x.expiry(s.cid))
	}
}

// expiry is the message's entry in the index of ends of validity.
func (x *action) expiry(cid sms.ConnectorID) sms.Expiry {
	return sms.Expiry{At: x.env.ExpiresAt, MsgID: x.env.ID, CID: cid, Report: x.env.Report}
}

// leave takes the message out of its queue, and out of what is kept as long as it is there.
func (x *action) leave(s *settler, e *journal.Entry) {
	v, env := x.verdict, x.env
	if v.outcome == settledBefore {
		e.Ack = append(e.Ack, journal.Ack{Delivery: x.d})
		return
	}
	if env.Bill.Charged {
		e.Confirm = append(e.Confirm, billing.BillID(env.ID))
		if sum, ok := billing.Amount(env.Bill.Early).Times(v.left); ok && s.common.RefundOnError && sum > 0 {
			e.Charges = append(e.Charges, billing.Charge{UID: env.UID, Bill: billing.RefundBill(env.ID), Amount: -sum, Owed: true})
		}
	}
	if env.Origin == sms.OriginSMPP {
		e.Changes = append(e.Changes, v.change(env.ID))
	}
	if !env.ExpiresAt.IsZero() {
		e.Unexpire = append(e.Unexpire, x.expiry(s.cid))
	}
	if len(env.Parts) > 1 && env.Report == 0 {
		e.Forget = append(e.Forget, env.ID) // the outcomes; else the lookup does it
	}
	if x.unanswered() {
		e.Forget = append(e.Forget, lateOf(env.ID), refusedLate(env.ID, s.cid))
	}
	e.Ack = append(e.Ack, journal.Ack{Delivery: x.d, Remember: true})
}

// bury takes a message out of its queue whose effects broker or store will never take, and makes it a dead letter. While parts of it are
// under way it just does without the effects of one.
func (x *action) bury(s *settler, e *journal.Entry, reason string) {
	if x.verdict != nil {
		e.Publish = append(e.Publish, queue.BuryAs(x.d, queue.CauseRefused, "settlement refused: "+reason))
		x.leave(s, e)
	}
}

// publishCopy adds the copy of a submit_sm_resp for observers.
func (x *action) publishCopy(s *settler, e *journal.Entry) {
	resp := x.resp
	if resp == nil {
		resp = &pdu.SubmitSMResp{}
	}
	body, err := pdu.Append(nil, x.status, 0, resp)
	if err != nil { // what an SMSC sent and the encoder refuses, such as an overlong id
		s.log.Debug("submit_sm_resp not copied for observers", "msgid", string(x.env.ID), "err", err)
		return
	}
	m := queue.Message{ID: string(x.env.ID), ContentType: queue.ContentPDU, Body: body,
		Headers: queue.Headers{{Name: queue.HeaderCreatedAt, Int: time.Now().UnixMilli(), IsInt: true}}}
	e.Publish = append(e.Publish, queue.Publication{Queue: queue.SubmitSMResp(s.cid), Message: m, Observers: true})
}
