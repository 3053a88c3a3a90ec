package smppc

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// TLVRule says what a vendor's optional parameter must be on a connector.
type TLVRule struct {
	Tag       pdu.Tag
	Type      string // one of sms.TLVTypes, for values whose sender named none
	MaxLength int    // octets of the encoded value, 0: no limit
	Required  bool   // every message must have it
}

// String is the rule as the console spells it: 0x1400,Int4,4,required.
func (r TLVRule) String() string {
	length, required := "-", "optional"
	if r.MaxLength > 0 {
		length = strconv.Itoa(r.MaxLength)
	}
	if r.Required {
		required = "required"
	}
	return sms.TagText(r.Tag) + "," + r.Type + "," + length + "," + required
}

// TLVRules are the rules of one connector (custom_tlvs), one for a tag. They restrict the
// tags that they name; others pass.
type TLVRules []TLVRule

// String is the rules joined by semicolons, none for no rules.
func (rs TLVRules) String() string {
	if len(rs) == 0 {
		return "none"
	}
	texts := make([]string, len(rs))
	for i, r := range rs {
		texts[i] = r.String()
	}
	return strings.Join(texts, ";")
}

// ParseTLVRules reads rules tag,type,max_length[,required|optional] joined by semicolons, or
// none. The error names the first bad rule and what is wrong with it.
func ParseTLVRules(value string) (TLVRules, error) {
	if isNone(strings.TrimSpace(value)) {
		return nil, nil
	}
	var out TLVRules
	n := 0
	for text := range strings.SplitSeq(value, ";") {
		n++
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		r, err := parseTLVRule(text)
		if err == nil && out.find(r.Tag) != nil {
			err = fmt.Errorf("tag %s has a rule already", sms.TagText(r.Tag))
		}
		if err == nil && len(out) == sms.MaxCustomTLVs {
			err = fmt.Errorf("there are more than %d", sms.MaxCustomTLVs)
		}
		if err != nil {
			return nil, fmt.Errorf("rule %d (%s): %w", n, text, err)
		}
		out = append(out, r)
	}
	if out == nil {
		return nil, errors.New("there is no rule")
	}
	return out, nil
}

func parseTLVRule(text string) (r TLVRule, err error) {
	fields := strings.Split(text, ",")
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	if len(fields) < 3 || len(fields) > 4 {
		return r, fmt.Errorf("it has %d fields, must be tag,type,max_length[,required|optional]", len(fields))
	}
	if r.Tag, err = sms.ParseVendorTag(fields[0]); err != nil {
		return r, err
	}
	if r.Type = fields[1]; !slices.Contains(sms.TLVTypes, r.Type) {
		return r, fmt.Errorf("type %q is none of %s", r.Type, strings.Join(sms.TLVTypes, ", "))
	}
	if length := fields[2]; length != "" && length != "-" {
		n, err := strconv.ParseUint(length, 0, 16)
		if err != nil || n == 0 || !digits(strings.TrimPrefix(length, "0x")) && !strings.HasPrefix(length, "0x") {
			return r, fmt.Errorf("max_length %q must be 1 to %d, or - for no limit", length, math.MaxUint16)
		}
		r.MaxLength = int(n)
		if size := sms.IntSize(r.Type); r.MaxLength < size {
			return r, fmt.Errorf("max_length %d is less than the %d octets of %s", r.MaxLength, size, r.Type)
		}
	}
	if len(fields) == 4 {
		switch strings.ToLower(fields[3]) {
		case "required":
			r.Required = true
		case "optional", "":
		default:
			return r, fmt.Errorf("%q must be required or optional", fields[3])
		}
	}
	return r, nil
}

func parseCustomTLVs(value string, c *Config) string {
	rules, err := ParseTLVRules(value)
	if err != nil {
		return "rules tag,type,max_length[,required|optional] joined by ;, or none: " + err.Error()
	}
	c.CustomTLVs = rules
	return ""
}

func (rs TLVRules) find(tag pdu.Tag) *TLVRule {
	for i := range rs {
		if rs[i].Tag == tag {
			return &rs[i]
		}
	}
	return nil
}

// TLVError says why the optional parameters of a message cannot leave by a connector.
type TLVError struct {
	Tag    pdu.Tag
	Status pdu.Status // that says so to an ESME
	Detail string     // safe to show
}

// Error is the detail.
func (e *TLVError) Error() string { return e.Detail }

// Encode gives the parameters of a message on the wire: those that are encoded already, and
// then the custom ones. A value whose sender named no type has that of its rule, else
// OctetString. Errors are *TLVError: a value that its type cannot have, one that is longer than its
// rule allows, or a required one that is not there. The result may share memory with encoded.
func (rs TLVRules) Encode(encoded pdu.TLVs, custom []sms.CustomTLV) (pdu.TLVs, error) {
	out := encoded
	if len(custom) > 0 {
		out = slices.Grow(slices.Clip(slices.Clone(encoded)), len(custom))
	}
	octets := 0
	for _, t := range custom {
		if t.Type == "" {
			if rule := rs.find(t.Tag); rule != nil {
				t.Type = rule.Type
			}
		}
		w, err := t.Encode()
		if err != nil {
			return nil, &TLVError{t.Tag, pdu.StatusInvOptParamVal, err.Error()}
		}
		if octets += 4 + len(w.Value); octets > sms.MaxCustomTLVOctets {
			return nil, &TLVError{t.Tag, pdu.StatusInvOptParamVal, fmt.Sprintf("custom TLVs take more than %d octets", sms.MaxCustomTLVOctets)}
		}
		out = append(out, w)
	}
	return out, rs.Check(out)
}

// Check tells whether a message with these parameters may leave by the connector. The error
// is a *TLVError.
func (rs TLVRules) Check(tlvs pdu.TLVs) error {
	for _, r := range rs {
		there := false
		for _, t := range tlvs {
			if t.Tag != r.Tag {
				continue
			}
			there = true
			if r.MaxLength > 0 && len(t.Value) > r.MaxLength {
				return &TLVError{r.Tag, pdu.StatusInvParLen, fmt.Sprintf("custom TLV %s has %d octets, at most %d are allowed", sms.TagText(r.Tag), len(t.Value), r.MaxLength)}
			}
		}
		if r.Required && !there {
			return &TLVError{r.Tag, pdu.StatusMissingOptParam, fmt.Sprintf("custom TLV %s is required", sms.TagText(r.Tag))}
		}
	}
	return nil
}
