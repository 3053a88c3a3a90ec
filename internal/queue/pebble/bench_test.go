package pebble_test

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"jasmind/internal/queue"
	"jasmind/internal/queue/pebble"
)

const qBench = queue.Name("submit.sm.bench")

// benchMessage is of the size of a usual submit_sm.
func benchMessage() queue.Message {
	return queue.Message{ID: "0a1b2c3d-0001-4000-8000-0123456789ab", ContentType: queue.ContentPDU, Body: bytes.Repeat([]byte{7}, 200),
		Headers: queue.Headers{{Name: queue.HeaderCreatedAt, Int: 1700000000000, IsInt: true}, {Name: queue.HeaderSourceConnector, Str: "httpapi"}, {Name: queue.HeaderUID, Str: "foo"}}}
}

func benchDriver(b *testing.B) *pebble.Driver {
	d := openDriver(b, openDB(b, b.TempDir()), pebble.Config{})
	if err := d.Declare(b.Context(), qBench); err != nil {
		b.Fatal(err)
	}
	return d
}

// spread runs f b.N times in workers goroutines.
func spread(b *testing.B, workers int, f func() error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error, workers)
	for range workers {
		go func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, workers := range []int{1, 10, 32, 256} {
		b.Run(fmt.Sprintf("publishers=%d", workers), func(b *testing.B) {
			d, p := benchDriver(b), queue.Publication{Queue: qBench, Message: benchMessage()}
			b.ReportAllocs()
			b.ResetTimer()
			spread(b, workers, func() error { return d.Publish(context.Background(), p) })
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// Publish, deliver and acknowledge: each message makes two commits.
func BenchmarkThrough(b *testing.B) {
	for _, workers := range []int{1, 10, 32, 256} {
		b.Run(fmt.Sprintf("publishers=%d", workers), func(b *testing.B) {
			d, p := benchDriver(b), queue.Publication{Queue: qBench, Message: benchMessage()}
			c, err := d.Consume(b.Context(), qBench, 1000)
			if err != nil {
				b.Fatal(err)
			}
			const ackers = 32
			var acked atomic.Int64
			done := make(chan error, ackers)
			total := int64(b.N)
			b.ReportAllocs()
			b.ResetTimer()
			for range ackers {
				go func() {
					for dl := range c.C() {
						if err := d.Ack(context.Background(), dl); err != nil {
							done <- err
							return
						}
						if acked.Add(1) == total {
							done <- nil
						}
					}
				}()
			}
			spread(b, workers, func() error { return d.Publish(context.Background(), p) })
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			if err := c.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
