package mt

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"jasmind/internal/account"
	"jasmind/internal/intercept"
	"jasmind/internal/logging"
	"jasmind/internal/routing"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

// batchScripts is how many messages of one batch scripts run on at a time.
const batchScripts = 16

// shown are the parameters that a script sees of a message that came over HTTP: those of a
// connector without settings (Jasmin).
var shown = smppc.Default("http")

// view is a message as scripts see it: with its whole content encoded. What it shares with m
// must not be changed. Content that is longer than intercept.MaxContent is cut in it.
func (m *Message) view(how *encoding) *intercept.Message {
	p := m.PDU
	m.encode(&p, how)
	if len(p.ShortMessage) > intercept.MaxContent {
		p.ShortMessage = p.ShortMessage[:intercept.MaxContent]
	}
	if m.Origin == sms.OriginHTTP {
		seen := m.changed | m.locked
		if !seen.Has(intercept.ParamESMClass) {
			p.ESMClass = pdu.ESMModeStoreForward
		}
		for _, f := range [...]struct {
			param intercept.Param
			to    *uint8
			value uint8
		}{
			{intercept.ParamSourceTON, &p.Source.TON, shown.SourceTON}, {intercept.ParamSourceNPI, &p.Source.NPI, shown.SourceNPI},
			{intercept.ParamDestTON, &p.Dest.TON, shown.DestTON}, {intercept.ParamDestNPI, &p.Dest.NPI, shown.DestNPI},
		} {
			if !seen.Has(f.param) {
				*f.to = f.value
			}
		}
		if m.Report.What&sms.ReportFinal != 0 && !seen.Has(intercept.ParamRegisteredDelivery) {
			p.RegisteredDelivery = 1
		}
		if m.Set&FieldValidity != 0 && p.ValidityPeriod == "" {
			p.ValidityPeriod = pdu.FormatRelative(m.Validity)
		}
	}
	out := &intercept.Message{Direction: intercept.MT, PDU: p, CustomTLVs: m.CustomTLVs, Tags: m.Tags, Time: time.Now(), User: intercept.User{UID: m.UID, GID: m.GID}}
	if u := m.User; u != nil {
		q := &u.MT.Quota
		out.User.Username, out.User.DefaultSource = u.Username, u.MT.DefaultSource
		out.User.Quotas = intercept.Quotas{
			SMSCount: limit(q.SMSCount), HTTPThroughput: limit(q.HTTPThroughput), SMPPSThroughput: limit(q.SMPPSThroughput),
			MaxBindings: limit(u.SMPPS.MaxBindings),
		}
		if q.Balance.Set {
			out.User.Quotas.Balance = q.Balance.Value.String()
		}
		if q.EarlyPercent.Set {
			out.User.Quotas.EarlyPercent = q.EarlyPercent.Value.String()
		}
	}
	return out
}

func limit[T comparable](l account.Limit[T]) *T {
	if !l.Set {
		return nil
	}
	return &l.Value
}

// intercept runs the script that is meant for a message, if any, and makes its changes. An
// answer of the script's ends the message's journey.
func (p *plan) intercept(ctx context.Context, m *Message) (*intercept.Answered, error) {
	return p.runScript(ctx, p.interceptor(ctx, m), m)
}

// runScript is intercept with the interceptor that matches; nil: there is none.
func (p *plan) runScript(ctx context.Context, i *routing.Interceptor, m *Message) (*intercept.Answered, error) {
	if i == nil {
		return nil, nil
	}
	m.Intercepted = true
	view, err := p.seen(ctx, m)
	if err != nil {
		return nil, err
	}
	v, err := p.deps.Scripts.Run(ctx, p.snap, i, view)
	if refused := new(sms.Error); errors.As(err, &refused) {
		return nil, err
	} else if err != nil {
		return nil, Unavailable(err)
	}
	if v.Answered != nil {
		return v.Answered, nil
	}
	return nil, m.apply(v)
}

// scripted is what a script did to one message of a batch.
type scripted struct {
	answered *intercept.Answered
	err      error
}

// interceptAll runs scripts on the messages of a batch, several at a time: one that waits for
// a service must not hold up those behind it. Nil: there are no scripts.
func (p *plan) interceptAll(ctx context.Context, ms []*Message) []scripted {
	if !p.interceptors() {
		return nil
	}
	out := make([]scripted, len(ms))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(len(ms), batchScripts) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(ms); i = int(next.Add(1)) - 1 {
				if err := logging.Guard(p.log, "interceptor", func() { out[i].answered, out[i].err = p.intercept(ctx, ms[i]) }); err != nil {
					out[i].err = err
				}
			}
		})
	}
	wg.Wait()
	return out
}

// answer is what the sender of a message is told that a script has answered.
func answer(m *Message, a *intercept.Answered) Accepted {
	id := sms.MessageID(a.MessageID)
	if id == "" {
		id = m.ID
	}
	if id == "" {
		id = sms.MessageID(uuid.NewString())
	}
	return Accepted{ID: id}
}

// apply makes the changes of a script. Source, coding, priority and validity that it changed or
// locked count as set by the sender. What it locked no default of a connector overwrites.
// Content that it set is in the coding that it left; content that it left alone is encoded
// anew when it changed the coding of a text.
func (m *Message) apply(v *intercept.Verdict) error {
	touched := v.Changed | v.Locked
	was, p := m.PDU, v.Message.PDU
	if m.Origin == sms.OriginHTTP {
		// What View made up for the script.
		restore := func(param intercept.Param, to *uint8, value uint8) {
			if !touched.Has(param) {
				*to = value
			}
		}
		restore(intercept.ParamESMClass, (*uint8)(&p.ESMClass), uint8(was.ESMClass))
		restore(intercept.ParamSourceTON, &p.Source.TON, was.Source.TON)
		restore(intercept.ParamSourceNPI, &p.Source.NPI, was.Source.NPI)
		restore(intercept.ParamDestTON, &p.Dest.TON, was.Dest.TON)
		restore(intercept.ParamDestNPI, &p.Dest.NPI, was.Dest.NPI)
		restore(intercept.ParamRegisteredDelivery, &p.RegisteredDelivery, was.RegisteredDelivery)
	}
	if v.Changed.Has(intercept.ParamShortMessage) {
		m.Text, m.IsText = "", false
		m.Set |= FieldCoding
	} else {
		p.ShortMessage = was.ShortMessage
	}
	if p.Dest.Addr == "" {
		return invalid("destination_addr", p.Dest.Addr)
	}
	if v.Changed.Has(intercept.ParamValidityPeriod) {
		m.Set &^= FieldValidity
		m.Validity = 0
		if p.ValidityPeriod != "" {
			now := time.Now()
			t, err := pdu.ParseTime(p.ValidityPeriod, now)
			if err != nil || !t.After(now) {
				return invalid("validity_period", p.ValidityPeriod)
			}
			m.Validity = t.Sub(now)
			m.Set |= FieldValidity
		}
	} else {
		p.ValidityPeriod = was.ValidityPeriod
	}
	if v.Changed.Has(intercept.ParamScheduleDeliveryTime) && p.ScheduleDeliveryTime != "" {
		if _, err := pdu.ParseTime(p.ScheduleDeliveryTime, time.Now()); err != nil {
			return invalid("schedule_delivery_time", p.ScheduleDeliveryTime)
		}
	}
	p.TLVs = was.TLVs
	if v.Changed.Has(intercept.ParamTLVs) || v.Changed.Has(intercept.ParamCustomTLVs) {
		// Those without a name came to the custom ones, which are encoded when their rules are known.
		p.TLVs, m.CustomTLVs = v.Message.PDU.TLVs, v.Message.CustomTLVs
	}
	if touched.Has(intercept.ParamDataCoding) {
		m.Auto = false
	}
	for _, f := range [...]struct {
		param intercept.Param
		field Field
	}{{intercept.ParamSource, FieldSource}, {intercept.ParamDataCoding, FieldCoding}, {intercept.ParamPriority, FieldPriority}} {
		if touched.Has(f.param) {
			m.Set |= f.field
		}
	}
	m.PDU, m.Tags = p, v.Message.Tags
	m.changed, m.locked = v.Changed, v.Locked
	return nil
}

func invalid(field, value string) error {
	return &sms.Error{Reason: sms.ReasonInvalid, Field: field, Detail: field + " has an invalid value after interception: " + strconv.Quote(value)}
}
