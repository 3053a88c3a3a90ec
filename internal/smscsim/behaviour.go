package smscsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Behaviour says how the simulator answers. The zero value accepts everything at
// once and sends DELIVRD to whoever asks for a receipt.
type Behaviour struct {
	Throughput      float64  `json:"throughput,omitempty" yaml:"throughput"`               // submissions a second over all accounts; more get ESME_RTHROTTLED; 0 for no limit
	Reorder         int      `json:"reorder,omitempty" yaml:"reorder"`                     // so many responses of a session are gathered and sent in reverse; 0 for none
	ReorderWait     Duration `json:"reorder_wait,omitempty" yaml:"reorder_wait"`           // how long the gathering lasts at most; default 50ms
	MuteEnquireLink bool     `json:"mute_enquire_link,omitempty" yaml:"mute_enquire_link"` // enquire_link gets no response
	Receipt         Receipt  `json:"receipt,omitzero" yaml:"receipt"`                      // what rules leave open
	Rules           []Rule   `json:"rules,omitempty" yaml:"rules"`                         // the first that matches and has an answer gives the answer; receipts likewise
}

// Rule says what becomes of some requests. All conditions that are set must hold.
type Rule struct {
	Name       string   `json:"name,omitempty" yaml:"name"`             // for the reader
	Account    string   `json:"account,omitempty" yaml:"account"`       // system_id
	Operations []string `json:"operations,omitempty" yaml:"operations"` // default submit_sm, submit_multi, data_sm; also query_sm, cancel_sm, replace_sm, bind
	To         string   `json:"to,omitempty" yaml:"to"`                 // how destination_addr begins
	From       string   `json:"from,omitempty" yaml:"from"`             // how source_addr begins
	ToRegex    string   `json:"to_regex,omitempty" yaml:"to_regex"`     // RE2, anywhere in destination_addr
	FromRegex  string   `json:"from_regex,omitempty" yaml:"from_regex"`
	TextRegex  string   `json:"text_regex,omitempty" yaml:"text_regex"` // in the decoded text

	Skip        int     `json:"skip,omitempty" yaml:"skip"`               // the first requests that match are let pass
	Every       int     `json:"every,omitempty" yaml:"every"`             // then only each such request is taken; 0 and 1: all
	Probability float64 `json:"probability,omitempty" yaml:"probability"` // of these, 0 to 1; 0 stands for 1
	Times       int     `json:"times,omitempty" yaml:"times"`             // no more than these are taken; 0 for no limit

	Answer  *Answer  `json:"answer,omitempty" yaml:"answer"`
	Receipt *Receipt `json:"receipt,omitempty" yaml:"receipt"`
}

// Answer is the response to a request.
type Answer struct {
	Status     string  `json:"status,omitempty" yaml:"status"`         // ESME_RTHROTTLED, rthrottled without ESME_, 88 or 0x58; default ESME_ROK, with throughput ESME_RTHROTTLED
	Delay      Span    `json:"delay,omitzero" yaml:"delay"`            // before it
	Action     string  `json:"action,omitempty" yaml:"action"`         // answer (default), none, drop, unbind, malformed
	Malformed  string  `json:"malformed,omitempty" yaml:"malformed"`   // how, with malformed
	Throughput float64 `json:"throughput,omitempty" yaml:"throughput"` // this answer is only for what comes faster than so many a second
}

// What is done in place of an answer.
const (
	ActionAnswer    = "answer"
	ActionNone      = "none"      // the request is taken, no response comes
	ActionDrop      = "drop"      // the connection is closed
	ActionUnbind    = "unbind"    // answered, then unbind is sent
	ActionMalformed = "malformed" // answered by octets that are not as they should be
)

var actions = []string{ActionAnswer, ActionNone, ActionDrop, ActionUnbind, ActionMalformed}

// Receipt says what receipts look like and when they come. What is left open comes
// from Behaviour.Receipt, then from the defaults here.
type Receipt struct {
	Send         string   `json:"send,omitempty" yaml:"send"`                 // asked (default: as registered_delivery says), always, never
	State        string   `json:"state,omitempty" yaml:"state"`               // DELIVRD (default), UNDELIV, EXPIRED, REJECTD, DELETED, ACCEPTD, UNKNOWN, ...
	Err          string   `json:"err,omitempty" yaml:"err"`                   // default 000
	Delay        *Span    `json:"delay,omitempty" yaml:"delay"`               // after the response; negative: before it, by so much; default 0s
	Form         string   `json:"form,omitempty" yaml:"form"`                 // both (default), text, tlv, payload (text in message_payload), data_sm
	ID           string   `json:"id,omitempty" yaml:"id"`                     // same (default), upper, lower, decimal, hex, HEX, other (one that no message has)
	TLVID        string   `json:"tlv_id,omitempty" yaml:"tlv_id"`             // receipted_message_id, if it differs from id
	IDWidth      int      `json:"id_width,omitempty" yaml:"id_width"`         // zeros in front up to so many characters
	Intermediate []string `json:"intermediate,omitempty" yaml:"intermediate"` // states that are sent first, right after the response
	Bind         string   `json:"bind,omitempty" yaml:"bind"`                 // any (default: in turn), same, other than the one that submitted
	Template     string   `json:"template,omitempty" yaml:"template"`         // the text; {id} {sub} {dlvrd} {submit_date} {done_date} {submit_date_s} {done_date_s} {state} {err} {text}
	ESMClass     *uint8   `json:"esm_class,omitempty" yaml:"esm_class"`       // default 4, 32 for ENROUTE and SCHEDLD
}

// The values of Receipt.Send, Form and Bind.
const (
	SendAsked  = "asked"
	SendAlways = "always"
	SendNever  = "never"

	FormBoth    = "both"
	FormText    = "text"
	FormTLV     = "tlv"
	FormPayload = "payload"
	FormDataSM  = "data_sm"

	BindAny   = "any"
	BindSame  = "same"
	BindOther = "other"
)

// maxRules bounds what every request is compared with.
const maxRules = 1000

// ParseBehaviour reads a behaviour as JSON. Unknown keys are errors, and so is all that
// SetBehaviour would refuse.
func ParseBehaviour(text []byte) (Behaviour, error) {
	var b Behaviour
	if err := strictJSON(text, &b); err != nil {
		return Behaviour{}, fmt.Errorf("behaviour: %w", err)
	}
	if _, err := compile(b); err != nil {
		return Behaviour{}, err
	}
	return b, nil
}

// strictJSON decodes one JSON value without unknown keys and with nothing behind it.
func strictJSON(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("empty, must be a JSON object")
		}
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}
