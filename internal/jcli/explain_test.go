package jcli

import (
	"context"

	"jasmind/internal/mt"
	"jasmind/internal/provision"
	"jasmind/internal/routing"
	"jasmind/internal/sms"
)

// fakeExplainer explains by the tables, and runs no script.
type fakeExplainer struct{ store *provision.Store }

func (f fakeExplainer) Explain(_ context.Context, m *mt.Message) *mt.Explanation {
	snap := f.store.Snapshot()
	seen := &routing.Message{Source: m.PDU.Source.Addr, Destination: m.PDU.Dest.Addr, Content: m.Text, User: m.UID, Group: m.GID, Tags: m.Tags}
	out := &mt.Explanation{Interceptors: snap.InterceptorTable(routing.MT).Explain(seen), Routes: snap.Table(routing.MT).Explain(seen)}
	r := snap.Table(routing.MT).Match(seen)
	if r == nil {
		out.Refused = &sms.Error{Reason: sms.ReasonNoRoute}
		return out
	}
	choice, _ := r.Pick(routing.Knowledge{Bound: func(routing.Connector) bool { return true }})
	out.Route = mt.Route{Connector: &snap.SMPPConnector(sms.ConnectorID(choice.Connector.ID)).Config, Rate: choice.Rate, Failover: r.Failover(choice)}
	out.Parts = 1
	return out
}
