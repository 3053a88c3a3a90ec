package smscsim

import (
	"encoding/hex"
	"fmt"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
	"jasmind/internal/smstext"
)

// Message is a submission as the API shows it.
type Message struct {
	N         uint64    `json:"n"`            // from 1, in order of arrival, over all accounts
	ID        string    `json:"id,omitempty"` // message_id; none if refused
	At        time.Time `json:"at"`
	Account   string    `json:"account"`
	Session   uint64    `json:"session"`
	Operation string    `json:"operation"` // submit_sm, submit_multi or data_sm
	Sequence  uint32    `json:"sequence"`
	Status    string    `json:"status"`             // command_status of the response: ESME_ROK
	Answered  bool      `json:"answered"`           // false when a rule withholds the response
	State     string    `json:"state"`              // at the moment: ENROUTE, DELIVRD, ...
	Replaced  bool      `json:"replaced,omitempty"` // by replace_sm; text and short_message are the new ones

	From    string `json:"from"`
	FromTON uint8  `json:"from_ton"`
	FromNPI uint8  `json:"from_npi"`
	To      string `json:"to"`
	ToTON   uint8  `json:"to_ton"`
	ToNPI   uint8  `json:"to_npi"`

	Text  string    `json:"text"`            // decoded, of this part only
	Part  *Part     `json:"part,omitempty"`  // of a long message
	Parts []Message `json:"parts,omitempty"` // of a joined message, in order; its other fields are the first part's

	ServiceType          string `json:"service_type"`
	ESMClass             uint8  `json:"esm_class"`
	ProtocolID           uint8  `json:"protocol_id"`
	PriorityFlag         uint8  `json:"priority_flag"`
	ScheduleDeliveryTime string `json:"schedule_delivery_time"`
	ValidityPeriod       string `json:"validity_period"`
	RegisteredDelivery   uint8  `json:"registered_delivery"`
	ReplaceIfPresent     uint8  `json:"replace_if_present_flag"`
	DataCoding           uint8  `json:"data_coding"`
	SMDefaultMsgID       uint8  `json:"sm_default_msg_id"`
	ShortMessage         string `json:"short_message"` // hex
	TLVs                 []TLV  `json:"tlvs,omitempty"`

	Raw      string   `json:"raw"`                // the PDU as it came, hex
	Warnings []string `json:"warnings,omitempty"` // what a stricter SMSC may object to
}

// Part says which part of a long message a message is.
type Part struct {
	Method    string `json:"method"` // udh, udh16 or sar
	Reference uint16 `json:"reference"`
	Total     uint8  `json:"total"`
	Seq       uint8  `json:"seq"`
}

// TLV is an optional parameter: Tag is its name or 0x1401, Value is in hex.
type TLV struct {
	Tag   string `json:"tag"`
	Value string `json:"value"`
}

// decoder turns records into messages, with structs that it uses again.
type decoder struct {
	submit pdu.SubmitSM
	multi  pdu.SubmitMulti
	data   pdu.DataSM
	msg    pdu.Message // of the last read
	header pdu.Header
}

// read decodes a record's PDU; the result is valid until the next call.
func (d *decoder) read(r *record) (*pdu.Message, error) {
	h, err := pdu.DecodeHeader(r.raw)
	if err != nil {
		return nil, err
	}
	d.header = h
	switch h.ID {
	case pdu.CmdSubmitMulti:
		if _, err := pdu.DecodeAlias(r.raw, &d.multi); err != nil {
			return nil, err
		}
		d.msg = d.multi.Message
		if int(r.dest) < len(d.multi.Dests) {
			d.msg.Dest = multiDest(d.multi.Dests[r.dest])
		}
	case pdu.CmdDataSM:
		if _, err := pdu.DecodeAlias(r.raw, &d.data); err != nil {
			return nil, err
		}
		d.msg = dataMessage(&d.data)
	default:
		if _, err := pdu.DecodeAlias(r.raw, &d.submit); err != nil {
			return nil, err
		}
		d.msg = d.submit.Message
	}
	if r.replaced {
		d.msg.ShortMessage = r.replacement
		d.msg.TLVs = without(d.msg.TLVs, pdu.TagMessagePayload)
	}
	return &d.msg, nil
}

// without is l less the TLVs with a tag, in memory of its own.
func without(l pdu.TLVs, tag pdu.Tag) pdu.TLVs {
	kept := make(pdu.TLVs, 0, len(l))
	for _, t := range l {
		if t.Tag != tag {
			kept = append(kept, t)
		}
	}
	return kept
}

// multiDest is a destination of a submit_multi as an address; a distribution list stands
// under its name.
func multiDest(d pdu.DestAddress) pdu.Address {
	if d.DistributionList != "" {
		return pdu.Address{Addr: d.DistributionList}
	}
	return d.Address
}

// dataMessage is a data_sm in the form of the other submissions.
func dataMessage(p *pdu.DataSM) pdu.Message {
	return pdu.Message{ServiceType: p.ServiceType, Source: p.Source, Dest: p.Dest, ESMClass: p.ESMClass,
		RegisteredDelivery: p.RegisteredDelivery, DataCoding: p.DataCoding, TLVs: p.TLVs}
}

// userData is the text part of a message, header included.
func userData(m *pdu.Message) []byte {
	if len(m.ShortMessage) == 0 {
		if payload, ok := m.TLVs.Get(pdu.TagMessagePayload); ok {
			return payload
		}
	}
	return m.ShortMessage
}

// readText decodes the text of one message.
func readText(m *pdu.Message) (string, smstext.Segment) {
	seg, _ := smstext.ReadSegment(userData(m), m.ESMClass, m.TLVs) // the segment is of use with an error, too
	return smstext.DecodeTables(seg.Content, m.DataCoding, seg.Header.Tables()), seg
}

// message is the record in full.
func (d *decoder) message(r *record) Message {
	m, err := d.read(r)
	v := Message{
		N: r.n, ID: r.id, At: timeOf(r.at), Account: clone(r.account), Session: r.session,
		Sequence: d.header.Sequence, Operation: d.header.ID.String(), Status: r.status.String(), Answered: !r.unanswered,
		State: receipt.StateText(r.stateAt(time.Now().UnixNano())), Replaced: r.replaced, Raw: hex.EncodeToString(r.raw),
	}
	if err != nil { // it was decoded when it came
		v.Warnings = append(v.Warnings, err.Error())
		return v
	}
	text, seg := readText(m)
	v.Text = text
	v.From, v.FromTON, v.FromNPI = clone(m.Source.Addr), m.Source.TON, m.Source.NPI
	v.To, v.ToTON, v.ToNPI = clone(m.Dest.Addr), m.Dest.TON, m.Dest.NPI
	v.ServiceType = clone(m.ServiceType)
	v.ESMClass, v.ProtocolID, v.PriorityFlag = uint8(m.ESMClass), m.ProtocolID, m.PriorityFlag
	v.ScheduleDeliveryTime, v.ValidityPeriod = clone(m.ScheduleDeliveryTime), clone(m.ValidityPeriod)
	v.RegisteredDelivery, v.ReplaceIfPresent = m.RegisteredDelivery, m.ReplaceIfPresent
	v.DataCoding, v.SMDefaultMsgID = uint8(m.DataCoding), m.SMDefaultMsgID
	v.ShortMessage = hex.EncodeToString(m.ShortMessage)
	for _, t := range m.TLVs {
		v.TLVs = append(v.TLVs, TLV{t.Tag.String(), hex.EncodeToString(t.Value)})
	}
	if seg.Concat.Total > 0 {
		v.Part = partOf(seg)
	}
	v.Warnings = lint(m)
	return v
}

// clone makes a string that does not share memory with what the decoder uses again.
func clone(s string) string { return string([]byte(s)) }

func partOf(seg smstext.Segment) *Part {
	method := "sar"
	if _, udh := seg.Header.Concat(); udh {
		method = "udh"
		if seg.Concat.Bits == 16 {
			method = "udh16"
		}
	}
	return &Part{method, seg.Concat.Ref, seg.Concat.Total, seg.Concat.Seq}
}

// lint tells what in a message a stricter SMSC may refuse or a handset may show wrongly.
func lint(m *pdu.Message) (w []string) {
	add := func(format string, args ...any) { w = append(w, fmt.Sprintf(format, args...)) }
	payload, hasPayload := m.TLVs.Get(pdu.TagMessagePayload)
	seg, err := smstext.ReadSegment(userData(m), m.ESMClass, m.TLVs)
	alphabet := smstext.AlphabetOf(m.DataCoding)
	if err != nil {
		add("esm_class has the UDHI bit, but: %v", err)
	}
	if len(m.ShortMessage) > 254 {
		add("short_message has %d octets, SMPP v3.4 allows 254", len(m.ShortMessage))
	}
	if hasPayload && len(m.ShortMessage) > 0 {
		add("both short_message and message_payload (%d octets) are there", len(payload))
	}
	if len(m.ServiceType) > 5 {
		add("service_type %q has more than 5 characters", m.ServiceType)
	}
	if m.PriorityFlag > 3 {
		add("priority_flag %d is not in 0..3", m.PriorityFlag)
	}
	if alphabet == smstext.UCS2 && len(seg.Content)%2 != 0 {
		add("UCS2 text has an odd number of octets, %d", len(seg.Content))
	}
	if alphabet == smstext.GSM {
		for i, c := range seg.Content {
			if c > 0x7F {
				add("octet 0x%02X at %d is not in the GSM 7-bit alphabet", c, i)
				break
			}
		}
	}
	for _, t := range []struct{ name, value string }{{"schedule_delivery_time", m.ScheduleDeliveryTime}, {"validity_period", m.ValidityPeriod}} {
		if _, err := pdu.ParseTime(t.value, time.Time{}); err != nil {
			add("%s: %v", t.name, err)
		}
	}
	for _, a := range []struct {
		name string
		pdu.Address
	}{{"source_addr", m.Source}, {"destination_addr", m.Dest}} {
		switch {
		case a.TON == 5 && len(a.Addr) > 11:
			add("%s %q is alphanumeric and has more than 11 characters", a.name, a.Addr)
		case a.TON != 5 && !digits(a.Addr):
			add("%s %q is not alphanumeric by its TON %d, but has more than digits", a.name, a.Addr, a.TON)
		}
	}
	return w
}

func digits(s string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (i > 0 || s[i] != '+') {
			return false
		}
	}
	return true
}
