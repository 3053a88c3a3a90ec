package jcli

import (
	"context"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/deadletter"
	"jasmind/internal/metrics"
	"jasmind/internal/queue"
)

// deadLetters is the office of dead letters.
type deadLetters interface {
	Count(ctx context.Context) (deadletter.Summary, error)
	List(ctx context.Context, from queue.Name, after queue.LetterID, limit int) ([]queue.Letter, error)
	Show(ctx context.Context, id queue.LetterID) (queue.Letter, bool, error)
	Replay(ctx context.Context, sel deadletter.Selection, again bool) (deadletter.Result, error)
	Purge(ctx context.Context, sel deadletter.Selection) (deadletter.Result, error)
}

var dlqCommand = command{
	name: "dlq", doc: "Dead letter management",
	options: []option{
		{"-l", "--list", "", "List dead letters, the oldest first: dlq -l [QUEUE]"},
		{"", "--after", "ID", "List those behind this one"},
		{"-s", "--show", "ID", "Show a dead letter using its ID"},
		{"", "--replay", "ID", "Bring a dead letter, or all, back to the queue it was in: dlq --replay ID|all [QUEUE]"},
		{"", "--again", "", "With --replay: also what may be in its queue already, since its replay did not end"},
		{"", "--purge", "ID", "Drop a dead letter, or all, for good: dlq --purge ID|all [QUEUE]"},
	},
	always: (*session).dlq,
}

// dlqPage is how many letters one list shows.
const dlqPage = 50

// dlq runs the first of its options.
func (s *session) dlq(arg string, v values) {
	letters := s.srv.deps.DeadLetters
	if letters == nil {
		s.print("This daemon keeps no dead letters")
		return
	}
	from := queue.Name(arg)
	if _, ok := v["list"]; ok {
		s.listLetters(letters, from, v["after"])
		return
	}
	if id, ok := v["show"]; ok {
		s.showLetter(letters, id)
		return
	}
	if which, ok := v["replay"]; ok {
		_, again := v["again"]
		s.handleLetters(which, from, func(sel deadletter.Selection) {
			r, err := letters.Replay(s.srv.ctx, sel, again)
			s.replayed(&r, err)
		})
		return
	}
	if which, ok := v["purge"]; ok {
		s.handleLetters(which, from, func(sel deadletter.Selection) {
			r, err := letters.Purge(s.srv.ctx, sel)
			s.lettersDone("Purged", &r, err)
		})
		return
	}
	s.print("Missing required option")
}

// handleLetters reads ID|all and runs f for what that selects.
func (s *session) handleLetters(which string, from queue.Name, f func(deadletter.Selection)) {
	sel := deadletter.Selection{Queue: from}
	if which != "all" {
		id, err := queue.ParseLetterID(which)
		if err != nil {
			s.print("Unknown dead letter: " + which)
			return
		}
		sel.ID = id
	}
	f(sel)
}

// lettersDone says how many letters something was done to, and what went wrong.
func (s *session) lettersDone(done string, r *deadletter.Result, err error) {
	if errors.Is(err, deadletter.ErrNoLetter) {
		s.print(strings.ToUpper(err.Error()[:1]) + err.Error()[1:])
		return
	}
	s.print(done + " dead letters: " + strconv.Itoa(r.Done))
	if err != nil {
		s.print("Failed before the end: " + oneLine(err))
	}
	if r.Waiting > 0 {
		s.print(strconv.Itoa(r.Waiting) + " more were on their way here: run it again for them")
	}
}

func (s *session) replayed(r *deadletter.Result, err error) {
	s.lettersDone("Replayed", r, err)
	if r.NoQueue > 0 {
		s.print(strconv.Itoa(r.NoQueue) + " left alone: their queue does not exist")
	}
	if r.Claimed > 0 {
		s.print(strconv.Itoa(r.Claimed) + " left alone: a replay of them has begun before and may have come to the end, --again repeats it")
	}
	if r.Unclear > 0 {
		s.print(strconv.Itoa(r.Unclear) + " may be in their queue or not: they stay here, --again repeats their replay")
	}
}

// age is a time span in at most two units.
func age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d >= 24*time.Hour:
		return strconv.Itoa(int(d/(24*time.Hour))) + "d" + strconv.Itoa(int(d%(24*time.Hour)/time.Hour)) + "h"
	case d >= time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + "h" + strconv.Itoa(int(d%time.Hour/time.Minute)) + "m"
	case d >= time.Minute:
		return strconv.Itoa(int(d/time.Minute)) + "m" + strconv.Itoa(int(d%time.Minute/time.Second)) + "s"
	}
	return strconv.Itoa(int(d/time.Second)) + "s"
}

// cut makes text one line of at most n characters.
func cut(text string, n int) string {
	text = printable(text)
	if runes := []rune(text); len(runes) > n {
		return string(runes[:n-3]) + "..."
	}
	return text
}

// printable replaces what a terminal would interpret or cannot show.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7F && r < 0xA0 {
			return '.'
		}
		return r
	}, strings.ToValidUTF8(text, "."))
}

func orNone(text string) string {
	if text == "" {
		return "-"
	}
	return printable(text)
}

func (s *session) listLetters(letters deadLetters, from queue.Name, after string) {
	start := queue.LetterID("")
	if after != "" {
		var err error
		if start, err = queue.ParseLetterID(after); err != nil {
			s.print("Unknown dead letter: " + after)
			return
		}
	}
	sum, err := letters.Count(s.srv.ctx)
	if err == nil {
		var list []queue.Letter
		if list, err = letters.List(s.srv.ctx, from, start, dlqPage+1); err == nil {
			s.printLetters(list, &sum, from)
		}
	}
	if err != nil {
		s.print("Failed listing dead letters: " + oneLine(err))
	}
}

func (s *session) printLetters(list []queue.Letter, sum *deadletter.Summary, from queue.Name) {
	more := len(list) > dlqPage
	if more {
		list = list[:dlqPage]
	}
	if len(list) > 0 {
		rows := [][]string{{"#Letter id", "Queue", "Cause", "Age", "Destination", "Reason"}}
		for i := range list {
			l := &list[i]
			cause := string(l.Cause)
			if !l.Claimed.IsZero() {
				cause += " (replay began)"
			}
			rows = append(rows, []string{"#" + string(l.ID), orNone(string(l.Queue)), cause, age(time.Since(l.At)), cut(orNone(l.Destination()), 50), cut(l.Reason, 60)})
		}
		s.print(grid(rows))
	}
	if more {
		filter := ""
		if from != "" {
			filter = " " + string(from)
		}
		s.print("There are more: dlq -l" + filter + " --after " + string(list[len(list)-1].ID))
	}
	total := sum.Total
	if from != "" {
		total = 0
		for _, c := range sum.Counts {
			if c.Queue == from {
				total += c.Count
			}
		}
	}
	s.print("Total dead letters: " + strconv.Itoa(total))
}

// shownBody is how many octets of a body are shown.
const shownBody = 512

func (s *session) showLetter(letters deadLetters, text string) {
	id, err := queue.ParseLetterID(text)
	if err != nil {
		s.print("Unknown dead letter: " + text)
		return
	}
	l, ok, err := letters.Show(s.srv.ctx, id)
	switch {
	case err != nil:
		s.print("Failed showing dead letter: " + oneLine(err))
		return
	case !ok:
		s.print("Unknown dead letter: " + text)
		return
	}
	line := func(name, value string) { s.print(name + " " + printable(value)) }
	line("id", string(l.ID))
	line("queue", orNone(string(l.Queue)))
	line("cause", string(l.Cause))
	line("reason", l.Reason)
	line("buried_at", metrics.TimeText(l.At))
	if !l.Claimed.IsZero() {
		line("replay_began_at", metrics.TimeText(l.Claimed))
	}
	line("destination", orNone(l.Destination()))
	line("message_id", l.Message.ID)
	line("priority", strconv.Itoa(int(l.Message.Priority)))
	line("content_type", l.Message.ContentType)
	for _, h := range l.Message.Headers {
		value := h.Str
		if h.IsInt {
			value = strconv.FormatInt(h.Int, 10)
		}
		line("header "+printable(h.Name), value)
	}
	body := l.Message.Body
	shown := body[:min(len(body), shownBody)]
	if l.Message.ContentType == queue.ContentText {
		line("body", string(shown))
	} else {
		line("body", hex.EncodeToString(shown))
	}
	if len(shown) < len(body) {
		s.print("... and " + strconv.Itoa(len(body)-len(shown)) + " octets more")
	}
}

// deadLetterStats counts letters by queue and cause.
func (s *session) deadLetterStats() {
	letters := s.srv.deps.DeadLetters
	if letters == nil {
		s.print("Total dead letters: 0")
		return
	}
	sum, err := letters.Count(s.srv.ctx)
	if err != nil {
		s.print("Failed counting dead letters: " + oneLine(err))
		return
	}
	if len(sum.Counts) > 0 {
		rows := [][]string{{"#Queue", "Cause", "Letters"}}
		for _, c := range sum.Counts {
			rows = append(rows, []string{"#" + orNone(string(c.Queue)), string(c.Cause), strconv.Itoa(c.Count)})
		}
		s.print(grid(rows))
	}
	if sum.Waiting > 0 {
		s.print("Not listed yet: " + strconv.Itoa(sum.Waiting))
	}
	s.print("Total dead letters: " + strconv.Itoa(sum.Total))
}
