package httpapi

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"

	"jasmind/internal/admission"
	"jasmind/internal/sms"
)

// inHand is a connection with the number of its requests that are in work: when there is none, nothing of what came
// is in hand any more.
type inHand struct {
	*admission.Conn
	requests atomic.Int32
}

type inHandKey struct{}

// remember gives the context of a connection's requests.
func remember(ctx context.Context, c net.Conn) context.Context {
	if conn := admission.Of(c); conn != nil {
		return context.WithValue(ctx, inHandKey{}, &inHand{Conn: conn})
	}
	return ctx
}

func inHandOf(r *http.Request) *inHand {
	h, _ := r.Context().Value(inHandKey{}).(*inHand)
	return h
}

// frugal refuses requests while clients that have not authenticated have too much in hand.
func (s *Server) frugal(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := inHandOf(r)
		if h == nil {
			next.ServeHTTP(w, r)
			return
		}
		h.requests.Add(1)
		defer func() {
			if h.requests.Add(-1) == 0 {
				h.Settle()
			}
		}()
		if !h.Request() {
			s.Stats.RequestCount.Add(1)
			w.Header().Set("Connection", "close")
			s.refuse(w, r, overBudget)
			return
		}
		next.ServeHTTP(w, r)
	})
}

var overBudget = &sms.Error{Reason: sms.ReasonUnavailable, Detail: "Too many requests are being received, try again later", Err: admission.ErrOverBudget}

// known is called when the sender of a request has authenticated.
func known(r *http.Request) {
	if h := inHandOf(r); h != nil {
		h.Settle()
	}
}
