package throw

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"
	"syscall"
)

// Reach says where URLs may lead, which in the end are the addresses that their hosts resolve to: they are looked at when they
// are dialled, so that no name and no later answer of a name server gets around it. With HTTP_PROXY or HTTPS_PROXY the
// proxy is who resolves and dials, and what is looked at here is its address.
type Reach struct {
	Allow     []netip.Prefix // allow: only these; none: all
	Deny      []netip.Prefix // deny: not these, though Allow has them
	HTTPSOnly bool           // https_only
}

// refusedError is why a URL may not be called. It is final: another try would only be another guess.
type refusedError struct{ why string }

func (e *refusedError) Error() string { return e.why }

// nat64 holds IPv4 addresses in its last four octets (RFC 6052 §2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// leadsTo is the address where packets to another one arrive.
func leadsTo(a netip.Addr) netip.Addr {
	switch {
	case nat64.Contains(a):
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	case a == netip.IPv4Unspecified(): // the kernel takes it for this host
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case a == netip.IPv6Unspecified():
		return netip.IPv6Loopback()
	}
	return a
}

// address judges an address. Error: *refusedError.
func (r *Reach) address(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	to := leadsTo(a)
	is := func(p netip.Prefix) bool { return p.Contains(a) || p.Contains(to) }
	switch {
	case slices.ContainsFunc(r.Deny, is):
		return &refusedError{fmt.Sprintf("the address %s is in deny", a)}
	case len(r.Allow) > 0 && !slices.ContainsFunc(r.Allow, is):
		return &refusedError{fmt.Sprintf("the address %s is not in allow", a)}
	}
	return nil
}

// url judges what can be told of a URL before its host is resolved.
func (r *Reach) url(u *url.URL) error {
	if r.HTTPSOnly && u.Scheme != "https" {
		return &refusedError{"only https is allowed (https_only)"}
	}
	return nil
}

// dial dials as d does, and refuses addresses. The error is a *refusedError only if no address of the host may be called: one that may, and that does
// not answer now, can answer later, yet of the errors of all addresses net gives but one.
func (r *Reach) dial(d net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		var called atomic.Bool
		d := d
		d.Control = func(_, address string, _ syscall.RawConn) error {
			err := r.dialled(address)
			if err == nil {
				called.Store(true)
			}
			return err
		}
		c, err := d.DialContext(ctx, network, address)
		if refused := (*refusedError)(nil); called.Load() && errors.As(err, &refused) {
			err = fmt.Errorf("%s, and no other address of %s could be connected to", refused.why, address)
		}
		return c, err
	}
}

// dialled judges an address with its port.
func (r *Reach) dialled(address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &refusedError{fmt.Sprintf("%q is no address", address)}
	}
	return r.address(ap.Addr())
}
