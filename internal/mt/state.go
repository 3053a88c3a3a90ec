package mt

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"jasmind/internal/journal"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// record is what is kept of the message for who asks for its state.
func (p *prepared) record() sms.Record {
	first, until := &p.env.Parts[0], p.env.CreatedAt
	if p.env.ExpiresAt.After(until) {
		until = p.env.ExpiresAt
	}
	return sms.Record{MsgID: p.env.ID, UID: p.env.UID, CID: p.env.CID, Source: first.Source, Dest: first.Dest,
		DataCoding: first.DataCoding, ESMClass: first.ESMClass, Report: p.env.Report, Registered: first.RegisteredDelivery,
		Group: p.m.Group, ExpiresAt: p.env.ExpiresAt, Until: until.Add(p.keep), State: pdu.StateEnroute, Queued: true}
}

// Why a message cannot be asked for or changed.
var (
	// ErrUnknown: the user has no message of this id, or none any more.
	ErrUnknown = errors.New("there is no such message")
	// ErrAddress: the message has another source or destination address.
	ErrAddress = errors.New("the message has another address")
)

// stateStore is the part of journal.Store that tells the states of messages.
type stateStore interface {
	Records(ctx context.Context, ids []sms.MessageID) ([]sms.Record, error)
	Receipt(ctx context.Context, id sms.MessageID) (sms.ReceiptRequest, bool, error)
}

// States tells ESMEs what became of their messages, and changes those that are still queued.
// Its methods may be called concurrently.
type States struct {
	journal journal.Journal
	store   stateStore
}

// NewStates makes a States.
func NewStates(j journal.Journal, store stateStore) *States { return &States{j, store} }

// Subject names a message as its ESME does.
type Subject struct {
	UID    sms.UserID
	ID     sms.MessageID
	Source string // source_addr, "": whatever it is
	Dest   string // destination_addr of one message of a submit_multi, "": all of them
}

// groupMost is how many messages a submit_multi makes at most (SMPP v3.4 §5.2.24).
const groupMost = 254

// find gives the records of a message, several for a submit_multi.
func (s *States) find(ctx context.Context, m Subject) ([]sms.Record, error) {
	if m.ID == "" {
		return nil, ErrUnknown
	}
	recs, err := s.store.Records(ctx, []sms.MessageID{m.ID})
	if err != nil {
		return nil, Unavailable(err)
	}
	// The first message of a submit_multi may have been refused, and then has no record.
	if r := &recs[0]; r.MsgID == "" && queue.Told(m.ID) == m.ID || r.Group > 1 && r.UID == m.UID {
		n := r.Group
		if r.MsgID == "" {
			n = groupMost
		}
		ids := make([]sms.MessageID, n)
		for i := range ids {
			ids[i] = queue.OneOf(m.ID, i)
		}
		if recs, err = s.store.Records(ctx, ids); err != nil {
			return nil, Unavailable(err)
		}
	}
	recs = slices.DeleteFunc(recs, func(r sms.Record) bool { return r.MsgID == "" || r.UID != m.UID })
	if len(recs) == 0 {
		return nil, ErrUnknown
	}
	recs = slices.DeleteFunc(recs, func(r sms.Record) bool {
		return m.Source != "" && m.Source != r.Source.Addr || m.Dest != "" && m.Dest != r.Dest.Addr
	})
	if len(recs) == 0 {
		return nil, ErrAddress
	}
	for i := range recs {
		current(&recs[i])
	}
	return recs, nil
}

// current makes a record tell what its override has made of it.
func current(r *sms.Record) {
	if o := r.Override; o != nil {
		r.Report, r.Registered, r.ExpiresAt = o.Report, o.Registered, o.ExpiresAt
	}
}

// Query gives what is known of a message (SMPP v3.4 §4.8). Of the messages of a submit_multi it is the
// one that is not final yet, or else the one that ended worst. Errors: ErrUnknown, ErrAddress,
// *sms.Error when the store is away.
func (s *States) Query(ctx context.Context, m Subject) (sms.Record, error) {
	recs, err := s.find(ctx, m)
	if err != nil {
		return sms.Record{}, err
	}
	worst := recs[0]
	for _, r := range recs[1:] {
		if worst.Final.IsZero() {
			break
		}
		if r.Final.IsZero() || sms.StateOf(r.State).Compare(sms.StateOf(worst.State)) > 0 {
			worst = r
		}
	}
	return worst, nil
}

// Cancel cancels a message that is still queued (SMPP v3.4 §4.9): it is not submitted, and who asked
// for a receipt is told that it was deleted. Of a submit_multi, all that is still queued is cancelled, and
// the first that is not is the error. The connector drops the message when its turn comes; then what was charged for it
// is given back as for any message that no SMSC has taken. Errors beside those of Query: journal.ErrTooLate.
//
// A repeat is harmless: a message that is cancelled and still queued is cancelled, whoever was told.
func (s *States) Cancel(ctx context.Context, m Subject) error {
	return s.change(ctx, m, func(ctx context.Context, r *sms.Record) (*journal.Entry, error) {
		o := sms.Override{MsgID: r.MsgID, UID: r.UID, Version: 1, Nonce: rand.Uint64(), At: millisecond(time.Now()), Cancel: true,
			Report: r.Report, Registered: r.Registered, ExpiresAt: r.ExpiresAt}
		if before := r.Override; before != nil && before.Cancel {
			o = *before
		} else if before != nil {
			o.Version = before.Version + 1
		}
		e := &journal.Entry{Overrides: []sms.Override{o}}
		if r.Report != 0 {
			result := queue.SubmitResult{MsgID: r.MsgID, CID: r.CID, Status: pdu.StatusDeliveryFailure.String(), State: StateDeleted}
			e.Publish = append(e.Publish, queue.Publication{Queue: queue.DLRSubmitSMResp, Message: result.Message()})
		}
		if !r.ExpiresAt.IsZero() {
			e.Unexpire = append(e.Unexpire, expiry(r))
		}
		return e, nil
	})
}

// StateDeleted is the final state of a message that was cancelled.
const StateDeleted = "DELETED"

func expiry(r *sms.Record) sms.Expiry {
	return sms.Expiry{At: r.ExpiresAt, MsgID: r.MsgID, CID: r.CID, Report: r.Report}
}

// millisecond is a time as precise as it is stored.
func millisecond(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()) }

// Replacement is what a replace_sm asks for.
type Replacement struct {
	HasText      bool
	Text         []byte
	DefaultMsgID uint8
	Schedule     string        // "": as it was
	Validity     string        // "": as it was
	Valid        time.Duration // from now, with Validity
	Registered   uint8
	Report       sms.Report
	SystemID     string // who is told
}

// Replace changes a message that is still queued (SMPP v3.4 §4.10). ask tells what is to be changed
// of it, or refuses. Errors are those of Cancel and of ask.
//
// The new text is not shown to scripts and does not change the route or the price.
func (s *States) Replace(ctx context.Context, m Subject, ask func(*sms.Record) (Replacement, error)) error {
	return s.change(ctx, m, func(ctx context.Context, r *sms.Record) (*journal.Entry, error) {
		if o := r.Override; o != nil && o.Cancel {
			return nil, journal.ErrTooLate
		}
		want, err := ask(r)
		if err != nil {
			return nil, err
		}
		now := millisecond(time.Now())
		o := sms.Override{Version: 1, ExpiresAt: r.ExpiresAt}
		if r.Override != nil {
			o = *r.Override
			o.Version++
		}
		o.MsgID, o.UID, o.Nonce, o.At = r.MsgID, r.UID, rand.Uint64(), now
		if want.HasText {
			o.HasText, o.Text, o.DefaultMsgID = true, want.Text, want.DefaultMsgID
		}
		if want.Schedule != "" {
			o.Schedule = want.Schedule
		}
		if want.Validity != "" {
			o.Validity, o.ExpiresAt = want.Validity, millisecond(now.Add(want.Valid))
		}
		o.Registered, o.Report = want.Registered, want.Report
		e := &journal.Entry{Overrides: []sms.Override{o}}
		after := *r
		after.ExpiresAt, after.Report = o.ExpiresAt, o.Report
		if was, is := expiry(r), expiry(&after); was != is {
			if !was.At.IsZero() {
				e.Unexpire = append(e.Unexpire, was)
			}
			if !is.At.IsZero() {
				e.Expiries = append(e.Expiries, is)
			}
		}
		return e, s.receipts(ctx, e, r, &want)
	})
}

// receipts changes who is told of the message.
func (s *States) receipts(ctx context.Context, e *journal.Entry, r *sms.Record, want *Replacement) error {
	if r.Report == want.Report && r.Registered == want.Registered {
		return nil
	}
	if want.Report == 0 {
		e.Forget = append(e.Forget, r.MsgID, queue.LevelOne(r.MsgID))
		return nil
	}
	req, ok, err := s.store.Receipt(ctx, r.MsgID)
	if err != nil {
		return Unavailable(err)
	}
	if !ok {
		req = sms.ReceiptRequest{MsgID: r.MsgID, Origin: sms.OriginSMPP, CID: r.CID, Parts: 1, Expiry: sms.QueueStay + receiptStay,
			SystemID: want.SystemID, UID: r.UID, Source: r.Source, Dest: r.Dest, SubmittedAt: millisecond(time.Now())}
	}
	req.Report, req.RegisteredDelivery = want.Report, want.Registered
	e.Receipts = append(e.Receipts, req)
	if want.Report == sms.ReportSubmit|sms.ReportFinal {
		e.Receipts = append(e.Receipts, sms.ReceiptRequest{MsgID: queue.LevelOne(r.MsgID), Origin: req.Origin, CID: req.CID,
			Report: sms.ReportSubmit, Parts: req.Parts, Expiry: req.Expiry, SubmittedAt: req.SubmittedAt})
	}
	return nil
}

// receiptStay is how long a receipt is waited for that was asked for afterwards, unless the
// connector's dlr_expiry, which counts from the submission, says longer.
const receiptStay = 24 * time.Hour

// changeTries is how often a change is tried when another one came between.
const changeTries = 5

// change commits what f makes of each record of a message. Nothing is tried of a message that
// is too late before the store says so, since only it knows what is in a connector's hand.
func (s *States) change(ctx context.Context, m Subject, f func(context.Context, *sms.Record) (*journal.Entry, error)) error {
	recs, err := s.find(ctx, m)
	if err != nil {
		return err
	}
	var refused error
	for i := range recs {
		if err := s.changeOne(ctx, recs[i], f); err != nil && refused == nil {
			refused = err
		}
	}
	return refused
}

func (s *States) changeOne(ctx context.Context, r sms.Record, f func(context.Context, *sms.Record) (*journal.Entry, error)) error {
	for try := 1; ; try++ {
		e, err := f(ctx, &r)
		if err != nil {
			return err
		}
		err = s.journal.Commit(ctx, e)
		if !errors.Is(err, journal.ErrConflict) || try == changeTries {
			return Unavailable(err)
		}
		again, err := s.store.Records(ctx, []sms.MessageID{r.MsgID})
		if err != nil {
			return Unavailable(err)
		}
		if r = again[0]; r.MsgID == "" {
			return journal.ErrTooLate
		}
		current(&r)
	}
}
