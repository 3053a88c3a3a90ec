package connector

import (
	"slices"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// failover tells which connector a refused message moves to, "" for none: the next one of its
// route that is bound or, if none is, the next one, in whose queue it waits. Those whose rules for
// optional parameters it breaks are left out.
func (c *Connector) failover(a *attempt) sms.ConnectorID {
	f := &a.env.Failover
	to := f.To
	if c.carries != nil {
		to = slices.DeleteFunc(slices.Clone(to), func(cid sms.ConnectorID) bool { return !c.carriesAll(cid, a.env) })
	}
	if len(to) == 0 || !slices.ContainsFunc(a.refusals, func(s pdu.Status) bool { return slices.Contains(f.On, s) }) {
		return ""
	}
	if c.bound != nil {
		if i := slices.IndexFunc(to, c.bound); i >= 0 {
			return to[i]
		}
	}
	return to[0]
}

// carriesAll tells whether every part may leave by another connector.
func (c *Connector) carriesAll(cid sms.ConnectorID, env *sms.Envelope) bool {
	for i := range env.Parts {
		if !c.carries(cid, env.Parts[i].TLVs) {
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
func (a *attempt) move(v *verdict, e *journal.Entry) {
	env := *a.env
	env.CID, env.Refusals, env.Failover = v.move, v.refusals, without(a.env.Failover, v.move)
	m := a.d.Message
	m.Headers = queue.EnvelopeHeaders(&env)
	m.Attempts++
	e.Publish = append(e.Publish, queue.Publication{Queue: queue.SubmitSM(v.move), Message: m})
	if !env.ExpiresAt.IsZero() {
		x := sms.Expiry{At: env.ExpiresAt, MsgID: env.ID, CID: a.env.CID, Report: env.Report}
		e.Unexpire = append(e.Unexpire, x)
		x.CID = v.move
		e.Expiries = append(e.Expiries, x)
	}
	e.Ack = append(e.Ack, journal.Ack{Delivery: a.d, Remember: true})
	if env.Origin == sms.OriginSMPP {
		e.Changes = append(e.Changes, sms.StateChange{MsgID: env.ID, Moved: v.move})
		e.Release = append(e.Release, env.ID) // as after a retry, it can be cancelled and replaced again
	}
}

// stay decides anew about a message that was to move to a connector which is gone; false: it
// was not to move.
func (x *action) stay(c *Connector) bool {
	if x.verdict == nil || x.verdict.move == "" {
		return false
	}
	c.log.Warn("message cannot move to a connector that does not exist", "msgid", string(x.a.env.ID), "to", string(x.verdict.move))
	env := *x.a.env
	env.Failover = without(env.Failover, x.verdict.move)
	x.a.env = &env
	x.verdict = c.judge(x.a, time.Now())
	return true
}
