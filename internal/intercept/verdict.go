package intercept

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// Verdict is what a script decided about a message that it did not refuse.
type Verdict struct {
	Message Message // as the script left it
	Changed Params  // what has another value than before
	// Locked are the parameters that no default of a connector may overwrite
	// (lockPduParam). What a script changed without locking it is subject to them.
	Locked Params
	// Answered is set when the journey ends here, successfully: the sender is told so, and
	// nothing is routed, charged or sent.
	Answered *Answered
}

// Answered is the success that a script answers by itself: smpp_status = 0.
type Answered struct {
	MessageID string // extra['message_id']; "" leaves it to the door to make one
}

// MaxMessageID is the longest message id that a script can answer, in octets (SMPP v3.4 §5.2.23).
const MaxMessageID = 64

// HTTP statuses of the documentation.
const (
	statusUnknown = 520 // a script that sets smpp_status alone
	statusFailed  = http.StatusBadRequest
)

// FailureDetail is what the sender reads when a script failed on his message.
const FailureDetail = "Failed running interception script, check log for details"

// ErrNotRun is in the chain of a refusal when a script could not be run at all, for no fault of its own: later it can.
var ErrNotRun = errors.New("the script could not be run")

// unavailable is the refusal that says ErrNotRun. The texts are those of the original.
func unavailable(detail string, err error) *sms.Error {
	return &sms.Error{Reason: sms.ReasonInterceptor, Detail: detail,
		Override: &sms.StatusPair{HTTP: http.StatusServiceUnavailable, SMPP: pdu.StatusSysErr}, Err: fmt.Errorf("%w: %w", ErrNotRun, err)}
}

// Failed is the refusal when a script ended in an error: HTTP 400, SMPP ESME_RSYSERR. what names
// the script.
func Failed(what string, err error) *sms.Error {
	return &sms.Error{Reason: sms.ReasonInterceptor, Detail: FailureDetail,
		Override: &sms.StatusPair{HTTP: statusFailed, SMPP: pdu.StatusSysErr}, Err: fmt.Errorf("%s: %w", what, err)}
}

// status is what a script left in smpp_status or http_status.
type status struct {
	set    bool
	number bool // false: something else than a number
	value  int64
}

// decide turns the two statuses, of which at least one is set, into an answer or a refusal.
//
//   - http_status alone: SMPP 255. smpp_status alone: HTTP 520. A zero counts as not set
//     where the other one is an error.
//   - smpp_status = 0 without an HTTP error answers success and bypasses the routing.
//   - A command_status that is not in the documentation's table becomes 8, an HTTP status that
//     cannot be answered 520, and HTTP 200 with an SMPP error is a failed script (Jasmin).
func decide(s *Script, smpp, httpStatus status, messageID string) (*Answered, error) {
	httpError := httpStatus.set && (!httpStatus.number || httpStatus.value != 0)
	succeeds := !httpError || httpStatus.number && httpStatus.value == http.StatusOK
	if smpp.set && smpp.number && smpp.value == 0 && succeeds {
		if len(messageID) > MaxMessageID || strings.ContainsFunc(messageID, func(r rune) bool { return r < ' ' || r == 0x7F }) {
			return nil, Failed(s.String(), fmt.Errorf("extra['message_id']: invalid value %q, must be up to %d characters", clip(messageID, MaxMessageID), MaxMessageID))
		}
		return &Answered{MessageID: messageID}, nil
	}
	smppError := smpp.set && smpp.number && smpp.value != 0
	if !smppError && !httpError && !smpp.set {
		return nil, nil // http_status = 0: nothing is asked for
	}
	pair := sms.StatusPair{HTTP: statusUnknown, SMPP: pdu.StatusUnknownErr}
	if smppError {
		pair.SMPP = known(smpp.value)
	}
	if httpError && httpStatus.number && 200 <= httpStatus.value && httpStatus.value <= 599 {
		pair.HTTP = int(httpStatus.value)
	}
	if pair.HTTP == http.StatusOK {
		return nil, &sms.Error{Reason: sms.ReasonIntercepted, Detail: FailureDetail,
			Override: &sms.StatusPair{HTTP: statusFailed, SMPP: pair.SMPP}, Err: fmt.Errorf("%s: http_status 200 with smpp_status %s", s, pair.SMPP)}
	}
	return nil, &sms.Error{Reason: sms.ReasonIntercepted, Detail: fmt.Sprintf("Interception specific error code %d", pair.HTTP),
		Override: &pair, Err: fmt.Errorf("%s: refused with %s", s, pair.SMPP)}
}

// known is the command_status of a number that a script set, ESME_RSYSERR for a number
// without a name.
func known(n int64) pdu.Status {
	if n <= 0 || n > 0xFFFF || !strings.HasPrefix(pdu.Status(n).String(), "ESME_") {
		return pdu.StatusSysErr
	}
	return pdu.Status(n)
}
