package smscsim_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smscsim"
)

// rules runs a simulator with rules.
func rules(t testing.TB, list ...smscsim.Rule) *smscsim.Simulator {
	t.Helper()
	return start(t, smscsim.Config{AnyAccount: true, Behaviour: smscsim.Behaviour{Rules: list}})
}

func throttled() *smscsim.Answer { return &smscsim.Answer{Status: "ESME_RTHROTTLED"} }

func TestRulesChooseTheStatus(t *testing.T) {
	for _, c := range []struct {
		name string
		rule smscsim.Rule
		want string // of submissions to 441, 442, 331, 441 with text "other", as account smppclient1: T is throttled
	}{
		{"no condition", smscsim.Rule{}, "TTTT"},
		{"prefix", smscsim.Rule{To: "44"}, "TT.T"},
		{"regex", smscsim.Rule{ToRegex: "1$"}, "T.TT"},
		{"source", smscsim.Rule{From: "sh"}, "TTTT"},
		{"another source", smscsim.Rule{FromRegex: "^x"}, "...."},
		{"text", smscsim.Rule{TextRegex: "(?i)OTHER"}, "...T"},
		{"account", smscsim.Rule{Account: "smppclient1"}, "TTTT"},
		{"another account", smscsim.Rule{Account: "x"}, "...."},
		{"operation", smscsim.Rule{Operations: []string{"data_sm"}}, "...."},
		{"skip", smscsim.Rule{Skip: 1}, ".TTT"},
		{"every", smscsim.Rule{Every: 2}, ".T.T"},
		{"times", smscsim.Rule{Times: 1}, "T..."},
		{"skip, then times", smscsim.Rule{Skip: 1, Times: 2}, ".TT."},
		{"counted are those that match", smscsim.Rule{To: "44", Every: 2}, ".T.."},
		{"certain", smscsim.Rule{Probability: 1}, "TTTT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.rule.Answer = throttled()
			e := connect(t, rules(t, c.rule), esmeOptions{})
			other := hello("441")
			other.ShortMessage = []byte("other")
			got := ""
			for _, m := range []pdu.Message{hello("441"), hello("442"), hello("331"), other} {
				switch st := e.do(t, &pdu.SubmitSM{Message: m}).Header.Status; st {
				case pdu.StatusOK:
					got += "."
				case pdu.StatusThrottled:
					got += "T"
				default:
					t.Errorf("status %s", st)
				}
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestProbability(t *testing.T) {
	e := connect(t, rules(t, smscsim.Rule{Probability: 0.5, Answer: throttled()}), esmeOptions{})
	refused := 0
	for range 400 {
		if e.do(t, &pdu.SubmitSM{Message: hello("1")}).Header.Status != pdu.StatusOK {
			refused++
		}
	}
	if refused < 100 || refused > 300 { // 10 standard deviations
		t.Errorf("%d of 400 refused at probability 0.5", refused)
	}
}

func TestFirstRuleWithAnAnswerWins(t *testing.T) {
	e := connect(t, rules(t,
		smscsim.Rule{Receipt: &smscsim.Receipt{State: "UNDELIV"}},
		smscsim.Rule{To: "44", Answer: &smscsim.Answer{}},
		smscsim.Rule{Answer: throttled(), Receipt: &smscsim.Receipt{State: "EXPIRED"}},
	), esmeOptions{})
	e.submit(t, asking(hello("44")))
	if d := e.receipt(t); !strings.Contains(string(d.ShortMessage), "stat:UNDELIV") {
		t.Errorf("receipt %q", d.ShortMessage)
	}
	if st := e.do(t, &pdu.SubmitSM{Message: hello("33")}).Header.Status; st != pdu.StatusThrottled {
		t.Errorf("status %s", st)
	}
}

func TestNoAnswer(t *testing.T) {
	sim := rules(t, smscsim.Rule{To: "44", Answer: &smscsim.Answer{Action: "none"}})
	e := connect(t, sim, esmeOptions{})
	answered := make(chan error, 1)
	if err := e.Send(t.Context(), &pdu.SubmitSM{Message: hello("44")}, func(_ smpp.Response, err error) { answered <- err }); err != nil {
		t.Fatal(err)
	}
	e.submit(t, hello("33")) // whose response would come after
	m := wait(t, sim, 1, smscsim.Filter{To: "44"})[0]
	if m.Answered || m.Status != "ESME_ROK" || sim.Stats().Unanswered != 1 {
		t.Errorf("kept as %+v", m)
	}
	if err := e.Unbind(t.Context()); err != nil {
		t.Errorf("unbind must not wait for what is never answered: %v", err)
	}
	if err := <-answered; !errors.Is(err, smpp.ErrSessionClosed) {
		t.Errorf("the request ended with %v", err)
	}
}

func TestDrop(t *testing.T) {
	sim := rules(t, smscsim.Rule{Answer: &smscsim.Answer{Action: "drop"}})
	e := connect(t, sim, esmeOptions{})
	if _, err := e.Do(t.Context(), &pdu.SubmitSM{Message: hello("44")}); !errors.Is(err, smpp.ErrSessionClosed) {
		t.Errorf("got %v", err)
	}
	if m := wait(t, sim, 1, smscsim.Filter{})[0]; m.Answered {
		t.Error("kept as answered")
	}
}

func TestUnbindByRule(t *testing.T) {
	sim := rules(t, smscsim.Rule{Answer: &smscsim.Answer{Action: "unbind"}})
	e := connect(t, sim, esmeOptions{})
	e.submit(t, hello("44"))
	if err := <-e.ran; !errors.Is(err, smpp.ErrUnbound) {
		t.Errorf("the session ended with %v, want unbind", err)
	}
}

func TestMalformedAnswers(t *testing.T) {
	for _, c := range []struct {
		kind string
		good bool // the session survives
	}{
		{smscsim.DeformBody, true}, {smscsim.DeformEmpty, true}, {smscsim.DeformSequence, true}, {smscsim.DeformCommand, true},
		{smscsim.DeformShort, false}, {smscsim.DeformHuge, false},
	} {
		t.Run(c.kind, func(t *testing.T) {
			sim := rules(t, smscsim.Rule{To: "44", Answer: &smscsim.Answer{Action: "malformed", Malformed: c.kind}})
			seen := make(chan pdu.Header, 10)
			e := connect(t, sim, esmeOptions{config: smpp.Config{Trace: func(dir smpp.Direction, h pdu.Header, _ pdu.PDU) {
				if dir == smpp.In && h.ID != pdu.CmdBindTransceiverResp {
					seen <- h
				}
			}}})
			if err := e.Send(t.Context(), &pdu.SubmitSM{Message: hello("44")}, func(smpp.Response, error) {}); err != nil {
				t.Fatal(err)
			}
			if !c.good {
				if err := <-e.ran; err == nil || !strings.Contains(err.Error(), "command_length") {
					t.Errorf("the session ended with %v", err)
				}
				return
			}
			h := <-seen
			switch c.kind {
			case smscsim.DeformEmpty:
				if h.Length != 16 || h.Status != pdu.StatusOK {
					t.Errorf("header %+v", h)
				}
			case smscsim.DeformSequence:
				if h.Sequence == e.LastSequence() {
					t.Errorf("header %+v", h)
				}
			case smscsim.DeformCommand:
				if h.ID != pdu.CmdReplaceSMResp {
					t.Errorf("header %+v", h)
				}
			case smscsim.DeformBody:
				if h.ID != pdu.CmdSubmitSMResp || h.Length < 16+5 {
					t.Errorf("header %+v", h)
				}
			}
			e.submit(t, hello("33"))
		})
	}
	for _, kind := range []string{smscsim.DeformLong, smscsim.DeformCut} {
		t.Run(kind, func(t *testing.T) {
			sim := rules(t, smscsim.Rule{To: "44", Answer: &smscsim.Answer{Action: "malformed", Malformed: kind}})
			e := connect(t, sim, esmeOptions{})
			for _, to := range []string{"44", "33", "33", "33"} { // what follows makes the octets that are missing
				if err := e.Send(t.Context(), &pdu.SubmitSM{Message: hello(to)}, func(smpp.Response, error) {}); err != nil {
					break
				}
			}
			if err := <-e.ran; err == nil {
				t.Error("the session ended in order")
			}
		})
	}
}

func TestDelay(t *testing.T) {
	const delay = 20 * time.Millisecond
	sim := rules(t,
		smscsim.Rule{To: "44", Answer: &smscsim.Answer{Delay: smscsim.Exactly(time.Hour)}},
		smscsim.Rule{To: "55", Answer: &smscsim.Answer{Delay: smscsim.Span{Min: delay, Max: 2 * delay}}})
	e := connect(t, sim, esmeOptions{})
	slow := make(chan struct{})
	if err := e.Send(t.Context(), &pdu.SubmitSM{Message: hello("44")}, func(smpp.Response, error) { close(slow) }); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	e.submit(t, hello("55"))
	if took := time.Since(begin); took < delay {
		t.Errorf("answered after %s", took)
	}
	select {
	case <-slow:
		t.Error("the response was not delayed")
	default:
	}
}

// answers submits to all at once and tells in which order the responses came.
func answers(t *testing.T, e *esme, to ...string) string {
	t.Helper()
	var mu sync.Mutex
	var order []string
	done := make(chan struct{}, len(to))
	for _, addr := range to {
		err := e.Send(t.Context(), &pdu.SubmitSM{Message: hello(addr)}, func(_ smpp.Response, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				order = append(order, addr)
			}
			done <- struct{}{}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range to {
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatal("responses are missing")
		}
	}
	return strings.Join(order, " ")
}

func TestReorder(t *testing.T) {
	sim := start(t, smscsim.Config{Behaviour: smscsim.Behaviour{Reorder: 3, ReorderWait: smscsim.Duration(time.Hour)}})
	e := connect(t, sim, esmeOptions{})
	if order := answers(t, e, "1", "2", "3", "4", "5", "6"); order != "3 2 1 6 5 4" {
		t.Errorf("responses came as %s", order)
	}
	if err := sim.SetBehaviour(smscsim.Behaviour{Reorder: 3, ReorderWait: smscsim.Duration(time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	if order := answers(t, e, "1"); order != "1" {
		t.Errorf("one alone: %s", order)
	}
}

func TestThroughput(t *testing.T) {
	count := func(t *testing.T, e *esme) string {
		got := ""
		for range 3 {
			got += fmt.Sprint(uint32(e.do(t, &pdu.SubmitSM{Message: hello("44")}).Header.Status), " ")
		}
		return got
	}
	const slow = 0.001 // one in a thousand seconds
	t.Run("of an account", func(t *testing.T) {
		sim := start(t, smscsim.Config{Accounts: []smscsim.Account{{SystemID: "smppclient1", Password: "password", Throughput: slow}}})
		if got := count(t, connect(t, sim, esmeOptions{})); got != "0 88 88 " {
			t.Errorf("statuses %s", got)
		}
	})
	t.Run("of the simulator", func(t *testing.T) {
		sim := start(t, smscsim.Config{Behaviour: smscsim.Behaviour{Throughput: slow}})
		if got := count(t, connect(t, sim, esmeOptions{})); got != "0 88 88 " {
			t.Errorf("statuses %s", got)
		}
	})
	t.Run("of a rule, with a status", func(t *testing.T) {
		sim := rules(t, smscsim.Rule{Answer: &smscsim.Answer{Throughput: slow, Status: "ESME_RMSGQFUL"}})
		if got := count(t, connect(t, sim, esmeOptions{})); got != "0 20 20 " {
			t.Errorf("statuses %s", got)
		}
	})
}

func TestWindow(t *testing.T) {
	// Nothing is answered before the simulator stops, so that the window stays full.
	prepare := func(t *testing.T, mode string, n int) (*smscsim.Simulator, chan smpp.Response) {
		sim := start(t, smscsim.Config{
			Accounts:  []smscsim.Account{{SystemID: "smppclient1", Password: "password", Window: 2, WindowMode: mode}},
			Behaviour: smscsim.Behaviour{Rules: []smscsim.Rule{{Answer: &smscsim.Answer{Delay: smscsim.Exactly(time.Hour)}}}},
		})
		e := connect(t, sim, esmeOptions{})
		results := make(chan smpp.Response, n)
		for i := range n {
			if err := e.Send(t.Context(), &pdu.SubmitSM{Message: hello(fmt.Sprint(i))}, func(r smpp.Response, _ error) { results <- r }); err != nil {
				t.Fatal(err)
			}
		}
		e.barrier(t)
		if n := sim.Count(smscsim.Filter{}); n != 2 {
			t.Errorf("%d messages taken, want 2", n)
		}
		return sim, results
	}
	stop := func(t *testing.T, sim *smscsim.Simulator) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := sim.Stop(ctx); err != nil {
			t.Error(err)
		}
	}
	t.Run("throttle", func(t *testing.T) {
		sim, results := prepare(t, smscsim.WindowThrottle, 5)
		for range 3 {
			if r := <-results; r.Header.Status != pdu.StatusThrottled {
				t.Errorf("above the window: %s", r.Header.Status)
			}
		}
		stop(t, sim)
		for range 2 {
			if r := <-results; r.Header.Status != pdu.StatusOK {
				t.Errorf("within the window: %s", r.Header.Status)
			}
		}
	})
	t.Run("hold", func(t *testing.T) {
		sim, results := prepare(t, smscsim.WindowHold, 7)
		stop(t, sim)
		for range 7 {
			if r := <-results; r.Header.Status != pdu.StatusOK {
				t.Errorf("held: %s", r.Header.Status)
			}
		}
		var to []string
		for _, m := range sim.Messages(smscsim.Filter{}) {
			to = append(to, m.To)
		}
		if s := strings.Join(to, ""); s != "0123456" {
			t.Errorf("order %s", s)
		}
	})
}

func TestBinds(t *testing.T) {
	sim := start(t, smscsim.Config{Accounts: []smscsim.Account{
		{SystemID: "smppclient1", Password: "password", MaxBinds: 1},
		{SystemID: "rx", Password: "pw", BindTypes: []string{"receiver"}},
	}})
	refusal := func(b pdu.Bind) string {
		t.Helper()
		_, err := dial(t, sim, esmeOptions{bind: b})
		var se *smpp.StatusError
		if !errors.As(err, &se) {
			return fmt.Sprint(err)
		}
		return se.Status.String()
	}
	for _, c := range []struct {
		name string
		bind pdu.Bind
		want string
	}{
		{"unknown", pdu.Bind{SystemID: "nobody", Password: "x"}, "ESME_RINVSYSID"},
		{"wrong password", pdu.Bind{SystemID: "rx", Password: "x", Type: pdu.Receiver}, "ESME_RINVPASWD"},
		{"type not allowed", pdu.Bind{SystemID: "rx", Password: "pw"}, "ESME_RBINDFAIL"},
		{"type allowed", pdu.Bind{SystemID: "rx", Password: "pw", Type: pdu.Receiver}, "<nil>"},
	} {
		if got := refusal(c.bind); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	e := connect(t, sim, esmeOptions{})
	if got := refusal(clientBind); got != "ESME_RALYBND" {
		t.Errorf("second bind: %s", got)
	}
	if err := e.Unbind(t.Context()); err != nil {
		t.Fatal(err)
	}
	connectAgain(t, sim)
	if err := sim.AddRule(smscsim.Rule{Operations: []string{"bind"}, Account: "rx", Times: 1, Answer: &smscsim.Answer{Status: "ESME_RSYSERR"}}); err != nil {
		t.Fatal(err)
	}
	rx := pdu.Bind{SystemID: "rx", Password: "pw", Type: pdu.Receiver}
	if a, b := refusal(rx), refusal(rx); a != "ESME_RSYSERR" || b != "<nil>" {
		t.Errorf("by rule: %s, then %s", a, b)
	}
}

func TestBindResponse(t *testing.T) {
	for version, want := range map[string]uint8{"": 0x34, "5.0": 0x50, "none": 0} {
		sim := start(t, smscsim.Config{InterfaceVersion: version, SystemID: "smsc"})
		s, resp, err := smpp.Dial(t.Context(), "tcp", sim.Addr(), smpp.DialConfig{Bind: clientBind})
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := resp.TLVs.Uint8(pdu.TagSCInterfaceVersion); v != want || resp.SystemID != "smsc" {
			t.Errorf("%q: %+v", version, resp)
		}
		s.Close(nil)
	}
}

// connectAgain binds once the place of a bind that has ended is free.
func connectAgain(t *testing.T, sim *smscsim.Simulator) *esme {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		e, err := dial(t, sim, esmeOptions{})
		if err == nil {
			return e
		}
		select {
		case <-ctx.Done():
			t.Fatalf("bind: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestMutedEnquireLink(t *testing.T) {
	sim := start(t, smscsim.Config{Behaviour: smscsim.Behaviour{MuteEnquireLink: true}})
	e := connect(t, sim, esmeOptions{config: smpp.Config{EnquireLink: 20 * time.Millisecond, Response: 50 * time.Millisecond}})
	if err := <-e.ran; !errors.Is(err, smpp.ErrEnquireLink) {
		t.Errorf("the session ended with %v", err)
	}
	// The client can lose its patience before the simulator has read.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); sim.Stats().Operations["enquire_link"] == 0; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("no enquire_link was received")
		}
	}
}

func TestEnquireLinkOfTheSimulator(t *testing.T) {
	sim := start(t, smscsim.Config{EnquireLink: smscsim.Duration(10 * time.Millisecond)})
	asked := make(chan struct{}, 100)
	connect(t, sim, esmeOptions{config: smpp.Config{Trace: func(dir smpp.Direction, h pdu.Header, _ pdu.PDU) {
		if dir == smpp.In && h.ID == pdu.CmdEnquireLink {
			select {
			case asked <- struct{}{}:
			default:
			}
		}
	}}})
	for range 2 {
		select {
		case <-asked:
		case <-time.After(patience):
			t.Fatal("no enquire_link")
		}
	}
}

func TestBehaviourFaults(t *testing.T) {
	for _, c := range []struct{ json, want string }{
		{`{"rulez":[]}`, "rulez"},
		{`{"rules":[{"answer":{"status":"ESME_RNONSENSE"}}]}`, `rules[0].answer.status: "ESME_RNONSENSE"`},
		{`{"rules":[{"to_regex":"(","answer":{}}]}`, "rules[0].to_regex"},
		{`{"rules":[{}]}`, "neither answer nor receipt"},
		{`{"rules":[{"probability":2,"answer":{}}]}`, "rules[0].probability: 2"},
		{`{"rules":[{"answer":{"delay":"soon"}}]}`, "soon"},
		{`{"rules":[{"answer":{"delay":"-1s"}}]}`, "rules[0].answer.delay: -1s is negative"},
		{`{"rules":[{"answer":{"delay":"2s..1s"}}]}`, "ends before it begins"},
		{`{"rules":[{"answer":{"action":"explode"}}]}`, "explode"},
		{`{"rules":[{"answer":{"action":"malformed"}}]}`, "rules[0].answer.malformed"},
		{`{"rules":[{"answer":{"malformed":"body"}}]}`, "without action malformed"},
		{`{"rules":[{"operations":["deliver_sm"],"answer":{}}]}`, "deliver_sm"},
		{`{"rules":[{"operations":["bind"],"receipt":{}}]}`, "only submissions have receipts"},
		{`{"receipt":{"state":"MAYBE"}}`, `receipt.state: "MAYBE"`},
		{`{"receipt":{"form":"letter"}}`, `receipt.form: "letter"`},
		{`{"receipt":{"err":"a b"}}`, "receipt.err"},
		{`{"throughput":-1}`, "throughput: -1"},
		{`{} {}`, "more than one"},
		{``, "empty"},
	} {
		if _, err := smscsim.ParseBehaviour([]byte(c.json)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.json, err, c.want)
		}
	}
	sim := rules(t, smscsim.Rule{Answer: throttled()})
	if err := sim.SetBehaviour(smscsim.Behaviour{Reorder: -1, Throughput: -1}); err == nil ||
		!strings.Contains(err.Error(), "reorder: -1") || !strings.Contains(err.Error(), "throughput: -1") {
		t.Errorf("SetBehaviour: %v", err)
	}
	if len(sim.Behaviour().Rules) != 1 {
		t.Error("a faulty behaviour replaced the old one")
	}
}
