package jcli

import (
	"net"
	"net/netip"

	"jasmind/internal/admission"
)

// DefaultAdminPassword is the documented digest, and defaultPassword what it is of: the whole world knows it.
const (
	DefaultAdminPassword = "79e9b0aa3f3e7c53e916f7ac47439bcb"
	defaultPassword      = "jclipwd"
)

// hasDefaultPassword tells whether the operator has left the password as it was, or has chosen the same.
func (c *Config) hasDefaultPassword() bool {
	text, hashed := c.AdminPassword.Hash()
	return hashed && (text == DefaultAdminPassword || len(text) != len(DefaultAdminPassword) && c.AdminPassword.Matches(defaultPassword))
}

// warn tells the operator that others may rule his gateway: anybody, or who knows the documentation.
func (s *Server) warn(listening net.Addr) {
	reach := "this host"
	if beyondHost(admission.AddressOf(listening.String())) {
		reach = "every host that reaches " + listening.String()
	}
	switch {
	case !s.cfg.Authentication:
		s.log.Warn("the console asks for no password", "from", reach, "key", "[jcli] authentication", "do", "set it to True, or bind to 127.0.0.1 where you trust every user")
	case s.cfg.hasDefaultPassword():
		s.log.Warn("the console has the default password", "from", reach, "key", "[jcli] admin_password",
			"do", "set it to the digest of another password; until then only this host is let in")
	}
}

// beyondHost tells whether an address is not of this host alone. Who has none, as at the other end of a pipe, is here.
func beyondHost(a netip.Addr) bool { return a.IsValid() && !a.IsLoopback() }

// refusesDefault tells whether a password that was right is refused, since it is the default and comes from another host.
func (s *session) refusesDefault(password string) bool {
	return password == defaultPassword && beyondHost(admission.AddressOf(s.conn.RemoteAddr().String()))
}
