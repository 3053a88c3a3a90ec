package smppc

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func TestBadTLVRulesAreNamed(t *testing.T) {
	for _, tt := range []struct{ value, want string }{
		{"", "there is no rule"},
		{" ; ", "there is no rule"},
		{"0x1400", "rule 1 (0x1400): it has 1 fields, must be tag,type,max_length[,required|optional]"},
		{"0x1400,Int4,4,required,x", "rule 1 (0x1400,Int4,4,required,x): it has 5 fields"},
		{"0x1400,Int4,4;0x13FF,Int4,4", `rule 2 (0x13FF,Int4,4): tag "0x13FF" is not in 0x1400 to 0x3FFF`},
		{"0x4000,Int4,4", `rule 1 (0x4000,Int4,4): tag "0x4000" is not in 0x1400 to 0x3FFF`},
		{"tag,Int4,4", `rule 1 (tag,Int4,4): tag "tag" is no number`},
		{"0x1400,int4,4", `rule 1 (0x1400,int4,4): type "int4" is none of Int1, Int2, Int4, Int8, OctetString, COctetString`},
		{"0x1400,OctetString,0", `rule 1 (0x1400,OctetString,0): max_length "0" must be 1 to 65535, or - for no limit`},
		{"0x1400,OctetString,65536", `max_length "65536" must be 1 to 65535`},
		{"0x1400,OctetString,-1", `max_length "-1" must be 1 to 65535`},
		{"0x1400,OctetString,1_0", `max_length "1_0" must be 1 to 65535`},
		{"0x1400,Int8,4", "rule 1 (0x1400,Int8,4): max_length 4 is less than the 8 octets of Int8"},
		{"0x1400,Int8,8,mandatory", `rule 1 (0x1400,Int8,8,mandatory): "mandatory" must be required or optional`},
		{"0x1400,Int8,8;5120,Int4,4", "rule 2 (5120,Int4,4): tag 0x1400 has a rule already"},
		{strings.Repeat("0x1400,Int1,-;", 2), "rule 2 (0x1400,Int1,-): tag 0x1400 has a rule already"},
	} {
		c := Default("abc")
		c.CustomTLVs = TLVRules{{Tag: 0x1500, Type: "Int1"}}
		err := Set(&c, "custom_tlvs", tt.value)
		var ve *ValueError
		if !errors.As(err, &ve) || ve.Key != "custom_tlvs" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v\nwant %s", tt.value, err, tt.want)
		}
		if len(c.CustomTLVs) != 1 {
			t.Errorf("%q: the rules are %v", tt.value, c.CustomTLVs)
		}
	}
	c := Default("abc")
	c.CustomTLVs = TLVRules{{Tag: 0x1500, Type: "Int1"}}
	for _, clear := range []string{"none", "None", " NONE "} {
		c := c
		if err := Set(&c, "custom_tlvs", clear); err != nil || c.CustomTLVs != nil || !c.Equal(Default("abc")) {
			t.Errorf("%q: %v, %v", clear, c.CustomTLVs, err)
		}
	}
	if c.Equal(Default("abc")) || len(Changed(c, Default("abc"))) != 1 || Changed(c, Default("abc"))[0].Name != "custom_tlvs" {
		t.Error("a change of the rules is not seen")
	}
}

func TestRulesOfAConnectorHold(t *testing.T) {
	rules, err := ParseTLVRules("0x1400,Int4,4,required;0x1401,COctetString,5;0x1402,Int2,-")
	if err != nil {
		t.Fatal(err)
	}
	must := sms.CustomTLV{Tag: 0x1400, Value: "7"}
	wire := pdu.TLV{Tag: 0x1400, Value: []byte{0, 0, 0, 7}}
	with := func(more ...sms.CustomTLV) []sms.CustomTLV { return append([]sms.CustomTLV{must}, more...) }
	for _, tt := range []struct {
		name    string
		rules   TLVRules
		encoded pdu.TLVs
		custom  []sms.CustomTLV
		want    pdu.TLVs
		status  pdu.Status
		fault   string
	}{
		{"no rule, no TLV", nil, nil, nil, nil, 0, ""},
		{"without a rule it is octets", nil, nil, with(), pdu.TLVs{{Tag: 0x1400, Value: []byte("7")}}, 0, ""},
		{"the rule gives the type", rules, nil, with(), pdu.TLVs{wire}, 0, ""},
		{"the sender's type comes first", rules, nil, with(sms.CustomTLV{Tag: 0x1402, Type: "Int1", Value: int64(9)}), pdu.TLVs{wire, {Tag: 0x1402, Value: []byte{9}}}, 0, ""},
		{"a tag without a rule passes", rules, nil, with(sms.CustomTLV{Tag: 0x1403, Value: "any"}), pdu.TLVs{wire, {Tag: 0x1403, Value: []byte("any")}}, 0, ""},
		{"behind those that are there", rules, pdu.TLVs{{Tag: 0x0204, Value: []byte{0, 1}}}, with(), pdu.TLVs{{Tag: 0x0204, Value: []byte{0, 1}}, wire}, 0, ""},
		{"one that an ESME encoded counts", rules, pdu.TLVs{wire}, nil, pdu.TLVs{wire}, 0, ""},
		{"a required one that is not there", rules, nil, nil, nil, pdu.StatusMissingOptParam, "custom TLV 0x1400 is required"},
		{"one that is too long, its NUL counted", rules, nil, with(sms.CustomTLV{Tag: 0x1401, Value: "12345"}), nil, pdu.StatusInvParLen, "custom TLV 0x1401 has 6 octets, at most 5 are allowed"},
		{"one of an ESME that is too long", rules, pdu.TLVs{{Tag: 0x1400, Value: make([]byte, 5)}}, nil, nil, pdu.StatusInvParLen, "custom TLV 0x1400 has 5 octets, at most 4 are allowed"},
		{"a value that its rule's type cannot have", rules, nil, []sms.CustomTLV{{Tag: 0x1400, Value: "seven"}}, nil, pdu.StatusInvOptParamVal,
			`custom TLV 0x1400 of type Int4: invalid value "seven", must be a number of 4 octets`},
		{"more than a message has room for", nil, nil, []sms.CustomTLV{{Tag: 0x1400, Value: strings.Repeat("x", sms.MaxCustomTLVOctets)}}, nil, pdu.StatusInvOptParamVal,
			"custom TLVs take more than 16384 octets"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(tt.encoded)
			got, err := tt.rules.Encode(tt.encoded, tt.custom)
			var te *TLVError
			if tt.fault != "" {
				if !errors.As(err, &te) || te.Status != tt.status || err.Error() != tt.fault {
					t.Errorf("got %v\nwant %s", err, tt.fault)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) || len(tt.encoded) != before {
				t.Errorf("got  %v, %v\nwant %v", got, err, tt.want)
			}
		})
	}
}

// What is accepted is printed in a form that means the same.
func FuzzTLVRules(f *testing.F) {
	f.Add("0x1400,Int4,4,required;5121,OctetString,-")
	f.Add("none")
	f.Add("0x3fff , COctetString , 0x10 , Optional ;;")
	f.Fuzz(func(t *testing.T, value string) {
		rules, err := ParseTLVRules(value)
		if err != nil {
			if rules != nil {
				t.Fatalf("%v with %v", rules, err)
			}
			return
		}
		again, err := ParseTLVRules(rules.String())
		if err != nil || !reflect.DeepEqual(again, rules) {
			t.Fatalf("%q became %q: %v, %v", value, rules, again, err)
		}
		_, _ = rules.Encode(nil, []sms.CustomTLV{{Tag: 0x1400, Value: value}})
	})
}
