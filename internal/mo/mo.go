// Package mo takes mobile-originated messages from connectors: it runs the operator's interceptor
// on each, joins the parts of long ones, finds the route, and queues the message for a URL
// (deliver_sm_thrower.http) or for an ESME (deliver_sm_thrower.smpps). It knows neither sessions
// nor what becomes of the message there.
//
//	s := mo.New(mo.Config{}, mo.Deps{...})
//	wg.Go(func() { err = s.Run(ctx) })      // releases long messages whose parts do not come
//	status := s.Accept(ctx, cid, pdu)       // what to answer the SMSC
//
// ESME_ROK means that the message is durable: queued, or, a part of a long message, in the store. What
// cannot be made durable now is answered ESME_RX_T_APPN, so that the SMSC keeps it.
//
// # Long messages
//
// Interceptors see each part, since each has an answer of its own. Parts are then collected in the
// store, under connector, sender, recipient, reference and number of parts, until the last has come or
// none came for Config.LongTimeout. The message is routed once, by the first part's fields and the
// whole text: a URL is called once, an ESME gets the parts as they were, in order. One whose parts are
// missing goes out as far as it came and says so.
//
// Delivery is at least once. A message is published and its parts are dropped in one journal entry. When
// that fails, or the gateway dies before, Run publishes it a claim later, under the same id. A part that
// the SMSC sends again while the message is collected changes nothing; after that it is recognised, and
// dropped when nothing new joins it.
package mo

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"jasmind/internal/intercept"
	"jasmind/internal/journal"
	"jasmind/internal/provision"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// Config holds the settings of the MO flow.
type Config struct {
	LongTimeout time.Duration // long_mo_timeout: how long the next part of a long message is waited for, default 5 min
	LogPrivacy  bool          // log_privacy: no text in the message log
	Patience    time.Duration // for making one message durable, default 20 s; then the SMSC is told to try again
	Claim       time.Duration // until a joined message that could not be queued is tried again, default 30 s
	Sweep       time.Duration // between looks for long messages whose time has come, default a hundredth of LongTimeout, 1 s at most
}

func (c *Config) defaults() {
	if c.LongTimeout <= 0 {
		c.LongTimeout = 5 * time.Minute
	}
	if c.Patience <= 0 {
		c.Patience = 20 * time.Second
	}
	if c.Claim <= 0 {
		c.Claim = 30 * time.Second
	}
	if c.Sweep <= 0 {
		c.Sweep = min(max(c.LongTimeout/100, 20*time.Millisecond), time.Second)
	}
}

// Metrics counts what the MO flow did. Fields may be read at any time.
type Metrics struct {
	Accepted   atomic.Int64 `metric:"jasmind_mo_accepted_total" help:"MO answered with ESME_ROK, parts of long ones and those without a route included."`
	Refused    atomic.Int64 `metric:"jasmind_mo_refused_total" help:"MO answered with an error: by an interceptor, or because they could not be made durable."`
	Parts      atomic.Int64 `metric:"jasmind_mo_parts_total" help:"Parts of long MO that were stored."`
	Joined     atomic.Int64 `metric:"jasmind_mo_joined_total" help:"Long MO queued with all parts."`
	Incomplete atomic.Int64 `metric:"jasmind_mo_incomplete_total" help:"Long MO queued without some parts, after long_mo_timeout."`
	Repeats    atomic.Int64 `metric:"jasmind_mo_repeats_total" help:"Parts of MO that came again after their message, dropped."`
	HTTP       atomic.Int64 `metric:"jasmind_mo_http_total" help:"MO queued for URLs."`
	SMPPS      atomic.Int64 `metric:"jasmind_mo_smpps_total" help:"MO queued for ESMEs."`
	Unrouted   atomic.Int64 `metric:"jasmind_mo_unrouted_total" help:"MO without a route, moved to the dead-letter queue."`
}

// Deps are what the MO flow works with.
type Deps struct {
	Snapshots snapshots
	Scripts   *provision.Scripts
	// HasSession tells whether an ESME has a session that takes deliver_sm.
	HasSession func(systemID string) bool
	Journal    journal.Journal
	Parts      journal.Parts
	// Intercepted is told, of each message that a script was run on, whether it let it through; nil: nobody is.
	Intercepted func(cid sms.ConnectorID, ok bool)
	Messages    *slog.Logger // the message log: one record for each line, its message the line as it is; nil: none
	Log         *slog.Logger // nil: none
}

// Service is the MO flow. Create it with New. Accept may be called from any goroutine.
type Service struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	Metrics Metrics

	mu   sync.Mutex // guards hand
	hand map[sms.MessageID]struct{}
}

// New makes the MO flow.
func New(cfg Config, deps Deps) *Service {
	cfg.defaults()
	if deps.Messages == nil {
		deps.Messages = slog.New(slog.DiscardHandler)
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Intercepted == nil {
		deps.Intercepted = func(sms.ConnectorID, bool) {}
	}
	return &Service{cfg: cfg, deps: deps, log: deps.Log, hand: make(map[sms.MessageID]struct{})}
}

// temporary is the answer that makes an SMSC try again later (SMPP v3.4 §5.1.3).
const temporary = pdu.StatusRxTAppn

// Accept takes a deliver_sm or data_sm that is no receipt, and gives the status to answer.
func (s *Service) Accept(ctx context.Context, cid sms.ConnectorID, p pdu.PDU) pdu.Status {
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.Patience, errSlow)
	defer cancel()
	status := s.accept(ctx, cid, p)
	if status == pdu.StatusOK {
		s.Metrics.Accepted.Add(1)
	} else {
		s.Metrics.Refused.Add(1)
	}
	return status
}

var errSlow = errors.New("not durable in time")

func (s *Service) accept(ctx context.Context, cid sms.ConnectorID, p pdu.PDU) pdu.Status {
	m, err := newMessage(cid, p)
	if err != nil {
		s.log.Error("message refused", "cid", string(cid), "err", err)
		return pdu.StatusInvCmdID
	}
	if wrong, status := m.repair(); status != pdu.StatusOK {
		s.log.Error("message refused", "cid", string(cid), "status", status.String(), "err", wrong[0])
		return status
	} else if wrong != nil {
		s.log.Info("message with odd fields", "cid", string(cid), "from", m.PDU.Source.Addr, "to", m.PDU.Dest.Addr, "odd", strings.Join(wrong, ", "))
	}
	digest := m.digest()
	plan := s.plan()
	done, status := plan.intercept(ctx, m)
	if done {
		return status
	}
	if m.Segment().Long() {
		return s.part(ctx, m, digest)
	}
	id := sms.MessageID(uuid.NewString())
	e, err := plan.entry(ctx, id, m, []*Message{m}, 1)
	if err == nil {
		var observed queue.Publication
		if observed, err = queue.MOCopy(id, cid, m.Time, m.wire(), false); err == nil {
			e.Publish = append(e.Publish, observed)
			err = s.deps.Journal.Commit(ctx, &e.Entry)
		}
	}
	if err != nil {
		s.log.Error("message cannot be queued", "cid", string(cid), "status", temporary.String(), "err", err)
		return temporary
	}
	s.queued(id, m, e)
	return pdu.StatusOK
}

// intercept runs the script that is meant for a message, if any, and makes its changes. done tells
// that the journey ends here, with the status.
func (p *plan) intercept(ctx context.Context, m *Message) (done bool, status pdu.Status) {
	i := p.interceptor(ctx, m)
	if i == nil {
		return false, 0
	}
	s := p.Service
	v, err := s.deps.Scripts.Run(ctx, p.snap, i, m.view())
	if err == nil && v.Answered == nil {
		err = m.apply(v)
	}
	s.deps.Intercepted(m.CID, err == nil)
	if err == nil {
		if v.Answered == nil {
			return false, 0
		}
		s.logIntercepted(m, pdu.StatusOK)
		return true, pdu.StatusOK
	}
	status = temporary
	var refused *sms.Error
	if errors.As(err, &refused) && refused.Override != nil && !errors.Is(err, intercept.ErrNotRun) {
		status = refused.Override.SMPP
	} else {
		s.log.Error("message cannot be intercepted", "cid", string(m.CID), "status", status.String(), "err", err)
	}
	s.logIntercepted(m, status)
	return true, status
}

// work is a journal entry that moves a message on.
type work struct {
	journal.Entry
	route Route
	none  bool // without a route
}

// entry makes what queues a message. whole is what routes see, parts are what is sent.
func (p *plan) entry(ctx context.Context, id sms.MessageID, whole *Message, parts []*Message, total int) (*work, error) {
	w := &work{}
	var err error
	if w.route, err = p.route(ctx, whole); errors.Is(err, ErrNoRoute) {
		w.none = true
		m := queue.Message{ID: string(id), ContentType: queue.ContentPDU, Headers: queue.Headers{
			{Name: queue.HeaderConnector, Str: string(whole.CID)}, {Name: queue.HeaderCreatedAt, Int: whole.Time.UnixMilli(), IsInt: true}}}
		for _, part := range parts {
			if m.Body, err = pdu.Append(m.Body, pdu.StatusOK, 0, part.wire()); err != nil {
				return nil, err
			}
		}
		w.Publish = append(w.Publish, queue.Bury(&queue.Delivery{Queue: queue.DeliverSM(whole.CID), Message: m}, ErrNoRoute.Error()))
		return w, nil
	}
	if err != nil {
		return nil, err
	}
	if w.route.SystemID != "" {
		for _, part := range parts {
			pid := id
			if len(parts) > 1 || total > 1 {
				pid = partID(id, int(part.Segment().Concat.Seq))
			}
			pub, err := queue.MOToESME(pid, w.route.SystemID, whole.Time, part.wire())
			if err != nil {
				return nil, err
			}
			w.Publish = append(w.Publish, pub)
		}
		return w, nil
	}
	call := queue.MOCall{MsgID: id, Targets: w.route.HTTP, CID: whole.CID, CreatedAt: whole.Time, Total: total, TLVTypes: w.route.TLVTypes}
	for _, part := range parts {
		call.Parts = append(call.Parts, pdu.DeliverSM{Message: part.PDU})
	}
	m, err := call.Message()
	if err != nil {
		return nil, err
	}
	w.Publish = append(w.Publish, queue.Publication{Queue: queue.DeliverSMHTTP, Message: m})
	return w, nil
}

// queued counts and logs a message that is durable.
func (s *Service) queued(id sms.MessageID, m *Message, w *work) {
	switch {
	case w.none:
		s.Metrics.Unrouted.Add(1)
		s.log.Warn("message without a route moved to the dead-letter queue", "cid", string(m.CID), "msgid", string(id), "from", m.PDU.Source.Addr, "to", m.PDU.Dest.Addr)
	case w.route.SystemID != "":
		s.Metrics.SMPPS.Add(1)
		s.log.Debug("message queued for an ESME", "cid", string(m.CID), "msgid", string(id), "system_id", w.route.SystemID)
	default:
		s.Metrics.HTTP.Add(1)
		s.log.Debug("message queued for a URL", "cid", string(m.CID), "msgid", string(id), "http_connector", string(w.route.HTTP[0].CID))
	}
	s.logMO(id, m)
}
