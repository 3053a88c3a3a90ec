package jcli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"jasmind/internal/deadletter"
	"jasmind/internal/journal"
	"jasmind/internal/queue"
)

// fakeDeadLetters has three letters; only the first can be brought back.
type fakeDeadLetters struct{ down bool }

const (
	letterOne   = queue.LetterID("0000000000000000a1")
	letterTwo   = queue.LetterID("0000000000000000a2")
	letterThree = queue.LetterID("0000000000000000a3")
)

func fakeLetters(at time.Time) []queue.Letter {
	return []queue.Letter{
		{ID: letterOne, At: at, Queue: queue.DLRThrowerHTTP, Cause: queue.CauseRetries, Reason: "try 4 of http://127.0.0.1/dlr: HTTP 500 and much more text of that kind, much more",
			Message: queue.Message{ID: "m1", Priority: 1, ContentType: queue.ContentText, Body: []byte("DELIVRD\x1b[2J"), Headers: queue.Headers{
				{Name: queue.HeaderURL, Str: "http://127.0.0.1/dlr?key=1"}, {Name: queue.HeaderLevel, Int: 2, IsInt: true}}}},
		{ID: letterTwo, At: at.Add(time.Hour), Queue: queue.ESME("acme"), Cause: queue.CauseHeld, Reason: "held for more than 48h0m0s",
			Message: queue.Message{ID: "m2", ContentType: queue.ContentText, Headers: queue.Headers{{Name: queue.HeaderSystemID, Str: "acme"}, {Name: queue.HeaderSourceAddr, Str: "123"}}}},
		{ID: letterThree, At: at.Add(50 * time.Hour), Cause: queue.CauseUndecodable, Reason: "no PDU", Claimed: at,
			Message: queue.Message{ID: "m3", ContentType: queue.ContentPDU, Body: make([]byte, 600)}},
	}
}

var errAway = errors.New("store: count dead letters: queue service unavailable")

func (f fakeDeadLetters) Count(context.Context) (deadletter.Summary, error) {
	if f.down {
		return deadletter.Summary{}, errAway
	}
	return deadletter.Summary{Total: 3, Waiting: 7, Counts: []journal.LetterCount{{Cause: queue.CauseUndecodable, Count: 1},
		{Queue: queue.DLRThrowerHTTP, Cause: queue.CauseRetries, Count: 1}, {Queue: queue.ESME("acme"), Cause: queue.CauseHeld, Count: 1}}}, nil
}

func (f fakeDeadLetters) List(_ context.Context, from queue.Name, after queue.LetterID, limit int) ([]queue.Letter, error) {
	var out []queue.Letter
	for _, l := range fakeLetters(time.Now().Add(-51*time.Hour - 2*time.Minute - 500*time.Millisecond)) {
		if (from == "" || l.Queue == from) && l.ID > after && len(out) < limit {
			out = append(out, l)
		}
	}
	return out, nil
}

func (f fakeDeadLetters) Show(_ context.Context, id queue.LetterID) (queue.Letter, bool, error) {
	if f.down {
		return queue.Letter{}, false, errAway
	}
	for _, l := range fakeLetters(at("2024-01-02 03:04:05")) {
		if l.ID == id {
			return l, true, nil
		}
	}
	return queue.Letter{}, false, nil
}

func (f fakeDeadLetters) Replay(_ context.Context, sel deadletter.Selection, again bool) (deadletter.Result, error) {
	switch {
	case f.down:
		return deadletter.Result{Done: 5, Unclear: 2}, errAway
	case sel.ID == letterOne:
		return deadletter.Result{Done: 1}, nil
	case sel.ID != "":
		return deadletter.Result{}, fmt.Errorf("%w: %s", deadletter.ErrNoLetter, sel.ID)
	case sel.Queue == queue.DLRThrowerHTTP:
		return deadletter.Result{Done: 1}, nil
	case again:
		return deadletter.Result{Done: 2, NoQueue: 1}, nil
	}
	return deadletter.Result{Done: 1, NoQueue: 1, Claimed: 1, Waiting: 7}, nil
}

func (f fakeDeadLetters) Purge(ctx context.Context, sel deadletter.Selection) (deadletter.Result, error) {
	return f.Replay(ctx, sel, true)
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s", time.Minute: "1m0s", 61 * time.Minute: "1h1m", 49*time.Hour + time.Minute: "2d1h"} {
		if got := age(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for text, want := range map[string]string{"ééééé": "ééééé", "éééééé": "éé...", "a\x1b\xff\n": "a...", "": ""} {
		if got := cut(text, 5); got != want {
			t.Errorf("%q is cut to %q, want %q", text, got, want)
		}
	}
}

func TestDeadLettersWhileTheStoreIsAway(t *testing.T) {
	f := serve(t, Config{}, Deps{DeadLetters: fakeDeadLetters{down: true}})
	got := stripTelnet(f.converse(t, atOnce("stats --deadletters\r\ndlq -l\r\ndlq -s "+string(letterOne)+"\r\ndlq --replay all\r\nquit\r\n")))
	for _, want := range []string{"Failed counting dead letters: " + errAway.Error(), "Failed listing dead letters: " + errAway.Error(), "Failed showing dead letter: " + errAway.Error(),
		"Replayed dead letters: 5\r\nFailed before the end: " + errAway.Error() + "\r\n2 may be in their queue or not: they stay here"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if got := stripTelnet(serve(t, Config{}, Deps{}).converse(t, atOnce("dlq -l\r\nstats --deadletters\r\nquit\r\n"))); !strings.Contains(got, "This daemon keeps no dead letters") {
		t.Errorf("without an office: %s", got)
	}
}

func at(text string) time.Time {
	t, err := time.ParseInLocation(time.DateTime, text, time.Local)
	if err != nil {
		panic(err)
	}
	return t
}
