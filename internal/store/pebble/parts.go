package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/localdb"
	"jasmind/internal/sms"
)

// Namespaces of long MOs.
const (
	nsSlot localdb.Namespace = 0x5C // key text -> slot, expiring when nothing is being collected
	nsPart localdb.Namespace = 0x5D // msgid text, number (1) -> digest (8), body
	nsLong localdb.Namespace = 0x5E // msgid -> long
	nsDue  localdb.Namespace = 0x5F // time in ms (8), msgid -> nothing
)

var _ journal.Parts = (*Store)(nil)

// slot is what is known under one key: which parts of the message that is being collected are
// there, and which the one before it had.
type slot struct {
	id   sms.MessageID // "": nothing is being collected
	have digests
	done digests
}

// digests are those of parts, by number.
type digests map[byte]uint64

// long is a message that is being collected or was released.
type long struct {
	key      sms.LongKey
	due      uint64 // when it is released next, milliseconds since the epoch
	released bool
	repeat   bool
}

func slotKey(k *sms.LongKey) []byte { return append(nsSlot.Key(), k.String()...) }

func partPrefix(id sms.MessageID) []byte { return localdb.AppendText(nsPart.Key(), string(id)) }

func longKey(id sms.MessageID) []byte { return append(nsLong.Key(), id...) }

func dueKey(due uint64, id sms.MessageID) []byte {
	return append(localdb.AppendUint64(nsDue.Key(), due), id...)
}

// joiner changes long MOs within a Check, where nothing comes between its reads and its writes.
type joiner struct {
	r           localdb.Reader
	b           *localdb.Batch
	now         time.Time
	wait, claim time.Duration
	dues        []uint64 // that were written
}

// join commits what change does.
func (s *Store) join(ctx context.Context, wait, claim time.Duration, change func(*joiner) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b := s.db.NewBatch()
	j := &joiner{wait: wait, claim: claim}
	b.Check(func(r localdb.Reader, b *localdb.Batch) error {
		j.r, j.b, j.now = r, b, time.Now()
		return change(j)
	})
	b.After(func(err error) {
		if err == nil {
			for _, due := range j.dues {
				s.dues.Add(due)
			}
		}
	})
	return s.commit(ctx, b)
}

// CountParts counts the parts of long MOs that wait for the others.
func (s *Store) CountParts(ctx context.Context) (int, error) {
	n := 0
	err := s.db.Scan(nsPart.Prefix(), localdb.PrefixEnd(nsPart.Prefix()), func(_, _ []byte) bool {
		n++
		return ctx.Err() == nil
	})
	if err != nil {
		return 0, unavailable("parts of long MOs", err)
	}
	return n, ctx.Err()
}

// AddPart makes a part durable, and gives what it released.
func (s *Store) AddPart(ctx context.Context, p sms.LongPart, id sms.MessageID, wait, claim time.Duration) ([]sms.LongMO, error) {
	if p.Seq < 1 || p.Seq > p.Key.Total || p.Key.Total > 255 {
		return nil, fmt.Errorf("store: part %d of %d of a long MO", p.Seq, p.Key.Total)
	}
	var out []sms.LongMO
	err := s.join(ctx, wait, claim, func(j *joiner) (err error) {
		out, err = j.add(&p, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (j *joiner) add(p *sms.LongPart, id sms.MessageID) (out []sms.LongMO, err error) {
	sl, err := j.slot(&p.Key)
	if err != nil {
		return nil, err
	}
	seq := byte(p.Seq)
	if digest, ok := sl.have[seq]; ok && sl.id != "" {
		if digest == p.Digest {
			return nil, nil
		}
		// What has come again of the message before gives way; anything else is a message of its own.
		if done, ok := sl.done[seq]; !ok || done != digest {
			m, err := j.release(&p.Key, sl, nil)
			if err != nil {
				return nil, err
			}
			out = append(out, m)
		}
	}
	if sl.id == "" {
		sl.id, sl.have = id, make(digests)
	}
	sl.have[seq] = p.Digest
	value := append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(p.Body)), p.Digest), p.Body...)
	j.b.Set(append(partPrefix(sl.id), seq), value)
	if len(sl.have) == p.Key.Total {
		m, err := j.release(&p.Key, sl, p)
		if err != nil {
			return nil, err
		}
		return append(out, m), nil
	}
	if err := j.schedule(sl.id, long{key: p.Key}, j.wait); err != nil {
		return nil, err
	}
	j.b.SetExpiring(slotKey(&p.Key), appendSlot(nil, sl), time.Time{})
	return out, nil
}

// release gives the message that is being collected to the caller. fresh is its part that is in
// the batch and cannot be read yet.
func (j *joiner) release(k *sms.LongKey, sl *slot, fresh *sms.LongPart) (sms.LongMO, error) {
	repeat := true
	for seq, digest := range sl.have {
		if done, ok := sl.done[seq]; !ok || done != digest {
			repeat = false
		}
	}
	m, err := j.message(sl.id, &long{key: *k, repeat: repeat}, fresh)
	if err != nil {
		return m, err
	}
	if err := j.schedule(sl.id, long{key: *k, released: true, repeat: repeat}, j.claim); err != nil {
		return m, err
	}
	if sl.done == nil {
		sl.done = make(digests)
	}
	for seq, digest := range sl.have {
		sl.done[seq] = digest
	}
	sl.id, sl.have = "", nil
	j.b.SetExpiring(slotKey(k), appendSlot(nil, sl), j.now.Add(j.wait))
	return m, nil
}

// message reads what is there of a message.
func (j *joiner) message(id sms.MessageID, l *long, fresh *sms.LongPart) (sms.LongMO, error) {
	m := sms.LongMO{ID: id, Key: l.key, Repeat: l.repeat}
	prefix := partPrefix(id)
	err := j.r.Scan(prefix, localdb.PrefixEnd(prefix), func(key, value []byte) bool {
		if seq := int(key[len(key)-1]); len(value) >= 8 && (fresh == nil || seq != fresh.Seq) {
			m.Parts = append(m.Parts, sms.LongPart{Key: l.key, Seq: seq, Digest: binary.BigEndian.Uint64(value), Body: slices.Clone(value[8:])})
		}
		return true
	})
	if err != nil {
		return m, unavailable("parts of "+string(id), err)
	}
	if fresh != nil {
		m.Parts = append(m.Parts, *fresh)
		slices.SortFunc(m.Parts, func(a, b sms.LongPart) int { return a.Seq - b.Seq })
	}
	return m, nil
}

// schedule writes the record of a message, and when it is due.
func (j *joiner) schedule(id sms.MessageID, l long, in time.Duration) error {
	old, ok, err := getLong(j.r, id)
	if err != nil {
		return err
	}
	if ok {
		j.b.Delete(dueKey(old.due, id))
	}
	l.due = uint64(max(j.now.Add(in).UnixMilli(), 0))
	j.b.Set(longKey(id), appendLong(nil, &l))
	j.b.Set(dueKey(l.due, id), nil)
	j.dues = append(j.dues, l.due)
	return nil
}

func (j *joiner) slot(k *sms.LongKey) (*slot, error) {
	v, ok, err := j.r.GetExpiring(slotKey(k))
	if err != nil {
		return nil, unavailable("long MO "+k.String(), err)
	}
	if !ok {
		return &slot{}, nil
	}
	sl, err := decodeSlot(v.Value)
	if err != nil {
		return nil, fmt.Errorf("store: long MO %s: %w", k, err)
	}
	return sl, nil
}

func getLong(r localdb.Reader, id sms.MessageID) (*long, bool, error) {
	v, ok, err := r.Get(longKey(id))
	if err != nil {
		return nil, false, unavailable("long MO "+string(id), err)
	}
	if !ok {
		return nil, false, nil
	}
	l, err := decodeLong(v)
	if err != nil {
		return nil, false, fmt.Errorf("store: long MO %s: %w", id, err)
	}
	return l, true, nil
}

// ReleaseParts gives up to limit messages whose time has come.
func (s *Store) ReleaseParts(ctx context.Context, limit int, wait, claim time.Duration) ([]sms.LongMO, error) {
	if limit < 1 {
		return nil, ctx.Err()
	}
	ids, err := s.overdue(limit)
	if err != nil || len(ids) == 0 {
		return nil, errors.Join(err, ctx.Err())
	}
	var out []sms.LongMO
	err = s.join(ctx, wait, claim, func(j *joiner) error {
		out = nil
		for _, id := range ids {
			m, ok, err := j.overdue(id)
			if err != nil {
				return err
			}
			if ok {
				out = append(out, m)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// overdue looks for messages whose time has come.
func (s *Store) overdue(limit int) ([]sms.MessageID, error) {
	end := uint64(time.Now().UnixMilli()) + 1
	from := s.dues.Begin()
	first := from
	defer func() { s.dues.End(first) }()
	if from >= end {
		return nil, nil
	}
	var ids []sms.MessageID
	next := end
	err := s.db.Scan(localdb.AppendUint64(nsDue.Key(), from), localdb.AppendUint64(nsDue.Key(), end), func(key, _ []byte) bool {
		ms, id, _ := localdb.CutUint64(key[1:])
		if len(ids) == 0 {
			next = ms
		}
		ids = append(ids, sms.MessageID(id))
		return len(ids) < limit
	})
	if err != nil {
		return nil, unavailable("long MOs", err)
	}
	first = next
	return ids, nil
}

// overdue gives a message to the caller if its time has still come.
func (j *joiner) overdue(id sms.MessageID) (sms.LongMO, bool, error) {
	l, ok, err := getLong(j.r, id)
	if err != nil || !ok || l.due > uint64(j.now.UnixMilli()) {
		return sms.LongMO{}, false, err
	}
	if l.released {
		m, err := j.message(id, l, nil)
		if err != nil {
			return m, false, err
		}
		return m, true, j.schedule(id, *l, j.claim)
	}
	sl, err := j.slot(&l.key)
	if err != nil {
		return sms.LongMO{}, false, err
	}
	m, err := j.release(&l.key, sl, nil)
	return m, true, err
}

// stageJoined drops a long MO.
func (s *Store) stageJoined(b *localdb.Batch, joined *sms.MessageID, _ time.Time) error {
	id := *joined
	b.Check(func(r localdb.Reader, b *localdb.Batch) error {
		l, ok, err := getLong(r, id)
		if err != nil || !ok {
			return err
		}
		b.Delete(longKey(id))
		b.Delete(dueKey(l.due, id))
		prefix := partPrefix(id)
		if err := r.Scan(prefix, localdb.PrefixEnd(prefix), func(key, _ []byte) bool {
			b.Delete(key)
			return true
		}); err != nil {
			return unavailable("parts of "+string(id), err)
		}
		return nil
	})
	return nil
}

func appendDigests(b []byte, d digests) []byte {
	b = appendInt(b, len(d))
	for seq := range 256 {
		if digest, ok := d[byte(seq)]; ok {
			b = binary.BigEndian.AppendUint64(append(b, byte(seq)), digest)
		}
	}
	return b
}

func (d *decoder) digests() digests {
	n := d.int()
	out := make(digests)
	for range min(n, 256) {
		seq := d.octet()
		if len(d.s) < 8 {
			d.fail(errShort)
			return out
		}
		out[seq] = binary.BigEndian.Uint64([]byte(d.s[:8]))
		d.s = d.s[8:]
	}
	return out
}

func appendSlot(b []byte, sl *slot) []byte {
	return appendDigests(appendDigests(appendText(append(b, recordVersion), string(sl.id)), sl.have), sl.done)
}

func decodeSlot(raw []byte) (*slot, error) {
	d := decode(raw)
	sl := &slot{id: sms.MessageID(d.text()), have: d.digests(), done: d.digests()}
	return sl, d.end()
}

const (
	flagReleased = 1 << iota
	flagRepeat
)

func appendLong(b []byte, l *long) []byte {
	var flags byte
	if l.released {
		flags |= flagReleased
	}
	if l.repeat {
		flags |= flagRepeat
	}
	return appendText(binary.AppendUvarint(append(b, recordVersion, flags), l.due), l.key.String())
}

func decodeLong(raw []byte) (*long, error) {
	d := decode(raw)
	flags := d.octet()
	l := &long{released: flags&flagReleased != 0, repeat: flags&flagRepeat != 0, due: d.uvarint()}
	text := d.text()
	if err := d.end(); err != nil {
		return nil, err
	}
	var err error
	l.key, err = sms.ParseLongKey(text)
	return l, err
}
