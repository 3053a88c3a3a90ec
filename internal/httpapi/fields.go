package httpapi

import (
	"regexp"

	"jasmind/internal/logging"
	"jasmind/internal/sms"
)

// field is one known parameter of a request.
type field struct {
	name      string
	mandatory bool
	pattern   *regexp.Regexp // nil: any value
}

// fields are the known parameters, in the order in which the original checks them.
type fields []field

// sendFields are those of /send (HTTP API, "Http sending SMS parameters").
var sendFields = fields{
	{"to", true, regexp.MustCompile(`^\+?\d+$`)},
	{"from", false, nil},
	{"coding", false, regexp.MustCompile(`^(?:[0-9]|10|13|14|auto)$`)},
	{"username", true, regexp.MustCompile(`^.{1,30}$`)},
	{"password", true, regexp.MustCompile(`^.{1,30}$`)},
	{"priority", false, regexp.MustCompile(`^[0-3]$`)},
	{"sdt", false, regexp.MustCompile(`^\d{15}[-+R]$`)},
	{"validity-period", false, regexp.MustCompile(`^\d+$`)},
	{"dlr", true, regexp.MustCompile(`^(?:yes|no)$`)},
	{"dlr-url", false, regexp.MustCompile(`^https?://.`)},
	{"dlr-level", false, regexp.MustCompile(`^[1-3]$`)},
	{"dlr-method", false, regexp.MustCompile(`^(?i:get|post)$`)},
	{"tags", false, regexp.MustCompile(`^[-a-zA-Z0-9,]*$`)},
	{"content", false, nil},
	{"hex-content", false, nil},
	{customTLVs, false, nil},
	{"language", false, nil},
}

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
