package smstext

import "jasmind/internal/smpp/pdu"

// Encoded is a text in the coding that Auto chose for it.
type Encoded struct {
	Octets []byte
	Coding pdu.DataCoding // pdu.CodingDefault or pdu.CodingUCS2
	Tables Tables         // for Options.Tables; zero unless languages were offered
}

// Auto encodes text in the smallest coding that carries it whole: the GSM
// alphabet with its extension table, else UCS2.
//
// With languages, their national tables are tried too, locking, single or both,
// and the choice is what gives the fewest parts, then the fewest octets with the
// header, then the one that needs no tables. Text that is not UTF-8 becomes UCS2
// with question marks.
func Auto(text string, langs ...Language) Encoded {
	best, found := Encoded{}, false
	var parts, size int
	try := func(t Tables) {
		octets, bad := encodeGSM(make([]byte, 0, len(text)), text, t, false)
		if bad >= 0 {
			return
		}
		n := Options{Tables: t}.Count(octets, pdu.CodingDefault)
		total := len(octets)
		if h := t.octets(); h > 0 {
			total += 1 + h
		}
		if !found || n < parts || n == parts && total < size {
			best, found = Encoded{octets, pdu.CodingDefault, t}, true
			parts, size = n, total
		}
	}
	try(Tables{})
	for _, l := range langs {
		for _, t := range [...]Tables{{Single: l}, {Locking: l}, {Locking: l, Single: l}} {
			if t == t.known() && t != (Tables{}) {
				try(t)
			}
		}
	}
	if !found {
		octets, _ := encodeUCS2(text, true)
		best = Encoded{Octets: octets, Coding: pdu.CodingUCS2}
	}
	return best
}
