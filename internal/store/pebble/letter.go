package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/localdb"
	"jasmind/internal/queue"
)

// Namespaces of dead letters.
const (
	nsLetter      localdb.Namespace = 0x60 // id -> claimed in ms (8, 0: not), record
	nsLetterOf    localdb.Namespace = 0x61 // queue text, id -> nothing
	nsLetterCount localdb.Namespace = 0x62 // queue text, cause -> count (8)
)

var _ journal.Letters = (*Store)(nil)

func letterKey(id queue.LetterID) []byte { return append(nsLetter.Key(), id...) }

func letterOfKey(q queue.Name, id queue.LetterID) []byte {
	return append(localdb.AppendText(nsLetterOf.Key(), string(q)), id...)
}

func letterCountKey(q queue.Name, cause queue.Cause) []byte {
	return append(localdb.AppendText(nsLetterCount.Key(), string(q)), cause...)
}

const claimSize = 8

func letterValue(l *queue.Letter) []byte {
	claimed := uint64(0)
	if !l.Claimed.IsZero() {
		claimed = uint64(max(l.Claimed.UnixMilli(), 1))
	}
	return append(localdb.AppendUint64(nil, claimed), l.Encode()...)
}

func decodeLetter(id queue.LetterID, value []byte) (queue.Letter, error) {
	claimed, record, ok := localdb.CutUint64(value)
	if !ok {
		return queue.Letter{}, fmt.Errorf("dead letter %s: %w", id, errShort)
	}
	l, err := queue.DecodeLetterRecord(id, record)
	if claimed > 0 {
		l.Claimed = time.UnixMilli(int64(claimed)) //nolint:gosec // written from an int64
	}
	return l, err
}

// stageLetters keeps letters and drops others. What is there already is only known when the
// batch is written. That a letter was dropped need not be remembered: the delivery that it
// came from left its queue with it, in the same batch.
func (s *Store) stageLetters(b *localdb.Batch, keep []queue.Letter, drop []queue.LetterID) {
	if len(keep)+len(drop) == 0 {
		return
	}
	b.Check(func(r localdb.Reader, b *localdb.Batch) error {
		counts := make(map[string]int64)
		seen := make(map[queue.LetterID]bool, len(keep)+len(drop))
		for i := range keep {
			l := &keep[i]
			if _, ok, err := r.Get(letterKey(l.ID)); err != nil {
				return unavailable("dead letter "+string(l.ID), err)
			} else if ok || seen[l.ID] {
				continue
			}
			seen[l.ID] = true
			b.Set(letterKey(l.ID), letterValue(l))
			b.Set(letterOfKey(l.Queue, l.ID), nil)
			counts[string(letterCountKey(l.Queue, l.Cause))]++
		}
		for _, id := range drop {
			value, ok, err := r.Get(letterKey(id))
			if err != nil {
				return unavailable("dead letter "+string(id), err)
			}
			if !ok || seen[id] {
				continue
			}
			seen[id] = true
			l, err := decodeLetter(id, value)
			if err != nil {
				return err
			}
			b.Delete(letterKey(id))
			b.Delete(letterOfKey(l.Queue, id))
			counts[string(letterCountKey(l.Queue, l.Cause))]--
		}
		for key, change := range counts {
			value, _, err := r.Get([]byte(key))
			if err != nil {
				return unavailable("count of dead letters", err)
			}
			n := change
			if len(value) == claimSize {
				n += int64(binary.BigEndian.Uint64(value)) //nolint:gosec // written from an int64
			}
			if n <= 0 {
				b.Delete([]byte(key))
				continue
			}
			b.Set([]byte(key), localdb.AppendUint64(nil, uint64(n)))
		}
		return nil
	})
}

// Letters gives up to limit dead letters behind an id.
func (s *Store) Letters(ctx context.Context, from queue.Name, after queue.LetterID, limit int) ([]queue.Letter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, nil
	}
	var (
		out []queue.Letter
		bad error
	)
	add := func(id queue.LetterID, value []byte) bool {
		var l queue.Letter
		if l, bad = decodeLetter(id, value); bad == nil {
			out = append(out, l)
		}
		return bad == nil && len(out) < limit
	}
	var err error
	if from == "" {
		start := nsLetter.Prefix()
		if after != "" {
			start = append(letterKey(after), 0)
		}
		err = s.db.Scan(start, localdb.PrefixEnd(nsLetter.Prefix()), func(key, value []byte) bool { return add(queue.LetterID(key[1:]), value) })
	} else {
		var ids []queue.LetterID
		prefix := letterOfKey(from, "")
		start := prefix
		if after != "" {
			start = append(letterOfKey(from, after), 0)
		}
		err = s.db.Scan(start, localdb.PrefixEnd(prefix), func(key, _ []byte) bool {
			ids = append(ids, queue.LetterID(key[len(prefix):]))
			return len(ids) < limit
		})
		for _, id := range ids {
			value, ok, getErr := s.db.Get(letterKey(id))
			if getErr != nil {
				err = errors.Join(err, getErr)
				break
			}
			if ok && !add(id, value) { // else it was dropped meanwhile
				break
			}
		}
	}
	if err := errors.Join(err, bad); err != nil {
		return nil, unavailable("dead letters", err)
	}
	return out, nil
}

// Letter gives one dead letter.
func (s *Store) Letter(ctx context.Context, id queue.LetterID) (queue.Letter, bool, error) {
	if err := ctx.Err(); err != nil {
		return queue.Letter{}, false, err
	}
	value, ok, err := s.db.Get(letterKey(id))
	if err != nil {
		return queue.Letter{}, false, unavailable("dead letter "+string(id), err)
	}
	if !ok {
		return queue.Letter{}, false, nil
	}
	l, err := decodeLetter(id, value)
	return l, err == nil, err
}

// CountLetters counts dead letters by queue and cause.
func (s *Store) CountLetters(ctx context.Context) ([]journal.LetterCount, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var (
		out []journal.LetterCount
		bad error
	)
	err := s.db.Scan(nsLetterCount.Prefix(), localdb.PrefixEnd(nsLetterCount.Prefix()), func(key, value []byte) bool {
		name, cause, ok := localdb.CutText(key[1:])
		if !ok || len(value) != claimSize {
			bad = fmt.Errorf("bad entry %x = %x", key, value)
			return false
		}
		n := int(binary.BigEndian.Uint64(value)) //nolint:gosec // written from an int64
		out = append(out, journal.LetterCount{Queue: queue.Name(name), Cause: queue.Cause(cause), Count: n})
		return true
	})
	if err := errors.Join(err, bad); err != nil {
		return nil, unavailable("count dead letters", err)
	}
	return out, nil
}

// ClaimLetters marks letters as claimed and tells which.
func (s *Store) ClaimLetters(ctx context.Context, at time.Time, again bool, ids ...queue.LetterID) ([]queue.LetterID, error) {
	var claimed []queue.LetterID
	err := s.mark(ctx, ids, func(id queue.LetterID, l *queue.Letter) bool {
		if !l.Claimed.IsZero() && !again {
			return false
		}
		l.Claimed = at
		claimed = append(claimed, id)
		return true
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// UnclaimLetters takes the marks of letters away.
func (s *Store) UnclaimLetters(ctx context.Context, ids ...queue.LetterID) error {
	return s.mark(ctx, ids, func(_ queue.LetterID, l *queue.Letter) bool {
		l.Claimed = time.Time{}
		return true
	})
}

// mark changes those letters that are there and that change says yes to.
func (s *Store) mark(ctx context.Context, ids []queue.LetterID, change func(queue.LetterID, *queue.Letter) bool) error {
	if len(ids) == 0 {
		return ctx.Err()
	}
	b := s.db.NewBatch()
	b.Check(func(r localdb.Reader, b *localdb.Batch) error {
		seen := make(map[queue.LetterID]bool, len(ids))
		for _, id := range ids {
			value, ok, err := r.Get(letterKey(id))
			if err != nil {
				return unavailable("dead letter "+string(id), err)
			}
			if !ok || seen[id] {
				continue
			}
			seen[id] = true
			l, err := decodeLetter(id, value)
			if err != nil {
				return err
			}
			if change(id, &l) {
				b.Set(letterKey(id), letterValue(&l))
			}
		}
		return nil
	})
	return s.commit(ctx, b)
}
