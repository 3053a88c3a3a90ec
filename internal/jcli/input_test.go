package jcli

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/term"
)

// readKeys reads what an input makes of octets that come in chunks of n.
func readKeys(in string, n int) (keys, replies string) {
	src := strings.NewReader(in)
	var out bytes.Buffer
	f := &input{
		read:  func(p []byte) (int, error) { return src.Read(p[:min(n, len(p))]) },
		reply: func(p []byte) { out.Write(p) },
	}
	var got bytes.Buffer
	buf := make([]byte, 256)
	for {
		n, err := f.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			return got.String(), out.String()
		}
	}
}

func TestInputMakesKeysOfOctets(t *testing.T) {
	for name, tt := range map[string]struct{ in, keys, replies string }{
		"every end of line":                     {"a\r\nb\nc\r\x00d\re\r\r\n\n\r", "a\rb\rc\rd\re\r\r\r\r", ""},
		"telnet negotiation is answered":        {"a\xff\xfd\x01\xff\xfd\x03\xff\xfd\x18\xff\xfb\x1f\xff\xfb\x03\xff\xfe\x01\xff\xfc\x1fb", "ab", "\xff\xfc\x18\xff\xfe\x1f\xff\xfd\x03"},
		"a subnegotiation is skipped":           {"a\xff\xfa\x1f\x00\x0d\x0a\xff\xff\x18\xff\xf0b", "ab", ""},
		"commands of the keyboard":              {"ab\xff\xf7c\xff\xf8d\xff\xf4e\xff\xf3", "ab\x7fc\x05\x15d\x05\x15e\x05\x15", ""},
		"are you there":                         {"\xff\xf6", "", "\r\n[yes]\r\n"},
		"commands between CR and LF":            {"a\r\xff\xf1\nb", "a\rb", ""},
		"255 as data is no character":           {"a\xff\xffb", "ab", ""},
		"arrows of either mode":                 {"\x1b[A\x1bOB\x1b[C\x1bOD", "\x1b[A\x1b[B\x1b[C\x1b[D", ""},
		"home, end and delete of terminals":     {"\x1b[1~\x1b[4~\x1b[3~\x1bOH\x1b[F", "\x1b[H\x1b[F\x1b[3~\x1b[H\x1b[F", ""},
		"sequences that no key of ours has":     {"a\x1b[15~\x1b[?1;2c\x1bx\x1b]b", "ab", ""},
		"a sequence without an end":             {"a\x1b[" + strings.Repeat("1", 300) + "b", "a" + strings.Repeat("1", 300-maxEscape+2) + "b", ""},
		"a line ends inside of a sequence":      {"a\x1b[1\rb", "a\rb", ""},
		"UTF-8 and what is none":                {"é\xc3(\x80\xf0\x9f\x98\x80\xef\xbf\xbd\xc3\xc3\xa9\xed\xa0\x80", "é(😀é", ""},
		"control characters":                    {"\x00a\x07\x1c\xc2\x85b\x03c", "ab\x05\x15c", ""},
		"NUL alone is nothing":                  {"a\x00b\x00\r\x00c", "ab\rc", ""},
		"the editor's keys":                     {"\x01\x02\x04\x05\x06\x08\x0b\x0c\x0e\x10\x14\x15\x17\x7f\t", "\x01\x02\x04\x05\x06\x7f\x0b\x0c\x0e\x10\x14\x15\x17\x7f\t", ""},
		"a command that is not complete":        {"a\xff", "a", ""},
		"an option request that is incomplete":  {"a\xff\xfd", "a", ""},
		"a subnegotiation that never ends":      {"a\xff\xfab\rc", "a", ""},
		"a line as long as a line may be":       {strings.Repeat("x", maxLine) + "\r", strings.Repeat("x", maxLine) + "\r", ""},
		"what is beyond it is dropped":          {strings.Repeat("é", maxLine+100) + "\rb\r", strings.Repeat("é", maxLine) + "\rb\r", ""},
		"an erased character makes room for it": {strings.Repeat("x", maxLine) + "\x7fy\r", strings.Repeat("x", maxLine) + "\x7fy\r", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{1, 2, 3, 1024} {
				if keys, replies := readKeys(tt.in, n); keys != tt.keys || replies != tt.replies {
					t.Errorf("in chunks of %d:\ngot  %q, replies %q\nwant %q, replies %q", n, keys, replies, tt.keys, tt.replies)
				}
			}
		})
	}
}

func TestInputGivesATabAloneAndStopsAtTheEndOfALine(t *testing.T) {
	src := strings.NewReader("ab\tc\rd")
	in := &input{read: src.Read, reply: func([]byte) {}}
	buf := make([]byte, 100)
	for _, want := range []string{"ab", "\t", "c\r", "d"} {
		n, err := in.Read(buf)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("got %q, %v, want %q", buf[:n], err, want)
		}
	}
	if _, err := in.Read(nil); !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("a Read of nothing: %v", err)
	}
}

func TestOnlyWhatBelongsIntoAPasswordIsLetIn(t *testing.T) {
	src := strings.NewReader("a\tb\x1b[A\x0c\x10\x17\x7fé\x15c\x03d\r")
	in := &input{read: src.Read, reply: func([]byte) {}, secret: true}
	got, err := io.ReadAll(in)
	if want := "ab\x7fé\x15c\x15d\r"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// Whatever comes, the keys are the same in whichever pieces it comes, they are UTF-8, and
// the line editor takes them all without waiting for more.
func FuzzInput(f *testing.F) {
	for _, seed := range []string{"user -l\r\n", "\xff\xfd\x01\xff\xfa\x1f\x00\x50\xff\xf0a\tb\r\x00", "\x1b[A\x1b[200~x\x1b[201~\r", "\xc3\xa9\xc3\r", "\x04\x03\r", strings.Repeat("\x1b[", 200)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, replies := readKeys(string(data), len(data)+1)
		one, oneReplies := readKeys(string(data), 1)
		if keys != one || replies != oneReplies {
			t.Errorf("at once %q %q\nin octets %q %q", keys, replies, one, oneReplies)
		}
		if !utf8.ValidString(keys) || strings.Contains(keys, "\ufffd") || strings.ContainsAny(keys, "\x00\n\x03") {
			t.Errorf("keys %q", keys)
		}
		src := bytes.NewReader(data)
		in := &input{read: src.Read, reply: func([]byte) {}}
		terminal := term.NewTerminal(struct {
			io.Reader
			io.Writer
		}{in, io.Discard}, "> ")
		_ = terminal.SetSize(1<<20, 24)
		lines := 0
		for {
			_, err := terminal.ReadLine()
			if err != nil {
				break
			}
			if lines++; lines > len(data) {
				t.Fatal("more lines than octets")
			}
		}
	})
}

func FuzzParseLine(f *testing.F) {
	for _, seed := range []string{"user -u foo", "?user", "mtrouter --add=1 x", "smppccm -1abc", "group -la --li", "user --smpp-un x -- -y", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		name, arg := parseLine(strings.TrimSpace(line))
		if strings.ContainsAny(name, " -\t") || strings.TrimSpace(arg) != arg {
			t.Errorf("%q, %q", name, arg)
		}
		for i := range commands {
			v, rest, err := parseOptions(arg, commands[i].options)
			if err != nil {
				if err.Error() == "" {
					t.Error("an error without text")
				}
				continue
			}
			for name := range v {
				if !strings.Contains(usage("x", commands[i].options), "--"+name) {
					t.Errorf("an option %q that does not exist", name)
				}
			}
			for _, word := range rest {
				if !strings.Contains(arg, word) {
					t.Errorf("an argument %q that is not in %q", word, arg)
				}
			}
		}
		for _, cred := range []string{"mt_messaging_cred", "smpps_cred"} {
			for _, update := range []bool{false, true} {
				c, err := parseCredential(cred, arg, update)
				if err == nil && c.key == nil {
					t.Errorf("%q: no key and no error", arg)
				}
			}
		}
	})
}
