package smscsim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smscsim"
)

// call asks the control API and decodes the answer into v, if there is one.
func call(t testing.TB, sim *smscsim.Simulator, method, path, body string, v any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+sim.HTTPAddr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if v != nil {
		if err := json.Unmarshal(text, v); err != nil {
			t.Fatalf("%s %s: %d %s: %v", method, path, resp.StatusCode, text, err)
		}
	}
	return resp.StatusCode
}

type listed struct {
	Messages []smscsim.Message
	Count    int
	After    uint64
	More     bool
	Error    string
}

func TestAPIListsMessages(t *testing.T) {
	sim := start(t, smscsim.Config{})
	e := connect(t, sim, esmeOptions{})
	var last string
	for i := range 5 {
		last = e.submit(t, hello(fmt.Sprintf("44%d", i)))
	}
	var l listed
	if code := call(t, sim, "GET", "/messages?to=44*&limit=2", "", &l); code != 200 || l.Count != 2 || !l.More || l.Messages[1].To != "441" {
		t.Errorf("first page: %d %+v", code, l)
	}
	if call(t, sim, "GET", fmt.Sprintf("/messages?after=%d", l.After), "", &l); l.Count != 3 || l.More || l.Messages[0].To != "442" {
		t.Errorf("the rest: %+v", l)
	}
	if call(t, sim, "GET", "/messages?offset=4", "", &l); l.Count != 1 || l.Messages[0].To != "444" {
		t.Errorf("offset: %+v", l)
	}
	var n struct{ Count int }
	if call(t, sim, "GET", "/messages/count?text=hello&status=rok&since=1h", "", &n); n.Count != 5 {
		t.Errorf("count: %+v", n)
	}
	var m smscsim.Message
	if code := call(t, sim, "GET", "/messages/"+last, "", &m); code != 200 || m.To != "444" || m.Text != "hello" || m.ShortMessage != "68656c6c6f" {
		t.Errorf("one: %d %+v", code, m)
	}
	if code := call(t, sim, "GET", "/messages/by-number/2", "", &m); code != 200 || m.To != "441" {
		t.Errorf("by number: %d %+v", code, m)
	}
	if code := call(t, sim, "GET", "/messages/none", "", nil); code != 404 {
		t.Errorf("none: %d", code)
	}
	for path, want := range map[string]string{
		"/messages?too=44": "too: unknown parameter", "/messages?limit=x": `limit: "x"`, "/messages?since=soon": "since",
		"/messages?status=bad": "status", "/messages?to=1&to=2": "2 times", "/messages?operation=bind": "operation",
		"/messages/wait?timeout=11m": "timeout", "/stats/ids?first=1": "run",
	} {
		if code := call(t, sim, "GET", path, "", &l); code != 400 || !strings.Contains(l.Error, want) {
			t.Errorf("%s: %d %q, want %q", path, code, l.Error, want)
		}
	}
	if call(t, sim, "DELETE", "/messages", "", nil); sim.Count(smscsim.Filter{}) != 0 || sim.Stats().Submitted != 5 {
		t.Errorf("cleared: %+v", sim.Stats())
	}
}

func TestAPIWaits(t *testing.T) {
	sim := start(t, smscsim.Config{})
	e := connect(t, sim, esmeOptions{})
	done := make(chan listed, 1)
	go func() {
		var l listed
		call(t, sim, "GET", "/messages/wait?n=2&timeout=1m", "", &l)
		done <- l
	}()
	e.submit(t, hello("441"))
	e.submit(t, hello("442"))
	if l := <-done; l.Count != 2 || l.After != 2 {
		t.Errorf("waited: %+v", l)
	}
	var l listed
	if code := call(t, sim, "GET", "/messages/wait?n=3&timeout=1ms", "", &l); code != http.StatusRequestTimeout || l.Count != 2 {
		t.Errorf("in vain: %d %+v", code, l)
	}
}

func TestAPIInjectsMO(t *testing.T) {
	sim := start(t, smscsim.Config{})
	var e struct{ Error string }
	if code := call(t, sim, "POST", "/mo", `{"from":"1","to":"2","text":"hi"}`, &e); code != http.StatusConflict {
		t.Errorf("unbound: %d %+v", code, e)
	}
	c := connect(t, sim, esmeOptions{})
	var r smscsim.MOResult
	if code := call(t, sim, "POST", "/mo", `{"from":"1","to":"2","text":"hi"}`, &r); code != 200 || r.Status != "ESME_ROK" || len(r.Parts) != 1 || r.Parts[0].Sequence < 0x40000000 {
		t.Errorf("%d %+v", code, r)
	}
	if d := c.receipt(t); string(d.ShortMessage) != "hi" {
		t.Errorf("%+v", d)
	}
	if code := call(t, sim, "POST", "/mo", `{"form":"1"}`, &e); code != 400 || !strings.Contains(e.Error, "form") {
		t.Errorf("misspelt: %d %+v", code, e)
	}
}

func TestAPIBehaviour(t *testing.T) {
	sim := start(t, smscsim.Config{Behaviour: smscsim.Behaviour{Reorder: 2}})
	var b smscsim.Behaviour
	const set = `{"rules":[{"to":"44","answer":{"status":"ESME_RTHROTTLED","delay":"1ms..2ms"},"receipt":{"delay":"-1s"}}],"reorder_wait":"1s"}`
	if code := call(t, sim, "PUT", "/behaviour", set, &b); code != 200 || len(b.Rules) != 1 {
		t.Errorf("PUT: %d %+v", code, b)
	}
	again, err := json.Marshal(b)
	if err != nil || string(again) != `{"reorder_wait":"1s","rules":[{"to":"44","answer":{"status":"ESME_RTHROTTLED","delay":"1ms..2ms"},"receipt":{"delay":"-1s"}}]}` {
		t.Errorf("as JSON: %s, %v", again, err)
	}
	if code := call(t, sim, "POST", "/behaviour/rules", `{"name":"first","answer":{}}`, &b); code != 201 || len(b.Rules) != 2 || b.Rules[0].Name != "first" {
		t.Errorf("POST: %d %+v", code, b)
	}
	var e struct{ Error string }
	if code := call(t, sim, "PUT", "/behaviour", `{"rules":[{"answer":{"status":"x"}}]}`, &e); code != 400 || !strings.Contains(e.Error, "rules[0].answer.status") {
		t.Errorf("faulty: %d %+v", code, e)
	}
	b = smscsim.Behaviour{}
	if call(t, sim, "GET", "/behaviour", "", &b); len(b.Rules) != 2 {
		t.Errorf("GET: %+v", b)
	}
	b = smscsim.Behaviour{}
	if call(t, sim, "DELETE", "/behaviour", "", &b); len(b.Rules) != 0 || b.Reorder != 2 {
		t.Errorf("DELETE: %+v", b)
	}
	call(t, sim, "POST", "/behaviour/rules", `{"answer":{}}`, nil)
	b = smscsim.Behaviour{}
	call(t, sim, "POST", "/reset", "", nil)
	if call(t, sim, "GET", "/behaviour", "", &b); len(b.Rules) != 0 {
		t.Errorf("after the reset: %+v", b)
	}
}

func TestAPISessions(t *testing.T) {
	sim := start(t, smscsim.Config{})
	a := connect(t, sim, esmeOptions{})
	b := connect(t, sim, esmeOptions{bind: pdu.Bind{Type: pdu.Receiver}})
	a.submit(t, hello("44"))
	var l struct{ Sessions []smscsim.SessionView }
	call(t, sim, "GET", "/sessions", "", &l)
	if len(l.Sessions) != 2 || l.Sessions[0].State != "BOUND_TRX" || l.Sessions[1].State != "BOUND_RX" ||
		l.Sessions[0].Account != "smppclient1" || l.Sessions[0].Submissions != 1 || l.Sessions[0].Remote != a.LocalAddr().String() {
		t.Errorf("%+v", l)
	}
	if code := call(t, sim, "POST", "/sessions/1/unbind", "", nil); code != 202 {
		t.Errorf("unbind: %d", code)
	}
	if err := <-a.ran; err == nil || err != smpp.ErrUnbound {
		t.Errorf("the first session ended with %v", err)
	}
	if code := call(t, sim, "DELETE", "/sessions/2", "", nil); code != 202 {
		t.Errorf("drop: %d", code)
	}
	if err := <-b.ran; err == nil {
		t.Error("the second session ended in order")
	}
	// The peer sees the end of a session before the simulator has struck it off.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); len(sim.Sessions()) > 0; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("sessions that have ended are still listed: %+v", sim.Sessions())
		}
	}
	c := connect(t, sim, esmeOptions{})
	var dropped struct{ Dropped int }
	if code := call(t, sim, "DELETE", "/sessions?account=smppclient1", "", &dropped); code != 202 || dropped.Dropped != 1 {
		t.Errorf("drop the account: %d %+v", code, dropped)
	}
	if err := <-c.ran; err == nil {
		t.Error("the third session ended in order")
	}
	if code := call(t, sim, "DELETE", "/sessions/7", "", nil); code != 404 {
		t.Errorf("none: %d", code)
	}
	if code := call(t, sim, "DELETE", "/sessions/x", "", nil); code != 400 {
		t.Errorf("no number: %d", code)
	}
}

func TestAPIStatsAndIDs(t *testing.T) {
	sim := start(t, smscsim.Config{Behaviour: smscsim.Behaviour{
		Rules: []smscsim.Rule{{To: "9", Answer: &smscsim.Answer{Status: "ESME_RSYSERR"}}}}})
	e := connect(t, sim, esmeOptions{})
	for _, n := range []int{1, 2, 5, 5, 200_000} {
		m := hello("44")
		m.ShortMessage = fmt.Appendf(nil, "#run-1:%d# text", n)
		e.submit(t, m)
	}
	refused := hello("9")
	refused.ShortMessage = []byte("#run-1:3#")
	e.do(t, &pdu.SubmitSM{Message: refused})
	wide := hello("44")
	wide.DataCoding, wide.ShortMessage = 8, []byte("\x00#\x00w\x00:\x007\x00#\x04\x30")
	e.submit(t, wide)
	var r smscsim.RunReport
	call(t, sim, "GET", "/stats/ids?run=run-1&first=1&expect=6", "", &r)
	if r.Messages != 5 || r.Distinct != 4 || r.Duplicates != 1 || r.Lowest != 1 || r.Highest != 200_000 || r.Missing != 3 ||
		fmt.Sprint(r.Ranges) != "[[3 4] [6 6]]" {
		t.Errorf("%+v", r)
	}
	call(t, sim, "GET", "/stats/ids?run=run-1", "", &r)
	if r.Missing != 199_996 || fmt.Sprint(r.Ranges) != "[[3 4] [6 199999]]" {
		t.Errorf("between the ends: %+v", r)
	}
	call(t, sim, "GET", "/stats/ids?run=none&first=1&expect=10", "", &r)
	if r.Missing != 10 || r.Distinct != 0 || fmt.Sprint(r.Ranges) != "[[1 10]]" {
		t.Errorf("nothing came: %+v", r)
	}
	var all struct{ Runs []smscsim.RunReport }
	call(t, sim, "GET", "/stats/ids", "", &all)
	if len(all.Runs) != 2 || all.Runs[0].Run != "run-1" || all.Runs[1].Run != "w" || all.Runs[1].Distinct != 1 {
		t.Errorf("%+v", all)
	}
	var s smscsim.Stats
	call(t, sim, "GET", "/stats", "", &s)
	if s.Submitted != 7 || s.Accepted != 6 || s.Refused != 1 || s.Statuses["ESME_RSYSERR"] != 1 || s.Operations["submit_sm"] != 7 ||
		s.Operations["bind_transceiver"] != 1 || s.Sessions != 1 || s.Kept != 7 {
		t.Errorf("%+v", s)
	}
	if code := call(t, sim, "GET", "/healthz", "", nil); code != 200 {
		t.Errorf("healthz %d", code)
	}
	if code := call(t, sim, "GET", "/", "", nil); code != 200 {
		t.Errorf("index %d", code)
	}
	if code := call(t, sim, "GET", "/nothing", "", nil); code != 404 {
		t.Errorf("nothing %d", code)
	}
}

func TestStopEndsWaits(t *testing.T) {
	sim := smscsim.New(smscsim.Config{})
	if err := sim.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := sim.Wait(context.Background(), 1, smscsim.Filter{})
		done <- err
	}()
	if err := sim.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if err := <-done; err != smscsim.ErrStopped {
		t.Errorf("Wait: %v", err)
	}
	if err := sim.Start(context.Background()); err == nil {
		t.Error("it starts twice")
	}
}

func TestContextEndsEverything(t *testing.T) {
	sim := smscsim.New(smscsim.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	if err := sim.Start(ctx); err != nil {
		t.Fatal(err)
	}
	e := connect(t, sim, esmeOptions{})
	e.submit(t, hello("44"))
	cancel()
	<-sim.Done()
	if err := <-e.ran; err == nil {
		t.Error("the session ended in order")
	}
	if err := sim.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if n := sim.Count(smscsim.Filter{}); n != 1 {
		t.Errorf("%d messages can be read afterwards", n)
	}
}

func TestStopAnswersWhatIsDelayed(t *testing.T) {
	sim := smscsim.New(smscsim.Config{Behaviour: smscsim.Behaviour{Reorder: 5, ReorderWait: 3600e9,
		Rules: []smscsim.Rule{{To: "44", Answer: &smscsim.Answer{Delay: smscsim.Exactly(3600e9)}}}}})
	if err := sim.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	e := connect(t, sim, esmeOptions{})
	answered := make(chan pdu.Status, 2)
	for _, to := range []string{"44", "33"} {
		if err := e.Send(t.Context(), &pdu.SubmitSM{Message: hello(to)}, func(r smpp.Response, _ error) { answered <- r.Header.Status }); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, sim, 2, smscsim.Filter{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := sim.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
	for range 2 {
		if st := <-answered; st != pdu.StatusOK {
			t.Errorf("answered %s", st)
		}
	}
	if err := <-e.ran; err != smpp.ErrUnbound {
		t.Errorf("the session ended with %v, want unbind", err)
	}
}
