package connector

import (
	"strings"
	"time"

	"jasmind/internal/smpp/pdu"
)

// longestRelative is the longest time that a relative one of SMPP v3.4 §7.1.1.2 tells exactly.
const longestRelative = 31 * 24 * time.Hour

// remainingValidity is the validity_period (SMPP v3.4 §5.2.16) of a part that leaves now: an
// absolute time that the sender gave stays; a relative one, which began when the message
// was accepted, is written as what remains of it.
func remainingValidity(given string, expires, now time.Time) string {
	if expires.IsZero() || given != "" && !strings.HasSuffix(given, "R") {
		return given
	}
	left := expires.Sub(now)
	if left > longestRelative {
		return pdu.FormatAbsolute(expires)
	}
	return pdu.FormatRelative(left)
}
