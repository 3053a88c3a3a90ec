package loadgen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"jasmind/internal/smscsim"
)

var engines = []string{Native, GoSMPP, Raw}

func TestSMPPArrivesOnce(t *testing.T) {
	for _, engine := range engines {
		for _, bind := range []string{"tx", "trx"} {
			t.Run(engine+" "+bind, func(t *testing.T) {
				sim := simulator(t, smscsim.Config{})
				cfg := smppConfig(sim)
				cfg.Engine, cfg.Bind, cfg.Binds, cfg.Window, cfg.Count, cfg.Warmup = engine, bind, 2, 20, 500, 50
				rep := mustRun(t, cfg)
				if rep.Accepted != 500 || rep.Warmup.Accepted != 50 || rep.Opened != 2 {
					t.Errorf("report %+v, warm-up %+v, opened %d", rep.Counts, rep.Warmup, rep.Opened)
				}
				a := *rep.Arrival
				a.Elapsed, a.PerS = 0, 0
				if want := (Arrival{Accepted: 550, Arrived: 550, LostNumbers: [][2]uint64{}}); !reflect.DeepEqual(a, want) {
					t.Errorf("arrival %+v, want %+v", a, want)
				}
				if err := rep.Check(Demand{All: true}); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestSMPPParts(t *testing.T) {
	for _, engine := range engines {
		for _, coding := range []int{0, 8} {
			t.Run(fmt.Sprint(engine, " coding ", coding), func(t *testing.T) {
				sim := simulator(t, smscsim.Config{})
				cfg := smppConfig(sim)
				cfg.Engine, cfg.Bind, cfg.Count, cfg.Parts, cfg.Coding, cfg.Receipts = engine, "trx", 20, 3, coding, true
				rep := mustRun(t, cfg)
				if rep.Accepted != 20 || rep.Requests != 60 || rep.Parts != 3 || rep.Arrival.Arrived != 20 || sim.Stats().Accepted != 60 {
					t.Errorf("report %+v, arrival %+v", rep.Counts, rep.Arrival)
				}
				for _, m := range sim.Messages(smscsim.Filter{}) {
					if m.Part == nil || m.Part.Total != 3 {
						t.Fatalf("part %+v, want one of 3: %q", m.Part, m.Text)
					}
				}
				if r := rep.Reports; r.IDs != 60 || r.Final.Received != 60 || r.Final.Missing+r.Unknown+r.Foreign != 0 {
					t.Errorf("receipts %+v", r)
				}
			})
		}
	}
}

func TestSMPPReceipts(t *testing.T) {
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			sim := simulator(t, smscsim.Config{})
			cfg := smppConfig(sim)
			cfg.Engine, cfg.Bind, cfg.Count, cfg.Receipts = engine, "trx", 100, true
			rep := mustRun(t, cfg)
			r := rep.Reports
			if r.IDs != 100 || r.Final.Received != 100 || r.Final.Missing+r.Final.Duplicates+r.Unknown+r.Foreign != 0 || r.Final.Latency.Count != 100 {
				t.Errorf("receipts %+v", r)
			}
		})
	}
}

func TestSMPPRefusals(t *testing.T) {
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			sim := simulator(t, smscsim.Config{Behaviour: smscsim.Behaviour{Rules: []smscsim.Rule{
				{Every: 4, Times: 5, Answer: &smscsim.Answer{Status: "ESME_RTHROTTLED"}},
				{Every: 5, Times: 3, Answer: &smscsim.Answer{Status: "ESME_RINVDSTADR"}},
			}}})
			cfg := smppConfig(sim)
			cfg.Engine, cfg.Count = engine, 50
			rep := mustRun(t, cfg)
			want := []Reason{{"ESME_RTHROTTLED", 5}, {"ESME_RINVDSTADR", 3}}
			if rep.Accepted != 42 || rep.Rejected != 8 || !reflect.DeepEqual(rep.Refused, want) || rep.Arrival.Lost != 0 {
				t.Errorf("report %+v, %v, arrival %+v", rep.Counts, rep.Refused, rep.Arrival)
			}
		})
		t.Run(engine+" with retries", func(t *testing.T) {
			sim := simulator(t, smscsim.Config{Behaviour: smscsim.Behaviour{Rules: []smscsim.Rule{
				{Every: 2, Times: 15, Answer: &smscsim.Answer{Status: "ESME_RMSGQFUL"}},
			}}})
			cfg := smppConfig(sim)
			cfg.Engine, cfg.Count, cfg.Retries, cfg.RetryDelay, cfg.Parts, cfg.Window = engine, 20, 50, 1, 2, 5
			rep := mustRun(t, cfg)
			if rep.Accepted != 20 || rep.Retries != 15 || rep.Requests != 55 || rep.Arrival.Arrived != 20 || rep.Arrival.Duplicates != 0 {
				t.Errorf("report %+v, arrival %+v", rep.Counts, rep.Arrival)
			}
		})
	}
}

func TestSMPPBindRefused(t *testing.T) {
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			sim := simulator(t, smscsim.Config{})
			cfg := smppConfig(sim)
			cfg.Engine, cfg.Count, cfg.Password, cfg.Binds = engine, 5, "wrong", 3
			if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "bind to "+sim.Addr()) {
				t.Errorf("got error %v", err)
			}
		})
	}
}

// A dropped connection is made again, and what was in flight on it counts as unanswered.
func TestSMPPReconnects(t *testing.T) {
	for _, engine := range []string{Native, Raw} {
		t.Run(engine, func(t *testing.T) {
			sim := simulator(t, smscsim.Config{Behaviour: smscsim.Behaviour{Rules: []smscsim.Rule{
				{Skip: 30, Times: 1, Answer: &smscsim.Answer{Action: smscsim.ActionDrop}},
				{Skip: 100, Times: 1, Answer: &smscsim.Answer{Action: smscsim.ActionDrop}},
			}}})
			cfg := smppConfig(sim)
			cfg.Engine, cfg.Count, cfg.Window, cfg.Settle = engine, 300, 4, 1e6
			rep := mustRun(t, cfg)
			if rep.Opened != 3 || rep.Unanswered < 1 || rep.Unanswered > 8 || rep.Accepted != 300-rep.Unanswered || rep.Arrival.Lost != 0 {
				t.Errorf("report %+v %v, opened %d, arrival %+v", rep.Counts, rep.Missing, rep.Opened, rep.Arrival)
			}
		})
	}
}

func TestSMPPNoAnswer(t *testing.T) {
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			sim := simulator(t, smscsim.Config{Behaviour: smscsim.Behaviour{Rules: []smscsim.Rule{
				{Skip: 3, Times: 1, Answer: &smscsim.Answer{Action: smscsim.ActionNone}},
			}}})
			cfg := smppConfig(sim)
			cfg.Engine, cfg.Count, cfg.Window, cfg.Timeout = engine, 10, 1, 200e6
			rep := mustRun(t, cfg)
			// On a busy machine other answers can be late too.
			if rep.Unanswered < 1 || rep.Accepted != 10-rep.Unanswered || len(rep.Missing) != 1 {
				t.Errorf("report %+v %v", rep.Counts, rep.Missing)
			}
		})
	}
}

func TestSMPPOverTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			sim := simulator(t, smscsim.Config{TLS: &tls.Config{Certificates: web.TLS.Certificates}})
			cfg := smppConfig(sim)
			cfg.Engine, cfg.Count = engine, 20
			cfg.TLS = web.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
			rep := mustRun(t, cfg)
			if rep.Accepted != 20 || rep.Arrival.Arrived != 20 {
				t.Errorf("report %+v", rep.Counts)
			}
		})
	}
}

func TestSMPPInterrupted(t *testing.T) {
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			sim := simulator(t, smscsim.Config{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cfg := smppConfig(sim)
			cfg.Engine, cfg.Duration, cfg.ProgressEvery = engine, patience, 1e6
			cfg.Progress = func(p Progress) {
				if p.Accepted > 50 {
					cancel()
				}
			}
			rep, err := Run(ctx, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if !rep.Interrupted || rep.Sent != rep.Accepted || rep.Arrival.Lost != 0 || rep.Arrival.Arrived < 50 {
				t.Errorf("report %+v, arrival %+v", rep.Counts, rep.Arrival)
			}
		})
	}
}

// Lost and duplicate messages are found, and ranges beyond those of one answer too.
func TestArrivals(t *testing.T) {
	sim := simulator(t, smscsim.Config{})
	cfg := smppConfig(sim)
	cfg.Count, cfg.Run = 5000, "first"
	mustRun(t, cfg)
	s := newSMSC(cfg.SMSC)
	defer s.close()
	var accepted bitmap
	for n := uint64(1); n <= 5000; n++ {
		accepted.set(n)
	}
	accepted.set(9999)
	a, err := s.arrivals(t.Context(), "first", &accepted)
	if err != nil || a.Lost != 1 || !slices.Equal(a.LostNumbers, [][2]uint64{{9999, 9999}}) || a.Arrived != 5000 || a.Unexpected != 0 {
		t.Errorf("got %+v, %v", a, err)
	}

	cfg.Count = 10
	mustRun(t, cfg) // the same numbers again
	if a, err = s.arrivals(t.Context(), "first", &accepted); err != nil || a.Duplicates != 10 {
		t.Errorf("got %+v, %v", a, err)
	}

	// Every second number of another run is refused and never arrives.
	if err := sim.SetBehaviour(smscsim.Behaviour{Rules: []smscsim.Rule{{Every: 2, Answer: &smscsim.Answer{Status: "ESME_RSYSERR"}}}}); err != nil {
		t.Fatal(err)
	}
	cfg.Count, cfg.Run = 5000, "second"
	mustRun(t, cfg)
	if a, err = s.arrivals(t.Context(), "second", &accepted); err != nil || a.Lost != 2501 || a.Arrived != 2500 || len(a.LostNumbers) != maxLostRanges {
		t.Errorf("got lost %d, arrived %d, %d ranges, %v", a.Lost, a.Arrived, len(a.LostNumbers), err)
	}
	if a, err = s.arrivals(t.Context(), "never", &accepted); err != nil || a.Lost != 5001 {
		t.Errorf("got lost %d, %v", a.Lost, err)
	}
}

// accountsOf are the ESMEs 1 to n.
func accountsOf(n int) []smscsim.Account {
	var out []smscsim.Account
	for i := range n {
		out = append(out, smscsim.Account{SystemID: fmt.Sprint("esme", i+1), Password: "pw"})
	}
	return out
}

func TestSMPPManyESMEs(t *testing.T) {
	sim := simulator(t, smscsim.Config{Accounts: accountsOf(5)})
	cfg := smppConfig(sim)
	cfg.Username, cfg.Password, cfg.From = "esme", "pw", ""
	cfg.ESMEs, cfg.Binds, cfg.Bind, cfg.Count, cfg.Receipts = 5, 2, "trx", 500, true
	rep := mustRun(t, cfg)
	if rep.Opened != 10 || rep.Accepted != 500 {
		t.Errorf("report %+v, opened %d", rep.Counts, rep.Opened)
	}
	if r := rep.Reports; r.Final.Received != 500 || r.Final.Missing+r.Final.Duplicates+r.Unknown+r.Foreign+r.Misdirected != 0 {
		t.Errorf("receipts %+v", r)
	}
	if err := rep.Check(Demand{All: true}); err != nil {
		t.Error(err)
	}
	for _, m := range sim.Messages(smscsim.Filter{}) {
		if m.From != m.Account {
			t.Fatalf("a message of %s is from %s", m.Account, m.From)
		}
	}
}

func TestMisdirectedReceiptsFail(t *testing.T) {
	rep := &Report{Counts: Counts{Sent: 1, Accepted: 1}, Reports: &Reports{Misdirected: 1}}
	if err := rep.Check(Demand{}); !errors.Is(err, ErrMisdirected) {
		t.Errorf("got %v, want ErrMisdirected", err)
	}
}

func TestManyESMEsAreChecked(t *testing.T) {
	for _, tt := range []struct {
		edit func(*Config)
		want string
	}{
		{func(c *Config) { c.ESMEs, c.Engine = 2, Raw }, "--esmes 2: needs --engine native"},
		{func(c *Config) { c.ESMEs, c.From = 2, "1234" }, "--from"},
		{func(c *Config) { c.ESMEs, c.Binds = 5000, 3 }, "15000 sessions"},
		{func(c *Config) { c.ESMEs, c.Username = 100, "thirteenchars" }, "longer than 15"},
		{func(c *Config) { c.ESMEs = -1 }, "--esmes -1"},
	} {
		cfg := Config{Protocol: SMPP, Addr: "127.0.0.1:2775", Username: "foo", Count: 1}
		tt.edit(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}
