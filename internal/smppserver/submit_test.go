package smppserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/mt"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/smpptest"
	"jasmind/internal/sms"
)

// every Reason has a status, by field where one is at fault, and a script's own wins.
func TestEveryReasonHasAStatus(t *testing.T) {
	want := map[sms.Reason]string{
		sms.ReasonInvalid: "ESME_RSYSERR", sms.ReasonAuthentication: "ESME_RINVPASWD", sms.ReasonAuthorization: "ESME_RINVSYSID",
		sms.ReasonValueFilter: "ESME_RSYSERR", sms.ReasonNoRoute: "ESME_RINVDSTADR", sms.ReasonNotBound: "ESME_RSUBMITFAIL",
		sms.ReasonThrottled: "ESME_RTHROTTLED", sms.ReasonNoCredit: "ESME_RSYSERR", sms.ReasonIntercepted: "ESME_RSYSERR",
		sms.ReasonInterceptor: "ESME_RSYSERR", sms.ReasonConnector: "ESME_RSYSERR", sms.ReasonQueueFull: "ESME_RMSGQFUL",
		sms.ReasonUnavailable: "ESME_RSYSERR", sms.ReasonInternal: "ESME_RSYSERR",
	}
	for _, r := range sms.Reasons() {
		if _, ok := statusOf[r]; !ok {
			t.Errorf("%s has no status", r)
		}
		if got := status(fmt.Errorf("wrapped: %w", &sms.Error{Reason: r})).String(); got != want[r] {
			t.Errorf("%s: got %s, want %s", r, got, want[r])
		}
		if got := status(&sms.Error{Reason: r, Field: "source_addr", Override: &sms.StatusPair{SMPP: pdu.StatusRxRAppn}}); got != pdu.StatusRxRAppn {
			t.Errorf("%s with a script's status: got %s", r, got)
		}
	}
	for field, want := range map[string]pdu.Status{"destination_addr": pdu.StatusInvDstAdr, "source_addr": pdu.StatusInvSrcAdr, "priority_flag": pdu.StatusInvPrtFlg,
		"content": pdu.StatusSysErr, "short_message": pdu.StatusInvMsgLen, "validity_period": pdu.StatusInvExpiry, "schedule_delivery_time": pdu.StatusInvSched, "service_type": pdu.StatusInvSerTyp} {
		for _, r := range []sms.Reason{sms.ReasonInvalid, sms.ReasonValueFilter} {
			if got := status(&sms.Error{Reason: r, Field: field}); got != want {
				t.Errorf("%s of %s: got %s, want %s", r, field, got, want)
			}
		}
	}
	if status(nil) != pdu.StatusOK || status(errors.New("disk")) != pdu.StatusSysErr {
		t.Error("no error and an error of ours")
	}
}

func TestWhatIsSubmittedPassesUntouched(t *testing.T) {
	full := func() pdu.Message {
		return pdu.Message{ServiceType: "WAP", Source: pdu.Address{TON: 5, NPI: 3, Addr: "ACME"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: "336"}, ESMClass: 0x43, ProtocolID: 0x7F,
			PriorityFlag: 3, ReplaceIfPresent: 1, DataCoding: 0xF5, SMDefaultMsgID: 9, ShortMessage: []byte("\x06\x08\x04\x01\x02\x02\x01 part"),
			TLVs: pdu.TLVs{{Tag: 0x1400, Value: []byte{1, 2}}, {Tag: pdu.TagSARMsgRefNum, Value: []byte{0, 7}}, {Tag: 0x1400, Value: nil}}}
	}
	for _, tt := range []struct {
		name string
		edit func(*pdu.Message)
		want func(*mt.Message)
	}{
		{"nothing asked", func(*pdu.Message) {}, nil},
		{"receipts", func(m *pdu.Message) { m.RegisteredDelivery = 1 }, func(m *mt.Message) { m.Report = mt.Report{What: sms.ReportFinal, SystemID: "foo"} }},
		{"receipts of failures, and acknowledgements", func(m *pdu.Message) { m.RegisteredDelivery = 0x1E }, func(m *mt.Message) { m.Report = mt.Report{What: sms.ReportFinal, SystemID: "foo"} }},
		{"acknowledgements alone are no receipts", func(m *pdu.Message) { m.RegisteredDelivery = 0x0C }, nil},
		{"intermediate notifications alone", func(m *pdu.Message) { m.RegisteredDelivery = 0x10 }, func(m *mt.Message) { m.Report = mt.Report{What: sms.ReportFinal, SystemID: "foo"} }},
		{"a payload of 64 KiB less one", func(m *pdu.Message) {
			m.ShortMessage = nil
			m.TLVs.Add(pdu.TagMessagePayload, bytes.Repeat([]byte("x"), 65535))
		}, nil},
		{"a short_message of 255 octets", func(m *pdu.Message) { m.ShortMessage = bytes.Repeat([]byte("y"), 255) }, nil},
		{"a schedule", func(m *pdu.Message) { m.ScheduleDeliveryTime = "000001000000000R" }, nil},
		{"no source", func(m *pdu.Message) { m.Source = pdu.Address{} }, func(m *mt.Message) { m.Set &^= mt.FieldSource }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, Config{})
			e := w.bind(pdu.Bind{})
			sm := full()
			tt.edit(&sm)
			want := &mt.Message{UID: "u_foo", GID: "g1", Origin: sms.OriginSMPP, PDU: sm, Set: mt.FieldCoding | mt.FieldPriority | mt.FieldSource}
			if tt.want != nil {
				tt.want(want)
			}
			st, resp := e.do(t, &pdu.SubmitSM{Message: sm})
			if r, ok := resp.(*pdu.SubmitSMResp); st != pdu.StatusOK || !ok || r.MessageID != "id-"+string(sm.ShortMessage[:min(len(sm.ShortMessage), 20)]) {
				t.Fatalf("got %s %+v", st, resp)
			}
			got := w.messages()[0]
			if !same(got.PDU, want.PDU) {
				t.Errorf("PDU\ngot  %.300q\nwant %.300q", fmt.Sprintf("%+v", got.PDU), fmt.Sprintf("%+v", want.PDU))
			}
			if got.UID != want.UID || got.GID != want.GID || got.User == nil || got.Origin != want.Origin || got.Set != want.Set || got.Report != want.Report || got.ID != "" {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func same(a, b pdu.Message) bool {
	x, err1 := pdu.Append(nil, 0, 1, &pdu.SubmitSM{Message: a})
	y, err2 := pdu.Append(nil, 0, 1, &pdu.SubmitSM{Message: b})
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

func TestReceiptsOnSuccess(t *testing.T) {
	w := newWorld(t, Config{Accepted: true})
	e := w.bind(pdu.Bind{})
	m := submitSM("336", "x")
	m.RegisteredDelivery = 1
	e.do(t, m)
	if got := w.messages()[0].Report; got.What != sms.ReportSubmit|sms.ReportFinal {
		t.Errorf("got %+v", got)
	}
}

func TestTimes(t *testing.T) {
	w := newWorld(t, Config{})
	e := w.bind(pdu.Bind{})
	for _, tt := range []struct {
		validity, schedule string
		want               pdu.Status
	}{
		{"000000010000000R", "", pdu.StatusOK},
		{"", "000000010000000R", pdu.StatusOK},
		{"000101000000000+", "", pdu.StatusInvExpiry}, // in the year 2000
		{"9999999999999999", "", pdu.StatusInvExpiry},
		{"", "tomorrow morning", pdu.StatusInvSched}, // 16 octets all the same
	} {
		m := submitSM("336", "x")
		m.ValidityPeriod, m.ScheduleDeliveryTime = tt.validity, tt.schedule
		if st, _ := e.do(t, m); st != tt.want {
			t.Errorf("validity %q, schedule %q: got %s, want %s", tt.validity, tt.schedule, st, tt.want)
		}
	}
	got := w.messages()
	if len(got) != 2 || got[0].Set&mt.FieldValidity == 0 || got[0].Validity != time.Hour || got[1].Set&mt.FieldValidity != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestAuthorisations(t *testing.T) {
	auth, filter := account.SectionAuthorization, account.SectionValueFilter
	receipts := func(m *pdu.SubmitSM) { m.RegisteredDelivery = 2 }
	for _, tt := range []struct {
		name string
		user []func(*account.User)
		edit func(*pdu.SubmitSM)
		want pdu.Status
	}{
		{"smpps_send", []func(*account.User){credential(t, auth, "smpps_send", "no")}, nil, pdu.StatusInvSysID},
		{"http_send is another door's", []func(*account.User){credential(t, auth, "http_send", "no")}, nil, pdu.StatusOK},
		{"dlr_level", []func(*account.User){credential(t, auth, "dlr_level", "no")}, receipts, pdu.StatusInvSysID},
		{"dlr_level without receipts", []func(*account.User){credential(t, auth, "dlr_level", "no")}, nil, pdu.StatusOK},
		{"src_addr", []func(*account.User){credential(t, auth, "src_addr", "no")}, nil, pdu.StatusInvSysID},
		{"src_addr without a source", []func(*account.User){credential(t, auth, "src_addr", "no")}, func(m *pdu.SubmitSM) { m.Source.Addr = "" }, pdu.StatusOK},
		{"priority", []func(*account.User){credential(t, auth, "priority", "no")}, func(m *pdu.SubmitSM) { m.PriorityFlag = 1 }, pdu.StatusInvSysID},
		{"priority 0", []func(*account.User){credential(t, auth, "priority", "no")}, nil, pdu.StatusOK},
		{"validity_period", []func(*account.User){credential(t, auth, "validity_period", "no")}, func(m *pdu.SubmitSM) { m.ValidityPeriod = "000000010000000R" }, pdu.StatusInvSysID},
		{"schedule_delivery_time", []func(*account.User){credential(t, auth, "schedule_delivery_time", "no")}, func(m *pdu.SubmitSM) { m.ScheduleDeliveryTime = "000000010000000R" }, pdu.StatusInvSysID},
		{"filter of destinations", []func(*account.User){credential(t, filter, "dst_addr", "^33")}, func(m *pdu.SubmitSM) { m.Dest.Addr = "44" }, pdu.StatusInvDstAdr},
		{"filter of sources", []func(*account.User){credential(t, filter, "src_addr", "^BANK$")}, nil, pdu.StatusInvSrcAdr},
		{"filter of sources, the user's default", []func(*account.User){credential(t, filter, "src_addr", "^BANK$"), credential(t, account.SectionDefaultValue, "src_addr", "BANK")},
			func(m *pdu.SubmitSM) { m.Source.Addr = "" }, pdu.StatusOK},
		{"filter of priorities", nil, func(m *pdu.SubmitSM) { m.PriorityFlag = 4 }, pdu.StatusInvPrtFlg},
		{"filter of validities, in minutes", []func(*account.User){credential(t, filter, "validity_period", "^30$")}, func(m *pdu.SubmitSM) { m.ValidityPeriod = "000000003000000R" }, pdu.StatusOK},
		{"filter of validities", []func(*account.User){credential(t, filter, "validity_period", "^30$")}, func(m *pdu.SubmitSM) { m.ValidityPeriod = "000000010000000R" }, pdu.StatusInvExpiry},
		{"filter of content", []func(*account.User){credential(t, filter, "content", "^free")}, nil, pdu.StatusSysErr},
		{"filter of content, decoded, without its header", []func(*account.User){credential(t, filter, "content", "^héllo")}, func(m *pdu.SubmitSM) {
			m.ESMClass, m.DataCoding, m.ShortMessage = 0x40, 8, []byte("\x05\x00\x03\x01\x02\x01\x00h\x00\xe9\x00l\x00l\x00o")
		}, pdu.StatusOK},
		{"no destination", nil, func(m *pdu.SubmitSM) { m.Dest.Addr = "" }, pdu.StatusInvDstAdr},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, Config{}, tt.user...)
			m := submitSM("336", "hello")
			if tt.edit != nil {
				tt.edit(m)
			}
			if st, _ := w.bind(pdu.Bind{}).do(t, m); st != tt.want {
				t.Errorf("got %s, want %s", st, tt.want)
			}
			if n := len(w.messages()); (n == 1) != (tt.want == pdu.StatusOK) {
				t.Errorf("%d messages were taken", n)
			}
		})
	}
}

func TestDefaultSource(t *testing.T) {
	w := newWorld(t, Config{}, credential(t, account.SectionDefaultValue, "src_addr", "BANK"))
	m := submitSM("336", "x")
	m.Source = pdu.Address{}
	w.bind(pdu.Bind{}).do(t, m)
	if got := w.messages()[0]; got.PDU.Source.Addr != "BANK" || got.Set&mt.FieldSource == 0 {
		t.Errorf("got %+v", got)
	}
}

func TestDataSM(t *testing.T) {
	w := newWorld(t, Config{})
	e := w.bind(pdu.Bind{})
	d := &pdu.DataSM{ServiceType: "X", Source: pdu.Address{Addr: "ACME"}, Dest: pdu.Address{Addr: "336"}, ESMClass: 1, RegisteredDelivery: 1, DataCoding: 8,
		TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("hi")}, {Tag: pdu.TagQOSTimeToLive, Value: []byte{0, 0, 0, 90}}, {Tag: 0x1401, Value: []byte{7}}}}
	st, resp := e.do(t, d)
	if r, ok := resp.(*pdu.DataSMResp); st != pdu.StatusOK || !ok || r.MessageID == "" {
		t.Fatalf("got %s %+v", st, resp)
	}
	got := w.messages()[0]
	want := pdu.Message{ServiceType: "X", Source: d.Source, Dest: d.Dest, ESMClass: 1, RegisteredDelivery: 1, DataCoding: 8, ValidityPeriod: "000000000130000R",
		TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("hi")}, {Tag: 0x1401, Value: []byte{7}}}}
	if !same(got.PDU, want) || got.Validity != 90*time.Second || got.Report.What != sms.ReportFinal {
		t.Errorf("got  %+v\nwant %+v", got.PDU, want)
	}
}

func TestARequestThatFindsADefectIsAnsweredAndCostsNobodyElse(t *testing.T) {
	w := newWorld(t, Config{})
	w.answers(func(m *mt.Message) error {
		if string(m.PDU.ShortMessage) == "poison" {
			panic("poison")
		}
		return nil
	})
	e := w.bind(pdu.Bind{})
	for range 2 * maxWorkers {
		if st, _ := e.do(t, &pdu.SubmitSM{Message: pdu.Message{Dest: pdu.Address{Addr: "331"}, ShortMessage: []byte("poison")}}); st != pdu.StatusSysErr {
			t.Fatalf("got %s, want ESME_RSYSERR", st)
		}
	}
	if st, _ := e.do(t, &pdu.SubmitSM{Message: pdu.Message{Dest: pdu.Address{Addr: "331"}, ShortMessage: []byte("hi")}}); st != pdu.StatusOK {
		t.Errorf("the next one got %s, want ESME_ROK", st)
	}
}

func TestSubmitMulti(t *testing.T) {
	dests := func(to ...string) (out []pdu.DestAddress) {
		for _, a := range to {
			if list, ok := strings.CutPrefix(a, "list "); ok {
				out = append(out, pdu.DestAddress{DistributionList: list})
				continue
			}
			out = append(out, pdu.DestAddress{Address: pdu.Address{TON: 1, NPI: 1, Addr: a}})
		}
		return out
	}
	w := newWorld(t, Config{}, credential(t, account.SectionValueFilter, "dst_addr", "^33"))
	w.answers(func(m *mt.Message) error {
		if m.PDU.Dest.Addr == "339" {
			return &sms.Error{Reason: sms.ReasonThrottled}
		}
		return nil
	})
	e := w.bind(pdu.Bind{})
	m := &pdu.SubmitMulti{Message: pdu.Message{Source: pdu.Address{Addr: "ACME"}, RegisteredDelivery: 1, ShortMessage: []byte("hi")}}
	m.Dests = dests("331", "44", "332", "list all", "339", "333")
	st, resp := e.do(t, m)
	r, ok := resp.(*pdu.SubmitMultiResp)
	if st != pdu.StatusOK || !ok || r.MessageID == "" {
		t.Fatalf("got %s %+v", st, resp)
	}
	got := fmt.Sprint(r.Unsuccess)
	if want := fmt.Sprint([]pdu.UnsuccessSME{{Address: m.Dests[1].Address, Status: pdu.StatusInvDstAdr}, {Status: pdu.StatusInvDLName}, {Address: m.Dests[4].Address, Status: pdu.StatusThrottled}}); got != want {
		t.Errorf("unsuccess %s\nwant      %s", got, want)
	}
	ids := map[sms.MessageID]bool{}
	for i, m := range w.messages() {
		ids[m.ID] = true
		if m.PDU.Dest.Addr != []string{"331", "332", "333"}[i] || !strings.HasPrefix(string(m.ID), r.MessageID) || m.Report.What != sms.ReportFinal {
			t.Errorf("message %d: %+v", i, m)
		}
	}
	if len(ids) != 3 {
		t.Errorf("ids %v", ids)
	}
	for to, want := range map[string]pdu.Status{"44 45": pdu.StatusInvDstAdr, "44 339": pdu.StatusSubmitFail} {
		m.Dests = dests(strings.Fields(to)...)
		if st, _ := e.do(t, m); st != want {
			t.Errorf("to %q: got %s, want %s", to, st, want)
		}
	}
}

// Hundreds are in work at once, and each is answered when it is done.
func TestAnswersComeOutOfOrder(t *testing.T) {
	const n = maxWorkers
	w := newWorld(t, Config{})
	gates := make([]chan struct{}, n)
	for i := range gates {
		gates[i] = make(chan struct{})
	}
	entered := make(chan int, n)
	w.answers(func(m *mt.Message) error {
		var i int
		fmt.Sscan(string(m.PDU.ShortMessage), &i)
		entered <- i
		<-gates[i]
		return nil
	})
	e, err := w.dial(pdu.Bind{}, smpp.DialConfig{Config: smpp.Config{Window: n}})
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan string, n)
	for i := range n {
		err := e.Send(t.Context(), submitSM(fmt.Sprint(i), fmt.Sprint(i)), func(r smpp.Response, err error) {
			if err != nil || r.Err() != nil {
				t.Error(err, r.Err())
				return
			}
			answered <- r.PDU.(*pdu.SubmitSMResp).MessageID
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		receive(t, "a submission", entered)
	}
	for i := n - 1; i >= 0; i-- { // the last one first
		close(gates[i])
		if got := receive(t, "an answer", answered); got != fmt.Sprint("id-", i) {
			t.Errorf("answered %s, want id-%d", got, i)
		}
	}
}

// What goes from one address to another keeps its order, whatever else is in work.
func TestOrderBetweenTwoAddresses(t *testing.T) {
	w := newWorld(t, Config{})
	e := w.bind(pdu.Bind{})
	const n, chains = 400, 5
	var wg sync.WaitGroup
	wg.Add(n)
	for i := range n {
		err := e.Send(t.Context(), submitSM(fmt.Sprint(i%chains), fmt.Sprint(i)), func(r smpp.Response, err error) {
			defer wg.Done()
			if err != nil || r.Err() != nil {
				t.Error(err, r.Err())
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	last := map[string]int{}
	for _, m := range w.messages() {
		var i int
		fmt.Sscan(string(m.PDU.ShortMessage), &i)
		if prev, ok := last[m.PDU.Dest.Addr]; ok && prev > i {
			t.Fatalf("%d came after %d", i, prev)
		}
		last[m.PDU.Dest.Addr] = i
	}
	if len(w.messages()) != n {
		t.Errorf("%d messages, want %d", len(w.messages()), n)
	}
}

func TestWorkIsBounded(t *testing.T) {
	w := newWorld(t, Config{MaxWindow: 5, MaxPending: 8})
	release := make(chan struct{})
	w.answers(func(*mt.Message) error { <-release; return nil })
	statuses := make(chan pdu.Status, 100)
	send := func(e *esme, n int) {
		for i := range n {
			if err := e.Send(t.Context(), submitSM(fmt.Sprint(i), "x"), func(r smpp.Response, err error) {
				if err != nil {
					t.Error(err)
				}
				statuses <- r.Header.Status
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	a, b := w.bind(pdu.Bind{}), w.bind(pdu.Bind{})
	send(a, 7)
	for range 2 { // the session's own bound
		if st := receive(t, "a refusal", statuses); st != pdu.StatusThrottled {
			t.Errorf("got %s", st)
		}
	}
	send(b, 4)
	if st := receive(t, "a refusal", statuses); st != pdu.StatusThrottled { // that of all sessions
		t.Errorf("got %s", st)
	}
	close(release)
	for range 8 {
		if st := receive(t, "an answer", statuses); st != pdu.StatusOK {
			t.Errorf("got %s", st)
		}
	}
	st := w.srv.userStats("u_foo")
	if st.ThrottlingErrorCount.Load() != 1 || st.SubmitSMCount.Load() != 8 || w.srv.Stats.SubmitSMRequestCount.Load() != 9 {
		t.Errorf("throttled %d, done %d, requests %d", st.ThrottlingErrorCount.Load(), st.SubmitSMCount.Load(), w.srv.Stats.SubmitSMRequestCount.Load())
	}
}

func TestASlowReaderIsClosed(t *testing.T) {
	w := newWorld(t, Config{MaxWriteBuffer: 16 << 10})
	other := w.bind(pdu.Bind{})
	conn := dialRaw(t, w.addr())
	p := smpptest.NewPeer(t, conn)
	p.Bind(pdu.Bind{SystemID: "foo", Password: "bar"})
	frame, err := pdu.Append(nil, 0, 7, &pdu.EnquireLink{})
	if err != nil {
		t.Fatal(err)
	}
	flood := bytes.Repeat(frame, 1000)
	if err := conn.SetWriteDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := conn.Write(flood); err != nil { // the server has closed
			break
		}
	}
	until(t, "the session is gone", func() bool { return w.srv.Stats.ConnectedCount() == 1 })
	if st, _ := other.do(t, submitSM("1", "x")); st != pdu.StatusOK {
		t.Errorf("the other session: %s", st)
	}
}

// Whatever one session sends, another goes on, and so does that one while its framing holds.
func TestMalformedPDUsLeaveOtherSessionsUntouched(t *testing.T) {
	w := newWorld(t, Config{})
	other := w.bind(pdu.Bind{})
	sm, err := pdu.Append(nil, 0, 9, submitSM("336", "hi"))
	if err != nil {
		t.Fatal(err)
	}
	body := sm[pdu.HeaderLen:]
	for name, tt := range map[string]struct {
		octets []byte
		lost   bool // the framing is
	}{
		"truncated":                     {smpptest.Raw(0, pdu.CmdSubmitSM, 0, 9, body[:7]...), false},
		"a length that cuts it":         {smpptest.Raw(0, pdu.CmdSubmitSM, 0, 9, body[:len(body)-1]...), false},
		"no body":                       {smpptest.Raw(0, pdu.CmdSubmitSM, 0, 9), false},
		"garbage":                       {smpptest.Raw(0, pdu.CmdSubmitSM, 0, 9, bytes.Repeat([]byte{0xFF}, 500)...), false},
		"an unknown command":            {smpptest.Raw(0, 0x0BAD, 0, 9, 1, 2), false},
		"an unknown TLV":                {smpptest.Raw(0, pdu.CmdSubmitSM, 0, 9, append(bytes.Clone(body), 0x3F, 0xFE, 0, 1, 7)...), false},
		"a TLV beyond the end":          {smpptest.Raw(0, pdu.CmdSubmitSM, 0, 9, append(bytes.Clone(body), 0x14, 0x00, 0xFF, 0xFF)...), false},
		"a response to nothing":         {smpptest.Raw(0, pdu.CmdDeliverSMResp, 0, 9, 'x', 0), false},
		"an error response with a body": {smpptest.Raw(0, pdu.CmdDeliverSMResp, pdu.StatusSysErr, 9, 'x', 0), false},
		"a duplicate sequence number":   {append(bytes.Clone(sm), sm...), false},
		"fields without length":         {smpptest.Raw(0, pdu.CmdSubmitSM, 0, 9, make([]byte, 17)...), false},
		"a submit_multi of garbage":     {smpptest.Raw(0, pdu.CmdSubmitMulti, 0, 9, 0, 0, 0, 0, 255, 1, 1, 1), false},
		"deliver_sm from an ESME":       {smpptest.Raw(0, pdu.CmdDeliverSM, 0, 9, body...), false},
		"a length below a header's":     {smpptest.Raw(7, pdu.CmdSubmitSM, 0, 9), true},
		"a length of 4 GiB":             {smpptest.Raw(0xFFFFFFFF, pdu.CmdSubmitSM, 0, 9), true},
		"no SMPP at all":                {[]byte("GET / HTTP/1.1\r\nHost: smsc\r\n\r\n"), true},
	} {
		t.Run(name, func(t *testing.T) {
			p := smpptest.NewPeer(t, dialRaw(t, w.addr()))
			p.Bind(pdu.Bind{SystemID: "foo", Password: "bar"})
			p.SendRaw(tt.octets)
			if !tt.lost {
				p.SendRaw(smpptest.Raw(0, pdu.CmdEnquireLink, 0, 4711))
				for {
					if h, _ := p.Read(); h.ID == pdu.CmdEnquireLinkResp && h.Sequence == 4711 {
						break
					}
				}
			}
			if st, _ := other.do(t, submitSM("1", "x")); st != pdu.StatusOK {
				t.Errorf("the other session: %s", st)
			}
		})
	}
}

// A session that ends drops what of it waits; who sent it got no answer.
func TestWhatWaitsOfAnEndedSessionIsDropped(t *testing.T) {
	w := newWorld(t, Config{})
	entered, release := make(chan struct{}, 10), make(chan struct{})
	w.answers(func(*mt.Message) error { entered <- struct{}{}; <-release; return nil })
	e := w.bind(pdu.Bind{})
	for i := range 3 { // one strand: the first is in work, the others wait
		if err := e.Send(t.Context(), submitSM("336", "x"), func(smpp.Response, error) {}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			receive(t, "a submission", entered)
		}
	}
	until(t, "all are here", func() bool { return w.srv.Stats.InWork() == 3 })
	e.Close(nil)
	until(t, "the session is gone", func() bool { return w.srv.Stats.ConnectedCount() == 0 })
	close(release)
	until(t, "nothing is in work", func() bool { return w.srv.Stats.InWork() == 0 })
	if n := len(w.messages()); n != 1 {
		t.Errorf("%d messages were taken, want 1", n)
	}
}

func TestShutdownAnswersWhatIsInWork(t *testing.T) {
	w := newWorld(t, Config{})
	release, entered := make(chan struct{}), make(chan struct{}, 1)
	w.answers(func(*mt.Message) error { entered <- struct{}{}; <-release; return nil })
	e := w.bind(pdu.Bind{})
	st := make(chan pdu.Status, 1)
	if err := e.Send(t.Context(), submitSM("1", "x"), func(r smpp.Response, err error) {
		if err != nil {
			t.Error(err)
		}
		st <- r.Header.Status
	}); err != nil {
		t.Fatal(err)
	}
	receive(t, "a submission", entered)
	done := make(chan error, 1)
	go func() { done <- w.srv.Shutdown(context.Background()) }()
	until(t, "new connections are refused", func() bool {
		late, err := w.dial(pdu.Bind{}, smpp.DialConfig{})
		if err == nil {
			late.Close(nil)
		}
		return err != nil
	})
	close(release)
	if got := receive(t, "an answer", st); got != pdu.StatusOK {
		t.Errorf("got %s", got)
	}
	if err := receive(t, "Shutdown", done); err != nil {
		t.Error(err)
	}
	if err := receive(t, "the end", e.ran); !errors.Is(err, smpp.ErrUnbound) {
		t.Errorf("session ended with %v", err)
	}
}
