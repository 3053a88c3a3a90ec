package connector

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"jasmind/internal/certs/certstest"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
)

// outbinding is a running connector that waits for outbind.
type outbinding struct {
	c    *Connector
	b    *backend
	addr string
	log  chan string
}

func startOutbind(t *testing.T, change func(*smppc.Config)) *outbinding {
	t.Helper()
	o := &outbinding{b: newBackend(), log: make(chan string, 1000)}
	cfg := Config{Connector: smppc.Default(cid)}
	cfg.Connector.Outbind, cfg.Connector.OutbindSystemID, cfg.Connector.OutbindPassword = "127.0.0.1:0", "SMSC", "letmein"
	cfg.Connector.ConFailDelay, cfg.Connector.ConLossDelay = 10*time.Millisecond, time.Hour
	if change != nil {
		change(&cfg.Connector)
	}
	var err error
	if o.c, err = New(cfg, Deps{Source: o.b, Journal: o.b, Store: o.b,
		Log: slog.New(slog.NewTextHandler(lineWriter(o.log), nil))}); err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- o.c.Run(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := o.c.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	deadline := time.After(time.Minute)
	for o.addr == "" {
		_, changed := o.c.presence.watch()
		if a := o.c.OutbindAddr(); a != nil {
			o.addr = a.String()
			break
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatal("nothing listens")
		}
	}
	return o
}

// said waits for a line of the log that has part in it.
func (o *outbinding) said(t *testing.T, part string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case line := <-o.log:
			if strings.Contains(line, part) {
				return
			}
		case <-deadline:
			t.Fatalf("the log does not say %q", part)
		}
	}
}

// outbind connects as SMSC, asks to be bound to and gives the bind that comes, once it is bound.
func (o *outbinding) outbind(t *testing.T, out pdu.Outbind, tc *tls.Config) (*smpp.Session, <-chan *pdu.Bind, <-chan error) {
	t.Helper()
	conn, err := net.Dial("tcp", o.addr)
	if err != nil {
		t.Fatal(err)
	}
	if tc != nil {
		conn = tls.Client(conn, tc)
	}
	binds, asked := make(chan *pdu.Bind, 1), make(chan *pdu.Bind, 1)
	s := smpp.NewSession(conn, smpp.SMSC, smpp.Config{Bind: func(_ context.Context, _ *smpp.Session, b *pdu.Bind) (pdu.Status, *pdu.BindResp) {
		asked <- b
		return pdu.StatusOK, nil
	}, OnStateChange: func(_ *smpp.Session, _, to smpp.State) {
		if to.Bound() {
			binds <- <-asked
		}
	}})
	if err := s.Notify(&out); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }()
	t.Cleanup(func() {
		s.Close(nil)
		<-s.Done()
	})
	return s, binds, ended
}

var goodOutbind = pdu.Outbind{SystemID: "SMSC", Password: "letmein"}

func TestOutbindLeadsToABindAndReceipts(t *testing.T) {
	o := startOutbind(t, func(c *smppc.Config) { c.Bind = pdu.Receiver })
	for range 2 { // and again when that session has ended, without a wait
		s, binds, _ := o.outbind(t, goodOutbind, nil)
		b := <-binds
		wantEqual(t, "bind", fmt.Sprint(b.Type, " ", b.SystemID, " ", b.Password), "receiver smppclient password")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		resp, err := s.Do(ctx, &pdu.DeliverSM{Message: pdu.Message{ESMClass: pdu.ESMTypeReceipt,
			ShortMessage: []byte("id:1 sub:001 dlvrd:001 submit date:2601011200 done date:2601011200 stat:DELIVRD err:000 text:")}})
		if err != nil || resp.Err() != nil {
			t.Fatalf("receipt: %v %v", err, resp.Err())
		}
		if err := s.Unbind(ctx); err != nil {
			t.Errorf("unbind: %v", err)
		}
		cancel()
	}
	wantEqual(t, "receipts", o.c.Stats().ReceiptCount.Load(), 2)
}

func TestOutbindThatMayNotBeIsRefusedBeforeOurPasswordIsTold(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*smppc.Config)
		out    pdu.Outbind
		says   string
	}{
		{"another password", nil, pdu.Outbind{SystemID: "SMSC", Password: "wrong"}, "outbind_password"},
		{"another system_id", nil, pdu.Outbind{SystemID: "EVIL", Password: "letmein"}, "outbind_system_id"},
		{"another host", func(c *smppc.Config) { c.Host = "127.0.0.2" }, goodOutbind, "not from host 127.0.0.2"},
		{"ssl without a certificate", func(c *smppc.Config) { c.SSL = true }, goodOutbind, "ssl_cert, ssl_key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := startOutbind(t, tt.change)
			_, binds, ended := o.outbind(t, tt.out, nil)
			o.said(t, tt.says)
			<-ended
			select {
			case b := <-binds:
				t.Errorf("it was bound to: %+v", b)
			default:
			}
		})
	}
}

func TestOutbindOverTLS(t *testing.T) {
	cert := certstest.Self(t, t.TempDir(), "gateway")
	o := startOutbind(t, func(c *smppc.Config) { c.SSL, c.SSLCert, c.SSLKey = true, cert.Cert, cert.Key })
	_, binds, _ := o.outbind(t, goodOutbind, &tls.Config{RootCAs: cert.Pool(), ServerName: "127.0.0.1"})
	wantEqual(t, "bind", (<-binds).Type, pdu.Transceiver)
}

func TestMoreOutbindsThanBindsAreRefused(t *testing.T) {
	o := startOutbind(t, nil)
	_, binds, _ := o.outbind(t, goodOutbind, nil)
	<-binds
	_, _, ended := o.outbind(t, goodOutbind, nil)
	o.said(t, "every bind has one")
	<-ended
}
