package mt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"jasmind/internal/journal"
	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/routing"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

// esme is a message of an ESME that wants receipts.
func esme(content string) *Message {
	return &Message{
		UID: "u1", GID: "g1", Origin: sms.OriginSMPP, Set: FieldPriority | FieldCoding,
		PDU: pdu.Message{Source: pdu.Address{TON: 5, Addr: "ACME"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: "336"}, ESMClass: 0x43,
			RegisteredDelivery: 0x12, DataCoding: 0xF5, ShortMessage: []byte(content), TLVs: pdu.TLVs{{Tag: 0x1400, Value: []byte{1, 2}}}},
		Report: Report{What: sms.ReportFinal, SystemID: "acme"},
	}
}

func TestWhatAnESMESubmitsPassesUntouched(t *testing.T) {
	f := newFake()
	f.cfg.SourceTON, f.cfg.DestTON, f.cfg.Priority, f.cfg.Coding = 2, 2, 3, 8
	m := esme("\x05\x00\x03\x01\x02\x01 part")
	m.ID = "given"
	want := m.PDU
	e, env := f.submit(t, f.service(Config{}), m)
	if len(env.Parts) != 1 || !equalMessages(env.Parts[0].Message, want) {
		t.Errorf("got  %+v\nwant %+v", env.Parts, want)
	}
	r := e.Receipts
	if env.ID != "given" || len(r) != 1 || r[0].MsgID != "given" || r[0].Origin != sms.OriginSMPP || r[0].SystemID != "acme" ||
		r[0].Source != want.Source || r[0].Dest != want.Dest || r[0].RegisteredDelivery != 0x12 || r[0].Report != sms.ReportFinal {
		t.Errorf("receipt request %+v of %s", r, env.ID)
	}
}

func equalMessages(a, b pdu.Message) bool {
	x, err1 := pdu.Append(nil, 0, 1, &pdu.SubmitSM{Message: a})
	y, err2 := pdu.Append(nil, 0, 1, &pdu.SubmitSM{Message: b})
	return err1 == nil && err2 == nil && string(x) == string(y)
}

// byDestination routes to the connector that the destination names.
type byDestination struct{ *fake }

func (r byDestination) Snapshot() *provision.Snapshot {
	store := provision.NewStore()
	for i, cid := range []string{"one", "two", strings.Repeat("9", 25)} {
		err := store.Apply(func(d *provision.Draft) error {
			fid := fmt.Sprint("f", i)
			filter, err := routing.NewFilter(fid, routing.DestinationAddrFilter, "^"+cid+"$")
			return errors.Join(err, d.PutFilter(filter), d.AddSMPPConnector(provision.SMPPConnector{Config: smppc.Default(sms.ConnectorID(cid))}),
				d.PutRoute(routing.MT, provision.Route{Order: i + 1, Type: routing.StaticMTRoute, Filters: []string{fid},
					Connectors: []routing.Connector{{Kind: routing.SMPPClient, ID: cid}}}))
		})
		if err != nil {
			panic(err)
		}
	}
	return store.Snapshot()
}

func TestSubmitAllKeepsTheOrderAndCommitsRunsTogether(t *testing.T) {
	f := newFake()
	s := f.over(Config{}, func(d *Deps) { d.Snapshots = byDestination{f} })
	var ms []*Message
	for _, to := range []string{"one", "one", "nowhere", "one", "two", strings.Repeat("9", 25), "two", "one"} {
		m := esme("to " + to)
		m.PDU.Dest.Addr = to
		ms = append(ms, m)
	}
	results := s.SubmitAll(t.Context(), ms)
	var runs []string
	var ids []sms.MessageID
	for _, e := range f.entries {
		run := ""
		for _, p := range e.Publish {
			run += strings.TrimPrefix(string(p.Queue), "submit.sm.") + " "
			ids = append(ids, sms.MessageID(p.Message.ID))
		}
		if len(e.Receipts) != len(e.Publish) {
			t.Errorf("%d receipt requests for %d messages", len(e.Receipts), len(e.Publish))
		}
		runs = append(runs, run)
	}
	if got, want := strings.Join(runs, "|"), "one one one |two two |one "; got != want {
		t.Errorf("entries %q, want %q", got, want)
	}
	for i, r := range results {
		reason := sms.ReasonOf(r.Err)
		switch i {
		case 2:
			if reason != sms.ReasonNoRoute {
				t.Errorf("message %d: %v", i, r.Err)
			}
		case 5:
			var e *sms.Error
			if !errors.As(r.Err, &e) || e.Field != "destination_addr" {
				t.Errorf("message %d: %v", i, r.Err)
			}
		default:
			if r.Err != nil || r.ID != ids[0] || r.Parts != 1 {
				t.Errorf("message %d: got %+v, want id %s", i, r, ids[0])
			}
			ids = ids[1:]
		}
	}
}

func TestSubmitAllRefusesWhatCouldNotBeCommitted(t *testing.T) {
	f := newFake()
	f.commit = queue.ErrUnavailable
	for i, r := range f.service(Config{}).SubmitAll(t.Context(), []*Message{esme("a"), esme("b")}) {
		if sms.ReasonOf(r.Err) != sms.ReasonUnavailable || r.ID != "" {
			t.Errorf("message %d: %+v", i, r)
		}
	}
}

// half is a journal that publishes what it can before it says that a queue is gone.
type half struct {
	*fake
	commits int
}

func (h *half) Commit(context.Context, *journal.Entry) error {
	h.commits++
	return queue.ErrNoQueue
}

// Only a lack of credit is known to leave nothing behind: after any other refusal some messages may be in their queue,
// and a second try would send them twice.
func TestSubmitAllTriesOnce(t *testing.T) {
	f := newFake()
	h := &half{fake: f}
	s := f.over(Config{}, func(d *Deps) { d.Journal = h })
	for i, r := range s.SubmitAll(t.Context(), []*Message{esme("a"), esme("b"), esme("c")}) {
		if sms.ReasonOf(r.Err) != sms.ReasonConnector || r.ID != "" {
			t.Errorf("message %d: %+v", i, r)
		}
	}
	if h.commits != 1 {
		t.Errorf("%d commits", h.commits)
	}
}
