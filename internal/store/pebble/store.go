// Package pebble is the embedded store driver: who asked for receipts, which message is behind an
// SMSC's id, what became of the parts, and which validities end when, in the gateway's own database
// (package localdb).
//
// Everything that expires is indexed by time and swept by localdb. The Stage methods add to a batch of
// the caller's, so that package journal/embedded can commit a store's changes together with a queue's.
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
	"jasmind/internal/sms"
)

// Namespaces of the database.
const (
	nsReceipt localdb.Namespace = 0x50 // msgid -> ReceiptRequest, expiring
	nsMapping localdb.Namespace = 0x51 // account text, smpp_msgid -> Mapping, expiring
	nsOutcome localdb.Namespace = 0x52 // msgid text, question (1), part (4) -> PartOutcome, expiring
	nsEnd     localdb.Namespace = 0x53 // time in ms (8), msgid -> Expiry
	nsSettled localdb.Namespace = 0x54 // attempt -> nothing, expiring
	// 0x55 and 0x56 are the ledger's, 0x57 and 0x58 those of state.go.
)

// The questions that outcomes answer.
const (
	askSubmission = 0
	askFinal      = 1
)

const (
	defaultExpiry = 24 * time.Hour // of records that come without one; the original's dlr_expiry
	settledExpiry = 24 * time.Hour // how long a settled attempt is remembered
)

// Store is the store driver. All methods may be called from any goroutine.
type Store struct {
	db   *localdb.DB
	ends localdb.Position // where the index of ends of validity begins
	hand hand             // messages of ESMEs that connectors have taken
	dues localdb.Position // where the index of long MOs begins
}

var _ journal.Store = (*Store)(nil)

// New opens the store in the database.
func New(db *localdb.DB) *Store { return &Store{db: db} }

// Apply commits what the store holds of an entry, all or nothing.
func (s *Store) Apply(ctx context.Context, e *journal.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b := s.db.NewBatch()
	if err := s.Stage(b, e); err != nil {
		b.Abandon(err)
		return err
	}
	return s.commit(ctx, b)
}

func (s *Store) commit(ctx context.Context, b *localdb.Batch) error {
	if err := s.db.Commit(ctx, b); err != nil {
		return unavailable("commit", err)
	}
	return nil
}

// unavailable tells what was attempted, and whether it is worth trying again later.
func unavailable(what string, err error) error {
	if errors.Is(err, localdb.ErrClosed) || errors.Is(err, localdb.ErrFailed) {
		return fmt.Errorf("store: %s: %w: %w", what, queue.ErrUnavailable, err)
	}
	return fmt.Errorf("store: %s: %w", what, err)
}

// effect is how the store adds some fields of an entry to a batch.
type effect struct {
	fields []string
	stage  func(s *Store, b *localdb.Batch, e *journal.Entry, now time.Time) error // nil: nothing is to be done
}

// each is the effect of a field whose elements are added one by one.
func each[T any](field string, of func(*journal.Entry) []T, stage func(*Store, *localdb.Batch, *T, time.Time) error) effect {
	return effect{[]string{field}, func(s *Store, b *localdb.Batch, e *journal.Entry, now time.Time) error {
		list := of(e)
		for i := range list {
			if err := stage(s, b, &list[i], now); err != nil {
				return err
			}
		}
		return nil
	}}
}

// effects are those of an Entry but the queue's. They are one atomic batch, so their order matters only where two
// write the same key.
var effects = []effect{
	{[]string{"Charges"}, func(s *Store, b *localdb.Batch, e *journal.Entry, _ time.Time) error {
		return s.stageCharges(b, e.Charges)
	}},
	{[]string{"Confirm"}, nil}, // a charge and its message are one batch
	{[]string{"Overrides"}, func(s *Store, b *localdb.Batch, e *journal.Entry, _ time.Time) error {
		s.stageOverrides(b, e.Overrides)
		return nil
	}},
	each("Receipts", func(e *journal.Entry) []sms.ReceiptRequest { return e.Receipts }, (*Store).stageReceipt),
	// The key of an end of validity has no connector: of a message that moves to another one,
	// the old end goes before the new one comes.
	each("Unexpire", func(e *journal.Entry) []sms.Expiry { return e.Unexpire }, (*Store).stageUnexpire),
	each("Expiries", func(e *journal.Entry) []sms.Expiry { return e.Expiries }, (*Store).stageEnd),
	each("Records", func(e *journal.Entry) []sms.Record { return e.Records }, (*Store).stageRecord),
	{[]string{"Changes", "Release"}, func(s *Store, b *localdb.Batch, e *journal.Entry, _ time.Time) error {
		return s.stageChanges(b, e.Changes, e.Release)
	}},
	each("Mappings", func(e *journal.Entry) []sms.Mapping { return e.Mappings }, (*Store).stageMapping),
	each("Outcomes", func(e *journal.Entry) []sms.PartOutcome { return e.Outcomes }, (*Store).stageOutcome),
	each("Forget", func(e *journal.Entry) []sms.MessageID { return e.Forget }, (*Store).stageForget),
	each("Joined", func(e *journal.Entry) []sms.MessageID { return e.Joined }, (*Store).stageJoined),
	// Together, since they change the same counts.
	{[]string{"Letters", "DropLetters"}, func(s *Store, b *localdb.Batch, e *journal.Entry, _ time.Time) error {
		s.stageLetters(b, e.Letters, e.DropLetters)
		return nil
	}},
}

// Effects are the names of the fields of an Entry that Stage looks at.
func Effects() []string {
	var out []string
	for _, x := range effects {
		out = append(out, x.fields...)
	}
	return out
}

// Stage adds to a batch what the store holds of an entry. On an error the batch is to be abandoned.
func (s *Store) Stage(b *localdb.Batch, e *journal.Entry) error {
	now := time.Now()
	for i := range effects {
		if effects[i].stage == nil {
			continue
		}
		if err := effects[i].stage(s, b, e, now); err != nil {
			return err
		}
	}
	return nil
}

func receiptKey(id sms.MessageID) []byte { return append(nsReceipt.Key(), id...) }

func mappingKey(account sms.Account, smppMsgID string) []byte {
	return append(localdb.AppendText(nsMapping.Key(), string(account)), smppMsgID...)
}

func outcomePrefix(id sms.MessageID) []byte {
	return localdb.AppendText(nsOutcome.Key(), string(id))
}

func outcomeKey(o *sms.PartOutcome) []byte {
	ask := byte(askSubmission)
	if o.State != "" {
		ask = askFinal
	}
	return localdb.AppendUint32(append(outcomePrefix(o.MsgID), ask), uint32(o.Part))
}

func endKey(x *sms.Expiry) []byte {
	return append(localdb.AppendUint64(nsEnd.Key(), endTime(x)), x.MsgID...)
}

// endTime is the time of the index: milliseconds, 0 for all before 1970.
func endTime(x *sms.Expiry) uint64 { return uint64(max(x.At.UnixMilli(), 0)) }

func until(now time.Time, expiry time.Duration) time.Time {
	if expiry <= 0 {
		expiry = defaultExpiry
	}
	return now.Add(expiry)
}

// stageReceipt writes a request. It stays an eighth longer than asked, so that a mapping written soon
// after, whose time starts then, does not outlive it and nothing has to be renewed.
func (s *Store) stageReceipt(b *localdb.Batch, r *sms.ReceiptRequest, now time.Time) error {
	expiry := r.Expiry
	if expiry <= 0 {
		expiry = defaultExpiry
	}
	b.SetExpiring(receiptKey(r.MsgID), appendReceipt(nil, r), now.Add(expiry+expiry/8))
	return nil
}

// stageMapping writes a mapping and lets the request of its message live at least as long.
func (s *Store) stageMapping(b *localdb.Batch, m *sms.Mapping, now time.Time) error {
	end := until(now, m.Expiry)
	b.SetExpiring(mappingKey(m.Account, m.SMPPMsgID), appendMapping(nil, m), end)
	key := receiptKey(m.MsgID)
	request, ok, err := s.db.GetExpiring(key)
	if err != nil {
		return unavailable("receipt request of "+string(m.MsgID), err)
	}
	if !ok || request.At.IsZero() || !request.At.Before(end) {
		return nil
	}
	b.Check(func(r localdb.Reader, b *localdb.Batch) error {
		// Again, as it may have been forgotten meanwhile.
		if request, ok, err := r.GetExpiring(key); err != nil || !ok || !request.At.Before(end) {
			return err
		}
		b.SetExpiring(key, request.Value, end)
		return nil
	})
	return nil
}

func (s *Store) stageOutcome(b *localdb.Batch, o *sms.PartOutcome, now time.Time) error {
	if o.Part < 0 || int64(o.Part) > int64(^uint32(0)) {
		return fmt.Errorf("store: outcome of %s: part %d", o.MsgID, o.Part)
	}
	key, value, end := outcomeKey(o), appendOutcome(nil, o), until(now, o.Expiry)
	if o.State == "" {
		b.SetExpiring(key, value, end)
		return nil
	}
	b.Check(func(r localdb.Reader, b *localdb.Batch) error {
		if _, ok, err := r.GetExpiring(key); err != nil || ok {
			return err // the first final state stands
		}
		b.SetExpiring(key, value, end)
		return nil
	})
	return nil
}

func (s *Store) stageUnexpire(b *localdb.Batch, x *sms.Expiry, _ time.Time) error {
	b.Delete(endKey(x))
	return nil
}

func (s *Store) stageEnd(b *localdb.Batch, x *sms.Expiry, _ time.Time) error {
	b.Set(endKey(x), appendEnd(nil, x))
	at := endTime(x)
	b.After(func(err error) {
		if err == nil {
			s.ends.Add(at)
		}
	})
	return nil
}

// stageForget reads what there is outside the commit: what concerns a message is written in turn, and
// what a call at the same moment might add expires by itself.
func (s *Store) stageForget(b *localdb.Batch, forgotten *sms.MessageID, _ time.Time) error {
	id := *forgotten
	key := receiptKey(id)
	request, ok, err := s.db.GetExpiring(key)
	if err != nil {
		return unavailable("receipt request of "+string(id), err)
	}
	if ok {
		b.DeleteExpiring(key, request.At)
	}
	prefix := outcomePrefix(id)
	if err := s.db.Scan(prefix, localdb.PrefixEnd(prefix), func(key, raw []byte) bool {
		outcome, _ := localdb.DecodeExpiring(raw)
		b.DeleteExpiring(key, outcome.At)
		return true
	}); err != nil {
		return unavailable("outcomes of "+string(id), err)
	}
	return nil
}

// StageSettled adds to a batch that an attempt was settled, see Settled.
func (s *Store) StageSettled(b *localdb.Batch, attempt string) {
	b.SetExpiring(append(nsSettled.Key(), attempt...), nil, time.Now().Add(settledExpiry))
}

// Settled tells whether an attempt was recorded as settled, by its queue.Delivery.Key.
func (s *Store) Settled(attempt string) (bool, error) {
	_, ok, err := s.db.GetExpiring(append(nsSettled.Key(), attempt...))
	if err != nil {
		return false, unavailable("settled "+attempt, err)
	}
	return ok, nil
}

// Receipt gives the request under a message id.
func (s *Store) Receipt(ctx context.Context, id sms.MessageID) (sms.ReceiptRequest, bool, error) {
	if err := ctx.Err(); err != nil {
		return sms.ReceiptRequest{}, false, err
	}
	v, ok, err := s.db.GetExpiring(receiptKey(id))
	if err != nil {
		return sms.ReceiptRequest{}, false, unavailable("receipt request of "+string(id), err)
	}
	if !ok {
		return sms.ReceiptRequest{}, false, nil
	}
	r, err := decodeReceipt(v.Value)
	if err != nil {
		return sms.ReceiptRequest{}, false, fmt.Errorf("store: receipt request of %s: %w", id, err)
	}
	r.MsgID = id
	return r, true, nil
}

// Mapping gives the message behind an SMSC's id.
func (s *Store) Mapping(ctx context.Context, account sms.Account, smppMsgID string) (sms.Mapping, bool, error) {
	if err := ctx.Err(); err != nil {
		return sms.Mapping{}, false, err
	}
	v, ok, err := s.db.GetExpiring(mappingKey(account, smppMsgID))
	if err != nil {
		return sms.Mapping{}, false, unavailable("mapping of "+smppMsgID+" by "+string(account), err)
	}
	if !ok {
		return sms.Mapping{}, false, nil
	}
	m, err := decodeMapping(v.Value)
	if err != nil {
		return sms.Mapping{}, false, fmt.Errorf("store: mapping of %s by %s: %w", smppMsgID, account, err)
	}
	m.Account, m.SMPPMsgID = account, smppMsgID
	return m, true, nil
}

// Submissions gives the recorded submission outcomes of a message's parts, in order of part.
func (s *Store) Submissions(ctx context.Context, id sms.MessageID) ([]sms.PartOutcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return outcomes(s.db, id, askSubmission)
}

func outcomes(r localdb.Reader, id sms.MessageID, ask byte) ([]sms.PartOutcome, error) {
	prefix := append(outcomePrefix(id), ask)
	now := time.Now()
	var (
		out []sms.PartOutcome
		bad error
	)
	err := r.Scan(prefix, localdb.PrefixEnd(prefix), func(key, raw []byte) bool {
		v, ok := localdb.DecodeExpiring(raw)
		if ok && v.Expired(now) {
			return true
		}
		var o sms.PartOutcome
		if o, bad = decodeOutcome(v.Value); bad != nil {
			return false
		}
		if len(key) != len(prefix)+4 {
			bad = fmt.Errorf("bad key %x", key)
			return false
		}
		o.MsgID, o.Part = id, int(binary.BigEndian.Uint32(key[len(prefix):]))
		out = append(out, o)
		return true
	})
	if err := errors.Join(err, bad); err != nil {
		return nil, unavailable("outcomes of "+string(id), err)
	}
	return out, nil
}

// RecordFinal records the final state of one part unless it has one, and gives the final outcomes of
// all parts known by now, in order of part.
func (s *Store) RecordFinal(ctx context.Context, o sms.PartOutcome) ([]sms.PartOutcome, error) {
	if o.State == "" {
		return nil, fmt.Errorf("store: final outcome of %s, part %d: no state", o.MsgID, o.Part)
	}
	b := s.db.NewBatch()
	if err := s.stageOutcome(b, &o, time.Now()); err != nil {
		b.Abandon(err)
		return nil, err
	}
	var all []sms.PartOutcome
	b.Check(func(r localdb.Reader, _ *localdb.Batch) (err error) {
		if all, err = outcomes(r, o.MsgID, askFinal); err != nil {
			return err
		}
		for i := range all {
			if all[i].Part == o.Part {
				return nil
			}
		}
		// Not yet visible to the reader: it is in this batch.
		at := 0
		for at < len(all) && all[at].Part < o.Part {
			at++
		}
		all = append(all[:at:at], append([]sms.PartOutcome{o}, all[at:]...)...)
		return nil
	})
	if err := s.commit(ctx, b); err != nil {
		return nil, err
	}
	return all, nil
}

// Expired gives up to limit ends of validity whose time has come, oldest first.
func (s *Store) Expired(ctx context.Context, limit int) ([]sms.Expiry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, nil
	}
	end := uint64(time.Now().UnixMilli()) + 1
	from := s.ends.Begin()
	first := from
	defer func() { s.ends.End(first) }()
	if from >= end {
		return nil, nil
	}
	var (
		out []sms.Expiry
		bad error
	)
	err := s.db.Scan(localdb.AppendUint64(nsEnd.Key(), from), localdb.AppendUint64(nsEnd.Key(), end), func(key, value []byte) bool {
		ms, id, _ := localdb.CutUint64(key[1:])
		var x sms.Expiry
		if x, bad = decodeEnd(value); bad != nil {
			bad = fmt.Errorf("message %s: %w", id, bad)
			return false
		}
		x.At, x.MsgID = time.UnixMilli(int64(ms)), sms.MessageID(id)
		out = append(out, x)
		return len(out) < limit
	})
	if err := errors.Join(err, bad); err != nil {
		return nil, unavailable("ends of validity", err)
	}
	first = end
	if len(out) > 0 {
		first = endTime(&out[0])
	}
	return out, nil
}
