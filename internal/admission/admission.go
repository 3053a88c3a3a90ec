// Package admission judges strangers: who may connect (Door), how much of theirs may be in hand (Budget), and who may try a
// password, and how often (Logins). The doors and account.Authenticator ask it before they spend anything on
// somebody who has not shown who he is.
//
//	ln = door.Listener(ln)                       // whose connections are admitted, and *Conn
//	attempt, err := logins.Begin(from, username) // refused: nothing is computed
//	if ok { attempt.Succeeded() }                // else it counts as failed, whatever became of it
package admission

import "net/netip"

// Source is the address whose doings count together: an IPv4 address, or the /64 of an IPv6 address.
func Source(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// AddressOf is the address in host:port, without port and zone; the zero Addr if there is none.
func AddressOf(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}
