package intercept

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
)

// BenchmarkMessage is the cost of a message without an interceptor (a copy of it), with a
// rule, and with the same done in Python, with one caller and with many.
func BenchmarkMessage(b *testing.B) {
	p := New(Config{}, slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelWarn})))
	defer p.Close()
	rule := exprRule(b, `destination_addr startsWith "33" ? (set("source_addr", "ACME") and tag("fr")) : true`)
	script := python(b, "if routable.pdu.params['destination_addr'].startswith(b'33'):\n    routable.pdu.params['source_addr'] = 'ACME'\n    routable.addTag('fr')\n")
	filter := python(b, "result = routable.pdu.params['destination_addr'].startswith(b'33')\n")
	ruleFilter := exprRule(b, `destination_addr startsWith "33"`)
	m := mt()
	var copied Message
	cases := []struct {
		name string
		f    func() error
	}{
		{"none", func() error { copied = m.clone(); return nil }},
		{"expr", func() error { _, err := p.Run(context.Background(), rule, m); return err }},
		{"python", func() error { _, err := p.Run(context.Background(), script, m); return err }},
		{"expr-filter", func() error { _, err := p.Evaluate(context.Background(), ruleFilter, m); return err }},
		{"python-filter", func() error { _, err := p.Evaluate(context.Background(), filter, m); return err }},
	}
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			if err := c.f(); err != nil { // the worker starts outside of the measure
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := c.f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	_ = copied
	var wg sync.WaitGroup
	for range 64 { // all workers start outside of the measure
		wg.Go(func() { _ = cases[2].f() })
	}
	wg.Wait()
	for _, c := range cases[1:3] {
		b.Run(c.name+"-parallel", func(b *testing.B) {
			b.SetParallelism(8)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := c.f(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
