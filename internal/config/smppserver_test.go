package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"jasmind/internal/certs"
	"jasmind/internal/smppserver"
)

func TestSMPPServerKeys(t *testing.T) {
	c := load(t, Options{Environment: env("CONFIG_PATH", t.TempDir())})
	want := smppserver.Config{
		ID: "smpps_01", Bind: "0.0.0.0", Port: 2775, SessionInit: 30 * time.Second, EnquireLink: 30 * time.Second, Inactivity: 300 * time.Second,
		Response: time.Minute, PDURead: 30 * time.Second, TLS: certs.Server{ClientCert: "none"}, MaxConnections: 10000, MaxPerAddress: 1000,
		MaxWindow: 1000, MaxPending: 20000, MaxWriteBuffer: 4 << 20, Window: 50, SubmitWait: 15 * time.Second,
	}
	if !reflect.DeepEqual(c.SMPPServer, want) {
		t.Errorf("defaults\ngot  %+v\nwant %+v", c.SMPPServer, want)
	}
	if c.SMPPSThrower.Hold != 48*time.Hour || c.SMPPSThrower.DataSM || c.SMPPSThrower.MaxRetries != 3 || c.SMPPSThrower.RetryDelay != 30*time.Second || c.DLR.Accepted {
		t.Errorf("defaults %+v %+v", c.SMPPSThrower, c.DLR)
	}

	c = load(t, Options{File: write(t, `[smpp-server]
id = "edge"
enquireLinkTimerSecs = 0
inactivityTimerSecs = 0
pduReadTimerSecs = 2.5
ssl = yes
listeners = [::1]:2776, tls://0.0.0.0:3550
ssl_certificate = /c.pem
ssl_key = /k.pem
ssl_client_cert = require
ssl_client_ca = /ca.pem
[dlr]
smpp_receipt_on_success_submit_sm_resp = True
[dlr-thrower]
dlr_pdu = data_sm
retry_delay = 5
max_retries = 9
smpps_hold = 3600
`), Environment: env()})
	s := &c.SMPPServer
	if s.ID != "edge" || s.EnquireLink != -1 || s.Inactivity != -1 || s.PDURead != 2500*time.Millisecond || !s.SSL || !s.Accepted || !c.DLR.Accepted ||
		s.TLS != (certs.Server{Certificate: "/c.pem", Key: "/k.pem", ClientCA: "/ca.pem", ClientCert: certs.ClientCertRequire}) ||
		!reflect.DeepEqual(s.Listeners, []smppserver.Listener{{Address: "[::1]:2776"}, {Address: "0.0.0.0:3550", TLS: true}}) {
		t.Errorf("got %+v", s)
	}
	th := c.SMPPSThrower
	if !th.DataSM || th.RetryDelay != 5*time.Second || th.MaxRetries != 9 || th.Hold != time.Hour || c.DLRThrower.RetryDelay != 5*time.Second || c.DLRThrower.MaxRetries != 9 {
		t.Errorf("got %+v %+v", th, c.DLRThrower)
	}
}

func TestSMPPServerFaultsNameTheKey(t *testing.T) {
	for line, want := range map[string]string{
		"listeners = 2775":              `[smpp-server] listeners: "2775" is not host:port`,
		"listeners = tls://host:70000":  `[smpp-server] listeners: "tls://host:70000" is not host:port`,
		"ssl_client_cert = maybe":       `[smpp-server] ssl_client_cert: "maybe" is none of none, optional, require`,
		"sessionInitTimerSecs = 0":      `[smpp-server] sessionInitTimerSecs: "0" is not a number of seconds`,
		"max_connections_per_address=0": `[smpp-server] max_connections_per_address: "0" is not a whole number from 1`,
	} {
		_, err := Load(Options{File: write(t, "[smpp-server]\n"+line+"\n"), Environment: env()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", line, err, want)
		}
	}
}
