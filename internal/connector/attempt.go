package connector

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// attempt is one try to submit a queued message. It is made by the feeder, handed to one
// bind's sender and judged by the settler; each group of fields belongs to one of them.
type attempt struct {
	d    *queue.Delivery
	env  *sms.Envelope
	todo []int         // indices of the parts that are not accepted yet, in order
	sub  *subscription // where it came from

	halt     chan struct{} // closed when no further part shall leave; nil for a single one
	haltOnce sync.Once

	strict bool // no other may be sent before it is over (strict_order); the feeder's
	inHand int  // how often it was sent again without going back to its queue

	// The sender's.
	win      *window
	launched int

	// The settler's.
	ids      []string // what the SMSC called each part, "" if not accepted or without a name
	took     []bool   // parts that the SMSC took, in this attempt or an earlier one; nil for a single one
	accepted int      // how many these are
	total    int      // answers to come
	answered int
	held     int          // places in the window that are freed when all is settled
	refusals []pdu.Status // without repetitions, the first one first
	broken   error        // why a part could not be encoded
	cut      error        // why a response did not come
	expired  bool
	canceled bool // its ESME no longer wants it sent
	judged   bool
}

// only is the todo of a message of one part.
var only = []int{0}

// newAttempt makes an attempt that sends the parts which accepted does not name.
func newAttempt(d *queue.Delivery, env *sms.Envelope, sub *subscription, accepted []sms.PartOutcome) *attempt {
	a := &attempt{d: d, env: env, sub: sub, ids: make([]string, len(env.Parts)), todo: only}
	if len(env.Parts) > 1 {
		a.halt = make(chan struct{})
		done := make([]bool, len(env.Parts))
		a.took = done
		for _, o := range accepted {
			if o.Part >= 1 && o.Part <= len(done) && o.Status == pdu.StatusOK {
				if !done[o.Part-1] {
					a.accepted++
				}
				done[o.Part-1] = true
				a.ids[o.Part-1] = o.SMPPMsgID
			}
		}
		a.todo = make([]int, 0, len(done))
		for i := range done {
			if !done[i] {
				a.todo = append(a.todo, i)
			}
		}
	}
	a.total = len(a.todo)
	return a
}

// again is the attempt that follows at once, without the message going back to its queue. The
// counts of refusals go on in memory, and begin anew should the process end before it is over.
func (a *attempt) again(v *verdict) *attempt {
	var accepted []sms.PartOutcome
	for i, ok := range a.took {
		if ok {
			accepted = append(accepted, sms.PartOutcome{Part: i + 1, Status: pdu.StatusOK, SMPPMsgID: a.ids[i]})
		}
	}
	env := *a.env
	if v.refusals != nil {
		env.Refusals = v.refusals
	}
	next := newAttempt(a.d, &env, a.sub, accepted)
	next.inHand = a.inHand + 1
	return next
}

// stop lets no further part leave.
func (a *attempt) stop() {
	if a.halt != nil {
		a.haltOnce.Do(func() { close(a.halt) })
	}
}

// endEarly tells the settler that no further part will be sent. It is the sender's last word.
func (a *attempt) endEarly(c *Connector, expired bool) {
	c.settler.post(event{a: a, kind: sendEnded, sent: a.launched, expired: expired})
}

// verdict says what becomes of a message whose attempt is over.
type verdict struct {
	retry    bool            // else it leaves the queue
	again    bool            // with retry: at once, before all others
	move     sms.ConnectorID // to the queue of this connector; "": it does not move
	after    time.Duration
	refusals map[pdu.Status]int  // the new counts, when retry and one was added
	result   *queue.SubmitResult // for who asked, nil: nobody is told
	status   string              // for the message log
	bury     string              // why it goes to the dead letters, "" if it does not
	settled  bool                // it was settled before: nothing but the acknowledgement
}

// firstID is what the SMSC calls the message: the id of its first part.
func (a *attempt) firstID() string {
	if len(a.ids) == 0 {
		return ""
	}
	return a.ids[0]
}

// losses is how many attempts ended without an answer so far.
func (a *attempt) losses() int {
	n := a.d.Attempts + a.inHand
	for _, v := range a.env.Refusals {
		n -= v
	}
	return n
}

// manyLosses is after how many attempts without an answer a message no longer comes back at once.
const manyLosses = 3

// judge decides about an attempt that has all its answers.
func (c *Connector) judge(a *attempt, now time.Time) *verdict {
	v := &verdict{}
	result := func(status pdu.Status, state string) {
		v.status = status.String()
		if state != "" {
			v.status = state
		}
		if a.env.Report != 0 && (status != pdu.StatusOK || a.env.Report&sms.ReportSubmit != 0) {
			v.result = &queue.SubmitResult{MsgID: a.env.ID, CID: c.cid, Status: status.String(), State: state}
			if status == pdu.StatusOK {
				v.result.SMPPMsgID = a.firstID()
			}
		}
	}
	switch {
	case a.canceled:
		result(statusExpired, stateDeleted)
	case a.broken != nil:
		result(pdu.StatusSubmitFail, stateUndeliv)
	case len(a.refusals) > 0:
		v.retry = true
		v.refusals = maps.Clone(a.env.Refusals)
		if v.refusals == nil {
			v.refusals = make(map[pdu.Status]int, 1)
		}
		for _, s := range a.refusals {
			v.refusals[s]++
			v.retry = v.retry && v.refusals[s] <= c.common.Retrials[s].Count
			v.after = max(v.after, c.retrialDelay(s))
		}
		v.status = a.refusals[0].String()
		if v.move = c.failover(a); v.move != "" {
			v.retry = false
		} else if !v.retry {
			result(a.refusals[0], "")
		}
		// The brake is what makes it wait.
		v.again = v.retry && a.strict && len(a.refusals) == 1 && a.refusals[0] == pdu.StatusThrottled
	case a.expired:
		result(statusExpired, stateExpired)
	case a.cut != nil || a.answered < len(a.todo):
		v.retry = true
		v.status = lostSession
		if errors.Is(a.cut, smpp.ErrResponseTimeout) {
			v.status = noResponse
		}
		if a.losses() >= manyLosses || now.Sub(a.env.CreatedAt) > c.common.NotReadyMaxAge {
			v.after = c.common.NotReadyDelay
		}
		v.again = a.strict && v.after == 0
	default:
		result(pdu.StatusOK, "")
	}
	return v
}

// What the gateway itself says of a message, in events and in the message log.
const (
	stateExpired = "EXPIRED"
	stateUndeliv = "UNDELIV"
	stateDeleted = "DELETED"
	lostSession  = "SESSION_LOST"
	noResponse   = "RESPONSE_TIMEOUT"
	undecodable  = "UNDECODABLE"

	// statusExpired stands where an event needs the name of a status; its state says more.
	statusExpired     = pdu.StatusDeliveryFailure
	statusUndecodable = pdu.StatusSysErr
)

// outcomeExpiry is how long the outcomes of parts are kept at least: they also say what a
// long message that is tried again need not send again.
const outcomeExpiry = 24 * time.Hour

// action is what one event adds to a journal entry.
type action struct {
	a        *attempt
	accepted bool // part was
	part     int
	resp     *pdu.SubmitSMResp // nil without a body
	status   pdu.Status        // of the answer
	heard    bool              // there was an answer
	slots    int               // places in the window that it frees
	verdict  *verdict          // nil: more is to come
}

// addTo writes the action's effects into e. It may be called again for another entry.
func (x *action) addTo(c *Connector, e *journal.Entry) {
	a := x.a
	cfg := c.cfg.Load()
	if x.heard && c.common.PublishSubmitSMResp {
		x.publishCopy(c, e)
	}
	if x.accepted {
		id, parts := a.ids[x.part], len(a.env.Parts)
		if a.env.Report != 0 && id != "" {
			comes, sentBy := c.cid, sms.ConnectorID("") // where its receipt comes, and who sent it if that is another
			if cfg.DLRCID != "" && cfg.DLRCID != c.cid {
				comes, sentBy = cfg.DLRCID, c.cid
			}
			e.Mappings = append(e.Mappings, sms.Mapping{CID: comes, SentBy: sentBy, SMPPMsgID: sms.NormalID(id), MsgID: a.env.ID,
				Part: x.part + 1, Parts: parts, Origin: a.env.Origin, Expiry: cfg.DLRExpiry})
		}
		if a.env.Bill.Rest > 0 {
			r := queue.BillRequest{Bill: billing.PartBill(a.env.ID, x.part+1), UID: a.env.UID, Amount: billing.Amount(a.env.Bill.Rest)}
			e.Publish = append(e.Publish, r.Publication())
		}
		if parts > 1 {
			e.Outcomes = append(e.Outcomes, sms.PartOutcome{MsgID: a.env.ID, Part: x.part + 1, Parts: parts,
				Status: pdu.StatusOK, SMPPMsgID: id, Expiry: max(cfg.DLRExpiry, outcomeExpiry)})
		}
	}
	v := x.verdict
	switch {
	case v == nil, v.again:
		return
	case v.move != "":
		a.move(v, e)
		return
	case v.retry:
		r := queue.Retry{Delivery: a.d, After: v.after}
		if v.refusals != nil {
			env := *a.env
			env.Refusals = v.refusals
			r.Headers = queue.EnvelopeHeaders(&env)
		}
		e.Retry = append(e.Retry, r)
		if a.env.Origin == sms.OriginSMPP {
			e.Release = append(e.Release, a.env.ID)
		}
		return
	}
	if v.result != nil {
		e.Publish = append(e.Publish, queue.Publication{Queue: queue.DLRSubmitSMResp, Message: v.result.Message()})
	}
	if v.bury != "" {
		e.Publish = append(e.Publish, queue.Bury(a.d, v.bury))
	}
	if !v.settled {
		a.settleBill(c, e)
		if a.env.Origin == sms.OriginSMPP {
			e.Changes = append(e.Changes, a.change(v))
		}
		if !a.env.ExpiresAt.IsZero() {
			e.Unexpire = append(e.Unexpire, sms.Expiry{At: a.env.ExpiresAt, MsgID: a.env.ID, CID: c.cid, Report: a.env.Report})
		}
		if len(a.env.Parts) > 1 && a.env.Report == 0 {
			e.Forget = append(e.Forget, a.env.ID) // the outcomes; else the lookup does it
		}
	}
	e.Ack = append(e.Ack, journal.Ack{Delivery: a.d, Remember: !v.settled})
}

// settleBill confirms what was charged for a message that leaves its queue, and gives back
// what was charged for parts that the SMSC did not take.
func (a *attempt) settleBill(c *Connector, e *journal.Entry) {
	b := a.env.Bill
	if !b.Charged {
		return
	}
	e.Confirm = append(e.Confirm, billing.BillID(a.env.ID))
	refused := len(a.env.Parts) - a.accepted
	if !c.common.RefundOnError || b.Early == 0 || refused <= 0 {
		return
	}
	if sum, ok := billing.Amount(b.Early).Times(refused); ok {
		e.Charges = append(e.Charges, billing.Charge{UID: a.env.UID, Bill: billing.RefundBill(a.env.ID), Amount: -sum, Owed: true})
	}
}

// publishCopy adds the copy of a submit_sm_resp for observers.
func (x *action) publishCopy(c *Connector, e *journal.Entry) {
	resp := x.resp
	if resp == nil {
		resp = &pdu.SubmitSMResp{}
	}
	body, err := pdu.Append(nil, x.status, 0, resp)
	if err != nil { // what an SMSC sent and the encoder refuses, such as an overlong id
		c.log.Debug("submit_sm_resp not copied for observers", "msgid", string(x.a.env.ID), "err", err)
		return
	}
	m := queue.Message{ID: string(x.a.env.ID), ContentType: queue.ContentPDU, Body: body,
		Headers: queue.Headers{{Name: queue.HeaderCreatedAt, Int: time.Now().UnixMilli(), IsInt: true}}}
	e.Publish = append(e.Publish, queue.Publication{Queue: queue.SubmitSMResp(c.cid), Message: m, Observers: true})
}

// finish does what follows from an action that is durable.
func (x *action) finish(c *Connector) {
	a, v := x.a, x.verdict
	if x.slots > 0 {
		a.win.release(x.slots)
	}
	if v == nil {
		return
	}
	if !v.settled {
		c.logMT(a, v)
	}
	if v.status == stateExpired {
		c.stats.ExpiredCount.Add(1)
	}
	if v.move != "" {
		c.stats.MovedCount.Add(1)
	}
	var next *attempt
	if v.again {
		next = a.again(v)
	}
	a.sub.finish(a.strict, next)
}

// submissions reads which parts of a long message were accepted before, again and again until
// the store answers or the connector is to stop.
func (c *Connector) submissions(ctx context.Context, id sms.MessageID) (outcomes []sms.PartOutcome, ok bool) {
	ok = c.insist(ctx, "reading the outcomes of parts", func() (err error) {
		outcomes, err = c.store.Submissions(ctx, id)
		return err
	})
	return outcomes, ok
}
