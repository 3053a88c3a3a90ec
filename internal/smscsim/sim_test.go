package smscsim_test

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	"go.uber.org/goleak"

	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smscsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should come at once. It only bounds a failure.
const patience = 60 * time.Second

// start runs a simulator for a test.
func start(t testing.TB, cfg smscsim.Config) *smscsim.Simulator {
	t.Helper()
	sim := smscsim.New(cfg)
	if err := sim.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := sim.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return sim
}

// esme is our own client, with what it was sent.
type esme struct {
	*smpp.Session
	delivered chan pdu.PDU // requests of the simulator, acknowledged before they come here
	ran       chan error
}

type esmeOptions struct {
	bind    pdu.Bind
	tls     *tls.Config
	config  smpp.Config
	answers func(pdu.PDU) pdu.Status // of deliver_sm and data_sm; nil: ESME_ROK
}

var clientBind = pdu.Bind{Type: pdu.Transceiver, SystemID: "smppclient1", Password: "password", InterfaceVersion: 0x34}

func connect(t testing.TB, sim *smscsim.Simulator, o esmeOptions) *esme {
	t.Helper()
	e, err := dial(t, sim, o)
	if err != nil {
		t.Fatal(err)
	}
	// A peer knows that it is bound a moment before the simulator counts it as a receiver.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); o.bind.Type != pdu.Transmitter && !sim.Receiving(e.LocalAddr().String()); {
		select {
		case <-tick.C:
		case <-e.Done():
			return e // it ended already, as some tests want
		case <-deadline:
			t.Fatal("bound, and not a receiver")
		}
	}
	return e
}

func dial(t testing.TB, sim *smscsim.Simulator, o esmeOptions) (*esme, error) {
	t.Helper()
	e := &esme{delivered: make(chan pdu.PDU, 1000), ran: make(chan error, 1)}
	if o.bind.SystemID == "" {
		typ := o.bind.Type
		o.bind = clientBind
		o.bind.Type = typ
	}
	o.config.Handler = smpp.HandlerFunc(func(_ *smpp.Session, r *smpp.Request) {
		status := pdu.StatusOK
		if o.answers != nil {
			status = o.answers(r.PDU)
		}
		if err := r.Respond(status, nil); err != nil {
			t.Logf("respond: %v", err)
		}
		e.delivered <- r.PDU
	})
	s, _, err := smpp.Dial(t.Context(), "tcp", sim.Addr(), smpp.DialConfig{Bind: o.bind, Config: o.config, TLS: o.tls})
	if err != nil {
		return nil, err
	}
	e.Session = s
	go func() { e.ran <- s.Run(context.Background()) }()
	t.Cleanup(func() {
		s.Close(nil)
		<-s.Done()
	})
	return e, nil
}

// submit sends a submit_sm and returns its id.
func (e *esme) submit(t testing.TB, m pdu.Message) string {
	t.Helper()
	resp := e.do(t, &pdu.SubmitSM{Message: m})
	if resp.Header.Status != pdu.StatusOK {
		t.Fatalf("submit_sm_resp %s", resp.Header.Status)
	}
	return resp.PDU.(*pdu.SubmitSMResp).MessageID
}

func (e *esme) do(t testing.TB, p pdu.PDU) smpp.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := e.Do(ctx, p)
	if err != nil {
		t.Fatalf("%s: %v", p.CommandID(), err)
	}
	return resp
}

// next is the next PDU that the simulator sent.
func (e *esme) next(t testing.TB) pdu.PDU {
	t.Helper()
	select {
	case p := <-e.delivered:
		return p
	case <-time.After(patience):
		t.Fatal("nothing was delivered")
		return nil
	}
}

// receipt is the next deliver_sm.
func (e *esme) receipt(t testing.TB) *pdu.DeliverSM {
	t.Helper()
	p := e.next(t)
	d, ok := p.(*pdu.DeliverSM)
	if !ok {
		t.Fatalf("got %s, want deliver_sm", p.CommandID())
	}
	return d
}

// none reports what came too much.
func (e *esme) none(t testing.TB) {
	t.Helper()
	select {
	case p := <-e.delivered:
		t.Errorf("unexpected %s: %+v", p.CommandID(), p)
	default:
	}
}

// barrier returns when the simulator has dealt with all that was sent before.
func (e *esme) barrier(t testing.TB) {
	t.Helper()
	e.do(t, &pdu.EnquireLink{})
}

func hello(to string) pdu.Message {
	return pdu.Message{Source: pdu.Address{TON: 5, Addr: "shop"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: to}, ShortMessage: []byte("hello")}
}

func asking(m pdu.Message) pdu.Message {
	m.RegisteredDelivery = 1
	return m
}

func wait(t testing.TB, sim *smscsim.Simulator, n int, f smscsim.Filter) []smscsim.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	list, err := sim.Wait(ctx, n, f)
	if err != nil {
		t.Fatalf("Wait: %d of %d: %v", len(list), n, err)
	}
	return list
}

func BenchmarkSubmit(b *testing.B) {
	sim := start(b, smscsim.Config{})
	e := connect(b, sim, esmeOptions{config: smpp.Config{Window: 100}})
	m := pdu.SubmitSM{Message: hello("4479")}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if err := e.Send(b.Context(), &m, func(smpp.Response, error) {}); err != nil {
			b.Fatal(err)
		}
	}
	for sim.Stats().Accepted < uint64(n) {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
}

func BenchmarkSubmitWithReceipt(b *testing.B) {
	sim := start(b, smscsim.Config{})
	e := connect(b, sim, esmeOptions{config: smpp.Config{Window: 100}})
	go func() {
		for {
			select {
			case <-e.delivered:
			case <-e.Done():
				return
			}
		}
	}()
	m := pdu.SubmitSM{Message: asking(hello("4479"))}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if err := e.Send(b.Context(), &m, func(smpp.Response, error) {}); err != nil {
			b.Fatal(err)
		}
	}
	for s := sim.Stats().Receipts; s.Acked+s.Dropped < uint64(n); s = sim.Stats().Receipts {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(sim.Stats().Receipts.Dropped), "dropped")
}
