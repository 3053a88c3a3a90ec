package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestBillingKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jasmin.cfg")
	for _, tt := range []struct {
		text              string
		http, smpp, given bool // free, free, given back
	}{
		{"", false, false, false},
		{"[http-api]\nbilling_feature = False\n[billing]\nrefund_on_error = True\n", true, false, true},
		{"[smpp-server]\nbilling_feature = no\n", false, true, false},
		{"[smpp-server]\nbilling_feature = True\n[http-api]\nbilling_feature = yes\n", false, false, false},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := load(t, Options{File: path, Environment: env()})
		if c.MT.FreeHTTP != tt.http || c.MT.FreeSMPP != tt.smpp || c.Connector.RefundOnError != tt.given {
			t.Errorf("%q: got %v %v %v", tt.text, c.MT.FreeHTTP, c.MT.FreeSMPP, c.Connector.RefundOnError)
		}
	}
	if err := os.WriteFile(path, []byte("[billing]\nrefund_on_error = perhaps\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Options{File: path, Environment: env()}); err == nil {
		t.Error("perhaps was taken")
	}
}
