package pdu

import (
	"bytes"
	"encoding/binary"
)

// Get is the value of the first TLV with the tag, not a copy.
func (l TLVs) Get(tag Tag) ([]byte, bool) {
	for i := range l {
		if l[i].Tag == tag {
			return l[i].Value, true
		}
	}
	return nil, false
}

// Uint8 is the value of the first TLV with the tag; ok only if it has 1 octet.
func (l TLVs) Uint8(tag Tag) (v uint8, ok bool) {
	b, _ := l.Get(tag)
	if len(b) != 1 {
		return 0, false
	}
	return b[0], true
}

// Uint16 is the value of the first TLV with the tag; ok only if it has 2 octets.
func (l TLVs) Uint16(tag Tag) (v uint16, ok bool) {
	b, _ := l.Get(tag)
	if len(b) != 2 {
		return 0, false
	}
	return binary.BigEndian.Uint16(b), true
}

// Uint32 is the value of the first TLV with the tag; ok only if it has 4 octets.
func (l TLVs) Uint32(tag Tag) (v uint32, ok bool) {
	b, _ := l.Get(tag)
	if len(b) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(b), true
}

// CString is the value of the first TLV with the tag as a string that ends before
// its first NUL. Peers leave out the NUL that §5.3.2 asks for; both forms are read.
func (l TLVs) CString(tag Tag) (string, bool) {
	b, ok := l.Get(tag)
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b), ok
}

// Set replaces the value of the first TLV with the tag and removes its
// repetitions, or appends one. It keeps value, not a copy.
func (l *TLVs) Set(tag Tag, value []byte) {
	for i := range *l {
		if (*l)[i].Tag == tag {
			(*l)[i].Value = value
			rest := (*l)[i+1:]
			rest.Del(tag)
			*l = (*l)[:i+1+len(rest)]
			return
		}
	}
	l.Add(tag, value)
}

// Add appends a TLV, also when the tag is there already. It keeps value, not a copy.
func (l *TLVs) Add(tag Tag, value []byte) { *l = append(*l, TLV{Tag: tag, Value: value}) }

// SetUint8 is Set with a 1-octet value.
func (l *TLVs) SetUint8(tag Tag, v uint8) { l.Set(tag, []byte{v}) }

// SetUint16 is Set with a 2-octet value.
func (l *TLVs) SetUint16(tag Tag, v uint16) { l.Set(tag, binary.BigEndian.AppendUint16(nil, v)) }

// SetUint32 is Set with a 4-octet value.
func (l *TLVs) SetUint32(tag Tag, v uint32) { l.Set(tag, binary.BigEndian.AppendUint32(nil, v)) }

// SetCString is Set with s and its terminating NUL.
func (l *TLVs) SetCString(tag Tag, s string) {
	l.Set(tag, append(append(make([]byte, 0, len(s)+1), s...), 0))
}

// Del removes every TLV with the tag; the others keep their order.
func (l *TLVs) Del(tag Tag) {
	kept := (*l)[:0]
	for _, t := range *l {
		if t.Tag != tag {
			kept = append(kept, t)
		}
	}
	clear((*l)[len(kept):]) // do not hold on to values that are gone
	*l = kept
}
