package loadgen

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smstext"
)

// sendServer is a /send of net/http that accepts everything and remembers the parameters.
type sendServer struct {
	*httptest.Server
	mu  sync.Mutex
	got []url.Values
}

func startSendServer(t testing.TB, answer func(n int, w http.ResponseWriter, r *http.Request)) *sendServer {
	s := &sendServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm() //nolint:errcheck // the values tell
		s.mu.Lock()
		s.got = append(s.got, r.Form)
		n := len(s.got)
		s.mu.Unlock()
		if answer != nil {
			answer(n, w, r)
			return
		}
		fmt.Fprintf(w, `Success "id-%d"`, n)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestHTTPSendsEveryNumberOnce(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		for _, pipeline := range []int{1, 5} {
			t.Run(fmt.Sprint(method, " pipeline ", pipeline), func(t *testing.T) {
				s := startSendServer(t, nil)
				cfg := httpConfig(s.URL + "/send")
				cfg.Method, cfg.Pipeline, cfg.Connections, cfg.Count, cfg.Warmup, cfg.Run = method, pipeline, 3, 200, 20, "abc"
				cfg.From, cfg.To, cfg.Params = "me & you", "+4470-4479", [][2]string{{"priority", "2"}}
				rep := mustRun(t, cfg)
				if rep.Accepted != 200 || rep.Warmup.Accepted != 20 || rep.Opened != 3 || rep.Latency.Count != 200 {
					t.Errorf("report %+v, opened %d, latency of %d", rep.Counts, rep.Opened, rep.Latency.Count)
				}
				seen := map[string]bool{}
				for _, v := range s.got {
					m := regexp.MustCompile(`^#abc:(\d+)#load test message$`).FindStringSubmatch(v.Get("content"))
					if m == nil || seen[m[1]] {
						t.Fatalf("content %q: no tag, or for the second time", v.Get("content"))
					}
					seen[m[1]] = true
					if n, _ := strconv.Atoi(m[1]); n < 1 || n > 220 {
						t.Errorf("number %s", m[1])
					}
					if to := v.Get("to"); len(to) != 5 || !strings.HasPrefix(to, "+447") {
						t.Errorf("to %q", to)
					}
					v.Del("content")
					v.Del("to")
					if want := (url.Values{"username": {"foo"}, "password": {"bar"}, "from": {"me & you"}, "priority": {"2"}}); !reflect.DeepEqual(v, want) {
						t.Fatalf("got %v, want %v", v, want)
					}
				}
				if len(seen) != 220 {
					t.Errorf("%d numbers came, want 220", len(seen))
				}
			})
		}
	}
}

func TestHTTPContent(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		want func(t *testing.T, v url.Values)
	}{
		{"GSM text goes as UTF-8", Config{Content: "für {to} #{n} €{x}"}, func(t *testing.T, v url.Values) {
			if got := v.Get("content"); got != "#r:1#für 06222172 #1 €{x}" {
				t.Errorf("content %q", got)
			}
		}},
		{"another coding goes as its octets", Config{Content: "ф", Coding: 8}, func(t *testing.T, v url.Values) {
			if got := smstext.Decode([]byte(v.Get("content")), pdu.CodingUCS2); got != "#r:1#ф" || v.Get("coding") != "8" {
				t.Errorf("content %q, coding %s", got, v.Get("coding"))
			}
		}},
		{"hex-content", Config{Content: "@", Hex: true}, func(t *testing.T, v url.Values) {
			if got := v.Get("hex-content"); got != fmt.Sprintf("%x", "#r:1#\x00") || v.Has("content") {
				t.Errorf("hex-content %q", got)
			}
		}},
		{"size fills up", Config{Content: "€", Size: 20}, func(t *testing.T, v url.Values) {
			if got := v.Get("content"); len([]rune(got)) != 20 {
				t.Errorf("content %q", got)
			}
		}},
		{"size cuts", Config{Content: strings.Repeat("ä", 100), Size: 10}, func(t *testing.T, v url.Values) {
			if got := v.Get("content"); got != "#r:1#äääää" {
				t.Errorf("content %q", got)
			}
		}},
		{"parts fill exactly", Config{Parts: 3}, func(t *testing.T, v url.Values) {
			if got := v.Get("content"); len(got) != 3*153 {
				t.Errorf("%d characters", len(got))
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := startSendServer(t, nil)
			cfg := test.cfg
			cfg.Protocol, cfg.URL, cfg.To, cfg.Count, cfg.Run, cfg.Connections = HTTP, s.URL+"/send", "06222172", 1, "r", 1
			mustRun(t, cfg)
			test.want(t, s.got[0])
		})
	}
}

func TestHTTPRefusals(t *testing.T) {
	answer := func(n int, w http.ResponseWriter, _ *http.Request) {
		switch {
		case n%3 == 0:
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, "Error \"User throughput\n exceeded\"") //nolint:errcheck // the client tells
		case n%3 == 1:
			io.WriteString(w, "Welcome") //nolint:errcheck // the client tells
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	s := startSendServer(t, answer)
	cfg := httpConfig(s.URL + "/send")
	cfg.Count = 9
	rep := mustRun(t, cfg)
	want := []Reason{{"HTTP 200 without Success: Welcome", 3}, {`HTTP 403 Error "User throughput exceeded"`, 3}, {"HTTP 503 ", 3}}
	if !reflect.DeepEqual(rep.Refused, want) || rep.Rejected != 9 || rep.Accepted != 0 {
		t.Errorf("got %+v, rejected %d, accepted %d", rep.Refused, rep.Rejected, rep.Accepted)
	}
	if err := rep.Check(Demand{All: true, Duplicates: -1}); err == nil {
		t.Error("--expect-all was satisfied")
	}
	if err := rep.Check(Demand{Duplicates: -1}); err != nil {
		t.Errorf("refusals alone are no failure: %v", err)
	}
}

func TestHTTPRetries(t *testing.T) {
	for _, pipeline := range []int{1, 4} {
		t.Run(fmt.Sprint("pipeline ", pipeline), func(t *testing.T) {
			refused := 0
			var mu sync.Mutex
			s := startSendServer(t, func(n int, w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if refused < 10 && n%2 == 0 {
					refused++
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				fmt.Fprintf(w, `Success "%d"`, n)
			})
			cfg := httpConfig(s.URL + "/send")
			cfg.Count, cfg.Retries, cfg.RetryDelay, cfg.Pipeline = 50, 20, 1, pipeline
			rep := mustRun(t, cfg)
			if rep.Accepted != 50 || rep.Retries != 10 || rep.Requests != 60 || rep.Rejected != 0 {
				t.Errorf("report %+v", rep.Counts)
			}
		})
	}
	t.Run("until there are no more tries", func(t *testing.T) {
		s := startSendServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		cfg := httpConfig(s.URL + "/send")
		cfg.Count, cfg.Retries, cfg.RetryDelay = 2, 3, 1
		rep := mustRun(t, cfg)
		if rep.Rejected != 2 || rep.Retries != 6 || rep.Requests != 8 {
			t.Errorf("report %+v", rep.Counts)
		}
	})
}

// serveSend answers requests on a bare connection until answer says no. n counts from 1.
func serveSend(conn net.Conn, answer func(n int) (string, bool)) {
	r := bufio.NewReaderSize(conn, maxLine)
	buf := make([]byte, 0, requestRoom)
	for n := 1; ; n++ {
		if _, err := readRequest(r, buf, nil); err != nil {
			return
		}
		s, more := answer(n)
		if _, err := io.WriteString(conn, s); err != nil || !more {
			return
		}
	}
}

const good = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nSuccess \"1\""

func TestHTTPFaults(t *testing.T) {
	tests := []struct {
		name   string
		second string // what the second request of the first connection gets before the connection is closed, but for the chunked one
		reason string // "" if nothing is missing
	}{
		{"closed before the answer", "", "connection closed before the answer"},
		{"closed within the headers", "HTTP/1.1 200 OK\r\nConte", "connection closed within the answer"},
		{"closed within the body", "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nSucc", "connection closed within the answer"},
		{"closed within a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nSuccess", "connection closed within the answer"},
		{"garbage", "220 mail.example ESMTP\r\n", `malformed HTTP: status line "220 mail.example ESMTP"`},
		{"connection: close", strings.Replace(good, "\r\n", "\r\nConnection: close\r\n", 1), ""},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nSuccess\r\n4\r\n \"2\"\r\n0\r\n\r\n", ""},
		{"to the end of the connection", "HTTP/1.1 200 OK\r\n\r\nSuccess \"2\"", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := startGateway(t, func(n int, conn net.Conn) {
				serveSend(conn, func(i int) (string, bool) {
					if n == 0 && i == 2 {
						return test.second, test.name == "chunked"
					}
					return good, true
				})
			})
			cfg := httpConfig(g.url)
			cfg.Count = 5
			rep := mustRun(t, cfg)
			want := []Reason{}
			if test.reason != "" {
				want = append(want, Reason{test.reason, 1})
			}
			if rep.Accepted != 5-int64(len(want)) || !reflect.DeepEqual(rep.Missing, want) {
				t.Errorf("accepted %d, missing %v, want %v", rep.Accepted, rep.Missing, want)
			}
			if rep.Opened > 2 {
				t.Errorf("%d connections", rep.Opened)
			}
		})
	}
}

func TestHTTPNoAnswer(t *testing.T) {
	g := startGateway(t, func(n int, conn net.Conn) {
		serveSend(conn, func(i int) (string, bool) {
			if n == 0 {
				return "HTTP/1.1 200 OK\r\n", true // and no more
			}
			return good, true
		})
	})
	cfg := httpConfig(g.url)
	cfg.Count, cfg.Timeout = 3, 200e6
	rep := mustRun(t, cfg)
	late := 3 - rep.Accepted // on a busy machine other answers can be late too
	if want := []Reason{{"no answer in time", late}}; late < 1 || !reflect.DeepEqual(rep.Missing, want) {
		t.Errorf("accepted %d, missing %v", rep.Accepted, rep.Missing)
	}
}

// A pipelining client sends again what a server that closes has not looked at, and gives up what it may have.
func TestHTTPPipelineFaults(t *testing.T) {
	closing := strings.Replace(good, "\r\n", "\r\nConnection: close\r\n", 1)
	for _, test := range []struct {
		name, last string
		lost       bool
	}{{"connection: close loses nothing", closing, false}, {"a broken connection loses what was in flight", "", true}} {
		t.Run(test.name, func(t *testing.T) {
			g := startGateway(t, func(n int, conn net.Conn) {
				serveSend(conn, func(i int) (string, bool) {
					if n < 3 && i == 10 {
						return test.last, false
					}
					return good, true
				})
			})
			cfg := httpConfig(g.url)
			cfg.Count, cfg.Pipeline = 200, 8
			rep := mustRun(t, cfg)
			if !test.lost && rep.Accepted != 200 {
				t.Errorf("report %+v %v", rep.Counts, rep.Missing)
			}
			if test.lost && (rep.Unanswered < 3 || rep.Unanswered > 3*8 || rep.Accepted != 200-rep.Unanswered) {
				t.Errorf("report %+v %v", rep.Counts, rep.Missing)
			}
			if rep.Opened != 4 {
				t.Errorf("%d connections, want 4", rep.Opened)
			}
		})
	}
}

func TestHTTPUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cfg := httpConfig("http://" + addr + "/send")
	cfg.Connections, cfg.Count = 4, 10
	if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "connect to "+addr) {
		t.Errorf("got error %v", err)
	}
}

// A gateway that goes away for good ends the run with a report.
func TestHTTPGatewayGoesAway(t *testing.T) {
	var g *gateway
	g = startGateway(t, func(_ int, conn net.Conn) {
		serveSend(conn, func(i int) (string, bool) {
			if i == 5 {
				g.l.Close()
				return "", false
			}
			return good, true
		})
	})
	cfg := httpConfig(g.url)
	cfg.Count, cfg.ConnectWait = 100, 1
	rep, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Accepted != 4 || rep.Unanswered != 1 || rep.Fault == "" || len(rep.Connect) == 0 {
		t.Errorf("report %+v, fault %q, connect %v", rep.Counts, rep.Fault, rep.Connect)
	}
	if err := rep.Check(Demand{Duplicates: -1}); err == nil {
		t.Error("the check was passed")
	}
}

func TestHTTPInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := startSendServer(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 30 {
			cancel()
		}
		fmt.Fprintf(w, `Success "%d"`, n)
	})
	cfg := httpConfig(s.URL + "/send")
	cfg.Connections, cfg.Duration = 3, patience
	rep, err := Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !rep.Interrupted || rep.Accepted < 30 || rep.Sent != rep.Accepted || rep.Fault != "" {
		t.Errorf("report %+v, interrupted %v, fault %q", rep.Counts, rep.Interrupted, rep.Fault)
	}
}

func TestHTTPInterruptedWithoutAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	g := startGateway(t, func(_ int, conn net.Conn) {
		serveSend(conn, func(i int) (string, bool) { cancel(); return "", true })
	})
	cfg := httpConfig(g.url)
	cfg.Count, cfg.Grace = 5, 1e6
	rep, err := Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if want := []Reason{{"the run was ended", 1}}; !rep.Interrupted || !reflect.DeepEqual(rep.Missing, want) || rep.Sent != 1 {
		t.Errorf("report %+v, missing %v", rep.Counts, rep.Missing)
	}
}

// reporter is a gateway that answers and then reports, level by level, as told.
func startReporter(t *testing.T, stages []string, repeat int, early bool) *sendServer {
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	var ids atomic.Int64
	return startSendServer(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		id := fmt.Sprintf("0000-%d", ids.Add(1))
		to, method := r.Form.Get("dlr-url"), r.Form.Get("dlr-method")
		report := func() {
			for _, status := range stages {
				for range 1 + repeat {
					v := url.Values{"id": {id}, "message_status": {status}, "level": {r.Form.Get("dlr-level")}}
					var resp *http.Response
					var err error
					if method == "POST" {
						resp, err = http.PostForm(to, v)
					} else {
						resp, err = http.Get(to + "?" + v.Encode())
					}
					if err != nil {
						t.Error(err)
						return
					}
					b, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					if resp.StatusCode != 200 || string(b) != "ACK/Jasmin" {
						t.Errorf("the sink answered %d %q", resp.StatusCode, b)
					}
				}
			}
		}
		if early {
			report()
		} else {
			wg.Go(report)
		}
		fmt.Fprintf(w, `Success "%s"`, id)
	})
}

func TestDLR(t *testing.T) {
	tests := []struct {
		name         string
		level        int
		stages       []string
		repeat       int
		early        bool
		first, final int64
	}{
		{"level 1", 1, []string{"ESME_ROK"}, 0, false, 20, 0},
		{"level 2", 2, []string{"DELIVRD"}, 0, false, 0, 20},
		{"level 3, with an intermediate one", 3, []string{"ESME_ROK", "ENROUTE", "UNDELIV"}, 0, false, 20, 20},
		{"each twice", 3, []string{"ESME_ROK", "DELIVRD"}, 1, true, 20, 20},
		{"before the answer", 3, []string{"ESME_ROK", "DELIVRD"}, 0, true, 20, 20},
	}
	for _, test := range tests {
		for _, method := range []string{"GET", "POST"} {
			t.Run(test.name+" by "+method, func(t *testing.T) {
				t.Cleanup(http.DefaultClient.CloseIdleConnections)
				s := startReporter(t, test.stages, test.repeat, test.early)
				cfg := httpConfig(s.URL + "/send")
				cfg.DLR, cfg.DLRMethod, cfg.Count, cfg.Settle, cfg.Connections = test.level, method, 20, patience, 2
				rep := mustRun(t, cfg)
				r := rep.Reports
				if r.IDs != 20 || r.First.Received != test.first || r.Final.Received != test.final || r.First.Missing+r.Final.Missing+r.Unknown+r.Foreign != 0 {
					t.Errorf("reports %+v", r)
				}
				if r.First.Latency.Count != test.first || r.Final.Latency.Count != test.final {
					t.Errorf("latencies of %d and %d", r.First.Latency.Count, r.Final.Latency.Count)
				}
				if test.repeat > 0 && r.First.Duplicates != test.first { // all have come before the last answer
					t.Errorf("%d duplicates of level 1, want %d", r.First.Duplicates, test.first)
				}
				if err := rep.Check(Demand{All: true, Duplicates: -1}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	t.Run("missing", func(t *testing.T) {
		s := startSendServer(t, nil)
		cfg := httpConfig(s.URL + "/send")
		cfg.DLR, cfg.Count, cfg.Settle = 3, 7, 1e6
		rep := mustRun(t, cfg)
		if rep.Reports.First.Missing != 7 || rep.Reports.Final.Missing != 7 || rep.Check(Demand{All: true, Duplicates: -1}) == nil {
			t.Errorf("reports %+v", rep.Reports)
		}
	})
}
