package connector

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"jasmind/internal/smpp/pdu"
)

func TestGovernorSteps(t *testing.T) {
	at := time.Unix(0, 0)
	for _, tt := range []struct {
		name   string
		own    float64
		states []int // of each second, with 100 answers each
		want   []float64
	}{
		{"without the TLV nothing happens", 0, []int{-1, -1, -1}, []float64{0, 0, 0}},
		{"low load changes nothing", 0, []int{0, 50, 79, 89}, []float64{0, 0, 0, 0}},
		{"nearing congestion reduces to four fifths, congested to half", 0, []int{95, 95, 100}, []float64{80, 64, 32}},
		{"the optimum keeps the rate, and so does a moment of silence", 0, []int{100, 85, -1}, []float64{50, 50, 50}},
		{"low load lets it grow until there is no limit", 0, []int{100, 10, 10, 10, 10, 10, 10, 10}, []float64{50, 62.5, 78.125, 97.65625, 122.0703125, 152.587890625, 190.73486328125, 0}},
		{"up to the connector's own rate", 60, []int{100, 10, 10, 10, 10}, []float64{30, 37.5, 46.875, 58.59375, 0}},
		{"never below one a second", 0, []int{100, 100, 100, 100, 100, 100, 100, 100}, []float64{50, 25, 12.5, 6.25, 3.125, 1.5625, 1, 1}},
		{"long silence counts as recovered", 0, []int{100, -1, -1, -1, -1, -1, -1}, []float64{50, 50, 50, 50, 50, 62.5, 78.125}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var g governor
			now := at
			g.answered(now, tt.states[0], tt.own)
			var got []float64
			for _, state := range tt.states {
				var limit float64
				for range 100 {
					now = now.Add(10 * time.Millisecond)
					limit, _ = g.answered(now, state, tt.own)
				}
				got = append(got, limit)
			}
			wantEqual(t, "limits", got, tt.want)
		})
	}
}

func TestCongestionStateIsObeyed(t *testing.T) {
	var state atomic.Int32
	state.Store(-1)
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.Window = 5
		m.answer = func(n int, a arrived) (pdu.Status, string) {
			time.AfterFunc(100*time.Millisecond, func() { // 50 a second at this window
				resp := &pdu.SubmitSMResp{MessageID: fmt.Sprint(n)}
				if v := state.Load(); v >= 0 {
					resp.TLVs.SetUint8(pdu.TagCongestionState, uint8(v))
				}
				a.req.Respond(pdu.StatusOK, resp) //nolint:errcheck // the session may be gone
			})
			return holdBack, ""
		}
	}, func(w *world) {
		for i := range 10_000 {
			w.b.put(message(t, fmt.Sprint(i), 1, nil))
		}
		// rate is how many messages arrive in the next seconds, a second.
		rate := func(seconds int) int {
			before := len(w.m.arrivals())
			time.Sleep(time.Duration(seconds) * time.Second)
			synctest.Wait()
			return (len(w.m.arrivals()) - before) / seconds
		}
		atMost := func(what string, got, least, most int) {
			t.Helper()
			if got < least || got > most {
				t.Errorf("%s: %d messages a second, want %d to %d", what, got, least, most)
			}
		}
		atMost("before", rate(10), 45, 55)
		state.Store(100)
		rate(10)
		atMost("congested", rate(10), 1, 2)
		state.Store(85)
		atMost("at the optimum", rate(10), 1, 2)
		state.Store(20)
		rate(40)
		atMost("recovered", rate(10), 45, 55)
		state.Store(95)
		rate(2)
		state.Store(-1)
		rate(30)
		atMost("when the SMSC says nothing any more", rate(10), 45, 55)
		w.b.do(func() { w.b.ready = nil })
	})
}

func TestCongestionNeverExceedsTheConnectorsOwnThroughput(t *testing.T) {
	var state atomic.Int32
	state.Store(100)
	start(t, func(cfg *Config, _ *Deps, m *smsc) {
		cfg.Connector.SubmitThroughput = 20
		m.answer = func(n int, a arrived) (pdu.Status, string) {
			resp := &pdu.SubmitSMResp{MessageID: fmt.Sprint(n)}
			resp.TLVs.SetUint8(pdu.TagCongestionState, uint8(state.Load()))
			a.req.Respond(pdu.StatusOK, resp) //nolint:errcheck // the session may be gone
			return holdBack, ""
		}
	}, func(w *world) {
		for i := range 5000 {
			w.b.put(message(t, fmt.Sprint(i), 1, nil))
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if limit := w.c.pace.limiter.Limit(); limit != 1 {
			t.Errorf("limit while congested: %v", limit)
		}
		next := *w.c.cfg.Load()
		next.SubmitThroughput = 30
		if err := w.c.Update(next); err != nil {
			t.Fatal(err)
		}
		if limit := w.c.pace.limiter.Limit(); limit != 1 {
			t.Errorf("limit after a change of submit_throughput: %v", limit)
		}
		state.Store(0)
		time.Sleep(time.Minute)
		synctest.Wait()
		if limit := w.c.pace.limiter.Limit(); limit != 30 {
			t.Errorf("limit after the congestion: %v", limit)
		}
		w.b.do(func() { w.b.ready = nil })
	})
}
