// Package sms holds the values that travel through the gateway: identifiers,
// the envelope of a queued message, who asked for delivery receipts, what an
// SMSC answered, and the reasons why a message is refused.
//
// It has no behaviour beyond its values: no I/O, no locks, no clock.
package sms

import (
	"time"

	"jasmind/internal/smpp/pdu"
)

// UserID identifies a user (uid), 1 to 16 characters of [A-Za-z0-9_-].
type UserID string

// GroupID identifies a group of users (gid), 1 to 16 characters of [A-Za-z0-9_-].
type GroupID string

// ConnectorID identifies a connector (cid), 3 to 25 characters of [A-Za-z0-9_-].
type ConnectorID string

// MessageID is the gateway's own identifier of a message (msgid), a UUID in text form.
// The identifier that an SMSC gives to a part is a plain string called smppMsgID everywhere.
type MessageID string

// Origin says through which door a message came in. Its text is public: it stands in
// AMQP headers and Redis hashes (Jasmin: source_connector, sc).
type Origin string

// The doors. REST messages count as HTTP, as in the original.
const (
	OriginHTTP Origin = "httpapi"
	OriginSMPP Origin = "smppsapi"
)

// Envelope is one queued mobile-terminated message: all its parts, what the connector
// must know to send them and to report the outcome. A long message is one Envelope, so
// it is accepted whole or not at all.
type Envelope struct {
	ID        MessageID
	CID       ConnectorID
	UID       UserID
	Origin    Origin
	CreatedAt time.Time // millisecond precision
	ExpiresAt time.Time // end of validity, zero: never; millisecond precision
	Priority  uint8     // 0 (lowest) to 3
	// Report says which outcomes somebody asked to hear of. None: nobody did, and no
	// event is published.
	Report Report
	// Parts are the submit_sm bodies in the order in which they leave.
	Parts []pdu.SubmitSM
	// Refusals counts, by command_status, the attempts that the SMSC refused
	// (submit_error_retrial counts each status by itself). Nil: none yet.
	Refusals map[pdu.Status]int
	// Losses counts the attempts without an answer: the session was lost, or the response timer ran out.
	Losses int
	// Bill is what its sender pays for it.
	Bill Bill
	// Failover is where it goes when the SMSC refuses it.
	Failover Failover

	// Content is the text for message logs, UTF-8, the parts joined; it may be empty.
	Content string
}

// Failover moves a message to another connector when the SMSC refuses it with one of some
// statuses. It moves to each connector once at most. The zero Failover is none.
type Failover struct {
	On []pdu.Status
	To []ConnectorID // where it has not been, the next one first
}

// Bill is what a sender pays for each part of a message, in millionths (billing.Amount).
// The zero Bill is nothing.
type Bill struct {
	Charged bool  // something was charged at acceptance, under the message's id
	Early   int64 // of which from the balance
	Rest    int64 // charged to the balance when the SMSC accepts the part
}

// Report is a set of outcomes that the sender of a message asked to be told.
type Report uint8

// The outcomes. ReportSubmit is DLR level 1, ReportFinal level 2, both together level 3.
const (
	ReportSubmit Report = 1 << iota // the answer of the SMSC to submit_sm
	ReportFinal                     // the final state from the SMSC's receipt
)

// ReportOf turns a dlr-level (1, 2 or 3) into a Report; any other level is no report.
func ReportOf(level int) Report {
	switch level {
	case 1:
		return ReportSubmit
	case 2:
		return ReportFinal
	case 3:
		return ReportSubmit | ReportFinal
	}
	return 0
}

// Level is the inverse of ReportOf, 0 for none.
func (r Report) Level() int { return int(r & (ReportSubmit | ReportFinal)) }

// ReceiptRequest remembers who wants to be told about a message: the dlr:<msgid> record.
// It is stored before the message can leave (with Acceptance) and dropped when nothing
// more can come.
type ReceiptRequest struct {
	MsgID  MessageID
	Origin Origin
	CID    ConnectorID
	Report Report
	Parts  int           // number of parts, at least 1
	Expiry time.Duration // QueueStay, then dlr_expiry of the connector, which a Mapping starts anew

	UID UserID // whose message it is: another user may have his system_id later; "": not known, in requests of earlier versions

	// For OriginHTTP.
	URL    string
	Method string // GET or POST

	// For OriginSMPP: what the ESME submitted, to address its receipts.
	SystemID           string
	Source, Dest       pdu.Address
	RegisteredDelivery uint8
	SubmittedAt        time.Time
}

// QueueStay is how long a message may wait in its queue, behind a connector that does not
// run, before the request for its receipts is dropped: the time in the queue is no part of
// dlr_expiry.
const QueueStay = 90 * 24 * time.Hour

// Account names an account at an SMSC, host:port/username: the scope of the ids that the SMSC gives, since receipts may come by any session
// of the account, also that of another connector (smppc.Config.Account). Records that were written before have the cid in its place.
type Account string

// Mapping leads from the SMSC's identifier of one part to our message: the
// queue-msgid:<account>:<smpp_msgid> record.
type Mapping struct {
	Account   Account
	SMPPMsgID string // normalised by NormalID
	MsgID     MessageID
	Part      int // counted from 1
	Parts     int
	Origin    Origin
	Expiry    time.Duration // dlr_expiry, starts when the mapping is written
	SentBy    ConnectorID   // who submitted it; "" in records that were written before: the connector that the receipt came by
}

// PartOutcome is what became of one part of a message, for one of two questions: how
// the SMSC answered its submit_sm (State empty), or its final state (State set).
type PartOutcome struct {
	MsgID                                  MessageID
	Part                                   int // counted from 1
	Parts                                  int
	Status                                 pdu.Status // answer to submit_sm
	SMPPMsgID                              string     // as the SMSC spelled it
	State                                  State      // final, empty for a submission outcome
	Err                                    string     // err field of the receipt
	SubmitDate, DoneDate, Sub, Dlvrd, Text string     // the receipt's own fields, "" when it had none
	Expiry                                 time.Duration
}

// Expiry is an entry of the index by time that finds messages whose validity ended,
// also behind a connector that does not run.
type Expiry struct {
	At     time.Time
	MsgID  MessageID
	CID    ConnectorID
	Report Report // whether anybody has to be told
}

// NormalID is the form in which identifiers of an SMSC are compared: upper case,
// leading zeros stripped (Jasmin: dlr_msgid 0). An id of zeros alone stays "0".
func NormalID(smppMsgID string) string {
	b := make([]byte, 0, len(smppMsgID))
	lead := true
	for i := 0; i < len(smppMsgID); i++ {
		c := smppMsgID[i]
		if lead && c == '0' {
			continue
		}
		lead = false
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		b = append(b, c)
	}
	if len(b) == 0 && len(smppMsgID) > 0 {
		return "0"
	}
	return string(b)
}
