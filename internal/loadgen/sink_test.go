package loadgen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"jasmind/internal/smpp/pdu"
)

// startSink serves a sink until the test ends.
func startSink(t testing.TB, cfg SinkConfig) *Sink {
	t.Helper()
	s, err := NewSink(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return s
}

// dial connects for one test, which ends it.
func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestNewSinkRefusals(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	for _, test := range []struct {
		cfg  SinkConfig
		want string
	}{
		{SinkConfig{}, "--listen, --http: at least one of them is needed"},
		{SinkConfig{SMPP: addr}, "--listen " + addr + ": "},
		{SinkConfig{SMPP: "127.0.0.1:0", HTTP: addr}, "--http " + addr + ": "}, // the listener of SMPP is closed again
	} {
		if _, err := NewSink(test.cfg); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want %s", test.cfg, err, test.want)
		}
	}
}

// The sink answers what an SMPP client may send, and more than one PDU at a time.
func TestSinkSession(t *testing.T) {
	s := startSink(t, SinkConfig{SMPP: "127.0.0.1:0"})
	if s.HTTPAddr() != "" {
		t.Errorf("an HTTP address %s without --http", s.HTTPAddr())
	}
	conn := dial(t, s.SMPPAddr())
	var out []byte
	ask := []pdu.PDU{&pdu.Bind{Type: pdu.Transmitter, SystemID: "a"}, &pdu.Bind{Type: pdu.Receiver, SystemID: "a"}, &pdu.Bind{Type: pdu.Transceiver, SystemID: "a"},
		&pdu.SubmitSM{}, &pdu.DeliverSMResp{}, &pdu.QuerySM{MessageID: "1"}, &pdu.EnquireLink{}, &pdu.SubmitSM{}, &pdu.Unbind{}, &pdu.SubmitSM{}}
	for i, p := range ask {
		var err error
		if out, err = pdu.Append(out, pdu.StatusOK, uint32(i+1), p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Write(out); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	for _, want := range []string{"1 bind_transmitter_resp ESME_ROK", "2 bind_receiver_resp ESME_ROK", "3 bind_transceiver_resp ESME_ROK", "4 submit_sm_resp ESME_ROK",
		"6 generic_nack ESME_RINVCMDID", "7 enquire_link_resp ESME_ROK", "8 submit_sm_resp ESME_ROK", "9 unbind_resp ESME_ROK"} {
		frame, err := pdu.ReadFrame(r, nil, 0)
		if err != nil {
			t.Fatalf("instead of %s: %v", want, err)
		}
		h, p, err := pdu.Decode(frame)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(h.Sequence, " ", h.ID, " ", h.Status); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if resp, ok := p.(*pdu.SubmitSMResp); ok && resp.MessageID != map[uint32]string{4: "1", 8: "2"}[h.Sequence] {
			t.Errorf("%s has the id %q", want, resp.MessageID)
		}
	}
	if _, err := pdu.ReadFrame(r, nil, 0); !errors.Is(err, io.EOF) {
		t.Errorf("after unbind: %v", err)
	}
	if s.Messages() != 2 {
		t.Errorf("%d messages, want 2", s.Messages())
	}
}

// What was taken is answered, whatever follows it.
func TestSinkAnswersBeforeGarbage(t *testing.T) {
	s := startSink(t, SinkConfig{SMPP: "127.0.0.1:0", HTTP: "127.0.0.1:0"})
	submit, err := pdu.Append(nil, pdu.StatusOK, 1, &pdu.SubmitSM{})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := pdu.Append(nil, pdu.StatusOK, 1, &pdu.SubmitSMResp{MessageID: "1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, addr, ask, want string }{
		{"SMPP", s.SMPPAddr(), string(submit) + "\xff\xff\xff\xff\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x02", string(resp)},
		{"HTTP", s.HTTPAddr(), "GET /send?x=1 HTTP/1.1\r\n\r\nEHLO example\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 11\r\n\r\nSuccess \"2\"" + badRequest},
		{"HTTP that ends early", s.HTTPAddr(), "GET /send?x=1 HTTP/1.1\r\n\r\nGET /se",
			"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 11\r\n\r\nSuccess \"3\""},
	} {
		conn := dial(t, test.addr)
		if _, err := io.WriteString(conn, test.ask); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: got %q, %v; want %q", test.name, got, err, test.want)
		}
	}
}

// A report is one of the run when it comes to the page that the gateway was told.
func TestDLRPage(t *testing.T) {
	for _, test := range []struct {
		name, url string // "" is the default
		at        string // target of the report
		ours      bool
	}{
		{"the default", "", "/dlr/abc?id=x", true},
		{"of another run", "", "/dlr/abd?id=x", false},
		{"without an id", "", "/dlr/abc?ID=x", false},
		{"a page of one's own", "http://example.org/page", "/page?id=x", true},
		{"one with a query", "http://example.org/page?a=b", "/page?a=b&id=x", true},
		{"one with an escape", "http://example.org/my%20page", "/my%20page?id=x", true},
		{"the root, without its slash", "http://example.org", "/?id=x", true},
		{"the root with a query", "http://example.org?a=b", "/?a=b&id=x", true},
		{"another page", "http://example.org/page", "/?id=x", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBook(1, time.Now())
			d, err := listenDLR(Config{Run: "abc", DLRListen: "127.0.0.1:0", DLRURL: test.url}, b)
			if err != nil {
				t.Fatal(err)
			}
			defer d.listener.Close()
			if want := "http://" + d.listener.Addr().String() + "/dlr/abc"; test.url == "" && d.url != want {
				t.Errorf("the gateway is told %s, want %s", d.url, want)
			}
			answer := d.receive(request{method: "GET", target: []byte(test.at + "&message_status=DELIVRD")}, nil)
			if string(answer) != dlrAck {
				t.Errorf("answer %q", answer)
			}
			if got := b.stats().final == 1; got != test.ours || d.foreign.Load() == 1 == test.ours {
				t.Errorf("counted as ours: %v, foreign: %d; want ours: %v", got, d.foreign.Load(), test.ours)
			}
		})
	}
}

func TestReachable(t *testing.T) {
	for addr, want := range map[string]string{"0.0.0.0:80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80", "192.0.2.1:80": "192.0.2.1:80", "[::1]:80": "[::1]:80", "host:80": "host:80"} {
		if got := reachable(addr); got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
}

func TestFormValue(t *testing.T) {
	for params, want := range map[string]string{"": "", "a=1": "", "id=": "", "id": "", "a=1&id=2&id=3": "2", "xid=1&id=a%2Bb": "a+b", "id=a+b": "a b", "id=%zz": "%zz", "id=1=2": "1=2"} {
		if got := formValue([]byte(params), "id"); got != want {
			t.Errorf("%q: got %q, want %q", params, got, want)
		}
	}
}

// A client that waits for 100 Continue, as curl does with a long form, is told to go on.
func TestDLRServerContinues(t *testing.T) {
	b := newBook(1, time.Now())
	d, err := listenDLR(Config{Run: "abc", DLRListen: "127.0.0.1:0"}, b)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.serve(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{ExpectContinueTimeout: patience}}
	defer client.CloseIdleConnections()
	for _, form := range []url.Values{{"id": {"1"}, "message_status": {"ESME_ROK"}}, {"id": {"1"}, "message_status": {"DELIVRD"}}, {"message_status": {"DELIVRD"}}} {
		req, err := http.NewRequest(http.MethodPost, d.url, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Expect", "100-continue")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "ACK/Jasmin" {
			t.Errorf("answer %q", body)
		}
	}
	if s := b.stats(); s.first != 1 || s.final != 1 || d.foreign.Load() != 1 {
		t.Errorf("counted %+v, %d foreign", s, d.foreign.Load())
	}
}
