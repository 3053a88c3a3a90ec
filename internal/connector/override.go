package connector

import (
	"context"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
	"jasmind/internal/smstext"
)

// claim takes the messages of ESMEs in hand, so that they cannot be changed any more, and gives what their
// senders have changed so far; false: the connector is to stop.
func (in *intake) claim(ctx context.Context, qs []queued) (overrides map[sms.MessageID]*sms.Override, ok bool) {
	ids := ofESMEs(qs)
	if len(ids) == 0 {
		return nil, true
	}
	ok = in.insist(ctx, "reading what was changed of queued messages", func() error {
		os, err := in.store.Claim(ctx, ids)
		if err != nil || len(os) == 0 {
			return err
		}
		overrides = make(map[sms.MessageID]*sms.Override, len(os))
		for i := range os {
			overrides[os[i].MsgID] = &os[i]
		}
		return nil
	})
	return overrides, ok
}

// ofESMEs gives the messages that can be claimed.
func ofESMEs(qs []queued) []sms.MessageID {
	var ids []sms.MessageID
	for i := range qs {
		if env := qs[i].env; env != nil && env.Origin == sms.OriginSMPP {
			ids = append(ids, qs[i].env.ID)
		}
	}
	return ids
}

// giveBack lets messages of one subscription return to their queue unsent, where they can be changed again. A copy that waited for
// one is taken in hand instead.
func (in *intake) giveBack(ctx context.Context, qs ...queued) {
	if len(qs) == 0 {
		return
	}
	if ids := ofESMEs(qs); len(ids) > 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		// Before they are given back: whoever takes them next claims them anew.
		if err := in.store.Unclaim(ctx, ids); err != nil {
			in.log.Warn("messages that go back to their queue cannot be cancelled or replaced until they come again", "count", len(ids), "err", err)
		}
		cancel()
	}
	for i := range qs {
		in.hands.giveBack(&qs[i])
	}
	qs[0].sub.out.add(-len(qs))
}

// override makes of a message what its sender has asked for; true: it is cancelled.
func override(env *sms.Envelope, o *sms.Override) (canceled bool) {
	env.Report, env.ExpiresAt = o.Report, o.ExpiresAt
	if o.Cancel {
		return true
	}
	m := &env.Parts[0].Message // what an ESME submits has one part
	if o.HasText {
		setUserData(m, o.Text)
		m.SMDefaultMsgID = o.DefaultMsgID
		env.Content = ""
	}
	if o.Schedule != "" {
		m.ScheduleDeliveryTime = o.Schedule
	}
	if o.Validity != "" {
		m.ValidityPeriod = o.Validity
	}
	m.RegisteredDelivery = o.Registered
	return false
}

// shortMost is the longest short_message (SMPP v3.4 §5.2.22).
const shortMost = 254

// setUserData replaces the text of a message. Its user data header, if it has one, stays; what is too
// long for short_message goes into message_payload.
func setUserData(m *pdu.Message, text []byte) {
	octets := m.ShortMessage
	if len(octets) == 0 {
		octets, _ = m.TLVs.Get(pdu.TagMessagePayload)
	}
	var data []byte
	if m.ESMClass&pdu.ESMUDHI != 0 {
		if _, rest, err := smstext.ParseUDH(octets); err == nil {
			data = append(data, octets[:len(octets)-len(rest)]...)
		}
	}
	data = append(data, text...)
	tlvs := append(pdu.TLVs(nil), m.TLVs...)
	tlvs.Del(pdu.TagMessagePayload)
	m.ShortMessage = data
	if len(data) > shortMost {
		m.ShortMessage = nil
		tlvs.Set(pdu.TagMessagePayload, data)
	}
	m.TLVs = tlvs
}
