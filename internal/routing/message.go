// Package routing decides where a message goes: filters look at it, a route holds filters
// and connectors, and a table holds routes in descending order, of which the first whose
// filters all match is taken. Tables are immutable and compiled: a lookup allocates
// nothing. It does not know what a connector does, nor what a message costs.
//
//	table, err := routing.NewTable(routing.MT, routes)
//	route := table.Match(&routing.Message{Destination: "33612345678", User: "u1", Time: time.Now()})
//	connector, ok := route.Choose(bound)
package routing

import (
	"time"

	"jasmind/internal/sms"
)

// Direction is which way a message goes.
type Direction uint8

// The directions, which are also a set in Filter types.
const (
	MT Direction = 1 << iota // mobile-terminated: submit_sm, from a user
	MO                       // mobile-originated: deliver_sm, from a connector
)

// String is MT or MO.
func (d Direction) String() string {
	switch d {
	case MT:
		return "MT"
	case MO:
		return "MO"
	}
	return "MO MT"
}

// Message is what filters look at (Jasmin: Routable). Fields that a direction does not
// have are empty. It remembers what the scripts of EvalPyFilters gave, so that each filter is evaluated once at most: make
// one for each table that looks at the message. It is not for concurrent use.
type Message struct {
	Source      string
	Destination string
	// Content is the text in UTF-8, or the octets of a message that is no text. Jasmin
	// matches the octets of short_message, whatever their alphabet; with UCS2 no
	// pattern could then match what the operator reads.
	Content   string
	User      sms.UserID      // MT: who sends it
	Group     sms.GroupID     // MT: the group he is in
	Connector sms.ConnectorID // MO: where it came in
	// Time is when the message was accepted or received. Date and time filters read the
	// clock in its location: give local time, as the operator writes his intervals in it.
	Time time.Time
	Tags []string
	// Eval runs the script of an EvalPyFilter on the message and gives its result. While it
	// is nil, such filters match nothing (Jasmin: result is False unless the script sets it).
	Eval func(*Script) bool

	evaluated []evaluation
}

// evaluation is what the script of one filter gave.
type evaluation struct {
	script *Script
	result bool
}

// evaluate runs the script of a filter, unless it was run on this message before: operators charge in such scripts, and a
// filter may be in several routes.
func (m *Message) evaluate(s *Script) bool {
	if m.Eval == nil {
		return false
	}
	for _, e := range m.evaluated {
		if e.script == s {
			return e.result
		}
	}
	result := m.Eval(s)
	m.evaluated = append(m.evaluated, evaluation{s, result})
	return result
}
