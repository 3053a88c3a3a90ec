package pdu

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// Largest values without their NUL, and counts, of SMPP v3.4 §4 and §5.2.
const (
	maxSystemID     = 15
	maxPassword     = 64 // §5.2.2 says 8, yet providers hand out longer ones (Jasmin accepts 16)
	maxSystemType   = 12
	maxAddressRange = 40
	MaxServiceType  = 5
	MaxAddr         = 20
	MaxLongAddr     = 64 // data_sm and alert_notification
	maxMessageID    = 64
	maxDLName       = 20
	maxShortMessage = 255
	maxDests        = 254
	TimeLen         = 16
)

// Append encodes one PDU after dst and returns the longer slice.
//
// Output is strict: a field that is longer than the specification allows or, if it is a C-octet
// string, contains a NUL is refused with a *FieldError, and dst is returned
// as it was. Requests must have status 0. The exceptions are a short_message of 255 octets, which
// peers send and expect to pass, and passwords of up to 64 octets. A refusal (status not
// 0) of a bind or submit_sm without contents has no body (§4.1.2, §4.4.2).
func Append(dst []byte, status Status, seq uint32, p PDU) ([]byte, error) {
	if p == nil {
		return dst, &FieldError{Field: "PDU", Reason: "nil"}
	}
	id := p.CommandID()
	w := writer{b: dst, id: id}
	start := len(dst)
	if cap(dst)-start < HeaderLen {
		w.b = append(make([]byte, 0, start+sizeHint(p)), dst...) // one allocation instead of several
	}
	w.b = append(w.b, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	w.body(status, p)
	n := len(w.b) - start
	if n > math.MaxUint32 {
		w.fail("command_length", "over 4 GiB")
	}
	if w.err != nil {
		return dst, w.err
	}
	h := w.b[start : start+HeaderLen]
	binary.BigEndian.PutUint32(h[0:], uint32(n))
	binary.BigEndian.PutUint32(h[4:], uint32(id))
	binary.BigEndian.PutUint32(h[8:], uint32(status))
	binary.BigEndian.PutUint32(h[12:], seq)
	return w.b, nil
}

// sizeHint is the encoded size of the frequent PDUs, and a guess for the others.
func sizeHint(p PDU) int {
	switch p := p.(type) {
	case *SubmitSM:
		return messageSize(&p.Message)
	case *DeliverSM:
		return messageSize(&p.Message)
	case *SubmitSMResp:
		return HeaderLen + len(p.MessageID) + 1 + tlvsSize(p.TLVs)
	case *DataSM:
		return HeaderLen + len(p.ServiceType) + len(p.Source.Addr) + len(p.Dest.Addr) + 10 + tlvsSize(p.TLVs)
	case *Unknown:
		return HeaderLen + len(p.Body)
	}
	return 4 * HeaderLen
}

func messageSize(m *Message) int {
	const fixed = HeaderLen + 12 + 5 // octets, NULs
	return fixed + len(m.ServiceType) + len(m.Source.Addr) + len(m.Dest.Addr) +
		len(m.ScheduleDeliveryTime) + len(m.ValidityPeriod) + len(m.ShortMessage) + tlvsSize(m.TLVs)
}

func tlvsSize(l TLVs) (n int) {
	for i := range l {
		n += tlvHeaderLen + len(l[i].Value)
	}
	return n
}

// writer appends the fields of a body; the first fault is kept in err.
type writer struct {
	b   []byte
	id  CommandID
	err *FieldError
}

func (w *writer) fail(field, reason string) {
	if w.err == nil {
		w.err = &FieldError{ID: w.id, Field: field, Reason: reason}
	}
}

// body writes the fields of p in wire order.
func (w *writer) body(status Status, p PDU) {
	if status != StatusOK && !w.id.IsResponse() {
		if _, any := p.(*Unknown); !any {
			w.fail("command_status", fmt.Sprintf("%s in a request", status))
			return
		}
	}
	switch p := p.(type) {
	case *SubmitSM:
		w.message(&p.Message)
	case *SubmitSMResp: // SMPP v3.4 §4.4.2
		if status == StatusOK || p.MessageID != "" || len(p.TLVs) > 0 {
			w.cstr("message_id", p.MessageID, maxMessageID)
			w.tlvs(p.TLVs)
		}
	case *DeliverSM:
		w.message(&p.Message)
	case *DeliverSMResp: // SMPP v3.4 §4.6.2
		w.cstr("message_id", p.MessageID, maxMessageID)
		w.tlvs(p.TLVs)
	case *Bind:
		w.bind(p)
	case *BindResp: // SMPP v3.4 §4.1.2, §4.1.4, §4.1.6
		if p.Type.command() == 0 {
			w.fail("command_id", p.Type.String())
		}
		if status == StatusOK || p.SystemID != "" || len(p.TLVs) > 0 {
			w.cstr("system_id", p.SystemID, maxSystemID)
			w.tlvs(p.TLVs)
		}
	case *Outbind: // SMPP v3.4 §4.1.7.1
		w.cstr("system_id", p.SystemID, maxSystemID)
		w.cstr("password", p.Password, maxPassword)
	case *EnquireLink, *EnquireLinkResp, *Unbind, *UnbindResp, *GenericNack, *CancelSMResp, *ReplaceSMResp:
		// header only
	case *DataSM: // SMPP v3.4 §4.7.1
		w.cstr("service_type", p.ServiceType, MaxServiceType)
		w.address("source_addr", &p.Source, MaxLongAddr)
		w.address("destination_addr", &p.Dest, MaxLongAddr)
		w.b = append(w.b, byte(p.ESMClass), p.RegisteredDelivery, byte(p.DataCoding))
		w.tlvs(p.TLVs)
	case *DataSMResp: // SMPP v3.4 §4.7.2
		w.cstr("message_id", p.MessageID, maxMessageID)
		w.tlvs(p.TLVs)
	case *SubmitMulti:
		w.submitMulti(p)
	case *SubmitMultiResp:
		w.submitMultiResp(p)
	case *QuerySM: // SMPP v3.4 §4.8.1
		w.cstr("message_id", p.MessageID, maxMessageID)
		w.address("source_addr", &p.Source, MaxAddr)
		w.tlvs(p.TLVs)
	case *QuerySMResp: // SMPP v3.4 §4.8.2
		w.cstr("message_id", p.MessageID, maxMessageID)
		w.time("final_date", p.FinalDate)
		w.b = append(w.b, byte(p.MessageState), p.ErrorCode)
		w.tlvs(p.TLVs)
	case *CancelSM: // SMPP v3.4 §4.9.1
		w.cstr("service_type", p.ServiceType, MaxServiceType)
		w.cstr("message_id", p.MessageID, maxMessageID)
		w.address("source_addr", &p.Source, MaxAddr)
		w.address("destination_addr", &p.Dest, MaxAddr)
		w.tlvs(p.TLVs)
	case *ReplaceSM: // SMPP v3.4 §4.10.1
		w.cstr("message_id", p.MessageID, maxMessageID)
		w.address("source_addr", &p.Source, MaxAddr)
		w.time("schedule_delivery_time", p.ScheduleDeliveryTime)
		w.time("validity_period", p.ValidityPeriod)
		w.b = append(w.b, p.RegisteredDelivery, p.SMDefaultMsgID)
		w.shortMessage(p.ShortMessage)
		w.tlvs(p.TLVs)
	case *AlertNotification: // SMPP v3.4 §4.12.1
		w.address("source_addr", &p.Source, MaxLongAddr)
		w.address("esme_addr", &p.ESME, MaxLongAddr)
		w.tlvs(p.TLVs)
	case *Unknown:
		w.b = append(w.b, p.Body...)
	default:
		w.fail("PDU", fmt.Sprintf("%T is not of this package", p))
	}
}

// message writes a submit_sm or deliver_sm (SMPP v3.4 §4.4.1, §4.6.1).
func (w *writer) message(m *Message) {
	w.cstr("service_type", m.ServiceType, MaxServiceType)
	w.address("source_addr", &m.Source, MaxAddr)
	w.address("destination_addr", &m.Dest, MaxAddr)
	w.messageTail(m)
}

// messageTail writes what follows the destination in submit_sm, deliver_sm and
// submit_multi.
func (w *writer) messageTail(m *Message) {
	w.b = append(w.b, byte(m.ESMClass), m.ProtocolID, m.PriorityFlag)
	w.time("schedule_delivery_time", m.ScheduleDeliveryTime)
	w.time("validity_period", m.ValidityPeriod)
	w.b = append(w.b, m.RegisteredDelivery, m.ReplaceIfPresent, byte(m.DataCoding), m.SMDefaultMsgID)
	w.shortMessage(m.ShortMessage)
	w.tlvs(m.TLVs)
}

// bind writes a bind request (SMPP v3.4 §4.1.1, §4.1.3, §4.1.5).
func (w *writer) bind(p *Bind) {
	if p.Type.command() == 0 {
		w.fail("command_id", p.Type.String())
	}
	w.cstr("system_id", p.SystemID, maxSystemID)
	w.cstr("password", p.Password, maxPassword)
	w.cstr("system_type", p.SystemType, maxSystemType)
	w.b = append(w.b, p.InterfaceVersion, p.AddrTON, p.AddrNPI)
	w.cstr("address_range", p.AddressRange, maxAddressRange)
	w.tlvs(p.TLVs)
}

// submitMulti writes a submit_multi (SMPP v3.4 §4.5.1).
func (w *writer) submitMulti(p *SubmitMulti) {
	w.cstr("service_type", p.ServiceType, MaxServiceType)
	w.address("source_addr", &p.Source, MaxAddr)
	if n := len(p.Dests); n == 0 || n > maxDests {
		w.fail("number_of_dests", fmt.Sprintf("%d is not in 1..%d", n, maxDests))
	}
	w.b = append(w.b, byte(len(p.Dests)))
	for i := range p.Dests {
		d := &p.Dests[i]
		if d.DistributionList != "" {
			w.b = append(w.b, destFlagList)
			w.cstr("dl_name", d.DistributionList, maxDLName)
			continue
		}
		w.b = append(w.b, destFlagSME)
		w.address("destination_addr", &d.Address, MaxAddr)
	}
	w.messageTail(&p.Message)
}

// submitMultiResp writes a submit_multi_resp (SMPP v3.4 §4.5.2).
func (w *writer) submitMultiResp(p *SubmitMultiResp) {
	w.cstr("message_id", p.MessageID, maxMessageID)
	if n := len(p.Unsuccess); n > math.MaxUint8 {
		w.fail("no_unsuccess", fmt.Sprintf("%d is over %d", n, math.MaxUint8))
	}
	w.b = append(w.b, byte(len(p.Unsuccess)))
	for i := range p.Unsuccess {
		u := &p.Unsuccess[i]
		w.address("destination_addr", &u.Address, MaxAddr)
		w.b = binary.BigEndian.AppendUint32(w.b, uint32(u.Status))
	}
	w.tlvs(p.TLVs)
}

// cstr writes a C-octet string of at most max octets and its NUL.
func (w *writer) cstr(field, s string, max int) {
	if s == "" {
		w.b = append(w.b, 0)
		return
	}
	if len(s) > max {
		w.fail(field, fmt.Sprintf("%d octets, at most %d are allowed", len(s), max))
		return
	}
	if strings.IndexByte(s, 0) >= 0 {
		w.fail(field, "contains a NUL")
		return
	}
	w.b = append(w.b, s...)
	w.b = append(w.b, 0)
}

// time writes a time, which is empty or 16 characters (SMPP v3.4 §7.1.1).
func (w *writer) time(field, s string) {
	if s == "" {
		w.b = append(w.b, 0)
		return
	}
	if len(s) != TimeLen {
		w.fail(field, fmt.Sprintf("%d octets, must have 0 or %d", len(s), TimeLen))
		return
	}
	w.cstr(field, s, TimeLen)
}

// address writes TON, NPI and address.
func (w *writer) address(field string, a *Address, max int) {
	w.b = append(w.b, a.TON, a.NPI)
	w.cstr(field, a.Addr, max)
}

// shortMessage writes sm_length and short_message.
func (w *writer) shortMessage(b []byte) {
	if len(b) > maxShortMessage {
		w.fail("short_message", fmt.Sprintf("%d octets, at most %d are allowed", len(b), maxShortMessage))
		return
	}
	w.b = append(w.b, byte(len(b)))
	w.b = append(w.b, b...)
}

// tlvs writes the optional part.
func (w *writer) tlvs(l TLVs) {
	for i := range l {
		t := &l[i]
		if len(t.Value) > math.MaxUint16 {
			w.fail(t.Tag.String(), fmt.Sprintf("%d octets, at most %d are allowed", len(t.Value), math.MaxUint16))
			return
		}
		n := uint16(len(t.Value))
		w.b = append(w.b, byte(t.Tag>>8), byte(t.Tag), byte(n>>8), byte(n))
		w.b = append(w.b, t.Value...)
	}
}
