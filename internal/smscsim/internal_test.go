package smscsim

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/smpp/pdu"
)

func TestScheduleRunsInOrderAndOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.run(ctx); close(done) }()
		begin := time.Now()
		var got, want []int
		for i := range 200 {
			d := rand.N(50)
			want = append(want, d*1000+i)
			s.after(time.Duration(d)*time.Millisecond, func() {
				if late := time.Since(begin) - time.Duration(d)*time.Millisecond; late != 0 {
					t.Errorf("%s late", late)
				}
				got = append(got, d*1000+i)
			})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("order %v", got)
		}
		s.after(time.Hour, func() { got = nil })
		s.flush()
		synctest.Wait()
		if got != nil || time.Since(begin) > 2*time.Second {
			t.Error("flush does not hurry")
		}
		cancel()
		<-done
	})
}

func TestLedgerAgainstAMap(t *testing.T) {
	l := newLedger()
	seen, messages := map[uint64]int{}, 0
	for range 5000 {
		n := rand.Uint64N(3 * chunkBits)
		if rand.IntN(2) == 0 {
			n = rand.Uint64N(300)
		}
		seen[n]++
		messages++
		l.note(&pdu.Message{ShortMessage: fmt.Appendf(nil, "#r:%d#", n)})
	}
	for _, c := range []struct{ first, expect uint64 }{{0, 3 * chunkBits}, {0, 100}, {50, 70_000}, {chunkBits - 5, 10}, {4 * chunkBits, 7}} {
		rep, _ := l.report("r", c.first, c.expect)
		var missing uint64
		var ranges [][2]uint64
		for n := c.first; n < c.first+c.expect; n++ {
			if seen[n] > 0 {
				continue
			}
			missing++
			if k := len(ranges); k > 0 && ranges[k-1][1] == n-1 {
				ranges[k-1][1] = n
			} else {
				ranges = append(ranges, [2]uint64{n, n})
			}
		}
		more := len(ranges) > maxRanges
		ranges = append([][2]uint64{}, ranges[:min(len(ranges), maxRanges)]...)
		if rep.Missing != missing || !reflect.DeepEqual(rep.Ranges, ranges) || rep.MoreRanges != more {
			t.Errorf("%+v: %d missing, want %d; ranges equal: %v", c, rep.Missing, missing, reflect.DeepEqual(rep.Ranges, ranges))
		}
		if rep.Messages != uint64(messages) || rep.Distinct != uint64(len(seen)) || rep.Duplicates != uint64(messages-len(seen)) {
			t.Errorf("%+v", rep)
		}
	}
}

func TestLedgerIsBounded(t *testing.T) {
	l := newLedger()
	for i := range maxChunks + 10 {
		l.note(&pdu.Message{ShortMessage: fmt.Appendf(nil, "#r:%d#", uint64(i)*chunkBits)})
	}
	if l.chunks != maxChunks || l.lost != 10 {
		t.Errorf("%d chunks, %d lost", l.chunks, l.lost)
	}
	for i := range maxRuns + 5 {
		l.note(&pdu.Message{ShortMessage: fmt.Appendf(nil, "#r%d:1#", i)})
	}
	if len(l.runs) != maxRuns || len(l.order) != maxRuns || l.runs["r"] != nil || l.runs["r1004"] == nil || l.chunks != maxRuns {
		t.Errorf("%d runs, %d in order, %d chunks", len(l.runs), len(l.order), l.chunks)
	}
}

func TestParseTag(t *testing.T) {
	for text, want := range map[string]string{
		"#a:1#": "a 1", "#a-b_c.9:007# rest": "a-b_c.9 7", "#" + strings.Repeat("x", 32) + ":1#": strings.Repeat("x", 32) + " 1",
		"#a:999999999999999999#": "a 999999999999999999",
		"":                       "", "#": "", "#:1#": "", "#a:#": "", "#a:1": "", "#a1#": "", "a:1#": "", "#a b:1#": "", "#a:1x#": "",
		"#" + strings.Repeat("x", 33) + ":1#": "", "#a:1234567890123456789#": "",
	} {
		got := ""
		if name, n, ok := parseTag([]byte(text)); ok {
			got = fmt.Sprintf("%s %d", name, n)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	long := append([]byte{5, 0, 3, 1, 2, 1}, "#a:5#x"...)
	if name, n, ok := parseTag(tagOctets(&pdu.Message{ESMClass: pdu.ESMUDHI, ShortMessage: long}, nil)); !ok || n != 5 || string(name) != "a" {
		t.Error("behind a header")
	}
}

func TestStoreIsBoundedByOctets(t *testing.T) {
	s := newStore(1_000_000, 1<<20)
	frame := make([]byte, 1000)
	for i := range 5000 {
		s.add(record{id: fmt.Sprint(i)}, frame)
	}
	kept, octets, evicted := s.size()
	if octets > 1<<20+2000 || kept+int(evicted) != 5000 || kept < 700 || len(s.byID) != kept {
		t.Errorf("%d kept with %d octets, %d evicted, %d ids", kept, octets, evicted, len(s.byID))
	}
	n := 0
	s.each(1, func(r *record) bool {
		if want := fmt.Sprint(r.n - 1); r.id != want || len(r.raw) != 1000 {
			t.Errorf("record %d has id %s", r.n, r.id)
		}
		n++
		return true
	})
	if n != kept {
		t.Errorf("each saw %d of %d", n, kept)
	}
}

func TestConfigFaults(t *testing.T) {
	cfg := Config{SystemID: strings.Repeat("x", 16), InterfaceVersion: "9", IDFormat: "roman", IDWidth: 65, ReceiptWindow: -1, Log: "loud",
		ReceiptRetry: -1, MaxOctets: 5, TLSKey: "x", Accounts: []Account{{SystemID: "a", Window: -1, WindowMode: "x", Throughput: -1}, {SystemID: "a"}},
		Behaviour: Behaviour{Reorder: -1}}
	err := cfg.Validate()
	if err == nil {
		t.Fatal("no fault was found")
	}
	for _, want := range []string{"system_id: ", "interface_version", "id_format", "id_width: 65", "receipt_window: -1", "log: ", "receipt_retry", "max_octets: 5",
		"tls_cert", "accounts[0].window: -1", "accounts[0].window_mode", "accounts[0].throughput", `accounts[1].system_id: "a" is there twice`, "reorder: -1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in:\n%v", want, err)
		}
	}
	if err := New(cfg).Start(t.Context()); err == nil {
		t.Error("it starts")
	}
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
}

func FuzzParseBehaviour(f *testing.F) {
	f.Add([]byte(`{"throughput":5,"reorder":3,"reorder_wait":"1s","mute_enquire_link":true,"receipt":{"state":"UNDELIV","delay":"-1s"},
		"rules":[{"to":"44","to_regex":"^4","skip":1,"every":2,"probability":0.5,"times":3,"operations":["submit_sm"],
		"answer":{"status":"88","delay":"1ms..2ms","action":"malformed","malformed":"cut"},"receipt":{"intermediate":["ENROUTE"],"esm_class":0}}]}`))
	f.Add([]byte(`{"rules":[{"answer":{"throughput":1e-300}}]}`))
	f.Add([]byte(`{"receipt":{"id_width":64,"template":"{id}","form":"data_sm","tlv_id":"HEX"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := ParseBehaviour(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(b)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		b2, err := ParseBehaviour(again)
		if err != nil {
			t.Fatalf("%s became %s: %v", text, again, err)
		}
		third, err := json.Marshal(b2)
		if err != nil || string(third) != string(again) {
			t.Fatalf("%s became %s: %v", again, third, err)
		}
		c, err := compile(b)
		if err != nil {
			t.Fatal(err)
		}
		m := pdu.Message{Source: pdu.Address{Addr: "1"}, Dest: pdu.Address{Addr: "44"}, ShortMessage: []byte("x"), RegisteredDelivery: 1}
		d := c.decide(&request{op: opSubmitSM, account: "a", to: "44", from: "1", message: &m})
		e := lifetime(&m, time.Now(), d.receipt.delay.pick(), d.receipt)
		j := job{plan: d.receipt, id: "1", number: 1, source: m.Source, dest: m.Dest, submitted: time.Now(), state: e.state}
		if p, err := j.build(time.Now()); err != nil {
			t.Fatalf("receipt of %s: %v", again, err)
		} else if _, err := pdu.Append(nil, 0, 1, p); err != nil {
			t.Fatalf("receipt of %s: %v", again, err)
		}
	})
}

func FuzzParseConfig(f *testing.F) {
	f.Add("smpp: ':0'\naccounts:\n- {system_id: a, password: b}\nbehaviour: {rules: [{answer: {delay: 1s}}]}\n")
	f.Add("behaviour: {receipt: {delay: 0, esm_class: 4}}\nid_start: 18446744073709551615\n")
	f.Fuzz(func(t *testing.T, text string) {
		cfg := Defaults()
		if parseConfig(strings.NewReader(text), &cfg) == nil && cfg.Validate() == nil {
			cfg.MaxMessages = min(cfg.MaxMessages, 1000)
			New(cfg)
		}
	})
}

func FuzzInjectedMO(f *testing.F) {
	f.Add([]byte(`{"from":"1","to":"2","text":"hi €","split":"udh16","order":[1],"tlvs":[{"tag":"0x1401","value":"00"}]}`))
	f.Add([]byte(`{"hex":"0500030102","esm_class":64,"pdu":"data_sm","data_coding":8,"timeout":"1s"}`))
	f.Add([]byte(`{"raw":"00000010 80000004"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var mo MO
		if strictJSON(text, &mo) != nil {
			return
		}
		list, err := mo.pdus()
		if err != nil {
			return
		}
		for _, p := range list {
			if _, err := pdu.Append(nil, 0, 1, p); err != nil && mo.Raw == "" {
				t.Fatalf("%s: %v", text, err)
			}
		}
	})
}

func FuzzMessageView(f *testing.F) {
	for _, p := range []pdu.PDU{
		&pdu.SubmitSM{Message: pdu.Message{ShortMessage: []byte("hi"), Dest: pdu.Address{Addr: "1"}}},
		&pdu.DataSM{TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("x")}}},
		&pdu.SubmitMulti{Dests: []pdu.DestAddress{{DistributionList: "x"}}},
	} {
		frame, err := pdu.Append(nil, 0, 1, p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		var d decoder
		r := record{n: 1, raw: frame, dest: 3}
		m := d.message(&r)
		l := newLedger()
		if body, err := d.read(&r); err == nil {
			l.note(body)
			describe(d.header, &pdu.SubmitSM{Message: *body})
		}
		s := Filter{Joined: true, Text: "x"}.scanner()
		s.take(&r)
		if _, err := json.Marshal(m); err != nil {
			t.Fatal(err)
		}
		for _, how := range append(deformities, editDrop) {
			if len(frame) >= pdu.HeaderLen {
				deform(nil, frame, how)
			}
		}
	})
}

func TestReceiptIDThatNoMessageHas(t *testing.T) {
	for _, form := range idFormats {
		id, number := newIDs(form, 0, 0).next()
		if got := receiptID(id, number, IDOther, 0); got == id || got == "" {
			t.Errorf("%s: id %s became %s", form, id, got)
		}
	}
}
