// Package pdu holds the SMPP v3.4 protocol data units as typed structs and
// turns them into octets and back (SMPP Protocol Specification v3.4 Issue 1.2,
// sections 3 to 5), with the v5.0 TLVs and command_status values that a v3.4
// peer may meet.
//
// It does no I/O and knows no session. It is lenient on input, since vendors
// differ, and strict on output: what a well-formed peer sent is encoded again
// to the same octets, unknown and vendor TLVs included, in their order.
//
//	h, p, err := pdu.Decode(frame)            // owns its memory
//	out, err := pdu.Append(nil, pdu.StatusOK, seq, &pdu.SubmitSMResp{MessageID: "42"})
package pdu

// CommandID is the operation of a PDU (SMPP v3.4 §5.1.2.1).
type CommandID uint32

// Header is the mandatory header of every PDU (SMPP v3.4 §3.2, four 4-octet integers).
type Header struct {
	Length   uint32 // command_length, the header's 16 octets included
	ID       CommandID
	Status   Status // 0 in requests
	Sequence uint32 // 1 to 0x7FFFFFFF (§5.1.4); others are tolerated on input
}

// HeaderLen is the size of the header in octets.
const HeaderLen = 16

// PDU is the body of a protocol data unit: one of the struct pointers of this package.
type PDU interface {
	// CommandID is the operation this body belongs to.
	CommandID() CommandID
}

// Address is an SME address with its type of number and numbering plan
// indicator (SMPP v3.4 §5.2.5, §5.2.6, §5.2.8).
type Address struct {
	TON  uint8
	NPI  uint8
	Addr string // up to 20 octets in most PDUs, 64 in data_sm
}

// TLV is an optional parameter (SMPP v3.4 §5.3), value without its tag and length.
type TLV struct {
	Tag   Tag
	Value []byte
}

// Tag names an optional parameter (SMPP v3.4 §5.3.2, v5.0 §4.8.4).
type Tag uint16

// TLVs is an ordered list of optional parameters: order and repetitions survive
// a decode and encode round trip.
type TLVs []TLV

// BindType says which of the three bind operations a Bind or BindResp is.
type BindType uint8

// The bind operations (SMPP v3.4 §4.1).
const (
	Transceiver BindType = iota // bind_transceiver
	Transmitter                 // bind_transmitter
	Receiver                    // bind_receiver
)

// Bind is bind_transmitter, bind_receiver or bind_transceiver (SMPP v3.4 §4.1.1, §4.1.3, §4.1.5).
type Bind struct {
	Type             BindType
	SystemID         string // up to 15 octets
	Password         string // up to 8 octets by the specification, 64 here
	SystemType       string // up to 12 octets
	InterfaceVersion uint8  // 0x34
	AddrTON, AddrNPI uint8
	AddressRange     string // up to 40 octets
	TLVs             TLVs
}

// BindResp answers a Bind (SMPP v3.4 §4.1.2, §4.1.4, §4.1.6).
type BindResp struct {
	Type     BindType
	SystemID string
	TLVs     TLVs
}

// Outbind is sent by an SMSC to ask an ESME to bind (SMPP v3.4 §4.1.7).
type Outbind struct {
	SystemID string
	Password string
}

// Unbind ends a session politely (SMPP v3.4 §4.2.1).
type Unbind struct{}

// UnbindResp answers an Unbind (SMPP v3.4 §4.2.2).
type UnbindResp struct{}

// GenericNack refuses a PDU that cannot be answered otherwise (SMPP v3.4 §4.3.1).
type GenericNack struct{}

// EnquireLink checks that the peer is alive (SMPP v3.4 §4.11.1).
type EnquireLink struct{}

// EnquireLinkResp answers an EnquireLink (SMPP v3.4 §4.11.2).
type EnquireLinkResp struct{}

// Message is what submit_sm and deliver_sm have in common; their layouts are
// the same (SMPP v3.4 §4.4.1, §4.6.1).
type Message struct {
	ServiceType          string
	Source               Address
	Dest                 Address
	ESMClass             ESMClass
	ProtocolID           uint8
	PriorityFlag         uint8
	ScheduleDeliveryTime string // "" or 16 characters (§7.1.1)
	ValidityPeriod       string // "" or 16 characters (§7.1.1)
	RegisteredDelivery   uint8  // §5.2.17
	ReplaceIfPresent     uint8
	DataCoding           DataCoding
	SMDefaultMsgID       uint8
	ShortMessage         []byte // up to 254 octets; 255 are accepted and encoded too, since peers send them
	TLVs                 TLVs
}

// SubmitSM hands a message to the SMSC (SMPP v3.4 §4.4.1).
type SubmitSM struct{ Message }

// SubmitSMResp answers a SubmitSM (SMPP v3.4 §4.4.2). A refusal may have no body.
type SubmitSMResp struct {
	MessageID string // up to 64 octets
	TLVs      TLVs   // none in v3.4; v5.0 and some vendors send them
}

// DeliverSM hands a message or a delivery receipt to the ESME (SMPP v3.4 §4.6.1).
type DeliverSM struct{ Message }

// DeliverSMResp answers a DeliverSM (SMPP v3.4 §4.6.2).
type DeliverSMResp struct {
	MessageID string // unused in v3.4, "" on output
	TLVs      TLVs
}

// DataSM transfers data in either direction (SMPP v3.4 §4.7.1).
type DataSM struct {
	ServiceType        string
	Source             Address
	Dest               Address
	ESMClass           ESMClass
	RegisteredDelivery uint8
	DataCoding         DataCoding
	TLVs               TLVs
}

// DataSMResp answers a DataSM (SMPP v3.4 §4.7.2).
type DataSMResp struct {
	MessageID string
	TLVs      TLVs
}

// DestAddress is one destination of a SubmitMulti: an SME address or, when
// DistributionList is not empty, the name of a list (SMPP v3.4 §4.5.1.1).
type DestAddress struct {
	Address          Address
	DistributionList string
}

// SubmitMulti submits one message to up to 254 destinations (SMPP v3.4 §4.5.1).
// The Dest of its Message is unused.
type SubmitMulti struct {
	Message
	Dests []DestAddress
}

// UnsuccessSME is a destination that was refused (SMPP v3.4 §4.5.2.1).
type UnsuccessSME struct {
	Address Address
	Status  Status
}

// SubmitMultiResp answers a SubmitMulti (SMPP v3.4 §4.5.2).
type SubmitMultiResp struct {
	MessageID string
	Unsuccess []UnsuccessSME
	TLVs      TLVs
}

// QuerySM asks for the state of a message (SMPP v3.4 §4.8.1).
type QuerySM struct {
	MessageID string
	Source    Address
	TLVs      TLVs
}

// QuerySMResp answers a QuerySM (SMPP v3.4 §4.8.2).
type QuerySMResp struct {
	MessageID    string
	FinalDate    string
	MessageState MessageState
	ErrorCode    uint8
	TLVs         TLVs
}

// CancelSM cancels messages that were not delivered yet (SMPP v3.4 §4.9.1).
type CancelSM struct {
	ServiceType string
	MessageID   string
	Source      Address
	Dest        Address
	TLVs        TLVs
}

// CancelSMResp answers a CancelSM (SMPP v3.4 §4.9.2).
type CancelSMResp struct{}

// ReplaceSM replaces a message that was not delivered yet (SMPP v3.4 §4.10.1).
type ReplaceSM struct {
	MessageID            string
	Source               Address
	ScheduleDeliveryTime string
	ValidityPeriod       string
	RegisteredDelivery   uint8
	SMDefaultMsgID       uint8
	ShortMessage         []byte
	TLVs                 TLVs
}

// ReplaceSMResp answers a ReplaceSM (SMPP v3.4 §4.10.2).
type ReplaceSMResp struct{}

// AlertNotification tells an ESME that a subscriber is reachable (SMPP v3.4 §4.12.1).
type AlertNotification struct {
	Source Address
	ESME   Address
	TLVs   TLVs
}

// Unknown is a PDU whose command_id this package does not know; its body is kept.
type Unknown struct {
	ID   CommandID
	Body []byte
}
