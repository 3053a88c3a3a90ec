package smscsim

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
)

// behaviour is a Behaviour made ready for use; it does not change, but for its counters.
type behaviour struct {
	source    Behaviour
	limit     *rate.Limiter // nil for none
	reorder   int
	wait      time.Duration
	mute      bool
	rules     []*rule
	receipt   *receiptPlan
	needsText bool // a rule looks at the text
}

// rule is a Rule made ready for use.
type rule struct {
	account    string
	ops        uint16
	to, from   string
	toRE       *regexp.Regexp
	fromRE     *regexp.Regexp
	textRE     *regexp.Regexp
	skip       uint64
	every      uint64
	chance     float64
	times      uint64
	answer     *answerPlan
	receipt    *receiptPlan
	seen, hits atomic.Uint64
}

type answerPlan struct {
	status    pdu.Status
	delay     Span
	action    string
	malformed string
	limit     *rate.Limiter // nil: every time
}

// receiptPlan is a Receipt without gaps.
type receiptPlan struct {
	Receipt
	state        pdu.MessageState
	intermediate []pdu.MessageState
	delay        Span
}

// Operations that rules speak of, as bits.
const (
	opSubmitSM = 1 << iota
	opSubmitMulti
	opDataSM
	opQuerySM
	opCancelSM
	opReplaceSM
	opBind
	opSubmissions = opSubmitSM | opSubmitMulti | opDataSM
)

var opBits = map[string]uint16{
	"submit_sm": opSubmitSM, "submit_multi": opSubmitMulti, "data_sm": opDataSM,
	"query_sm": opQuerySM, "cancel_sm": opCancelSM, "replace_sm": opReplaceSM, "bind": opBind,
}

// compile checks a behaviour and makes it ready; the error has every fault.
func compile(b Behaviour) (*behaviour, error) {
	var errs []error
	fault := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	c := &behaviour{source: b, reorder: b.Reorder, wait: time.Duration(b.ReorderWait), mute: b.MuteEnquireLink}
	fault(rateOK("throughput", b.Throughput))
	fault(between("reorder", b.Reorder, 0, inboundWindow))
	if c.wait < 0 {
		fault(fmt.Errorf("reorder_wait: %s is negative", c.wait))
	}
	if c.wait == 0 {
		c.wait = 50 * time.Millisecond
	}
	c.limit = limiter(b.Throughput)
	var err error
	c.receipt, err = compileReceipt("receipt", b.Receipt, Receipt{})
	fault(err)
	if len(b.Rules) > maxRules {
		fault(fmt.Errorf("rules: %d, at most %d", len(b.Rules), maxRules))
		return nil, errors.Join(errs...)
	}
	for i := range b.Rules {
		r, err := compileRule(fmt.Sprintf("rules[%d]", i), &b.Rules[i], b.Receipt)
		fault(err)
		c.rules = append(c.rules, r)
		c.needsText = c.needsText || r.textRE != nil
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return c, nil
}

// limiter allows v a second, with one second's worth at once; nil for 0.
func limiter(v float64) *rate.Limiter {
	if !(v > 0) {
		return nil
	}
	return rate.NewLimiter(rate.Limit(v), max(1, int(math.Ceil(min(v, 1e9)))))
}

func compileRule(at string, r *Rule, general Receipt) (*rule, error) {
	var errs []error
	c := &rule{account: r.Account, to: r.To, from: r.From, chance: r.Probability,
		skip: uint64(max(r.Skip, 0)), every: uint64(max(r.Every, 1)), times: uint64(max(r.Times, 0))}
	for _, n := range []struct {
		name string
		v    int
	}{{"skip", r.Skip}, {"every", r.Every}, {"times", r.Times}} {
		errs = append(errs, between(at+"."+n.name, n.v, 0, math.MaxInt))
	}
	if !(r.Probability >= 0 && r.Probability <= 1) {
		errs = append(errs, fmt.Errorf("%s.probability: %v is not in 0..1", at, r.Probability))
	}
	for _, name := range r.Operations {
		bit, ok := opBits[name]
		if !ok {
			errs = append(errs, fmt.Errorf("%s.operations: %q is none of submit_sm, submit_multi, data_sm, query_sm, cancel_sm, replace_sm, bind", at, name))
		}
		c.ops |= bit
	}
	if len(r.Operations) == 0 {
		c.ops = opSubmissions
	}
	for _, e := range []struct {
		name, expr string
		re         **regexp.Regexp
	}{{"to_regex", r.ToRegex, &c.toRE}, {"from_regex", r.FromRegex, &c.fromRE}, {"text_regex", r.TextRegex, &c.textRE}} {
		if e.expr == "" {
			continue
		}
		re, err := regexp.Compile(e.expr)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s.%s: %w", at, e.name, err))
		}
		*e.re = re
	}
	if r.Answer == nil && r.Receipt == nil {
		errs = append(errs, fmt.Errorf("%s: has neither answer nor receipt", at))
	}
	var err error
	if r.Answer != nil {
		c.answer, err = compileAnswer(at+".answer", r.Answer)
		errs = append(errs, err)
		if c.ops&opBind != 0 && c.ops != opBind {
			errs = append(errs, fmt.Errorf("%s.operations: bind cannot be together with others", at))
		}
	}
	if r.Receipt != nil {
		if c.ops&^opSubmissions != 0 {
			errs = append(errs, fmt.Errorf("%s.receipt: only submissions have receipts", at))
		}
		c.receipt, err = compileReceipt(at+".receipt", *r.Receipt, general)
		errs = append(errs, err)
	}
	return c, errors.Join(errs...)
}

func compileAnswer(at string, a *Answer) (*answerPlan, error) {
	var errs []error
	c := &answerPlan{delay: a.Delay, action: a.Action, malformed: a.Malformed, limit: limiter(a.Throughput)}
	if c.limit != nil {
		c.status = pdu.StatusThrottled
	}
	if a.Status != "" {
		st, ok := pdu.ParseStatus(a.Status)
		if !ok {
			errs = append(errs, fmt.Errorf("%s.status: %q is no command_status", at, a.Status))
		}
		c.status = st
	}
	if c.action == "" {
		c.action = ActionAnswer
	}
	errs = append(errs, oneOf(at+".action", a.Action, actions), rateOK(at+".throughput", a.Throughput))
	if a.Delay.Min < 0 {
		errs = append(errs, fmt.Errorf("%s.delay: %s is negative", at, a.Delay))
	}
	switch {
	case c.action != ActionMalformed && a.Malformed != "":
		errs = append(errs, fmt.Errorf("%s.malformed: %q without action malformed", at, a.Malformed))
	case c.action == ActionMalformed && !slices.Contains(deformities, a.Malformed):
		errs = append(errs, fmt.Errorf("%s.malformed: %q is none of %s", at, a.Malformed, strings.Join(deformities, ", ")))
	}
	return c, errors.Join(errs...)
}

// compileReceipt fills the gaps of r from general, then from the defaults.
func compileReceipt(at string, r, general Receipt) (*receiptPlan, error) {
	inherit := func(v *string, from, last string) {
		if *v == "" {
			*v = from
		}
		if *v == "" {
			*v = last
		}
	}
	inherit(&r.Send, general.Send, SendAsked)
	inherit(&r.State, general.State, "DELIVRD")
	inherit(&r.Err, general.Err, "000")
	inherit(&r.Form, general.Form, FormBoth)
	inherit(&r.ID, general.ID, IDSame)
	inherit(&r.TLVID, general.TLVID, r.ID)
	inherit(&r.Bind, general.Bind, BindAny)
	inherit(&r.Template, general.Template, "")
	if r.IDWidth == 0 {
		r.IDWidth = general.IDWidth
	}
	if r.Delay == nil {
		r.Delay = general.Delay
	}
	if r.Intermediate == nil {
		r.Intermediate = general.Intermediate
	}
	if r.ESMClass == nil {
		r.ESMClass = general.ESMClass
	}
	c := &receiptPlan{Receipt: r}
	if r.Delay != nil {
		c.delay = *r.Delay
	}
	errs := []error{
		oneOf(at+".send", r.Send, []string{SendAsked, SendAlways, SendNever}),
		oneOf(at+".form", r.Form, []string{FormBoth, FormText, FormTLV, FormPayload, FormDataSM}),
		oneOf(at+".id", r.ID, receiptIDForms),
		oneOf(at+".tlv_id", r.TLVID, receiptIDForms),
		oneOf(at+".bind", r.Bind, []string{BindAny, BindSame, BindOther}),
		between(at+".id_width", r.IDWidth, 0, maxIDWidth),
	}
	var ok bool
	if c.state, ok = receipt.ParseState(r.State); !ok {
		errs = append(errs, fmt.Errorf("%s.state: %q is no message state", at, r.State))
	}
	for _, name := range r.Intermediate {
		st, ok := receipt.ParseState(name)
		if !ok {
			errs = append(errs, fmt.Errorf("%s.intermediate: %q is no message state", at, name))
		}
		c.intermediate = append(c.intermediate, st)
	}
	if len(r.Intermediate) > 10 {
		errs = append(errs, fmt.Errorf("%s.intermediate: %d states, at most 10", at, len(r.Intermediate)))
	}
	if len(r.Template) > 1000 {
		errs = append(errs, fmt.Errorf("%s.template: %d octets, at most 1000", at, len(r.Template)))
	}
	if _, err := receipt.Format(&receipt.Receipt{ID: "1", SubmitDate: "2501010000", DoneDate: "2501010000", Err: r.Err}); err != nil {
		errs = append(errs, fmt.Errorf("%s.err: %w", at, err))
	}
	return c, errors.Join(errs...)
}

// request is what rules look at.
type request struct {
	op       uint16
	account  string
	to, from string
	message  *pdu.Message // nil unless it is a submission
	text     *string      // decoded when first wanted
}

// decision is what the rules say about one request.
type decision struct {
	status    pdu.Status
	delay     time.Duration
	action    string
	malformed string
	receipt   *receiptPlan
}

// decide goes through the rules.
func (b *behaviour) decide(q *request) decision {
	d := decision{action: ActionAnswer, receipt: b.receipt}
	answered, receipted := false, q.op&opSubmissions == 0
	for _, r := range b.rules {
		useful := r.answer != nil && !answered || r.receipt != nil && !receipted
		if !useful || !r.matches(q) {
			continue
		}
		if a := r.answer; a != nil && !answered && (a.limit == nil || !a.limit.Allow()) {
			answered = true
			d.status, d.action, d.malformed = a.status, a.action, a.malformed
			d.delay = a.delay.pick()
		}
		if r.receipt != nil && !receipted {
			receipted = true
			d.receipt = r.receipt
		}
		if answered && receipted {
			break
		}
	}
	return d
}

// matches reports whether the rule takes the request, and counts it.
func (r *rule) matches(q *request) bool {
	switch {
	case r.ops&q.op == 0,
		r.account != "" && r.account != q.account,
		!strings.HasPrefix(q.to, r.to),
		!strings.HasPrefix(q.from, r.from),
		r.toRE != nil && !r.toRE.MatchString(q.to),
		r.fromRE != nil && !r.fromRE.MatchString(q.from):
		return false
	}
	if r.textRE != nil {
		if q.message == nil {
			return false
		}
		if q.text == nil {
			text, _ := readText(q.message)
			q.text = &text
		}
		if !r.textRE.MatchString(*q.text) {
			return false
		}
	}
	if n := r.seen.Add(1); n <= r.skip || (n-r.skip)%r.every != 0 {
		return false
	}
	if r.chance > 0 && r.chance < 1 && rand.Float64() >= r.chance {
		return false
	}
	return r.hits.Add(1) <= r.times || r.times == 0
}
