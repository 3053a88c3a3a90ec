package steps

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/cucumber/godog"
)

// certificates are those of a scenario: of an authority, of the HTTP API and of a client.
type certificates struct {
	gateway   *underTest
	authority *x509.Certificate
	signer    *ecdsa.PrivateKey
}

func (c *certificates) steps(sc *godog.ScenarioContext, m *messages) {
	sc.Step(`^the HTTP API has a certificate$`, func() error {
		cert, key, err := c.certificate("server")
		c.gateway.settings["HTTP_API_SSL"], c.gateway.settings["HTTP_API_SSL_CERTIFICATE"], c.gateway.settings["HTTP_API_SSL_KEY"] = "True", cert, key
		return err
	})
	sc.Step(`^the HTTP API wants certificates of its clients$`, func() error {
		c.gateway.settings["HTTP_API_SSL_CLIENT_CERT"], c.gateway.settings["HTTP_API_SSL_CLIENT_CA"] = "require", c.certificatePath("authority")
		return nil
	})
	sc.Step(`^the request "(.*)" is made by HTTPS$`, func(path string) error {
		m.answer = c.byTLS(path, nil)
		return m.answer.err
	})
	sc.Step(`^the request "(.*)" is made by HTTPS with a client's certificate$`, func(path string) error {
		cert, key, err := c.certificate("client")
		if err != nil {
			return err
		}
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return err
		}
		m.answer = c.byTLS(path, &pair)
		return m.answer.err
	})
	sc.Step(`^the request "(.*)" by HTTPS is not answered$`, func(path string) error {
		if a := c.byTLS(path, nil); a.err == nil {
			return fmt.Errorf("the answer was %s", a)
		}
		return nil
	})
}

// byTLS asks as a client who trusts the scenario's authority.
func (c *certificates) byTLS(path string, own *tls.Certificate) answer {
	if c.gateway.run == nil || c.authority == nil {
		return answer{err: errors.New("there is no gateway with a certificate")}
	}
	roots := x509.NewCertPool()
	roots.AddCert(c.authority)
	client := newClient()
	defer client.close()
	client.transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if own != nil {
		client.transport.TLSClientConfig.Certificates = []tls.Certificate{*own}
	}
	return client.do(http.NewRequest(http.MethodGet, "https://"+c.gateway.run.http()+path, nil))
}

func (c *certificates) certificatePath(name string) string {
	return filepath.Join(c.gateway.dir, name+".pem")
}

// certificate has the scenario's authority issue a certificate for 127.0.0.1.
func (c *certificates) certificate(name string) (cert, key string, err error) {
	if c.authority == nil {
		if _, _, err := c.issue("authority"); err != nil {
			return "", "", err
		}
	}
	return c.issue(name)
}

func (c *certificates) issue(name string) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	first := c.authority == nil
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: first, BasicConstraintsValid: true,
	}
	parent, signer := c.authority, c.signer
	if first {
		parent, signer = tmpl, private
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &private.PublicKey, signer)
	if err != nil {
		return "", "", err
	}
	if first {
		if c.authority, err = x509.ParseCertificate(der); err != nil {
			return "", "", err
		}
		c.signer = private
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	cert, key = c.certificatePath(name), filepath.Join(c.gateway.dir, name+".key")
	return cert, key, errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
}
