package steps

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cucumber/godog"

	"jasmind/internal/smpp/pdu"
)

// corpus reads a file of testdata/malformed: octets in hexadecimal, XX*N for N times the octet XX, lines that
// begin with # are remarks.
func corpus(name string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join("..", "testdata", "malformed", name+".hex"))
	if err != nil {
		return nil, err
	}
	var out []byte
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for field := range strings.FieldsSeq(line) {
			octets, times, repeated := strings.Cut(field, "*")
			b, err := hex.DecodeString(octets)
			if err != nil {
				return nil, fmt.Errorf("%s: %q: %w", name, field, err)
			}
			n := 1
			if repeated {
				if n, err = strconv.Atoi(times); err != nil {
					return nil, fmt.Errorf("%s: %q: %w", name, field, err)
				}
			}
			out = append(out, bytes.Repeat(b, n)...)
		}
	}
	return out, nil
}

// rawSMSC is an SMSC that sends odd octets once, before its first answer to a submit_sm or in place of its first
// answer to a bind, and behaves otherwise.
type rawSMSC struct {
	l      net.Listener
	octets []byte
	bind   bool

	wg          sync.WaitGroup
	connections record[string]
	texts       record[string]

	mu    sync.Mutex
	sent  bool
	conns []net.Conn
	ids   int
}

func newRawSMSC(octets []byte, bind bool) (*rawSMSC, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &rawSMSC{l: l, octets: octets, bind: bind}
	s.wg.Go(s.accept)
	return s, nil
}

func (s *rawSMSC) accept() {
	for {
		conn, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, conn)
		s.mu.Unlock()
		s.connections.add(conn.RemoteAddr().String())
		s.wg.Go(func() {
			s.serve(conn) //nolint:errcheck // however it ends
			conn.Close()  //nolint:errcheck // the gateway sees it
		})
	}
}

// once gives the odd octets the first time.
func (s *rawSMSC) once() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent {
		return nil
	}
	s.sent = true
	return s.octets
}

func (s *rawSMSC) serve(conn net.Conn) error {
	r := bufio.NewReader(conn)
	for {
		frame, err := pdu.ReadFrame(r, nil, pdu.DefaultMaxLength)
		if err != nil {
			return err
		}
		h, p, err := pdu.Decode(frame)
		if err != nil {
			return err
		}
		var out []byte
		var resp pdu.PDU
		switch p := p.(type) {
		case *pdu.Bind:
			resp = &pdu.BindResp{Type: p.Type, SystemID: "raw"}
			if s.bind {
				if out = s.once(); out != nil {
					resp = nil
				}
			}
		case *pdu.SubmitSM:
			if !s.bind {
				out = slices.Clone(s.once())
			}
			s.mu.Lock()
			s.ids++
			resp = &pdu.SubmitSMResp{MessageID: strconv.Itoa(s.ids)}
			s.mu.Unlock()
			s.texts.add(string(p.ShortMessage))
		case *pdu.EnquireLink:
			resp = &pdu.EnquireLinkResp{}
		case *pdu.Unbind:
			resp = &pdu.UnbindResp{}
		}
		if resp != nil {
			if out, err = pdu.Append(out, pdu.StatusOK, h.Sequence, resp); err != nil {
				return err
			}
		}
		if _, err := conn.Write(out); err != nil {
			return err
		}
	}
}

func (s *rawSMSC) close() {
	s.l.Close() //nolint:errcheck // nothing is left to be told
	s.mu.Lock()
	for _, c := range s.conns {
		c.Close() //nolint:errcheck // twice is fine
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (f *foreign) malformedSteps(sc *godog.ScenarioContext, esmes *esmes) {
	sc.Step(`^another session of "(\w+)" sends the octets of "(\w+)" and is answered "(.*)", and (goes on|ends)$`, func(name, file, want, fate string) error {
		octets, err := corpus(file)
		if err != nil {
			return err
		}
		e, err := esmes.named(name).raw(esmes.address())
		if err != nil {
			return err
		}
		defer e.conn.Close() //nolint:errcheck // the scenario is done with it
		answers, ended, err := e.provoke(octets, strings.Count(want, "ESME_"))
		if err != nil {
			return err
		}
		slices.Sort(answers)
		if got := strings.Join(answers, ", "); got != want || ended != (fate == "ends") {
			return fmt.Errorf("it was answered %q, ended %v", got, ended)
		}
		return nil
	})
	sc.Step(`^a connector "([\w-]+)" to an SMSC that sends the octets of "(\w+)" (before its first answer|as its first answer to a bind)$`, func(cid, file, when string) error {
		octets, err := corpus(file)
		if err != nil {
			return err
		}
		s, err := newRawSMSC(octets, when != "before its first answer")
		if err != nil {
			return err
		}
		f.raw = s
		f.connectors.addTo(cid, s.l.Addr().String(), smscUser, smscPassword)
		return nil
	})
	sc.Step(`^that SMSC has got (\d+) messages on (\d+) connections?$`, func(messages, connections int) error {
		if err := f.raw.texts.wait(fmt.Sprint(messages, " messages"), func(l []string) bool { return len(l) >= messages }); err != nil {
			return err
		}
		if err := f.raw.connections.wait(fmt.Sprint(connections, " connections"), func(l []string) bool { return len(l) >= connections }); err != nil {
			return err
		}
		if n, c := len(f.raw.texts.all()), len(f.raw.connections.all()); n != messages || c != connections {
			return fmt.Errorf("it has got %d messages on %d connections", n, c)
		}
		return nil
	})
}
