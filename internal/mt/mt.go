// Package mt is the one way in for mobile-terminated messages: every door calls Submit,
// and one door behaves like another because of that. Submit shows a message to the operator's
// script, routes it, applies the connector's defaults, cuts long content into parts and makes the message ours: when it
// returns without an error the message is durable.
package mt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"jasmind/internal/account"
	"jasmind/internal/billing"
	"jasmind/internal/intercept"
	"jasmind/internal/journal"
	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
	"jasmind/internal/smstext"
)

// Config holds the settings of Submit ([http-api] in jasmin.cfg).
type Config struct {
	MaxParts   int              // long_content_max_parts, default 5
	Split      smstext.Method   // long_content_split: udh or sar, default udh
	Overflow   smstext.Overflow // long_content_overflow: truncate (default) or reject (new)
	WideRef    bool             // long_content_ref_bits = 16: 16-bit reference numbers (new)
	LastReport bool             // dlr_parts = last: ask a receipt for the last part only
	Codings    []pdu.DataCoding // auto_codings: those that coding=auto chooses from, default 0 and 8 (new)
	FreeHTTP   bool             // billing_feature = False in [http-api]
	FreeSMPP   bool             // billing_feature = False in [smpp-server]
	// StateExpiry is how long the state of a message that an ESME submitted is kept, for query_sm,
	// cancel_sm and replace_sm ([smpp-server] message_state_expiry); zero: none is.
	StateExpiry time.Duration
}

// Field is a set of fields that the sender set himself, so that the connector's defaults
// leave them alone.
type Field uint16

// The fields with a connector default.
const (
	FieldSource Field = 1 << iota
	FieldCoding
	FieldPriority
	FieldValidity
	FieldLanguage
)

// Message is what a door hands in, authenticated and validated.
type Message struct {
	ID     sms.MessageID // given by the door; "": a new one
	UID    sms.UserID
	GID    sms.GroupID
	Origin sms.Origin
	// User is who sends: his throughput and his credit count. Nil: neither does.
	User *account.User

	// PDU holds the addresses, flags and, unless IsText, the user data in ShortMessage,
	// which may be longer than one short message.
	PDU pdu.Message
	// Text is UTF-8 content that is still to be encoded, in the coding that the sender set
	// or else in the connector's. Characters that the alphabet lacks become question marks.
	Text   string
	IsText bool
	// Auto has text encoded in the coding that carries all of it in the fewest parts,
	// whatever the coding of PDU is. The sender set it with FieldCoding.
	Auto bool
	// National are the tables that text in the GSM alphabet may use; with FieldLanguage.
	National smstext.National

	Set      Field
	Validity time.Duration // with FieldValidity
	Tags     []string
	// CustomTLVs are vendors' optional parameters that are still to be encoded, behind those
	// of PDU: their types may be those of the connector's rules.
	CustomTLVs []sms.CustomTLV

	// Group is how many messages the submit_multi made to which this one belongs; 0: it belongs to none.
	Group int

	// Report says what the sender wants to hear of; with OriginHTTP at URL by Method.
	Report Report

	// Intercepted is set by Submit, SubmitAll and Quote when a script was run on the message.
	Intercepted bool

	changed, locked intercept.Params // by the script
	encoded         encoded          // Text
}

// Report is a request for delivery receipts.
type Report struct {
	What     sms.Report
	URL      string // for OriginHTTP
	Method   string // GET or POST
	SystemID string // for OriginSMPP: the ESME that is told, as PDU.RegisteredDelivery says
}

// Accepted tells what became of an accepted message.
type Accepted struct {
	ID    sms.MessageID
	CID   sms.ConnectorID
	Parts int
}

// backlog tells how many messages wait in a queue.
type backlog interface {
	Length(ctx context.Context, name queue.Name) (int, error)
}

// Deps are what a Service works with. All are needed.
type Deps struct {
	Snapshots snapshots
	Scripts   *provision.Scripts
	// Bound tells whether a connector has a session that can submit, Quality how well it delivered of late.
	Bound   func(sms.ConnectorID) bool
	Quality func(sms.ConnectorID) (ratio float64, known bool)
	Ledger  ledger
	Journal journal.Journal
	Backlog backlog
	Log     *slog.Logger
}

// Service submits messages. Create it with New; it is safe for concurrent use.
type Service struct {
	cfg    Config
	deps   Deps
	limits limits
	rates  throughput
	refs   *smstext.References
	how    encoding
	log    *slog.Logger
}

// New makes a Service.
func New(cfg Config, d Deps) *Service {
	if cfg.MaxParts <= 0 {
		cfg.MaxParts = 5
	}
	if len(cfg.Codings) == 0 {
		cfg.Codings = usualCodings
	}
	how := encoding{codings: cfg.Codings, split: smstext.Options{Method: cfg.Split, Wide: cfg.WideRef, MaxParts: cfg.MaxParts, Overflow: cfg.Overflow}}
	return &Service{cfg: cfg, deps: d, how: how, limits: limits{backlog: d.Backlog, every: sampleEvery}, refs: smstext.NewReferences(), log: d.Log}
}

// Submit makes a message ours, and writes what scripts change and the defaults that it applies
// into m. Errors are *sms.Error for what the sender may see; anything else is our own fault.
// Without an error the message, all its parts, and the request for its receipts are durable,
// or a script has answered the message: then nothing was routed, charged or kept, and there is
// no connector.
func (s *Service) Submit(ctx context.Context, m *Message) (Accepted, error) {
	plan := s.plan()
	if a, err := plan.intercept(ctx, m); err != nil {
		return Accepted{}, err
	} else if a != nil {
		return answer(m, a), nil
	}
	p, err := s.prepare(ctx, plan, m)
	if err != nil {
		return Accepted{}, err
	}
	if err := s.commit(ctx, entryOf(p), p.env); err != nil {
		return Accepted{}, err
	}
	return p.accepted(), nil
}

// Result is what SubmitAll gives for one message.
type Result struct {
	Accepted
	Err error
}

// SubmitAll is Submit for messages that keep their order: those that follow each other to
// one connector become durable together, at the price of one.
func (s *Service) SubmitAll(ctx context.Context, ms []*Message) []Result {
	results := make([]Result, len(ms))
	var (
		batch []*prepared
		of    []int // the messages of batch
	)
	flush := func() {
		if len(batch) == 0 {
			return
		}
		// Some may be paid for, though all together are not. After any other refusal some may be in their queue, so that
		// a second try would send them twice.
		unpaid := func(err error) bool { return sms.ReasonOf(err) == sms.ReasonNoCredit }
		for i, err := range journal.Divide(batch, unpaid, func(batch []*prepared) error { return s.commit(ctx, entryOf(batch...), batch[0].env) }) {
			if results[of[i]].Err = err; err == nil {
				results[of[i]].Accepted = batch[i].accepted()
			}
		}
		batch, of = batch[:0], of[:0]
	}
	plan := s.plan()
	seen := plan.interceptAll(ctx, ms)
	for i, m := range ms {
		if seen != nil && seen[i].err != nil {
			results[i].Err = seen[i].err
			continue
		}
		if seen != nil && seen[i].answered != nil {
			results[i].Accepted = answer(m, seen[i].answered)
			continue
		}
		p, err := s.prepare(ctx, plan, m)
		if err != nil {
			results[i].Err = err
			continue
		}
		if len(batch) > 0 && batch[0].env.CID != p.env.CID {
			flush()
		}
		batch, of = append(batch, p), append(of, i)
	}
	flush()
	return results
}

// Forget drops what is remembered of a user who was removed.
func (s *Service) Forget(uid sms.UserID) { s.rates.forget(uid) }

// prepared is a message on its way to the journal.
type prepared struct {
	m      *Message
	cfg    *smppc.Config
	env    *sms.Envelope
	msg    queue.Message   // env, with its bill
	charge *billing.Charge // nil: nothing
	keep   time.Duration   // StateExpiry
}

func (p *prepared) accepted() Accepted {
	return Accepted{ID: p.env.ID, CID: p.env.CID, Parts: len(p.env.Parts)}
}

// prepare does what comes before a message is made durable.
func (s *Service) prepare(ctx context.Context, plan *plan, m *Message) (*prepared, error) {
	route, err := plan.route(ctx, m)
	if err != nil {
		return nil, err
	}
	if err := s.rates.allow(m.User, m.Origin); err != nil {
		return nil, err
	}
	cfg := route.Connector
	now := time.UnixMilli(time.Now().UnixMilli()) // the precision of an envelope
	env := &sms.Envelope{
		ID:        m.ID,
		CID:       cfg.CID,
		UID:       m.UID,
		Origin:    m.Origin,
		CreatedAt: now,
		Report:    m.Report.What,
		Failover:  route.Failover,
	}
	if env.ID == "" {
		env.ID = sms.MessageID(uuid.NewString())
	}
	applyDefaults(m, cfg, env, now)
	if env.Parts, err = s.parts(m, cfg, env); err != nil {
		return nil, err
	}
	if len(env.Parts) > 1 && m.Origin == sms.OriginHTTP && m.User != nil {
		// The door looked already, yet the connector's coding can make a message longer.
		if err := m.User.AuthoriseLong(); err != nil {
			return nil, err
		}
	}
	if err := s.limits.check(ctx, cfg); err != nil {
		return nil, err
	}
	p := &prepared{m: m, cfg: cfg, env: env, keep: s.cfg.StateExpiry}
	if p.charge, err = s.charge(m, route.Rate, env); err != nil {
		return nil, err
	}
	if p.msg, err = queue.EncodeEnvelope(env); err != nil {
		if fe := new(pdu.FieldError); errors.As(err, &fe) {
			return nil, &sms.Error{Reason: sms.ReasonInvalid, Field: fe.Field, Detail: fe.Error(), Err: err}
		}
		return nil, err
	}
	return p, nil
}

// addTo adds what must be durable before the sender is answered: the request for receipts,
// the index of the end of validity, and the message.
func (p *prepared) addTo(e *journal.Entry) {
	m, cfg, env := p.m, p.cfg, p.env
	e.Publish = append(e.Publish, queue.Publication{Queue: queue.SubmitSM(env.CID), Message: p.msg})
	if p.charge != nil {
		e.Charges = append(e.Charges, *p.charge)
	}
	if env.Report != 0 {
		req := sms.ReceiptRequest{
			MsgID: env.ID, UID: m.UID, Origin: m.Origin, CID: env.CID, Report: env.Report, Parts: len(env.Parts), Expiry: sms.QueueStay + cfg.DLRExpiry,
			URL: m.Report.URL, Method: m.Report.Method, SystemID: m.Report.SystemID, SubmittedAt: env.CreatedAt,
			Source: env.Parts[0].Source, Dest: env.Parts[0].Dest, RegisteredDelivery: m.PDU.RegisteredDelivery,
		}
		e.Receipts = append(e.Receipts, req)
		if env.Report == sms.ReportSubmit|sms.ReportFinal {
			e.Receipts = append(e.Receipts, sms.ReceiptRequest{MsgID: queue.LevelOne(env.ID), Origin: m.Origin, CID: env.CID,
				Report: sms.ReportSubmit, Parts: len(env.Parts), Expiry: sms.QueueStay + cfg.DLRExpiry, SubmittedAt: env.CreatedAt})
		}
	}
	if m.Origin == sms.OriginSMPP && p.keep > 0 {
		e.Records = append(e.Records, p.record())
	}
	if !env.ExpiresAt.IsZero() {
		e.Expiries = append(e.Expiries, sms.Expiry{At: env.ExpiresAt, MsgID: env.ID, CID: env.CID, Report: env.Report})
	}
}

// entryOf is the entry that accepts messages.
func entryOf(ps ...*prepared) *journal.Entry {
	e := new(journal.Entry)
	for _, p := range ps {
		p.addTo(e)
	}
	return e
}

// commit makes an entry durable. All its messages go to the connector of env, which names it
// in errors.
func (s *Service) commit(ctx context.Context, e *journal.Entry, env *sms.Envelope) error {
	err := s.deps.Journal.Commit(ctx, e)
	if err == nil {
		for range e.Publish {
			s.limits.accepted(env.CID)
		}
		return nil
	}
	var refused *sms.Error
	switch {
	case errors.As(err, &refused):
		return err // no credit
	case errors.Is(err, queue.ErrNoQueue):
		return &sms.Error{Reason: sms.ReasonConnector, Detail: fmt.Sprintf("connector %s does not exist", env.CID), Err: err}
	}
	if err := Unavailable(err); sms.ReasonOf(err) == sms.ReasonUnavailable {
		return err
	}
	return fmt.Errorf("accept message %s for %s: %w", env.ID, env.CID, err)
}

// Unavailable makes an error of broker or store one that the sender may see, if it will pass
// by itself; any other error it leaves alone.
func Unavailable(err error) error {
	if err != nil && journal.Passes(err) {
		return &sms.Error{Reason: sms.ReasonUnavailable, Detail: "message store is unavailable, try again later", Err: err}
	}
	return err
}
