package smscsim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"jasmind/internal/smpp"
)

// maxBody bounds what a request to the control API may carry.
const maxBody = 8 << 20

// apiError is an error with its HTTP status.
type apiError struct {
	code int
	err  error
}

func (e *apiError) Error() string { return e.err.Error() }
func (e *apiError) Unwrap() error { return e.err }

func badRequest(err error) error { return &apiError{http.StatusBadRequest, err} }

func notFound(format string, args ...any) error {
	return &apiError{http.StatusNotFound, fmt.Errorf(format, args...)}
}

// endpoint serves a request: a value for JSON, or an error. code is 200 unless it was set.
type endpoint func(r *http.Request) (v any, code int, err error)

func (f endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	v, code, err := f(r)
	if err != nil {
		code = http.StatusInternalServerError
		var ae *apiError
		if errors.As(err, &ae) {
			code = ae.code
		}
		v = map[string]string{"error": err.Error()}
	}
	if code == 0 {
		code = http.StatusOK
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	e.Encode(v) //nolint:errcheck // the client has gone
}

// index is what GET / shows.
const index = `smsc-sim control API

GET    /healthz                  is it up
GET    /stats                    counters
GET    /stats/ids                tagged messages #RUN:NUMBER#: arrived, duplicate, missing (?run=&first=&expect=)
GET    /messages                 list (?to=&from=&text=&account=&session=&operation=&status=&since=&after=&joined=&offset=&limit=)
GET    /messages/count           number (same filters)
GET    /messages/wait            until ?n= match, at most ?timeout= (same filters)
GET    /messages/{id}            one, by message_id
GET    /messages/by-number/{n}   one, by its number
DELETE /messages                 forget them
POST   /mo                       send a message to an ESME
POST   /outbind                  connect to an ESME that waits for outbind, and be bound to
GET    /behaviour                rules in force
PUT    /behaviour                replace them
DELETE /behaviour                return to those of the configuration
POST   /behaviour/rules          put one rule before the others
GET    /sessions                 list
DELETE /sessions                 drop all connections (?account=)
DELETE /sessions/{id}            drop the connection
POST   /sessions/{id}/unbind     unbind politely
POST   /reset                    forget messages, counters, receipts and rules
`

// Handler is the control API, for those who serve it themselves.
func (sim *Simulator) Handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f endpoint) { mux.Handle(pattern, f) }
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, index) //nolint:errcheck // the client has gone
	})
	handle("GET /healthz", func(*http.Request) (any, int, error) {
		select {
		case <-sim.stopping:
			return nil, 0, &apiError{http.StatusServiceUnavailable, ErrStopped}
		default:
			return map[string]string{"status": "ok"}, 0, nil
		}
	})
	handle("GET /stats", func(*http.Request) (any, int, error) { return sim.Stats(), 0, nil })
	handle("GET /stats/ids", sim.getIDs)
	handle("GET /messages", sim.getMessages)
	handle("GET /messages/count", sim.getCount)
	handle("GET /messages/wait", sim.getWait)
	handle("GET /messages/{id}", sim.getMessage)
	handle("GET /messages/by-number/{n}", sim.getMessageN)
	handle("DELETE /messages", func(*http.Request) (any, int, error) {
		sim.ClearMessages()
		return map[string]string{"status": "cleared"}, 0, nil
	})
	handle("POST /mo", sim.postMO)
	handle("POST /outbind", sim.postOutbind)
	handle("GET /behaviour", func(*http.Request) (any, int, error) { return sim.Behaviour(), 0, nil })
	handle("PUT /behaviour", sim.putBehaviour)
	handle("DELETE /behaviour", func(*http.Request) (any, int, error) {
		err := sim.ResetBehaviour()
		return sim.Behaviour(), 0, err
	})
	handle("POST /behaviour/rules", sim.postRule)
	handle("GET /sessions", func(*http.Request) (any, int, error) { return map[string]any{"sessions": sim.Sessions()}, 0, nil })
	handle("DELETE /sessions", sim.deleteSessions)
	handle("DELETE /sessions/{id}", sim.sessionAction(func(p *peer) { p.session.Close(errDropped) }, "dropped"))
	handle("POST /sessions/{id}/unbind", sim.sessionAction((*peer).unbind, "unbinding"))
	handle("POST /reset", func(*http.Request) (any, int, error) {
		sim.Reset()
		return map[string]string{"status": "reset"}, 0, nil
	})
	return guard(sim.cfg.HTTPHosts, mux)
}

// serveHTTP serves the control API until Stop. sim.mu is held.
func (sim *Simulator) serveHTTP(ctx context.Context, l net.Listener) {
	sim.server = &http.Server{
		Handler:           sim.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	server := sim.server
	context.AfterFunc(ctx, func() { server.Close() }) //nolint:errcheck // it ends
	sim.wg.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			sim.logger.Error("control API", "err", err)
		}
	})
}

// readJSON reads a request's body strictly.
func readJSON(r *http.Request, v any) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return badRequest(fmt.Errorf("body: %w", err))
	}
	if err := strictJSON(body, v); err != nil {
		return badRequest(fmt.Errorf("body: %w", err))
	}
	return nil
}

func (sim *Simulator) putBehaviour(r *http.Request) (any, int, error) {
	var b Behaviour
	if err := readJSON(r, &b); err != nil {
		return nil, 0, err
	}
	if err := sim.SetBehaviour(b); err != nil {
		return nil, 0, badRequest(err)
	}
	return sim.Behaviour(), 0, nil
}

func (sim *Simulator) postRule(r *http.Request) (any, int, error) {
	var rule Rule
	if err := readJSON(r, &rule); err != nil {
		return nil, 0, err
	}
	if err := sim.AddRule(rule); err != nil {
		return nil, 0, badRequest(err)
	}
	return sim.Behaviour(), http.StatusCreated, nil
}

func (sim *Simulator) postMO(r *http.Request) (any, int, error) {
	var mo MO
	if err := readJSON(r, &mo); err != nil {
		return nil, 0, err
	}
	result, _, err := sim.inject(r.Context(), mo)
	switch {
	case err == nil:
		return result, 0, nil
	case errors.Is(err, ErrNotBound):
		return nil, 0, &apiError{http.StatusConflict, err}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, smpp.ErrResponseTimeout):
		return nil, 0, &apiError{http.StatusGatewayTimeout, fmt.Errorf("the ESME did not answer: %w", err)}
	case errors.Is(err, smpp.ErrSessionClosed):
		return nil, 0, &apiError{http.StatusBadGateway, err}
	}
	return nil, 0, badRequest(err)
}

// SessionView is a connection as the API shows it.
type SessionView struct {
	ID          uint64    `json:"id"`
	Account     string    `json:"account"` // "" before the bind
	State       string    `json:"state"`   // OPEN, BOUND_TX, BOUND_RX, BOUND_TRX, UNBINDING, CLOSED
	Remote      string    `json:"remote"`
	Since       time.Time `json:"since"`
	Submissions uint64    `json:"submissions"` // requests, not messages
	Unanswered  int       `json:"unanswered"`  // requests of the ESME
	InFlight    int       `json:"in_flight"`   // requests of ours
	PDUsIn      uint64    `json:"pdus_in"`
	PDUsOut     uint64    `json:"pdus_out"`
	Malformed   uint64    `json:"malformed"` // PDUs that could not be read
}

// Sessions are the connections at this moment, oldest first.
func (sim *Simulator) Sessions() []SessionView {
	sim.mu.Lock()
	peers := make([]*peer, 0, len(sim.peers))
	for _, p := range sim.peers {
		peers = append(peers, p)
	}
	sim.mu.Unlock()
	slices.SortFunc(peers, func(a, b *peer) int { return int(a.id) - int(b.id) })
	list := make([]SessionView, 0, len(peers))
	for _, p := range peers {
		list = append(list, p.view())
	}
	return list
}

// Drop closes the connections of an account, all if account is "", and says how many.
func (sim *Simulator) Drop(account string) int {
	sim.mu.Lock()
	var peers []*peer
	for _, p := range sim.peers {
		if account == "" || p.systemID() == account {
			peers = append(peers, p)
		}
	}
	sim.mu.Unlock()
	for _, p := range peers {
		p.session.Close(errDropped)
	}
	return len(peers)
}

// Unbind ends the bound sessions of an account politely, all if account is "", and says how many. It
// waits for each unbind_resp.
func (sim *Simulator) Unbind(ctx context.Context, account string) (int, error) {
	sim.mu.Lock()
	var peers []*peer
	for _, p := range sim.peers {
		if p.session.State().Bound() && (account == "" || p.systemID() == account) {
			peers = append(peers, p)
		}
	}
	sim.mu.Unlock()
	var errs []error
	for _, p := range peers {
		errs = append(errs, p.session.Unbind(ctx))
	}
	return len(peers), errors.Join(errs...)
}

func (sim *Simulator) deleteSessions(r *http.Request) (any, int, error) {
	q := newQuery(r)
	account := q.text("account")
	if err := q.done(); err != nil {
		return nil, 0, err
	}
	return map[string]int{"dropped": sim.Drop(account)}, http.StatusAccepted, nil
}

func (sim *Simulator) sessionAction(f func(*peer), done string) endpoint {
	return func(r *http.Request) (any, int, error) {
		id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
		if err != nil {
			return nil, 0, badRequest(fmt.Errorf("session: %q is no number", r.PathValue("id")))
		}
		sim.mu.Lock()
		p := sim.peers[id]
		sim.mu.Unlock()
		if p == nil {
			return nil, 0, notFound("session: there is no %d", id)
		}
		f(p)
		return map[string]any{"session": id, "status": done}, http.StatusAccepted, nil
	}
}
