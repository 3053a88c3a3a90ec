package pdu

import "fmt"

// DecodeError says why the body of one PDU could not be read. The framing is
// intact: the session answers with Status and goes on.
type DecodeError struct {
	Header Header
	Field  string // as the specification spells it; "" when the PDU as a whole is meant
	Offset int    // in the frame, header included
	Status Status // the command_status to answer with
	Reason string
}

// Error names PDU, field, place and reason.
func (e *DecodeError) Error() string {
	where := ""
	if e.Field != "" {
		where = " " + e.Field
	}
	return fmt.Sprintf("%s%s at octet %d: %s (%s)", e.Header.ID, where, e.Offset, e.Reason, e.Status)
}

// FieldError says which field of a PDU cannot be encoded as the specification asks.
type FieldError struct {
	ID     CommandID
	Field  string // as the specification spells it
	Reason string
}

// Error names PDU, field and reason.
func (e *FieldError) Error() string { return fmt.Sprintf("%s %s: %s", e.ID, e.Field, e.Reason) }

// LengthError is a command_length below the header's 16 octets or over the limit
// of the reader. Header is what stood there, so that the session can answer
// with generic_nack and StatusInvCmdLen.
type LengthError struct {
	Header Header
	Max    uint32
}

// Error states the length and the limit.
func (e *LengthError) Error() string {
	return fmt.Sprintf("%s: command_length %d is not in 16..%d", e.Header.ID, e.Header.Length, e.Max)
}
