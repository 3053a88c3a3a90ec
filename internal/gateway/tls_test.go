package gateway

import (
	"errors"
	"strings"
	"testing"

	"jasmind/internal/certs"
	"jasmind/internal/config"
)

// A file with a fault ends the start before anything is dialled, by a message that names the section, the key and the file.
func TestCertificatesOfServicesThatCannotBeRead(t *testing.T) {
	for section, cfg := range map[string]*config.Config{
		"amqp-broker":  {Mode: config.Services, BrokerTLS: config.ClientTLS{On: true, Client: certs.Client{CA: "/nowhere/ca.pem"}}},
		"redis-client": {Mode: config.Services, RedisTLS: config.ClientTLS{On: true, Client: certs.Client{CA: "/nowhere/ca.pem"}}},
	} {
		_, err := openBackend(t.Context(), cfg, new(serviceLogs))
		var refused *ConfigurationError
		if !errors.As(err, &refused) {
			t.Errorf("%s: %v, want a ConfigurationError", section, err)
			continue
		}
		for _, part := range []string{section, "ssl_ca", "/nowhere/ca.pem"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not name %s", section, err, part)
			}
		}
	}
}
