package sms

import (
	"time"

	"jasmind/internal/smpp/pdu"
)

// Record is what is kept of a message that an ESME submitted, to answer query_sm, cancel_sm
// and replace_sm (SMPP v3.4 §4.8 to §4.10): the msg:<msgid> record. It is written when the
// message is accepted, and changed by a StateChange or an Override.
type Record struct {
	MsgID        MessageID
	UID          UserID // whose it is
	CID          ConnectorID
	Source, Dest pdu.Address // as they leave
	DataCoding   pdu.DataCoding
	ESMClass     pdu.ESMClass
	Report       Report
	Registered   uint8     // registered_delivery
	Group        int       // messages that one submit_multi made, this one among them; 0: it was no submit_multi
	ExpiresAt    time.Time // end of validity, zero: never
	Until        time.Time // how long the record is kept

	State  pdu.MessageState
	Err    uint8     // error_code (§5.2.31)
	Final  time.Time // when State became final; zero: it is not
	Queued bool      // it waits in its queue, or a connector has it in hand

	// Override is the last one there is; nil: none. It holds over Report, Registered and ExpiresAt.
	Override *Override
}

// StateChange tells what became of a message. It is lost on a message that has no Record;
// a state that is final stands.
type StateChange struct {
	MsgID MessageID
	Moved ConnectorID // to whose queue it moved, the rest means nothing then; "": it did not move
	Left  bool        // it has left its queue, and what was to be changed of it is forgotten
	State pdu.MessageState
	Err   uint8
	Final time.Time // zero: State is not final
}

// Override is what an ESME wants changed of a message that is still queued: all that was
// asked so far, so that the last one is the only one that counts. The connector applies it
// when it takes the message in hand; from then on there can be no further one.
type Override struct {
	MsgID   MessageID
	UID     UserID
	Version int    // 1 for the first; one more than that of the override it replaces
	Nonce   uint64 // random: tells a repeat from another override that asks for the same in the same millisecond
	At      time.Time

	Cancel bool // the message is not to be sent, and the rest means nothing

	HasText      bool
	Text         []byte    // the new user data, after the user data header if the message has one
	DefaultMsgID uint8     // sm_default_msg_id, with HasText
	Schedule     string    // schedule_delivery_time, "": as it was
	Validity     string    // validity_period, "": as it was
	ExpiresAt    time.Time // end of validity
	Registered   uint8     // registered_delivery
	Report       Report
}
