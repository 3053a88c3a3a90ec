package smscsim_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smscsim"
	"jasmind/internal/smstext"
)

func TestMessageIsKeptAsItCame(t *testing.T) {
	sim := start(t, smscsim.Config{IDStart: 41})
	e := connect(t, sim, esmeOptions{})
	m := hello("4479")
	m.ServiceType, m.ProtocolID, m.PriorityFlag, m.DataCoding = "CMT", 1, 2, pdu.CodingUCS2
	m.ShortMessage = []byte{0x20, 0xAC}
	m.ValidityPeriod = "000001000000000R"
	m.TLVs.SetUint16(pdu.TagUserMessageReference, 7)
	m.TLVs.Set(0x1401, []byte{1, 2, 3})
	resp := e.do(t, &pdu.SubmitSM{Message: m})
	if id := resp.PDU.(*pdu.SubmitSMResp).MessageID; id != "41" {
		t.Errorf("message_id %q, want 41", id)
	}
	got := wait(t, sim, 1, smscsim.Filter{})[0]
	raw, err := pdu.Append(nil, pdu.StatusOK, resp.Header.Sequence, &pdu.SubmitSM{Message: m})
	if err != nil {
		t.Fatal(err)
	}
	if time.Since(got.At) > time.Minute {
		t.Errorf("at %s", got.At)
	}
	got.At = time.Time{}
	want := smscsim.Message{
		N: 1, ID: "41", Account: "smppclient1", Session: 1, Operation: "submit_sm", Sequence: resp.Header.Sequence,
		Status: "ESME_ROK", Answered: true, State: "DELIVRD", From: "shop", FromTON: 5, To: "4479", ToTON: 1, ToNPI: 1,
		Text: "€", ServiceType: "CMT", ProtocolID: 1, PriorityFlag: 2, ValidityPeriod: "000001000000000R", DataCoding: 8,
		ShortMessage: "20ac", TLVs: []smscsim.TLV{{Tag: "user_message_reference", Value: "0007"}, {Tag: "0x1401", Value: "010203"}},
		Raw: hex.EncodeToString(raw),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

func TestWaitAndFilters(t *testing.T) {
	sim := start(t, smscsim.Config{AnyAccount: true, Behaviour: smscsim.Behaviour{
		Rules: []smscsim.Rule{{To: "9", Answer: &smscsim.Answer{Status: "rinvdstadr"}}}}})
	e := connect(t, sim, esmeOptions{})
	other := connect(t, sim, esmeOptions{bind: pdu.Bind{SystemID: "other", Password: "any"}})
	type result struct {
		list []smscsim.Message
		err  error
	}
	waited := make(chan result, 1)
	go func() {
		list, err := sim.Wait(context.Background(), 2, smscsim.Filter{To: "44*"})
		waited <- result{list, err}
	}()
	e.submit(t, hello("441"))
	e.submit(t, hello("331"))
	if st := e.do(t, &pdu.SubmitSM{Message: hello("911")}).Header.Status; st != pdu.StatusInvDstAdr {
		t.Errorf("status %s, want ESME_RINVDSTADR", st)
	}
	m := hello("442")
	m.ShortMessage = []byte("good bye")
	other.submit(t, m)
	r := <-waited
	if r.err != nil || len(r.list) != 2 || r.list[0].To != "441" || r.list[1].To != "442" {
		t.Errorf("Wait: %+v, %v", r.list, r.err)
	}
	for _, c := range []struct {
		name string
		f    smscsim.Filter
		want string
	}{
		{"all, in order of arrival", smscsim.Filter{}, "441 331 911 442"},
		{"a whole address", smscsim.Filter{To: "331"}, "331"},
		{"an address is not a prefix", smscsim.Filter{To: "33"}, ""},
		{"part of the text", smscsim.Filter{Text: "bye"}, "442"},
		{"account", smscsim.Filter{Account: "other"}, "442"},
		{"session", smscsim.Filter{Session: 1}, "441 331 911"},
		{"status", smscsim.Filter{Status: "ESME_RINVDSTADR"}, "911"},
		{"after", smscsim.Filter{After: 2}, "911 442"},
		{"source", smscsim.Filter{From: "sh*", To: "4*"}, "441 442"},
		{"operation", smscsim.Filter{Operation: "data_sm"}, ""},
		{"since long ago", smscsim.Filter{Since: time.Now().Add(-time.Hour), To: "331"}, "331"},
		{"since the future", smscsim.Filter{Since: time.Now().Add(time.Hour)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, m := range sim.Messages(c.f) {
				got = append(got, m.To)
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
			if n := sim.Count(c.f); n != len(got) {
				t.Errorf("Count %d, want %d", n, len(got))
			}
		})
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("enough"))
	if list, err := sim.Wait(ctx, 9, smscsim.Filter{To: "44*"}); err == nil || err.Error() != "enough" || len(list) != 2 {
		t.Errorf("Wait past its context: %d, %v", len(list), err)
	}
}

func TestLongMessagesAreJoined(t *testing.T) {
	text := strings.Repeat("0123456789 € ", 30)
	for _, c := range []struct {
		method string
		o      smstext.Options
	}{
		{"udh", smstext.Options{Reference: 7}},
		{"udh16", smstext.Options{Reference: 700, Wide: true}},
		{"sar", smstext.Options{Method: smstext.SAR, Reference: 9}},
	} {
		t.Run(c.method, func(t *testing.T) {
			sim := start(t, smscsim.Config{})
			e := connect(t, sim, esmeOptions{})
			parts, err := smstext.SplitText(text, 0, smstext.Strict, c.o)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for i := len(parts.List) - 1; i >= 0; i-- { // the last part first
				m := hello("4479")
				m.ShortMessage, m.ESMClass, m.TLVs = parts.List[i].UserData, parts.List[i].ESMClass, parts.List[i].TLVs
				ids = append(ids, e.submit(t, m))
				if i == 1 {
					half, _ := sim.Message(ids[0])
					if half.Text == text || len(half.Parts) != len(ids) {
						t.Errorf("incomplete: %d parts, text %q", len(half.Parts), half.Text)
					}
				}
			}
			e.submit(t, hello("4479"))
			list := wait(t, sim, 2, smscsim.Filter{Joined: true})
			if list[0].Text != text || len(list[0].Parts) != len(parts.List) || list[1].Text != "hello" {
				t.Errorf("joined: %+v", list)
			}
			if p := list[0].Parts[1].Part; p == nil || p.Method != c.method || p.Seq != 2 || p.Reference != c.o.Reference {
				t.Errorf("second part: %+v", p)
			}
			if m, ok := sim.Message(ids[1]); !ok || m.Text != text || len(m.Parts) != len(ids) || m.ID != ids[1] {
				t.Errorf("by id: %v %+v", ok, m)
			}
		})
	}
}

func TestDataSMAndSubmitMulti(t *testing.T) {
	sim := start(t, smscsim.Config{Behaviour: smscsim.Behaviour{
		Rules: []smscsim.Rule{{To: "9", Answer: &smscsim.Answer{Status: "ESME_RINVDSTADR"}}}}})
	e := connect(t, sim, esmeOptions{})
	data := &pdu.DataSM{Dest: pdu.Address{Addr: "4479"}}
	data.TLVs.Set(pdu.TagMessagePayload, []byte("payload"))
	resp := e.do(t, data)
	if m, ok := sim.Message(resp.PDU.(*pdu.DataSMResp).MessageID); !ok || m.Text != "payload" || m.Operation != "data_sm" {
		t.Errorf("data_sm: %v %+v", ok, m)
	}
	multi := &pdu.SubmitMulti{Message: asking(hello("")), Dests: []pdu.DestAddress{
		{Address: pdu.Address{Addr: "441"}}, {Address: pdu.Address{TON: 1, Addr: "911"}}, {DistributionList: "staff"}}}
	resp = e.do(t, multi)
	got := resp.PDU.(*pdu.SubmitMultiResp)
	want := []pdu.UnsuccessSME{{Address: pdu.Address{TON: 1, Addr: "911"}, Status: pdu.StatusInvDstAdr}}
	if resp.Header.Status != pdu.StatusOK || !reflect.DeepEqual(got.Unsuccess, want) {
		t.Errorf("submit_multi_resp %s %+v", resp.Header.Status, got)
	}
	var to []string
	for _, m := range sim.Messages(smscsim.Filter{Operation: "submit_multi"}) {
		to = append(to, m.To+" "+m.Status+" "+m.ID)
	}
	if want := []string{"441 ESME_ROK " + got.MessageID, "911 ESME_RINVDSTADR ", "staff ESME_ROK " + got.MessageID}; !reflect.DeepEqual(to, want) {
		t.Errorf("kept %q, want %q", to, want)
	}
	if a, b := e.receipt(t).Source.Addr, e.receipt(t).Source.Addr; a != "441" || b != "staff" {
		t.Errorf("receipts from %q and %q", a, b)
	}
	multi.Dests = multi.Dests[1:2]
	if resp = e.do(t, multi); resp.Header.Status != pdu.StatusInvDstAdr {
		t.Errorf("all refused: %s", resp.Header.Status)
	}
}

func TestQueryCancelReplace(t *testing.T) {
	hour := smscsim.Exactly(time.Hour)
	sim := start(t, smscsim.Config{AnyAccount: true, Behaviour: smscsim.Behaviour{
		Rules: []smscsim.Rule{
			{To: "44", Receipt: &smscsim.Receipt{Delay: &hour}},
			{To: "33", Receipt: &smscsim.Receipt{State: "UNDELIV", Err: "011"}},
		}}})
	e := connect(t, sim, esmeOptions{})
	slow, done := e.submit(t, hello("441")), e.submit(t, hello("331"))
	query := func(id string) *pdu.QuerySMResp {
		t.Helper()
		resp := e.do(t, &pdu.QuerySM{MessageID: id, Source: pdu.Address{Addr: "shop"}})
		if resp.Header.Status != pdu.StatusOK {
			t.Fatalf("query_sm_resp %s", resp.Header.Status)
		}
		return resp.PDU.(*pdu.QuerySMResp)
	}
	if r := query(slow); r.MessageState != pdu.StateEnroute || r.FinalDate != "" {
		t.Errorf("under way: %+v", r)
	}
	r := query(done)
	if _, err := pdu.ParseTime(r.FinalDate, time.Now()); err != nil || r.FinalDate == "" || r.MessageState != pdu.StateUndeliverable || r.ErrorCode != 11 {
		t.Errorf("done: %+v, %v", r, err)
	}
	status := func(name string, p pdu.PDU, want pdu.Status) {
		t.Helper()
		if got := e.do(t, p).Header.Status; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	shop := pdu.Address{Addr: "shop"}
	status("query of nothing", &pdu.QuerySM{MessageID: "none"}, pdu.StatusInvMsgID)
	status("query from another source", &pdu.QuerySM{MessageID: slow, Source: pdu.Address{Addr: "x"}}, pdu.StatusInvMsgID)
	status("replace when done", &pdu.ReplaceSM{MessageID: done, Source: shop}, pdu.StatusReplaceFail)
	status("replace", &pdu.ReplaceSM{MessageID: slow, Source: shop, ShortMessage: []byte("new")}, pdu.StatusOK)
	if m, _ := sim.Message(slow); m.Text != "new" || !m.Replaced || m.State != "ENROUTE" {
		t.Errorf("replaced: %+v", m)
	}
	status("cancel when done", &pdu.CancelSM{MessageID: done, Source: shop}, pdu.StatusCancelFail)
	status("cancel", &pdu.CancelSM{MessageID: slow, Source: shop}, pdu.StatusOK)
	status("cancel again", &pdu.CancelSM{MessageID: slow, Source: shop}, pdu.StatusCancelFail)
	if r := query(slow); r.MessageState != pdu.StateDeleted {
		t.Errorf("cancelled: %s", r.MessageState)
	}
	slow = e.submit(t, hello("441"))
	status("cancel by address", &pdu.CancelSM{Source: shop, Dest: pdu.Address{Addr: "441"}}, pdu.StatusOK)
	if r := query(slow); r.MessageState != pdu.StateDeleted {
		t.Errorf("cancelled by address: %s", r.MessageState)
	}
	other := connect(t, sim, esmeOptions{bind: pdu.Bind{SystemID: "other"}})
	if st := other.do(t, &pdu.QuerySM{MessageID: slow}).Header.Status; st != pdu.StatusInvMsgID {
		t.Errorf("another account's message: %s", st)
	}
	if err := sim.AddRule(smscsim.Rule{Operations: []string{"query_sm"}, Answer: &smscsim.Answer{Status: "ESME_RQUERYFAIL"}}); err != nil {
		t.Fatal(err)
	}
	status("query by rule", &pdu.QuerySM{MessageID: slow}, pdu.StatusQueryFail)
}

func TestMemoryIsBounded(t *testing.T) {
	sim := start(t, smscsim.Config{MaxMessages: 1500})
	e := connect(t, sim, esmeOptions{})
	var first, last string
	for i := range 3100 {
		last = e.submit(t, hello(fmt.Sprint(i)))
		if i == 0 {
			first = last
		}
	}
	s := sim.Stats()
	if s.Kept != 1500 || s.Forgotten != 1600 || s.Submitted != 3100 || s.Accepted != 3100 {
		t.Errorf("stats %+v", s)
	}
	if _, ok := sim.Message(first); ok {
		t.Error("the first message is still there")
	}
	if m, ok := sim.Message(last); !ok || m.To != "3099" {
		t.Errorf("last: %v %+v", ok, m)
	}
	list := sim.Messages(smscsim.Filter{})
	if len(list) != 1500 || list[0].To != "1600" {
		t.Errorf("%d kept, the first to %s", len(list), list[0].To)
	}
	sim.Reset()
	if s := sim.Stats(); s.Kept != 0 || s.Submitted != 0 || s.Sessions != 1 {
		t.Errorf("after the reset: %+v", s)
	}
	e.submit(t, hello("1"))
	if m := wait(t, sim, 1, smscsim.Filter{})[0]; m.N != 3101 {
		t.Errorf("numbers begin anew: %d", m.N)
	}
}

func TestWarnings(t *testing.T) {
	sim := start(t, smscsim.Config{})
	e := connect(t, sim, esmeOptions{})
	bad := pdu.Message{Source: pdu.Address{TON: 5, Addr: "averylongname"}, Dest: pdu.Address{TON: 1, Addr: "44-79"},
		ESMClass: pdu.ESMUDHI, PriorityFlag: 9, DataCoding: 8, ShortMessage: []byte{200, 1, 2}}
	e.submit(t, bad)
	e.submit(t, hello("4479"))
	list := wait(t, sim, 2, smscsim.Filter{})
	all := strings.Join(list[0].Warnings, "\n")
	for _, want := range []string{"UDHI", "priority_flag", "odd number", "11 characters", "44-79"} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning about %s in:\n%s", want, all)
		}
	}
	if list[1].Warnings != nil {
		t.Errorf("good message: %q", list[1].Warnings)
	}
}
