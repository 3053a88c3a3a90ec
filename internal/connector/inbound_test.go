package connector

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

const receiptText = "id:00000abc sub:001 dlvrd:001 submit date:2001010000 done date:2001010001 stat:DELIVRD err:000 text:hello"

func deliver(text string, class pdu.ESMClass) *pdu.DeliverSM {
	return &pdu.DeliverSM{Message: pdu.Message{Source: pdu.Address{Addr: "33612345678"}, Dest: pdu.Address{Addr: "1234"}, ESMClass: class, ShortMessage: []byte(text)}}
}

// send lets the SMSC send a request and gives the status of the answer, or its error.
func (w *world) send(p pdu.PDU) string {
	w.t.Helper()
	r, err := w.m.session(0).Do(w.t.Context(), p)
	if err != nil {
		return err.Error()
	}
	return r.Header.Status.String()
}

func (b *backend) receipts(t *testing.T) []queue.ReceiptEvent {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []queue.ReceiptEvent
	for _, p := range b.published {
		if p.Queue == queue.DLRDeliverSM {
			r, err := queue.DecodeReceiptEvent(&p.Message)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, *r)
		}
	}
	return out
}

func TestReceiptIsQueuedThenAnswered(t *testing.T) {
	for _, tt := range []struct {
		name, coding string
		p            pdu.PDU
		id           string
		ids          []string
		unique       bool
	}{
		{"deliver_sm", "0", deliver(receiptText, pdu.ESMTypeReceipt), "ABC", nil, false},
		{"without esm_class", "0", deliver(receiptText, 0), "ABC", nil, false},
		{"decimal in the response", "2", deliver(receiptText, pdu.ESMTypeReceipt), "2748", nil, false},
		{"automatic", "auto", deliver(receiptText, pdu.ESMTypeReceipt), "ABC", []string{"2748"}, true},
		{"data_sm", "0", &pdu.DataSM{Source: pdu.Address{Addr: "1"}, ESMClass: pdu.ESMTypeReceipt,
			TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte(receiptText)}}}, "ABC", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start(t, func(cfg *Config, _ *Deps, _ *smsc) { cfg.Connector.DLRMsgID = tt.coding }, func(w *world) {
				wantEqual(t, "answer", w.send(tt.p), "ESME_ROK")
				synctest.Wait()
				got := w.b.receipts(t)
				if _, p, err := pdu.Decode(got[0].Octets); err != nil || !reflect.DeepEqual(p, tt.p) {
					t.Errorf("octets of %+v, %v, want %+v", p, err, tt.p)
				}
				got[0].Octets = nil
				wantEqual(t, "events", got, []queue.ReceiptEvent{{CID: cid, Accounts: []sms.Account{"127.0.0.1:2775/smppclient"}, PDU: tt.p.CommandID().String(), ID: tt.id, IDs: tt.ids, Unique: tt.unique,
					State: "DELIVRD", Sub: "001", Dlvrd: "001", SubmitDate: "2001010000", DoneDate: "2001010001", Err: "000", Text: "hello", ReceivedAt: time.Now().UnixMilli()}})
				wantEqual(t, "log", w.log.list(), []string{"DLR [cid:smsc1] [smpp-msgid:00000abc] [status:DELIVRD] [submit date:2001010000] [done date:2001010001] [sub/dlvrd messages:001/001] [err:000] [content:'" + receiptText + "']"})
			})
		})
	}
}

// AMQP limits the headers of a message: a huge receipt is taken without its octets.
func TestAHugeReceiptIsTaken(t *testing.T) {
	start(t, nil, func(w *world) {
		p := deliver("", pdu.ESMTypeReceipt)
		p.TLVs.Set(pdu.TagMessagePayload, append([]byte(receiptText), make([]byte, 40_000)...))
		wantEqual(t, "answer", w.send(p), "ESME_ROK")
		synctest.Wait()
		got := w.b.receipts(t)
		wantEqual(t, "events", []any{len(got), got[0].ID, len(got[0].Octets)}, []any{1, "ABC", 0})
	})
}

func TestReceiptThatCannotBeQueuedIsRefusedForNow(t *testing.T) {
	start(t, nil, func(w *world) {
		w.b.do(func() { w.b.refuse = func(*journal.Entry) error { return queue.ErrUnavailable } })
		wantEqual(t, "answer", w.send(deliver(receiptText, 4)), "ESME_RX_T_APPN")
		w.b.do(func() { w.b.refuse = nil })
		wantEqual(t, "answer", w.send(deliver(receiptText, 4)), "ESME_ROK")
		synctest.Wait()
		wantEqual(t, "events", len(w.b.receipts(t)), 1)
		wantEqual(t, "log lines", len(w.log.list()), 1)
	})
}

func TestReceiptsThatCameDuringACommitShareOneEntry(t *testing.T) {
	var gate chan struct{}
	commits := 0
	start(t, func(_ *Config, d *Deps, _ *smsc) {
		gate = make(chan struct{})
		d.Journal = slowJournal{d.Journal, func() {
			if commits++; commits == 1 {
				<-gate
			}
		}}
	}, func(w *world) {
		answers := make(chan string, 20)
		for range 20 {
			go func() { answers <- w.send(deliver(receiptText, 4)) }()
			synctest.Wait()
		}
		wantEqual(t, "answered before they are durable", len(answers), 0)
		close(gate)
		synctest.Wait()
		wantEqual(t, "answers", len(answers), 20)
		wantEqual(t, "entries", len(w.b.entries), 2)
		wantEqual(t, "receipts", w.c.Stats().ReceiptCount.Load(), 20)
	})
}

// AMQP has no room for an id of 256 octets, which fits into a message_payload.
func TestReceiptThatCanNeverBeQueuedHoldsUpNoOther(t *testing.T) {
	var gate chan struct{}
	commits := 0
	start(t, func(_ *Config, d *Deps, _ *smsc) {
		gate = make(chan struct{})
		d.Journal = slowJournal{d.Journal, func() {
			if commits++; commits == 1 {
				<-gate
			}
		}}
	}, func(w *world) {
		w.b.do(func() {
			w.b.refuse = func(e *journal.Entry) error {
				for _, p := range e.Publish {
					if strings.Contains(p.Message.ID, "BAD") {
						return errors.New("message-id is too long")
					}
				}
				return nil
			}
		})
		answers := map[string]chan string{"id:bad stat:DELIVRD": make(chan string, 1), receiptText: make(chan string, 11)}
		for i := range 12 {
			text := receiptText
			if i == 6 {
				text = "id:bad stat:DELIVRD"
			}
			go func() { answers[text] <- w.send(deliver(text, 4)) }()
			synctest.Wait()
		}
		close(gate)
		synctest.Wait()
		wantEqual(t, "the odd one", <-answers["id:bad stat:DELIVRD"], "ESME_RX_T_APPN")
		for range 11 {
			wantEqual(t, "another one", <-answers[receiptText], "ESME_ROK")
		}
		wantEqual(t, "events", len(w.b.receipts(t)), 11)
		wantEqual(t, "receipts", w.c.Stats().ReceiptCount.Load(), 11)
	})
}

func TestReceiptWithoutIDGoesToTheDeadLetters(t *testing.T) {
	start(t, nil, func(w *world) {
		wantEqual(t, "answer", w.send(deliver("nonsense", pdu.ESMTypeReceipt)), "ESME_ROK")
		wantEqual(t, "queue", w.b.published[0].Queue, queue.DeadLetter)
		_, p, err := pdu.Decode(w.b.published[0].Message.Body)
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "kept", string(p.(*pdu.DeliverSM).ShortMessage), "nonsense")
	})
}

func TestMessageOriginatedIsNeverAcknowledgedAndLost(t *testing.T) {
	start(t, nil, func(w *world) {
		wantEqual(t, "answer without a flow", w.send(deliver("hi", 0)), "ESME_RX_T_APPN")
	})
	var got []string
	start(t, func(_ *Config, d *Deps, _ *smsc) {
		d.MO = func(_ context.Context, c sms.ConnectorID, p pdu.PDU) pdu.Status {
			switch q := p.(type) {
			case *pdu.DeliverSM:
				got = append(got, fmt.Sprint(c, " ", string(q.ShortMessage)))
			case *pdu.DataSM:
				got = append(got, fmt.Sprint(c, " data_sm"))
				return pdu.StatusRxPAppn
			}
			return pdu.StatusOK
		}
	}, func(w *world) {
		wantEqual(t, "answer", w.send(deliver("hi", 0)), "ESME_ROK")
		wantEqual(t, "answer", w.send(&pdu.DataSM{}), "ESME_RX_P_APPN")
		wantEqual(t, "taken", got, []string{"smsc1 hi", "smsc1 data_sm"})
		st := w.c.Stats()
		wantEqual(t, "counters", []int64{st.DeliverSMCount.Load(), st.DataSMCount.Load()}, []int64{1, 1})
	})
}

// An MO of an operator, as it was published: it names another message, and is no receipt.
func TestMessageOriginatedThatNamesAnotherMessageIsNoReceipt(t *testing.T) {
	const octets = "0000005d0000000500000000000000014f4d5634000101343437373030393030373635000101343437373030393030373530000000000000" +
		"000000000448656c70001e0018313631385a2d30313032472d323333334d2d3235464a4600"
	frame, err := hex.DecodeString(octets)
	if err != nil {
		t.Fatal(err)
	}
	_, p, err := pdu.Decode(frame)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	start(t, func(_ *Config, d *Deps, _ *smsc) {
		d.MO = func(_ context.Context, _ sms.ConnectorID, p pdu.PDU) pdu.Status {
			got = append(got, string(p.(*pdu.DeliverSM).ShortMessage))
			return pdu.StatusOK
		}
	}, func(w *world) {
		wantEqual(t, "answer", w.send(p), "ESME_ROK")
		wantEqual(t, "messages", got, []string{"Help"})
		wantEqual(t, "receipts", len(w.b.receipts(t)), 0)
	})
}

func TestMessagesOriginatedBeyondTheBoundAreRefusedForNow(t *testing.T) {
	start(t, func(_ *Config, d *Deps, _ *smsc) {
		d.MO = func(ctx context.Context, _ sms.ConnectorID, _ pdu.PDU) pdu.Status {
			<-ctx.Done()
			return temporary
		}
	}, func(w *world) {
		answers := make(chan string, 1000)
		const many = 3 * moWorkers
		for range many {
			go func() {
				r, err := w.m.session(0).Do(w.t.Context(), deliver("hi", 0))
				if err == nil {
					answers <- r.Header.Status.String()
				}
			}()
		}
		synctest.Wait()
		wantEqual(t, "refused", len(answers), many-2*moWorkers)
		wantEqual(t, "with", <-answers, "ESME_RX_T_APPN")
	})
}

func TestAMessageThatFindsADefectIsRefusedAndCostsNobodyElse(t *testing.T) {
	start(t, func(_ *Config, d *Deps, _ *smsc) {
		d.MO = func(_ context.Context, _ sms.ConnectorID, p pdu.PDU) pdu.Status {
			if string(p.(*pdu.DeliverSM).ShortMessage) == "poison" {
				panic("poison")
			}
			return pdu.StatusOK
		}
	}, func(w *world) {
		for range 2 * moWorkers {
			wantEqual(t, "poison", w.send(deliver("poison", 0)), "ESME_RX_T_APPN")
		}
		wantEqual(t, "the next one", w.send(deliver("hi", 0)), "ESME_ROK")
	})
}

func TestOtherRequestsOfTheSMSC(t *testing.T) {
	start(t, nil, func(w *world) {
		if err := w.m.session(0).Notify(&pdu.AlertNotification{Source: pdu.Address{Addr: "33612345678"}, ESME: pdu.Address{Addr: "1234"}}); err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "the session goes on", w.send(&pdu.EnquireLink{}), "ESME_ROK")
	})
}

func TestShutdownAnswersReceiptsFirst(t *testing.T) {
	var gate chan struct{}
	start(t, func(_ *Config, d *Deps, _ *smsc) {
		gate = make(chan struct{})
		d.Journal = slowJournal{d.Journal, func() { <-gate }}
	}, func(w *world) {
		answer := make(chan string, 1)
		go func() { answer <- w.send(deliver(receiptText, 4)) }()
		synctest.Wait()
		time.AfterFunc(3*time.Second, func() { close(gate) })
		w.shutdown()
		wantEqual(t, "answer", <-answer, "ESME_ROK")
	})
}

func TestRepeatedLogLinesAreKeptApart(t *testing.T) {
	e := every{interval: time.Minute}
	now := time.Now()
	var got []string
	for _, at := range []time.Duration{0, 1, 30, 60, 61, 130} {
		n, ok := e.allow(now.Add(at * time.Second))
		got = append(got, fmt.Sprint(n, ok))
	}
	wantEqual(t, "allowed", got, []string{"0 true", "0 false", "0 false", "2 true", "0 false", "1 true"})
}

func TestAbortTriesToSettleWhatWasAnswered(t *testing.T) {
	start(t, func(_ *Config, _ *Deps, m *smsc) { m.answer = accept }, func(w *world) {
		failing := true
		w.b.do(func() {
			w.b.refuse = func(*journal.Entry) error {
				if failing {
					return queue.ErrUnavailable
				}
				return nil
			}
		})
		w.b.put(message(t, "m1", 1, nil))
		synctest.Wait()
		time.AfterFunc(time.Second, func() { w.b.do(func() { failing = false }) })
		begin := time.Now()
		w.stop()
		if err := <-w.ran; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		w.ran <- nil
		wantEqual(t, "acked", w.b.acked, []string{"m1"})
		if d := time.Since(begin); d > settleGrace {
			t.Errorf("aborting took %v", d)
		}
	})
}
