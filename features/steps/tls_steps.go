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
	authority *x509.Certificate
	signer    *ecdsa.PrivateKey
}

func (w *World) tlsSteps(sc *godog.ScenarioContext) {
	sc.Step(`^the HTTP API has a certificate$`, func() error {
		cert, key, err := w.certificate("server")
		w.settings["HTTP_API_SSL"], w.settings["HTTP_API_SSL_CERTIFICATE"], w.settings["HTTP_API_SSL_KEY"] = "True", cert, key
		return err
	})
	sc.Step(`^the HTTP API wants certificates of its clients$`, func() error {
		w.settings["HTTP_API_SSL_CLIENT_CERT"], w.settings["HTTP_API_SSL_CLIENT_CA"] = "require", w.certificatePath("authority")
		return nil
	})
	sc.Step(`^the request "(.*)" is made by HTTPS$`, func(path string) error {
		w.answer = w.byTLS(path, nil)
		return w.answer.err
	})
	sc.Step(`^the request "(.*)" is made by HTTPS with a client's certificate$`, func(path string) error {
		cert, key, err := w.certificate("client")
		if err != nil {
			return err
		}
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return err
		}
		w.answer = w.byTLS(path, &pair)
		return w.answer.err
	})
	sc.Step(`^the request "(.*)" by HTTPS is not answered$`, func(path string) error {
		if a := w.byTLS(path, nil); a.err == nil {
			return fmt.Errorf("the answer was %s", a)
		}
		return nil
	})
}

// byTLS asks as a client who trusts the scenario's authority.
func (w *World) byTLS(path string, own *tls.Certificate) answer {
	if w.gateway == nil || w.tls.authority == nil {
		return answer{err: errors.New("there is no gateway with a certificate")}
	}
	roots := x509.NewCertPool()
	roots.AddCert(w.tls.authority)
	c := newClient()
	defer c.close()
	c.transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if own != nil {
		c.transport.TLSClientConfig.Certificates = []tls.Certificate{*own}
	}
	return c.do(http.NewRequest(http.MethodGet, "https://"+w.gateway.http()+path, nil))
}

func (w *World) certificatePath(name string) string { return filepath.Join(w.dir, name+".pem") }

// certificate has the scenario's authority issue a certificate for 127.0.0.1.
func (w *World) certificate(name string) (cert, key string, err error) {
	if w.tls.authority == nil {
		if _, _, err := w.issue("authority"); err != nil {
			return "", "", err
		}
	}
	return w.issue(name)
}

func (w *World) issue(name string) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	first := w.tls.authority == nil
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: first, BasicConstraintsValid: true,
	}
	parent, signer := w.tls.authority, w.tls.signer
	if first {
		parent, signer = tmpl, private
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &private.PublicKey, signer)
	if err != nil {
		return "", "", err
	}
	if first {
		if w.tls.authority, err = x509.ParseCertificate(der); err != nil {
			return "", "", err
		}
		w.tls.signer = private
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	cert, key = w.certificatePath(name), filepath.Join(w.dir, name+".key")
	return cert, key, errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
}
