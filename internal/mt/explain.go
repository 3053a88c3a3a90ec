package mt

import (
	"context"

	"jasmind/internal/intercept"
	"jasmind/internal/routing"
	"jasmind/internal/sms"
)

// Explanation says what would become of a message.
type Explanation struct {
	Interceptors []routing.InterceptorVerdict
	// Answered is the script's answer, if it has answered the message; Refused why the message
	// would be refused, by the script, the routes or the connector's parameters.
	Answered *intercept.Answered
	Refused  error

	Routes []routing.RouteVerdict // as the message is after interception; nil if it does not come to routes
	Route  Route                  // Connector is nil if there is none
	Parts  int
}

// Explain tells what would become of a message, without sending, charging or keeping anything. The
// script that is meant for it is run, as by Quote, since the route may depend on what it
// does, and its changes are written into m; scripts of filters are run as well.
func (s *Service) Explain(ctx context.Context, m *Message) *Explanation {
	plan := s.plan()
	out := &Explanation{Interceptors: plan.snap.InterceptorTable(routing.MT).Explain(plan.routable(ctx, m))}
	if out.Answered, out.Refused = plan.intercept(ctx, m); out.Answered != nil || out.Refused != nil {
		return out
	}
	out.Routes = plan.snap.Table(routing.MT).Explain(plan.routable(ctx, m))
	route, err := plan.route(ctx, m)
	out.Refused = err
	if sms.ReasonOf(err) == sms.ReasonNotBound { // what it would be if one were
		route, err = plan.rate(ctx, m)
	}
	if err != nil {
		return out
	}
	var env sms.Envelope
	applyDefaults(m, route.Connector, &env, env.CreatedAt)
	if out.Parts, err = s.Count(m); err != nil {
		out.Refused = err
	}
	out.Route = route
	return out
}
