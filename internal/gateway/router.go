package gateway

import (
	"context"

	"jasmind/internal/mt"
	"jasmind/internal/provision"
	"jasmind/internal/routing"
	"jasmind/internal/sms"
)

// router gives the configuration to messages.
type router struct {
	state   *provision.Store
	bound   func(sms.ConnectorID) bool
	quality func(sms.ConnectorID) (ratio float64, known bool)
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

// RouteMT gives the first route, from the highest order down, whose filters match, and one of
// its connectors.
func (p *plan) RouteMT(ctx context.Context, m *mt.Message) (mt.Route, error) {
	return p.choose(p.match(ctx, m), false)
}

// RateMT is RouteMT for a message that will not be sent: a failover route of which no connector
// is bound has the price that it has otherwise.
func (p *plan) RateMT(ctx context.Context, m *mt.Message) (mt.Route, error) {
	return p.choose(p.match(ctx, m), true)
}

// ExplainInterceptors tells what every interceptor says of a message.
func (p *plan) ExplainInterceptors(ctx context.Context, m *mt.Message) []routing.InterceptorVerdict {
	return p.snap.InterceptorTable(routing.MT).Explain(p.scripts.routable(ctx, p.snap, m))
}

// ExplainRoutes tells what every route says of a message.
func (p *plan) ExplainRoutes(ctx context.Context, m *mt.Message) []routing.RouteVerdict {
	return p.snap.Table(routing.MT).Explain(p.scripts.routable(ctx, p.snap, m))
}

func (p *plan) match(ctx context.Context, m *mt.Message) *routing.Route {
	return p.snap.Table(routing.MT).Match(p.scripts.routable(ctx, p.snap, m))
}

func (p *plan) choose(route *routing.Route, quote bool) (mt.Route, error) {
	if route == nil {
		return mt.Route{}, &sms.Error{Reason: sms.ReasonNoRoute}
	}
	choice, ok := route.Pick(routing.Knowledge{Bound: p.isBound, Quality: p.qualityOf})
	if !ok && quote {
		choice, ok = route.Pick(routing.Knowledge{Bound: func(routing.Connector) bool { return true }})
	}
	if !ok {
		return mt.Route{}, &sms.Error{Reason: sms.ReasonNotBound}
	}
	cid := choice.Connector.ID
	cfg := p.snap.SMPPConnector(sms.ConnectorID(cid))
	if cfg == nil {
		return mt.Route{}, &sms.Error{Reason: sms.ReasonConnector, Detail: "connector " + cid + " does not exist"}
	}
	return mt.Route{Connector: &cfg.Config, Rate: choice.Rate, Failover: route.Failover(choice)}, nil
}

func (p *plan) isBound(c routing.Connector) bool { return p.bound(sms.ConnectorID(c.ID)) }

func (p *plan) qualityOf(c routing.Connector) routing.Quality {
	ratio, known := p.quality(sms.ConnectorID(c.ID))
	return routing.Quality{Known: known, Ratio: ratio}
}
