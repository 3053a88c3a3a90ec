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
	interceptors, seen := plan.snap.InterceptorTable(routing.MT), plan.routable(ctx, m)
	out := &Explanation{Interceptors: interceptors.Explain(seen)}
	if out.Answered, out.Refused = plan.runScript(ctx, interceptors.Match(seen), m); out.Answered != nil || out.Refused != nil {
		return out
	}
	routes, seen := plan.snap.Table(routing.MT), plan.routable(ctx, m)
	out.Routes = routes.Explain(seen)
	matched := routes.Match(seen)
	route, err := plan.choose(matched, false)
	out.Refused = err
	if sms.ReasonOf(err) == sms.ReasonNotBound { // what it would be if one were
		route, err = plan.choose(matched, true)
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
