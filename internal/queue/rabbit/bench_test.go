package rabbit_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"jasmind/internal/queue"
	"jasmind/internal/queue/rabbit"
	"jasmind/internal/testenv"
)

var kinds = []rabbit.QueueType{rabbit.Classic, rabbit.Quorum}

func benchMessage() queue.Message {
	return queue.Message{ID: "8f3b6a54-0c0e-4a53-9d5c-1f2a3b4c5d6e", ContentType: queue.ContentPDU, Body: make([]byte, 300),
		Headers: queue.Headers{{Name: "created_at", Int: 1700000000000, IsInt: true}, {Name: "source_connector", Str: "httpapi"}, {Name: "uid", Str: "foo"}}}
}

// spread runs f b.N times on n goroutines.
func spread(b *testing.B, n int, f func() error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkPublish(b *testing.B) {
	for _, kind := range kinds {
		for _, n := range []int{1, 10, 32, 256} {
			b.Run(fmt.Sprintf("%s/publishers=%d", kind, n), func(b *testing.B) {
				d := open(b, rabbit.Config{URL: testenv.RabbitMQ(b).URL(), QueueType: kind})
				must(b, d.Declare(b.Context(), qLoad))
				p := queue.Publication{Queue: qLoad, Message: benchMessage()}
				b.ReportAllocs()
				b.ResetTimer()
				spread(b, n, func() error { return d.Publish(context.Background(), p) })
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

// Publishing with confirm, while a consumer takes and acknowledges: until all have come.
func BenchmarkPublishConsumeAck(b *testing.B) {
	for _, kind := range kinds {
		for _, n := range []int{32, 256} {
			b.Run(fmt.Sprintf("%s/publishers=%d", kind, n), func(b *testing.B) {
				d := open(b, rabbit.Config{URL: testenv.RabbitMQ(b).URL(), QueueType: kind})
				must(b, d.Declare(b.Context(), qLoad))
				c, err := d.Consume(b.Context(), qLoad, 200)
				must(b, err)
				done := make(chan error, 1)
				b.ReportAllocs()
				b.ResetTimer()
				go func() {
					for range b.N {
						m := <-c.C()
						if err := d.Ack(context.Background(), m); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
				p := queue.Publication{Queue: qLoad, Message: benchMessage()}
				spread(b, n, func() error { return d.Publish(context.Background(), p) })
				must(b, <-done)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

func BenchmarkDrain(b *testing.B) {
	d := open(b, rabbit.Config{URL: testenv.RabbitMQ(b).URL()})
	must(b, d.Declare(b.Context(), qLoad))
	for sent := 0; sent < b.N; {
		ps := make([]queue.Publication, min(1000, b.N-sent))
		for i := range ps {
			ps[i] = queue.Publication{Queue: qLoad, Message: benchMessage()}
			ps[i].Message.ID = strconv.Itoa(sent + i)
		}
		must(b, d.Publish(b.Context(), ps...))
		sent += len(ps)
	}
	c, err := d.Consume(b.Context(), qLoad, 200)
	must(b, err)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		must(b, d.Ack(context.Background(), <-c.C()))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
