package smpp_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// boundPair is a client and a server session of ours over the loopback.
func boundPair(tb testing.TB, window int, h smpp.Handler) (client *smpp.Session) {
	tb.Helper()
	srv := smpp.NewServer(smpp.ServerConfig{Config: smpp.Config{Bind: acceptFoo, Handler: h}})
	if err := srv.Listen(context.Background(), "tcp", "127.0.0.1:0", nil); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(ctx) }) //nolint:errcheck // ended by cancel
	s, _, err := smpp.Dial(ctx, "tcp", srv.Addr().String(), smpp.DialConfig{Bind: bindAs, Config: smpp.Config{Window: window}})
	if err != nil {
		tb.Fatal(err)
	}
	wg.Go(func() { s.Run(ctx) }) //nolint:errcheck // ended by cancel
	tb.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return s
}

var accept = smpp.HandlerFunc(func(_ *smpp.Session, r *smpp.Request) {
	r.Respond(pdu.StatusOK, &pdu.SubmitSMResp{MessageID: "7e3a1c52"}) //nolint:errcheck // the benchmark would not end
})

// BenchmarkSessionWindow submits through one session of ours to another, both ends in
// this process, by blocking calls (Do) and by callbacks (Send).
func BenchmarkSessionWindow(b *testing.B) {
	for _, window := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("Do/%d", window), func(b *testing.B) {
			s := boundPair(b, window, accept)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			work := make(chan struct{}, window)
			for range window {
				wg.Go(func() {
					m := submit("hello from the benchmark")
					for range work {
						if _, err := s.Do(context.Background(), m); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(float64(b.N)/float64(s.Stats().Writes), "msg/write")
		})
		b.Run(fmt.Sprintf("Send/%d", window), func(b *testing.B) {
			s := boundPair(b, window, accept)
			var left sync.WaitGroup
			done := func(_ smpp.Response, err error) {
				if err != nil {
					b.Error(err)
				}
				left.Done()
			}
			m := submit("hello from the benchmark")
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				left.Add(1)
				if err := s.Send(context.Background(), m, done); err != nil {
					b.Fatal(err)
				}
			}
			left.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(float64(b.N)/float64(s.Stats().Writes), "msg/write")
		})
	}
}

// BenchmarkRawWindow is the same exchange without sessions: what the codec and the loopback allow.
func BenchmarkRawWindow(b *testing.B) {
	for _, window := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(window), func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				rawLoop(conn, func(out []byte, h pdu.Header) []byte {
					out, _ = pdu.Append(out, pdu.StatusOK, h.Sequence, &pdu.SubmitSMResp{MessageID: "7e3a1c52"}) //nolint:errcheck // constant
					return out
				})
			})
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			m := submit("hello from the benchmark")
			var first []byte
			for i := range window {
				if first, err = pdu.Append(first, 0, uint32(i+1), m); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			if _, err := conn.Write(first); err != nil {
				b.Fatal(err)
			}
			answered := 0
			rawLoop(conn, func(out []byte, h pdu.Header) []byte {
				if answered++; answered >= b.N {
					conn.Close()
					return out
				}
				out, _ = pdu.Append(out, 0, h.Sequence+uint32(window), m) //nolint:errcheck // constant
				return out
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// rawLoop answers each PDU and writes when nothing more is buffered.
func rawLoop(conn net.Conn, answer func([]byte, pdu.Header) []byte) {
	r := bufio.NewReaderSize(conn, 16<<10)
	var in, out []byte
	for {
		frame, err := pdu.ReadFrame(r, in, 0)
		if err != nil {
			return
		}
		in = frame
		h, _, err := pdu.Decode(frame)
		if err != nil {
			return
		}
		out = answer(out, h)
		if r.Buffered() == 0 && len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
	}
}
