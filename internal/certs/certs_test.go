package certs_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jasmind/internal/certs"
	"jasmind/internal/certs/certstest"
)

// shake has a client and a server shake hands, and gives what each sees of the other.
func shake(t *testing.T, server, client *tls.Config) (seen, shown string, err error) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	type side struct {
		state tls.ConnectionState
		err   error
	}
	accepted := make(chan side, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			accepted <- side{err: err}
			return
		}
		defer conn.Close()
		err = conn.(*tls.Conn).HandshakeContext(t.Context())
		accepted <- side{conn.(*tls.Conn).ConnectionState(), err}
	}()
	conn, err := (&tls.Dialer{Config: client}).DialContext(t.Context(), "tcp", ln.Addr().String())
	other := <-accepted
	if err := errors.Join(err, other.err); err != nil {
		return "", "", err
	}
	defer conn.Close()
	name := func(state tls.ConnectionState) string {
		if len(state.PeerCertificates) == 0 {
			return ""
		}
		return state.PeerCertificates[0].Subject.SerialNumber
	}
	return name(conn.(*tls.Conn).ConnectionState()), name(other.state), nil
}

func serial(i certstest.Issued) string { return i.Pair.Leaf.Subject.SerialNumber }

func TestFilesThatChangeAreReadAgainAndThoseWithAFaultAreTold(t *testing.T) {
	dir := t.TempDir()
	ca := certstest.Self(t, dir, "ca")
	first := ca.Issue(t, dir, "server")
	var log bytes.Buffer
	door := certs.New("door", certs.Server{Certificate: first.Cert, Key: first.Key}, slog.New(slog.NewTextHandler(&log, nil)))
	listening := door.Server()
	expect := func(when string, want certstest.Issued) {
		t.Helper()
		seen, _, err := shake(t, listening, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1"})
		if err != nil || seen != serial(want) {
			t.Errorf("%s: %s, %v, want %s", when, seen, err, serial(want))
		}
	}
	expect("at first", first)
	config, err := door.Config()
	if again, err2 := door.Config(); err != nil || err2 != nil || config != again {
		t.Errorf("files that are the same were read again: %v %v", err, err2)
	}
	second := ca.Issue(t, dir, "server")
	expect("after a change", second)
	if !strings.Contains(log.String(), "certificates read again") {
		t.Errorf("not told: %s", &log)
	}
	for fault, do := range map[string]func() error{
		"no certificate": func() error { return os.WriteFile(first.Cert, []byte("nothing"), 0o600) },
		"gone":           func() error { return os.Remove(first.Cert) },
	} {
		log.Reset()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		expect(fault, second)
		expect(fault+", again", second)
		if n := strings.Count(log.String(), "certificates were not read again"); n != 1 || !strings.Contains(log.String(), "door: ssl_certificate "+first.Cert) {
			t.Errorf("%s: told %d times: %s", fault, n, &log)
		}
		if err := (certs.Set{door}).Reload(); err == nil || !strings.HasPrefix(err.Error(), "door: ssl_certificate "+first.Cert) {
			t.Errorf("%s: %v", fault, err)
		}
		expect(fault+", on demand", second)
	}
	third := ca.Issue(t, dir, "server")
	if err := (certs.Set{door}).Reload(); err != nil {
		t.Fatal(err)
	}
	expect("after the repair", third)
}

// A new file may have the old one's size, or its time; one that takes its place is another file.
func TestAFileThatTakesThePlaceOfAnotherIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	own := certstest.Self(t, dir, "ca")
	client := certs.New("client", certs.Client{CA: own.Cert}, slog.New(slog.DiscardHandler))
	at := time.Now().Add(-time.Hour)
	if err := os.Chtimes(own.Cert, at, at); err != nil {
		t.Fatal(err)
	}
	before, err := client.Config()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(own.Cert)
	if err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(dir, "fresh")
	if err := os.WriteFile(fresh, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(fresh, at, at); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, own.Cert); err != nil {
		t.Fatal(err)
	}
	if after, err := client.Config(); err != nil || after == before {
		t.Errorf("not read again: %v", err)
	}
}

func TestClientsAndServersAskEachOtherForCertificates(t *testing.T) {
	dir := t.TempDir()
	ca := certstest.Self(t, dir, "ca")
	own, mine, named := ca.Issue(t, dir, "server"), ca.Issue(t, dir, "client"), ca.Issue(t, dir, "named", "smsc.example")
	stranger := certstest.Self(t, dir, "stranger")
	door := func(rule certs.ClientCert) certs.Server {
		return certs.Server{Certificate: own.Cert, Key: own.Key, ClientCA: ca.Cert, ClientCert: rule}
	}
	for _, tt := range []struct {
		name   string
		server certs.Settings
		client certs.Client
		shown  string // of the client; "" for none
		fails  string // "" if both agree
	}{
		{"none is asked for", door(""), certs.Client{CA: ca.Cert, ServerName: "127.0.0.1", Cert: mine.Cert, Key: mine.Key}, "", ""},
		{"optional, none", door(certs.ClientCertOptional), certs.Client{CA: ca.Cert, ServerName: "127.0.0.1"}, "", ""},
		{"optional, shown", door(certs.ClientCertOptional), certs.Client{CA: ca.Cert, ServerName: "127.0.0.1", Cert: mine.Cert, Key: mine.Key}, serial(mine), ""},
		{"required, shown", door(certs.ClientCertRequire), certs.Client{CA: ca.Cert, ServerName: "127.0.0.1", Cert: mine.Cert, Key: mine.Key}, serial(mine), ""},
		{"required, none", door(certs.ClientCertRequire), certs.Client{CA: ca.Cert, ServerName: "127.0.0.1"}, "", "certificate"},
		{"over HTTP", certs.HTTP{Server: door("")}, certs.Client{CA: ca.Cert, ServerName: "127.0.0.1"}, "", ""},
		{"another authority", certs.Server{Certificate: stranger.Cert, Key: stranger.Key}, certs.Client{CA: ca.Cert, ServerName: "127.0.0.1"}, "", "unknown authority"},
		{"another authority, not verified", certs.Server{Certificate: stranger.Cert, Key: stranger.Key}, certs.Client{Unverified: true}, "", ""},
		{"another name", certs.Server{Certificate: named.Cert, Key: named.Key}, certs.Client{CA: ca.Cert, ServerName: "127.0.0.1"}, "", "127.0.0.1"},
		{"the name that is wanted", certs.Server{Certificate: named.Cert, Key: named.Key}, certs.Client{CA: ca.Cert, ServerName: "smsc.example"}, "", ""},
		{"outbind", certs.Outbind{Cert: own.Cert, Key: own.Key}, certs.Client{CA: ca.Cert, ServerName: "127.0.0.1"}, "", ""},
		{"outbind that verifies", certs.Outbind{Cert: own.Cert, Key: own.Key, CA: ca.Cert}, certs.Client{CA: ca.Cert, ServerName: "127.0.0.1", Cert: mine.Cert, Key: mine.Key}, serial(mine), ""},
		{"outbind that verifies, none shown", certs.Outbind{Cert: own.Cert, Key: own.Key, CA: ca.Cert}, certs.Client{CA: ca.Cert, ServerName: "127.0.0.1"}, "", "certificate"},
		{"outbind that does not verify", certs.Outbind{Cert: own.Cert, Key: own.Key, CA: ca.Cert, Unverified: true}, certs.Client{CA: ca.Cert, ServerName: "127.0.0.1"}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, err := certs.New("client", tt.client, slog.New(slog.DiscardHandler)).Config()
			if err != nil {
				t.Fatal(err)
			}
			_, shown, err := shake(t, certs.New("server", tt.server, slog.New(slog.DiscardHandler)).Server(), client)
			if tt.fails == "" && err != nil || tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)) {
				t.Errorf("got %v, want %q", err, tt.fails)
			}
			if shown != tt.shown {
				t.Errorf("the server saw %q, want %q", shown, tt.shown)
			}
		})
	}
}

func TestFaultsNameTheSetting(t *testing.T) {
	own := certstest.Self(t, t.TempDir(), "own")
	for want, s := range map[string]certs.Settings{
		"x: ssl needs ssl_certificate and ssl_key":                  certs.Server{Certificate: own.Cert},
		"x: ssl_certificate /nowhere, ssl_key /none: open":          certs.HTTP{Server: certs.Server{Certificate: "/nowhere", Key: "/none"}},
		"x: ssl_client_ca: open":                                    certs.Server{Certificate: own.Cert, Key: own.Key, ClientCert: certs.ClientCertRequire, ClientCA: "/nowhere"},
		`x: ssl_client_cert "maybe" is none of`:                     certs.Server{Certificate: own.Cert, Key: own.Key, ClientCert: "maybe"},
		"x: ssl_ca: open":                                           certs.Client{CA: "/nowhere"},
		"x: ssl_ca " + own.Key + " holds no certificate":            certs.Client{CA: own.Key},
		"x: ssl_key: missing, ssl_cert is":                          certs.Client{Cert: own.Cert},
		"x: ssl_cert: missing, ssl_key is":                          certs.Client{Key: own.Key},
		"x: ssl_cert " + own.Key + ", ssl_key " + own.Key + ": tls": certs.Client{Cert: own.Key, Key: own.Key},
		"x: ssl_cert, ssl_key: outbind with ssl needs both":         certs.Outbind{},
		"x: ssl_key: missing, ssl_cert is " + own.Cert:              certs.Outbind{Cert: own.Cert},
		"x: ssl_ca: open /nowhere: no such file or directory":       certs.Outbind{Cert: own.Cert, Key: own.Key, CA: "/nowhere"},
		"x: ssl_client_ca " + own.Key + " holds no certificate":     certs.Server{Certificate: own.Cert, Key: own.Key, ClientCert: certs.ClientCertOptional, ClientCA: own.Key},
	} {
		source := certs.New("x", s, slog.New(slog.DiscardHandler))
		if _, err := source.Config(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
