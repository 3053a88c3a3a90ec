package loadgen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jasmind/internal/smpp/pdu"
)

// scripted is an SMSC that does what a function says.
type scripted struct {
	*gateway
	served sync.WaitGroup // connections: after a run all have ended
	mu     sync.Mutex
	others []string // requests and answers of clients beside bind, submit_sm and unbind
}

// submission is a submit_sm at a scripted SMSC.
type submission struct {
	conn, n int // the number of the connection from 0, of the message on it from 1
	seq     uint32
	write   func(seq uint32, status pdu.Status, p pdu.PDU)
}

func (s *submission) accept() {
	s.write(s.seq, pdu.StatusOK, &pdu.SubmitSMResp{MessageID: fmt.Sprint(s.conn, "-", s.n)})
}

// startScripted answers binds with a status and each submit_sm by a function; false ends the connection.
func startScripted(t testing.TB, bind func(conn int) pdu.Status, submit func(s *submission) bool) *scripted {
	s := &scripted{}
	s.gateway = startGateway(t, func(c int, conn net.Conn) {
		s.served.Add(1)
		defer s.served.Done()
		write := func(seq uint32, status pdu.Status, p pdu.PDU) {
			out, err := pdu.Append(nil, status, seq, p)
			if err != nil {
				t.Error(err)
			}
			conn.Write(out)
		}
		r := bufio.NewReader(conn)
		for n := 0; ; {
			frame, err := pdu.ReadFrame(r, nil, 0)
			if err != nil {
				return
			}
			h, p, err := pdu.Decode(frame)
			if err != nil {
				t.Error(err)
				return
			}
			switch p := p.(type) {
			case *pdu.Bind:
				write(h.Sequence, bind(c), &pdu.BindResp{Type: p.Type, SystemID: "x"})
			case *pdu.SubmitSM:
				n++
				if !submit(&submission{c, n, h.Sequence, write}) {
					return
				}
			case *pdu.Unbind:
				write(h.Sequence, pdu.StatusOK, &pdu.UnbindResp{})
				return
			default:
				s.mu.Lock()
				s.others = append(s.others, fmt.Sprint(h.ID, " ", h.Sequence, " ", h.Status))
				s.mu.Unlock()
			}
		}
	})
	return s
}

func welcome(int) pdu.Status { return pdu.StatusOK }

func (s *scripted) config(engine string) Config {
	return Config{Protocol: SMPP, Addr: s.l.Addr().String(), Engine: engine, Bind: "trx", To: "4479", Timeout: patience, ConnectWait: patience, Window: 1}
}

// What an SMSC sends between its answers is answered in its turn, and costs no message.
func TestEnginesAnswerTheSMSC(t *testing.T) {
	for _, engine := range []string{Native, Raw} {
		t.Run(engine, func(t *testing.T) {
			s := startScripted(t, welcome, func(s *submission) bool {
				if s.n == 1 {
					for i, p := range []pdu.PDU{&pdu.EnquireLink{}, &pdu.QuerySM{MessageID: "1"}, &pdu.DeliverSM{}, &pdu.DataSM{}} {
						s.write(uint32(70+i), pdu.StatusOK, p)
					}
					s.write(99, pdu.StatusOK, &pdu.SubmitSMResp{MessageID: "nobody asked"})
					s.write(98, pdu.StatusOK, &pdu.EnquireLinkResp{})
				}
				s.accept()
				return true
			})
			cfg := s.config(engine)
			cfg.Count = 3
			rep := mustRun(t, cfg)
			if rep.Accepted != 3 || rep.Opened != 1 {
				t.Errorf("report %+v %v, opened %d", rep.Counts, rep.Missing, rep.Opened)
			}
			s.served.Wait()
			for i, want := range []string{"enquire_link_resp 70 ESME_ROK", " 71 ESME_RINVCMDID", "deliver_sm_resp 72 ESME_ROK", " 73 ESME_RINVCMDID"} {
				if !slices.ContainsFunc(s.others, func(got string) bool { return strings.HasSuffix(got, want) }) {
					t.Errorf("request %d was not answered by %q: %q", i+1, want, s.others)
				}
			}
		})
	}
}

// Answers that are none of a submit_sm_resp with an id are told as what they are.
func TestOddAnswersAreRefusals(t *testing.T) {
	for _, engine := range []string{Native, Raw} {
		t.Run(engine, func(t *testing.T) {
			s := startScripted(t, welcome, func(s *submission) bool {
				switch s.n {
				case 1:
					s.write(s.seq, pdu.StatusOK, &pdu.SubmitSMResp{})
				case 2:
					s.write(s.seq, pdu.StatusInvCmdID, &pdu.GenericNack{})
				default:
					s.accept()
				}
				return true
			})
			cfg := s.config(engine)
			cfg.Count = 3
			rep := mustRun(t, cfg)
			want := []Reason{{"ESME_RINVCMDID", 1}, {"ESME_ROK without a message_id", 1}}
			if rep.Accepted != 1 || rep.Rejected != 2 || !reflect.DeepEqual(rep.Refused, want) {
				t.Errorf("report %+v %v", rep.Counts, rep.Refused)
			}
		})
	}
}

// An SMSC that unbinds is left in order; what it has not answered is unanswered, and the rest goes over a new bind.
func TestSMSCUnbinds(t *testing.T) {
	for _, engine := range []string{Native, Raw} {
		t.Run(engine, func(t *testing.T) {
			s := startScripted(t, welcome, func(s *submission) bool {
				if s.conn == 0 && s.n == 3 {
					s.write(70, pdu.StatusOK, &pdu.Unbind{})
					return true // the client closes
				}
				s.accept()
				return true
			})
			cfg := s.config(engine)
			cfg.Count = 6
			rep := mustRun(t, cfg)
			if rep.Accepted != 5 || rep.Unanswered != 1 || rep.Opened != 2 || len(rep.Missing) != 1 {
				t.Errorf("report %+v %v, opened %d", rep.Counts, rep.Missing, rep.Opened)
			}
			s.served.Wait()
			if !slices.Contains(s.others, "unbind_resp 70 ESME_ROK") {
				t.Errorf("unbind was not answered: %q", s.others)
			}
		})
	}
}

// A lost connection that is refused again and again ends the run when the patience of --connect-wait does, and
// the failures are listed. What was never sent is a refusal.
func TestRebindIsRefused(t *testing.T) {
	for _, engine := range []string{Native, Raw} {
		t.Run(engine, func(t *testing.T) {
			s := startScripted(t, func(conn int) pdu.Status {
				if conn > 0 {
					return pdu.StatusBindFail
				}
				return pdu.StatusOK
			}, func(s *submission) bool {
				if s.n == 2 {
					return false
				}
				s.accept()
				return true
			})
			cfg := s.config(engine)
			cfg.Count, cfg.ConnectWait = 10, 1
			rep := mustRun(t, cfg)
			// The third message may have been begun when there was no connection for it.
			if rep.Accepted != 1 || rep.Unanswered != 1 || rep.Rejected > 1 || rep.Rejected == 1 && !strings.HasPrefix(rep.Refused[0].Reason, "not sent: ") || !strings.Contains(rep.Fault, "ESME_RBINDFAIL") {
				t.Errorf("report %+v %v, fault %q", rep.Counts, rep.Missing, rep.Fault)
			}
			if len(rep.Connect) != 1 || !strings.Contains(rep.Connect[0].Reason, "ESME_RBINDFAIL") {
				t.Errorf("failures to connect %v", rep.Connect)
			}
			if err := rep.Check(Demand{Duplicates: -1}); !errors.Is(err, ErrEnded) {
				t.Errorf("the check says %v", err)
			}
		})
	}
}

// Of a long message whose part is lost or refused, the whole is.
func TestPartsDecideTogether(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(s *submission) bool // to the second part of the first message
		want   Counts
		reason string
	}{
		{"refused", func(s *submission) bool {
			s.write(s.seq, pdu.StatusInvDstAdr, &pdu.SubmitSMResp{})
			return true
		}, Counts{Sent: 2, Accepted: 1, Rejected: 1, Requests: 6}, "ESME_RINVDSTADR"},
		{"lost", func(*submission) bool { return false }, Counts{Sent: 2, Accepted: 1, Unanswered: 1, Requests: 6}, ""},
	} {
		for _, engine := range []string{Native, Raw} {
			t.Run(test.name+" "+engine, func(t *testing.T) {
				s := startScripted(t, welcome, func(s *submission) bool {
					if s.conn == 0 && s.n == 2 {
						return test.answer(s)
					}
					s.accept()
					return true
				})
				cfg := s.config(engine)
				cfg.Count, cfg.Parts = 2, 3
				rep := mustRun(t, cfg)
				if rep.Counts != test.want {
					t.Errorf("report %+v, want %+v", rep.Counts, test.want)
				}
				if list := append(rep.Refused, rep.Missing...); len(list) != 1 || !strings.Contains(list[0].Reason, test.reason) {
					t.Errorf("reasons %v", list)
				}
			})
		}
	}
}

// An SMSC that says nothing at all to the bind is given up after --timeout.
func TestBindIsNotAnswered(t *testing.T) {
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			g := startGateway(t, func(_ int, conn net.Conn) { io.Copy(io.Discard, conn) })
			cfg := Config{Protocol: SMPP, Addr: g.l.Addr().String(), Engine: engine, To: "1", Count: 1, Timeout: 50 * time.Millisecond}
			if rep, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "smpp: ") {
				t.Errorf("got %+v, %v", rep, err)
			}
		})
	}
}

// Something else than SMPP at the address is told.
func TestBindIsAnsweredOddly(t *testing.T) {
	for _, test := range []struct{ name, octets, want string }{
		{"another answer", "\x00\x00\x00\x10\x80\x00\x00\x15\x00\x00\x00\x00\x00\x00\x00\x01", "enquire_link_resp instead of an answer to the bind"},
		{"no SMPP", "HTTP/1.1 400 Bad Request\r\n\r\n", "bind to"},
		{"the end", "", "EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := startGateway(t, func(_ int, conn net.Conn) {
				pdu.ReadFrame(bufio.NewReader(conn), nil, 0)
				io.WriteString(conn, test.octets)
			})
			cfg := Config{Protocol: SMPP, Addr: g.l.Addr().String(), Engine: Raw, To: "1", Count: 1, Timeout: patience}
			if rep, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %+v, %v; want %s", rep, err, test.want)
			}
		})
	}
}

// A run that is ended before it has begun has sent nothing, and says so.
func TestInterruptedWhileConnecting(t *testing.T) {
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			g := startGateway(t, func(_ int, conn net.Conn) {
				cancel()
				io.Copy(io.Discard, conn)
			})
			cfg := Config{Protocol: SMPP, Addr: g.l.Addr().String(), Engine: engine, To: "1", Count: 1, Timeout: patience, Grace: 1}
			rep, err := Run(ctx, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if rep.Sent != 0 || !rep.Interrupted || !errors.Is(rep.Check(Demand{Duplicates: -1}), ErrNothing) {
				t.Errorf("report %+v, interrupted %v, check %v", rep.Counts, rep.Interrupted, rep.Check(Demand{Duplicates: -1}))
			}
		})
	}
}

// Intermediate receipts are counted apart, what is no receipt is foreign, and an unknown one nobody's.
func TestReceiptsAreToldApart(t *testing.T) {
	text := func(id, state string) *pdu.DeliverSM {
		return &pdu.DeliverSM{Message: pdu.Message{ESMClass: pdu.ESMTypeReceipt,
			ShortMessage: []byte("id:" + id + " sub:001 dlvrd:001 submit date:2401020304 done date:2401020305 stat:" + state + " err:000 text:x")}}
	}
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			s := startScripted(t, welcome, func(s *submission) bool {
				for i, p := range []*pdu.DeliverSM{text("0-1", "ENROUTE"), text("0-1", "DELIVRD"), text("0-1", "DELIVRD"), text("stranger", "DELIVRD"),
					{Message: pdu.Message{ESMClass: pdu.ESMTypeReceipt, ShortMessage: []byte("no receipt")}}} {
					s.write(uint32(70+i), pdu.StatusOK, p)
				}
				s.accept()
				return true
			})
			cfg := s.config(engine)
			cfg.Count, cfg.Receipts, cfg.Settle = 1, true, patience
			rep := mustRun(t, cfg)
			got := *rep.Reports
			got.Elapsed, got.PerS, got.Final.Latency = 0, 0, Latency{}
			want := Reports{IDs: 1, Final: Stage{Expected: true, Received: 1, Duplicates: 1}, Intermediate: 1, Unknown: 1, Foreign: 1}
			if got != want {
				t.Errorf("reports %+v, want %+v", got, want)
			}
		})
	}
}
