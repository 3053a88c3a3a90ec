package pdu

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestReadFrame(t *testing.T) {
	a, b := frame(CmdEnquireLink, 0), frame(CmdSubmitSMResp, 0, "id\x00")
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 9}
	tiny := []byte{0, 0, 0, 15, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 9}

	t.Run("frames come one by one, in pieces of one octet, and then EOF", func(t *testing.T) {
		r := bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(append(append([]byte(nil), a...), b...))), 16)
		var buf []byte
		for _, want := range [][]byte{a, b} {
			got, err := ReadFrame(r, buf, 0)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("got % x, %v; want % x", got, err, want)
			}
			buf = got
		}
		if _, err := ReadFrame(r, buf, 0); err != io.EOF {
			t.Errorf("at the end: %v, want EOF", err)
		}
	})
	t.Run("a buffer with room is used again", func(t *testing.T) {
		buf := make([]byte, 0, 64)
		got, err := ReadFrame(bufio.NewReader(bytes.NewReader(b)), buf, 0)
		if err != nil || &got[0] != &buf[:1][0] {
			t.Errorf("%v, or another buffer", err)
		}
	})
	for name, in := range map[string][]byte{"in the header": a[:7], "after the header": b[:16], "in the body": b[:17]} {
		t.Run("the stream ends "+name, func(t *testing.T) {
			if _, err := ReadFrame(bufio.NewReader(bytes.NewReader(in)), nil, 0); err != io.ErrUnexpectedEOF {
				t.Errorf("got %v", err)
			}
		})
	}
	for name, in := range map[string][]byte{"over the limit": huge, "under 16": tiny} {
		t.Run("a length "+name+" is refused with its header, unread, without allocating", func(t *testing.T) {
			r := bufio.NewReader(bytes.NewReader(in))
			var le *LengthError
			if _, err := ReadFrame(r, nil, 0); !errors.As(err, &le) {
				t.Fatalf("got %v", err)
			}
			if le.Header.Sequence != 9 || le.Header.ID != CmdSubmitSM || le.Max != DefaultMaxLength || r.Buffered() != 16 {
				t.Errorf("got %+v, %d octets left", le, r.Buffered())
			}
		})
	}
	t.Run("the limit itself is accepted", func(t *testing.T) {
		if _, err := ReadFrame(bufio.NewReader(bytes.NewReader(b)), nil, uint32(len(b))); err != nil {
			t.Error(err)
		}
		var le *LengthError
		if _, err := ReadFrame(bufio.NewReader(bytes.NewReader(b)), nil, uint32(len(b)-1)); !errors.As(err, &le) {
			t.Errorf("one less: %v", err)
		}
	})
	t.Run("an overlong PDU can be skipped", func(t *testing.T) {
		r := bufio.NewReader(bytes.NewReader(append(append([]byte(nil), b...), a...)))
		var le *LengthError
		if _, err := ReadFrame(r, nil, 16); !errors.As(err, &le) {
			t.Fatal(err)
		}
		if _, err := r.Discard(int(le.Header.Length)); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadFrame(r, nil, 16); err != nil || !bytes.Equal(got, a) {
			t.Errorf("got % x, %v", got, err)
		}
	})
}
