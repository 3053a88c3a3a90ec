package jcli

import (
	"io"
	"unicode/utf8"
)

// Telnet commands and options (RFC 854, RFC 857, RFC 858).
const (
	telnetSE   = 240
	telnetBRK  = 243
	telnetIP   = 244
	telnetAYT  = 246
	telnetEC   = 247
	telnetEL   = 248
	telnetSB   = 250
	telnetWILL = 251
	telnetWONT = 252
	telnetDO   = 253
	telnetDONT = 254
	telnetIAC  = 255

	optionEcho            = 1
	optionSuppressGoAhead = 3
)

// telnetGreeting asks the client to send every key at once and to leave the echo to us. A
// client that speaks no telnet shows it as six odd characters, as with the original.
var telnetGreeting = []byte{telnetIAC, telnetWILL, optionEcho, telnetIAC, telnetWILL, optionSuppressGoAhead}

// maxLine bounds one line, in characters; x/term drops what is beyond 4096 without a word.
const maxLine = 4096

// maxEscape bounds an escape sequence of the keyboard.
const maxEscape = 16

// Keys as x/term takes them.
const (
	keyHome     = 0x01
	keyEnd      = 0x05
	keyKillLine = 0x15
	keyErase    = 0x7F
)

// input turns what a client sends into what a line editor can take: telnet commands are
// answered and taken out, CR LF, CR NUL, LF and CR all end a line, and what is no key
// that the editor knows is dropped, so that no octet of a client's makes it wait or spin.
//
// A Read ends at the end of a line, and gives a TAB alone: then the editor has written
// everything that it had to write before, and whoever answers the TAB may write as well.
type input struct {
	read  func(p []byte) (int, error) // from the client
	reply func(p []byte)              // to the client

	raw   []byte // read, not yet looked at
	buf   [1024]byte
	ready []byte // keys for the editor

	telnet  telnetState
	command byte // WILL, WONT, DO or DONT, whose option comes next
	afterCR bool
	escape  []byte // an escape sequence that is not complete
	runes   []byte // a character that is not complete

	// secret lets pass only what belongs into a password.
	secret bool
	length int // characters of the line so far
	// overlong is set when characters of the line were dropped; the reader of the line clears it.
	overlong bool
}

type telnetState uint8

const (
	telnetData telnetState = iota
	telnetCommand
	telnetOption
	telnetSub    // inside of a subnegotiation
	telnetSubIAC // after an IAC in it
)

// Read gives keys.
func (in *input) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, io.ErrShortBuffer // the editor would ask again for ever
	}
	for {
		for n < len(p) {
			if len(in.ready) == 0 && !in.next() {
				break
			}
			if in.ready[0] == '\t' && n > 0 {
				return n, nil
			}
			key := in.ready[0]
			p[n] = key
			n++
			in.ready = in.ready[1:]
			if key == '\r' || key == '\t' {
				return n, nil
			}
		}
		if n > 0 {
			return n, nil
		}
		got, err := in.read(in.buf[:])
		in.raw = in.buf[:got]
		if got == 0 && err != nil {
			return 0, err
		}
	}
}

// inject types text for the client.
func (in *input) inject(text string) {
	in.length += utf8.RuneCountInString(text)
	in.ready = append([]byte(text), in.ready...)
}

// next looks at octets until a key is ready; false if there are no more.
func (in *input) next() bool {
	for len(in.raw) > 0 {
		b := in.raw[0]
		in.raw = in.raw[1:]
		in.octet(b)
		if len(in.ready) > 0 {
			return true
		}
	}
	return false
}

func (in *input) octet(b byte) {
	switch in.telnet {
	case telnetData:
		if b == telnetIAC {
			in.telnet = telnetCommand
			return
		}
		in.data(b)
	case telnetCommand:
		in.telnet = telnetData
		in.telnetCommand(b)
	case telnetOption:
		in.telnet = telnetData
		in.negotiate(in.command, b)
	case telnetSub:
		if b == telnetIAC {
			in.telnet = telnetSubIAC
		}
	case telnetSubIAC:
		in.telnet = telnetSub
		if b == telnetSE {
			in.telnet = telnetData
		}
	}
}

func (in *input) telnetCommand(b byte) {
	switch b {
	case telnetIAC:
		in.data(b)
	case telnetWILL, telnetWONT, telnetDO, telnetDONT:
		in.command, in.telnet = b, telnetOption
	case telnetSB:
		in.telnet = telnetSub
	case telnetAYT:
		in.reply([]byte("\r\n[yes]\r\n"))
	case telnetEC:
		in.key(keyErase)
	case telnetEL, telnetIP, telnetBRK:
		in.clearLine()
	}
}

// negotiate answers a request. We echo and suppress go-aheads, as the greeting has said, and
// want nothing else of the client than that it does the latter too.
func (in *input) negotiate(command, option byte) {
	ours := option == optionEcho || option == optionSuppressGoAhead
	switch command {
	case telnetDO:
		if !ours {
			in.reply([]byte{telnetIAC, telnetWONT, option})
		}
	case telnetDONT:
		// Nothing was on but what the greeting offered, and a refused offer is not
		// answered (RFC 854). The line is drawn all the same, as in the original.
	case telnetWILL:
		if option == optionSuppressGoAhead {
			in.reply([]byte{telnetIAC, telnetDO, option})
		} else {
			in.reply([]byte{telnetIAC, telnetDONT, option})
		}
	}
}

func (in *input) data(b byte) {
	afterCR := in.afterCR
	in.afterCR = false
	switch {
	case b == '\r':
		in.afterCR = true
		in.endLine()
	case b == '\n':
		if !afterCR {
			in.endLine()
		}
	case b == 0: // after CR it belongs to it (RFC 854); alone it is nothing
	case len(in.escape) > 0:
		in.escaped(b)
	case b == 0x1B:
		in.runes = nil
		in.escape = append(in.escape[:0], b)
	case b >= utf8.RuneSelf:
		in.character(b)
	default:
		in.runes = nil
		in.key(b)
	}
}

func (in *input) endLine() {
	in.escape, in.runes, in.length = in.escape[:0], nil, 0
	in.ready = append(in.ready, '\r')
}

// clearLine empties the line that is being typed.
func (in *input) clearLine() {
	in.length = 0
	if in.secret {
		in.ready = append(in.ready, keyKillLine)
		return
	}
	in.ready = append(in.ready, keyEnd, keyKillLine)
}

// key takes one octet that is no part of anything longer.
func (in *input) key(b byte) {
	switch {
	case b >= ' ' && b < 0x7F:
		in.text(b)
	case b == 0x03:
		in.clearLine()
	case b == keyErase, b == 0x08:
		in.length = max(0, in.length-1)
		in.ready = append(in.ready, keyErase)
	case b == keyKillLine:
		in.length = 0
		in.ready = append(in.ready, b)
	case b == 0x04: // ^D
		in.ready = append(in.ready, b)
	case in.secret:
	case b == '\t', b == keyHome, b == keyEnd, b == 0x02, b == 0x06, b == 0x0B, b == 0x0C, b == 0x0E, b == 0x10, b == 0x14, b == 0x17:
		in.ready = append(in.ready, b)
	}
}

// text adds one character to the line, unless the line is full.
func (in *input) text(character ...byte) {
	if in.length >= maxLine {
		in.overlong = true
		return
	}
	in.length++
	in.ready = append(in.ready, character...)
}

// character collects the octets of a character in UTF-8. What is none is dropped.
func (in *input) character(b byte) {
	in.runes = append(in.runes, b)
	if !utf8.FullRune(in.runes) {
		return
	}
	r, n := utf8.DecodeRune(in.runes)
	if r != utf8.RuneError && r >= 0xA0 { // 0x80 to 0x9F control terminals
		in.text(in.runes[:n]...)
	}
	rest := in.runes[n:]
	in.runes = nil
	if r == utf8.RuneError && len(rest) > 0 { // the last octet may begin another one
		in.character(rest[len(rest)-1])
	}
}

// editorKeys are the escape sequences of keyboards, and what the editor takes for them.
var editorKeys = map[string]string{
	"[A": "\x1b[A", "[B": "\x1b[B", "[C": "\x1b[C", "[D": "\x1b[D", "[H": "\x1b[H", "[F": "\x1b[F",
	"OA": "\x1b[A", "OB": "\x1b[B", "OC": "\x1b[C", "OD": "\x1b[D", "OH": "\x1b[H", "OF": "\x1b[F",
	"[1~": "\x1b[H", "[7~": "\x1b[H", "[4~": "\x1b[F", "[8~": "\x1b[F", "[3~": "\x1b[3~",
	"[1;3C": "\x1b[1;3C", "[1;3D": "\x1b[1;3D", "[1;5C": "\x1b[1;3C", "[1;5D": "\x1b[1;3D",
}

// escaped takes an octet of an escape sequence: ESC [ parameters final, or ESC O final.
// Others, and those that no key of ours has, are dropped.
func (in *input) escaped(b byte) {
	first := len(in.escape) == 1
	in.escape = append(in.escape, b)
	switch {
	case first && (b == '[' || b == 'O'):
	case first: // Alt and a key
		in.escape = in.escape[:0]
	case b >= 0x40 && b <= 0x7E:
		if keys := editorKeys[string(in.escape[1:])]; keys != "" && !in.secret {
			in.ready = append(in.ready, keys...)
		}
		in.escape = in.escape[:0]
	case len(in.escape) >= maxEscape || b < 0x20 || b > 0x7E:
		in.escape = in.escape[:0]
	}
}
