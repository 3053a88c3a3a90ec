package original

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a pickle. A user takes about 600 octets, 170 opcodes and 35 containers.
const (
	maxFile       = 64 << 20
	maxOpcodes    = 16 << 20 // each can put one value on the stack or into the memo
	maxContainers = 4 << 20
	maxDepth      = 64  // of lists in tuples in dictionaries
	maxNumber     = 255 // octets of one number
	maxGlobal     = 255 // octets of the name of a class, and of its module
)

// operand says what follows an opcode of a pickle.
type operand uint8

const (
	unknown operand = iota
	nothing
	fixed1
	fixed2
	fixed4
	fixed8
	length1 // a length of 1 octet, and as many octets
	length4
	length8
	number1 // the same, and the octets are a number
	number4
	line
	lines2  // module and class
	text    // a line with escape sequences of unicode
	quoted  // a line with escape sequences of Python 2
	decimal // a line that is a number
	frame
)

// operands are the opcodes that data can have, of protocols 0 to 5. What is missing are persistent
// ids, extensions and buffers outside of the stream: programs make them, objects of the original
// never need them.
var operands = func() (t [256]operand) {
	for kind, codes := range map[operand]string{
		nothing: "().012NRabdelostu]}" + "\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94",
		fixed1:  "Khq\x80", fixed2: "M", fixed4: "Jjr", fixed8: "G",
		length1: "UC\x8c", length4: "TXB", length8: "\x8d\x8e\x96", number1: "\x8a", number4: "\x8b",
		line: "gp", lines2: "ci", text: "V", quoted: "S", decimal: "FIL", frame: "\x95",
	} {
		for _, c := range []byte(codes) {
			t[c] = kind
		}
	}
	return t
}()

// normalise checks a pickle against the bounds, so that a decoder can believe its lengths, and
// spells it for package gopickle: without frames, which only tell how to read; texts with escape
// sequences as octets with a length; and copy_reg, which that package takes for itself, as
// copy-reg.
func normalise(data []byte) ([]byte, error) {
	out := make([]byte, 0, len(data))
	opcodes, containers, depth := 0, 0, 0
	for i := 0; i < len(data); {
		op, start := data[i], i
		i++
		fault := func(what string) error { return fmt.Errorf("octet %d: opcode 0x%02x: %s", start, op, what) }
		if opcodes++; opcodes > maxOpcodes {
			return nil, fault(fmt.Sprintf("more than %d opcodes", maxOpcodes))
		}
		switch op {
		case '(':
			depth++
		case 't', 'l', 'd', 'i', 'o', 'e', 'u', '1', '\x90', '\x91':
			depth--
		}
		if depth > maxDepth {
			return nil, fault(fmt.Sprintf("deeper than %d", maxDepth))
		}
		if strings.IndexByte("(]})tld\x81\x85\x86\x87\x8f\x91\x92Rio", op) >= 0 {
			if containers++; containers > maxContainers {
				return nil, fault(fmt.Sprintf("more than %d containers", maxContainers))
			}
		}
		rest := data[i:]
		size, err := operandSize(operands[op], rest)
		if err != nil {
			return nil, fault(err.Error())
		}
		i += size
		kind := operands[op]
		if kind == number1 && size == 1 || kind == number4 && size == 4 {
			out = append(out, 'K', 0)
			continue
		}
		switch kind {
		case frame:
		case text:
			out = counted(out, 'X', unescapeUnicode(rest[:size-1]))
		case quoted:
			s, err := unquote(rest[:size-1])
			if err != nil {
				return nil, fault(err.Error())
			}
			out = counted(out, 'T', s)
		case lines2:
			out = append(out, op)
			out = append(out, bytes.Replace(rest[:size], []byte("copy_reg\n"), []byte("copy-reg\n"), 1)...)
		default:
			out = append(out, data[start:i]...)
		}
		if op == '.' {
			return out, nil
		}
	}
	return nil, errors.New("the file ends early")
}

// operandSize tells how many octets the operand of an opcode has.
func operandSize(kind operand, rest []byte) (int, error) {
	short := errors.New("the file ends early")
	counted := func(width, most int) (int, error) {
		if len(rest) < width {
			return 0, short
		}
		var le [8]byte
		copy(le[:], rest[:width])
		n := binary.LittleEndian.Uint64(le[:])
		if n > uint64(len(rest)-width) { //nolint:gosec // not negative
			return 0, short
		}
		if n > uint64(most) { //nolint:gosec // not negative
			return 0, fmt.Errorf("%d octets, at most %d are allowed", n, most)
		}
		return width + int(n), nil //nolint:gosec // bounded
	}
	lines := func(count, most int) (int, error) {
		size := 0
		for range count {
			n := bytes.IndexByte(rest[size:], '\n') + 1
			if n == 0 {
				return 0, short
			}
			if n > most+1 {
				return 0, fmt.Errorf("a line of %d octets, at most %d are allowed", n-1, most)
			}
			size += n
		}
		return size, nil
	}
	size := 0
	switch kind {
	case nothing:
	case fixed1:
		size = 1
	case fixed2:
		size = 2
	case fixed4:
		size = 4
	case fixed8, frame:
		size = 8
	case length1:
		return counted(1, maxFile)
	case length4:
		return counted(4, maxFile)
	case length8:
		return counted(8, maxFile)
	case number1:
		return counted(1, maxNumber)
	case number4:
		return counted(4, maxNumber)
	case line, decimal:
		return lines(1, maxNumber)
	case text, quoted:
		return lines(1, maxFile)
	case lines2:
		return lines(2, maxGlobal)
	case unknown:
		return 0, errors.New("is no data")
	}
	if size > len(rest) {
		return 0, short
	}
	return size, nil
}

func counted(out []byte, op byte, s []byte) []byte {
	out = binary.LittleEndian.AppendUint32(append(out, op), uint32(len(s))) //nolint:gosec // at most three times maxFile
	return append(out, s...)
}

// unescapeUnicode reads raw-unicode-escape: \uXXXX, \UXXXXXXXX, and octets of Latin-1.
func unescapeUnicode(s []byte) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		digits := 0
		if s[i] == '\\' && i+1 < len(s) {
			digits = map[byte]int{'u': 4, 'U': 8}[s[i+1]]
		}
		if digits > 0 && i+2+digits <= len(s) {
			if r, err := strconv.ParseUint(string(s[i+2:i+2+digits]), 16, 32); err == nil && r <= utf8.MaxRune {
				out = utf8.AppendRune(out, rune(r))
				i += 1 + digits
				continue
			}
		}
		out = utf8.AppendRune(out, rune(s[i]))
	}
	return out
}

// unquote reads a string of Python 2 in its quotes.
func unquote(s []byte) ([]byte, error) {
	if len(s) < 2 || s[0] != s[len(s)-1] || s[0] != '\'' && s[0] != '"' {
		return nil, errors.New("a string without quotes")
	}
	s = s[1 : len(s)-1]
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out = append(out, s[i])
			continue
		}
		i++
		switch c := s[i]; c {
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case '\\', '\'', '"':
			out = append(out, c)
		case 'x':
			v, err := strconv.ParseUint(string(s[i+1:min(i+3, len(s))]), 16, 8)
			if err != nil {
				return nil, errors.New("a string with an unknown escape sequence")
			}
			out = append(out, byte(v))
			i += 2
		default:
			return nil, errors.New("a string with an unknown escape sequence")
		}
	}
	return out, nil
}
