package smscsim

import (
	"strconv"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// submission takes submit_sm, data_sm and submit_multi: it decides by the rules, keeps
// the message, answers and plans the receipts.
func (p *peer) submission(r *smpp.Request, frame []byte) {
	p.submits.Add(1)
	now := time.Now()
	b := p.sim.behaviour.Load()
	a := p.account.Load()
	switch q := r.PDU.(type) {
	case *pdu.SubmitSM:
		d, id, rc := p.submit(b, a, opSubmitSM, &q.Message, 0, now, frame, "", 0)
		resp := &pdu.SubmitSMResp{MessageID: id}
		p.finishSubmission(answer{r: r, status: d.status, resp: resp}, d, rc)
	case *pdu.DataSM:
		m := dataMessage(q)
		d, id, rc := p.submit(b, a, opDataSM, &m, 0, now, frame, "", 0)
		resp := &pdu.DataSMResp{MessageID: id}
		p.finishSubmission(answer{r: r, status: d.status, resp: resp}, d, rc)
	case *pdu.SubmitMulti:
		p.submitMulti(r, q, b, a, now, frame)
	}
}

// submitMulti decides for each destination. Those refused are listed; the PDU is refused when
// all are (SMPP v3.4 §4.5.2). Delay and action are those of the first.
func (p *peer) submitMulti(r *smpp.Request, q *pdu.SubmitMulti, b *behaviour, a *account, now time.Time, frame []byte) {
	if len(q.Dests) == 0 || len(q.Dests) > 254 {
		p.finish(answer{r: r, status: pdu.StatusInvNumDests}, decision{action: ActionAnswer})
		return
	}
	var first decision
	var receipts []*job
	id, number := p.sim.ids.next()
	resp := &pdu.SubmitMultiResp{MessageID: id}
	m := q.Message
	for i := range q.Dests {
		m.Dest = multiDest(q.Dests[i])
		d, _, rc := p.submit(b, a, opSubmitMulti, &m, uint8(i), now, frame, id, number)
		if i == 0 {
			first = d
		}
		if d.status != pdu.StatusOK && len(m.Dest.Addr) <= 20 {
			resp.Unsuccess = append(resp.Unsuccess, pdu.UnsuccessSME{Address: m.Dest, Status: d.status})
		}
		receipts = append(receipts, rc...)
	}
	status := pdu.StatusOK
	if len(resp.Unsuccess) == len(q.Dests) {
		status, resp.MessageID = first.status, ""
	}
	p.finishSubmission(answer{r: r, status: status, resp: resp}, first, receipts)
}

// submit takes one message to one destination. id is "" unless it has one already.
func (p *peer) submit(b *behaviour, a *account, op uint16, m *pdu.Message, dest uint8, now time.Time, frame []byte,
	id string, number uint64) (decision, string, []*job) {
	d := p.judge(b, a, op, m)
	rec := record{account: a.cfg.SystemID, session: p.id, at: now.UnixNano(), status: d.status, dest: dest,
		unanswered: d.action == ActionNone || d.action == ActionDrop}
	var jobs []*job
	if d.status == pdu.StatusOK {
		if id == "" {
			id, number = p.sim.ids.next()
		}
		rec.id = id
		final := lifetime(m, now, max(d.receipt.delay.pick(), -maxSpan), d.receipt)
		rec.finalAt, rec.state, rec.errCode = final.at.UnixNano(), final.state, errorCode(d.receipt.Err)
		n := p.sim.store.add(rec, frame)
		p.sim.ledger.note(m)
		jobs = p.plan(a, m, d, final, id, number, n, now)
	} else {
		id = ""
		p.sim.store.add(rec, frame)
	}
	p.sim.counters.Load().submission(d.status, rec.unanswered)
	return d, id, jobs
}

// judge says what becomes of a message.
func (p *peer) judge(b *behaviour, a *account, op uint16, m *pdu.Message) decision {
	if m.Dest.Addr == "" {
		return decision{status: pdu.StatusInvDstAdr, action: ActionAnswer, receipt: b.receipt}
	}
	if a.limit != nil && !a.limit.Allow() || b.limit != nil && !b.limit.Allow() {
		return decision{status: pdu.StatusThrottled, action: ActionAnswer, receipt: b.receipt}
	}
	if len(b.rules) == 0 {
		return decision{action: ActionAnswer, receipt: b.receipt}
	}
	return b.decide(&request{op: op, account: a.cfg.SystemID, to: m.Dest.Addr, from: m.Source.Addr, message: m})
}

// ending is how a message ends.
type ending struct {
	at    time.Time
	state pdu.MessageState
	delay time.Duration // from the response, or, negative, before it
}

// lifetime says when and how a message ends: as the rules say, counted from its scheduled time, yet
// not after its validity period, which expires it (SMPP v3.4 §5.2.15, §5.2.16).
func lifetime(m *pdu.Message, now time.Time, delay time.Duration, plan *receiptPlan) ending {
	e := ending{at: now.Add(max(delay, 0)), state: plan.state, delay: delay}
	if m.ScheduleDeliveryTime != "" {
		if t, err := pdu.ParseTime(m.ScheduleDeliveryTime, now); err == nil && t.After(now) {
			e.at = t.Add(max(delay, 0))
			e.delay = e.at.Sub(now)
		}
	}
	if m.ValidityPeriod != "" {
		if t, err := pdu.ParseTime(m.ValidityPeriod, now); err == nil && t.Before(e.at) {
			e.at, e.state = t, pdu.StateExpired
			e.delay = max(t.Sub(now), 0)
		}
	}
	return e
}

// errorCode is an err of receipts as query_sm_resp has it; 0 if it is none.
func errorCode(s string) uint8 {
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return 0
	}
	return uint8(n)
}

// finishSubmission answers and has the receipts sent, those with a negative delay first.
func (p *peer) finishSubmission(a answer, d decision, jobs []*job) {
	lead := time.Duration(0)
	for _, j := range jobs {
		if j.delay < 0 {
			lead = max(lead, -j.delay)
		}
	}
	if lead == 0 {
		if len(jobs) > 0 {
			a.after = func() { p.sim.dispatch(jobs) }
		}
		p.finish(a, d)
		return
	}
	// The response waits for the receipt, not for the clock alone: the order is certain.
	early := func() {
		p.sim.dispatch(jobs)
		d.delay = lead
		p.finish(a, d)
	}
	if d.delay > lead {
		p.sim.schedule.after(d.delay-lead, early)
		return
	}
	early()
}

// operation answers query_sm, cancel_sm and replace_sm, whose status a rule may override.
func (p *peer) operation(r *smpp.Request, op uint16, status pdu.Status, resp pdu.PDU) {
	d := p.sim.behaviour.Load().decide(&request{op: op, account: p.systemID()})
	if d.status != pdu.StatusOK {
		status, resp = d.status, nil
	}
	p.finish(answer{r: r, status: status, resp: resp}, d)
}
