package intercept

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"jasmind/internal/smpp/pdu"
)

// maxFrame bounds a frame of a worker, in octets; a longer one is a lie.
const maxFrame = 4 << 20

// What a script can leave behind, at most.
const (
	maxTags   = 1024
	maxTag    = 256 // octets
	maxCustom = 256 // vendor TLVs
)

// request is one call of a worker. Octets travel as text with one character for each octet.
type request struct {
	ID     uint64  `json:"id"`
	Do     string  `json:"do"` // run, filter or check
	Script string  `json:"script"`
	Name   string  `json:"name"`
	Source *string `json:"source,omitempty"` // nil: the worker has it
	Forget bool    `json:"forget,omitempty"` // every script, before this one

	*wireMessage
}

type wireMessage struct {
	MT     bool           `json:"mt"`
	Time   string         `json:"time"`
	Params wireParams     `json:"params"`
	TLVs   map[string]any `json:"tlvs"` // int64 or text
	Custom []wireTLV      `json:"custom"`
	Tags   []string       `json:"tags"`
	User   *wireUser      `json:"user,omitempty"`
	CID    string         `json:"cid,omitempty"`
}

type wireParams struct {
	ServiceType          string `json:"service_type"`
	SourceTON            uint8  `json:"source_addr_ton"`
	SourceNPI            uint8  `json:"source_addr_npi"`
	Source               string `json:"source_addr"`
	DestTON              uint8  `json:"dest_addr_ton"`
	DestNPI              uint8  `json:"dest_addr_npi"`
	Dest                 string `json:"destination_addr"`
	ESMClass             uint8  `json:"esm_class"`
	ProtocolID           uint8  `json:"protocol_id"`
	Priority             uint8  `json:"priority_flag"`
	ScheduleDeliveryTime string `json:"schedule_delivery_time"`
	ValidityPeriod       string `json:"validity_period"`
	RegisteredDelivery   uint8  `json:"registered_delivery"`
	ReplaceIfPresent     uint8  `json:"replace_if_present_flag"`
	DataCoding           uint8  `json:"data_coding"`
	DefaultMsgID         uint8  `json:"sm_default_msg_id"`
	ShortMessage         string `json:"short_message"`
}

type wireUser struct {
	UID           string     `json:"uid"`
	GID           string     `json:"gid"`
	Username      string     `json:"username"`
	DefaultSource *string    `json:"default_source"`
	MaxBindings   *int       `json:"max_bindings"`
	Quotas        wireQuotas `json:"quotas"`
}

type wireQuotas struct {
	Balance         *string      `json:"balance"`
	EarlyPercent    *json.Number `json:"early_decrement_balance_percent"`
	SMSCount        *int         `json:"submit_sm_count"`
	HTTPThroughput  *float64     `json:"http_throughput"`
	SMPPSThroughput *float64     `json:"smpps_throughput"`
}

// encodeMessage is the form in which a worker gets a message.
func encodeMessage(m *Message) *wireMessage {
	p := &m.PDU
	w := &wireMessage{
		MT:   m.Direction == MT,
		Time: m.Time.Format("2006-01-02T15:04:05.000000"),
		Params: wireParams{
			ServiceType: latin1(p.ServiceType), SourceTON: p.Source.TON, SourceNPI: p.Source.NPI, Source: latin1(p.Source.Addr),
			DestTON: p.Dest.TON, DestNPI: p.Dest.NPI, Dest: latin1(p.Dest.Addr), ESMClass: uint8(p.ESMClass), ProtocolID: p.ProtocolID,
			Priority: p.PriorityFlag, ScheduleDeliveryTime: latin1(p.ScheduleDeliveryTime), ValidityPeriod: latin1(p.ValidityPeriod),
			RegisteredDelivery: p.RegisteredDelivery, ReplaceIfPresent: p.ReplaceIfPresent, DataCoding: uint8(p.DataCoding),
			DefaultMsgID: p.SMDefaultMsgID, ShortMessage: latin1(string(p.ShortMessage)),
		},
		TLVs:   map[string]any{},
		Custom: make([]wireTLV, len(m.CustomTLVs)),
		Tags:   m.Tags,
	}
	if w.Tags == nil {
		w.Tags = []string{}
	}
	for _, t := range p.TLVs {
		name := t.Tag.String()
		if _, there := w.TLVs[name]; there {
			continue // the first one counts
		}
		if n, octets, numeric := tlvValue(t); numeric {
			w.TLVs[name] = n
		} else {
			w.TLVs[name] = latin1(string(octets))
		}
	}
	for i, t := range m.CustomTLVs {
		w.Custom[i] = wireTLV(t)
	}
	if m.Direction == MO {
		w.CID = string(m.Connector)
		return w
	}
	u := &m.User
	w.User = &wireUser{UID: string(u.UID), GID: string(u.GID), Username: u.Username, MaxBindings: u.Quotas.MaxBindings,
		Quotas: wireQuotas{SMSCount: u.Quotas.SMSCount, HTTPThroughput: u.Quotas.HTTPThroughput, SMPPSThroughput: u.Quotas.SMPPSThroughput}}
	if u.DefaultSource != "" {
		w.User.DefaultSource = &u.DefaultSource
	}
	if u.Quotas.Balance != "" {
		w.User.Quotas.Balance = &u.Quotas.Balance
	}
	if u.Quotas.EarlyPercent != "" {
		n := json.Number(u.Quotas.EarlyPercent)
		w.User.Quotas.EarlyPercent = &n
	}
	return w
}

// frame is what a worker sends: a greeting, a log record, or the answer to a request.
type frame struct {
	Ready string     `json:"ready"`
	Log   *logRecord `json:"log"`
	answer
}

type logRecord struct {
	Level  int    `json:"level"` // of Python's logging: 10 debug to 50 critical
	Logger string `json:"logger"`
	Text   string `json:"text"`
	Line   int    `json:"line"` // in the script, 0 elsewhere
}

// answer is what a script did.
type answer struct {
	ID        uint64               `json:"id"`
	Error     *ScriptError         `json:"error"`
	Fatal     bool                 `json:"fatal"` // the worker ends
	Have      bool                 `json:"have"`  // it keeps the compiled script
	Result    bool                 `json:"result"`
	SMPP      status               `json:"smpp"`
	HTTP      status               `json:"http"`
	MessageID string               `json:"message_id"`
	Params    map[string]wireValue `json:"params"` // those that changed
	Tags      *[]string            `json:"tags"`   // nil: as they were
	Custom    *[]wireTLV           `json:"custom"`
	Locks     []string             `json:"locks"`
}

// ScriptError is an exception of a script, or the fault for which it does not compile.
type ScriptError struct {
	Type  string `json:"type"`
	Text  string `json:"text"`
	Line  int    `json:"line"`
	Trace string `json:"trace"`
}

// Error gives line, type and text.
func (e *ScriptError) Error() string {
	return fmt.Sprintf("line %d: %s: %s", e.Line, clip(e.Type, 128), clip(e.Text, 512))
}

// apply makes the changes of an answer on a message and tells which they were. The message
// is of no use after an error.
func (a *answer) apply(m *Message) (changed, locked Params, err error) {
	// The content is encoded in the alphabet that the script leaves.
	for _, late := range []bool{false, true} {
		for _, name := range slices.Sorted(maps.Keys(a.Params)) {
			if (name == "short_message" || name == "message_payload") != late {
				continue
			}
			p, err := set(&m.PDU, name, value(a.Params[name]))
			if err != nil {
				return 0, 0, err
			}
			changed.add(p)
		}
	}
	if err := validate(&m.PDU, changed); err != nil {
		return 0, 0, err
	}
	if a.Tags != nil {
		if err := checkTags(*a.Tags); err != nil {
			return 0, 0, err
		}
		m.Tags = *a.Tags
		changed.add(ParamTags)
	}
	if a.Custom != nil {
		if len(*a.Custom) > maxCustom {
			return 0, 0, fmt.Errorf("custom_tlvs: %d are more than %d", len(*a.Custom), maxCustom)
		}
		m.CustomTLVs = make([]CustomTLV, len(*a.Custom))
		for i, t := range *a.Custom {
			m.CustomTLVs[i] = CustomTLV(t)
		}
		changed.add(ParamCustomTLVs)
	}
	for _, name := range a.Locks {
		if p, ok := paramByName[name]; ok { // no default overwrites an optional parameter
			locked.add(p)
		}
	}
	return changed, locked, nil
}

func checkTags(tags []string) error {
	if len(tags) > maxTags {
		return fmt.Errorf("tags: %d are more than %d", len(tags), maxTags)
	}
	for _, t := range tags {
		if len(t) > maxTag {
			return fmt.Errorf("tags: %q is longer than %d octets", clip(t, 64), maxTag)
		}
	}
	return nil
}

// wireValue is a number, null, or an object with octets (b) or text (s).
type wireValue value

// UnmarshalJSON reads one of the forms.
func (v *wireValue) UnmarshalJSON(b []byte) error {
	*v = wireValue{}
	if string(b) == "null" {
		v.none = true
		return nil
	}
	if b[0] != '{' {
		var n int64
		if err := json.Unmarshal(b, &n); err != nil {
			return err
		}
		v.number = &n
		return nil
	}
	var object struct {
		B *string `json:"b"`
		S *string `json:"s"`
	}
	if err := json.Unmarshal(b, &object); err != nil {
		return err
	}
	if (object.B == nil) == (object.S == nil) {
		return errors.New("a value must have octets or text")
	}
	if v.text = object.S; object.B != nil {
		octets, err := fromLatin1(*object.B)
		v.octets = &octets
		return err
	}
	return nil
}

// UnmarshalJSON reads null, a number, or text for something else.
func (s *status) UnmarshalJSON(b []byte) error {
	*s = status{set: string(b) != "null"}
	if s.set && b[0] != '"' {
		s.number = true
		return json.Unmarshal(b, &s.value)
	}
	return nil
}

// wireTLV is [tag, length or null, type or null, value]; a value is text, a number, or
// an object with octets.
type wireTLV CustomTLV

// MarshalJSON writes the array.
func (t wireTLV) MarshalJSON() ([]byte, error) {
	a := [4]any{uint16(t.Tag), nil, nil, t.Value}
	if t.Length >= 0 {
		a[1] = t.Length
	}
	if t.Type != "" {
		a[2] = t.Type
	}
	if b, ok := t.Value.([]byte); ok {
		a[3] = map[string]string{"b": latin1(string(b))}
	}
	return json.Marshal(a)
}

// UnmarshalJSON reads the array.
func (t *wireTLV) UnmarshalJSON(b []byte) error {
	var a []json.RawMessage
	if err := json.Unmarshal(b, &a); err != nil {
		return err
	}
	if len(a) != 4 {
		return fmt.Errorf("a custom TLV has 4 fields, not %d", len(a))
	}
	*t = wireTLV{Length: -1}
	var tag uint16
	var length, kind any
	if err := errors.Join(json.Unmarshal(a[0], &tag), json.Unmarshal(a[1], &length), json.Unmarshal(a[2], &kind)); err != nil {
		return err
	}
	t.Tag = pdu.Tag(tag)
	if n, ok := length.(float64); ok && 0 <= n && n <= 0xFFFF {
		t.Length = int(n)
	}
	switch kind := kind.(type) {
	case nil:
	case string:
		if len(kind) > 16 {
			return fmt.Errorf("custom TLV %s: invalid type %q", t.Tag, clip(kind, 16))
		}
		t.Type = kind
	default:
		return fmt.Errorf("custom TLV %s: the type is no text", t.Tag)
	}
	v := bytes.TrimSpace(a[3])
	switch {
	case len(v) > 0 && v[0] == '{':
		var w wireValue
		if err := json.Unmarshal(v, &w); err != nil || w.octets == nil {
			return fmt.Errorf("custom TLV %s: the value has no octets", t.Tag)
		}
		t.Value = []byte(*w.octets)
	case len(v) > 0 && v[0] == '"':
		var s string
		if err := json.Unmarshal(v, &s); err != nil {
			return err
		}
		t.Value = s
	default:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			t.Value = n
		} else if n, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			t.Value = n
		} else {
			return fmt.Errorf("custom TLV %s: invalid value %s", t.Tag, clip(string(v), 64))
		}
	}
	return nil
}

// latin1 writes each octet as the character of the same number.
func latin1(octets string) string {
	ascii := true
	for i := range len(octets) {
		ascii = ascii && octets[i] < 0x80
	}
	if ascii {
		return octets
	}
	runes := make([]rune, len(octets))
	for i := range len(octets) {
		runes[i] = rune(octets[i])
	}
	return string(runes)
}

func fromLatin1(text string) (string, error) {
	ascii := true
	for i := range len(text) {
		ascii = ascii && text[i] < 0x80
	}
	if ascii {
		return text, nil
	}
	octets := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xFF {
			return "", fmt.Errorf("%q is no octet", r)
		}
		octets = append(octets, byte(r))
	}
	return string(octets), nil
}

// appendFrame appends v as a frame.
func appendFrame(b []byte, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return b, err
	}
	return append(binary.BigEndian.AppendUint32(b, uint32(len(body))), body...), nil
}

// readFrame reads one frame into buf, which it may enlarge.
func readFrame(r io.Reader, buf *[]byte) (*frame, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return nil, fmt.Errorf("a frame of %d octets is longer than %d", n, maxFrame)
	}
	if uint32(cap(*buf)) < n || cap(*buf) > 64<<10 {
		*buf = make([]byte, n)
	}
	b := (*buf)[:n]
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	f := new(frame)
	return f, json.Unmarshal(b, f)
}
