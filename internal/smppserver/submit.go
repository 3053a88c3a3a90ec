package smppserver

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"

	"jasmind/internal/account"
	"jasmind/internal/logging"
	"jasmind/internal/mt"
	"jasmind/internal/queue"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
	"jasmind/internal/smstext"
)

// serve takes a request of a bound session. It does not block: submissions go to the pool.
func (srv *Server) serve(s *smpp.Session, r *smpp.Request) {
	m := memberOf(s)
	if m == nil { // it never binds, so it never gets here
		srv.respond(r, pdu.StatusInvBndSts, nil)
		return
	}
	now := time.Now()
	st := &m.user.stats
	st.LastActivityAt.Set(now)
	k := strandKey{session: s}
	switch p := r.PDU.(type) {
	case *pdu.SubmitSM:
		k.source, k.dest = p.Source.Addr, p.Dest.Addr
	case *pdu.DataSM:
		k.source, k.dest = p.Source.Addr, p.Dest.Addr
		st.DataSMCount.Add(1)
	case *pdu.SubmitMulti:
		k.source, k.sequence = "submit_multi", r.Header.Sequence
	case *pdu.QuerySM, *pdu.CancelSM, *pdu.ReplaceSM:
		k.source, k.sequence = "state", r.Header.Sequence
		if !srv.work.add(k, job{r, m}) {
			srv.respond(r, pdu.StatusThrottled, nil)
		}
		return
	default:
		srv.respond(r, pdu.StatusInvCmdID, nil)
		return
	}
	if r.Header.ID != pdu.CmdDataSM {
		st.SubmitSMRequestCount.Add(1)
		srv.Stats.SubmitSMRequestCount.Add(1)
	}
	st.QoSLastSubmitSMAt.Set(now)
	if !srv.work.add(k, job{r, m}) {
		srv.refuse(job{r, m}, &sms.Error{Reason: sms.ReasonThrottled, Detail: "too many requests are in work"})
	}
}

// respond answers; a peer that is gone needs no answer.
func (srv *Server) respond(r *smpp.Request, st pdu.Status, resp pdu.PDU) {
	if err := r.Respond(st, resp); err != nil && !errors.Is(err, smpp.ErrSessionClosed) {
		srv.log.Error("answer not sent", "pdu", r.Header.ID.String(), "seq", r.Header.Sequence, "err", err)
	}
}

// guardedBatch is submitBatch, and answers ESME_RSYSERR for the requests that a defect left without an answer.
func (srv *Server) guardedBatch(jobs []job) {
	if logging.Guard(srv.log, "requests of an ESME", func() { srv.submitBatch(jobs) }) == nil {
		return
	}
	for _, j := range jobs {
		_ = j.r.Respond(pdu.StatusSysErr, nil) // an error: it was answered before, or the peer is gone
	}
}

// submitBatch submits the requests of one strand, in order. Those whose session has ended
// meanwhile are dropped: their sender got no answer and will send them again.
func (srv *Server) submitBatch(jobs []job) {
	ctx, cancel := context.WithTimeout(srv.ctx, srv.cfg.SubmitWait)
	defer cancel()
	var (
		ms   []*mt.Message
		mine []job
	)
	for _, j := range jobs {
		select {
		case <-j.r.Session().Done():
			continue
		default:
		}
		if p, ok := j.r.PDU.(*pdu.SubmitMulti); ok {
			srv.submitMulti(ctx, j, p)
			continue
		}
		if srv.manage(ctx, j) {
			continue
		}
		m, err := srv.message(j)
		if err != nil {
			srv.refuse(j, err)
			continue
		}
		ms, mine = append(ms, m), append(mine, j)
	}
	switch len(ms) {
	case 0:
	case 1:
		acc, err := srv.deps.Submit.Submit(ctx, ms[0])
		srv.countScript(ms[0])
		srv.conclude(mine[0], ms[0], acc, err)
	default:
		for i, res := range srv.deps.Submit.SubmitAll(ctx, ms) {
			srv.countScript(ms[i])
			srv.conclude(mine[i], ms[i], res.Accepted, res.Err)
		}
	}
}

// countScript counts the run of an interceptor.
func (srv *Server) countScript(m *mt.Message) {
	if m.Intercepted {
		srv.Stats.InterceptorCount.Add(1)
	}
}

// conclude answers a submit_sm or data_sm.
func (srv *Server) conclude(j job, m *mt.Message, acc mt.Accepted, err error) {
	if err != nil {
		srv.refuse(j, err)
		return
	}
	var resp pdu.PDU = &pdu.SubmitSMResp{MessageID: string(acc.ID)}
	if j.r.Header.ID == pdu.CmdDataSM {
		resp = &pdu.DataSMResp{MessageID: string(acc.ID)}
	}
	srv.accepted(j)
	srv.respond(j.r, pdu.StatusOK, resp)
	mt.LogAccepted(srv.log, m, acc, srv.content(m))
}

func (srv *Server) accepted(j job) {
	srv.Stats.SubmitSMCount.Add(1)
	j.m.user.stats.SubmitSMCount.Add(1)
}

// refuse answers an error and counts it.
func (srv *Server) refuse(j job, err error) {
	st := status(err)
	srv.count(j, st, err)
	srv.respond(j.r, st, nil)
}

func (srv *Server) count(j job, st pdu.Status, err error) {
	u := &j.m.user.stats
	if st == pdu.StatusThrottled {
		srv.Stats.ThrottlingErrorCount.Add(1)
		u.ThrottlingErrorCount.Add(1)
	} else {
		srv.Stats.OtherSubmitErrorCount.Add(1)
		u.OtherSubmitErrorCount.Add(1)
	}
	reason := sms.ReasonOf(err)
	log := srv.log.Warn
	switch reason {
	case sms.ReasonIntercepted, sms.ReasonInterceptor:
		srv.Stats.InterceptorErrorCount.Add(1)
	case sms.ReasonThrottled: // many, and the peer knows
		log = srv.log.Debug
	case sms.ReasonConnector, sms.ReasonQueueFull, sms.ReasonUnavailable, sms.ReasonInternal:
		log = srv.log.Error
	}
	log("request refused", "uid", string(j.m.user.uid), "system_id", j.m.systemID, "pdu", j.r.Header.ID.String(), "seq", j.r.Header.Sequence,
		"status", st.String(), "reason", reason.String(), "err", err)
}

// submitMulti submits one message to each destination (SMPP v3.4 §4.5). All of them have one
// message_id. When none was accepted, the answer has the status that all share, or
// ESME_RSUBMITFAIL.
func (srv *Server) submitMulti(ctx context.Context, j job, p *pdu.SubmitMulti) {
	if len(p.Dests) == 0 {
		srv.refuse(j, &sms.Error{Reason: sms.ReasonInvalid, Detail: "submit_multi without destinations", Override: &sms.StatusPair{SMPP: pdu.StatusInvNumDests}})
		return
	}
	id := sms.MessageID(uuid.NewString())
	errs := make([]error, len(p.Dests))
	ms := make([]*mt.Message, 0, len(p.Dests))
	of := make([]int, 0, len(p.Dests))
	for i, d := range p.Dests {
		if d.DistributionList != "" {
			errs[i] = &sms.Error{Reason: sms.ReasonInvalid, Detail: "there are no distribution lists", Override: &sms.StatusPair{SMPP: pdu.StatusInvDLName}}
			continue
		}
		one := p.Message
		one.Dest = d.Address
		m, err := srv.prepare(j.m, &one)
		if err != nil {
			errs[i] = err
			continue
		}
		m.ID = queue.OneOf(id, len(ms))
		ms, of = append(ms, m), append(of, i)
	}
	for _, m := range ms {
		m.Group = len(ms)
	}
	taken := 0
	for n, res := range srv.deps.Submit.SubmitAll(ctx, ms) {
		srv.countScript(ms[n])
		if errs[of[n]] = res.Err; res.Err == nil {
			taken++
			mt.LogAccepted(srv.log, ms[n], res.Accepted, srv.content(ms[n]))
		}
	}
	resp := &pdu.SubmitMultiResp{MessageID: string(id)}
	common := pdu.StatusOK
	for i, err := range errs {
		if err == nil {
			continue
		}
		st := status(err)
		resp.Unsuccess = append(resp.Unsuccess, pdu.UnsuccessSME{Address: p.Dests[i].Address, Status: st})
		if len(resp.Unsuccess) == 1 {
			common = st
		} else if st != common {
			common = pdu.StatusSubmitFail
		}
		srv.count(j, st, err)
	}
	if taken == 0 {
		srv.respond(j.r, common, nil)
		return
	}
	srv.accepted(j)
	srv.respond(j.r, pdu.StatusOK, resp)
}

// message makes of a request what mt takes.
func (srv *Server) message(j job) (*mt.Message, error) {
	switch p := j.r.PDU.(type) {
	case *pdu.SubmitSM:
		return srv.prepare(j.m, &p.Message)
	case *pdu.DataSM:
		m := pdu.Message{ServiceType: p.ServiceType, Source: p.Source, Dest: p.Dest, ESMClass: p.ESMClass, RegisteredDelivery: p.RegisteredDelivery,
			DataCoding: p.DataCoding, TLVs: append(pdu.TLVs(nil), p.TLVs...)}
		// submit_sm says this by its validity_period (SMPP v3.4 §5.3.2.9, §4.4.1).
		if seconds, ok := m.TLVs.Uint32(pdu.TagQOSTimeToLive); ok && seconds > 0 {
			m.TLVs.Del(pdu.TagQOSTimeToLive)
			m.ValidityPeriod = pdu.FormatRelative(time.Duration(seconds) * time.Second)
		}
		return srv.prepare(j.m, &m)
	}
	return nil, errors.New("not a submission: " + j.r.Header.ID.String())
}

// prepare authorises a message and notes what its sender has set. The message itself passes
// through as it is.
func (srv *Server) prepare(mem *member, p *pdu.Message) (*mt.Message, error) {
	u := srv.current(mem.systemID, mem.user.uid)
	if u == nil {
		return nil, &sms.Error{Reason: sms.ReasonAuthorization, Detail: "user " + string(mem.user.uid) + " is gone or disabled"}
	}
	m := &mt.Message{UID: u.UID, GID: u.GID, User: u, Origin: sms.OriginSMPP, PDU: *p, Set: mt.FieldCoding | mt.FieldPriority}
	now := time.Now()
	if p.ValidityPeriod != "" {
		t, err := pdu.ParseTime(p.ValidityPeriod, now)
		if err != nil || !t.After(now) {
			return nil, invalid("validity_period", p.ValidityPeriod)
		}
		m.Validity = t.Sub(now)
		m.Set |= mt.FieldValidity
	}
	if p.ScheduleDeliveryTime != "" {
		if _, err := pdu.ParseTime(p.ScheduleDeliveryTime, now); err != nil {
			return nil, invalid("schedule_delivery_time", p.ScheduleDeliveryTime)
		}
	}
	if p.Dest.Addr == "" {
		return nil, invalid("destination_addr", "")
	}
	if err := u.Authorise(account.SMPPSubmit, &account.Request{
		To: p.Dest.Addr, From: account.Param{Set: p.Source.Addr != "", Value: p.Source.Addr},
		Priority: account.Param{Set: p.PriorityFlag != 0, Value: strconv.Itoa(int(p.PriorityFlag))},
		Validity: account.Param{Set: p.ValidityPeriod != "", Value: minutes(m.Validity)},
		Schedule: p.ScheduleDeliveryTime != "", Level: p.RegisteredDelivery&asksForReceipts != 0,
		Content: func() string { return content(p) },
	}); err != nil {
		return nil, err
	}
	if p.Source.Addr == "" {
		m.PDU.Source.Addr = u.MT.DefaultSource
	}
	if m.PDU.Source.Addr != "" {
		m.Set |= mt.FieldSource
	}
	if what := srv.report(p.RegisteredDelivery); what != 0 {
		m.Report = mt.Report{What: what, SystemID: mem.systemID}
	}
	return m, nil
}

func invalid(field, value string) error {
	return &sms.Error{Reason: sms.ReasonInvalid, Field: field, Detail: field + " has an invalid value: " + strconv.Quote(value)}
}

// content is the text of a message without its user data header, for filters and logs.
func content(p *pdu.Message) string {
	octets := p.ShortMessage
	if len(octets) == 0 {
		octets, _ = p.TLVs.Get(pdu.TagMessagePayload)
	}
	if p.ESMClass&pdu.ESMUDHI != 0 {
		h, rest, err := smstext.ParseUDH(octets)
		if err == nil {
			return smstext.DecodeTables(rest, p.DataCoding, h.Tables())
		}
	}
	return smstext.Decode(octets, p.DataCoding)
}

// content is the text of an accepted message for the log.
func (srv *Server) content(m *mt.Message) logging.Content {
	return logging.Content{Text: content(&m.PDU), Privacy: srv.cfg.LogPrivacy}
}
