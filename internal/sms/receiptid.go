package sms

import (
	"slices"
	"strconv"
	"strings"
)

// IDCoding says how the SMSC's message id in a receipt relates to the one in its
// submit_sm_resp (connector key dlr_msgid).
type IDCoding string

// The codings.
const (
	IDSame      IDCoding = "0"    // identical
	IDHexResp   IDCoding = "1"    // submit_sm_resp in hexadecimal, receipt in decimal
	IDDecResp   IDCoding = "2"    // submit_sm_resp in decimal, receipt in hexadecimal
	IDAutomatic IDCoding = "auto" // any of these, whichever exactly one mapping answers to
)

// Candidates gives the normalised ids under which the mapping of a receipt may stand, most
// likely first, without repetitions. ids are the receipt's own (two when its TLV and its text
// differ). An id that has no number in the coding's base is kept as it is, since some SMSCs
// mix forms. Numbers are unsigned with up to 64 bits.
func Candidates(coding IDCoding, ids ...string) []string {
	out := make([]string, 0, 2*len(ids))
	add := func(id string) {
		if id = NormalID(id); id != "" && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	for _, id := range ids {
		id = strings.TrimSpace(id)
		switch coding {
		case IDHexResp:
			add(recode(id, 10, 16))
		case IDDecResp:
			add(recode(id, 16, 10))
		default:
			add(id)
		}
	}
	if coding == IDAutomatic {
		for _, id := range ids {
			add(recodeOr(id, 10, 16, id))
			add(recodeOr(id, 16, 10, id))
		}
	}
	return out
}

// recode rewrites id from one base into another, or gives id itself if it is no number.
func recode(id string, from, to int) string { return recodeOr(id, from, to, id) }

func recodeOr(id string, from, to int, otherwise string) string {
	s := strings.TrimSpace(id)
	if from == 16 {
		s = strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X")
	}
	n, err := strconv.ParseUint(s, from, 64)
	if err != nil {
		return otherwise
	}
	return strconv.FormatUint(n, to)
}
