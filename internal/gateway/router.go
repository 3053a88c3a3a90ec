package gateway

import (
	"context"

	"jasmind/internal/mt"
	"jasmind/internal/provision"
	"jasmind/internal/routing"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

type pduStatus = pdu.Status

// failedScript is the SMPP status of a script that failed.
const failedScript = pdu.StatusSysErr

// router gives the configuration to messages.
type router struct {
	state   *provision.Store
	bound   func(sms.ConnectorID) bool
	scripts *scripts // of interceptors and EvalPyFilters
}

// PlanMT gives the configuration as it is now.
func (r *router) PlanMT() mt.Plan { return &plan{router: r, snap: r.state.Snapshot()} }

// plan is the configuration that one message, or one batch, goes by: one snapshot.
type plan struct {
	*router
	snap *provision.Snapshot
}

// HasMT tells whether there are MT interceptors.
func (p *plan) HasMT() bool { return p.snap.InterceptorTable(routing.MT).Len() > 0 }

// MatchMT gives the script of the first interceptor, from the highest order down, whose
// filters match.
func (p *plan) MatchMT(ctx context.Context, m *mt.Message) mt.Script {
	table := p.snap.InterceptorTable(routing.MT)
	if table.Len() == 0 {
		return nil
	}
	i := table.Match(p.scripts.routable(ctx, p.snap, m))
	if i == nil {
		return nil
	}
	return p.scripts.runner(p.snap, i, m)
}

// RouteMT gives the first route, from the highest order down, whose filters match.
func (p *plan) RouteMT(ctx context.Context, m *mt.Message) (mt.Route, error) {
	return p.route(ctx, m, func(c routing.Connector) bool { return p.bound(sms.ConnectorID(c.ID)) })
}

// RateMT is RouteMT for a message that will not be sent.
func (p *plan) RateMT(ctx context.Context, m *mt.Message) (mt.Route, error) {
	return p.route(ctx, m, func(routing.Connector) bool { return true })
}

func (p *plan) route(ctx context.Context, m *mt.Message, bound func(routing.Connector) bool) (mt.Route, error) {
	snap := p.snap
	route := snap.Table(routing.MT).Match(p.scripts.routable(ctx, snap, m))
	if route == nil {
		return mt.Route{}, &sms.Error{Reason: sms.ReasonNoRoute}
	}
	c, ok := route.Choose(bound)
	if !ok {
		return mt.Route{}, &sms.Error{Reason: sms.ReasonNotBound}
	}
	cfg := snap.SMPPConnector(sms.ConnectorID(c.ID))
	if cfg == nil {
		return mt.Route{}, &sms.Error{Reason: sms.ReasonConnector, Detail: "connector " + c.ID + " does not exist"}
	}
	return mt.Route{Connector: &cfg.Config, Rate: route.Rate}, nil
}
