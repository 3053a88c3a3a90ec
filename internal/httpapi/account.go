package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/account"
	"jasmind/internal/admission"
	"jasmind/internal/billing"
	"jasmind/internal/mt"
	"jasmind/internal/sms"
)

// ledger tells what users have left.
type ledger interface {
	Credit(ctx context.Context, uid sms.UserID, open billing.Credit) (billing.Credit, error)
}

// rateFields are those of /rate, in the original's order (HTTP API, "Http rate request
// parameters", and what else /send has that a route may look at).
var rateFields = func() fields {
	var out fields
	for _, name := range []string{"to", "from", "coding", "username", "password", "priority", "validity-period", "tags", "content", "hex-content", "language"} {
		for _, f := range sendFields {
			if f.name == name {
				out = append(out, f)
			}
		}
	}
	return out
}()

// balanceFields are those of /balance.
var balanceFields = func() fields {
	var out fields
	for _, f := range sendFields {
		if f.name == "username" || f.name == "password" {
			out = append(out, f)
		}
	}
	return out
}()

// rate answers what a message would cost.
func (s *Server) rate(w http.ResponseWriter, r *http.Request) {
	s.answer(w, r, s.handleRate)
}

// balance answers what a user has left.
func (s *Server) balance(w http.ResponseWriter, r *http.Request) {
	s.answer(w, r, s.handleBalance)
}

// answer writes the JSON document that handle gives, or the refusal as a JSON string.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, handle func(http.ResponseWriter, *http.Request) (string, error)) {
	s.Stats.RequestCount.Add(1)
	s.Stats.LastRequestAt.Set(time.Now())
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		writeJSON(w, http.StatusMethodNotAllowed, quoted("Method "+r.Method+" is not allowed, use GET or POST."))
		return
	}
	body, err := handle(w, r)
	if err != nil {
		status, text := s.refusal(w, r, err)
		writeJSON(w, status, quoted(text))
		return
	}
	writeJSON(w, http.StatusOK, body)
}

func writeJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // the client may be gone
}

// quoted is s as a JSON string.
func quoted(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always can be
	return strings.TrimSuffix(b.String(), "\n")
}

func (s *Server) handleRate(w http.ResponseWriter, r *http.Request) (string, error) {
	a, err := s.arguments(w, r)
	if err != nil {
		return "", err
	}
	if err := rateFields.validate(a); err != nil {
		return "", err
	}
	if !a.has("content") && !a.has("hex-content") {
		a.set("content", "") // the price of one part
	}
	m, err := message(a)
	if err != nil {
		return "", err
	}
	user, err := s.user(r, a)
	if err != nil {
		return "", err
	}
	s.users.seen(user.UID).RateRequests.Add(1)
	if err := user.Authorise(account.HTTPRate, &account.Request{}); err != nil {
		return "", err
	}
	s.own(user, a, m)
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.SubmitWait)
	defer cancel()
	q, err := s.submit.Quote(ctx, m)
	s.countScript(m)
	if err != nil {
		return "", err
	}
	return `{"unit_rate": ` + number(q.Rate) + `, "submit_sm_count": ` + strconv.Itoa(q.Parts) + `}`, nil
}

func (s *Server) handleBalance(w http.ResponseWriter, r *http.Request) (string, error) {
	a, err := s.arguments(w, r)
	if err != nil {
		return "", err
	}
	if len(a.names) == 0 {
		return "", &sms.Error{Reason: sms.ReasonInvalid} // the text of no arguments at all
	}
	if err := balanceFields.validate(a); err != nil {
		return "", err
	}
	user, err := s.user(r, a)
	if err != nil {
		return "", err
	}
	s.users.seen(user.UID).BalanceRequests.Add(1)
	if err := user.Authorise(account.HTTPBalance, &account.Request{}); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.SubmitWait)
	defer cancel()
	left, err := s.left(ctx, user)
	if err != nil {
		return "", err
	}
	balance, count := `"ND"`, `"ND"`
	if left.HasBalance {
		balance = number(left.Balance)
	}
	if left.HasCount {
		count = strconv.FormatInt(left.Count, 10)
	}
	return `{"balance": ` + balance + `, "sms_count": ` + count + `}`, nil
}

// left is what a user has left of the quotas that he has.
func (s *Server) left(ctx context.Context, user *account.User) (billing.Credit, error) {
	open := user.Credit()
	if !open.HasBalance && !open.HasCount {
		return open, nil
	}
	left, err := s.ledger.Credit(ctx, user.UID, open)
	if err != nil {
		return left, mt.Unavailable(err)
	}
	left.HasBalance = left.HasBalance && open.HasBalance
	left.HasCount = left.HasCount && open.HasCount
	return left, nil
}

// user authenticates the sender of a request.
func (s *Server) user(r *http.Request, a *arguments) (*account.User, error) {
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.SubmitWait)
	defer cancel()
	user, err := s.auth.Check(ctx, admission.AddressOf(r.RemoteAddr), a.get("username"), a.get("password"))
	if err == nil {
		known(r)
	}
	return user, err
}

// number writes an amount as the original writes its floats, yet exactly: 100.0, 0.25.
func number(a billing.Amount) string {
	text := a.String()
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}
