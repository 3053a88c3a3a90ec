package mt

import (
	"context"

	"jasmind/internal/billing"
	"jasmind/internal/sms"
)

// charge tells what the sender pays for a message, and notes it in the envelope; nil if he
// pays nothing.
//
// Jasmin: the balance must have the whole price even if only early_percent of it is taken
// now; an unrated route asks nothing of the balance; sms_count is taken whatever the rate.
func (s *Service) charge(m *Message, rate billing.Amount, env *sms.Envelope) (*billing.Charge, error) {
	if m.User == nil || s.free(m.Origin) {
		return nil, nil
	}
	q := &m.User.MT.Quota
	if !q.SMSCount.Set && (rate <= 0 || !q.Balance.Set) {
		return nil, nil
	}
	parts := len(env.Parts)
	c := &billing.Charge{UID: m.User.UID, Bill: billing.BillID(env.ID), Open: m.User.Credit()}
	env.Bill = sms.Bill{Charged: true}
	if q.SMSCount.Set {
		c.Count = int64(parts)
	}
	if q.Balance.Set && rate > 0 {
		early := rate
		if q.EarlyPercent.Set {
			var rest billing.Amount
			early, rest = billing.Split(rate, q.EarlyPercent.Value)
			env.Bill.Rest = int64(rest)
		}
		env.Bill.Early = int64(early)
		var fits bool
		if c.Need, fits = rate.Times(parts); !fits { // nobody has that much
			return nil, &sms.Error{Reason: sms.ReasonNoCredit}
		}
		c.Amount, _ = early.Times(parts)
	}
	return c, nil
}

// free tells whether a door does without billing.
func (s *Service) free(origin sms.Origin) bool {
	if origin == sms.OriginSMPP {
		return s.cfg.FreeSMPP
	}
	return s.cfg.FreeHTTP
}

// Quote is the price of a message.
type Quote struct {
	Rate  billing.Amount // of each part; 0 if the sender pays nothing from a balance
	Parts int
}

// Quote tells what a message that came over HTTP would cost, without sending it.
//
// Jasmin: for a user with unlimited balance the rate is 0, whatever the route's. The script
// that is meant for the message is run, since the route may depend on what it does; a message
// that it answers costs nothing.
func (s *Service) Quote(ctx context.Context, m *Message) (Quote, error) {
	plan := s.plan()
	if a, err := plan.intercept(ctx, m); err != nil {
		return Quote{}, err
	} else if a != nil {
		n, err := s.Count(m)
		return Quote{Parts: n}, err
	}
	route, err := plan.rate(ctx, m)
	if err != nil {
		return Quote{}, err
	}
	var env sms.Envelope
	applyDefaults(m, route.Connector, &env, env.CreatedAt)
	n, err := s.Count(m)
	if err != nil {
		return Quote{}, err
	}
	q := Quote{Parts: n}
	if m.User != nil && m.User.MT.Quota.Balance.Set {
		q.Rate = route.Rate
	}
	return q, nil
}
