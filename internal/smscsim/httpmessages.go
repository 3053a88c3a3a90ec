package smscsim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"jasmind/internal/smpp/pdu"
)

// The limits of lists and waits.
const (
	defaultLimit = 100
	maxLimit     = 10_000
	defaultWait  = 10 * time.Second
	maxWait      = 10 * time.Minute
)

// query reads a request's parameters; those that nobody asks for are errors, so that a
// misspelt filter does not match everything.
type query struct {
	values url.Values
	known  map[string]bool
	errs   []error
}

func newQuery(r *http.Request) *query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	q := &query{values: values, known: map[string]bool{}}
	if err != nil {
		q.errs = append(q.errs, err)
	}
	return q
}

func (q *query) text(name string) string {
	q.known[name] = true
	return q.values.Get(name)
}

func (q *query) number(name string, def, most uint64) uint64 {
	s := q.text(name)
	if s == "" {
		return def
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > most {
		q.errs = append(q.errs, fmt.Errorf("%s: %q is not a number in 0..%d", name, s, most))
	}
	return n
}

func (q *query) flag(name string) bool {
	s := q.text(name)
	if s == "" {
		return false
	}
	v, err := strconv.ParseBool(s)
	if err != nil {
		q.errs = append(q.errs, fmt.Errorf("%s: %q is neither true nor false", name, s))
	}
	return v
}

func (q *query) duration(name string, def, most time.Duration) time.Duration {
	s := q.text(name)
	if s == "" {
		return def
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > most {
		q.errs = append(q.errs, fmt.Errorf("%s: %q is not a duration in 0s..%s", name, s, most))
	}
	return d
}

// instant reads a time: RFC 3339, seconds since 1970, or a duration before now.
func (q *query) instant(name string) time.Time {
	s := q.text(name)
	if s == "" {
		return time.Time{}
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(n, 0)
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		q.errs = append(q.errs, fmt.Errorf("%s: %q must look like 2025-01-31T12:00:00Z, 1738324800 or 30s", name, s))
		return time.Time{}
	}
	return time.Now().Add(-d)
}

func (q *query) filter() Filter {
	const all = ^uint64(0)
	f := Filter{
		To: q.text("to"), From: q.text("from"), Text: q.text("text"), Account: q.text("account"),
		Session: q.number("session", 0, all), Operation: q.text("operation"), Status: q.text("status"),
		Since: q.instant("since"), After: q.number("after", 0, all-1), Joined: q.flag("joined"),
	}
	if f.Status != "" {
		st, ok := pdu.ParseStatus(f.Status)
		if !ok {
			q.errs = append(q.errs, fmt.Errorf("status: %q is no command_status", f.Status))
		}
		f.Status = st.String()
	}
	if err := oneOf("operation", f.Operation, []string{"submit_sm", "submit_multi", "data_sm"}); err != nil {
		q.errs = append(q.errs, err)
	}
	return f
}

// done reports what was wrong.
func (q *query) done() error {
	for name, v := range q.values {
		if !q.known[name] {
			q.errs = append(q.errs, fmt.Errorf("%s: unknown parameter", name))
		} else if len(v) > 1 {
			q.errs = append(q.errs, fmt.Errorf("%s: is there %d times", name, len(v)))
		}
	}
	if len(q.errs) > 0 {
		return badRequest(errors.Join(q.errs...))
	}
	return nil
}

// messageList is what lists and waits answer. After is what to ask for next: ?after=.
type messageList struct {
	Messages []Message `json:"messages"`
	Count    int       `json:"count"`
	After    uint64    `json:"after"`
	More     bool      `json:"more"`
}

func (sim *Simulator) getMessages(r *http.Request) (any, int, error) {
	q := newQuery(r)
	f := q.filter()
	offset := q.number("offset", 0, 1<<31)
	limit := q.number("limit", defaultLimit, maxLimit)
	if err := q.done(); err != nil {
		return nil, 0, err
	}
	if limit == 0 {
		return nil, 0, badRequest(errors.New("limit: 0 is not in 1..10000"))
	}
	list, after, more := sim.list(f, int(offset), int(limit))
	if list == nil {
		list = []Message{}
		after = f.After
	}
	return messageList{list, len(list), after, more}, 0, nil
}

func (sim *Simulator) getCount(r *http.Request) (any, int, error) {
	q := newQuery(r)
	f := q.filter()
	if err := q.done(); err != nil {
		return nil, 0, err
	}
	return map[string]int{"count": sim.Count(f)}, 0, nil
}

// getWait answers 200 when enough have come and 408 with those there are when not.
func (sim *Simulator) getWait(r *http.Request) (any, int, error) {
	q := newQuery(r)
	f := q.filter()
	n := q.number("n", 1, maxLimit)
	timeout := q.duration("timeout", defaultWait, maxWait)
	if err := q.done(); err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	list, err := sim.Wait(ctx, int(n), f)
	if list == nil {
		list = []Message{}
	}
	answer := messageList{Messages: list, Count: len(list), After: f.After}
	if len(list) > 0 {
		last := list[len(list)-1]
		answer.After = last.N
		for _, p := range last.Parts {
			answer.After = max(answer.After, p.N)
		}
	}
	switch {
	case err == nil:
		return answer, 0, nil
	case errors.Is(err, ErrStopped):
		return nil, 0, &apiError{http.StatusServiceUnavailable, err}
	}
	return answer, http.StatusRequestTimeout, nil
}

func (sim *Simulator) getMessage(r *http.Request) (any, int, error) {
	id := r.PathValue("id")
	m, ok := sim.Message(id)
	if !ok {
		return nil, 0, notFound("message: there is none with message_id %q, or it was forgotten", id)
	}
	return m, 0, nil
}

func (sim *Simulator) getMessageN(r *http.Request) (any, int, error) {
	n, err := strconv.ParseUint(r.PathValue("n"), 10, 64)
	if err != nil {
		return nil, 0, badRequest(fmt.Errorf("message: %q is no number", r.PathValue("n")))
	}
	m, ok := sim.MessageN(n)
	if !ok {
		return nil, 0, notFound("message: there is no number %d, or it was forgotten", n)
	}
	return m, 0, nil
}

func (sim *Simulator) getIDs(r *http.Request) (any, int, error) {
	q := newQuery(r)
	name := q.text("run")
	first := q.number("first", 0, 1e18)
	expect := q.number("expect", 0, 1e18)
	if err := q.done(); err != nil {
		return nil, 0, err
	}
	if name == "" {
		if first != 0 || expect != 0 {
			return nil, 0, badRequest(errors.New("run: needed with first and expect"))
		}
		return map[string]any{"runs": sim.Runs()}, 0, nil
	}
	rep, _ := sim.IDs(name, first, expect) // that nothing came is a result
	return rep, 0, nil
}
