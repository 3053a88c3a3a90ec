package smscsim_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smscsim"
)

// waiting is an ESME that waits for outbind on one connection and does with it what then says.
func waiting(t *testing.T, config *tls.Config, then func(*smpp.Session, *pdu.Outbind) error) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return // the test ended without one
		}
		if config != nil {
			conn = tls.Server(conn, config)
		}
		s := smpp.NewSession(conn, smpp.ESME, smpp.Config{Handler: smpp.HandlerFunc(func(_ *smpp.Session, r *smpp.Request) {
			r.Respond(pdu.StatusOK, nil) //nolint:errcheck // the simulator tells
		})})
		defer s.Close(nil)
		out, err := s.AwaitOutbind(context.Background())
		if err == nil {
			err = then(s, out)
		}
		if err != nil {
			t.Logf("ESME: %v", err)
		}
	}()
	t.Cleanup(func() {
		l.Close() //nolint:errcheck // to wake Accept
		<-done
	})
	return l.Addr().String()
}

// binds binds and serves until the session ends.
func binds(s *smpp.Session, out *pdu.Outbind) error {
	if *out != (pdu.Outbind{SystemID: "operator", Password: "letmein"}) {
		return fmt.Errorf("outbind %+v", out)
	}
	if _, err := s.Bind(context.Background(), &clientBind); err != nil {
		return err
	}
	return s.Run(context.Background())
}

func TestOutbindLeadsToABind(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls %v", secure), func(t *testing.T) {
			sim := start(t, smscsim.Config{})
			var config *tls.Config
			if secure {
				certFile, keyFile, _ := certificate(t)
				cert, err := tls.LoadX509KeyPair(certFile, keyFile)
				if err != nil {
					t.Fatal(err)
				}
				config = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
			}
			address := waiting(t, config, binds)
			v, err := sim.Outbind(t.Context(), smscsim.Outbind{Address: address, SystemID: "operator", Password: "letmein", TLS: secure})
			if err != nil || v.Account != "smppclient1" || v.State != "BOUND_TRX" || v.Remote != address {
				t.Fatalf("%+v, %v", v, err)
			}
			if st, err := sim.InjectMO(t.Context(), smscsim.MO{From: "44", To: "1234", Text: "hi"}); st != pdu.StatusOK || err != nil {
				t.Errorf("a message on that session: %s, %v", st, err)
			}
			if n := sim.Drop(""); n != 1 {
				t.Errorf("%d sessions", n)
			}
		})
	}
}

func TestOutbindWithoutABind(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close() //nolint:errcheck // its address is wanted
	ends := func(*smpp.Session, *pdu.Outbind) error { return nil }
	silent := make(chan struct{})
	defer close(silent)
	says := func(address, more string) string { return fmt.Sprintf(`{"address":%q%s}`, address, more) }
	for _, tt := range []struct {
		name, body string
		code       int
		said       string
	}{
		{"no address", `{}`, 400, "address"},
		{"a password too long", says("127.0.0.1:1", `,"password":"123456789"`), 400, "password"},
		{"an unknown key", says("127.0.0.1:1", `,"port":1`), 400, "port"},
		{"nobody listens", says(nobody.Addr().String(), ""), 502, "refused"},
		{"the ESME ends the connection", says(waiting(t, nil, ends), ""), 502, "did not bind"},
		{"the ESME says nothing", says(waiting(t, nil, func(*smpp.Session, *pdu.Outbind) error { <-silent; return nil }), `,"timeout":"20ms"`), 504, "did not bind"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sim := start(t, smscsim.Config{})
			var a struct{ Error string }
			if code := call(t, sim, "POST", "/outbind", tt.body, &a); code != tt.code || !strings.Contains(a.Error, tt.said) {
				t.Errorf("%d %q, want %d and %q", code, a.Error, tt.code, tt.said)
			}
		})
	}
	t.Run("over HTTP", func(t *testing.T) {
		sim := start(t, smscsim.Config{})
		var v smscsim.SessionView
		body := says(waiting(t, nil, binds), `,"system_id":"operator","password":"letmein"`)
		if code := call(t, sim, "POST", "/outbind", body, &v); code != 201 || v.State != "BOUND_TRX" {
			t.Errorf("%d %+v", code, v)
		}
		sim.Drop("")
	})
}

func TestOutbindEndsWithTheSimulator(t *testing.T) {
	sim := smscsim.New(smscsim.Config{})
	if _, err := sim.Outbind(t.Context(), smscsim.Outbind{Address: "127.0.0.1:1"}); !errors.Is(err, smscsim.ErrStopped) {
		t.Errorf("before Start: %v", err)
	}
	sim = start(t, smscsim.Config{})
	asked, stopped := make(chan struct{}), make(chan struct{})
	defer close(stopped)
	address := waiting(t, nil, func(*smpp.Session, *pdu.Outbind) error { close(asked); <-stopped; return nil })
	result := make(chan error)
	go func() {
		_, err := sim.Outbind(context.Background(), smscsim.Outbind{Address: address, Timeout: smscsim.Duration(time.Hour)})
		result <- err
	}()
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := sim.Stop(ctx); err != nil {
		t.Error(err)
	}
	if err := <-result; !errors.Is(err, smscsim.ErrStopped) && !errors.Is(err, smscsim.ErrNoBind) {
		t.Errorf("while it waits: %v", err)
	}
}
