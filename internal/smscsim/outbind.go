package smscsim

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// Outbind says which ESME to connect to, so that it binds on that connection (SMPP v3.4 §2.2.1).
type Outbind struct {
	Address  string   `json:"address"`             // host:port that the ESME listens on
	SystemID string   `json:"system_id,omitempty"` // of the outbind; default that of the configuration
	Password string   `json:"password,omitempty"`  // of the outbind
	TLS      bool     `json:"tls,omitempty"`       // speak TLS, and show the certificate of the SMPP port if it has one; the ESME's is not verified
	Timeout  Duration `json:"timeout,omitempty"`   // until the ESME is bound; default 10s
}

// ErrNoBind is returned when an ESME was connected to and ended the connection in place of a bind.
var ErrNoBind = errors.New("smscsim: the ESME did not bind")

// outbindTimeout is how long an ESME may take to bind unless an Outbind says otherwise.
const outbindTimeout = 10 * time.Second

func (o *Outbind) validate() error {
	_, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		err = fmt.Errorf("address: %w", err)
	}
	return errors.Join(err, cstring("system_id", o.SystemID, 15), cstring("password", o.Password, 8))
}

// Outbind connects to an ESME, sends outbind and waits until it is bound. The session is like any other from
// then on; nothing connects again when it ends.
//
// Errors: what is wrong with o; that of the connection; ErrNoBind; the cause of ctx or context.DeadlineExceeded when
// no bind comes; ErrStopped.
func (sim *Simulator) Outbind(ctx context.Context, o Outbind) (SessionView, error) {
	if err := o.validate(); err != nil {
		return SessionView{}, badRequest(err)
	}
	sim.mu.Lock()
	accept, tc := sim.accept, sim.tls
	sim.mu.Unlock()
	if accept == nil {
		return SessionView{}, ErrStopped // or not started
	}
	timeout := time.Duration(o.Timeout)
	if timeout <= 0 {
		timeout = outbindTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", o.Address)
	if err != nil {
		return SessionView{}, fmt.Errorf("outbind: %w", err)
	}
	if o.TLS {
		own := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
		if tc != nil {
			own.Certificates = tc.Certificates
		}
		conn = tls.Client(conn, own)
	}
	p := accept(conn)
	if p == nil {
		return SessionView{}, fmt.Errorf("outbind: there are %d connections already, or the simulator stops", sim.cfg.MaxConnections)
	}
	err = p.session.Notify(&pdu.Outbind{SystemID: cmp.Or(o.SystemID, sim.cfg.SystemID), Password: o.Password})
	if err == nil {
		select {
		case <-p.bound:
			return p.view(), nil
		case <-p.session.Done():
			err = ErrNoBind
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-sim.stopping:
			err = ErrStopped
		}
	}
	p.session.Close(errDropped)
	return SessionView{}, fmt.Errorf("outbind: %w", err)
}

func (sim *Simulator) postOutbind(r *http.Request) (any, int, error) {
	var o Outbind
	if err := readJSON(r, &o); err != nil {
		return nil, 0, err
	}
	v, err := sim.Outbind(r.Context(), o)
	var api *apiError
	switch {
	case err == nil:
		return v, http.StatusCreated, nil
	case errors.As(err, &api):
		return nil, 0, err
	case errors.Is(err, context.DeadlineExceeded):
		return nil, 0, &apiError{http.StatusGatewayTimeout, fmt.Errorf("the ESME did not bind: %w", err)}
	case errors.Is(err, ErrStopped):
		return nil, 0, &apiError{http.StatusServiceUnavailable, err}
	}
	return nil, 0, &apiError{http.StatusBadGateway, err}
}

// view is what the API shows of a session.
func (p *peer) view() SessionView {
	s := p.session.Stats()
	return SessionView{
		ID: p.id, Account: p.systemID(), State: p.session.State().String(), Remote: p.session.RemoteAddr().String(),
		Since: p.since, Submissions: p.submits.Load(), Unanswered: p.session.Unanswered(),
		InFlight: p.session.InFlight(), PDUsIn: s.PDUsIn, PDUsOut: s.PDUsOut, Malformed: s.Malformed,
	}
}

// noteBound tells who waits for a bind of p.
func (p *peer) noteBound(to smpp.State) {
	if to.Bound() {
		p.boundOnce.Do(func() { close(p.bound) })
	}
}
