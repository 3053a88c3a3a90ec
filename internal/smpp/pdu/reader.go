package pdu

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unsafe"
)

// reader walks over the body of a frame. The first fault is kept in err and makes
// what follows harmless: every later read yields zero values.
type reader struct {
	b        []byte // the frame, header included; nil-length tail after a fault
	off      int
	err      *DecodeError
	response bool // the optional part may be broken
	lax      bool // any part of the body may be missing
}

// alias is the string whose octets are b's own. It is the one use of unsafe in
// the package: the string must not outlive b's next change, which is the
// contract of DecodeAlias. Decode calls it on a copy nobody else writes to:
// strings and octet slices of a PDU lie in disjoint parts of that copy.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// fail records a fault at the current place, unless there was one before.
func (r *reader) fail(field string, status Status, reason string) {
	if r.err == nil {
		r.err = &DecodeError{Field: field, Offset: r.off, Status: status, Reason: reason}
	}
	r.off = len(r.b)
}

// missing records that the PDU ended before a mandatory field.
func (r *reader) missing(field string) {
	if r.lax {
		r.off = len(r.b)
		return
	}
	r.fail(field, StatusInvCmdLen, "the PDU ends before it")
}

// octet reads a 1-octet integer.
func (r *reader) octet(field string) uint8 {
	if r.off < len(r.b) {
		v := r.b[r.off]
		r.off++
		return v
	}
	r.missing(field)
	return 0
}

// cstr reads a mandatory C-octet string (SMPP v3.4 §3.1). Without a NUL it goes to
// the end of the PDU: what has to follow will be missed then.
func (r *reader) cstr(field string) string {
	if r.off >= len(r.b) {
		r.missing(field)
		return ""
	}
	b := r.b[r.off:]
	if b[0] == 0 {
		r.off++
		return ""
	}
	n := bytes.IndexByte(b, 0)
	if n < 0 {
		r.off = len(r.b)
		return alias(b)
	}
	r.off += n + 1
	return alias(b[:n])
}

// last reads the last C-octet string of a PDU, which peers may leave out.
func (r *reader) last() string {
	if r.off >= len(r.b) {
		return ""
	}
	return r.cstr("")
}

// take reads n octets; nil if they are not there.
func (r *reader) take(n int) []byte {
	if n > len(r.b)-r.off {
		return nil
	}
	b := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

// rest reads all that is left.
func (r *reader) rest() []byte {
	if r.off >= len(r.b) {
		return nil
	}
	return r.take(len(r.b) - r.off)
}

// shortMessage reads sm_length and short_message (SMPP v3.4 §5.2.21, §5.2.22).
func (r *reader) shortMessage() []byte {
	n := int(r.octet("sm_length"))
	if n == 0 {
		return nil
	}
	b := r.take(n)
	if b == nil {
		left := len(r.b) - r.off
		r.off--
		r.fail("sm_length", StatusInvMsgLen, fmt.Sprintf("%d announced, %d octets left", n, left))
	}
	return b
}

// skipTerminator passes over the NULs behind a short_message that sm_length does not
// count (php-smpp and its kin terminate short_message as if it were a C-octet string). They are passed
// over only if what follows is no optional part with them and is one without them, so that a
// TLV whose tag begins with a NUL stays what it is.
func (r *reader) skipTerminator() {
	b := r.b[r.off:]
	if len(b) <= tlvHeaderLen || b[0] != 0 || wholeTLVs(b) {
		return
	}
	for i := 1; i < tlvHeaderLen && b[i-1] == 0; i++ {
		if wholeTLVs(b[i:]) {
			r.off += i
			return
		}
	}
}

// wholeTLVs reports whether b is TLVs, padding behind them allowed.
func wholeTLVs(b []byte) bool {
	for len(b) >= tlvHeaderLen {
		size := tlvHeaderLen + int(binary.BigEndian.Uint16(b[2:]))
		if size > len(b) {
			return false
		}
		b = b[size:]
	}
	return padding(b)
}

const tlvHeaderLen = 4

// tlvs reads the optional part (SMPP v3.4 §3.2.4) into the room of dst.
func (r *reader) tlvs(dst TLVs) TLVs {
	dst = dst[:0]
	if r.off >= len(r.b) {
		return dst
	}
	if n := countTLVs(r.b[r.off:]); n > cap(dst) {
		dst = make(TLVs, 0, n)
	}
	for {
		b := r.b[r.off:]
		if len(b) < tlvHeaderLen {
			break
		}
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b)-tlvHeaderLen {
			break
		}
		end := tlvHeaderLen + n
		dst = append(dst, TLV{Tag: Tag(binary.BigEndian.Uint16(b)), Value: b[tlvHeaderLen:end:end]})
		r.off += end
	}
	if r.off < len(r.b) && !r.response && !padding(r.b[r.off:]) {
		r.tlvFault()
	}
	return dst
}

// countTLVs is the number of whole TLVs at the start of b.
func countTLVs(b []byte) (n int) {
	for len(b) >= tlvHeaderLen {
		size := tlvHeaderLen + int(binary.BigEndian.Uint16(b[2:]))
		if size > len(b) {
			break
		}
		b = b[size:]
		n++
	}
	return n
}

// padding reports whether b is a few NULs, which some peers send after the last
// field (a terminated short_message, a TLV length that leaves out the NUL).
func padding(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return len(b) < tlvHeaderLen
}

func (r *reader) tlvFault() {
	b := r.b[r.off:]
	if len(b) < tlvHeaderLen {
		r.fail("optional parameters", StatusInvOptParStream, fmt.Sprintf("%d octets are no TLV", len(b)))
		return
	}
	tag := Tag(binary.BigEndian.Uint16(b))
	r.fail(tag.String(), StatusInvOptParStream, fmt.Sprintf("TLV announces %d octets, %d left",
		binary.BigEndian.Uint16(b[2:]), len(b)-tlvHeaderLen))
}
