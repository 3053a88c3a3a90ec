package smpp_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/smpptest"
)

// TestEveryRequestEndsOnce ends sessions in all ways at all moments of a load and counts that
// each request got exactly one result, and that what was answered is what was accepted.
func TestEveryRequestEndsOnce(t *testing.T) {
	ends := map[string]func(client, server *smpp.Session){
		"the client closes": func(c, _ *smpp.Session) { c.Close(errors.New("enough")) },
		"the server closes": func(_, s *smpp.Session) { s.Close(errors.New("enough")) },
		"the client unbinds": func(c, _ *smpp.Session) {
			wantErr(t, "Unbind", c.Unbind(context.Background()), nil)
		},
		"the server unbinds": func(_, s *smpp.Session) {
			wantErr(t, "Unbind", s.Unbind(context.Background()), nil)
		},
		"the client shuts down": func(c, _ *smpp.Session) {
			wantErr(t, "Shutdown", c.Shutdown(context.Background()), nil)
		},
		"the server shuts down": func(_, s *smpp.Session) {
			wantErr(t, "Shutdown", s.Shutdown(context.Background()), nil)
		},
		"both shut down": func(c, s *smpp.Session) {
			var wg sync.WaitGroup
			for _, x := range []*smpp.Session{c, s} {
				wg.Go(func() { wantErr(t, "Shutdown", x.Shutdown(context.Background()), nil) })
			}
			wg.Wait()
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				var accepted atomic.Int64
				server, client := smpptest.Pipe()
				handler := smpp.HandlerFunc(func(_ *smpp.Session, r *smpp.Request) {
					accepted.Add(1)
					r.Respond(pdu.StatusOK, nil) //nolint:errcheck // the client counts
				})
				ss := smpp.NewSession(server, smpp.SMSC, smpp.Config{Bind: acceptFoo, Handler: handler})
				cs := smpp.NewSession(client, smpp.ESME, smpp.Config{Window: 7, Handler: handler})
				var running sync.WaitGroup
				running.Go(func() { ss.Run(context.Background()) }) //nolint:errcheck // the end is what is tested
				bind := bindAs
				if _, err := cs.Bind(t.Context(), &bind); err != nil {
					t.Fatal(err)
				}
				running.Go(func() { cs.Run(context.Background()) }) //nolint:errcheck // the end is what is tested

				var load sync.WaitGroup
				var sent, results, confirmed atomic.Int64
				result := func(r smpp.Response, err error) {
					results.Add(1)
					if err == nil && r.Header.Status == pdu.StatusOK {
						confirmed.Add(1)
					}
				}
				busy := make(chan struct{}, 1)
				for i := range 10 {
					load.Go(func() {
						for {
							var err error
							if i%2 == 0 {
								var r smpp.Response
								if r, err = cs.Do(context.Background(), submit("x")); err == nil {
									sent.Add(1)
									result(r, nil)
								}
							} else if err = cs.Send(context.Background(), submit("x"), result); err == nil {
								sent.Add(1)
							}
							if err != nil {
								wantErr(t, "request", err, smpp.ErrSessionClosed)
								return
							}
							select {
							case busy <- struct{}{}:
							default:
							}
						}
					})
				}
				<-busy
				time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond) // no result depends on it
				end(cs, ss)
				load.Wait()
				running.Wait()
				if sent.Load() != results.Load() {
					t.Errorf("%d requests, %d results", sent.Load(), results.Load())
				}
				if confirmed.Load() > accepted.Load() {
					t.Errorf("%d confirmed, only %d accepted", confirmed.Load(), accepted.Load())
				}
				if n := cs.InFlight(); n != 0 {
					t.Errorf("InFlight = %d after the end", n)
				}
			}
		})
	}
}
