package httpapi

import (
	"fmt"
	"regexp"

	"jasmind/internal/logging"
	"jasmind/internal/sms"
)

// field is one known parameter of a request.
type field struct {
	name      string
	mandatory bool
	pattern   *regexp.Regexp // nil: any value
	max       int            // octets; 0: as many as a request has
}

// fields are the known parameters, in the order in which the original checks them.
type fields []field

// sendFields are those of /send (HTTP API, "Http sending SMS parameters").
var sendFields = fields{
	{name: "to", mandatory: true, pattern: regexp.MustCompile(`^\+?\d+$`), max: 64},
	{name: "from", max: 64},
	{name: "coding", pattern: regexp.MustCompile(`^(?:[0-9]|10|13|14|auto)$`)},
	{name: "username", mandatory: true, pattern: regexp.MustCompile(`^.{1,30}$`)},
	{name: "password", mandatory: true, pattern: regexp.MustCompile(`^.{1,30}$`)},
	{name: "priority", pattern: regexp.MustCompile(`^[0-3]$`)},
	{name: "sdt", pattern: regexp.MustCompile(`^\d{15}[-+R]$`)},
	{name: "validity-period", pattern: regexp.MustCompile(`^\d+$`)},
	{name: "dlr", mandatory: true, pattern: regexp.MustCompile(`^(?:yes|no)$`)},
	{name: "dlr-url", pattern: regexp.MustCompile(`^https?://.`), max: maxURL},
	{name: "dlr-level", pattern: regexp.MustCompile(`^[1-3]$`)},
	{name: "dlr-method", pattern: regexp.MustCompile(`^(?i:get|post)$`)},
	{name: "tags", pattern: regexp.MustCompile(`^[-a-zA-Z0-9,]*$`), max: 1024},
	{name: "content"},
	{name: "hex-content"},
	{name: customTLVs},
	{name: "language", max: 64},
}

// maxURL is the longest dlr-url. Every store and every broker takes one of this length.
const maxURL = 2048

// masking stands for passwords in logs and answers.
const masking = "**********"

const customTLVs = "custom_tlvs"

// dlrDefaults fills in what the sender left out (Jasmin: any of dlr-url and dlr-level
// means dlr=yes; level 1 and POST are the defaults).
func (a *arguments) dlrDefaults() {
	a.given = len(a.names)
	if len(a.names) == 0 {
		return
	}
	if a.has("dlr-url") || a.has("dlr-level") {
		a.set("dlr", "yes")
	}
	if !a.has("dlr") {
		a.set("dlr", "no")
	}
	if a.get("dlr") == "yes" {
		if !a.has("dlr-level") {
			a.set("dlr-level", "1")
		}
		if !a.has("dlr-method") {
			a.set("dlr-method", "POST")
		}
	}
}

// validate checks arguments in the original's order: for the first argument that it is
// known, then all known fields, then that the other arguments are known.
//
// Jasmin: /send without any argument says that [to] is missing.
func (fs fields) validate(a *arguments) error {
	for i, name := range a.names {
		if !fs.has(name) {
			return &sms.Error{Reason: sms.ReasonInvalid, Field: clip(name), Detail: "Argument [" + clip(logging.Printable(name)) + "] is unknown."}
		}
		if i == 0 {
			if err := fs.check(a); err != nil {
				return err
			}
		}
	}
	if len(a.names) == 0 {
		return fs.check(a)
	}
	return nil
}

func (fs fields) has(name string) bool {
	for i := range fs {
		if fs[i].name == name {
			return true
		}
	}
	return false
}

func (fs fields) check(a *arguments) error {
	for i := range fs {
		f := &fs[i]
		value, ok := a.values[f.name]
		switch {
		case ok && f.max > 0 && len(value) > f.max:
			return &sms.Error{Reason: sms.ReasonInvalid, Field: f.name, Detail: fmt.Sprintf("Argument [%s] has %d octets, more than %d.", f.name, len(value), f.max)}
		case ok && f.pattern != nil && !f.pattern.MatchString(value):
			return invalid(f.name, value)
		case !ok && f.mandatory:
			return &sms.Error{Reason: sms.ReasonInvalid, Field: f.name, Detail: "Mandatory argument [" + f.name + "] is not found."}
		}
	}
	return nil
}

func invalid(name, value string) error {
	if name == "password" {
		value = masking
	}
	return &sms.Error{Reason: sms.ReasonInvalid, Field: name, Detail: "Argument [" + clip(logging.Printable(name)) + "] has an invalid value: [" + clip(logging.Printable(value)) + "]."}
}
