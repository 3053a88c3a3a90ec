package redis

import (
	"context"
	"slices"

	goredis "github.com/redis/go-redis/v9"

	"jasmind/internal/billing"
	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

// effect is how the store does its share of one of journal.Effects.
type effect struct {
	field string
	phase journal.Phase
	// has tells whether an entry has anything of it, so that nothing is asked of Redis for an entry that has not.
	has func(e *journal.Entry) bool
	// Either admit makes it, in a change of its own that may refuse the entry, or stage queues its
	// commands for the change of the phase.
	admit func(s *Store, ctx context.Context, e *journal.Entry) error
	stage func(s *Store, p goredis.Pipeliner, e *journal.Entry)
	// undo queues what takes it back from an entry that brings work and was refused after that; nil: no such entry has it.
	undo func(s *Store, p goredis.Pipeliner, e *journal.Entry)
}

func (x effect) undone(undo func(s *Store, p goredis.Pipeliner, e *journal.Entry)) effect {
	x.undo = undo
	return x
}

// list is the effect of a field that is a list.
func list[T any](field string, phase journal.Phase, of func(*journal.Entry) []T, stage func(*Store, goredis.Pipeliner, []T)) effect {
	return effect{field: field, phase: phase, has: func(e *journal.Entry) bool { return len(of(e)) > 0 },
		stage: func(s *Store, p goredis.Pipeliner, e *journal.Entry) { stage(s, p, of(e)) }}
}

// effects are in the order of journal.Effects. Missing are those of the broker and, of the charges, Finalize, which is
// apart since it refuses nothing.
//
// Release comes before the retry is in the queue: whoever takes it from there claims it, and that
// claim must stand. What is changed in between, its next claim gives.
var effects = []effect{
	{field: "Overrides", phase: journal.Admit, has: func(e *journal.Entry) bool { return len(e.Overrides) > 0 },
		admit: func(s *Store, ctx context.Context, e *journal.Entry) error { return s.Override(ctx, e.Overrides) }},
	{field: "Charges", phase: journal.Admit, has: func(e *journal.Entry) bool { return len(e.Charges) > 0 },
		admit: func(s *Store, ctx context.Context, e *journal.Entry) error { return s.Reserve(ctx, e.Charges) },
		undo:  func(s *Store, p goredis.Pipeliner, e *journal.Entry) { s.addBills(p, releaseScript, taken(e.Charges)) }},
	{field: "Charges", phase: journal.Record, has: func(e *journal.Entry) bool { return hasOwed(e.Charges) },
		stage: func(s *Store, p goredis.Pipeliner, e *journal.Entry) { s.addOwed(p, e.Charges) }},
	list("Release", journal.Record, func(e *journal.Entry) []sms.MessageID { return e.Release }, (*Store).addUnclaim),
	list("Receipts", journal.Record, func(e *journal.Entry) []sms.ReceiptRequest { return e.Receipts }, (*Store).addReceipts).
		undone(func(s *Store, p goredis.Pipeliner, e *journal.Entry) {
			for i := range e.Receipts {
				p.Del(noContext, s.keys.receipt(e.Receipts[i].MsgID))
			}
		}),
	list("Records", journal.Record, func(e *journal.Entry) []sms.Record { return e.Records }, (*Store).addMessages).
		undone(func(s *Store, p goredis.Pipeliner, e *journal.Entry) {
			for i := range e.Records {
				p.Del(noContext, s.keys.record(e.Records[i].MsgID))
			}
		}),
	list("Expiries", journal.Record, func(e *journal.Entry) []sms.Expiry { return e.Expiries }, (*Store).addExpiries).
		undone(func(s *Store, p goredis.Pipeliner, e *journal.Entry) { s.addUnexpire(p, e.Expiries) }),
	list("Mappings", journal.Record, func(e *journal.Entry) []sms.Mapping { return e.Mappings }, (*Store).addMappings),
	list("Outcomes", journal.Record, func(e *journal.Entry) []sms.PartOutcome { return e.Outcomes }, (*Store).addOutcomes),
	list("Letters", journal.Record, func(e *journal.Entry) []queue.Letter { return e.Letters }, (*Store).addLetters),
	list("Confirm", journal.Conclude, func(e *journal.Entry) []billing.BillID { return e.Confirm }, (*Store).addConfirm),
	list("Changes", journal.Conclude, func(e *journal.Entry) []sms.StateChange { return e.Changes }, (*Store).addChanges),
	list("Forget", journal.Conclude, func(e *journal.Entry) []sms.MessageID { return e.Forget }, (*Store).addForget),
	list("Joined", journal.Conclude, func(e *journal.Entry) []sms.MessageID { return e.Joined }, (*Store).addJoined),
	list("Unexpire", journal.Conclude, func(e *journal.Entry) []sms.Expiry { return e.Unexpire }, (*Store).addUnexpire),
	list("DropLetters", journal.Conclude, func(e *journal.Entry) []queue.LetterID { return e.DropLetters }, (*Store).addLetterDrops),
	{field: "Ack", phase: journal.Conclude, has: func(e *journal.Entry) bool { return slices.ContainsFunc(e.Ack, remembered) },
		stage: func(s *Store, p goredis.Pipeliner, e *journal.Entry) {
			var ds []*queue.Delivery
			for _, a := range e.Ack {
				if remembered(a) {
					ds = append(ds, a.Delivery)
				}
			}
			s.addSettled(p, ds)
		}},
	{field: "Retry", phase: journal.Conclude, has: func(e *journal.Entry) bool { return len(e.Retry) > 0 },
		stage: func(s *Store, p goredis.Pipeliner, e *journal.Entry) {
			ds := make([]*queue.Delivery, len(e.Retry))
			for i := range e.Retry {
				ds[i] = e.Retry[i].Delivery
			}
			s.addSettled(p, ds)
		}},
}

func remembered(a journal.Ack) bool { return a.Remember }

// Admit makes what may refuse an entry, with an error of journal.Journal's Commit. One that brings work which is to be recorded here
// is refused while little memory is left.
func (s *Store) Admit(ctx context.Context, e *journal.Entry) error {
	if e.BringsWork() && slices.ContainsFunc(effects, func(x effect) bool { return x.phase <= journal.Record && x.has(e) }) {
		if err := s.room(); err != nil {
			return err
		}
	}
	for i := range effects {
		if x := &effects[i]; x.phase == journal.Admit && x.has(e) {
			if err := x.admit(s, ctx, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// TakeBack undoes Admit and Record of an entry of which nothing was published: reservations are given back, and of one that
// brings work, what was recorded is dropped. What another entry settles is recorded again when it is tried again.
func (s *Store) TakeBack(ctx context.Context, e *journal.Entry) error {
	var due []*effect
	for i := range effects {
		if x := &effects[i]; x.undo != nil && x.has(e) && (x.phase == journal.Admit || e.BringsWork()) {
			due = append(due, x)
		}
	}
	if len(due) == 0 {
		return nil
	}
	return s.do(ctx, func(p goredis.Pipeliner) {
		for _, x := range due {
			x.undo(s, p, e)
		}
	})
}

// Apply writes the phases Record and Conclude of an entry, as one change.
func (s *Store) Apply(ctx context.Context, e *journal.Entry) error {
	return s.carryOut(ctx, e, journal.Record, journal.Conclude)
}

// Write writes one of these phases, as one change. It asks nothing of Redis when the entry has nothing for it.
func (s *Store) Write(ctx context.Context, e *journal.Entry, phase journal.Phase) error {
	return s.carryOut(ctx, e, phase, phase)
}

func (s *Store) carryOut(ctx context.Context, e *journal.Entry, a, b journal.Phase) error {
	if err := validCharges(e.Charges); err != nil {
		return err
	}
	due := make([]*effect, 0, len(effects))
	for i := range effects {
		if x := &effects[i]; (x.phase == a || x.phase == b) && x.has(e) {
			due = append(due, x)
		}
	}
	if len(due) == 0 {
		return nil
	}
	return s.do(ctx, func(p goredis.Pipeliner) {
		for _, x := range due {
			x.stage(s, p, e)
		}
	})
}
