package services_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/queue/rabbit"
	"jasmind/internal/sms"
	"jasmind/internal/store/redis"
	"jasmind/internal/testenv"
)

// One message is accepted (with receipt request) by callers and settled (mapping, level-1
// event, remembered) by a window, at the same time, until all are settled.
func BenchmarkAcceptAndSettle(b *testing.B) {
	for _, kind := range []rabbit.QueueType{rabbit.Classic, rabbit.Quorum} {
		for _, report := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/report=%v", kind, report), func(b *testing.B) {
				const callers, window = 64, 200
				s := open(b, rabbit.Config{URL: testenv.RabbitMQ(b).URL(), QueueType: kind}, redis.Config{URL: testenv.Redis(b).URL()})
				ctx := context.Background()
				if err := s.broker.Declare(ctx, qMT, queue.DLRSubmitSMResp); err != nil {
					b.Fatal(err)
				}
				c, err := s.broker.Consume(ctx, qMT, window)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				b.ResetTimer()
				var left, settled atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for n := left.Add(-1); n >= 0; n = left.Add(-1) {
							id := fmt.Sprint("8f3b6a54-0c0e-4a53-9d5c-", n)
							e := &journal.Entry{Publish: []queue.Publication{{Queue: qMT, Message: queue.Message{ID: id, ContentType: queue.ContentPDU, Body: make([]byte, 200)}}}}
							if report {
								e.Receipts = []sms.ReceiptRequest{{MsgID: sms.MessageID(id), Origin: sms.OriginHTTP, Parts: 1, Expiry: time.Hour, URL: "http://127.0.0.1/"}}
							}
							if err := s.Commit(ctx, e); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				for range window {
					wg.Go(func() {
						for d := range c.C() {
							e := &journal.Entry{Ack: []journal.Ack{{Delivery: d, Remember: true}}}
							if report {
								r := queue.SubmitResult{MsgID: sms.MessageID(d.ID), CID: "smsc", SMPPMsgID: d.ID, Status: "ESME_ROK"}
								e.Publish = []queue.Publication{{Queue: queue.DLRSubmitSMResp, Message: r.Message()}}
								e.Mappings = []sms.Mapping{{Account: "smsc", SMPPMsgID: d.ID, MsgID: r.MsgID, Part: 1, Parts: 1, Expiry: time.Hour}}
							}
							if err := s.Commit(ctx, e); err != nil {
								b.Error(err)
							}
							if settled.Add(1) == int64(b.N) {
								go c.Close(ctx)
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}
