package pdu

import (
	"errors"
	"strings"
	"testing"
)

type alien struct{}

func (*alien) CommandID() CommandID { return 0x99 }

func TestAppendRefuses(t *testing.T) {
	text := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		name   string
		status Status
		pdu    PDU
		field  string
	}{
		{"system_id of 16 octets", 0, &Bind{SystemID: text(16)}, "system_id"},
		{"password of 65 octets", 0, &Bind{Password: text(65)}, "password"},
		{"system_type of 13 octets", 0, &Bind{SystemType: text(13)}, "system_type"},
		{"address_range of 41 octets", 0, &Bind{AddressRange: text(41)}, "address_range"},
		{"a bind of no type", 0, &Bind{Type: 3}, "command_id"},
		{"a bind response of no type", 0, &BindResp{Type: 3}, "command_id"},
		{"bind response with a NUL in system_id", 0, &BindResp{SystemID: "a\x00b"}, "system_id"},
		{"outbind with a password of 65 octets", 0, &Outbind{Password: text(65)}, "password"},
		{"service_type of 6 octets", 0, &SubmitSM{Message{ServiceType: text(6)}}, "service_type"},
		{"source of 21 octets", 0, &SubmitSM{Message{Source: Address{Addr: text(21)}}}, "source_addr"},
		{"destination of 21 octets", 0, &DeliverSM{Message{Dest: Address{Addr: text(21)}}}, "destination_addr"},
		{"NUL in the destination", 0, &SubmitSM{Message{Dest: Address{Addr: "1\x002"}}}, "destination_addr"},
		{"schedule_delivery_time of 15 octets", 0, &SubmitSM{Message{ScheduleDeliveryTime: text(15)}}, "schedule_delivery_time"},
		{"validity_period of 17 octets", 0, &SubmitSM{Message{ValidityPeriod: text(17)}}, "validity_period"},
		{"validity_period with a NUL", 0, &SubmitSM{Message{ValidityPeriod: text(15) + "\x00"}}, "validity_period"},
		{"short_message of 256 octets", 0, &SubmitSM{Message{ShortMessage: make([]byte, 256)}}, "short_message"},
		{"short_message of 256 octets in replace_sm", 0, &ReplaceSM{ShortMessage: make([]byte, 256)}, "short_message"},
		{"TLV of 65536 octets", 0, &SubmitSM{Message{TLVs: TLVs{{TagMessagePayload, make([]byte, 65536)}}}}, "message_payload"},
		{"message_id of 65 octets", 0, &SubmitSMResp{MessageID: text(65)}, "message_id"},
		{"final_date of 5 octets", 0, &QuerySMResp{FinalDate: text(5)}, "final_date"},
		{"data_sm address of 65 octets", 0, &DataSM{Source: Address{Addr: text(65)}}, "source_addr"},
		{"esme_addr of 65 octets", 0, &AlertNotification{ESME: Address{Addr: text(65)}}, "esme_addr"},
		{"no destination", 0, &SubmitMulti{}, "number_of_dests"},
		{"255 destinations", 0, &SubmitMulti{Dests: make([]DestAddress, 255)}, "number_of_dests"},
		{"list name of 21 octets", 0, &SubmitMulti{Dests: []DestAddress{{DistributionList: text(21)}}}, "dl_name"},
		{"256 failures", 0, &SubmitMultiResp{Unsuccess: make([]UnsuccessSME, 256)}, "no_unsuccess"},
		{"status in a request", StatusSysErr, &EnquireLink{}, "command_status"},
		{"nil", 0, nil, "PDU"},
		{"a type of another package", 0, &alien{}, "PDU"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Append([]byte("x"), c.status, 1, c.pdu)
			var fe *FieldError
			if !errors.As(err, &fe) || fe.Field != c.field || !strings.Contains(err.Error(), c.field) {
				t.Errorf("got %v, want a FieldError for %s", err, c.field)
			}
			if string(got) != "x" {
				t.Errorf("dst is %q now", got)
			}
		})
	}
}

func TestAppendTakesTheLongestValues(t *testing.T) {
	text := func(n int) string { return strings.Repeat("x", n) }
	addr, long := Address{Addr: text(20)}, Address{Addr: text(64)}
	m := Message{ServiceType: text(5), Source: addr, Dest: addr, ScheduleDeliveryTime: text(16), ValidityPeriod: text(16),
		ShortMessage: make([]byte, 255), TLVs: TLVs{{TagMessagePayload, make([]byte, 65535)}}}
	multi := m
	multi.Dest = Address{}
	dests := make([]DestAddress, 254)
	for i := range dests {
		dests[i].DistributionList = text(20)
	}
	for _, p := range []PDU{
		&Bind{SystemID: text(15), Password: text(8), SystemType: text(12), AddressRange: text(40)},
		&SubmitSM{m}, &DeliverSM{m}, &SubmitMulti{Message: multi, Dests: dests},
		&SubmitSMResp{MessageID: text(64)}, &DataSM{ServiceType: text(5), Source: long, Dest: long},
		&QuerySMResp{MessageID: text(64), FinalDate: text(16)}, &AlertNotification{Source: long, ESME: long},
		&SubmitMultiResp{Unsuccess: make([]UnsuccessSME, 255)},
	} {
		f, err := Append(nil, StatusOK, 1, p)
		if err != nil {
			t.Errorf("%T: %v", p, err)
			continue
		}
		if len(f) > DefaultMaxLength {
			t.Errorf("%T has %d octets, more than DefaultMaxLength", p, len(f))
		}
		if _, got, err := Decode(f); err != nil || !equalPDU(got, p) {
			t.Errorf("%T is not read as written: %v", p, err)
		}
	}
}

func TestRefusalsHaveNoBody(t *testing.T) {
	for _, c := range []struct {
		pdu  PDU
		want int
	}{
		{&SubmitSMResp{}, 16}, {&BindResp{}, 16}, {&BindResp{Type: Receiver}, 16},
		{&SubmitSMResp{MessageID: "a"}, 18}, {&DeliverSMResp{}, 17}, {&DataSMResp{}, 17},
	} {
		f, err := Append(nil, StatusSysErr, 1, c.pdu)
		if err != nil || len(f) != c.want {
			t.Errorf("%T: %d octets, %v; want %d", c.pdu, len(f), err, c.want)
		}
	}
}

func TestNewResponse(t *testing.T) {
	for _, id := range knownCommands() {
		resp := NewResponse(newPDU(id))
		_, defined := newPDU(id.Response()).(*Unknown)
		if id.IsResponse() || defined {
			if resp != nil {
				t.Errorf("%s is answered with %T", id, resp)
			}
			continue
		}
		if resp == nil || resp.CommandID() != id.Response() {
			t.Errorf("%s: no response, or another's: %v", id, resp)
		}
	}
	if resp := NewResponse(&Unknown{ID: 0x77}); resp != nil {
		t.Errorf("an unknown request is answered with %T", resp)
	}
}
