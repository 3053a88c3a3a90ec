package services_test

import (
	"slices"
	"testing"

	"jasmind/internal/journal/services"
	"jasmind/internal/queue"
	"jasmind/internal/queue/rabbit"
	"jasmind/internal/store/redis"
	"jasmind/internal/testenv"
)

// The queues of connectors and ESMEs are known over a restart, until they are deleted.
func TestNamesOfQueues(t *testing.T) {
	s := open(t, rabbit.Config{URL: testenv.RabbitMQ(t).URL()}, redis.Config{URL: testenv.Redis(t).URL()})
	names := func(b *services.Broker) []queue.Name {
		all := b.Names()
		slices.Sort(all)
		return all
	}
	start := func() *services.Broker {
		t.Helper()
		b, err := services.NewBroker(t.Context(), s.broker, s.store)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := start()
	if err := b.Declare(t.Context(), queue.SubmitSM("abc"), queue.ESME("acme"), queue.DLRThrowerHTTP); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*services.Broker{b, start()} {
		if got, want := names(b), []queue.Name{"smpps.acme", "submit.sm.abc"}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	if err := b.Delete(t.Context(), queue.ESME("acme")); err != nil {
		t.Fatal(err)
	}
	if got, want := names(start()), []queue.Name{"submit.sm.abc"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
