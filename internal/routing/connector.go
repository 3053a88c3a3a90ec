package routing

import (
	"errors"
	"strings"

	"jasmind/internal/account"
	"jasmind/internal/smppc"
)

// ConnectorKind says what a route's connector is.
type ConnectorKind uint8

// The kinds of connectors.
const (
	SMPPClient ConnectorKind = iota + 1 // smppc(cid): an SMPP client connector, of MT routes
	HTTPClient                          // http(cid): an HTTP client connector, of MO routes
	SMPPServer                          // smpps(username): a user bound to our SMPP server, of MO routes
)

// String is smppc, http or smpps.
func (k ConnectorKind) String() string {
	switch k {
	case SMPPClient:
		return "smppc"
	case HTTPClient:
		return "http"
	case SMPPServer:
		return "smpps"
	}
	return "unknown"
}

// Connector is where a route leads.
type Connector struct {
	Kind ConnectorKind
	ID   string // a cid, or the username for SMPPServer
}

// String is the connector as operators write it, such as smppc(DEMO).
func (c Connector) String() string { return c.Kind.String() + "(" + c.ID + ")" }

// Errors of ParseConnector, in the words of the original's console.
var (
	ErrMTConnector = errors.New("invalid syntax for connector id, must be smppc(some_id)")
	ErrMOConnector = errors.New("invalid syntax for connector id, must be smpps(some_id) or http(some_id)")
)

// ParseConnector reads a connector of routes of one direction. The kind may be in any case.
func ParseConnector(d Direction, text string) (Connector, error) {
	err := ErrMTConnector
	if d == MO {
		err = ErrMOConnector
	}
	kind, id, ok := strings.Cut(strings.TrimSuffix(text, ")"), "(")
	if !ok || !strings.HasSuffix(text, ")") {
		return Connector{}, err
	}
	c := Connector{ID: id}
	for _, k := range []ConnectorKind{SMPPClient, HTTPClient, SMPPServer} {
		if strings.EqualFold(kind, k.String()) {
			c.Kind = k
		}
	}
	if !c.valid(d) {
		return Connector{}, err
	}
	return c, nil
}

// valid tells whether routes of a direction can lead there.
func (c Connector) valid(d Direction) bool {
	switch c.Kind {
	case SMPPClient:
		return d == MT && smppc.ValidCID(c.ID)
	case HTTPClient:
		return d == MO && smppc.ValidCID(c.ID)
	case SMPPServer:
		return d == MO && account.ValidUsername(c.ID)
	}
	return false
}
