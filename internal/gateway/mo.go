package gateway

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"jasmind/internal/intercept"
	"jasmind/internal/metrics"
	"jasmind/internal/mo"
	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/routing"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// startMO makes the MO flow. It is there before the connectors are.
func (g *Gateway) startMO() {
	g.mo = mo.New(g.cfg.MO, mo.Deps{
		Plans:   &moRouter{state: g.state, scripts: g.scripts, bound: g.esmes.HasSession},
		Journal: g.backend.journal, Parts: g.backend.parts,
		Intercepted: g.counters.Intercepted,
		Private: func(cid sms.ConnectorID) bool {
			c := g.state.Snapshot().SMPPConnector(cid)
			return c != nil && c.Config.LogPrivacy
		},
		Messages: g.logs.messages, Log: g.logs.manager,
	})
}

// moRouter gives the configuration to MO.
type moRouter struct {
	state   *provision.Store
	scripts *scripts                   // of interceptors and EvalPyFilters
	bound   func(systemID string) bool // whether an ESME takes deliver_sm now
}

// PlanMO gives the configuration as it is now.
func (r *moRouter) PlanMO() mo.Plan { return &moPlan{moRouter: r, snap: r.state.Snapshot()} }

// moPlan is the configuration that one message goes by: one snapshot.
type moPlan struct {
	*moRouter
	snap *provision.Snapshot
}

// RouteMO gives the first route, from the highest order down, whose filters match. A failover route to
// HTTP connectors gives all of them, since only a call tells which is up; one to ESMEs the first that
// is bound or, when none is, the first, for which the message then waits.
func (p *moPlan) RouteMO(ctx context.Context, m *mo.Message) (mo.Route, error) {
	snap := p.snap
	table := snap.Table(routing.MO)
	if table.Len() == 0 {
		return mo.Route{}, mo.ErrNoRoute
	}
	route := table.Match(p.scripts.routableMO(ctx, snap, m))
	if route == nil {
		return mo.Route{}, mo.ErrNoRoute
	}
	if route.Type == routing.FailoverMORoute && route.Connectors[0].Kind == routing.HTTPClient {
		return targets(snap, m, route, route.Connectors...)
	}
	c, ok := route.Choose(func(c routing.Connector) bool { return p.bound(c.ID) })
	if !ok {
		c = route.Connectors[0]
	}
	if c.Kind == routing.SMPPServer {
		return mo.Route{SystemID: c.ID}, nil
	}
	return targets(snap, m, route, c)
}

// targets looks HTTP connectors up, and what the message's own connector says of its TLVs.
func targets(snap *provision.Snapshot, m *mo.Message, route *routing.Route, cs ...routing.Connector) (mo.Route, error) {
	out := mo.Route{TLVTypes: tlvTypes(snap, m)}
	for _, c := range cs {
		h := snap.HTTPConnector(sms.ConnectorID(c.ID))
		if h == nil {
			return mo.Route{}, fmt.Errorf("MO route %d: %s does not exist", route.Order, c)
		}
		out.HTTP = append(out.HTTP, queue.MOTarget{CID: h.CID, Method: h.Method, URL: h.URL})
	}
	return out, nil
}

// tlvTypes are the types of a message's TLVs that its connector has rules for, nil if there are none.
func tlvTypes(snap *provision.Snapshot, m *mo.Message) map[pdu.Tag]string {
	c := snap.SMPPConnector(m.CID)
	if c == nil {
		return nil
	}
	var out map[pdu.Tag]string
	for _, rule := range c.Config.CustomTLVs {
		if _, ok := m.PDU.TLVs.Get(rule.Tag); ok {
			if out == nil {
				out = make(map[pdu.Tag]string)
			}
			out[rule.Tag] = rule.Type
		}
	}
	return out
}

// MatchMO gives the script of the first MO interceptor, from the highest order down, whose filters
// match.
func (p *moPlan) MatchMO(ctx context.Context, m *mo.Message) mo.Script {
	snap, s := p.snap, p.scripts
	table := snap.InterceptorTable(routing.MO)
	if table.Len() == 0 {
		return nil
	}
	i := table.Match(s.routableMO(ctx, snap, m))
	if i == nil {
		return nil
	}
	return func(ctx context.Context, view *intercept.Message) (*intercept.Verdict, error) {
		return s.Run(ctx, snap, i, view)
	}
}

// routableMO is what filters see of an MO. The EvalPyFilters among them see what interceptors see.
func (s *scripts) routableMO(ctx context.Context, snap *provision.Snapshot, m *mo.Message) *routing.Message {
	out := &routing.Message{Source: m.PDU.Source.Addr, Destination: m.PDU.Dest.Addr, Content: m.Content(),
		Connector: m.CID, Time: time.Now(), Tags: m.Tags}
	if snap.HasScriptFilters() {
		out.Eval = s.Eval(ctx, snap, func() (*intercept.Message, error) { return m.View(), nil })
	}
	return out
}

// moMetrics adds what /metrics shows of the MO flow.
func (g *Gateway) moMetrics(s *metrics.Set) {
	m := &g.mo.Metrics
	for _, c := range []struct {
		name, help string
		v          *atomic.Int64
	}{
		{"jasmind_mo_accepted_total", "MO answered with ESME_ROK, parts of long ones and those without a route included.", &m.Accepted},
		{"jasmind_mo_refused_total", "MO answered with an error: by an interceptor, or because they could not be made durable.", &m.Refused},
		{"jasmind_mo_parts_total", "Parts of long MO that were stored.", &m.Parts},
		{"jasmind_mo_joined_total", "Long MO queued with all parts.", &m.Joined},
		{"jasmind_mo_incomplete_total", "Long MO queued without some parts, after long_mo_timeout.", &m.Incomplete},
		{"jasmind_mo_repeats_total", "Parts of MO that came again after their message, dropped.", &m.Repeats},
		{"jasmind_mo_http_total", "MO queued for URLs.", &m.HTTP},
		{"jasmind_mo_smpps_total", "MO queued for ESMEs.", &m.SMPPS},
		{"jasmind_mo_unrouted_total", "MO without a route, moved to the dead-letter queue.", &m.Unrouted},
	} {
		s.Counter(c.name, c.help, func() float64 { return float64(c.v.Load()) })
	}
}
