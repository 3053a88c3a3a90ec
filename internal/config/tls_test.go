package config

import (
	"testing"

	"jasmind/internal/certs"
)

func TestTLSKeysOfServices(t *testing.T) {
	c := load(t, Options{Environment: env("CONFIG_PATH", t.TempDir())})
	if c.BrokerTLS != (ClientTLS{}) || c.RedisTLS != (ClientTLS{}) {
		t.Errorf("defaults %+v %+v, want none", c.BrokerTLS, c.RedisTLS)
	}
	const keys = "ssl = yes\nssl_ca = /ca.pem\nssl_cert = /c.pem\nssl_key = /k.pem\nssl_server_name = inside\n"
	c = load(t, Options{File: write(t, "[amqp-broker]\n"+keys+"[redis-client]\n"+keys), Environment: env("CONFIG_PATH", t.TempDir())})
	want := ClientTLS{On: true, Client: certs.Client{CA: "/ca.pem", Cert: "/c.pem", Key: "/k.pem", ServerName: "inside"}}
	if c.BrokerTLS != want || c.RedisTLS != want {
		t.Errorf("got %+v %+v, want %+v", c.BrokerTLS, c.RedisTLS, want)
	}
}
