package queue

import (
	"reflect"
	"strings"
	"testing"

	"jasmind/internal/billing"
)

func TestBillRequestRoundTrip(t *testing.T) {
	want := BillRequest{Bill: billing.PartBill("16fd2706-8baf-433b-82eb-8c7fada847da", 2), UID: "foo", Amount: 150_000}
	p := want.Publication()
	if p.Queue != BillRequests || p.Key != "bill_request.submit_sm_resp.foo" || p.Message.ID != "16fd2706-8baf-433b-82eb-8c7fada847da/2" {
		t.Errorf("published %+v", p)
	}
	if want := (Headers{{Name: "amount", Str: "0.15"}, {Name: "user-id", Str: "foo"}}); !reflect.DeepEqual(p.Message.Headers, want) {
		t.Errorf("headers %+v", p.Message.Headers)
	}
	got, err := DecodeBillRequest(&Delivery{Queue: BillRequests, Message: p.Message})
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestBillRequestsThatAreNone(t *testing.T) {
	for _, tt := range []struct{ id, amount, uid, want string }{
		{"b", "much", "u", "header amount"}, {"b", "", "u", "header amount"}, {"b", "0", "u", "amount 0"}, {"b", "-1", "u", "amount -1"},
		{"", "1", "u", `bill request ""`}, {"b", "1", "", `user ""`},
	} {
		d := &Delivery{Message: Message{ID: tt.id, Headers: Headers{{Name: "amount", Str: tt.amount}, {Name: "user-id", Str: tt.uid}}}}
		if _, err := DecodeBillRequest(d); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}
