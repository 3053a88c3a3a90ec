package connector

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"jasmind/internal/queue"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// outcome is what became of an attempt.
type outcome uint8

const (
	accepted    outcome = iota
	refused             // by the SMSC
	expired             // its validity ended
	deleted             // its ESME cancelled it
	unencodable         // a part cannot be sent
	undecodable         // it is no message
	sessionLost         // before all was answered
	noResponse          // in time
	unanswered          // too often: it is given up
	settledBefore
)

// What outcomes are called: in the message log, unless that has a status; in events, when the gateway itself ended the
// message, with the status that stands beside; and in answers to query_sm.
var outcomes = [...]struct {
	log    string
	state  string
	status pdu.Status
	record pdu.MessageState
}{
	accepted:    {record: pdu.StateEnroute},
	refused:     {record: pdu.StateUndeliverable},
	expired:     {log: stateExpired, state: stateExpired, status: statusExpired, record: pdu.StateExpired},
	deleted:     {log: stateDeleted, state: stateDeleted, status: statusExpired, record: pdu.StateDeleted},
	unencodable: {log: stateUndeliv, state: stateUndeliv, status: pdu.StatusSubmitFail, record: pdu.StateUndeliverable},
	undecodable: {log: "UNDECODABLE", state: stateUndeliv, status: pdu.StatusSysErr, record: pdu.StateUndeliverable},
	sessionLost: {log: "SESSION_LOST", record: pdu.StateUndeliverable},
	noResponse:  {log: "RESPONSE_TIMEOUT", record: pdu.StateUndeliverable},
	unanswered:  {log: "UNANSWERED", state: stateUndeliv, status: pdu.StatusSubmitFail, record: pdu.StateUndeliverable},
}

// What the gateway itself says of a message in events.
const (
	stateExpired = string(sms.StateExpired)
	stateUndeliv = string(sms.StateUndeliverable)
	stateDeleted = string(sms.StateDeleted)

	// statusExpired stands where an event needs the name of a status; its state says more.
	statusExpired = pdu.StatusDeliveryFailure
)

// verdict says what becomes of a message whose attempt is over. Nobody changes it.
type verdict struct {
	outcome  outcome
	status   pdu.Status      // that of a refusal, the first one
	smppID   string          // what the SMSC calls the message: the id of its first part
	left     int             // parts that the SMSC did not take
	retry    bool            // else it leaves the queue
	again    *attempt        // with retry: the next attempt, in hand and before all others
	move     sms.ConnectorID // to the queue of this connector; "": it does not move
	failover sms.Failover    // with move: where it may go from there
	after    time.Duration
	refusals map[pdu.Status]int // the new counts of a message that is tried again or moves
	losses   int                // its new count
	report   bool               // who asked is told
	bury     string             // why it goes to the dead letters, "" if it does not
	cause    queue.Cause        // with bury
}

// text is what the message log calls the outcome.
func (v *verdict) text() string {
	if s := outcomes[v.outcome].log; s != "" {
		return s
	}
	return v.status.String()
}

// result is the event for who asked about a message.
func (v *verdict) result(cid sms.ConnectorID, id sms.MessageID) queue.SubmitResult {
	r := queue.SubmitResult{MsgID: id, CID: cid, Status: v.status.String(), State: outcomes[v.outcome].state}
	if r.State != "" {
		r.Status = outcomes[v.outcome].status.String()
	}
	if v.outcome == accepted {
		r.SMPPMsgID = v.smppID
	}
	return r
}

// change is what query_sm tells of a message that leaves its queue.
func (v *verdict) change(id sms.MessageID) sms.StateChange {
	c := sms.StateChange{MsgID: id, Left: true, State: outcomes[v.outcome].record}
	switch v.outcome {
	case accepted:
		return c
	case refused:
		c.Err = uint8(min(v.status, 0xff))
	}
	c.Final = time.Now()
	return c
}

// judging is what the settler knows of an attempt.
type judging struct {
	*attempt
	failover sms.Failover // as the message's, without connectors that are gone
	win      *window      // of the bind that sent parts
	parts    []taken      // all parts of the message
	single   [1]taken     // parts of a message of one, which is what most are
	total    int          // answers to come
	answered int
	held     int          // places in the window that are freed when all is settled
	refusals []pdu.Status // without repetitions, the first one first
	broken   error        // why a part could not be encoded
	cut      error        // why a response did not come
	expired  bool
	canceled bool // its ESME no longer wants it sent
}

// taken tells of a part whether the SMSC took it, in this attempt or an earlier one, and what it calls the part, "" without a name.
type taken struct {
	ok bool
	id string
}

func newJudging(a *attempt) *judging {
	j := &judging{attempt: a, failover: a.env.Failover, total: len(a.todo)}
	if n := len(a.env.Parts); n > 1 {
		j.parts = make([]taken, n)
	} else {
		j.parts = j.single[:n]
	}
	for _, o := range a.before {
		j.accept(o.Part-1, o.SMPPMsgID)
	}
	for _, status := range a.refusals {
		j.refuse(status)
	}
	return j
}

// accept notes that the SMSC took a part.
func (j *judging) accept(part int, smppMsgID string) { j.parts[part] = taken{true, smppMsgID} }

// refuse notes a status once.
func (j *judging) refuse(status pdu.Status) {
	if !slices.Contains(j.refusals, status) {
		j.refusals = append(j.refusals, status)
	}
}

// again is the attempt that follows after a while, without the message going back to its queue. The
// counts of tries go on in memory (Hands), and begin anew should the process end before it is over.
func (j *judging) again(v *verdict, after time.Duration) *attempt {
	var done []sms.PartOutcome
	for i, p := range j.parts {
		if p.ok {
			done = append(done, sms.PartOutcome{Part: i + 1, Status: pdu.StatusOK, SMPPMsgID: p.id})
		}
	}
	q := j.queued
	q.inHand++
	env := *q.env
	env.Refusals, env.Losses = v.refusals, v.losses
	q.env = &env
	next := newAttempt(q, done)
	next.strict = j.strict
	if after > 0 {
		next.due = time.Now().Add(after)
	}
	return next
}

// policy decides what becomes of messages.
type policy struct {
	*settings
	bound   func(sms.ConnectorID) bool           // see Deps
	carries func(sms.ConnectorID, pdu.TLVs) bool // see Deps
}

// manyLosses is after how many attempts without an answer a message no longer comes back at once.
const manyLosses = 3

// judge decides about an attempt that has all its answers.
func (p *policy) judge(j *judging, now time.Time) *verdict {
	v := &verdict{smppID: j.parts[0].id}
	for _, p := range j.parts {
		if !p.ok {
			v.left++
		}
	}
	switch {
	case j.canceled:
		v.outcome = deleted
	case j.broken != nil:
		v.outcome = unencodable
	case len(j.refusals) > 0:
		p.refused(j, v)
	case j.expired:
		v.outcome = expired
	case v.left > 0:
		p.lost(j, v, now)
	}
	v.report = v.move == "" && !v.retry && asked(j.env.Report, v.outcome)
	return v
}

// lost decides about an attempt of which an answer did not come, or of which nothing was sent since that has happened too often.
func (p *policy) lost(j *judging, v *verdict, now time.Time) {
	v.outcome, v.retry = sessionLost, true
	inTime := true
	if errors.Is(j.cut, smpp.ErrResponseTimeout) {
		v.outcome, inTime = noResponse, false
	}
	v.refusals, v.losses = j.env.Refusals, j.env.Losses
	if j.total > 0 {
		v.losses++
	}
	// After the last try its answer may come late, so that it waits once more.
	if v.losses >= p.common.MaxLosses && (inTime || j.total == 0) {
		v.outcome, v.retry = unanswered, false
		v.bury, v.cause = fmt.Sprintf("%d tries to submit it were not answered", v.losses), queue.CauseRetries
		v.left = 0 // nobody knows: nothing is given back
		return
	}
	switch {
	case !inTime:
		v.after = p.lossDelay(v.losses)
	case v.losses > manyLosses || now.Sub(j.env.CreatedAt) > p.common.NotReadyMaxAge:
		v.after = p.lossDelay(v.losses - manyLosses)
	}
	if j.strict && v.losses <= manyLosses && (v.after == 0 || !inTime) {
		v.again = j.again(v, v.after)
	}
}

// refused decides about an attempt with refusals.
func (p *policy) refused(j *judging, v *verdict) {
	v.outcome, v.status, v.retry = refused, j.refusals[0], true
	v.refusals = maps.Clone(j.env.Refusals)
	if v.refusals == nil {
		v.refusals = make(map[pdu.Status]int, 1)
	}
	v.losses = j.env.Losses
	if j.attempt.refusals != nil && v.losses > 0 {
		v.losses-- // that try was answered after all
	}
	for _, s := range j.refusals {
		v.refusals[s]++
		v.retry = v.retry && v.refusals[s] <= p.common.Retrials[s].Count
		v.after = max(v.after, p.retrialDelay(s))
	}
	if v.move = p.failover(j); v.move != "" {
		v.retry, v.failover = false, without(j.failover, v.move)
	}
	// The brake is what makes it wait.
	if v.retry && j.strict && len(j.refusals) == 1 && j.refusals[0] == pdu.StatusThrottled {
		v.again = j.again(v, 0)
	}
}

// asked tells whether somebody is to be told of an outcome.
func asked(r sms.Report, o outcome) bool {
	return r != 0 && (o != accepted || r&sms.ReportSubmit != 0)
}
