package mt

import (
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smstext"
)

// encoding is how text becomes parts.
type encoding struct {
	codings []pdu.DataCoding // that are chosen from
	split   smstext.Options
}

// usualCodings are those of Config.Codings by default.
var usualCodings = []pdu.DataCoding{pdu.CodingDefault, pdu.CodingUCS2}

// encoded is content that was encoded once, and what for.
type encoded struct {
	ok       bool
	auto     bool
	coding   pdu.DataCoding
	national smstext.National
	choice   smstext.Choice
}

// encode gives p the user data of a message: of text, in p's coding or, with Auto, in one that it
// sets in p. The result are the national tables that it uses. What was encoded is kept.
func (m *Message) encode(p *pdu.Message, how *encoding) smstext.Tables {
	if !m.IsText {
		return smstext.Tables{}
	}
	e := &m.encoded
	if !e.ok || e.auto != m.Auto || !e.auto && e.coding != p.DataCoding || e.national != m.National {
		*e = encoded{ok: true, auto: m.Auto, coding: p.DataCoding, national: m.National}
		if m.Auto {
			e.choice = smstext.Choose(m.Text, how.codings, m.National, how.split)
		} else {
			e.choice = smstext.EncodeNational(m.Text, p.DataCoding, m.National, how.split)
		}
	}
	p.ShortMessage, p.DataCoding = e.choice.Octets, e.choice.Coding
	return e.choice.Tables
}
