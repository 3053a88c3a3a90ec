package redis_test

import (
	"errors"
	"testing"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
	"jasmind/internal/store/redis"
	"jasmind/internal/testenv"
)

// A retry is in its queue before the last step of its entry: it can be claimed by then, and the claim stands.
func TestClaimOfARetryOutlivesTheEntryThatReleasedIt(t *testing.T) {
	s := open(t, redis.Config{URL: testenv.Redis(t).URL(), Prefix: "p:"})
	claim := func() []sms.Override {
		t.Helper()
		os, err := s.Claim(t.Context(), []sms.MessageID{"m-1"})
		must(t, err)
		return os
	}
	override := func(version int) error {
		return s.Override(t.Context(), []sms.Override{{MsgID: "m-1", UID: "u1", Version: version, At: time.Now(), Cancel: true}})
	}
	must(t, s.Apply(t.Context(), &journal.Entry{Records: []sms.Record{{MsgID: "m-1", UID: "u1", CID: "smsc1", Queued: true, Until: time.Now().Add(time.Hour)}}}))
	claim()
	if err := override(1); !errors.Is(err, journal.ErrTooLate) {
		t.Fatalf("changed in a connector's hand: %v, want ErrTooLate", err)
	}
	e := &journal.Entry{Release: []sms.MessageID{"m-1"}, Retry: []queue.Retry{{Delivery: delivery("submit.sm.smsc1", "m-1", 0)}}}
	must(t, s.Write(t.Context(), e, journal.Record))
	if os := claim(); len(os) != 0 {
		t.Fatalf("overrides %+v, want none", os)
	}
	must(t, s.Write(t.Context(), e, journal.Conclude))
	if err := override(1); !errors.Is(err, journal.ErrTooLate) {
		t.Fatalf("changed in the hand of who claimed the retry: %v, want ErrTooLate", err)
	}
	// What is changed between release and claim is found by the claim.
	must(t, s.Write(t.Context(), e, journal.Record))
	must(t, override(1))
	must(t, s.Write(t.Context(), e, journal.Conclude))
	if os := claim(); len(os) != 1 || !os[0].Cancel {
		t.Fatalf("overrides %+v, want the one that cancels", os)
	}
}
