package mt

import (
	"errors"
	"fmt"
	"time"

	"jasmind/internal/intercept"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
	"jasmind/internal/smstext"
)

// applyDefaults fills what the sender left unset from the connector's configuration.
//
// TON, NPI, protocol_id, replace_if_present_flag and sm_default_msg_id of messages that
// came over HTTP are the connector's, unless a script locked them; those of an ESME's own
// submit_sm are never touched.
func applyDefaults(m *Message, cfg *smppc.Config, env *sms.Envelope, now time.Time) {
	p := &m.PDU
	if m.Origin == sms.OriginHTTP {
		m.fill(intercept.ParamSourceTON, &p.Source.TON, cfg.SourceTON)
		m.fill(intercept.ParamSourceNPI, &p.Source.NPI, cfg.SourceNPI)
		m.fill(intercept.ParamDestTON, &p.Dest.TON, cfg.DestTON)
		m.fill(intercept.ParamDestNPI, &p.Dest.NPI, cfg.DestNPI)
		if cfg.ProtocolIDSet {
			m.fill(intercept.ParamProtocolID, &p.ProtocolID, cfg.ProtocolID)
		}
		m.fill(intercept.ParamReplaceIfPresent, &p.ReplaceIfPresent, cfg.ReplaceIfPresent)
		m.fill(intercept.ParamDefaultMsgID, &p.SMDefaultMsgID, cfg.DefaultMsgID)
	}
	if m.Set&FieldSource == 0 && p.Source.Addr == "" && cfg.SourceAddr != "" {
		p.Source.Addr = cfg.SourceAddr
	}
	if m.Set&FieldCoding == 0 && m.Origin == sms.OriginHTTP {
		p.DataCoding, m.Auto = cfg.Coding, cfg.AutoCoding
	}
	if m.Set&FieldLanguage == 0 {
		m.National = cfg.Language
	}
	if m.Set&FieldPriority == 0 {
		p.PriorityFlag = cfg.Priority
	}
	env.Priority = min(p.PriorityFlag, 3)
	switch {
	case m.Set&FieldValidity != 0:
		env.ExpiresAt = now.Add(m.Validity)
	case cfg.Validity > 0 && !m.locked.Has(intercept.ParamValidityPeriod):
		env.ExpiresAt = now.Add(cfg.Validity)
	}
}

// fill gives a parameter the connector's value, unless a script locked it.
func (m *Message) fill(p intercept.Param, to *uint8, value uint8) {
	if !m.locked.Has(p) {
		*to = value
	}
}

// parts encodes the content and cuts it, and asks for receipts where the sender wants the
// final state: of every part, so that the DLR of a long message tells of all of them.
func (s *Service) parts(m *Message, cfg *smppc.Config, env *sms.Envelope) ([]pdu.SubmitSM, error) {
	p := m.PDU
	var err error
	if p.TLVs, err = customTLVs(m, cfg); err != nil {
		return nil, err
	}
	if m.Origin != sms.OriginHTTP {
		// What an ESME submits passes through untouched.
		return []pdu.SubmitSM{{Message: p}}, nil
	}
	tables := m.encode(&p, &s.how)
	ask := !m.changed.Has(intercept.ParamRegisteredDelivery) && env.Report&sms.ReportFinal != 0
	if p.ESMClass&pdu.ESMUDHI != 0 { // a script made a header of its own
		if ask {
			p.RegisteredDelivery = 1
		}
		return []pdu.SubmitSM{{Message: p}}, nil
	}
	opts := s.how.split
	opts.Tables = tables
	if opts.Count(p.ShortMessage, p.DataCoding) > 1 {
		opts.Reference = s.refs.Next(p.Dest.Addr)
	}
	cut, err := smstext.Split(p.ShortMessage, p.DataCoding, opts)
	if errors.Is(err, smstext.ErrTooManyParts) {
		return nil, s.tooMany(opts.Count(p.ShortMessage, p.DataCoding))
	} else if err != nil {
		return nil, &sms.Error{Reason: sms.ReasonInvalid, Field: "content", Detail: err.Error()}
	}
	if cut.Truncated {
		s.log.Warn("long content was cut off", "uid", string(m.UID), "msgid", string(env.ID), "to", p.Dest.Addr,
			"parts", len(cut.List), "dropped_octets", cut.Dropped)
	}
	out := make([]pdu.SubmitSM, len(cut.List))
	for i, part := range cut.List {
		q := p
		q.ShortMessage = part.UserData
		q.ESMClass = esmClass(part)
		if m.changed.Has(intercept.ParamESMClass) {
			q.ESMClass = p.ESMClass | q.ESMClass&pdu.ESMUDHI
		}
		if len(part.TLVs) > 0 {
			q.TLVs = append(append(pdu.TLVs(nil), p.TLVs...), part.TLVs...)
		}
		if ask && (!s.cfg.LastReport || i == len(cut.List)-1) {
			q.RegisteredDelivery = 1 // SMSC delivery receipt, final outcome, success or failure (§5.2.17)
		}
		out[i] = pdu.SubmitSM{Message: q}
	}
	return out, nil
}

// customTLVs gives the optional parameters that every part of a message has: those of vendors as
// the connector's rules want them, each in its own type, else in that of its rule.
func customTLVs(m *Message, cfg *smppc.Config) (pdu.TLVs, error) {
	if len(m.CustomTLVs) == 0 && len(cfg.CustomTLVs) == 0 {
		return m.PDU.TLVs, nil
	}
	tlvs, err := cfg.CustomTLVs.Encode(m.PDU.TLVs, m.CustomTLVs)
	if err == nil {
		return tlvs, nil
	}
	refusal := &sms.Error{Reason: sms.ReasonInvalid, Field: "custom_tlvs", Detail: err.Error(), Err: fmt.Errorf("connector %s: %w", cfg.CID, err)}
	var te *smppc.TLVError
	if errors.As(err, &te) {
		refusal.Override = &sms.StatusPair{SMPP: te.Status}
	}
	return nil, refusal
}

func (s *Service) tooMany(parts int) error {
	return &sms.Error{Reason: sms.ReasonInvalid, Field: "content", Detail: fmt.Sprintf("content needs %d parts, long_content_max_parts is %d", parts, s.cfg.MaxParts)}
}

// Count tells into how many parts Submit would cut a message that came over HTTP, as it is
// now. Errors are those of Submit.
func (s *Service) Count(m *Message) (int, error) {
	p := m.PDU
	tables := m.encode(&p, &s.how)
	if p.ESMClass&pdu.ESMUDHI != 0 {
		return 1, nil
	}
	opts := s.how.split
	opts.Tables = tables
	n := max(1, opts.Count(p.ShortMessage, p.DataCoding))
	if n > s.cfg.MaxParts {
		if s.cfg.Overflow == smstext.Reject {
			return 0, s.tooMany(n)
		}
		n = s.cfg.MaxParts
	}
	return n, nil
}

// esmClass is that of the original: store and forward for a single message and for SAR
// parts, the UDH indicator alone for UDH parts.
func esmClass(part smstext.Part) pdu.ESMClass {
	if part.ESMClass&pdu.ESMUDHI != 0 {
		return pdu.ESMUDHI
	}
	return pdu.ESMModeStoreForward
}
