package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"jasmind/internal/account"
	"jasmind/internal/admission"
	"jasmind/internal/sms"
)

// arguments are the parameters of a request in the order in which they came; of a repeated
// one the first value counts.
type arguments struct {
	names  []string
	values map[string]string
	given  int // how many of names the sender gave, the others are defaults; 0: not told yet
}

func (a *arguments) add(name, value string) {
	if _, ok := a.values[name]; ok {
		return
	}
	a.names = append(a.names, name)
	a.values[name] = value
}

func (a *arguments) set(name, value string) {
	if _, ok := a.values[name]; !ok {
		a.names = append(a.names, name)
	}
	a.values[name] = value
}

func (a *arguments) get(name string) string { return a.values[name] }

// param is a parameter as authorisation looks at it.
func (a *arguments) param(name string) account.Param {
	value, ok := a.values[name]
	return account.Param{Set: ok, Value: value}
}

// asked tells whether the sender himself gave a parameter that has a default.
func (a *arguments) asked(name string) bool { return slices.Contains(a.names[:a.given], name) }

func (a *arguments) has(name string) bool { _, ok := a.values[name]; return ok }

// argumentsMax bounds the number of parameters of a request.
const argumentsMax = 100

// arguments reads the query and the body, which may be a form or a JSON object.
func (s *Server) arguments(w http.ResponseWriter, r *http.Request) (*arguments, error) {
	a := &arguments{values: make(map[string]string, 12)}
	if err := a.parse(r.URL.RawQuery); err != nil {
		return nil, err
	}
	if r.Method != http.MethodPost {
		return a, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(s.cfg.MaxBody)))
	if err != nil {
		if errors.Is(err, admission.ErrOverBudget) {
			return nil, overBudget
		}
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, &sms.Error{Reason: sms.ReasonInvalid, Detail: fmt.Sprintf("Request body is larger than %d bytes.", s.cfg.MaxBody),
				Override: &sms.StatusPair{HTTP: http.StatusRequestEntityTooLarge}}
		}
		return nil, &sms.Error{Reason: sms.ReasonInvalid, Detail: "Request body cannot be read.", Err: err}
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "application/json":
		return a, a.parseJSON(body)
	case err == nil && kind == "multipart/form-data":
		return nil, &sms.Error{Reason: sms.ReasonInvalid, Detail: "Content-Type multipart/form-data is not supported, use application/x-www-form-urlencoded or application/json."}
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) { // which is not to be quoted as the name of an argument
		return nil, &sms.Error{Reason: sms.ReasonInvalid, Detail: "Request body is JSON, its Content-Type must be application/json."}
	}
	return a, a.parse(string(body))
}

// parse reads a query or a form. A percent sign that starts no escape stands for itself,
// and so does a semicolon, since senders forget to escape both.
func (a *arguments) parse(query string) error {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		if len(a.names) == argumentsMax {
			return &sms.Error{Reason: sms.ReasonInvalid, Detail: fmt.Sprintf("Request has more than %d arguments.", argumentsMax)}
		}
		a.add(unescape(name), unescape(value))
	}
	return nil
}

func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			b = append(b, ' ')
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

// parseJSON reads an object of strings, numbers and booleans, and the object custom_tlvs.
func (a *arguments) parseJSON(body []byte) error {
	malformed := func(why string) error {
		return &sms.Error{Reason: sms.ReasonInvalid, Detail: "Request body is not valid JSON: " + why + "."}
	}
	if !utf8.Valid(body) { // the decoder would put other characters in the place of what is wrong
		return malformed("it is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	tok, err := dec.Token()
	if err != nil {
		return malformed(jsonFault(err))
	}
	if tok != json.Delim('{') {
		return malformed("an object is expected")
	}
	for dec.More() {
		if len(a.names) == argumentsMax {
			return &sms.Error{Reason: sms.ReasonInvalid, Detail: fmt.Sprintf("Request has more than %d arguments.", argumentsMax)}
		}
		tok, err := dec.Token()
		if err != nil {
			return malformed(jsonFault(err))
		}
		name, _ := tok.(string)
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return malformed(jsonFault(err))
		}
		switch raw[0] {
		case '"':
			var v string
			if err := json.Unmarshal(raw, &v); err != nil {
				return malformed(jsonFault(err))
			}
			a.set(name, v)
		case 'n': // null: as if it were not there
		case '{', '[':
			if name != customTLVs { // whose value is a document of its own
				return invalid(name, string(raw))
			}
			a.set(name, string(raw))
		default:
			a.set(name, string(raw))
		}
	}
	if _, err := dec.Token(); err != nil {
		return malformed(jsonFault(err))
	}
	if dec.More() {
		return malformed("something follows the object")
	}
	return nil
}

func jsonFault(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "it ends too early"
	}
	return err.Error()
}
