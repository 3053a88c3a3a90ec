package queue

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
	"jasmind/internal/smstext"
)

// Parameter is one HTTP parameter.
type Parameter struct{ Name, Value string }

// Parameters are what the URL is told about an MO, in the order of the documentation. Those
// that are not always there: priority and coding are; validity, udh, tlv_params, custom_tlvs and
// missing-parts only when the message has them.
//
// A long message has the addresses, the priority, the coding and the TLVs of its first part.
func (c *MOCall) Parameters() []Parameter {
	first := &c.Parts[0].Message
	segments := c.segments()
	text, octets := joined(c.Parts, segments)
	out := make([]Parameter, 0, 13)
	add := func(name, value string) { out = append(out, Parameter{name, value}) }
	add("id", string(c.MsgID))
	add("from", first.Source.Addr)
	add("to", first.Dest.Addr)
	add("origin-connector", string(c.CID))
	add("priority", strconv.Itoa(int(first.PriorityFlag)))
	add("coding", strconv.Itoa(int(first.DataCoding)))
	if t, err := pdu.ParseTime(first.ValidityPeriod, c.CreatedAt); err == nil && !t.IsZero() {
		add("validity", t.Local().Format(dateTime))
	}
	add("content", text)
	add("binary", hex.EncodeToString(octets))
	if h := c.header(segments[0].Header); len(h) > 0 {
		add("udh", hex.EncodeToString(h))
	}
	if s := c.tlvParams(first.TLVs); s != "" {
		add("tlv_params", s)
	}
	if s := customTLVs(first.TLVs, c.TLVTypes); s != "" {
		add("custom_tlvs", s)
	}
	if missing := c.missing(segments); len(missing) > 0 {
		add("missing-parts", strings.Join(missing, ","))
	}
	return out
}

// Content is the text of the message in UTF-8 and the octets that it was read from, without
// user data headers, the parts one after the other.
func (c *MOCall) Content() (text string, octets []byte) { return joined(c.Parts, c.segments()) }

func (c *MOCall) segments() []smstext.Segment {
	out := make([]smstext.Segment, len(c.Parts))
	for i := range c.Parts {
		out[i] = MOSegment(&c.Parts[i].Message)
	}
	return out
}

// MOSegment takes the user data of a message apart: of short_message or, when that is empty,
// of message_payload. A header that is announced and not there counts as content.
func MOSegment(m *pdu.Message) smstext.Segment {
	octets := m.ShortMessage
	if len(octets) == 0 {
		octets, _ = m.TLVs.Get(pdu.TagMessagePayload)
	}
	s, _ := smstext.ReadSegment(octets, m.ESMClass, m.TLVs)
	return s
}

// joined is the text and the octets of parts; those that do not follow one another are read each by itself.
func joined(parts []pdu.DeliverSM, segments []smstext.Segment) (string, []byte) {
	var text smstext.Joiner
	var octets []byte
	for i, s := range segments {
		if i > 0 && s.Concat.Seq != segments[i-1].Concat.Seq+1 {
			text.Break()
		}
		text.Add(s.Content, parts[i].DataCoding, s.Header.Tables())
		octets = append(octets, s.Content...)
	}
	return text.String(), octets
}

// header is the user data header without what only joins parts.
func (c *MOCall) header(h smstext.Header) []byte {
	var own smstext.Header
	for _, e := range h {
		if e.ID != smstext.ElementConcat8 && e.ID != smstext.ElementConcat16 {
			own = append(own, e)
		}
	}
	octets, _ := own.Append(nil) // it was read from octets that are longer
	return octets
}

// missing are the numbers of the parts that never came.
func (c *MOCall) missing(segments []smstext.Segment) []string {
	if c.Total <= len(c.Parts) {
		return nil
	}
	var out []string
	for seq := 1; seq <= c.Total; seq++ {
		if !slices.ContainsFunc(segments, func(s smstext.Segment) bool { return int(s.Concat.Seq) == seq }) {
			out = append(out, strconv.Itoa(seq))
		}
	}
	return out
}

// The optional parameters that tlv_params tells, with the names of values that have some.
// Jasmin: numbers are decimal, octets hexadecimal, as strings; names are those of its library.
var tlvParams = [...]struct {
	tag     pdu.Tag
	numeric bool
	names   []string // by value
	join    bool     // only of a message that is still in parts
}{
	{tag: pdu.TagUserMessageReference, numeric: true},
	{tag: pdu.TagSourcePort, numeric: true},
	{tag: pdu.TagDestinationPort, numeric: true},
	{tag: pdu.TagSARMsgRefNum, numeric: true, join: true},
	{tag: pdu.TagSARTotalSegments, numeric: true, join: true},
	{tag: pdu.TagSARSegmentSeqnum, numeric: true, join: true},
	{tag: pdu.TagPayloadType, numeric: true, names: []string{"DEFAULT", "WCMP"}},
	{tag: pdu.TagPrivacyIndicator, numeric: true, names: []string{"NOT_RESTRICTED", "RESTRICTED", "CONFIDENTIAL", "SECRET"}},
	{tag: pdu.TagCallbackNum},
	{tag: pdu.TagLanguageIndicator, numeric: true, names: []string{"UNSPECIFIED", "ENGLISH", "FRENCH", "SPANISH", "GERMAN", "PORTUGUESE"}},
	{tag: pdu.TagITSSessionInfo},
	{tag: pdu.TagNetworkErrorCode},
	{tag: pdu.TagMessageState, numeric: true, names: []string{"", "ENROUTE", "DELIVERED", "EXPIRED", "DELETED", "UNDELIVERABLE", "ACCEPTED", "UNKNOWN", "REJECTED"}},
	{tag: pdu.TagReceiptedMessageID},
}

// tlvParams is the JSON object of tlv_params, "" when there is nothing to tell.
func (c *MOCall) tlvParams(tlvs pdu.TLVs) string {
	told := make(map[string]string)
	for _, k := range tlvParams {
		value, ok := tlvs.Get(k.tag)
		if !ok || k.join && c.Total > 1 {
			continue
		}
		text := hex.EncodeToString(value)
		if k.numeric && len(value) > 0 && len(value) <= 8 {
			var n uint64
			for _, b := range value {
				n = n<<8 | uint64(b)
			}
			text = strconv.FormatUint(n, 10)
			if n < uint64(len(k.names)) && k.names[n] != "" {
				text = k.names[n]
			}
		}
		told[k.tag.String()] = text
	}
	if len(told) == 0 {
		return ""
	}
	b, _ := json.Marshal(told) // a map of strings always can
	return string(b)
}

// customTLVs is the JSON list of custom_tlvs, "" when there is nothing to tell.
func customTLVs(tlvs pdu.TLVs, types map[pdu.Tag]string) string {
	list := sms.VendorTLVs(tlvs)
	if len(list) == 0 {
		return ""
	}
	for i, t := range list {
		list[i] = t.As(types[t.Tag])
	}
	return sms.CustomTLVsJSON(list)
}
