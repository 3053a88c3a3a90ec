package smppserver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/admission"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// member is a session whose bind was accepted. It is attached to the session.
type member struct {
	user     *user
	systemID string
	peer     string // address without port
	kind     pdu.BindType
	boundAt  time.Time
	receiver *receiver // nil for a transmitter
	bound    bool      // it counts in user.Stats; guarded by Server.mu
}

// user is what is kept of a user from his first bind until he is removed.
type user struct {
	uid      sms.UserID
	stats    UserStats
	sessions map[*smpp.Session]*member // guarded by Server.mu
}

// receiver counts what is delivered to a session.
type receiver struct {
	*smpp.Session
	user *user
}

// TrySend sends and counts.
func (r *receiver) TrySend(p pdu.PDU, done func(smpp.Response, error)) error {
	err := r.Session.TrySend(p, done)
	if err == nil {
		if p.CommandID() == pdu.CmdDataSM {
			r.user.stats.DataSMCount.Add(1)
		} else {
			r.user.stats.DeliverSMCount.Add(1)
		}
		r.user.stats.LastActivityAt.Set(time.Now())
	}
	return err
}

// bind decides about a bind (SMPP v3.4 §4.1; the status codes are Jasmin's). A refused one
// leaves the connection open for another try.
func (srv *Server) bind(ctx context.Context, s *smpp.Session, b *pdu.Bind) (pdu.Status, *pdu.BindResp) {
	srv.Stats.bindCount(b.Type).Add(1)
	log := srv.strangers.With("system_id", b.SystemID, "peer", s.RemoteAddr().String(), "bind", b.CommandID().String())
	u, err := srv.deps.Auth.Check(ctx, admission.AddressOf(s.RemoteAddr().String()), b.SystemID, b.Password)
	if err != nil {
		st := status(err)
		log.Warn("bind refused", "status", st.String(), "err", err)
		return st, nil
	}
	m := &member{systemID: b.SystemID, peer: host(s.RemoteAddr()), kind: b.Type, boundAt: time.Now()}
	if why, list := srv.reserve(s, m, u); why != "" {
		log.Warn("bind refused", "uid", string(u.UID), "status", pdu.StatusBindFail.String(), "reason", why, "from", m.peer, "list", list)
		return pdu.StatusBindFail, nil
	}
	if c := admission.Of(s.Conn()); c != nil {
		c.Known()
	}
	return pdu.StatusOK, nil
}

// reserve gives a session its place among those of its user, or says why it gets none. It looks
// at the account as it is now, so that a ban that comes between the check of the password and this
// finds the session or is found.
func (srv *Server) reserve(s *smpp.Session, m *member, checked *account.User) (why, list string) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	now := srv.current(m.systemID, checked.UID)
	if now == nil {
		return "the account has changed", ""
	}
	addr, _ := netip.ParseAddr(m.peer) // not valid if the peer has none
	u := srv.users[now.UID]
	bindings := 0
	if u != nil {
		bindings = len(u.sessions)
	}
	if why, list := now.AuthoriseBind(addr, bindings); why != "" {
		return why, list
	}
	if u == nil {
		u = &user{uid: now.UID, sessions: make(map[*smpp.Session]*member)}
		u.stats.ElinkCount = func() int64 { return srv.enquired(u) }
		srv.users[now.UID] = u
	}
	m.user = u
	if m.kind != pdu.Transmitter {
		m.receiver = &receiver{s, u}
	}
	u.sessions[s] = m
	s.Attach(m)
	return "", ""
}

// current gives an account as it is now; nil when it is disabled or no longer that of the uid.
func (srv *Server) current(systemID string, uid sms.UserID) *account.User {
	u, g := srv.deps.Accounts.Account(systemID)
	if u == nil || u.UID != uid || !u.Enabled || g == nil || !g.Enabled {
		return nil
	}
	return u
}

func memberOf(s *smpp.Session) *member {
	m, _ := s.Attachment().(*member)
	return m
}

// stateChanged follows sessions into their bind and out of it.
func (srv *Server) stateChanged(s *smpp.Session, from, to smpp.State) {
	m := memberOf(s)
	if m == nil {
		return
	}
	switch {
	case to.Bound():
		srv.mu.Lock()
		m.bound = true
		srv.mu.Unlock()
		srv.Stats.boundCount(m.kind).Add(1)
		st := &m.user.stats
		st.BindCount.Add(1)
		st.Bound.of(m.kind).Add(1)
		st.LastActivityAt.Set(time.Now())
		srv.log.Info("bound", "uid", string(m.user.uid), "system_id", m.systemID, "peer", m.peer, "bind", m.kind.String())
		if m.receiver != nil {
			srv.deps.Receivers.Bound(m.systemID, m.receiver)
		}
	case from.Bound():
		srv.leave(s, m)
	}
}

// leave is the end of a bind: nothing more is delivered to it.
func (srv *Server) leave(s *smpp.Session, m *member) {
	srv.mu.Lock()
	bound := m.bound
	m.bound = false
	srv.mu.Unlock()
	if !bound {
		return
	}
	srv.Stats.boundCount(m.kind).Add(-1)
	m.user.stats.Bound.of(m.kind).Add(-1)
	if m.receiver != nil {
		srv.deps.Receivers.Unbound(m.systemID, m.receiver)
	}
}

// ended frees the place of a session that has ended.
func (srv *Server) ended(s *smpp.Session, err error) {
	srv.Stats.DisconnectCount.Add(1)
	m := memberOf(s)
	if m == nil {
		return
	}
	srv.leave(s, m)
	st := &m.user.stats
	if errors.Is(err, smpp.ErrUnbound) {
		st.UnbindCount.Add(1)
	}
	st.ended.Add(int64(s.Stats().EnquireReceived)) //nolint:gosec // a count
	srv.mu.Lock()
	delete(m.user.sessions, s)
	srv.mu.Unlock()
	srv.log.Info("session ended", "uid", string(m.user.uid), "system_id", m.systemID, "peer", m.peer, "bind", m.kind.String(),
		"dur", time.Since(m.boundAt).Round(time.Millisecond), "reason", reason(err))
}

func reason(err error) string {
	if err == nil {
		return "unbound"
	}
	return err.Error()
}

// unbindTime is how long a session may take to finish what is under way when it is unbound.
const unbindTime = 5 * time.Second

// Unbind ends every session of a user: no more requests, unbind, close. It returns when all of
// them have ended. One that does not answer in time is closed all the same.
func (srv *Server) Unbind(ctx context.Context, uid sms.UserID) error {
	var wg sync.WaitGroup
	for _, s := range srv.sessionsOf(uid) {
		wg.Go(func() { srv.end(ctx, s) })
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (srv *Server) end(ctx context.Context, s *smpp.Session) {
	ctx, cancel := context.WithTimeout(ctx, unbindTime)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		srv.log.Info("session closed without an answer to unbind", "system_id", s.SystemID(), "peer", s.RemoteAddr().String(), "err", err)
		s.Close(nil)
	}
}

func (srv *Server) sessionsOf(uid sms.UserID) []*smpp.Session {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	u := srv.users[uid]
	if u == nil {
		return nil
	}
	out := make([]*smpp.Session, 0, len(u.sessions))
	for s := range u.sessions {
		out = append(out, s)
	}
	return out
}

// Review is called when accounts have changed: it ends, without waiting for it, the sessions
// of users who are gone or disabled, and forgets the counters of those who are gone.
func (srv *Server) Review() {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for uid, u := range srv.users {
		gone := len(u.sessions) == 0 && !srv.known(uid)
		for s, m := range u.sessions {
			if srv.current(m.systemID, uid) == nil && srv.ctx.Err() == nil {
				srv.ends.Go(func() { srv.end(srv.ctx, s) })
			}
		}
		if gone {
			delete(srv.users, uid)
		}
	}
}

// known tells whether a user still exists.
func (srv *Server) known(uid sms.UserID) bool { return srv.deps.Accounts.User(uid) != nil }

// host is an address without its port.
func host(a net.Addr) string {
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip, err := netip.ParseAddr(h); err == nil {
		return ip.Unmap().WithZone("").String()
	}
	return h
}
