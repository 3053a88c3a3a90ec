package gateway

import (
	"context"
	"fmt"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/mt"
	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/queue/pebble"
	"jasmind/internal/smppserver"
	"jasmind/internal/sms"
)

// accounts are those of the current snapshot.
type accounts struct{ *provision.Store }

// User gives a user by his uid; nil if there is none.
func (a accounts) User(uid sms.UserID) *account.User { return a.Snapshot().User(uid) }

func (g *Gateway) startSMPP(ctx context.Context) error {
	srv := smppserver.New(g.cfg.SMPPServer, smppserver.Deps{
		Auth: g.auth, Accounts: accounts{g.state}, Submit: g.submit,
		States: mt.NewStates(g.backend.journal, g.backend.store), Receivers: g.esmes, Log: g.logs.smpp,
	})
	if err := srv.Listen(ctx); err != nil {
		return err
	}
	g.smpp = srv
	g.certificates.Add(srv.Certificates())
	g.unreview = g.state.Subscribe(func(_, _ *provision.Snapshot) { srv.Review() })
	g.wg.Go(func() {
		if err := srv.Serve(g.ctx); err != nil && g.ctx.Err() == nil {
			g.fail(fmt.Errorf("smpp-server: %w", err))
		}
	})
	return nil
}

// smppDrain bounds the time that ESMEs get to answer what they were sent when the gateway stops.
const smppDrain = 5 * time.Second

// stopSMPP shuts the SMPP server. It takes half of the time that is left at most, so that an
// ESME that does not answer does not keep the connectors from draining. That one did not answer is
// no error: what it was sent comes again.
func (g *Gateway) stopSMPP(ctx context.Context) error {
	limit := smppDrain
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/2)
	}
	inner, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := g.smpp.Shutdown(inner); err != nil && inner.Err() == nil {
		return fmt.Errorf("smpp-server: %w", err)
	}
	return nil
}

// knownESMEs lists those whose queues may hold something: all users and, embedded, all queues.
func (g *Gateway) knownESMEs() []string {
	var out []string
	for _, u := range g.state.Snapshot().Users() {
		out = append(out, u.Username)
	}
	if d, ok := g.backend.broker.(*pebble.Driver); ok {
		for _, name := range d.Names() {
			if systemID, ok := queue.ESMEOf(name); ok {
				out = append(out, systemID)
			}
		}
	}
	return out
}

// smppServer is the SMPP server; where it is disabled, one that has counted nothing.
func (g *Gateway) smppServer() *smppserver.Server {
	if g.smpp == nil {
		return new(smppserver.Server)
	}
	return g.smpp
}
