package mo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"jasmind/internal/intercept"
	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/routing"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// snapshots gives the configuration that holds now.
type snapshots interface{ Snapshot() *provision.Snapshot }

// Route says where a message goes: to an ESME, or else to HTTP connectors, which are tried in order.
type Route struct {
	SystemID string
	HTTP     []queue.MOTarget
	TLVTypes map[pdu.Tag]string // for HTTP: types of vendors' parameters that the message's connector has rules for
}

// ErrNoRoute says that no route's filters match.
var ErrNoRoute = errors.New("no MO route matches")

// plan is the configuration that one message goes by to its end: one snapshot.
type plan struct {
	*Service
	snap *provision.Snapshot
}

func (s *Service) plan() *plan { return &plan{s, s.deps.Snapshots.Snapshot()} }

// interceptor gives the first interceptor, from the highest order down, whose filters match; nil: none does.
func (p *plan) interceptor(ctx context.Context, m *Message) *routing.Interceptor {
	table := p.snap.InterceptorTable(routing.MO)
	if table.Len() == 0 {
		return nil
	}
	return table.Match(p.routable(ctx, m))
}

// route gives the first route, from the highest order down, whose filters match. A failover route to
// HTTP connectors gives all of them, since only a call tells which is up; one to ESMEs the first that
// is bound or, when none is, the first, for which the message then waits. Errors: ErrNoRoute, else the message cannot be
// routed now.
func (p *plan) route(ctx context.Context, m *Message) (Route, error) {
	table := p.snap.Table(routing.MO)
	if table.Len() == 0 {
		return Route{}, ErrNoRoute
	}
	route := table.Match(p.routable(ctx, m))
	if route == nil {
		return Route{}, ErrNoRoute
	}
	if route.Type == routing.FailoverMORoute && route.Connectors[0].Kind == routing.HTTPClient {
		return p.targets(m, route, route.Connectors...)
	}
	c, ok := route.Choose(func(c routing.Connector) bool { return p.deps.HasSession(c.ID) })
	if !ok {
		c = route.Connectors[0]
	}
	if c.Kind == routing.SMPPServer {
		return Route{SystemID: c.ID}, nil
	}
	return p.targets(m, route, c)
}

// targets looks HTTP connectors up, and what the message's own connector says of its TLVs.
func (p *plan) targets(m *Message, route *routing.Route, cs ...routing.Connector) (Route, error) {
	out := Route{TLVTypes: p.tlvTypes(m)}
	for _, c := range cs {
		h := p.snap.HTTPConnector(sms.ConnectorID(c.ID))
		if h == nil {
			return Route{}, fmt.Errorf("MO route %d: %s does not exist", route.Order, c)
		}
		out.HTTP = append(out.HTTP, queue.MOTarget{CID: h.CID, Method: h.Method, URL: h.URL})
	}
	return out, nil
}

// tlvTypes are the types of a message's TLVs that its connector has rules for, nil if there are none.
func (p *plan) tlvTypes(m *Message) map[pdu.Tag]string {
	c := p.snap.SMPPConnector(m.CID)
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

// routable is what filters see of a message. The EvalPyFilters among them see what interceptors see.
func (p *plan) routable(ctx context.Context, m *Message) *routing.Message {
	out := &routing.Message{Source: m.PDU.Source.Addr, Destination: m.PDU.Dest.Addr, Content: m.Content(),
		Connector: m.CID, Time: time.Now(), Tags: m.Tags}
	if p.snap.HasScriptFilters() {
		out.Eval = p.deps.Scripts.Eval(ctx, p.snap, func() (*intercept.Message, error) { return m.view(), nil })
	}
	return out
}

// private tells whether a connector's texts are to be kept out of the message log (log_privacy, logprivacy).
func (s *Service) private(cid sms.ConnectorID) bool {
	c := s.deps.Snapshots.Snapshot().SMPPConnector(cid)
	return s.cfg.LogPrivacy || c != nil && c.Config.LogPrivacy
}
