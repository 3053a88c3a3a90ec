package jcli

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"jasmind/internal/account"
	"jasmind/internal/provision"
)

// elsewhere is a connection from another address.
type elsewhere struct {
	net.Conn
	from net.Addr
}

func (c elsewhere) RemoteAddr() net.Addr { return c.from }

func hash(t *testing.T, text string) account.Password {
	t.Helper()
	p, err := account.ParseHash(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Everybody knows the default password: it opens the console from the host itself only.
func TestDefaultPasswordIsForThisHost(t *testing.T) {
	own, err := account.HashPassword("own")
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := account.HashPassword(defaultPassword)
	if err != nil {
		t.Fatal(err)
	}
	const welcome, refusal = "Welcome to Jasmin console", "The default password is accepted from this host alone: change admin_password of section [jcli] in jasmin.cfg.\r\n"
	for _, tt := range []struct {
		name     string
		password account.Password
		from     string
		typed    string
		want     string
	}{
		{"from this host", hash(t, DefaultAdminPassword), "127.0.0.1", defaultPassword, welcome},
		{"from this host, over IPv6", hash(t, DefaultAdminPassword), "::1", defaultPassword, welcome},
		{"from another host", hash(t, DefaultAdminPassword), "192.0.2.7", defaultPassword, refusal},
		{"from another host, over IPv6", hash(t, DefaultAdminPassword), "2001:db8::7", defaultPassword, refusal},
		{"by another hash of it", chosen, "192.0.2.7", defaultPassword, refusal},
		{"another password from another host", own, "192.0.2.7", "own", welcome},
		{"the default password where it is another's", own, "192.0.2.7", defaultPassword, "Incorrect Username/Password."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log syncBuffer
				s := New(Config{Authentication: true, AdminUsername: "jcliadmin", AdminPassword: tt.password},
					Deps{Store: provision.NewStore(), Auth: account.NewAuthenticator(account.AuthConfig{}, nil), Log: slog.New(slog.NewTextHandler(&log, nil))})
				near, far := net.Pipe()
				s.start(elsewhere{far, &net.TCPAddr{IP: net.ParseIP(tt.from), Port: 1}})
				go func() {
					_, _ = io.WriteString(near, "jcliadmin\r"+tt.typed+"\r") // refused, it closes before all is read
					synctest.Wait()
					near.Close()
				}()
				got, _ := io.ReadAll(near) // which is closed at either end
				if screen := stripTelnet(got); !strings.Contains(screen, tt.want) || tt.want != welcome && strings.Contains(screen, welcome) {
					t.Errorf("got %q, want %q", screen, tt.want)
				}
				if logged := strings.Contains(log.String(), "login refused: the default password is for this host alone, change admin_password of [jcli]"); logged != (tt.want == refusal) {
					t.Errorf("the log is\n%s", log.String())
				}
				if err := s.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestOpenConsolesAreToldOfAtStart(t *testing.T) {
	own, err := account.HashPassword("own")
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := account.HashPassword(defaultPassword)
	if err != nil {
		t.Fatal(err)
	}
	const everywhere = `from="every host that reaches `
	for _, tt := range []struct {
		name string
		cfg  Config
		want []string // in the one line; nil: none
	}{
		{"as documented", Config{Bind: "127.0.0.1", Authentication: true, AdminPassword: hash(t, DefaultAdminPassword)},
			[]string{"the console has the default password", `from="this host"`, `key="[jcli] admin_password"`, "set it to the digest of another password"}},
		{"the same password, hashed anew", Config{Bind: "127.0.0.1", Authentication: true, AdminPassword: chosen}, []string{"the console has the default password"}},
		{"the default password on every address", Config{Bind: "0.0.0.0", Authentication: true, AdminPassword: hash(t, DefaultAdminPassword)},
			[]string{"the console has the default password", everywhere}},
		{"no password", Config{Bind: "127.0.0.1", AdminPassword: own}, []string{"the console asks for no password", `from="this host"`, `key="[jcli] authentication"`, "set it to True"}},
		{"no password on every address", Config{Bind: "", AdminPassword: own}, []string{"the console asks for no password", everywhere}},
		{"a password of his own", Config{Bind: "0.0.0.0", Authentication: true, AdminPassword: own}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log syncBuffer
			s := New(tt.cfg, Deps{Store: provision.NewStore(), Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
			if err := s.Listen(); err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- s.Serve() }()
			if err := s.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			<-served
			got := log.String()
			if lines := strings.Count(got, "\n"); lines != min(len(tt.want), 1) {
				t.Errorf("%d lines:\n%s", lines, got)
			}
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q is missing in\n%s", want, got)
				}
			}
		})
	}
}
