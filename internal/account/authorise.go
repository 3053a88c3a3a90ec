package account

import (
	"fmt"
	"net/netip"

	"jasmind/internal/billing"
	"jasmind/internal/sms"
)

// Operation is something that a user asks for at a door.
type Operation int

// The operations that credentials have a say in.
const (
	HTTPSend    Operation = iota // /send
	HTTPRate                     // /rate
	HTTPBalance                  // /balance
	SMPPSubmit                   // submit_sm, submit_multi, data_sm
	SMPPReplace                  // replace_sm: what it changes
	operations
)

// String names the operation.
func (op Operation) String() string {
	return [operations]string{"/send", "/rate", "/balance", "submit_sm", "replace_sm"}[op]
}

// smpp tells whether it is asked for over SMPP.
func (op Operation) smpp() bool { return op == SMPPSubmit || op == SMPPReplace }

// Param is a parameter of a request: whether the sender set it, and its text.
type Param struct {
	Set   bool
	Value string
}

// Request is what authorisation looks at in an operation on a message. A value that the sender did not set is there
// all the same if the message leaves with it.
type Request struct {
	To       string
	From     Param         // source address
	Priority Param         // 0 to 3
	Validity Param         // in minutes
	Content  func() string // the text; nil: there is none
	Hex      bool          // hex-content was given
	Schedule bool          // a schedule was given
	Level    bool          // receipts are asked for; over HTTP, that they are of a level
	Method   bool          // dlr-method was given
	Long     bool          // the content takes more than one part
}

// refusal is what an operation is refused with.
type refusal struct {
	field string // the parameter at fault, by its name at the door
	text  string
}

// authorization is a row of the table: a key of section authorization, and which operations it holds for. Those that it
// has no refusal for do not look at it.
type authorization struct {
	key      string
	allowed  func(a *MTAuthorization) bool
	asked    func(r *Request) bool // nil: always
	refusals [operations]refusal
}

// authorizations are in the original's order, which both doors share: the first refusal counts.
var authorizations = [...]authorization{
	{"http_send", func(a *MTAuthorization) bool { return a.HTTPSend }, nil, [operations]refusal{HTTPSend: {"", "Cannot send MT messages"}}},
	{"http_rate", func(a *MTAuthorization) bool { return a.HTTPRate }, nil, [operations]refusal{HTTPRate: {"", "Cannot check rate"}}},
	{"http_balance", func(a *MTAuthorization) bool { return a.HTTPBalance }, nil, [operations]refusal{HTTPBalance: {"", "Cannot check balance"}}},
	{"smpps_send", func(a *MTAuthorization) bool { return a.SMPPSSend }, nil, [operations]refusal{SMPPSubmit: {"", "Can not send MT messages"}}},
	longContent,
	{"dlr_level", func(a *MTAuthorization) bool { return a.DLRLevel }, func(r *Request) bool { return r.Level },
		each("dlr-level", "registered_delivery", "registered_delivery", "Setting dlr level not authorized")},
	{"http_dlr_method", func(a *MTAuthorization) bool { return a.HTTPDLRMethod }, func(r *Request) bool { return r.Method },
		[operations]refusal{HTTPSend: {"dlr-method", "Setting dlr method not authorized"}}},
	{"src_addr", func(a *MTAuthorization) bool { return a.SourceAddr }, func(r *Request) bool { return r.From.Set },
		each("from", "source_addr", "", "Setting source address not authorized")},
	{"priority", func(a *MTAuthorization) bool { return a.Priority }, func(r *Request) bool { return r.Priority.Set },
		each("priority", "priority_flag", "", "Setting priority not authorized")},
	{"validity_period", func(a *MTAuthorization) bool { return a.ValidityPeriod }, func(r *Request) bool { return r.Validity.Set },
		each("validity-period", "validity_period", "validity_period", "Setting validity period not authorized")},
	{"hex_content", func(a *MTAuthorization) bool { return a.HexContent }, func(r *Request) bool { return r.Hex },
		[operations]refusal{HTTPSend: {"hex-content", "Setting hex content not authorized"}}},
	{"schedule_delivery_time", func(a *MTAuthorization) bool { return a.ScheduleDeliveryTime }, func(r *Request) bool { return r.Schedule },
		each("sdt", "schedule_delivery_time", "schedule_delivery_time", "Setting schedule delivery time not authorized")},
}

var longContent = authorization{"http_long_content", func(a *MTAuthorization) bool { return a.HTTPLongContent }, func(r *Request) bool { return r.Long },
	[operations]refusal{HTTPSend: {"content", "Long content not authorized"}}}

// each are the refusals of what a message may have at both doors; field "": the operation does not have it.
func each(send, submit, replace, text string) [operations]refusal {
	var out [operations]refusal
	for op, field := range map[Operation]string{HTTPSend: send, SMPPSubmit: submit, SMPPReplace: replace} {
		if field != "" {
			out[op] = refusal{field, text}
		}
	}
	return out
}

// valueFilter is a row of the table: a key of section valuefilter, and which operations it holds for, as authorization is.
type valueFilter struct {
	key      string
	pattern  func(f *MTValueFilter) *Pattern
	value    func(u *User, op Operation, r *Request) (value string, ok bool) // ok is false if there is nothing to look at
	refusals [operations]refusal
}

// given is a parameter that is looked at over HTTP if the sender set it, and over SMPP always, since no PDU leaves it out.
func given(op Operation, p Param) (string, bool) { return p.Value, p.Set || op.smpp() }

// filters are in the original's order.
var filters = [...]valueFilter{
	{"dst_addr", func(f *MTValueFilter) *Pattern { return &f.DestAddr },
		func(_ *User, _ Operation, r *Request) (string, bool) { return r.To, true }, eachFilter("to", "destination_address", "destination_addr", "")},
	{"src_addr", func(f *MTValueFilter) *Pattern { return &f.SourceAddr },
		func(u *User, op Operation, r *Request) (string, bool) {
			return given(op, Param{r.From.Set, u.Source(r.From)})
		},
		eachFilter("from", "source_address", "source_addr", "")},
	{"priority", func(f *MTValueFilter) *Pattern { return &f.Priority },
		func(_ *User, op Operation, r *Request) (string, bool) { return given(op, r.Priority) }, eachFilter("priority", "priority", "priority_flag", "")},
	{"validity_period", func(f *MTValueFilter) *Pattern { return &f.ValidityPeriod },
		func(_ *User, _ Operation, r *Request) (string, bool) { return r.Validity.Value, r.Validity.Set },
		eachFilter("validity-period", "validity_period", "validity_period", "validity_period")},
	{"content", func(f *MTValueFilter) *Pattern { return &f.Content },
		func(_ *User, _ Operation, r *Request) (string, bool) {
			if r.Content == nil {
				return "", false
			}
			return r.Content(), true
		}, eachFilter("content", "content", "content", "content")},
}

// eachFilter are the refusals of a filter; name is what the parameter is called in the texts of HTTP.
func eachFilter(send, name, submit, replace string) [operations]refusal {
	out := each(send, submit, replace, submit+" filter mismatch")
	out[HTTPSend].text = name + " filter mismatch"
	return out
}

// Authorise tells whether the user may do something as it is asked for. The error is the first refusal, in the original's
// order and words: a *sms.Error with ReasonAuthorization or ReasonValueFilter, and the parameter as its Field. It has no
// status: the doors have one for each Reason and Field.
func (u *User) Authorise(op Operation, r *Request) error {
	for i := range authorizations {
		if err := authorizations[i].check(u, op, r); err != nil {
			return err
		}
	}
	for i := range filters {
		f := &filters[i]
		refused := &f.refusals[op]
		if refused.text == "" {
			continue
		}
		pattern := f.pattern(&u.MT.ValueFilter)
		if pattern.all() { // content need not be decoded then
			continue
		}
		if value, ok := f.value(u, op, r); ok && !pattern.Match(value) {
			return u.refused(op, sms.ReasonValueFilter, "Value filter failed", refused)
		}
	}
	return nil
}

func (a *authorization) check(u *User, op Operation, r *Request) error {
	refused := &a.refusals[op]
	if refused.text == "" || a.allowed(&u.MT.Authorization) || a.asked != nil && !a.asked(r) {
		return nil
	}
	return u.refused(op, sms.ReasonAuthorization, "Authorization failed", refused)
}

func (u *User) refused(op Operation, reason sms.Reason, what string, r *refusal) error {
	noun := "user"
	if op.smpp() {
		noun = "username"
	}
	return &sms.Error{Reason: reason, Field: r.field, Detail: fmt.Sprintf("%s for %s [%s] (%s).", what, noun, u.Username, r.text)}
}

// AuthoriseLong tells whether the user may send more than one part over HTTP.
func (u *User) AuthoriseLong() error { return longContent.check(u, HTTPSend, &Request{Long: true}) }

// AuthoriseBind tells why a user may not bind from an address with so many sessions bound already; "": he may. The address
// of a peer that has none is not valid, and only the default list allows it; list is the one that does not.
func (u *User) AuthoriseBind(from netip.Addr, bindings int) (why, list string) {
	c := &u.SMPPS
	switch {
	case !c.Bind:
		return "not authorised to bind", ""
	case !from.IsValid() && c.Addresses.String() != anyAddress, from.IsValid() && !c.Addresses.Allows(from):
		return "address not allowed", c.Addresses.String()
	case c.MaxBindings.Set && bindings >= c.MaxBindings.Value:
		return "max_bindings reached", ""
	}
	return "", ""
}

// anyAddress is the default list.
const anyAddress = "0.0.0.0/0"

// Throughput is how many messages a second the user may send through a door.
func (u *User) Throughput(door sms.Origin) Limit[float64] {
	if door == sms.OriginSMPP {
		return u.MT.Quota.SMPPSThroughput
	}
	return u.MT.Quota.HTTPThroughput
}

// Source is the source address of a message: the sender's, if he set one, else the
// user's default, which may be empty.
func (u *User) Source(from Param) string {
	if from.Set {
		return from.Value
	}
	return u.MT.DefaultSource
}

// Credit gives the opening values of the user's quotas.
func (u *User) Credit() billing.Credit {
	q := &u.MT.Quota
	return billing.Credit{HasBalance: q.Balance.Set, Balance: q.Balance.Value, HasCount: q.SMSCount.Set, Count: int64(q.SMSCount.Value)}
}
