package account

import (
	"fmt"

	"jasmind/internal/billing"
	"jasmind/internal/sms"
)

// Param is a parameter of a request: whether the sender gave it, and its text.
type Param struct {
	Set   bool
	Value string
}

// HTTPSend is what authorisation looks at in a request to send over HTTP.
type HTTPSend struct {
	To       string
	From     Param // from
	Content  Param // content, as text
	Hex      bool  // hex-content was given
	Priority Param // priority
	Validity Param // validity-period
	Schedule bool  // sdt was given
	Level    bool  // dlr-level was given
	Method   bool  // dlr-method was given
	Long     bool  // the content takes more than one part
}

// AuthoriseHTTPSend tells whether the user may send a message over HTTP as it is. The
// error is the first refusal, in the original's order and words: a *sms.Error with
// ReasonAuthorization, or with ReasonValueFilter and the parameter as its Field.
func (u *User) AuthoriseHTTPSend(r *HTTPSend) error {
	a := &u.MT.Authorization
	for _, rule := range [...]struct {
		asked, allowed bool
		field, text    string
	}{
		{true, a.HTTPSend, "", "Cannot send MT messages"},
		{r.Long, a.HTTPLongContent, "content", longRefused},
		{r.Level, a.DLRLevel, "dlr-level", "Setting dlr level not authorized"},
		{r.Method, a.HTTPDLRMethod, "dlr-method", "Setting dlr method not authorized"},
		{r.From.Set, a.SourceAddr, "from", "Setting source address not authorized"},
		{r.Priority.Set, a.Priority, "priority", "Setting priority not authorized"},
		{r.Validity.Set, a.ValidityPeriod, "validity-period", "Setting validity period not authorized"},
		{r.Hex, a.HexContent, "hex-content", "Setting hex content not authorized"},
		{r.Schedule, a.ScheduleDeliveryTime, "sdt", "Setting schedule delivery time not authorized"},
	} {
		if rule.asked && !rule.allowed {
			return u.unauthorised(rule.field, rule.text)
		}
	}
	f := &u.MT.ValueFilter
	for _, rule := range [...]struct {
		param       Param
		pattern     *Pattern
		field, name string
	}{
		{Param{true, r.To}, &f.DestAddr, "to", "destination_address"},
		{r.From, &f.SourceAddr, "from", "source_address"},
		{r.Priority, &f.Priority, "priority", "priority"},
		{r.Validity, &f.ValidityPeriod, "validity-period", "validity_period"},
		{r.Content, &f.Content, "content", "content"},
	} {
		if rule.param.Set && !rule.pattern.Match(rule.param.Value) {
			return &sms.Error{
				Reason: sms.ReasonValueFilter, Field: rule.field,
				Detail: fmt.Sprintf("Value filter failed for user [%s] (%s filter mismatch).", u.Username, rule.name),
			}
		}
	}
	return nil
}

const longRefused = "Long content not authorized"

// AuthoriseLong tells whether the user may send more than one part over HTTP.
func (u *User) AuthoriseLong() error {
	if !u.MT.Authorization.HTTPLongContent {
		return u.unauthorised("content", longRefused)
	}
	return nil
}

// AuthoriseHTTPBalance tells whether the user may ask for his balance over HTTP.
func (u *User) AuthoriseHTTPBalance() error {
	if !u.MT.Authorization.HTTPBalance {
		return u.unauthorised("", "Cannot check balance")
	}
	return nil
}

// AuthoriseHTTPRate tells whether the user may ask for the price of a message over HTTP.
func (u *User) AuthoriseHTTPRate() error {
	if !u.MT.Authorization.HTTPRate {
		return u.unauthorised("", "Cannot check rate")
	}
	return nil
}

// Source is the source address of a message: the sender's, if he set one, else the
// user's default, which may be empty.
func (u *User) Source(from Param) string {
	if from.Set {
		return from.Value
	}
	return u.MT.DefaultSource
}

// Credit gives the opening values of the user's quotas.
func (u *User) Credit() billing.Credit {
	q := &u.MT.Quota
	return billing.Credit{HasBalance: q.Balance.Set, Balance: q.Balance.Value, HasCount: q.SMSCount.Set, Count: int64(q.SMSCount.Value)}
}

func (u *User) unauthorised(field, text string) error {
	return &sms.Error{Reason: sms.ReasonAuthorization, Field: field, Detail: fmt.Sprintf("Authorization failed for user [%s] (%s).", u.Username, text)}
}
