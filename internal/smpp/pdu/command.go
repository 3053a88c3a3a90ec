package pdu

import "fmt"

// Command identifiers (SMPP v3.4 §5.1.2.1). The three broadcast operations of
// v5.0 are named for the logs; their bodies stay Unknown.
const (
	CmdGenericNack         CommandID = 0x80000000
	CmdBindReceiver        CommandID = 0x00000001
	CmdBindReceiverResp    CommandID = 0x80000001
	CmdBindTransmitter     CommandID = 0x00000002
	CmdBindTransmitterResp CommandID = 0x80000002
	CmdQuerySM             CommandID = 0x00000003
	CmdQuerySMResp         CommandID = 0x80000003
	CmdSubmitSM            CommandID = 0x00000004
	CmdSubmitSMResp        CommandID = 0x80000004
	CmdDeliverSM           CommandID = 0x00000005
	CmdDeliverSMResp       CommandID = 0x80000005
	CmdUnbind              CommandID = 0x00000006
	CmdUnbindResp          CommandID = 0x80000006
	CmdReplaceSM           CommandID = 0x00000007
	CmdReplaceSMResp       CommandID = 0x80000007
	CmdCancelSM            CommandID = 0x00000008
	CmdCancelSMResp        CommandID = 0x80000008
	CmdBindTransceiver     CommandID = 0x00000009
	CmdBindTransceiverResp CommandID = 0x80000009
	CmdOutbind             CommandID = 0x0000000B
	CmdEnquireLink         CommandID = 0x00000015
	CmdEnquireLinkResp     CommandID = 0x80000015
	CmdSubmitMulti         CommandID = 0x00000021
	CmdSubmitMultiResp     CommandID = 0x80000021
	CmdAlertNotification   CommandID = 0x00000102
	CmdDataSM              CommandID = 0x00000103
	CmdDataSMResp          CommandID = 0x80000103

	CmdBroadcastSM           CommandID = 0x00000111 // v5.0
	CmdBroadcastSMResp       CommandID = 0x80000111 // v5.0
	CmdQueryBroadcastSM      CommandID = 0x00000112 // v5.0
	CmdQueryBroadcastSMResp  CommandID = 0x80000112 // v5.0
	CmdCancelBroadcastSM     CommandID = 0x00000113 // v5.0
	CmdCancelBroadcastSMResp CommandID = 0x80000113 // v5.0
)

const responseBit CommandID = 0x80000000

// IsResponse reports whether the id is that of a response; generic_nack is one.
func (c CommandID) IsResponse() bool { return c&responseBit != 0 }

// Response is the id of the response to a request, whether or not the
// specification defines one (it does not for outbind and alert_notification).
func (c CommandID) Response() CommandID { return c | responseBit }

// String is the specification's name, such as submit_sm_resp, or the value in
// hexadecimal when there is none.
func (c CommandID) String() string {
	switch c {
	case CmdGenericNack:
		return "generic_nack"
	case CmdBindReceiver:
		return "bind_receiver"
	case CmdBindReceiverResp:
		return "bind_receiver_resp"
	case CmdBindTransmitter:
		return "bind_transmitter"
	case CmdBindTransmitterResp:
		return "bind_transmitter_resp"
	case CmdQuerySM:
		return "query_sm"
	case CmdQuerySMResp:
		return "query_sm_resp"
	case CmdSubmitSM:
		return "submit_sm"
	case CmdSubmitSMResp:
		return "submit_sm_resp"
	case CmdDeliverSM:
		return "deliver_sm"
	case CmdDeliverSMResp:
		return "deliver_sm_resp"
	case CmdUnbind:
		return "unbind"
	case CmdUnbindResp:
		return "unbind_resp"
	case CmdReplaceSM:
		return "replace_sm"
	case CmdReplaceSMResp:
		return "replace_sm_resp"
	case CmdCancelSM:
		return "cancel_sm"
	case CmdCancelSMResp:
		return "cancel_sm_resp"
	case CmdBindTransceiver:
		return "bind_transceiver"
	case CmdBindTransceiverResp:
		return "bind_transceiver_resp"
	case CmdOutbind:
		return "outbind"
	case CmdEnquireLink:
		return "enquire_link"
	case CmdEnquireLinkResp:
		return "enquire_link_resp"
	case CmdSubmitMulti:
		return "submit_multi"
	case CmdSubmitMultiResp:
		return "submit_multi_resp"
	case CmdAlertNotification:
		return "alert_notification"
	case CmdDataSM:
		return "data_sm"
	case CmdDataSMResp:
		return "data_sm_resp"
	case CmdBroadcastSM:
		return "broadcast_sm"
	case CmdBroadcastSMResp:
		return "broadcast_sm_resp"
	case CmdQueryBroadcastSM:
		return "query_broadcast_sm"
	case CmdQueryBroadcastSMResp:
		return "query_broadcast_sm_resp"
	case CmdCancelBroadcastSM:
		return "cancel_broadcast_sm"
	case CmdCancelBroadcastSMResp:
		return "cancel_broadcast_sm_resp"
	}
	return fmt.Sprintf("0x%08X", uint32(c))
}

// String is "transceiver", "transmitter" or "receiver".
func (t BindType) String() string {
	switch t {
	case Transceiver:
		return "transceiver"
	case Transmitter:
		return "transmitter"
	case Receiver:
		return "receiver"
	}
	return fmt.Sprintf("BindType(%d)", uint8(t))
}

// command is the request id of the bind operation; 0 for a value that is none.
func (t BindType) command() CommandID {
	switch t {
	case Transceiver:
		return CmdBindTransceiver
	case Transmitter:
		return CmdBindTransmitter
	case Receiver:
		return CmdBindReceiver
	}
	return 0
}

// CommandID implements PDU: bind_transceiver, bind_transmitter or bind_receiver, by Type.
func (p *Bind) CommandID() CommandID { return p.Type.command() }

// CommandID implements PDU: the response of the bind operation that Type names.
func (p *BindResp) CommandID() CommandID { return p.Type.command().Response() }

// CommandID implements PDU.
func (*Outbind) CommandID() CommandID { return CmdOutbind }

// CommandID implements PDU.
func (*Unbind) CommandID() CommandID { return CmdUnbind }

// CommandID implements PDU.
func (*UnbindResp) CommandID() CommandID { return CmdUnbindResp }

// CommandID implements PDU.
func (*GenericNack) CommandID() CommandID { return CmdGenericNack }

// CommandID implements PDU.
func (*EnquireLink) CommandID() CommandID { return CmdEnquireLink }

// CommandID implements PDU.
func (*EnquireLinkResp) CommandID() CommandID { return CmdEnquireLinkResp }

// CommandID implements PDU.
func (*SubmitSM) CommandID() CommandID { return CmdSubmitSM }

// CommandID implements PDU.
func (*SubmitSMResp) CommandID() CommandID { return CmdSubmitSMResp }

// CommandID implements PDU.
func (*DeliverSM) CommandID() CommandID { return CmdDeliverSM }

// CommandID implements PDU.
func (*DeliverSMResp) CommandID() CommandID { return CmdDeliverSMResp }

// CommandID implements PDU.
func (*DataSM) CommandID() CommandID { return CmdDataSM }

// CommandID implements PDU.
func (*DataSMResp) CommandID() CommandID { return CmdDataSMResp }

// CommandID implements PDU.
func (*SubmitMulti) CommandID() CommandID { return CmdSubmitMulti }

// CommandID implements PDU.
func (*SubmitMultiResp) CommandID() CommandID { return CmdSubmitMultiResp }

// CommandID implements PDU.
func (*QuerySM) CommandID() CommandID { return CmdQuerySM }

// CommandID implements PDU.
func (*QuerySMResp) CommandID() CommandID { return CmdQuerySMResp }

// CommandID implements PDU.
func (*CancelSM) CommandID() CommandID { return CmdCancelSM }

// CommandID implements PDU.
func (*CancelSMResp) CommandID() CommandID { return CmdCancelSMResp }

// CommandID implements PDU.
func (*ReplaceSM) CommandID() CommandID { return CmdReplaceSM }

// CommandID implements PDU.
func (*ReplaceSMResp) CommandID() CommandID { return CmdReplaceSMResp }

// CommandID implements PDU.
func (*AlertNotification) CommandID() CommandID { return CmdAlertNotification }

// CommandID implements PDU.
func (p *Unknown) CommandID() CommandID { return p.ID }

// newPDU is an empty body for a command_id. The result's Type or ID is set.
func newPDU(id CommandID) PDU {
	switch id {
	case CmdGenericNack:
		return &GenericNack{}
	case CmdBindReceiver:
		return &Bind{Type: Receiver}
	case CmdBindReceiverResp:
		return &BindResp{Type: Receiver}
	case CmdBindTransmitter:
		return &Bind{Type: Transmitter}
	case CmdBindTransmitterResp:
		return &BindResp{Type: Transmitter}
	case CmdBindTransceiver:
		return &Bind{Type: Transceiver}
	case CmdBindTransceiverResp:
		return &BindResp{Type: Transceiver}
	case CmdQuerySM:
		return &QuerySM{}
	case CmdQuerySMResp:
		return &QuerySMResp{}
	case CmdSubmitSM:
		return &SubmitSM{}
	case CmdSubmitSMResp:
		return &SubmitSMResp{}
	case CmdDeliverSM:
		return &DeliverSM{}
	case CmdDeliverSMResp:
		return &DeliverSMResp{}
	case CmdUnbind:
		return &Unbind{}
	case CmdUnbindResp:
		return &UnbindResp{}
	case CmdReplaceSM:
		return &ReplaceSM{}
	case CmdReplaceSMResp:
		return &ReplaceSMResp{}
	case CmdCancelSM:
		return &CancelSM{}
	case CmdCancelSMResp:
		return &CancelSMResp{}
	case CmdOutbind:
		return &Outbind{}
	case CmdEnquireLink:
		return &EnquireLink{}
	case CmdEnquireLinkResp:
		return &EnquireLinkResp{}
	case CmdSubmitMulti:
		return &SubmitMulti{}
	case CmdSubmitMultiResp:
		return &SubmitMultiResp{}
	case CmdAlertNotification:
		return &AlertNotification{}
	case CmdDataSM:
		return &DataSM{}
	case CmdDataSMResp:
		return &DataSMResp{}
	}
	return &Unknown{ID: id}
}

// NewResponse is an empty response to a request, of the matching type. It is
// nil for responses, Outbind, AlertNotification and Unknown, which have none: an
// unknown request is answered with a GenericNack.
func NewResponse(req PDU) PDU {
	switch p := req.(type) {
	case *Bind:
		return &BindResp{Type: p.Type}
	case *Unbind:
		return &UnbindResp{}
	case *EnquireLink:
		return &EnquireLinkResp{}
	case *SubmitSM:
		return &SubmitSMResp{}
	case *DeliverSM:
		return &DeliverSMResp{}
	case *DataSM:
		return &DataSMResp{}
	case *SubmitMulti:
		return &SubmitMultiResp{}
	case *QuerySM:
		return &QuerySMResp{}
	case *CancelSM:
		return &CancelSMResp{}
	case *ReplaceSM:
		return &ReplaceSMResp{}
	}
	return nil
}
