package smstext

import (
	"errors"
	"fmt"
)

// The user data header elements that this package reads and writes (3GPP TS
// 23.040 §9.2.3.24).
const (
	ElementConcat8      = 0x00 // concatenation with an 8-bit reference number
	ElementConcat16     = 0x08 // concatenation with a 16-bit reference number
	ElementSingleShift  = 0x24 // national language single shift
	ElementLockingShift = 0x25 // national language locking shift
)

// Element is an information element of a user data header.
type Element struct {
	ID   uint8
	Data []byte // at most 253 octets
}

// Header is a user data header: its elements in their order.
type Header []Element

// ErrHeader says that user data does not start with a user data header.
var ErrHeader = errors.New("user data header")

// ParseUDH takes the user data header off a message whose esm_class has the UDHI
// bit; rest is what follows it. Both share memory with userData.
//
// An element that overruns the header ends it; the elements before are kept.
//
// Errors: ErrHeader if there is no length octet or the header is longer than
// userData; rest is then all of userData.
func ParseUDH(userData []byte) (h Header, rest []byte, err error) {
	if len(userData) == 0 {
		return nil, userData, fmt.Errorf("%w: no length octet", ErrHeader)
	}
	end := 1 + int(userData[0])
	if end > len(userData) {
		return nil, userData, fmt.Errorf("%w: length %d in %d octets of user data", ErrHeader, end-1, len(userData))
	}
	for b := userData[1:end]; len(b) >= 2; {
		n := 2 + int(b[1])
		if n > len(b) {
			break
		}
		h = append(h, Element{ID: b[0], Data: b[2:n:n]})
		b = b[n:]
	}
	return h, userData[end:], nil
}

// Len is the size of the encoded header in octets, its length octet included; 0
// for a header without elements, which is none.
func (h Header) Len() int {
	if len(h) == 0 {
		return 0
	}
	n := 1
	for _, e := range h {
		n += 2 + len(e.Data)
	}
	return n
}

// Append adds the encoded header to dst; a header without elements adds nothing.
//
// Errors: ErrHeader if an element or the header is longer than 255 octets; dst is
// then returned as it was.
func (h Header) Append(dst []byte) ([]byte, error) {
	n := h.Len()
	if n == 0 {
		return dst, nil
	}
	if n > 256 {
		return dst, fmt.Errorf("%w: %d octets, at most 255", ErrHeader, n-1)
	}
	dst = append(dst, byte(n-1))
	for _, e := range h {
		dst = append(dst, e.ID, byte(len(e.Data)))
		dst = append(dst, e.Data...)
	}
	return dst, nil
}

// Tables are the national tables that the header announces; of repeated elements
// the last counts (3GPP TS 23.040 §9.2.3.24).
func (h Header) Tables() (t Tables) {
	for _, e := range h {
		if len(e.Data) != 1 {
			continue
		}
		switch e.ID {
		case ElementSingleShift:
			t.Single = Language(e.Data[0])
		case ElementLockingShift:
			t.Locking = Language(e.Data[0])
		}
	}
	return t.known()
}
