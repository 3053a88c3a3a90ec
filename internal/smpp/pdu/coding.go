package pdu

import (
	"fmt"
	"strings"
)

// DataCoding is the alphabet or encoding of the user data (SMPP v3.4 §5.2.19).
type DataCoding uint8

// The data_coding values of SMPP v3.4 §5.2.19.
const (
	CodingDefault   DataCoding = 0x00 // SMSC default alphabet, usually GSM 03.38
	CodingIA5       DataCoding = 0x01
	CodingOctet     DataCoding = 0x02
	CodingLatin1    DataCoding = 0x03
	CodingOctet2    DataCoding = 0x04
	CodingJIS       DataCoding = 0x05
	CodingCyrillic  DataCoding = 0x06
	CodingHebrew    DataCoding = 0x07
	CodingUCS2      DataCoding = 0x08
	CodingPictogram DataCoding = 0x09
	CodingISO2022JP DataCoding = 0x0A
	CodingJISX0212  DataCoding = 0x0D
	CodingKSC5601   DataCoding = 0x0E
)

// ESMClass says what kind of message a PDU carries (SMPP v3.4 §5.2.12).
type ESMClass uint8

// Bits and values of esm_class (SMPP v3.4 §5.2.12).
const (
	ESMModeMask         ESMClass = 0x03
	ESMModeDatagram     ESMClass = 0x01
	ESMModeForward      ESMClass = 0x02
	ESMModeStoreForward ESMClass = 0x03

	ESMTypeMask         ESMClass = 0x3C
	ESMTypeReceipt      ESMClass = 0x04 // deliver_sm: SMSC delivery receipt
	ESMTypeDeliveryAck  ESMClass = 0x08
	ESMTypeUserAck      ESMClass = 0x10
	ESMTypeConversation ESMClass = 0x18
	ESMTypeIntermediate ESMClass = 0x20 // deliver_sm: intermediate notification

	ESMUDHI      ESMClass = 0x40 // short_message starts with a user data header
	ESMReplyPath ESMClass = 0x80
)

// MessageState is the state of a short message (SMPP v3.4 §5.2.28, v5.0 §4.7.15).
type MessageState uint8

// Message states of SMPP v3.4 §5.2.28 and, for 0 and 9, v5.0 §4.7.15.
const (
	StateScheduled     MessageState = 0
	StateEnroute       MessageState = 1
	StateDelivered     MessageState = 2
	StateExpired       MessageState = 3
	StateDeleted       MessageState = 4
	StateUndeliverable MessageState = 5
	StateAccepted      MessageState = 6
	StateUnknown       MessageState = 7
	StateRejected      MessageState = 8
	StateSkipped       MessageState = 9
)

// String is a short name such as ucs2, or the value in hexadecimal.
func (c DataCoding) String() string {
	switch c {
	case CodingDefault:
		return "default"
	case CodingIA5:
		return "ia5"
	case CodingOctet, CodingOctet2:
		return "octet"
	case CodingLatin1:
		return "latin1"
	case CodingJIS:
		return "jis"
	case CodingCyrillic:
		return "cyrillic"
	case CodingHebrew:
		return "hebrew"
	case CodingUCS2:
		return "ucs2"
	case CodingPictogram:
		return "pictogram"
	case CodingISO2022JP:
		return "iso2022jp"
	case CodingJISX0212:
		return "jisx0212"
	case CodingKSC5601:
		return "ksc5601"
	}
	return fmt.Sprintf("0x%02X", uint8(c))
}

// Type is the message type: 0 for an ordinary message, or one of ESMTypeReceipt,
// ESMTypeDeliveryAck, ESMTypeUserAck, ESMTypeConversation, ESMTypeIntermediate.
func (e ESMClass) Type() ESMClass { return e & ESMTypeMask }

// Mode is the messaging mode: 0 (the SMSC's default), ESMModeDatagram,
// ESMModeForward or ESMModeStoreForward.
func (e ESMClass) Mode() ESMClass { return e & ESMModeMask }

// String names mode, type and features, joined by |, such as store_forward|udhi;
// "default" when none is set.
func (e ESMClass) String() string {
	if e == 0 {
		return "default"
	}
	var parts []string
	switch e.Mode() {
	case ESMModeDatagram:
		parts = append(parts, "datagram")
	case ESMModeForward:
		parts = append(parts, "forward")
	case ESMModeStoreForward:
		parts = append(parts, "store_forward")
	}
	switch t := e.Type(); t {
	case 0:
	case ESMTypeReceipt:
		parts = append(parts, "receipt")
	case ESMTypeDeliveryAck:
		parts = append(parts, "delivery_ack")
	case ESMTypeUserAck:
		parts = append(parts, "user_ack")
	case ESMTypeConversation:
		parts = append(parts, "conversation_abort")
	case ESMTypeIntermediate:
		parts = append(parts, "intermediate")
	default:
		parts = append(parts, fmt.Sprintf("type_0x%02X", uint8(t)))
	}
	if e&ESMUDHI != 0 {
		parts = append(parts, "udhi")
	}
	if e&ESMReplyPath != 0 {
		parts = append(parts, "reply_path")
	}
	return strings.Join(parts, "|")
}

// String is the specification's name, such as DELIVERED, or the number.
func (s MessageState) String() string {
	switch s {
	case StateScheduled:
		return "SCHEDULED"
	case StateEnroute:
		return "ENROUTE"
	case StateDelivered:
		return "DELIVERED"
	case StateExpired:
		return "EXPIRED"
	case StateDeleted:
		return "DELETED"
	case StateUndeliverable:
		return "UNDELIVERABLE"
	case StateAccepted:
		return "ACCEPTED"
	case StateUnknown:
		return "UNKNOWN"
	case StateRejected:
		return "REJECTED"
	case StateSkipped:
		return "SKIPPED"
	}
	return fmt.Sprintf("MessageState(%d)", uint8(s))
}
