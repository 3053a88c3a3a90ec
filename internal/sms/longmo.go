package sms

import (
	"fmt"
	"strconv"
	"strings"
)

// LongKey names a long mobile-originated message among those whose parts are being collected: parts
// with another connector, sender, recipient, reference or number of parts are another message's.
type LongKey struct {
	CID          ConnectorID
	Source, Dest string
	Ref          uint16
	Total        int // number of parts, 2 to 255
}

// String is <cid>:<source>:<dest>:<ref>:<total>; colons and percent signs of the addresses are
// written as %3A and %25.
func (k LongKey) String() string {
	return string(k.CID) + ":" + escapeColon.Replace(k.Source) + ":" + escapeColon.Replace(k.Dest) + ":" +
		strconv.Itoa(int(k.Ref)) + ":" + strconv.Itoa(k.Total)
}

var (
	escapeColon   = strings.NewReplacer("%", "%25", ":", "%3A")
	unescapeColon = strings.NewReplacer("%25", "%", "%3A", ":")
)

// ParseLongKey is the inverse of String.
func ParseLongKey(s string) (LongKey, error) {
	f := strings.Split(s, ":")
	if len(f) != 5 {
		return LongKey{}, fmt.Errorf("%q is no key of a long MO, must be cid:source:dest:ref:total", s)
	}
	ref, err := strconv.ParseUint(f[3], 10, 16)
	if err != nil {
		return LongKey{}, fmt.Errorf("key of a long MO %q: invalid reference %q", s, f[3])
	}
	total, err := strconv.ParseUint(f[4], 10, 8)
	if err != nil {
		return LongKey{}, fmt.Errorf("key of a long MO %q: invalid number of parts %q", s, f[4])
	}
	return LongKey{CID: ConnectorID(f[0]), Source: unescapeColon.Replace(f[1]), Dest: unescapeColon.Replace(f[2]), Ref: uint16(ref), Total: int(total)}, nil
}

// LongPart is one part of a long mobile-originated message.
type LongPart struct {
	Key LongKey
	Seq int // 1 to Key.Total
	// Digest stands for the content: a part that comes again has the same, so that it is told
	// from one of another message that happens to have the same reference.
	Digest uint64
	Body   []byte // its owner's own
}

// LongMO is a long mobile-originated message that is not collected any more: complete, or as far as
// it came.
type LongMO struct {
	ID    MessageID
	Key   LongKey
	Parts []LongPart // in order
	// Repeat tells that every part was a part of the message before it under the same key, too:
	// incomplete, it is nothing but parts of that one which the SMSC sent again.
	Repeat bool
}

// Complete tells whether all parts are there.
func (m *LongMO) Complete() bool { return len(m.Parts) == m.Key.Total }
