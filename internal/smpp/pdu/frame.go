package pdu

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// DefaultMaxLength is the largest command_length accepted unless told otherwise.
// It leaves room for a message_payload of 64 KiB beside everything else.
const DefaultMaxLength = 128 << 10

// ErrShortHeader is returned for fewer than 16 octets of header.
var ErrShortHeader = errors.New("pdu: header is shorter than 16 octets")

// DecodeHeader reads the header at the start of b. It checks nothing but that
// the 16 octets are there (ErrShortHeader).
func DecodeHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, fmt.Errorf("%w: %d", ErrShortHeader, len(b))
	}
	return header(b), nil
}

// header reads a header; b has at least HeaderLen octets.
func header(b []byte) Header {
	_ = b[15]
	return Header{
		Length:   binary.BigEndian.Uint32(b[0:]),
		ID:       CommandID(binary.BigEndian.Uint32(b[4:])),
		Status:   Status(binary.BigEndian.Uint32(b[8:])),
		Sequence: binary.BigEndian.Uint32(b[12:]),
	}
}

// ReadFrame reads one whole PDU, header included, into buf, which is replaced when
// it is too small; the result shares its memory. max is the largest
// command_length accepted, 0 for DefaultMaxLength; nothing is allocated before
// the length has been checked.
//
// Errors: io.EOF when the stream ends between two PDUs, io.ErrUnexpectedEOF when
// it ends within one, *LengthError for a length outside 16..max, and what r
// returns. At a LengthError nothing has been consumed, header included: a
// caller that wants to live on may Discard the announced length of an
// overlong PDU; after a length below 16 the stream is beyond repair.
func ReadFrame(r *bufio.Reader, buf []byte, max uint32) ([]byte, error) {
	if max == 0 {
		max = DefaultMaxLength
	}
	head, err := r.Peek(HeaderLen)
	if err != nil {
		if err == io.EOF && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	h := header(head)
	if h.Length < HeaderLen || h.Length > max {
		return nil, &LengthError{Header: h, Max: max}
	}
	n := int(h.Length)
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buf, nil
}
