package smpp

import (
	"errors"
	"fmt"

	"jasmind/internal/smpp/pdu"
)

// Why a request failed or a session ended. A session's cause is wrapped together
// with ErrSessionClosed in the errors of the requests it takes down.
var (
	ErrSessionClosed   = errors.New("smpp: session closed")
	ErrNotBound        = errors.New("smpp: operation needs another bind state") // nothing was sent
	ErrWindowFull      = errors.New("smpp: window full")                        // from TrySend; nothing was sent
	ErrResponseTimeout = errors.New("smpp: no response in time")                // the session goes on
	ErrAnswered        = errors.New("smpp: request was answered before")

	ErrUnbound        = errors.New("smpp: peer unbound")
	ErrPeerClosed     = errors.New("smpp: peer closed the connection")
	ErrEnquireLink    = errors.New("smpp: enquire_link not answered in time")
	ErrInactive       = errors.New("smpp: nothing received within the inactivity time")
	ErrBindTimeout    = errors.New("smpp: no bind within the session init time")
	ErrBindRefused    = errors.New("smpp: too many refused binds")
	ErrBindState      = errors.New("smpp: peer sent a request that its bind state forbids")
	ErrPDUReadTimeout = errors.New("smpp: PDU not complete within the read time")
	ErrSlowPeer       = errors.New("smpp: peer does not read fast enough")
	ErrUnboundTraffic = errors.New("smpp: peer sent too much before its bind")
	ErrServerClosed   = errors.New("smpp: server closed")
)

// StatusError is a response whose command_status is not ESME_ROK: a refused bind,
// or what Response.Err makes of another.
type StatusError struct {
	Command pdu.CommandID // of the request
	Status  pdu.Status
}

// Error names the operation and the status.
func (e *StatusError) Error() string { return fmt.Sprintf("%s: %s", e.Command, e.Status) }

// closedError is what requests get that a session's end takes down.
func closedError(cause error) error {
	if cause == nil || errors.Is(cause, ErrSessionClosed) {
		return ErrSessionClosed
	}
	return fmt.Errorf("%w: %w", ErrSessionClosed, cause)
}
