package jcli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/mt"
	"jasmind/internal/routing"
	"jasmind/internal/sms"
)

// explainTimeout bounds the scripts that are run to explain a message.
const explainTimeout = 30 * time.Second

// explainer tells what would become of a message.
type explainer interface {
	Explain(ctx context.Context, m *mt.Message) *mt.Explanation
}

// explainKeys are the parameters of a message that routes can depend on, named as those of filters.
var explainKeys = []string{"uid", "source_addr", "destination_addr", "short_message", "tags"}

// explainForm is what was typed of a message that is to be explained.
type explainForm struct {
	s      *session
	values map[string]string
}

func (s *session) explainRoute() {
	if s.srv.deps.Explain == nil {
		s.print("Messages are not routed by this daemon")
		return
	}
	f := &explainForm{s: s, values: map[string]string{}}
	s.begin("Explaining how a MT message is routed, nothing will be sent: (ok: explain, ko: exit)",
		&interaction{keys: explainKeys, set: f.set, save: f.explain})
}

func (f *explainForm) set(key, value string) {
	switch key {
	case "uid":
		if f.s.snapshot().User(sms.UserID(value)) == nil {
			f.s.print("Unknown User: " + value)
			return
		}
	case "source_addr", "destination_addr", "short_message", "tags":
	default:
		f.s.print("Unknown Message key: " + key)
		return
	}
	f.values[key] = value
}

func (f *explainForm) explain() {
	required := []string{"uid", "destination_addr"}
	if !complete(f.values, required) {
		f.s.print("You must set these options before explaining: " + strings.Join(required, ", "))
		return
	}
	snap := f.s.snapshot()
	u := snap.User(sms.UserID(f.values["uid"]))
	if u == nil {
		f.s.print("Unknown User: " + f.values["uid"])
		return
	}
	m := &mt.Message{UID: u.UID, GID: u.GID, User: u, Origin: sms.OriginHTTP, Text: f.values["short_message"], IsText: true}
	m.PDU.Dest.Addr, m.PDU.Source.Addr = f.values["destination_addr"], f.values["source_addr"]
	if m.PDU.Source.Addr == "" {
		m.PDU.Source.Addr = u.MT.DefaultSource
	}
	if m.PDU.Source.Addr != "" {
		m.Set |= mt.FieldSource
	}
	for tag := range strings.FieldsFuncSeq(f.values["tags"], func(r rune) bool { return r == ',' || r == ';' }) {
		if tag = strings.TrimSpace(tag); tag != "" {
			m.Tags = append(m.Tags, tag)
		}
	}
	ctx, cancel := context.WithTimeout(f.s.srv.ctx, explainTimeout)
	defer cancel()
	was := seenOf(m)
	f.s.printExplanation(f.s.srv.deps.Explain.Explain(ctx, m), was, m)
	f.s.end()
}

// seen is what interception may change of a message and the explanation shows.
type seen struct{ source, destination, content, tags string }

func seenOf(m *mt.Message) seen {
	content := m.Text
	if !m.IsText {
		content = fmt.Sprintf("%d octets in coding %d", len(m.PDU.ShortMessage), m.PDU.DataCoding)
	}
	return seen{m.PDU.Source.Addr, m.PDU.Dest.Addr, content, strings.Join(m.Tags, ",")}
}

func (s *session) printExplanation(e *mt.Explanation, was seen, m *mt.Message) {
	s.print("Interceptors:")
	first := true
	for _, v := range e.Interceptors {
		s.print("#" + strconv.Itoa(v.Interceptor.Order) + " " + v.Interceptor.Type.String() + " " +
			describeScript(routing.MT, v.Interceptor.Script) + ": " + verdict(v.Match, first, "is run"))
		s.printFilters(v.Filters)
		first = first && !v.Match
	}
	if first {
		s.print("No interceptor matches")
	}
	s.printChanges(was, seenOf(m))
	switch {
	case e.Answered != nil:
		s.print("The script answers the message: success, nothing is routed", "Nothing was sent")
		return
	case e.Routes == nil && e.Refused != nil:
		s.print("Refused: "+refusal(e.Refused), "Nothing was sent")
		return
	}
	s.print("Routes:")
	var taken *routing.Route
	for _, v := range e.Routes {
		s.print("#" + strconv.Itoa(v.Route.Order) + " " + v.Route.Type.String() + ": " + verdict(v.Match, taken == nil, "is taken"))
		s.printFilters(v.Filters)
		if v.Match && taken == nil {
			taken = v.Route
		}
	}
	if e.Refused != nil {
		s.print("Refused: " + refusal(e.Refused))
	}
	if c := e.Route.Connector; c != nil && taken != nil {
		state := "no session"
		if s.srv.deps.Connectors != nil {
			if sessions := s.srv.deps.Connectors.Sessions(c.CID); len(sessions) > 0 {
				state = strings.Join(sessions, ", ")
			}
		}
		s.print("Route: #"+strconv.Itoa(taken.Order)+" "+taken.Type.String(), "Connector: smppc("+string(c.CID)+"), "+state)
		if to := e.Route.Failover.To; len(to) > 0 {
			names := make([]string, len(to))
			for i, cid := range to {
				names[i] = "smppc(" + string(cid) + ")"
			}
			s.print("Then, on " + strings.Join(routing.FormatStatuses(e.Route.Failover.On), ", ") + ": " + strings.Join(names, ", "))
		}
		rate := "NOT RATED"
		if e.Route.Rate > 0 {
			rate = e.Route.Rate.Fixed(5) + " for each part"
		}
		s.print("Rate: "+rate, "Parts: "+strconv.Itoa(e.Parts))
	}
	s.print("Nothing was sent")
}

func verdict(match, first bool, taken string) string {
	switch {
	case match && first:
		return "match, " + taken
	case match:
		return "match, but comes after"
	}
	return "no match"
}

func (s *session) printFilters(filters []routing.FilterVerdict) {
	for _, v := range filters {
		s.print("   - " + v.Filter.FID() + " " + abbreviate(v.Filter) + ": " + map[bool]string{true: "match", false: "no match"}[v.Match])
	}
}

func (s *session) printChanges(was, is seen) {
	for _, c := range [...]struct{ name, was, is string }{
		{"source_addr", was.source, is.source}, {"destination_addr", was.destination, is.destination},
		{"short_message", was.content, is.content}, {"tags", was.tags, is.tags},
	} {
		if c.was != c.is {
			s.print(fmt.Sprintf("The script changes %s: %q to %q", c.name, c.was, c.is))
		}
	}
}

// refusal says why a message would be refused.
func refusal(err error) string {
	var refused *sms.Error
	if !errors.As(err, &refused) {
		return oneLine(err)
	}
	switch {
	case refused.Reason == sms.ReasonNoRoute:
		return "no route matches"
	case refused.Reason == sms.ReasonNotBound:
		return "no connector of the failover route is bound; if one were:"
	case refused.Override != nil:
		return fmt.Sprintf("by the script, smpp_status %v, http_status %v", refused.Override.SMPP, refused.Override.HTTP)
	}
	return oneLine(err)
}
