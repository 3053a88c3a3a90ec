package smscsim

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The forms of the message ids that the simulator hands out.
const (
	IDDecimal   = "decimal"   // a counter
	IDHex       = "hex"       // the counter in lower-case hexadecimal
	IDHexUpper  = "HEX"       // in upper-case hexadecimal
	IDDecimal64 = "decimal64" // a counter above the largest signed 64-bit integer
	IDHex64     = "hex64"     // the same in lower-case hexadecimal
	IDUUID      = "uuid"      // random, version 4
)

var idFormats = []string{IDDecimal, IDHex, IDHexUpper, IDDecimal64, IDHex64, IDUUID}

// The forms of an id in a receipt, beside those above but uuid; they differ from the
// response's form with many SMSCs.
const (
	IDSame  = "same"  // as in the response
	IDUpper = "upper" // as in the response, in capitals
	IDLower = "lower" // as in the response, in small letters
	IDOther = "other" // one that no message has
)

var receiptIDForms = []string{IDSame, IDUpper, IDLower, IDOther, IDDecimal, IDHex, IDHexUpper}

// maxIDWidth keeps padded ids within the 64 octets of message_id.
const maxIDWidth = 64

// ids hands out message ids. Numbers are never used twice, not even after a reset or a
// restart: by default they begin with the microseconds since 1970.
type ids struct {
	format string
	width  int
	last   atomic.Uint64
}

func newIDs(format string, width int, start uint64) *ids {
	x := &ids{format: format, width: width}
	if start == 0 {
		start = uint64(time.Now().UnixMicro())
		if format == IDDecimal64 || format == IDHex64 {
			start |= 1 << 63
		}
	}
	x.last.Store(start - 1)
	return x
}

// next is a new id and the number behind it.
func (x *ids) next() (id string, number uint64) {
	number = x.last.Add(1)
	if x.format == IDUUID {
		return newUUID(), number
	}
	return formatID(number, x.format, x.width), number
}

// formatID writes a number, filled with zeros up to width.
func formatID(number uint64, format string, width int) string {
	var room [maxIDWidth]byte
	b := room[:0]
	base := 10
	if format == IDHex || format == IDHexUpper || format == IDHex64 {
		base = 16
	}
	digits := strconv.AppendUint(nil, number, base)
	for range width - len(digits) {
		b = append(b, '0')
	}
	b = append(b, digits...)
	if format == IDHexUpper {
		return strings.ToUpper(string(b))
	}
	return string(b)
}

// noMessage turns the number of a message into one that none has before a long time has passed.
const noMessage = 1 << 62

// receiptID is an id in the form that receipts give it.
func receiptID(id string, number uint64, form string, width int) string {
	switch form {
	case IDDecimal, IDHex, IDHexUpper:
		return formatID(number, form, width)
	case IDOther:
		id = formatID(number^noMessage, IDDecimal, width)
	case IDUpper:
		id = strings.ToUpper(id)
	case IDLower:
		id = strings.ToLower(id)
	}
	if n := width - len(id); n > 0 {
		id = strings.Repeat("0", n) + id
	}
	return id
}

// newUUID is a random UUID (RFC 9562 §5.4).
func newUUID() string {
	var b [16]byte
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	b[6] = b[6]&0x0F | 0x40
	b[8] = b[8]&0x3F | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// oneOf reports a value that is not among those allowed.
func oneOf(name, value string, allowed []string) error {
	if value == "" || slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s: %q is none of %s", name, value, strings.Join(allowed, ", "))
}

// between reports a number out of range.
func between(name string, value, low, high int) error {
	if value >= low && value <= high {
		return nil
	}
	return fmt.Errorf("%s: %d is not in %d..%d", name, value, low, high)
}
