package httpapi

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"jasmind/internal/account"
	"jasmind/internal/admission"
	"jasmind/internal/logging"
	"jasmind/internal/mt"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
	"jasmind/internal/smstext"
)

// answerOf maps each Reason to the status and the generic text of the original; a Detail
// of the error replaces the text. A test walks every Reason through it.
var answerOf = map[sms.Reason]struct {
	status int
	text   string
}{
	sms.ReasonInvalid:        {http.StatusBadRequest, "Mandatory arguments not found, please refer to the HTTPAPI specifications."},
	sms.ReasonAuthentication: {http.StatusForbidden, "Authentication failure"},
	sms.ReasonAuthorization:  {http.StatusBadRequest, "Authorization failed"},
	sms.ReasonValueFilter:    {http.StatusBadRequest, "Value filter failed"},
	sms.ReasonNoRoute:        {http.StatusPreconditionFailed, "No route found"},
	sms.ReasonNotBound:       {http.StatusPreconditionFailed, "Failover route has no bound connectors"},
	sms.ReasonThrottled:      {http.StatusForbidden, "User throughput exceeded"},
	sms.ReasonNoCredit:       {http.StatusForbidden, "Cannot charge submit_sm, check RouterPB log file for details"},
	sms.ReasonIntercepted:    {http.StatusBadRequest, "Interception failed"},
	sms.ReasonInterceptor:    {http.StatusServiceUnavailable, "InterceptorPB not connected !"},
	sms.ReasonConnector:      {http.StatusInternalServerError, "Cannot send submit_sm, check SMPPClientManagerPB log file for details"},
	sms.ReasonQueueFull:      {http.StatusServiceUnavailable, "Queue is full, try again later"},
	sms.ReasonUnavailable:    {http.StatusServiceUnavailable, "Service temporarily unavailable, try again later"},
	sms.ReasonInternal:       {http.StatusInternalServerError, "Cannot send submit_sm, check SMPPClientManagerPB log file for details"},
}

// keepsText are the reasons whose text is fixed: the detail goes to the log only.
func keepsText(r sms.Reason) bool {
	return r == sms.ReasonConnector || r == sms.ReasonInternal || r == sms.ReasonNoCredit
}

func (s *Server) send(w http.ResponseWriter, r *http.Request) {
	s.Stats.RequestCount.Add(1)
	s.Stats.LastRequestAt.Set(time.Now())
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		text(w, http.StatusMethodNotAllowed, `Error "Method `+r.Method+` is not allowed, use GET or POST."`)
		return
	}
	acc, err := s.handleSend(w, r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.Stats.SuccessCount.Add(1)
	s.Stats.LastSuccessAt.Set(time.Now())
	text(w, http.StatusOK, `Success "`+string(acc.ID)+`"`)
}

// refuse answers an error and counts it.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, reason := s.refusal(w, r, err)
	text(w, status, `Error "`+reason+`"`)
}

// refusal counts and logs an error and gives its status and text.
func (s *Server) refusal(w http.ResponseWriter, r *http.Request, err error) (status int, text string) {
	reason := sms.ReasonOf(err)
	answer := answerOf[reason]
	var e *sms.Error
	if errors.As(err, &e) {
		if e.Detail != "" && !keepsText(reason) {
			answer.text = e.Detail
		}
		if e.Override != nil && e.Override.HTTP != 0 {
			answer.status = e.Override.HTTP
		}
	}
	switch reason {
	case sms.ReasonAuthentication:
		s.Stats.AuthErrors.Add(1)
	case sms.ReasonNoRoute, sms.ReasonNotBound:
		s.Stats.RouteErrors.Add(1)
	case sms.ReasonThrottled:
		s.Stats.ThroughputErrors.Add(1)
	case sms.ReasonNoCredit:
		s.Stats.ChargingErrors.Add(1)
	case sms.ReasonIntercepted, sms.ReasonInterceptor:
		s.Stats.InterceptorErrors.Add(1)
	case sms.ReasonConnector, sms.ReasonQueueFull, sms.ReasonUnavailable, sms.ReasonInternal:
		s.Stats.ServerErrors.Add(1)
	}
	log := s.log
	if reason == sms.ReasonInvalid || reason == sms.ReasonAuthentication || errors.Is(err, admission.ErrOverBudget) {
		log = s.strangers // who may be nobody's
	}
	err = s.loggable(err)
	if answer.status >= 500 {
		log.Error("request refused", "peer", r.RemoteAddr, "status", answer.status, "reason", reason.String(), "err", err)
	} else {
		log.Warn("request refused", "peer", r.RemoteAddr, "status", answer.status, "reason", reason.String(), "err", err)
	}
	if answer.status == http.StatusServiceUnavailable || answer.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter(err)))
	}
	return answer.status, answer.text
}

// loggable is an error without what the sender said: a dlr-url, and with privacy contents. The answer to him quotes it.
func (s *Server) loggable(err error) error {
	var e *sms.Error
	if !errors.As(err, &e) || e.Reason != sms.ReasonInvalid || e.Field == "" {
		return err
	}
	switch {
	case e.Field == "dlr-url", s.cfg.LogPrivacy && isContent(e.Field):
		return errors.New("argument " + e.Field + " is invalid")
	case s.cfg.LogPrivacy && !sendFields.has(e.Field): // what is behind an & of the content that was not escaped
		return errors.New("an argument is unknown")
	}
	return err
}

// retryAfter is in how many seconds another try makes sense.
func retryAfter(err error) int {
	var tooMany *admission.RefusedError
	if errors.As(err, &tooMany) {
		return int(tooMany.Wait/time.Second) + 1
	}
	return 1
}

func (s *Server) handleSend(w http.ResponseWriter, r *http.Request) (mt.Accepted, error) {
	a, err := s.arguments(w, r)
	if err != nil {
		return mt.Accepted{}, err
	}
	a.dlrDefaults()
	if err := sendFields.validate(a); err != nil {
		return mt.Accepted{}, err
	}
	m, err := message(a)
	if err != nil {
		return mt.Accepted{}, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.SubmitWait)
	defer cancel()
	user, err := s.auth.Check(ctx, admission.AddressOf(r.RemoteAddr), a.get("username"), a.get("password"))
	if err != nil {
		return mt.Accepted{}, err
	}
	known(r)
	seen := s.users.seen(user.UID)
	seen.SubmitRequests.Add(1)
	if err := s.authorise(user, a, m); err != nil {
		return mt.Accepted{}, err
	}
	acc, err := s.submit.Submit(ctx, m)
	s.countScript(m)
	if err != nil {
		return mt.Accepted{}, byArgument(err)
	}
	seen.LastSubmitAt.Set(time.Now())
	text := a.get("content")
	if !m.IsText {
		text = string(m.PDU.ShortMessage)
	}
	mt.LogAccepted(s.log, m, acc, logging.Content{Text: text, Privacy: s.cfg.LogPrivacy})
	return acc, nil
}

// countScript counts the run of an interceptor.
func (s *Server) countScript(m *mt.Message) {
	if m.Intercepted {
		s.Stats.InterceptorCount.Add(1)
	}
}

// authorise refuses what the user may not send, and makes the message his: with his
// default source address if he gave none.
func (s *Server) authorise(user *account.User, a *arguments, m *mt.Message) error {
	r := account.Request{
		To: a.get("to"), From: a.param("from"), Hex: a.has("hex-content"),
		Priority: a.param("priority"), Validity: a.param("validity-period"), Schedule: a.has("sdt"),
		Level: a.asked("dlr-level"), Method: a.asked("dlr-method"),
	}
	if a.has("content") {
		r.Content = func() string { return a.get("content") }
	}
	if !user.MT.Authorization.HTTPLongContent {
		n, err := s.submit.Count(m)
		if err != nil {
			return err
		}
		r.Long = n > 1
	}
	if err := user.Authorise(account.HTTPSend, &r); err != nil {
		return err
	}
	s.own(user, a, m)
	return nil
}

// own makes a message a user's.
func (s *Server) own(user *account.User, a *arguments, m *mt.Message) {
	m.UID, m.GID, m.User = user.UID, user.GID, user
	m.PDU.Source.Addr = user.Source(a.param("from"))
}

// message builds what the arguments ask for. They are valid by their patterns.
func message(a *arguments) (*mt.Message, error) {
	m := &mt.Message{Origin: sms.OriginHTTP}
	m.PDU.Dest.Addr = a.get("to")
	if a.has("from") {
		m.PDU.Source.Addr = a.get("from")
		m.Set |= mt.FieldSource
	}
	switch coding := a.get("coding"); {
	case coding == "auto":
		m.Auto = true
		m.Set |= mt.FieldCoding
	case a.has("coding"):
		n, _ := strconv.Atoi(coding)
		m.PDU.DataCoding = pdu.DataCoding(n)
		m.Set |= mt.FieldCoding
	}
	if a.has("priority") {
		n, _ := strconv.Atoi(a.get("priority"))
		m.PDU.PriorityFlag = uint8(n)
		m.Set |= mt.FieldPriority
	}
	if a.has("validity-period") {
		// Up to 99 years, which is what SMPP's relative time can say (v3.4 §7.1.1.2). With 0 the message would be accepted,
		// and expired.
		n, err := strconv.ParseInt(a.get("validity-period"), 10, 64)
		if err != nil || n < 1 || n > 99*365*24*60 {
			return nil, invalid("validity-period", a.get("validity-period"))
		}
		m.Validity = time.Duration(n) * time.Minute
		m.Set |= mt.FieldValidity
	}
	if sdt := a.get("sdt"); sdt != "" {
		if _, err := pdu.ParseTime(sdt, time.Now()); err != nil {
			return nil, invalid("sdt", sdt)
		}
		m.PDU.ScheduleDeliveryTime = sdt
	}
	if t := a.get("tags"); t != "" {
		m.Tags = strings.Split(t, ",")
	}
	if doc := a.get(customTLVs); doc != "" {
		var err error
		if m.CustomTLVs, err = sms.ParseCustomTLVs([]byte(doc)); err != nil {
			return nil, &sms.Error{Reason: sms.ReasonInvalid, Field: customTLVs, Detail: "Argument [" + customTLVs + "] has an invalid value: " + logging.Printable(err.Error()) + "."}
		}
	}
	content, hexed := a.has("content"), a.has("hex-content")
	switch {
	case !content && !hexed:
		return nil, &sms.Error{Reason: sms.ReasonInvalid, Field: "content", Detail: "content or hex-content not present."}
	case content && hexed:
		return nil, &sms.Error{Reason: sms.ReasonInvalid, Field: "content", Detail: "content and hex-content cannot be used both in same request."}
	case hexed:
		data, err := hex.DecodeString(a.get("hex-content"))
		if err != nil {
			return nil, &sms.Error{Reason: sms.ReasonInvalid, Field: "hex-content", Detail: "Invalid hex-content data: '" + clip(a.get("hex-content")) + "'"}
		}
		if m.Auto {
			return nil, &sms.Error{Reason: sms.ReasonInvalid, Field: "coding", Detail: "Argument [coding] has an invalid value: [auto], hex-content has a coding of its own."}
		}
		m.PDU.ShortMessage = data
	case m.Set&mt.FieldCoding != 0 && m.PDU.DataCoding != pdu.CodingDefault:
		// With a coding of his own the sender gives the octets themselves.
		m.PDU.ShortMessage = []byte(a.get("content"))
	default:
		m.Text, m.IsText = a.get("content"), true
		if err := utf8Content(m.Text); err != nil {
			return nil, err
		}
	}
	if wish := a.get("language"); wish != "" {
		var err error
		if m.National, err = smstext.ParseNational(wish); err != nil {
			return nil, &sms.Error{Reason: sms.ReasonInvalid, Field: "language", Detail: "Argument [language] has an invalid value: " + logging.Printable(err.Error()) + "."}
		}
		if !m.IsText {
			return nil, &sms.Error{Reason: sms.ReasonInvalid, Field: "language", Detail: "Argument [language] needs content with coding 0 or auto."}
		}
		m.Set |= mt.FieldLanguage
	}
	// A DLR needs a URL to go to: without one dlr=yes counts as no.
	if a.get("dlr") == "yes" && a.get("dlr-url") != "" {
		n, _ := strconv.Atoi(a.get("dlr-level"))
		m.Report = mt.Report{What: sms.ReportOf(n), URL: a.get("dlr-url"), Method: strings.ToUpper(a.get("dlr-method"))}
	}
	return m, nil
}

// utf8Content refuses text in another encoding, of which every character beyond ASCII would become a question mark.
func utf8Content(text string) error {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && n == 1 {
			return &sms.Error{Reason: sms.ReasonInvalid, Field: "content", Detail: fmt.Sprintf(
				"Argument [content] has an invalid value: octet %d, 0x%02X, is not UTF-8; encode it as UTF-8, or give a coding and its octets.", i+1, text[i])}
		}
		i += n
	}
	return nil
}

// byArgument renames a field of the PDU to the argument it came from.
func byArgument(err error) error {
	var fe *pdu.FieldError
	if !errors.As(err, &fe) {
		return err
	}
	names := map[string]string{"source_addr": "from", "destination_addr": "to", "short_message": "content"}
	if name, ok := names[fe.Field]; ok {
		return &sms.Error{Reason: sms.ReasonInvalid, Field: name, Detail: "Argument [" + name + "] has an invalid value: " + fe.Reason + ".", Err: err}
	}
	return err
}

const clipAt = 64

// clip shortens a value that is quoted back.
func clip(s string) string {
	if len(s) > clipAt {
		return s[:clipAt] + "..."
	}
	return s
}
