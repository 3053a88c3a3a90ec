package receipt

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"jasmind/internal/smpp/pdu"
)

// dialect is one block of testdata/receipt/dialects.txt.
type dialect struct {
	name string
	msg  pdu.Message
	want []string
	err  error
}

func readDialects(tb testing.TB) []dialect {
	tb.Helper()
	raw, err := os.ReadFile("../../../testdata/receipt/dialects.txt")
	if err != nil {
		tb.Fatal(err)
	}
	var all []dialect
	for _, block := range strings.Split(string(raw), "\n\n") {
		d := dialect{msg: pdu.Message{ESMClass: pdu.ESMTypeReceipt}}
		for _, line := range strings.Split(block, "\n") {
			key, val, _ := strings.Cut(line, " ")
			switch key {
			case "", "#":
			case "name":
				d.name = val
			case "esm":
				d.msg.ESMClass = pdu.ESMClass(number(tb, val, 8))
			case "coding":
				d.msg.DataCoding = pdu.DataCoding(number(tb, val, 8))
			case "text":
				d.msg.ShortMessage = unquote(tb, val)
			case "payload":
				d.msg.TLVs.Add(pdu.TagMessagePayload, unquote(tb, val))
			case "utf16":
				for _, u := range utf16.Encode([]rune(val)) {
					d.msg.ShortMessage = append(d.msg.ShortMessage, byte(u>>8), byte(u))
				}
			case "tlv":
				tag, value, _ := strings.Cut(val, "=")
				octets, err := hex.DecodeString(value)
				if err != nil {
					tb.Fatalf("%s: %v", line, err)
				}
				d.msg.TLVs.Add(pdu.Tag(number(tb, tag, 16)), octets)
			case "want":
				d.want = append(d.want, val)
			case "error":
				d.err = map[string]error{"not-receipt": ErrNotReceipt, "no-id": ErrNoID}[val]
			default:
				tb.Fatalf("dialects.txt: unknown line %q", line)
			}
		}
		if d.name == "" {
			continue
		}
		if (d.err == nil) == (len(d.want) == 0) {
			tb.Fatalf("dialects.txt: %q needs either want or error", d.name)
		}
		all = append(all, d)
	}
	return all
}

func number(tb testing.TB, s string, bits int) uint64 {
	tb.Helper()
	n, err := strconv.ParseUint(s, 16, bits)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func unquote(tb testing.TB, s string) []byte {
	tb.Helper()
	s = strings.ReplaceAll(strings.ReplaceAll(s, `"`, `\"`), `\0`, `\x00`)
	s, err := strconv.Unquote(`"` + s + `"`)
	if err != nil {
		tb.Fatalf("%s: %v", s, err)
	}
	return []byte(s)
}

// lines is a receipt in the form of the want lines of a dialect.
func lines(r *Receipt) []string {
	ids := ""
	if len(r.IDs) != 1 {
		ids = strings.Join(r.IDs, " ")
	}
	final := ""
	if r.Final {
		final = "yes"
	}
	var out []string
	for _, f := range [][2]string{{"id", r.ID}, {"ids", ids}, {"sub", r.Sub}, {"dlvrd", r.Dlvrd}, {"submit", r.SubmitDate},
		{"done", r.DoneDate}, {"stat", r.Stat}, {"state", r.State}, {"err", r.Err}, {"text", r.Text}, {"final", final}} {
		if f[1] != "" {
			out = append(out, f[0]+"="+f[1])
		}
	}
	return out
}

func sameLines(got, want []string) bool {
	count := map[string]int{}
	for _, l := range got {
		count[l]++
	}
	for _, l := range want {
		count[l]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

func TestDialects(t *testing.T) {
	for _, d := range readDialects(t) {
		t.Run(d.name, func(t *testing.T) {
			if got, want := IsReceipt(&d.msg), !errors.Is(d.err, ErrNotReceipt); got != want {
				t.Errorf("IsReceipt = %v, want %v", got, want)
			}
			r, err := Parse(&d.msg)
			if !errors.Is(err, d.err) {
				t.Fatalf("error %v, want %v", err, d.err)
			}
			if err != nil {
				return
			}
			if got := lines(r); !sameLines(got, d.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(d.want, "\n  "))
			}
			if StateText(r.MessageState) != r.State {
				t.Errorf("MessageState %v does not agree with State %s", r.MessageState, r.State)
			}
		})
	}
}

func TestDataSMReceiptIsReadFromItsPayload(t *testing.T) {
	d := &pdu.DataSM{ESMClass: pdu.ESMTypeReceipt}
	d.TLVs.Add(pdu.TagMessagePayload, []byte("id:42 done date:2611242301 stat:DELIVRD err:000"))
	if !IsReceiptData(d) {
		t.Error("IsReceiptData = false")
	}
	r, err := ParseData(d)
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != "42" || r.State != "DELIVRD" || !r.Final {
		t.Errorf("got %+v", r)
	}
	if d := (&pdu.DataSM{}); IsReceiptData(d) {
		t.Error("an empty data_sm is taken for a receipt")
	}
}

func TestResultSharesNoMemoryWithTheMessage(t *testing.T) {
	m := &pdu.Message{ESMClass: pdu.ESMTypeReceipt, ShortMessage: []byte("id:42 stat:DELIVRD text:abc")}
	m.TLVs.SetCString(pdu.TagReceiptedMessageID, "77")
	r, err := Parse(m)
	if err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprintf("%+v", *r)
	clear(m.ShortMessage)
	clear(m.TLVs[0].Value)
	if after := fmt.Sprintf("%+v", *r); after != before {
		t.Errorf("receipt changed with the message:\n%s\n%s", before, after)
	}
}

func TestOrdinaryMessageIsRecognisedWithoutAllocation(t *testing.T) {
	m := &pdu.Message{ShortMessage: []byte("Hello, shall we meet at 10:30 in room 4: the blue one?")}
	if n := testing.AllocsPerRun(100, func() {
		if IsReceipt(m) {
			t.Fatal("taken for a receipt")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func sample() *Receipt {
	return &Receipt{ID: "6f1a2b3c", SubmitDate: "2611242300", DoneDate: "2611242301",
		MessageState: pdu.StateDelivered, Text: "Hello, world, this is too long"}
}

func TestStandardForm(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Receipt)
		want string
	}{
		{"delivered, text cut to 20 characters", func(*Receipt) {},
			"id:6f1a2b3c sub:001 dlvrd:001 submit date:2611242300 done date:2611242301 stat:DELIVRD err:000 text:Hello, world, this i"},
		{"undelivered", func(r *Receipt) { r.MessageState, r.Err, r.Text = pdu.StateUndeliverable, "99", "" },
			"id:6f1a2b3c sub:001 dlvrd:000 submit date:2611242300 done date:2611242301 stat:UNDELIV err:099 text:"},
		{"dates with seconds or a century are cut, a long error code stays", func(r *Receipt) {
			r.SubmitDate, r.DoneDate, r.Err, r.Sub, r.Dlvrd, r.Text = "261124230012", "20261124230158", "0042", "2", "1", "é\n~"
		}, "id:6f1a2b3c sub:002 dlvrd:001 submit date:2611242300 done date:2611242301 stat:DELIVRD err:0042 text:??~"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := sample()
			c.edit(r)
			got, err := Format(r)
			if err != nil || got != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestWhatCannotBeWrittenIsRefused(t *testing.T) {
	for name, edit := range map[string]func(*Receipt){
		"empty id":          func(r *Receipt) { r.ID = "" },
		"id of two words":   func(r *Receipt) { r.ID = "a b" },
		"id with a quote":   func(r *Receipt) { r.ID = "a\"b" },
		"id too long":       func(r *Receipt) { r.ID = strings.Repeat("a", 65) },
		"no submit date":    func(r *Receipt) { r.SubmitDate = "" },
		"no such done date": func(r *Receipt) { r.DoneDate = "2613242301" },
		"undefined state":   func(r *Receipt) { r.MessageState = 10 },
		"err of two words":  func(r *Receipt) { r.Err = "0 0" },
		"sub too long":      func(r *Receipt) { r.Sub = "00000000001" },
	} {
		t.Run(name, func(t *testing.T) {
			r := sample()
			edit(r)
			got, err := Append([]byte("x"), r)
			if err == nil || string(got) != "x" {
				t.Errorf("got %q, %v; want a refusal and dst as it was", got, err)
			}
			m := pdu.Message{}
			if err := Fill(&m, r); err == nil || m.ShortMessage != nil || m.TLVs != nil {
				t.Errorf("Fill: %v, message %+v; want a refusal and an untouched message", err, m)
			}
		})
	}
}

func TestEveryStateIsReadAsWritten(t *testing.T) {
	for s := pdu.StateScheduled; s <= pdu.StateSkipped; s++ {
		r := sample()
		r.MessageState = s
		var m pdu.Message
		if err := Fill(&m, r); err != nil {
			t.Fatal(err)
		}
		for _, tlvs := range []pdu.TLVs{m.TLVs, nil} { // with both TLVs, and from the text alone
			m.TLVs = tlvs
			got, err := Parse(&m)
			if err != nil {
				t.Fatal(err)
			}
			if got.MessageState != s || got.State != StateText(s) || got.Stat != got.State || len(got.State) != 7 {
				t.Errorf("%v: read as %v, %s", s, got.MessageState, got.State)
			}
			if len(got.IDs) != 1 || got.ID != r.ID || got.Text != r.Text[:20] {
				t.Errorf("%v: got %+v", s, got)
			}
		}
		intermediate := m.ESMClass == pdu.ESMTypeIntermediate
		if want := s == pdu.StateEnroute || s == pdu.StateScheduled; intermediate != want {
			t.Errorf("%v: intermediate notification %v, want %v", s, intermediate, want)
		}
	}
}

func TestTime(t *testing.T) {
	paris := time.FixedZone("CET", 3600)
	for date, want := range map[string]time.Time{
		"2611242300":     time.Date(2026, 11, 24, 23, 0, 0, 0, paris),
		"261124230012":   time.Date(2026, 11, 24, 23, 0, 12, 0, paris),
		"20261124230012": time.Date(2026, 11, 24, 23, 0, 12, 0, paris),
	} {
		if got, err := Time(date, paris); err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v; want %v", date, got, err, want)
		}
	}
	for _, date := range []string{"", "ND", "26112423", "2611312561", "26-11-24 23:00"} {
		if got, err := Time(date, paris); err == nil {
			t.Errorf("%q: got %v, want an error", date, got)
		}
	}
	if got := FormatDate(time.Date(2026, 11, 24, 23, 0, 12, 0, paris)); got != "2611242300" {
		t.Errorf("FormatDate: %s", got)
	}
}

// FuzzParse: no panic; what can be read can be written, and is read again as it was.
func FuzzParse(f *testing.F) {
	for _, d := range readDialects(f) {
		payload, _ := d.msg.TLVs.Get(pdu.TagMessagePayload)
		id, _ := d.msg.TLVs.Get(pdu.TagReceiptedMessageID)
		state, _ := d.msg.TLVs.Get(pdu.TagMessageState)
		f.Add(uint8(d.msg.ESMClass), append(d.msg.ShortMessage, payload...), id, state)
	}
	f.Fuzz(func(t *testing.T, esm uint8, text, id, state []byte) {
		m := pdu.Message{ESMClass: pdu.ESMClass(esm), ShortMessage: text}
		if id != nil {
			m.TLVs.Add(pdu.TagReceiptedMessageID, id)
		}
		if state != nil {
			m.TLVs.Add(pdu.TagMessageState, state)
		}
		r, err := Parse(&m)
		if is := IsReceipt(&m); is == errors.Is(err, ErrNotReceipt) {
			t.Fatalf("IsReceipt %v, Parse: %v", is, err)
		}
		if err != nil {
			return
		}
		if len(r.IDs) == 0 || r.ID == "" || r.ID != r.IDs[0] || r.State != StateText(r.MessageState) {
			t.Fatalf("inconsistent receipt %+v", r)
		}
		out, err := Append(nil, r)
		if err != nil {
			return // an id or a date that strict output refuses
		}
		again, err := Parse(&pdu.Message{ESMClass: pdu.ESMTypeReceipt, ShortMessage: out})
		if err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		third, err := Append(nil, again)
		if err != nil || string(third) != string(out) {
			t.Fatalf("not stable:\n%q\n%q, %v", out, third, err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	text, err := Format(sample())
	if err != nil {
		b.Fatal(err)
	}
	m := &pdu.Message{ESMClass: pdu.ESMTypeReceipt, ShortMessage: []byte(text)}
	SetTLVs(&m.TLVs, sample())
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Parse(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIsReceiptOrdinary(b *testing.B) {
	m := &pdu.Message{ShortMessage: []byte("The quick brown fox jumps over the lazy dog at 10:30.")}
	b.ReportAllocs()
	for b.Loop() {
		if IsReceipt(m) {
			b.Fatal("taken for a receipt")
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	r, buf := sample(), make([]byte, 0, 200)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Append(buf, r); err != nil {
			b.Fatal(err)
		}
	}
}
