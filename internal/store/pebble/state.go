package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/localdb"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// Namespaces of the states of messages.
const (
	nsRecord   localdb.Namespace = 0x57 // msgid -> Record without its Override, expiring
	nsOverride localdb.Namespace = 0x58 // msgid -> Override, expiring
)

func recordKey(id sms.MessageID) []byte   { return append(nsRecord.Key(), id...) }
func overrideKey(id sms.MessageID) []byte { return append(nsOverride.Key(), id...) }

// hand knows which messages connectors have taken: overrides of them come too late. That is kept in
// memory only. After a crash nothing is in anybody's hand, and what was is delivered again.
type hand struct {
	overrides atomic.Int64 // at least so many are stored
	counted   atomic.Bool  // those of an earlier run too

	mu      sync.Mutex // guards what follows
	taken   map[sms.MessageID]struct{}
	pending map[sms.MessageID]*pending
}

// pending are the overrides of a message that are being committed. The next one may come
// before the one before is durable.
type pending struct {
	n    int
	over chan struct{} // closed when all are
}

// open makes a message known as one whose override is being committed; false: it is taken.
func (h *hand) open(id sms.MessageID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, taken := h.taken[id]; taken {
		return false
	}
	p := h.pending[id]
	if p == nil {
		if h.pending == nil {
			h.pending = make(map[sms.MessageID]*pending)
		}
		p = &pending{over: make(chan struct{})}
		h.pending[id] = p
	}
	p.n++
	return true
}

func (h *hand) close(id sms.MessageID, durable bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if durable {
		h.overrides.Add(1)
	}
	p := h.pending[id]
	if p.n--; p.n == 0 {
		close(p.over)
		delete(h.pending, id)
	}
}

// take marks messages as taken. When an override of one is being committed, none is, and wait is
// closed when that is over.
func (h *hand) take(ids []sms.MessageID) (wait <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.pending) > 0 {
		for _, id := range ids {
			if p := h.pending[id]; p != nil {
				return p.over
			}
		}
	}
	if h.taken == nil {
		h.taken = make(map[sms.MessageID]struct{}, len(ids))
	}
	for _, id := range ids {
		h.taken[id] = struct{}{}
	}
	return nil
}

func (h *hand) release(ids []sms.MessageID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		delete(h.taken, id)
	}
}

// Claim takes messages in hand and gives their overrides.
func (s *Store) Claim(ctx context.Context, ids []sms.MessageID) ([]sms.Override, error) {
	if err := s.countOverrides(); err != nil {
		return nil, err
	}
	for wait := s.hand.take(ids); wait != nil; wait = s.hand.take(ids) {
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if s.hand.overrides.Load() == 0 {
		return nil, nil
	}
	var out []sms.Override
	for _, id := range ids {
		o, err := s.override(s.db, id)
		if err != nil {
			return nil, err
		}
		if o != nil {
			out = append(out, *o)
		}
	}
	return out, nil
}

// countOverrides learns, once, whether an earlier run left any.
func (s *Store) countOverrides() error {
	if s.hand.counted.Load() {
		return nil
	}
	n := int64(0)
	if err := s.db.Scan(nsOverride.Prefix(), localdb.PrefixEnd(nsOverride.Prefix()), func(_, _ []byte) bool {
		n++
		return true
	}); err != nil {
		return unavailable("overrides", err)
	}
	s.hand.overrides.Add(n) // twice, when two look at once: it is a lower bound for a reason
	s.hand.counted.Store(true)
	return nil
}

// Unclaim lets messages be changed again.
func (s *Store) Unclaim(_ context.Context, ids []sms.MessageID) error {
	s.hand.release(ids)
	return nil
}

// override gives the override of a message; nil: there is none.
func (s *Store) override(r localdb.Reader, id sms.MessageID) (*sms.Override, error) {
	v, ok, err := r.GetExpiring(overrideKey(id))
	if err != nil {
		return nil, unavailable("override of "+string(id), err)
	}
	if !ok {
		return nil, nil
	}
	o, err := decodeOverride(v.Value)
	if err != nil {
		return nil, fmt.Errorf("store: override of %s: %w", id, err)
	}
	o.MsgID = id
	return &o, nil
}

// Records gives the record of each message.
func (s *Store) Records(ctx context.Context, ids []sms.MessageID) ([]sms.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := make([]sms.Record, len(ids))
	for i, id := range ids {
		r, ok, err := s.record(s.db, id)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if r.Override, err = s.override(s.db, id); err != nil {
			return nil, err
		}
		out[i] = r
	}
	return out, nil
}

func (s *Store) record(from localdb.Reader, id sms.MessageID) (sms.Record, bool, error) {
	v, ok, err := from.GetExpiring(recordKey(id))
	if err != nil {
		return sms.Record{}, false, unavailable("record of "+string(id), err)
	}
	if !ok {
		return sms.Record{}, false, nil
	}
	r, err := decodeRecord(v.Value)
	if err != nil {
		return sms.Record{}, false, fmt.Errorf("store: record of %s: %w", id, err)
	}
	r.MsgID, r.Until = id, v.At
	return r, true, nil
}

func (s *Store) stageRecord(b *localdb.Batch, r *sms.Record, _ time.Time) error {
	b.SetExpiring(recordKey(r.MsgID), appendRecord(nil, r), r.Until)
	return nil
}

// stageOverrides adds overrides to a batch, which is refused when one comes too late.
func (s *Store) stageOverrides(b *localdb.Batch, os []sms.Override) {
	for i := range os {
		o := &os[i]
		opened := false
		b.Check(func(r localdb.Reader, b *localdb.Batch) error {
			rec, ok, err := s.record(r, o.MsgID)
			if err != nil {
				return err
			}
			if !ok || rec.UID != o.UID || !rec.Queued {
				return journal.ErrTooLate
			}
			before, err := s.override(r, o.MsgID)
			switch {
			case err != nil:
				return err
			case before != nil && bytes.Equal(appendOverride(nil, before), appendOverride(nil, o)):
				return nil // a repeat
			case before == nil && o.Version != 1, before != nil && o.Version != before.Version+1:
				return journal.ErrConflict
			case !rec.Final.IsZero():
				return journal.ErrTooLate
			}
			if opened = s.hand.open(o.MsgID); !opened {
				return journal.ErrTooLate
			}
			b.SetExpiring(overrideKey(o.MsgID), appendOverride(nil, o), time.Now().Add(sms.QueueStay))
			if o.Cancel {
				rec.State, rec.Err, rec.Final = pdu.StateDeleted, 0, o.At
				b.Rewrite(recordKey(o.MsgID), appendRecord(nil, &rec), rec.Until)
			}
			return nil
		})
		b.After(func(err error) {
			if opened {
				s.hand.close(o.MsgID, err == nil)
			}
		})
	}
}

// stageChanges notes what became of messages, and that they are in nobody's hand. What there is of them is read outside
// the commit: what changes a message that was claimed comes one after the other.
func (s *Store) stageChanges(b *localdb.Batch, changes []sms.StateChange, release []sms.MessageID) error {
	if len(changes)+len(release) == 0 {
		return nil
	}
	ids := release
	for i := range changes {
		c := &changes[i]
		if c.Left {
			ids = append(ids[:len(ids):len(ids)], c.MsgID)
		}
		if err := s.stageChange(b, c); err != nil {
			return err
		}
	}
	b.After(func(err error) {
		if err == nil {
			s.hand.release(ids)
		}
	})
	return nil
}

func (s *Store) stageChange(b *localdb.Batch, c *sms.StateChange) error {
	rec, ok, err := s.record(s.db, c.MsgID)
	if err != nil {
		return err
	}
	if c.Moved != "" {
		if ok {
			rec.CID = c.Moved
			b.Rewrite(recordKey(c.MsgID), appendRecord(nil, &rec), rec.Until)
		}
		return nil
	}
	if ok && (c.Left && rec.Queued || rec.Final.IsZero()) {
		rec.Queued = rec.Queued && !c.Left
		if rec.Final.IsZero() {
			rec.State, rec.Err, rec.Final = c.State, c.Err, c.Final
		}
		b.Rewrite(recordKey(c.MsgID), appendRecord(nil, &rec), rec.Until)
	}
	if !c.Left || s.hand.overrides.Load() == 0 {
		return nil
	}
	v, ok, err := s.db.GetExpiring(overrideKey(c.MsgID))
	if err != nil {
		return unavailable("override of "+string(c.MsgID), err)
	}
	if ok {
		b.DeleteExpiring(overrideKey(c.MsgID), v.At)
		b.After(func(err error) {
			if err == nil {
				s.hand.overrides.Add(-1)
			}
		})
	}
	return nil
}

const (
	flagQueued = 1
	flagCancel = 1
	flagText   = 2
)

func appendRecord(b []byte, r *sms.Record) []byte {
	if b == nil {
		b = make([]byte, 0, 128)
	}
	b = append(b, recordVersion)
	b = appendText(b, string(r.UID))
	b = appendText(b, string(r.CID))
	b = appendAddress(b, r.Source)
	b = appendAddress(b, r.Dest)
	b = append(b, byte(r.DataCoding), byte(r.ESMClass), byte(r.Report), r.Registered)
	b = appendInt(b, r.Group)
	b = appendTime(b, r.ExpiresAt)
	flags := byte(0)
	if r.Queued {
		flags |= flagQueued
	}
	b = append(b, byte(r.State), r.Err, flags)
	return appendTime(b, r.Final)
}

func decodeRecord(raw []byte) (sms.Record, error) {
	d := decode(raw)
	r := sms.Record{UID: sms.UserID(d.text()), CID: sms.ConnectorID(d.text()), Source: d.address(), Dest: d.address(),
		DataCoding: pdu.DataCoding(d.octet()), ESMClass: pdu.ESMClass(d.octet()), Report: sms.Report(d.octet()), Registered: d.octet(),
		Group: d.int(), ExpiresAt: d.time(), State: pdu.MessageState(d.octet()), Err: d.octet()}
	r.Queued = d.octet()&flagQueued != 0
	r.Final = d.time()
	return r, d.end()
}

func appendOverride(b []byte, o *sms.Override) []byte {
	flags := byte(0)
	if o.Cancel {
		flags |= flagCancel
	}
	if o.HasText {
		flags |= flagText
	}
	b = append(b, recordVersion, flags)
	b = appendText(b, string(o.UID))
	b = appendInt(b, o.Version)
	b = appendTime(b, o.At)
	b = append(binary.AppendUvarint(b, uint64(len(o.Text))), o.Text...)
	b = append(b, o.DefaultMsgID)
	b = appendText(b, o.Schedule)
	b = appendText(b, o.Validity)
	b = appendTime(b, o.ExpiresAt)
	b = append(b, o.Registered, byte(o.Report))
	return binary.AppendUvarint(b, o.Nonce)
}

func decodeOverride(raw []byte) (sms.Override, error) {
	d := decode(raw)
	flags := d.octet()
	o := sms.Override{Cancel: flags&flagCancel != 0, HasText: flags&flagText != 0, UID: sms.UserID(d.text()), Version: d.int(), At: d.time()}
	if text := d.text(); text != "" {
		o.Text = []byte(text)
	}
	o.DefaultMsgID, o.Schedule, o.Validity, o.ExpiresAt, o.Registered, o.Report = d.octet(), d.text(), d.text(), d.time(), d.octet(), sms.Report(d.octet())
	if d.s != "" { // overrides that an earlier release has written have none
		o.Nonce = d.uvarint()
	}
	return o, d.end()
}
