package smscsim

import (
	"encoding/binary"

	"jasmind/internal/smpp/pdu"
)

// The malformed answers. The first four leave the framing intact.
const (
	DeformBody     = "body"         // a TLV that announces more octets than there are
	DeformEmpty    = "empty"        // no body where one is due
	DeformSequence = "sequence"     // another sequence_number
	DeformCommand  = "command"      // the command_id of another response
	DeformLong     = "long_length"  // command_length is 4 more than there is: what follows is misread
	DeformShort    = "short_length" // command_length is 8
	DeformHuge     = "huge_length"  // command_length is 0x7FFFFFFF
	DeformCut      = "cut"          // half of the PDU; the connection stays open
)

var deformities = []string{DeformBody, DeformEmpty, DeformSequence, DeformCommand, DeformLong, DeformShort, DeformHuge, DeformCut}

// editDrop takes a PDU out of what is written.
const editDrop = "drop"

// deform appends a response to out as an edit wants it. frame is well-formed.
func deform(out, frame []byte, edit string) []byte {
	start := len(out)
	out = append(out, frame...)
	f := out[start:]
	length := uint32(len(f))
	switch edit {
	case editDrop:
		return out[:start]
	case DeformBody:
		out = append(out, 0x14, 0x01, 0x00, 0xFF, 0x01)
		length += 5
	case DeformEmpty:
		out = out[:start+pdu.HeaderLen]
		length = pdu.HeaderLen
	case DeformSequence:
		binary.BigEndian.PutUint32(f[12:], binary.BigEndian.Uint32(f[12:])^0x00FF0000)
	case DeformCommand:
		binary.BigEndian.PutUint32(f[4:], uint32(pdu.CmdReplaceSMResp))
	case DeformLong:
		length += 4
	case DeformShort:
		length = 8
	case DeformHuge:
		length = 0x7FFFFFFF
	case DeformCut:
		return out[:start+len(f)/2]
	}
	binary.BigEndian.PutUint32(out[start:], length)
	return out
}
