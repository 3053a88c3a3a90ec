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

// router picks connectors by the MT table of the current snapshot.
type router struct {
	state   *provision.Store
	bound   func(sms.ConnectorID) bool
	scripts *scripts // of EvalPyFilters
}

// RouteMT gives the first route, from the highest order down, whose filters match.
func (r *router) RouteMT(ctx context.Context, m *mt.Message) (mt.Route, error) {
	return r.route(ctx, m, func(c routing.Connector) bool { return r.bound(sms.ConnectorID(c.ID)) })
}

// RateMT is RouteMT for a message that will not be sent.
func (r *router) RateMT(ctx context.Context, m *mt.Message) (mt.Route, error) {
	return r.route(ctx, m, func(routing.Connector) bool { return true })
}

func (r *router) route(ctx context.Context, m *mt.Message, bound func(routing.Connector) bool) (mt.Route, error) {
	snap := r.state.Snapshot()
	route := snap.Table(routing.MT).Match(r.scripts.routable(ctx, snap, m))
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
