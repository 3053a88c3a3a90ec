package smstext

// cutter finds where a message may be cut. It remembers the shift state of
// ISO-2022-JP, so its cuts must be asked for in order.
type cutter struct {
	alphabet Alphabet
	octets   []byte
	double   bool // ISO-2022-JP: two octets per character
}

// next is where the part that starts at start ends: at most size octets on,
// sooner if that would cut something that belongs together. It moves forward
// whenever there is something left, if size is at least 4.
func (c *cutter) next(start, size int) int {
	end := start + size
	if end >= len(c.octets) {
		return len(c.octets)
	}
	switch c.alphabet {
	case GSM: // an odd run of escapes leaves its last one waiting
		run := 0
		for i := end - 1; i >= start && c.octets[i] == escape; i-- {
			run++
		}
		return end - run%2
	case UCS2:
		end -= size % 2
		if c.octets[end-2]&0xFC == 0xD8 && c.octets[end]&0xFC == 0xDC {
			end -= 2
		}
		return end
	case ShiftJIS, EUCJP, EUCKR, ISO2022JP:
		pos := start
		for {
			n := c.char(pos)
			if pos+n > end {
				return pos
			}
			pos += n
		}
	}
	return end
}

// char is the length of the character or shift sequence at pos, which is before
// the end; a cut-off one counts as whole.
func (c *cutter) char(pos int) int {
	b := c.octets[pos]
	switch c.alphabet {
	case ShiftJIS:
		if b >= 0x81 && b <= 0x9F || b >= 0xE0 && b <= 0xFC {
			return 2
		}
	case EUCJP:
		if b == 0x8F { // JIS X 0212
			return 3
		}
		if b == 0x8E || b >= 0xA1 && b <= 0xFE {
			return 2
		}
	case EUCKR:
		if b >= 0x81 && b <= 0xFE {
			return 2
		}
	case ISO2022JP:
		if b == escape {
			return c.shift(pos)
		}
		if c.double && b >= 0x21 && b <= 0x7E {
			return 2
		}
	}
	return 1
}

// shift is the length of the shift sequence at pos; it enters its state (RFC 1468).
func (c *cutter) shift(pos int) int {
	rest := c.octets[pos+1:]
	if len(rest) < 2 {
		return 1
	}
	switch {
	case rest[0] == '$' && rest[1] == '(' && len(rest) > 2: // ESC $ ( D
		c.double = true
		return 4
	case rest[0] == '$': // ESC $ @, ESC $ B
		c.double = true
		return 3
	case rest[0] == '(': // ESC ( B, ESC ( J, ESC ( I
		c.double = false
		return 3
	}
	return 1
}
