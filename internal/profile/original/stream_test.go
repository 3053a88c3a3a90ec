package original

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestDamagedPicklesAreRefused(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		{"nothing", "", "ends early"},
		{"no end", "\x80\x02]", "ends early"},
		{"a text longer than the file", "X\xff\xff\xff\xff.", "ends early"},
		{"a text longer than memory", "\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", "ends early"},
		{"octets longer than memory", "\x8e\x00\x00\x00\x00\x00\x01\x00\x00.", "ends early"},
		{"a number of many digits", "I" + strings.Repeat("9", 300) + "\n.", "at most 255"},
		{"a number of many octets", "\x8b\x00\x01\x00\x00" + strings.Repeat("1", 256) + ".", "at most 255"},
		{"too many opcodes", "N" + strings.Repeat("\x94", maxOpcodes), "more than 16777216 opcodes"},
		{"too deep", strings.Repeat("(", 65) + ".", "deeper than 64"},
		{"a persistent id", "Pid\n.", "is no data"},
		{"an extension", "\x82\x01.", "is no data"},
		{"an opcode that does not exist", "\xff.", "is no data"},
		{"a key without a value", "}(K\x01u.", "damaged"},
		{"a list as an element of a set", "\x8f(B\x01\x00\x00\x00a\x90.", "damaged"},
		{"more taken than was put", "a.", "stack is empty"},
		{"a string of Python 2 without quotes", "Sabc\n.", "without quotes"},
		{"a string of Python 2 that is cut", "S'a\\x'\n.", "escape sequence"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if root, _, err := decode([]byte(tt.data)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v, want %s", root, err, tt.want)
			}
		})
	}
}

func TestTextsOfTheOldestProtocols(t *testing.T) {
	for _, tt := range []struct {
		data string
		want any
	}{
		{"Va\\u000ab\\u20ac\xe9\\U0001f600\\u005cu\n.", "a\nb€é😀\\u"},
		{"S'a\\n\\x41\\\\\\'\"'\n.", "aA"[:1] + "\nA\\'\""},
		{"c_codecs\nencode\n(V\xff\\u0001\nVlatin1\ntR.", []byte{0xff, 1}},
		{"ccopy_reg\n_reconstructor\n(cjasmin.routing.jasminApi\nGroup\nc__builtin__\nobject\nNtR}(Vgid\nVg1\nub.", &object{class: "Group", attrs: map[string]any{"gid": "g1"}}},
		{"\x80\x02\x8a\x00.", 0}, // 0L of Python 2
		{"\x80\x02\x8b\x00\x00\x00\x00.", 0},
		{"\x80\x02\x8a\x01\x80.", -128},
		{"(ijasmin.routing.jasminApi\nGroup\n.", &object{class: "Group", args: []any{}}},
	} {
		root, refused, err := decode([]byte(tt.data))
		if err != nil || len(refused) > 0 || !reflect.DeepEqual(root, tt.want) {
			t.Errorf("%q: got %#v, %v, %v, want %#v", tt.data, root, refused, err, tt.want)
		}
	}
}

// Whatever is in a file, reading it ends, and what it says is a configuration or is named.
func FuzzParse(f *testing.F) {
	for _, protocol := range []int{0, 2, 5} {
		for i, suffix := range suffixes {
			content, err := os.ReadFile(filepath.Join("testdata", fmt.Sprintf("protocol%d", protocol), "jcli-prod"+suffix))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), content)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, content []byte) {
		root, _, err := parse(content)
		if err != nil {
			return
		}
		p := &Profile{}
		if err := p.convert("/store/p", map[string]any{suffixes[int(kind)%len(suffixes)]: root}); err != nil {
			t.Fatal(err)
		}
		_, data, _ := bytes.Cut(content, []byte("\n"))
		once, err := normalise(data)
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := normalise(once); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("normalised twice it is another: %v", err)
		}
	})
}
