package httpapi

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"jasmind/internal/admission"
	"jasmind/internal/certs"
	"jasmind/internal/certs/certstest"
)

// serve starts a door on a free port of the loopback interface, and stops it with the test.
func (d *door) serve(t *testing.T) string {
	t.Helper()
	if err := d.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- d.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(d.http.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return d.Addr().String()
}

const patience = 30 * time.Second

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() }) //nolint:errcheck // it may be closed
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// Who is not allowed is closed before TLS and before anything is read: he holds no place.
func TestWhoIsNotAllowedIsClosedAtOnce(t *testing.T) {
	self := certstest.Self(t, t.TempDir(), "server")
	for name, cfg := range map[string]Config{"plain": {}, "TLS": {SSL: true, TLS: certs.Server{Certificate: self.Cert, Key: self.Key}}} {
		t.Run(name, func(t *testing.T) {
			cfg.Bind, cfg.Allow = "127.0.0.1", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
			d := newDoor(cfg)
			c := dial(t, d.serve(t))
			if got, err := io.ReadAll(c); len(got) != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	d := newDoor(Config{Bind: "127.0.0.1", Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if status, err := ping(t, d.serve(t), false); status != 200 {
		t.Errorf("who is allowed: %d, %v", status, err)
	}
}

// ping asks over HTTP/1.1 or HTTP/2 without TLS.
func ping(t *testing.T, addr string, h2 bool) (int, error) {
	t.Helper()
	c := plainClient(t, h2)
	resp, err := c.Get("http://" + addr + "/ping")
	if err != nil {
		return 0, err
	}
	_ = resp.Body.Close()
	return resp.StatusCode, nil
}

func plainClient(t *testing.T, h2 bool) *http.Client {
	t.Helper()
	p := new(http.Protocols)
	p.SetHTTP1(!h2)
	p.SetUnencryptedHTTP2(h2)
	tr := &http.Transport{Protocols: p}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func TestHTTP2WithoutTLSIsSpokenWhenItIsAskedFor(t *testing.T) {
	for _, on := range []bool{false, true} {
		d := newDoor(Config{Bind: "127.0.0.1", H2C: on})
		status, err := ping(t, d.serve(t), true)
		if on && (err != nil || status != 200) || !on && err == nil {
			t.Errorf("h2c %v: %d, %v", on, status, err)
		}
	}
}

// Whatever is sent without a password, over as many connections and streams as there are, no more of it is in hand
// than the budget of an address.
func TestBodiesOfStrangersAreBounded(t *testing.T) {
	const limit = 512 << 10
	budget := admission.NewBudget(admission.BudgetConfig{PerAddress: limit})
	d := newDoor(Config{Bind: "127.0.0.1", H2C: true, Budget: budget})
	addr := d.serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	refused := make(chan bool, 200)
	for i := range 15 {
		c := plainClient(t, i%2 == 0)
		for range 10 {
			wg.Go(func() {
				r, w := io.Pipe() // 64 KiB, and then nothing
				wg.Go(func() { _, _ = w.Write(make([]byte, 64<<10)) })
				stop := context.AfterFunc(ctx, func() { _ = r.Close() })
				defer stop()
				defer r.Close() //nolint:errcheck // a pipe
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/send", r)
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := c.Do(req)
				if err == nil {
					_ = resp.Body.Close()
				}
				if ctx.Err() == nil {
					refused <- true
				}
			})
		}
	}
	<-refused // the others wait, or are refused too
	if n := budget.InHand(); n > limit {
		t.Errorf("%d octets are in hand", n)
	}
	if n := budget.Stats.Refused.Load() + budget.Stats.RefusedConnections.Load(); n == 0 {
		t.Error("nothing was counted as refused")
	}
	cancel()
	wg.Wait()
}

func TestWhatIsOfNobodyAnyMoreIsNotInHand(t *testing.T) {
	budget := admission.NewBudget(admission.BudgetConfig{PerAddress: 100 << 10})
	d := newDoor(Config{Bind: "127.0.0.1", Budget: budget})
	addr := d.serve(t)
	c := plainClient(t, false)
	for _, query := range []string{wrong, right, wrong} {
		for range 5 {
			resp, err := c.Post("http://"+addr+"/send"+query+"&tags="+strings.Repeat("x", 30<<10), "application/x-www-form-urlencoded", strings.NewReader(""))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == 503 {
				t.Fatal("refused for what was answered before")
			}
		}
	}
	c.CloseIdleConnections()
	for deadline := time.Now().Add(patience); budget.InHand() > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%d octets are in hand of nobody", budget.InHand())
		}
		runtime.Gosched()
	}
}

func TestSlowClientsAreLetGo(t *testing.T) {
	for _, tt := range []struct{ name, sent, want string }{
		{"one that never ends its header", "GET /ping HTTP/1.1\r\nHost: x\r\n", ""},
		{"one that says nothing", "", ""},
		{"one that never ends its body", "POST /send HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nto=1", "HTTP/1.1 400 "},
		{"one that asks nothing more", "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 "},
		{"one with a long header", "GET /ping HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 16<<10) + "\r\n\r\n", "HTTP/1.1 431 "},
		{"one with a long address", "GET /ping?" + strings.Repeat("x", 16<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 431 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoor(Config{Bind: "127.0.0.1", HeaderTimeout: 50 * time.Millisecond, ReadTimeout: 50 * time.Millisecond, IdleTimeout: 50 * time.Millisecond, MaxHeader: 4096})
			c := dial(t, d.serve(t))
			if _, err := io.WriteString(c, tt.sent); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c) // until the door closes it, without a word of ours
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() || !strings.HasPrefix(string(got), tt.want) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestConnectionsOfOneAddressAreBounded(t *testing.T) {
	d := newDoor(Config{Bind: "127.0.0.1", MaxConns: 10, MaxPerAddress: 2})
	addr := d.serve(t)
	ask := func(c net.Conn) error {
		fmt.Fprintf(c, "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n") //nolint:errcheck // the answer tells
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	first, second := dial(t, addr), dial(t, addr)
	if err := errors.Join(ask(first), ask(second)); err != nil {
		t.Fatal(err)
	}
	if err := ask(dial(t, addr)); err == nil {
		t.Error("a third one was answered")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ask(dial(t, addr)) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("its place is not given to the next")
		}
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca := certstest.Self(t, dir, "ca")
	own, client := ca.Issue(t, dir, "server"), ca.Issue(t, dir, "client")
	d := newDoor(Config{Bind: "127.0.0.1", SSL: true, TLS: certs.Server{Certificate: own.Cert, Key: own.Key, ClientCert: certs.ClientCertRequire, ClientCA: ca.Cert}})
	addr := d.serve(t)
	get := func(c *tls.Config) (string, *tls.ConnectionState, error) {
		c.RootCAs = ca.Pool()
		tr := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get("https://" + addr + "/ping")
		if err != nil {
			return "", nil, err
		}
		defer resp.Body.Close() //nolint:errcheck // it is read
		body, err := io.ReadAll(resp.Body)
		return resp.Proto + " " + string(body), resp.TLS, err
	}
	mine := func() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{client.Pair}} }
	got, state, err := get(mine())
	if err != nil || got != "HTTP/2.0 Jasmin/PONG" {
		t.Fatalf("%q, %v", got, err)
	}
	serial := state.PeerCertificates[0].Subject.SerialNumber
	if _, _, err := get(&tls.Config{}); err == nil {
		t.Error("a client without a certificate was answered")
	}
	old := mine()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, _, err := get(old); err == nil {
		t.Error("TLS 1.1 was spoken")
	}

	ca.Issue(t, dir, "server")
	if err := d.Certificates().Reload(); err != nil {
		t.Fatal(err)
	}
	if _, state, err = get(mine()); err != nil || state.PeerCertificates[0].Subject.SerialNumber == serial {
		t.Errorf("the new certificate is not in use: %v", err)
	}
	if err := os.WriteFile(own.Key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Certificates().Reload(); err == nil || !strings.Contains(err.Error(), "ssl_key "+own.Key) {
		t.Errorf("a fault is not named: %v", err)
	}
	if _, _, err = get(mine()); err != nil {
		t.Errorf("after a fault: %v", err)
	}
}

func TestFaultsOfTLSAreNamed(t *testing.T) {
	own := certstest.Self(t, t.TempDir(), "server")
	cert, key := own.Cert, own.Key
	for want, c := range map[string]certs.Server{
		"ssl needs ssl_certificate and ssl_key":   {Certificate: cert},
		"ssl_certificate /nowhere, ssl_key /none": {Certificate: "/nowhere", Key: "/none"},
		"ssl_client_ca: open":                     {Certificate: cert, Key: key, ClientCert: certs.ClientCertRequire, ClientCA: "/nowhere"},
		"holds no certificate":                    {Certificate: cert, Key: key, ClientCert: certs.ClientCertOptional, ClientCA: key},
		`ssl_client_cert "maybe" is none of`:      {Certificate: cert, Key: key, ClientCert: "maybe"},
	} {
		if err := newDoor(Config{Bind: "127.0.0.1", SSL: true, TLS: c}).Listen(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}
