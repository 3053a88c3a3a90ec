package smscsim

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smstext"
)

// MO is a message from a mobile, to be sent to an ESME.
type MO struct {
	Account string `json:"account,omitempty"` // system_id; may be left out when there is one account, or one that is bound
	Session uint64 `json:"session,omitempty"` // a certain bind; 0 for any

	From    string `json:"from"`
	FromTON uint8  `json:"from_ton,omitempty"`
	FromNPI uint8  `json:"from_npi,omitempty"`
	To      string `json:"to"`
	ToTON   uint8  `json:"to_ton,omitempty"`
	ToNPI   uint8  `json:"to_npi,omitempty"`

	Text       string `json:"text,omitempty"`
	DataCoding *uint8 `json:"data_coding,omitempty"` // of Text; default 0 if that carries it, else 8
	Split      string `json:"split,omitempty"`       // of a long text: udh (default), udh16, sar, payload (message_payload, whole)
	Reference  uint16 `json:"reference,omitempty"`   // of the parts; default a new one
	Hex        string `json:"hex,omitempty"`         // short_message as it is, in place of Text
	PDU        string `json:"pdu,omitempty"`         // deliver_sm (default) or data_sm

	ServiceType string  `json:"service_type,omitempty"`
	ESMClass    uint8   `json:"esm_class,omitempty"` // in addition to what the parts need
	ProtocolID  uint8   `json:"protocol_id,omitempty"`
	Priority    uint8   `json:"priority_flag,omitempty"`
	Registered  uint8   `json:"registered_delivery,omitempty"`
	TLVs        []TLV   `json:"tlvs,omitempty"`
	Order       []uint8 `json:"order,omitempty"` // in which parts are sent, from 1; parts that it leaves out are not sent

	Raw string `json:"raw,omitempty"` // a whole deliver_sm or data_sm in hex, in place of all from From to Order; gets its own sequence_number

	Timeout Duration `json:"timeout,omitempty"` // for all responses together; default 10s
}

// MOResult is what the ESME answered.
type MOResult struct {
	Status  string         `json:"status"` // the first that is not ESME_ROK
	Session uint64         `json:"session"`
	Parts   []MOPartResult `json:"parts"`
}

// MOPartResult is the response to one PDU.
type MOPartResult struct {
	Sequence  uint32   `json:"sequence"`
	Status    string   `json:"status"`
	MessageID string   `json:"message_id,omitempty"`
	After     Duration `json:"after"` // from the request to the response
}

// ErrNotBound is returned when no session can receive.
var ErrNotBound = errors.New("smscsim: no session is bound that can receive")

// moTimeout is how long responses to an MO may take unless it says otherwise.
const moTimeout = 10 * time.Second

// InjectMO sends a message to an ESME and returns the command_status of its response;
// with several parts, the first that is not ESME_ROK.
//
// Errors: what is wrong with mo; ErrNotBound; the cause of ctx or context.DeadlineExceeded when
// a response does not come; what session errors package smpp has. A refusal is a result.
func (sim *Simulator) InjectMO(ctx context.Context, mo MO) (pdu.Status, error) {
	_, status, err := sim.inject(ctx, mo)
	return status, err
}

func (sim *Simulator) inject(ctx context.Context, mo MO) (MOResult, pdu.Status, error) {
	pdus, err := mo.pdus()
	if err != nil {
		return MOResult{}, 0, err
	}
	p, err := sim.receiver(mo)
	if err != nil {
		return MOResult{}, 0, err
	}
	timeout := time.Duration(mo.Timeout)
	if timeout <= 0 {
		timeout = moTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	result := MOResult{Session: p.id, Parts: []MOPartResult{}}
	worst := pdu.StatusOK
	for i, req := range pdus {
		start := time.Now()
		sim.counters.Load().moSent.Add(1)
		resp, err := p.session.Do(ctx, req)
		if err != nil {
			return result, worst, fmt.Errorf("part %d of %d: %w", i+1, len(pdus), err)
		}
		part := MOPartResult{Sequence: resp.Header.Sequence, Status: resp.Header.Status.String(), After: Duration(time.Since(start))}
		switch r := resp.PDU.(type) {
		case *pdu.DeliverSMResp:
			part.MessageID = r.MessageID
		case *pdu.DataSMResp:
			part.MessageID = r.MessageID
		}
		result.Parts = append(result.Parts, part)
		if resp.Header.Status == pdu.StatusOK {
			sim.counters.Load().moAcked.Add(1)
			continue
		}
		sim.counters.Load().moRefused.Add(1)
		if worst == pdu.StatusOK {
			worst = resp.Header.Status
		}
	}
	result.Status = worst.String()
	return result, worst, nil
}

// bindGrace is how long a bind that was just answered may take to be ready for requests.
const bindGrace = 250 * time.Millisecond

// receiver finds the bind that an MO goes to. A peer knows that it is bound a moment before
// its session here does, so that one which is about to be ready is waited for.
func (sim *Simulator) receiver(mo MO) (*peer, error) {
	deadline := time.Now().Add(bindGrace)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		p, err := sim.readyReceiver(mo)
		if !errors.Is(err, ErrNotBound) || !sim.binding() || time.Now().After(deadline) {
			return p, err
		}
		<-tick.C
	}
}

// binding tells whether a bind was accepted that is not counted among the receivers.
func (sim *Simulator) binding() bool {
	sim.mu.Lock()
	accounts := slices.Collect(maps.Values(sim.accounts))
	sim.mu.Unlock()
	for _, a := range accounts {
		a.mu.Lock()
		n := len(a.bound) - len(a.receivers)
		a.mu.Unlock()
		if n > 0 {
			return true
		}
	}
	return false
}

func (sim *Simulator) readyReceiver(mo MO) (*peer, error) {
	sim.mu.Lock()
	var accounts []*account
	for id, a := range sim.accounts {
		if mo.Account == "" || mo.Account == id {
			accounts = append(accounts, a)
		}
	}
	sim.mu.Unlock()
	if len(accounts) == 0 {
		return nil, fmt.Errorf("account: there is no %q", mo.Account)
	}
	var found *peer
	for _, a := range accounts {
		p := a.receiver(mo.Session)
		if p != nil && found != nil {
			return nil, fmt.Errorf("account: %s and %s are both bound, one must be named", found.systemID(), p.systemID())
		}
		if p != nil {
			found = p
		}
	}
	switch {
	case found == nil && mo.Session != 0:
		return nil, fmt.Errorf("%w: session %d", ErrNotBound, mo.Session)
	case found == nil:
		return nil, ErrNotBound
	}
	return found, nil
}

// pdus makes the PDUs of an MO. The error names the field at fault.
func (mo MO) pdus() ([]pdu.PDU, error) {
	if mo.Raw != "" {
		return mo.raw()
	}
	base := pdu.Message{
		ServiceType: mo.ServiceType, ESMClass: pdu.ESMClass(mo.ESMClass), ProtocolID: mo.ProtocolID,
		PriorityFlag: mo.Priority, RegisteredDelivery: mo.Registered,
		Source: pdu.Address{TON: mo.FromTON, NPI: mo.FromNPI, Addr: mo.From},
		Dest:   pdu.Address{TON: mo.ToTON, NPI: mo.ToNPI, Addr: mo.To},
	}
	for i, t := range mo.TLVs {
		tag, ok := pdu.ParseTag(t.Tag)
		value, err := hex.DecodeString(t.Value)
		if !ok || err != nil {
			return nil, fmt.Errorf("tlvs[%d]: %q with %q is not the name or number of a tag with a value in hex", i, t.Tag, t.Value)
		}
		base.TLVs.Add(tag, value)
	}
	messages, err := mo.messages(base)
	if err != nil {
		return nil, err
	}
	if messages, err = mo.ordered(messages); err != nil {
		return nil, err
	}
	list := make([]pdu.PDU, len(messages))
	for i, m := range messages {
		switch mo.PDU {
		case "", "deliver_sm":
			list[i] = &pdu.DeliverSM{Message: m}
		case "data_sm":
			d := &pdu.DataSM{ServiceType: m.ServiceType, Source: m.Source, Dest: m.Dest, ESMClass: m.ESMClass,
				RegisteredDelivery: m.RegisteredDelivery, DataCoding: m.DataCoding, TLVs: m.TLVs}
			if len(m.ShortMessage) > 0 {
				d.TLVs.Set(pdu.TagMessagePayload, m.ShortMessage)
			}
			list[i] = d
		default:
			return nil, fmt.Errorf("pdu: %q is neither deliver_sm nor data_sm", mo.PDU)
		}
		if _, err := pdu.Append(nil, pdu.StatusOK, 1, list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// messages cuts the text.
func (mo MO) messages(base pdu.Message) ([]pdu.Message, error) {
	if mo.Hex != "" {
		if mo.Text != "" {
			return nil, errors.New("hex: cannot be together with text")
		}
		octets, err := hex.DecodeString(mo.Hex)
		if err != nil {
			return nil, fmt.Errorf("hex: %w", err)
		}
		if mo.DataCoding != nil {
			base.DataCoding = pdu.DataCoding(*mo.DataCoding)
		}
		return []pdu.Message{withContent(base, octets, mo.Split == "payload")}, nil
	}
	var octets []byte
	if mo.DataCoding == nil {
		e := smstext.Auto(mo.Text)
		octets, base.DataCoding = e.Octets, e.Coding
	} else {
		base.DataCoding = pdu.DataCoding(*mo.DataCoding)
		var err error
		if octets, err = smstext.Encode(mo.Text, base.DataCoding, smstext.Strict); err != nil {
			return nil, fmt.Errorf("text: %w", err)
		}
	}
	o := smstext.Options{Reference: mo.Reference, Overflow: smstext.Reject}
	if o.Reference == 0 {
		o.Reference = references.Next(mo.To)
	}
	switch mo.Split {
	case "", "udh":
	case "udh16":
		o.Wide = true
	case "sar":
		o.Method = smstext.SAR
	case "payload":
		return []pdu.Message{withContent(base, octets, true)}, nil
	default:
		return nil, fmt.Errorf("split: %q is none of udh, udh16, sar, payload", mo.Split)
	}
	parts, err := smstext.Split(octets, base.DataCoding, o)
	if err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	list := make([]pdu.Message, 0, len(parts.List))
	for _, part := range parts.List {
		m := withContent(base, part.UserData, false)
		m.ESMClass |= part.ESMClass
		m.TLVs = append(append(pdu.TLVs{}, base.TLVs...), part.TLVs...)
		list = append(list, m)
	}
	return list, nil
}

var references = smstext.NewReferences()

// withContent is m with its content in short_message or message_payload.
func withContent(m pdu.Message, octets []byte, payload bool) pdu.Message {
	if payload {
		m.TLVs = append(pdu.TLVs{}, m.TLVs...)
		m.TLVs.Set(pdu.TagMessagePayload, octets)
		return m
	}
	m.ShortMessage = octets
	return m
}

// ordered puts the parts in the order asked for.
func (mo MO) ordered(parts []pdu.Message) ([]pdu.Message, error) {
	if len(mo.Order) == 0 {
		return parts, nil
	}
	list := make([]pdu.Message, 0, len(mo.Order))
	for _, n := range mo.Order {
		if n == 0 || int(n) > len(parts) {
			return nil, fmt.Errorf("order: %d is not in 1..%d", n, len(parts))
		}
		list = append(list, parts[n-1])
	}
	return list, nil
}

// raw reads a whole PDU.
func (mo MO) raw() ([]pdu.PDU, error) {
	frame, err := hex.DecodeString(strings.ReplaceAll(mo.Raw, " ", ""))
	if err != nil {
		return nil, fmt.Errorf("raw: %w", err)
	}
	h, p, err := pdu.Decode(frame)
	if err != nil {
		return nil, fmt.Errorf("raw: %w", err)
	}
	if h.ID != pdu.CmdDeliverSM && h.ID != pdu.CmdDataSM {
		return nil, fmt.Errorf("raw: %s is neither deliver_sm nor data_sm", h.ID)
	}
	return []pdu.PDU{p}, nil
}
