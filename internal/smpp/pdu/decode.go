package pdu

import (
	"encoding/binary"
	"fmt"
)

// Decode reads one whole frame. The result owns its memory: strings and slices
// point into one private copy of the frame.
//
// What is tolerated, because peers send it:
//   - responses with no body, with a lone NUL, or, when command_status is not 0,
//     with any part of the body;
//   - a C-octet string without its NUL at the end of the PDU, and longer than
//     the specification allows;
//   - the last C-octet string of a PDU left out;
//   - a body where none is defined (it is ignored);
//   - up to three NULs after the last field of a PDU, and as many between short_message
//     and the optional part, where sm_length does not count them;
//   - in a response, an optional part that does not parse: the TLVs before the
//     fault are kept, for a lost response costs more than a lost TLV.
//
// Everything else is a *DecodeError, which carries the status to answer with;
// the Header is returned with it. Unknown command ids give an *Unknown.
func Decode(frame []byte) (Header, PDU, error) {
	h, err := checkFrame(frame)
	if err != nil {
		return h, nil, err
	}
	if len(frame) > HeaderLen {
		frame = append(make([]byte, 0, len(frame)), frame...)
	}
	p := newPDU(h.ID)
	if err := decodeInto(h, frame, p); err != nil {
		return h, nil, err
	}
	return h, p, nil
}

// DecodeAlias is Decode into a PDU of the caller's, whose type must be that of
// the frame's command_id: every field is overwritten. Strings and slices point
// into frame, so they are valid only until it is changed; the room of p's own
// slices is used again. A submit_sm, deliver_sm or response that fits in that
// room is decoded without an allocation. After an error p is undefined.
func DecodeAlias(frame []byte, p PDU) (Header, error) {
	h, err := checkFrame(frame)
	if err != nil {
		return h, err
	}
	if err := decodeInto(h, frame, p); err != nil {
		return h, err
	}
	return h, nil
}

func checkFrame(frame []byte) (Header, error) {
	if len(frame) < HeaderLen {
		return DecodeHeader(frame)
	}
	h := header(frame)
	if int64(h.Length) != int64(len(frame)) {
		return h, &DecodeError{Header: h, Field: "command_length", Status: StatusInvCmdLen,
			Reason: fmt.Sprintf("%d announced, %d octets there", h.Length, len(frame))}
	}
	return h, nil
}

// decodeInto returns an error, not a *DecodeError, so that no caller can take a
// nil pointer for an error.
func decodeInto(h Header, frame []byte, p PDU) error {
	r := reader{b: frame, off: HeaderLen}
	r.response = h.ID.IsResponse()
	r.lax = r.response && h.Status != StatusOK
	if !r.body(h.ID, p) {
		return &DecodeError{Header: h, Status: StatusInvCmdID, Offset: 4,
			Reason: fmt.Sprintf("cannot be decoded into %T", p)}
	}
	if r.err != nil {
		r.err.Header = h
		return r.err
	}
	return nil
}

// body reads the fields of p in wire order; false if p is not of the type that
// belongs to id.
func (r *reader) body(id CommandID, p PDU) bool {
	switch p := p.(type) {
	case *SubmitSM:
		r.message(&p.Message)
		return id == CmdSubmitSM
	case *SubmitSMResp: // SMPP v3.4 §4.4.2
		p.MessageID = r.last()
		p.TLVs = r.tlvs(p.TLVs)
		return id == CmdSubmitSMResp
	case *DeliverSM:
		r.message(&p.Message)
		return id == CmdDeliverSM
	case *DeliverSMResp: // SMPP v3.4 §4.6.2
		p.MessageID = r.last()
		p.TLVs = r.tlvs(p.TLVs)
		return id == CmdDeliverSMResp
	case *EnquireLink:
		return id == CmdEnquireLink
	case *EnquireLinkResp:
		return id == CmdEnquireLinkResp
	case *Bind:
		return r.bind(id, p)
	case *BindResp:
		return r.bindResp(id, p)
	case *Outbind: // SMPP v3.4 §4.1.7.1
		p.SystemID = r.cstr("system_id")
		p.Password = r.last()
		return id == CmdOutbind
	case *Unbind:
		return id == CmdUnbind
	case *UnbindResp:
		return id == CmdUnbindResp
	case *GenericNack:
		return id == CmdGenericNack
	case *DataSM:
		r.dataSM(p)
		return id == CmdDataSM
	case *DataSMResp: // SMPP v3.4 §4.7.2
		p.MessageID = r.last()
		p.TLVs = r.tlvs(p.TLVs)
		return id == CmdDataSMResp
	case *SubmitMulti:
		r.submitMulti(p)
		return id == CmdSubmitMulti
	case *SubmitMultiResp:
		r.submitMultiResp(p)
		return id == CmdSubmitMultiResp
	case *QuerySM: // SMPP v3.4 §4.8.1
		p.MessageID = r.cstr("message_id")
		p.Source.TON = r.octet("source_addr_ton")
		p.Source.NPI = r.octet("source_addr_npi")
		p.Source.Addr = r.last()
		p.TLVs = r.tlvs(p.TLVs)
		return id == CmdQuerySM
	case *QuerySMResp: // SMPP v3.4 §4.8.2
		p.MessageID = r.cstr("message_id")
		p.FinalDate = r.cstr("final_date")
		p.MessageState = MessageState(r.octet("message_state"))
		p.ErrorCode = r.octet("error_code")
		p.TLVs = r.tlvs(p.TLVs)
		return id == CmdQuerySMResp
	case *CancelSM:
		r.cancelSM(p)
		return id == CmdCancelSM
	case *CancelSMResp:
		return id == CmdCancelSMResp
	case *ReplaceSM:
		r.replaceSM(p)
		return id == CmdReplaceSM
	case *ReplaceSMResp:
		return id == CmdReplaceSMResp
	case *AlertNotification: // SMPP v3.4 §4.12.1
		p.Source.TON = r.octet("source_addr_ton")
		p.Source.NPI = r.octet("source_addr_npi")
		p.Source.Addr = r.cstr("source_addr")
		p.ESME.TON = r.octet("esme_addr_ton")
		p.ESME.NPI = r.octet("esme_addr_npi")
		p.ESME.Addr = r.last()
		p.TLVs = r.tlvs(p.TLVs)
		return id == CmdAlertNotification
	case *Unknown:
		p.ID = id
		p.Body = r.rest()
		return true
	}
	return false
}

// message reads a submit_sm or deliver_sm (SMPP v3.4 §4.4.1, §4.6.1).
func (r *reader) message(m *Message) {
	m.ServiceType = r.cstr("service_type")
	m.Source.TON = r.octet("source_addr_ton")
	m.Source.NPI = r.octet("source_addr_npi")
	m.Source.Addr = r.cstr("source_addr")
	m.Dest.TON = r.octet("dest_addr_ton")
	m.Dest.NPI = r.octet("dest_addr_npi")
	m.Dest.Addr = r.cstr("destination_addr")
	r.messageTail(m)
}

// messageTail reads what follows the destination, which is the same in
// submit_sm, deliver_sm and submit_multi.
func (r *reader) messageTail(m *Message) {
	m.ESMClass = ESMClass(r.octet("esm_class"))
	m.ProtocolID = r.octet("protocol_id")
	m.PriorityFlag = r.octet("priority_flag")
	m.ScheduleDeliveryTime = r.cstr("schedule_delivery_time")
	m.ValidityPeriod = r.cstr("validity_period")
	m.RegisteredDelivery = r.octet("registered_delivery")
	m.ReplaceIfPresent = r.octet("replace_if_present_flag")
	m.DataCoding = DataCoding(r.octet("data_coding"))
	m.SMDefaultMsgID = r.octet("sm_default_msg_id")
	m.ShortMessage = r.shortMessage()
	r.skipTerminator()
	m.TLVs = r.tlvs(m.TLVs)
}

// bind reads a bind request (SMPP v3.4 §4.1.1, §4.1.3, §4.1.5).
func (r *reader) bind(id CommandID, p *Bind) bool {
	p.SystemID = r.cstr("system_id")
	p.Password = r.cstr("password")
	p.SystemType = r.cstr("system_type")
	p.InterfaceVersion = r.octet("interface_version")
	p.AddrTON = r.octet("addr_ton")
	p.AddrNPI = r.octet("addr_npi")
	p.AddressRange = r.last()
	p.TLVs = r.tlvs(p.TLVs)
	switch id {
	case CmdBindTransceiver:
		p.Type = Transceiver
	case CmdBindTransmitter:
		p.Type = Transmitter
	case CmdBindReceiver:
		p.Type = Receiver
	default:
		return false
	}
	return true
}

// bindResp reads the response to a bind (SMPP v3.4 §4.1.2, §4.1.4, §4.1.6).
func (r *reader) bindResp(id CommandID, p *BindResp) bool {
	p.SystemID = r.last()
	p.TLVs = r.tlvs(p.TLVs)
	switch id {
	case CmdBindTransceiverResp:
		p.Type = Transceiver
	case CmdBindTransmitterResp:
		p.Type = Transmitter
	case CmdBindReceiverResp:
		p.Type = Receiver
	default:
		return false
	}
	return true
}

// dataSM reads a data_sm (SMPP v3.4 §4.7.1).
func (r *reader) dataSM(p *DataSM) {
	p.ServiceType = r.cstr("service_type")
	p.Source.TON = r.octet("source_addr_ton")
	p.Source.NPI = r.octet("source_addr_npi")
	p.Source.Addr = r.cstr("source_addr")
	p.Dest.TON = r.octet("dest_addr_ton")
	p.Dest.NPI = r.octet("dest_addr_npi")
	p.Dest.Addr = r.cstr("destination_addr")
	p.ESMClass = ESMClass(r.octet("esm_class"))
	p.RegisteredDelivery = r.octet("registered_delivery")
	p.DataCoding = DataCoding(r.octet("data_coding"))
	p.TLVs = r.tlvs(p.TLVs)
}

// The values of dest_flag (SMPP v3.4 §5.2.25).
const (
	destFlagSME  = 1
	destFlagList = 2
)

// submitMulti reads a submit_multi (SMPP v3.4 §4.5.1).
func (r *reader) submitMulti(p *SubmitMulti) {
	p.ServiceType = r.cstr("service_type")
	p.Source.TON = r.octet("source_addr_ton")
	p.Source.NPI = r.octet("source_addr_npi")
	p.Source.Addr = r.cstr("source_addr")
	p.Dest = Address{}
	n := int(r.octet("number_of_dests"))
	p.Dests = p.Dests[:0]
	if room := min(n, (len(r.b)-r.off)/2); cap(p.Dests) < room { // an entry has at least 2 octets
		p.Dests = make([]DestAddress, 0, room)
	}
	for range n {
		var d DestAddress
		switch flag := r.octet("dest_flag"); flag {
		case destFlagSME:
			d.Address.TON = r.octet("dest_addr_ton")
			d.Address.NPI = r.octet("dest_addr_npi")
			d.Address.Addr = r.cstr("destination_addr")
		case destFlagList:
			d.DistributionList = r.cstr("dl_name")
			if d.DistributionList == "" {
				r.fail("dl_name", StatusInvDLName, "empty")
			}
		default:
			r.fail("dest_flag", StatusInvDestFlag, "neither 1 nor 2")
		}
		if r.err != nil {
			return
		}
		p.Dests = append(p.Dests, d)
	}
	r.messageTail(&p.Message)
}

// submitMultiResp reads a submit_multi_resp (SMPP v3.4 §4.5.2). A response that
// ends after message_id reports no failures.
func (r *reader) submitMultiResp(p *SubmitMultiResp) {
	p.MessageID = r.last()
	p.Unsuccess = p.Unsuccess[:0]
	if r.off < len(r.b) {
		n := int(r.octet("no_unsuccess"))
		room := min(n, (len(r.b)-r.off)/7) // an entry has at least 7 octets
		if cap(p.Unsuccess) < room {
			p.Unsuccess = make([]UnsuccessSME, 0, room)
		}
		for i := 0; i < n && !(r.lax && r.off >= len(r.b)); i++ {
			var u UnsuccessSME
			u.Address.TON = r.octet("dest_addr_ton")
			u.Address.NPI = r.octet("dest_addr_npi")
			u.Address.Addr = r.cstr("destination_addr")
			u.Status = r.status("error_status_code")
			if r.err != nil {
				return
			}
			p.Unsuccess = append(p.Unsuccess, u)
		}
	}
	p.TLVs = r.tlvs(p.TLVs)
}

// cancelSM reads a cancel_sm (SMPP v3.4 §4.9.1).
func (r *reader) cancelSM(p *CancelSM) {
	p.ServiceType = r.cstr("service_type")
	p.MessageID = r.cstr("message_id")
	p.Source.TON = r.octet("source_addr_ton")
	p.Source.NPI = r.octet("source_addr_npi")
	p.Source.Addr = r.cstr("source_addr")
	p.Dest.TON = r.octet("dest_addr_ton")
	p.Dest.NPI = r.octet("dest_addr_npi")
	p.Dest.Addr = r.last()
	p.TLVs = r.tlvs(p.TLVs)
}

// replaceSM reads a replace_sm (SMPP v3.4 §4.10.1).
func (r *reader) replaceSM(p *ReplaceSM) {
	p.MessageID = r.cstr("message_id")
	p.Source.TON = r.octet("source_addr_ton")
	p.Source.NPI = r.octet("source_addr_npi")
	p.Source.Addr = r.cstr("source_addr")
	p.ScheduleDeliveryTime = r.cstr("schedule_delivery_time")
	p.ValidityPeriod = r.cstr("validity_period")
	p.RegisteredDelivery = r.octet("registered_delivery")
	p.SMDefaultMsgID = r.octet("sm_default_msg_id")
	p.ShortMessage = r.shortMessage()
	p.TLVs = r.tlvs(p.TLVs)
}

// status reads a 4-octet command_status within a body.
func (r *reader) status(field string) Status {
	b := r.take(4)
	if b == nil {
		r.missing(field)
		return 0
	}
	return Status(binary.BigEndian.Uint32(b))
}
