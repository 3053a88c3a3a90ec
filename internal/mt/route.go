package mt

import (
	"context"
	"time"

	"jasmind/internal/billing"
	"jasmind/internal/intercept"
	"jasmind/internal/provision"
	"jasmind/internal/routing"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
	"jasmind/internal/smstext"
)

// snapshots gives the configuration that holds now.
type snapshots interface{ Snapshot() *provision.Snapshot }

// ledger tells what is left to a user.
type ledger interface {
	Credit(ctx context.Context, uid sms.UserID, open billing.Credit) (billing.Credit, error)
}

// Route is where a message leaves, and what each of its parts costs.
type Route struct {
	Connector *smppc.Config
	Rate      billing.Amount // 0: not rated
	Failover  sms.Failover   // where it goes when the SMSC refuses it
}

// plan is the configuration that one message, or one batch, goes by to its end: one snapshot, so that none is
// intercepted by one table and routed by another.
type plan struct {
	*Service
	snap *provision.Snapshot
}

func (s *Service) plan() *plan { return &plan{s, s.deps.Snapshots.Snapshot()} }

// interceptors tells whether there are scripts for messages to see.
func (p *plan) interceptors() bool { return p.snap.InterceptorTable(routing.MT).Len() > 0 }

// interceptor gives the first interceptor, from the highest order down, whose filters match; nil: none does.
func (p *plan) interceptor(ctx context.Context, m *Message) *routing.Interceptor {
	if !p.interceptors() {
		return nil
	}
	return p.snap.InterceptorTable(routing.MT).Match(p.routable(ctx, m))
}

// route gives the first route, from the highest order down, whose filters match, and one of its connectors.
// Errors: *sms.Error with ReasonNoRoute, ReasonNotBound or ReasonConnector.
func (p *plan) route(ctx context.Context, m *Message) (Route, error) {
	return p.choose(p.match(ctx, m), false)
}

// rate is route for a message that will not be sent: a failover route of which no connector is bound has the
// price that it has otherwise.
func (p *plan) rate(ctx context.Context, m *Message) (Route, error) {
	return p.choose(p.match(ctx, m), true)
}

func (p *plan) match(ctx context.Context, m *Message) *routing.Route {
	return p.snap.Table(routing.MT).Match(p.routable(ctx, m))
}

func (p *plan) choose(route *routing.Route, quote bool) (Route, error) {
	if route == nil {
		return Route{}, &sms.Error{Reason: sms.ReasonNoRoute}
	}
	choice, ok := route.Pick(routing.Knowledge{Bound: p.bound, Quality: p.quality})
	if !ok && quote {
		choice, ok = route.Pick(routing.Knowledge{Bound: func(routing.Connector) bool { return true }})
	}
	if !ok {
		return Route{}, &sms.Error{Reason: sms.ReasonNotBound}
	}
	cid := choice.Connector.ID
	cfg := p.snap.SMPPConnector(sms.ConnectorID(cid))
	if cfg == nil {
		return Route{}, &sms.Error{Reason: sms.ReasonConnector, Detail: "connector " + cid + " does not exist"}
	}
	return Route{Connector: &cfg.Config, Rate: choice.Rate, Failover: route.Failover(choice)}, nil
}

func (p *plan) bound(c routing.Connector) bool {
	return p.deps.Bound(sms.ConnectorID(c.ID))
}

func (p *plan) quality(c routing.Connector) routing.Quality {
	ratio, known := p.deps.Quality(sms.ConnectorID(c.ID))
	return routing.Quality{Known: known, Ratio: ratio}
}

// routable is what filters see of a message. The EvalPyFilters among them see what interceptors see.
func (p *plan) routable(ctx context.Context, m *Message) *routing.Message {
	content := m.Text
	if !m.IsText {
		content = smstext.Decode(m.PDU.ShortMessage, m.PDU.DataCoding)
	}
	out := &routing.Message{
		Source: m.PDU.Source.Addr, Destination: m.PDU.Dest.Addr, Content: content,
		User: m.UID, Group: m.GID, Time: time.Now(), Tags: m.Tags,
	}
	if p.snap.HasScriptFilters() {
		out.Eval = p.deps.Scripts.Eval(ctx, p.snap, func() (*intercept.Message, error) { return p.seen(ctx, m) })
	}
	return out
}

// seen is a message as scripts see it, with what is left to its user in the place of his opening values.
func (p *plan) seen(ctx context.Context, m *Message) (*intercept.Message, error) {
	view := m.view(&p.how)
	if m.User == nil {
		return view, nil
	}
	open := m.User.Credit()
	if !open.HasBalance && !open.HasCount {
		return view, nil
	}
	left, err := p.deps.Ledger.Credit(ctx, m.UID, open)
	if err != nil {
		return nil, Unavailable(err)
	}
	if open.HasBalance {
		view.User.Quotas.Balance = left.Balance.String()
	}
	if open.HasCount {
		n := int(left.Count)
		view.User.Quotas.SMSCount = &n
	}
	return view, nil
}
