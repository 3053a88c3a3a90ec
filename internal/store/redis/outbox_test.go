package redis_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/queue"
	"jasmind/internal/store/redis"
	"jasmind/internal/testenv"
)

func parked(from, to int) []queue.Parked {
	var pubs []queue.Publication
	for i := from; i < to; i++ {
		pubs = append(pubs, queue.Publication{Queue: queue.DLRSubmitSMResp, Message: queue.Message{ID: fmt.Sprint("m", i), Body: []byte("x")}})
	}
	return queue.Park(pubs, nil, time.Now())
}

func TestOutboxKeepsOrderAndEachOnce(t *testing.T) {
	db := testenv.Redis(t)
	s := open(t, redis.Config{URL: db.URL(), Prefix: "p:"})
	ctx := t.Context()
	want := func(ids ...string) {
		t.Helper()
		ps, err := s.Parked(ctx, 4)
		must(t, err)
		var got []string
		for _, p := range ps {
			got = append(got, p.Message.ID)
		}
		if fmt.Sprint(got) != fmt.Sprint(ids) {
			t.Errorf("parked %v, want %v", got, ids)
		}
	}
	want()
	must(t, s.Park(ctx, parked(0, 3)))
	must(t, s.Park(ctx, parked(1, 6))) // an answer that was lost
	want("m0", "m1", "m2", "m3")
	ps, err := s.Parked(ctx, 2)
	must(t, err)
	must(t, s.Unpark(ctx, []string{ps[0].ID, ps[1].ID}))
	must(t, s.Unpark(ctx, []string{ps[0].ID}))
	want("m2", "m3", "m4", "m5")

	// What cannot be read blocks nothing.
	o, err := goredis.ParseURL(db.URL())
	must(t, err)
	client := goredis.NewClient(o)
	defer client.Close()
	ps, err = s.Parked(ctx, 1)
	must(t, err)
	must(t, client.HSet(ctx, "p:outbox:entries", ps[0].ID, "{broken").Err())
	ps, err = s.Parked(ctx, 1)
	must(t, err)
	if p := ps[0]; p.Queue != queue.DeadLetter || string(p.Message.Body) != "{broken" || p.Message.Headers.Str(queue.HeaderDeadCause) != string(queue.CauseUndecodable) {
		t.Errorf("got %+v, want a dead letter", p)
	}
}

func TestOutboxIsBounded(t *testing.T) {
	s := open(t, redis.Config{URL: testenv.Redis(t).URL()})
	const most, batch = 100_000, 5_000
	for i := 0; i < most; i += batch {
		must(t, s.Park(t.Context(), parked(i, i+batch)))
	}
	if err := s.Park(t.Context(), parked(most-1, most+1)); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("one too many: %v, want ErrUnavailable", err)
	}
	must(t, s.Park(t.Context(), parked(most-5, most)))
}
