package connector

import (
	"slices"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// failover tells which connector a refused message moves to, "" for none: the next one of its
// route that is bound or, if none is, the next one, in whose queue it waits. Those whose rules for
// optional parameters it breaks are left out.
func (p *policy) failover(j *judging) sms.ConnectorID {
	to := j.failover.To
	if p.carries != nil {
		to = slices.DeleteFunc(slices.Clone(to), func(cid sms.ConnectorID) bool { return !p.carriesAll(cid, j.env) })
	}
	if len(to) == 0 || !slices.ContainsFunc(j.refusals, func(s pdu.Status) bool { return slices.Contains(j.failover.On, s) }) {
		return ""
	}
	if p.bound != nil {
		if i := slices.IndexFunc(to, p.bound); i >= 0 {
			return to[i]
		}
	}
	return to[0]
}

// carriesAll tells whether every part may leave by another connector.
func (p *policy) carriesAll(cid sms.ConnectorID, env *sms.Envelope) bool {
	for i := range env.Parts {
		if !p.carries(cid, env.Parts[i].TLVs) {
			return false
		}
	}
	return true
}

// without is a Failover that does not lead to a connector any more.
func without(f sms.Failover, cid sms.ConnectorID) sms.Failover {
	f.To = slices.DeleteFunc(slices.Clone(f.To), func(to sms.ConnectorID) bool { return to == cid })
	return f
}

// move puts a message, under its id, into the queue of another connector and takes it out of
// this one. Parts that were accepted here are recorded, and are not sent there (Attempts makes
// the other connector look). The bill, the request for receipts and the end of validity go
// on: the bill goes by the message's id, so nothing is charged again.
//
// A repeat is bounded as that of a retry is: without a settled entry the attempt is made
// again, here, and its answer decides again. The list of connectors gets shorter with each
// move, so the message cannot go in circles.
func (x *action) move(e *journal.Entry) {
	v, env := x.verdict, *x.env
	env.CID, env.Refusals, env.Losses, env.Failover = v.move, v.refusals, v.losses, v.failover
	m := x.d.Message
	m.Headers = queue.EnvelopeHeaders(&env)
	m.Attempts++
	e.Publish = append(e.Publish, queue.Publication{Queue: queue.SubmitSM(v.move), Message: m})
	if !env.ExpiresAt.IsZero() {
		old := sms.Expiry{At: env.ExpiresAt, MsgID: env.ID, CID: x.env.CID, Report: env.Report}
		e.Unexpire = append(e.Unexpire, old)
		old.CID = v.move
		e.Expiries = append(e.Expiries, old)
	}
	e.Ack = append(e.Ack, journal.Ack{Delivery: x.d, Remember: true})
	if env.Origin == sms.OriginSMPP {
		e.Changes = append(e.Changes, sms.StateChange{MsgID: env.ID, Moved: v.move})
		e.Release = append(e.Release, env.ID) // as after a retry, it can be cancelled and replaced again
	}
}
