package sms

import (
	"time"

	"jasmind/internal/smpp/pdu"
)

// Record is what the store keeps of a message that an ESME submitted, to answer query_sm, cancel_sm
// and replace_sm (SMPP v3.4 §4.8 to §4.10). Its key in Redis is msg:<msgid>. The store writes the record when
// the gateway accepts the message; a StateChange or an Override changes it.
type Record struct {
	MsgID        MessageID
	UID          UserID // of the sender
	CID          ConnectorID
	Source, Dest pdu.Address // as sent to the SMSC
	DataCoding   pdu.DataCoding
	ESMClass     pdu.ESMClass
	Report       Report
	Registered   uint8     // registered_delivery
	Group        int       // number of messages of the submit_multi that made this one; 0: a submit_sm or data_sm made it
	ExpiresAt    time.Time // end of validity, zero: never
	Until        time.Time // when the store drops the record

	State  pdu.MessageState
	Err    uint8     // error_code (§5.2.31)
	Final  time.Time // when State became final; zero: State is not final
	Queued bool      // the message waits in its queue, or a connector has it in hand

	// Override is the last change that the ESME asked for; nil: none. Its Report, Registered and ExpiresAt replace those above.
	Override *Override
}

// StateChange tells what became of a message. The store ignores a change of a message without a Record,
// and a change of a final state.
type StateChange struct {
	MsgID MessageID
	Moved ConnectorID // the connector to whose queue the message moved, and then the other fields mean nothing; "": it did not move
	Left  bool        // the message has left its queue, so the store drops its Override
	State pdu.MessageState
	Err   uint8
	Final time.Time // zero: State is not final
}

// Override is what an ESME wants changed of a message that is still queued. Each Override holds all that
// the ESME has asked for so far, so only the last one counts. The connector applies the Override when it takes the
// message in hand; after that the store refuses further ones.
type Override struct {
	MsgID   MessageID
	UID     UserID
	Version int    // 1 for the first Override of a message, 2 for the second ...
	Nonce   uint64 // random: tells a repeat from another override that asks for the same in the same millisecond
	At      time.Time

	Cancel bool // the message is not to be sent, and the fields below mean nothing

	HasText      bool
	Text         []byte    // the new user data, after the user data header if the message has one
	DefaultMsgID uint8     // sm_default_msg_id, with HasText
	Schedule     string    // schedule_delivery_time, "": as it was
	Validity     string    // validity_period, "": as it was
	ExpiresAt    time.Time // end of validity
	Registered   uint8     // registered_delivery
	Report       Report
}
