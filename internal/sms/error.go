package sms

import (
	"errors"

	"jasmind/internal/smpp/pdu"
)

// Reason says why a message was refused. Every door maps Reasons to its own codes and
// texts in one table; a test walks every Reason through every table.
type Reason uint8

// The reasons.
const (
	ReasonInvalid        Reason = iota + 1 // a parameter is malformed; Detail names it
	ReasonAuthentication                   // unknown user or wrong password
	ReasonAuthorization                    // the user may not do this
	ReasonValueFilter                      // a value filter of the user refuses it; Field names the parameter
	ReasonNoRoute                          // no route matches
	ReasonNotBound                         // a failover route has no bound connector
	ReasonThrottled                        // over the user's throughput
	ReasonNoCredit                         // balance or sms_count does not suffice
	ReasonIntercepted                      // an interceptor script refused it
	ReasonInterceptor                      // the interceptor could not be run
	ReasonConnector                        // the routed connector does not exist
	ReasonQueueFull                        // the connector's max_queue is reached
	ReasonUnavailable                      // broker, store or disk is away: try again later
	ReasonInternal                         // our own fault
	reasonEnd
)

// Reasons lists every Reason, for tables and their tests.
func Reasons() []Reason {
	out := make([]Reason, 0, int(reasonEnd)-1)
	for r := ReasonInvalid; r < reasonEnd; r++ {
		out = append(out, r)
	}
	return out
}

// String is a short lower-case word, used in logs, metrics and loadgen tables.
func (r Reason) String() string {
	names := [...]string{"", "invalid", "authentication", "authorization", "value_filter", "no_route", "not_bound",
		"throttled", "no_credit", "intercepted", "interceptor", "connector", "queue_full", "unavailable", "internal"}
	if r < 1 || int(r) >= len(names) {
		return "unknown"
	}
	return names[r]
}

// StatusPair is what a script asked to be answered: an HTTP status and a command_status.
type StatusPair struct {
	HTTP int
	SMPP pdu.Status
}

// Error is a refusal that the sender may see. Detail is safe to show, Err is for our log.
type Error struct {
	Reason   Reason
	Field    string      // the parameter at fault, if one is
	Detail   string      // text for the sender
	Override *StatusPair // what to answer instead of the table; a script's own answer, or a closer one. 0 leaves it to the table
	Err      error
}

// Error gives the detail, or the reason's name, with the cause behind it.
func (e *Error) Error() string {
	s := e.Detail
	if s == "" {
		s = e.Reason.String()
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ReasonOf gives the Reason of an error: that of the *Error in its chain, else ReasonInternal.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ReasonInternal
}
