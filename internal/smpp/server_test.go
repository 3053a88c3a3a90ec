package smpp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/smpptest"
)

// serving is a running server.
type serving struct {
	*smpp.Server
	served chan error // what Serve returned
	ends   chan error // what sessions returned
	cancel context.CancelFunc
}

func serve(t *testing.T, cfg smpp.ServerConfig, listen func(srv *smpp.Server) error) *serving {
	t.Helper()
	if cfg.Bind == nil {
		cfg.Bind = acceptFoo
	}
	if cfg.Handler == nil {
		cfg.Handler = accept
	}
	s := &serving{served: make(chan error, 1), ends: make(chan error, 100)}
	cfg.OnEnd = func(_ *smpp.Session, err error) { s.ends <- err }
	s.Server = smpp.NewServer(cfg)
	if err := listen(s.Server); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	var wg sync.WaitGroup
	wg.Go(func() { s.served <- s.Serve(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return s
}

// loopback listens on a free port.
func loopback(tc *tls.Config) func(*smpp.Server) error {
	return func(srv *smpp.Server) error { return srv.Listen(context.Background(), "tcp", "127.0.0.1:0", tc) }
}

// dialed is a running client session.
func dialed(t *testing.T, addr string, cfg smpp.DialConfig) (*smpp.Session, <-chan error) {
	t.Helper()
	if cfg.Bind.SystemID == "" {
		cfg.Bind = bindAs
	}
	s, _, err := smpp.Dial(t.Context(), "tcp", addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- s.Run(context.Background()) }()
	t.Cleanup(func() {
		s.Close(nil)
		<-s.Done()
	})
	return s, ran
}

// certificate makes a key pair for 127.0.0.1 and the pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "smsc"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestServer(t *testing.T) {
	t.Run("serves several listeners, with and without TLS", func(t *testing.T) {
		cert, pool := certificate(t)
		srv := serve(t, smpp.ServerConfig{}, func(srv *smpp.Server) error {
			return errors.Join(loopback(nil)(srv), loopback(&tls.Config{Certificates: []tls.Certificate{cert}})(srv))
		})
		addrs := srv.Addrs()
		for i, tc := range []*tls.Config{nil, {RootCAs: pool}} {
			s, ran := dialed(t, addrs[i].String(), smpp.DialConfig{TLS: tc})
			resp, err := s.Do(t.Context(), submit("hello"))
			if err != nil || resp.PDU.(*pdu.SubmitSMResp).MessageID != "7e3a1c52" {
				t.Errorf("listener %d: got %+v %v", i, resp, err)
			}
			wantErr(t, "Unbind", s.Unbind(t.Context()), nil)
			wantErr(t, "Run", <-ran, nil)
			wantErr(t, "server's Run", <-srv.ends, smpp.ErrUnbound)
		}
		_, _, err := smpp.Dial(t.Context(), "tcp", addrs[1].String(), smpp.DialConfig{TLS: &tls.Config{}, Bind: bindAs})
		var unknown x509.UnknownAuthorityError
		if !errors.As(err, &unknown) {
			t.Errorf("dial without the CA: got %v", err)
		}
	})
	t.Run("refuses a bind by its status", func(t *testing.T) {
		srv := serve(t, smpp.ServerConfig{}, loopback(nil))
		_, _, err := smpp.Dial(t.Context(), "tcp", srv.Addr().String(), smpp.DialConfig{Bind: pdu.Bind{SystemID: "foo", Password: "wrong"}})
		var se *smpp.StatusError
		if !errors.As(err, &se) || se.Status != pdu.StatusInvPaswd {
			t.Errorf("Dial: got %v, want ESME_RINVPASWD", err)
		}
		wantErr(t, "server's Run", <-srv.ends, smpp.ErrPeerClosed)
	})
	t.Run("shuts down in order: refuses, drains, unbinds", func(t *testing.T) {
		k := make(keep, 1)
		srv := serve(t, smpp.ServerConfig{Config: smpp.Config{Handler: k}}, loopback(nil))
		addr := srv.Addr().String()
		s, ran := dialed(t, addr, smpp.DialConfig{})
		done, results := collect(1)
		wantErr(t, "Send", s.Send(t.Context(), submit("in flight"), done), nil)
		req := <-k
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(context.Background()) }()
		wantErr(t, "Respond", req.Respond(pdu.StatusOK, &pdu.SubmitSMResp{MessageID: "1"}), nil)
		a := <-results
		if a.err != nil || a.resp.Err() != nil {
			t.Errorf("submit_sm in flight: got %v %v", a.resp, a.err)
		}
		wantErr(t, "client's Run", <-ran, smpp.ErrUnbound)
		wantErr(t, "Shutdown", <-down, nil)
		wantErr(t, "Serve", <-srv.served, nil)
		if _, _, err := smpp.Dial(t.Context(), "tcp", addr, smpp.DialConfig{Bind: bindAs}); err == nil {
			t.Error("a connection was accepted after Shutdown")
		}
	})
	t.Run("ends with its context", func(t *testing.T) {
		srv := serve(t, smpp.ServerConfig{}, loopback(nil))
		_, ran := dialed(t, srv.Addr().String(), smpp.DialConfig{})
		srv.cancel()
		wantErr(t, "Serve", <-srv.served, context.Canceled)
		if err := <-ran; err == nil {
			t.Error("the client's Run returned nil")
		}
	})
	t.Run("a slow authentication holds nobody else up", func(t *testing.T) {
		release := make(chan struct{})
		srv := serve(t, smpp.ServerConfig{Config: smpp.Config{Bind: func(_ context.Context, s *smpp.Session, b *pdu.Bind) (pdu.Status, *pdu.BindResp) {
			if b.SystemID == "slow" {
				<-release
			}
			s.Attach(b.SystemID)
			return pdu.StatusOK, nil
		}}}, loopback(nil))
		slow := make(chan error, 1)
		go func() {
			s, _, err := smpp.Dial(context.Background(), "tcp", srv.Addr().String(), smpp.DialConfig{Bind: pdu.Bind{SystemID: "slow"}})
			if err == nil {
				s.Close(nil)
			}
			slow <- err
		}()
		s, _ := dialed(t, srv.Addr().String(), smpp.DialConfig{})
		_, err := s.Do(t.Context(), submit("x"))
		wantErr(t, "Do", err, nil)
		var attached any
		for _, s := range srv.Sessions() {
			if s.SystemID() == "foo" {
				attached = s.Attachment()
			}
		}
		if attached != "foo" {
			t.Errorf("attached %v, want foo", attached)
		}
		close(release)
		wantErr(t, "slow Dial", <-slow, nil)
	})
}

// faultyListener fails a few times before it accepts, as when files run out.
type faultyListener struct {
	net.Listener
	faults int
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *faultyListener) Accept() (net.Conn, error) {
	if l.faults > 0 {
		l.faults--
		return nil, errors.New("too many open files")
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *faultyListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *faultyListener) Addr() net.Addr { return &net.TCPAddr{} }

func TestAcceptErrorsAreWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &faultyListener{faults: 10, conns: make(chan net.Conn), closed: make(chan struct{})}
		srv := serve(t, smpp.ServerConfig{}, func(srv *smpp.Server) error { return srv.ListenOn(l, nil) })
		start := time.Now()
		ours, theirs := smpptest.Pipe()
		p := smpptest.NewPeer(t, ours)
		l.conns <- theirs
		// 5, 10, 20 ... 640 ms, then twice a second.
		since(t, start, 1275*time.Millisecond+2*time.Second)
		p.Bind(bindAs)
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(context.Background()) }()
		p.AnswerUnbind()
		wantErr(t, "Shutdown", <-down, nil)
	})
}

func TestDial(t *testing.T) {
	t.Run("names the address that refuses", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		l.Close() //nolint:errcheck // it is just to be free
		_, _, err = smpp.Dial(t.Context(), "tcp", addr, smpp.DialConfig{Bind: bindAs})
		var op *net.OpError
		if !errors.As(err, &op) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ends with its context when nobody answers", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("stopped")
		go func() {
			c, err := l.Accept()
			if err == nil {
				cancel(cause)
				defer c.Close()
			}
			<-t.Context().Done()
		}()
		_, _, err = smpp.Dial(ctx, "tcp", l.Addr().String(), smpp.DialConfig{Bind: bindAs})
		wantErr(t, "Dial", err, cause)
	})
}
