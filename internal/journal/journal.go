// Package journal describes the effects that belong together: what must be durable
// before somebody is answered or a message leaves its queue.
//
// Accepting a message and settling an attempt are Entries. The embedded driver
// (journal/embedded) commits an Entry as one atomic synced batch. The services driver
// (journal/services) carries it out in phases, each step idempotent:
//
//   - Admit: Overrides, Charges
//   - Record: Charges, Release, Receipts, Records, Expiries, Mappings, Outcomes, Letters
//   - Publish: Publish, Retry
//   - Conclude: Charges, Confirm, Changes, Forget, Joined, Unexpire, DropLetters, Ack, Retry
//   - Acknowledge: Ack, Retry
//
// So a crash in between repeats effects, never loses one; a repeat of Commit with the same
// Entry is harmless.
package journal

import (
	"context"
	"errors"
	"time"

	"jasmind/internal/billing"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

// Entry is a set of effects that belong together. Empty fields mean nothing to do.
type Entry struct {
	// Charges take from users' credit. When one that is not Owed finds too little, the
	// entry is refused with *sms.Error (ReasonNoCredit) and nothing of it happens.
	Charges []billing.Charge
	// Confirm names bills of messages that leave their queue: one whose charge was given
	// back meanwhile, since the driver could not know that its message is in the queue, is
	// charged again, once.
	Confirm []billing.BillID

	// Overrides change messages that are queued. When one comes too late (ErrTooLate, ErrConflict)
	// the entry is refused and nothing of it happens.
	Overrides []sms.Override

	Receipts []sms.ReceiptRequest // remember who asked
	Records  []sms.Record         // states of messages of ESMEs
	Changes  []sms.StateChange    // what became of them; those that Left are in no connector's hand any more
	Release  []sms.MessageID      // they are in no connector's hand any more, and queued: Overrides may come again
	Expiries []sms.Expiry         // index ends of validity
	Mappings []sms.Mapping        // from the SMSC's ids to ours
	Outcomes []sms.PartOutcome    // what became of parts of long messages
	Letters  []queue.Letter       // keep dead letters; one that is there is left alone, and so is what its delivery brings again after it was dropped
	Publish  []queue.Publication  // durable when Commit returns
	Forget   []sms.MessageID      // drop the ReceiptRequest and the outcomes of these
	Joined   []sms.MessageID      // drop the parts of these long MOs
	Unexpire []sms.Expiry         // drop from the index of ends of validity
	// DropLetters are dead letters that are kept no longer; one that is not there is no error.
	DropLetters []queue.LetterID
	Ack         []Ack         // leave their queue
	Retry       []queue.Retry // go back to their queue, after a delay
}

// Empty tells whether there is nothing to do.
func (e *Entry) Empty() bool {
	return len(e.Charges)+len(e.Confirm)+len(e.Overrides)+len(e.Receipts)+len(e.Records)+len(e.Changes)+len(e.Release)+
		len(e.Expiries)+len(e.Mappings)+len(e.Outcomes)+len(e.Letters)+len(e.Publish)+len(e.Forget)+len(e.Joined)+
		len(e.Unexpire)+len(e.DropLetters)+len(e.Ack)+len(e.Retry) == 0
}

// BringsWork tells whether the entry only makes new work: it publishes and settles nothing. Such an entry is refused
// early when there is no room for it, so that what is under way can be settled; its caller tells whoever
// brought it, and does not repeat it under the same ids.
func (e *Entry) BringsWork() bool { return len(e.Publish) > 0 && len(e.Ack)+len(e.Retry) == 0 }

// Why an Override is refused.
var (
	// ErrTooLate: the message has no Record of the user (any more), has left its queue, or is in a
	// connector's hand.
	ErrTooLate = errors.New("too late to change the message")
	// ErrConflict: it was made for another version of the Record than there is.
	ErrConflict = errors.New("the message was changed meanwhile")
)

// Ack takes a delivery out of its queue.
type Ack struct {
	Delivery *queue.Delivery
	// Remember records that this attempt was settled, under the delivery's Key, so that a
	// redelivery of it (RabbitMQ does not confirm acknowledgements) is recognised by
	// Settled. A driver whose acknowledgement is atomic with the Entry need not record it.
	// A Retry is always remembered.
	Remember bool
}

// Journal commits entries.
type Journal interface {
	// Commit makes the entry durable and returns nil, or returns an error and has
	// acknowledged nothing. Concurrent calls share round trips and syncs. Errors wrap
	// queue.ErrUnavailable (try again later), queue.ErrNoQueue (a queue of Publish does
	// not exist), ErrTooLate or ErrConflict, or are *sms.Error (no credit). A stale delivery in Ack is no error: its message comes again and is
	// found settled.
	Commit(ctx context.Context, e *Entry) error
	// Settled tells for each delivery whether this very attempt was settled before. It is
	// asked for deliveries marked redelivered, and for those with Attempts, of which there may be two copies.
	Settled(ctx context.Context, ds []*queue.Delivery) ([]bool, error)
}

// Store is the reading side: what entries put there.
type Store interface {
	// Receipt gives the request under a message id; ok is false if there is none (any more).
	Receipt(ctx context.Context, id sms.MessageID) (r sms.ReceiptRequest, ok bool, err error)
	// Mapping gives the message behind an SMSC's id (normalised), ok as for Receipt.
	Mapping(ctx context.Context, account sms.Account, smppMsgID string) (m sms.Mapping, ok bool, err error)
	// Submissions gives the recorded submission outcomes of a long message's parts, in
	// order of part; those not recorded are missing.
	Submissions(ctx context.Context, id sms.MessageID) ([]sms.PartOutcome, error)
	// RecordFinal records the final state of one part, atomically, and gives the final
	// outcomes of all parts known by now, in order of part. Recording a part again changes
	// nothing and gives the same list.
	RecordFinal(ctx context.Context, o sms.PartOutcome) ([]sms.PartOutcome, error)
	// Expired gives up to limit index entries whose time has come, oldest first; they stay
	// until an Entry's Unexpire.
	Expired(ctx context.Context, limit int) ([]sms.Expiry, error)
	// Records gives the record of each message, in order; one that is not there (any more) has no MsgID.
	Records(ctx context.Context, ids []sms.MessageID) ([]sms.Record, error)
	// Claim takes messages in hand: from now on Overrides of them are refused, until a Change or
	// Release. It gives the overrides that there are. Claiming twice is harmless.
	Claim(ctx context.Context, ids []sms.MessageID) ([]sms.Override, error)
	// Unclaim is Release for messages that go back to their queue unsent.
	Unclaim(ctx context.Context, ids []sms.MessageID) error
}

// Parts collects the parts of long MOs. What is released stays until an Entry's Joined, and is
// released again, complete, when that did not come within the claim: its owner has died. So none is
// lost, and one is published twice only when its owner died, or could not drop it, in between.
type Parts interface {
	// AddPart makes a part durable, and gives what it released, to this caller alone: its
	// message when it was the last part; and, as far as it came, an earlier message under the same
	// key that has other content at its place. A part that is there already changes nothing. id becomes
	// that of the message when this is its first part. Without another part a message is released
	// by ReleaseParts after wait.
	AddPart(ctx context.Context, p sms.LongPart, id sms.MessageID, wait, claim time.Duration) ([]sms.LongMO, error)
	// ReleaseParts gives up to limit messages whose time has come, to this caller alone: those that
	// had no new part for their wait, and those that were released and not dropped within the claim.
	ReleaseParts(ctx context.Context, limit int, wait, claim time.Duration) ([]sms.LongMO, error)
}

// Letters is the reading side of dead letters, and what keeps two from bringing the same one
// back. Reading and claiming cost as much as what is read or claimed, however many there are.
type Letters interface {
	// Letters gives up to limit letters behind the id after ("": from the first), in the order of their ids; of
	// one queue, or of all if that is "".
	Letters(ctx context.Context, from queue.Name, after queue.LetterID, limit int) ([]queue.Letter, error)
	// Letter gives one letter, ok is false if it is not there.
	Letter(ctx context.Context, id queue.LetterID) (l queue.Letter, ok bool, err error)
	// CountLetters counts letters by queue and cause, in no order; it never looks at them.
	CountLetters(ctx context.Context) ([]LetterCount, error)
	// ClaimLetters marks those of the letters that are there and unclaimed, or of all that are
	// there if again is set, as claimed at a time, and tells which. Of two calls at the same
	// time only one gets a letter, unless again is set.
	ClaimLetters(ctx context.Context, at time.Time, again bool, ids ...queue.LetterID) ([]queue.LetterID, error)
	// UnclaimLetters takes the marks away.
	UnclaimLetters(ctx context.Context, ids ...queue.LetterID) error
}

// LetterCount is how many dead letters there are of one queue and cause.
type LetterCount struct {
	Queue queue.Name
	Cause queue.Cause
	Count int
}
