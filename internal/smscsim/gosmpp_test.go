package smscsim_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gosmpp "github.com/fiorix/go-smpp/smpp"
	gopdu "github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutext"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smscsim"
)

// goSMPP binds a client of another author, and gives what was delivered to it.
func goSMPP(t *testing.T, sim *smscsim.Simulator, tc *tls.Config) (*gosmpp.Transceiver, chan gopdu.Body) {
	t.Helper()
	delivered := make(chan gopdu.Body, 10)
	c := &gosmpp.Transceiver{Addr: sim.Addr(), User: "smppclient1", Passwd: "password", TLS: tc, RespTimeout: patience,
		Handler: func(p gopdu.Body) {
			if p.Header().ID == gopdu.DeliverSMID {
				delivered <- p
			}
		}}
	status := c.Bind()
	t.Cleanup(func() { c.Close() }) //nolint:errcheck // the simulator may have gone
	select {
	case s := <-status:
		if s.Status() != gosmpp.Connected {
			t.Fatalf("bind: %s %v", s.Status(), s.Error())
		}
	case <-time.After(patience):
		t.Fatal("no bind")
	}
	return c, delivered
}

func TestGoSMPPAsESME(t *testing.T) {
	sim := start(t, smscsim.Config{Behaviour: smscsim.Behaviour{
		Rules: []smscsim.Rule{{To: "9", Answer: &smscsim.Answer{Status: "ESME_RTHROTTLED"}}}}})
	c, delivered := goSMPP(t, sim, nil)
	sm, err := c.Submit(&gosmpp.ShortMessage{Src: "1234", Dst: "4479", Text: pdutext.UCS2("żółw"), Register: pdufield.FinalDeliveryReceipt})
	if err != nil {
		t.Fatal(err)
	}
	m, ok := sim.Message(sm.RespID())
	if !ok || m.Text != "żółw" || m.From != "1234" || m.RegisteredDelivery != 1 || m.DataCoding != 8 {
		t.Errorf("kept: %v %+v", ok, m)
	}
	select {
	case p := <-delivered:
		text := p.Fields()[pdufield.ShortMessage].String()
		if !strings.HasPrefix(text, "id:"+sm.RespID()+" ") || !strings.Contains(text, "stat:DELIVRD") {
			t.Errorf("receipt %q", text)
		}
	case <-time.After(patience):
		t.Fatal("no receipt")
	}
	if _, err := c.Submit(&gosmpp.ShortMessage{Src: "1", Dst: "9", Text: pdutext.Raw("x")}); err == nil || !strings.Contains(err.Error(), "hrottl") {
		t.Errorf("throttled: %v", err)
	}
	long, err := c.SubmitLongMsg(&gosmpp.ShortMessage{Src: "1", Dst: "55", Text: pdutext.Raw(strings.Repeat("0123456789", 40))})
	if err != nil || len(long) < 2 {
		t.Fatalf("long: %d, %v", len(long), err)
	}
	if list := wait(t, sim, 1, smscsim.Filter{To: "55", Joined: true}); len(list[0].Parts) != len(long) || list[0].Text != strings.Repeat("0123456789", 40) {
		t.Errorf("joined: %+v", list)
	}
	q, err := c.QuerySM("1234", sm.RespID(), 0, 0)
	if err != nil || q.MsgState != "DELIVERED" {
		t.Errorf("query: %+v, %v", q, err)
	}
	if st, err := sim.InjectMO(t.Context(), smscsim.MO{From: "4479", To: "1234", Text: "hi"}); st != pdu.StatusOK || err != nil {
		t.Errorf("MO: %s, %v", st, err)
	}
	select {
	case p := <-delivered:
		if text := p.Fields()[pdufield.ShortMessage].String(); text != "hi" {
			t.Errorf("MO %q", text)
		}
	case <-time.After(patience):
		t.Fatal("no MO")
	}
}

// certificate makes a certificate for the loopback address and writes it to files.
func certificate(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "smsc-sim"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for name, text := range map[string][]byte{certFile: cert, keyFile: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return certFile, keyFile, roots
}

func TestTLS(t *testing.T) {
	certFile, keyFile, roots := certificate(t)
	sim := start(t, smscsim.Config{TLSCert: certFile, TLSKey: keyFile,
		Behaviour: smscsim.Behaviour{Rules: []smscsim.Rule{{To: "44", Answer: &smscsim.Answer{Action: "malformed", Malformed: "empty"}}}}})
	tc := &tls.Config{RootCAs: roots}
	e := connect(t, sim, esmeOptions{tls: tc})
	e.submit(t, asking(hello("33")))
	e.receipt(t)
	if r := e.do(t, &pdu.SubmitSM{Message: hello("44")}); r.Header.Length != 16 {
		t.Errorf("edited response %+v", r.Header)
	}
	if m := wait(t, sim, 1, smscsim.Filter{})[0]; m.Text != "hello" || len(m.Raw) < 32 {
		t.Errorf("%+v", m)
	}
	c, _ := goSMPP(t, sim, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
	if _, err := c.Submit(&gosmpp.ShortMessage{Src: "1", Dst: "33", Text: pdutext.Raw("x")}); err != nil {
		t.Error(err)
	}
	if _, err := dial(t, sim, esmeOptions{}); err == nil {
		t.Error("plain TCP was accepted")
	}
}
