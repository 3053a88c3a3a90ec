package intercept

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smstext"
)

// Param is a parameter of a message under the name that scripts use.
type Param uint8

// The mandatory parameters of submit_sm and deliver_sm, in wire order, and then what else of
// a message can change.
const (
	ParamServiceType Param = iota
	ParamSourceTON
	ParamSourceNPI
	ParamSource
	ParamDestTON
	ParamDestNPI
	ParamDest
	ParamESMClass
	ParamProtocolID
	ParamPriority
	ParamScheduleDeliveryTime
	ParamValidityPeriod
	ParamRegisteredDelivery
	ParamReplaceIfPresent
	ParamDataCoding
	ParamDefaultMsgID
	ParamShortMessage
	ParamTLVs       // any optional parameter that has a name in SMPP
	ParamCustomTLVs // pdu.custom_tlvs
	ParamTags
	paramEnd
)

var paramNames = [paramEnd]string{
	"service_type", "source_addr_ton", "source_addr_npi", "source_addr", "dest_addr_ton", "dest_addr_npi", "destination_addr",
	"esm_class", "protocol_id", "priority_flag", "schedule_delivery_time", "validity_period", "registered_delivery",
	"replace_if_present_flag", "data_coding", "sm_default_msg_id", "short_message", "tlvs", "custom_tlvs", "tags",
}

// mandatory counts the parameters that every message has.
const mandatory = int(ParamShortMessage) + 1

// String is the name that scripts use, such as destination_addr.
func (p Param) String() string {
	if p >= paramEnd {
		return fmt.Sprintf("Param(%d)", uint8(p))
	}
	return paramNames[p]
}

var paramByName = func() map[string]Param {
	m := make(map[string]Param, mandatory)
	for p, name := range paramNames[:mandatory] {
		m[name] = Param(p)
	}
	return m
}()

// Params is a set of parameters. The zero value is empty.
type Params uint32

// Has tells whether p is in the set.
func (s Params) Has(p Param) bool { return p < paramEnd && s&(1<<p) != 0 }

func (s *Params) add(p Param) { *s |= 1 << p }

// String lists the names, joined by commas.
func (s Params) String() string {
	var names []string
	for p := range paramEnd {
		if s.Has(p) {
			names = append(names, p.String())
		}
	}
	return strings.Join(names, ",")
}

// number is where a parameter of one octet lives, nil for the others.
func number(m *pdu.Message, p Param) *uint8 {
	switch p {
	case ParamSourceTON:
		return &m.Source.TON
	case ParamSourceNPI:
		return &m.Source.NPI
	case ParamDestTON:
		return &m.Dest.TON
	case ParamDestNPI:
		return &m.Dest.NPI
	case ParamESMClass:
		return (*uint8)(&m.ESMClass)
	case ParamProtocolID:
		return &m.ProtocolID
	case ParamPriority:
		return &m.PriorityFlag
	case ParamRegisteredDelivery:
		return &m.RegisteredDelivery
	case ParamReplaceIfPresent:
		return &m.ReplaceIfPresent
	case ParamDataCoding:
		return (*uint8)(&m.DataCoding)
	case ParamDefaultMsgID:
		return &m.SMDefaultMsgID
	}
	return nil
}

// text is where a parameter that is a C-octet string lives, nil for the others.
func text(m *pdu.Message, p Param) *string {
	switch p {
	case ParamServiceType:
		return &m.ServiceType
	case ParamSource:
		return &m.Source.Addr
	case ParamDest:
		return &m.Dest.Addr
	case ParamScheduleDeliveryTime:
		return &m.ScheduleDeliveryTime
	case ParamValidityPeriod:
		return &m.ValidityPeriod
	}
	return nil
}

// value is what a script wants a parameter to be: one of its fields counts.
type value struct {
	none   bool
	number *int64
	octets *string // raw
	text   *string // UTF-8, still to be encoded in the data_coding of the message
}

func (v value) String() string {
	switch {
	case v.number != nil:
		return fmt.Sprint(*v.number)
	case v.octets != nil:
		return fmt.Sprintf("%q", clip(*v.octets, 64))
	case v.text != nil:
		return fmt.Sprintf("%q", clip(*v.text, 64))
	}
	return "None"
}

// set gives a parameter a value; the limits of the wire are left to validate.
func set(m *pdu.Message, name string, v value) (Param, error) {
	p, known := paramByName[name]
	if !known {
		return ParamTLVs, setTLV(m, name, v)
	}
	if n := number(m, p); n != nil {
		switch {
		case v.none:
			*n = 0
		case v.number != nil && *v.number >= 0 && *v.number <= math.MaxUint8:
			*n = uint8(*v.number)
		default:
			return p, fmt.Errorf("%s: invalid value %s, must be a number from 0 to 255", name, v)
		}
		return p, nil
	}
	octets, err := v.in(m.DataCoding, p == ParamShortMessage)
	if err != nil {
		return p, fmt.Errorf("%s: %w", name, err)
	}
	if s := text(m, p); s != nil {
		*s = octets
	} else {
		m.ShortMessage = []byte(octets)
	}
	return p, nil
}

// in gives the octets of a value; text is encoded with the alphabet of the message where
// that is asked for, and is UTF-8 elsewhere.
func (v value) in(coding pdu.DataCoding, encode bool) (string, error) {
	switch {
	case v.none:
		return "", nil
	case v.octets != nil && len(*v.octets) <= MaxContent:
		return *v.octets, nil
	case v.text != nil && len(*v.text) <= MaxContent && encode:
		b, err := smstext.Encode(*v.text, coding, smstext.Replace)
		if err == nil && len(b) > MaxContent {
			break
		}
		return string(b), err
	case v.text != nil && len(*v.text) <= MaxContent:
		return *v.text, nil
	case v.number != nil:
		return "", fmt.Errorf("invalid value %s, must be octets", v)
	}
	return "", fmt.Errorf("value is longer than %d octets", MaxContent)
}

// kind is the form of an optional parameter: the octets of a number, or octets.
type kind uint8

const (
	octetString  kind = 0
	cOctetString kind = 0xFF
)

// tlvKinds holds every optional parameter that has a name (SMPP v3.4 §5.3.2, v5.0 §4.8.4);
// the numbers with their size.
var tlvKinds = func() map[pdu.Tag]kind {
	m := map[pdu.Tag]kind{}
	for t := range pdu.Tag(0x1400) {
		if !strings.HasPrefix(t.String(), "0x") {
			m[t] = octetString
		}
	}
	for _, t := range []pdu.Tag{
		pdu.TagDestAddrSubunit, pdu.TagDestNetworkType, pdu.TagDestBearerType, pdu.TagSourceAddrSubunit, pdu.TagSourceNetworkType,
		pdu.TagSourceBearerType, pdu.TagSourceTelematicsID, pdu.TagPayloadType, pdu.TagMSMsgWaitFacilities, pdu.TagPrivacyIndicator,
		pdu.TagUserResponseCode, pdu.TagLanguageIndicator, pdu.TagSARTotalSegments, pdu.TagSARSegmentSeqnum,
		pdu.TagCallbackNumPresInd, pdu.TagNumberOfMessages, pdu.TagDPFResult, pdu.TagSetDPF, pdu.TagMSAvailabilityStatus,
		pdu.TagDeliveryFailureReason, pdu.TagMoreMessagesToSend, pdu.TagMessageState, pdu.TagUSSDServiceOp, pdu.TagDisplayTime,
		pdu.TagMSValidity, pdu.TagITSReplyType,
	} {
		m[t] = 1
	}
	for _, t := range []pdu.Tag{pdu.TagDestTelematicsID, pdu.TagUserMessageReference, pdu.TagSourcePort, pdu.TagDestinationPort,
		pdu.TagSARMsgRefNum, pdu.TagSMSSignal} {
		m[t] = 2
	}
	m[pdu.TagQOSTimeToLive] = 4
	m[pdu.TagReceiptedMessageID], m[pdu.TagAdditionalStatusInfoText] = cOctetString, cOctetString
	return m
}()

// tlvValue is what a script sees of an optional parameter: a number, or octets. A number of
// another size than the specification's is shown as octets.
func tlvValue(t pdu.TLV) (n int64, octets []byte, numeric bool) {
	k := tlvKinds[t.Tag]
	switch {
	case k == cOctetString:
		if i := slices.Index(t.Value, 0); i >= 0 {
			return 0, t.Value[:i], false
		}
	case k != octetString && len(t.Value) == int(k):
		var b [8]byte
		copy(b[8-int(k):], t.Value)
		return int64(binary.BigEndian.Uint64(b[:])), nil, true
	}
	return 0, t.Value, false
}

// setTLV changes, adds or, without a value, removes an optional parameter.
func setTLV(m *pdu.Message, name string, v value) error {
	tag, ok := pdu.ParseTag(name)
	k, known := tlvKinds[tag]
	if !ok || !known || tag.String() != name {
		return fmt.Errorf("%q is not a parameter of a message", clip(name, 64))
	}
	m.TLVs = slices.Clone(m.TLVs)
	if v.none {
		m.TLVs.Del(tag)
		return nil
	}
	if v.number != nil {
		if k == octetString || k == cOctetString || *v.number < 0 || *v.number>>(8*int(k)) != 0 {
			return fmt.Errorf("%s: invalid value %s", name, v)
		}
		m.TLVs.Set(tag, binary.BigEndian.AppendUint64(nil, uint64(*v.number))[8-int(k):])
		return nil
	}
	octets, err := v.in(m.DataCoding, tag == pdu.TagMessagePayload)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if k == cOctetString {
		octets += "\x00"
	}
	if len(octets) > math.MaxUint16 {
		return fmt.Errorf("%s: value is longer than %d octets", name, math.MaxUint16)
	}
	m.TLVs.Set(tag, []byte(octets))
	return nil
}

// validate tells whether the parameters that a script changed can be sent: the strict encoder
// is asked. The others are not its fault, and the content is cut into parts later.
func validate(m *pdu.Message, changed Params) error {
	const texts = Params(1<<ParamServiceType | 1<<ParamSource | 1<<ParamDest | 1<<ParamScheduleDeliveryTime | 1<<ParamValidityPeriod)
	if changed&texts == 0 {
		return nil // every number that set takes fits
	}
	var probe pdu.Message
	for p := range Param(mandatory) {
		if s := text(&probe, p); s != nil && changed.Has(p) {
			*s = *text(m, p)
		}
	}
	_, err := pdu.Append(nil, pdu.StatusOK, 1, &pdu.SubmitSM{Message: probe})
	return err
}

// clip shortens a text for messages.
func clip(s string, octets int) string {
	if len(s) <= octets {
		return s
	}
	return s[:octets] + "..."
}
