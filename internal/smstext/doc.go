// Package smstext turns text into the octets of a data_coding and back (SMPP
// v3.4 §5.2.19, 3GPP TS 23.038), and cuts and joins long messages (3GPP TS
// 23.040 §9.2.3.24, SMPP v3.4 §5.3.2.22 to §5.3.2.24).
//
// It knows no PDU and no session: callers put the user data, the esm_class bits
// and the TLVs of a Part where they belong. GSM 7-bit text is carried one septet
// per octet, as SMPP wants it; nothing here packs septets.
//
// It is strict when it writes and lenient when it reads: Decode always gives
// valid UTF-8, with U+FFFD where octets have no meaning.
//
//	octets, err := smstext.Encode("hello €", pdu.CodingDefault, smstext.Replace)
//	parts, err := smstext.Split(octets, pdu.CodingDefault, smstext.Options{Reference: 7})
//	for _, p := range parts.List { ... p.UserData, p.ESMClass, p.TLVs ... }
//
//	seg, err := smstext.ReadSegment(pdu.ShortMessage, pdu.ESMClass, pdu.TLVs)
//	text, err := smstext.JoinText(segments, pdu.DataCoding)
package smstext
