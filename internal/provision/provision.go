// Package provision owns what operators configure: groups, users, filters, connectors,
// routes and interceptors. It validates a change as a whole and publishes one immutable Snapshot, which a
// message loads once and uses to its end. Balances and counters are not configuration
// and are not here.
//
//	store := provision.NewStore()
//	store.Subscribe(func(old, new *provision.Snapshot) { ... start, stop, update connectors ... })
//	err := store.ApplyFile("provision.yaml")     // at start, and again on SIGHUP
//	err = store.Apply(func(d *provision.Draft) error { return d.AddGroup(account.Group{GID: "g1", Enabled: true}) })
//	user, group := store.Snapshot().Account("foo")
package provision

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"jasmind/internal/account"
	"jasmind/internal/billing"
	"jasmind/internal/routing"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

// Kind is a kind of configured thing.
type Kind uint8

// The kinds.
const (
	KindGroup Kind = iota + 1
	KindUser
	KindFilter
	KindSMPPConnector
	KindHTTPConnector
	KindMTRoute
	KindMORoute
	KindMTInterceptor
	KindMOInterceptor
)

// String is the kind in words, such as MT route.
func (k Kind) String() string {
	names := [...]string{"", "group", "user", "filter", "SMPP connector", "HTTP connector", "MT route", "MO route", "MT interceptor", "MO interceptor"}
	if int(k) >= len(names) {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return names[k]
}

// Key names one configured thing.
type Key struct {
	Kind Kind
	ID   string // gid, uid, fid, cid, or the order of a route or interceptor
}

// String is the kind and the id, such as user u1.
func (k Key) String() string { return k.Kind.String() + " " + k.ID }

func compareKeys(a, b Key) int {
	if c := cmp.Compare(a.Kind, b.Kind); c != 0 {
		return c
	}
	if x, err := strconv.Atoi(a.ID); err == nil && a.Kind >= KindMTRoute {
		if y, err := strconv.Atoi(b.ID); err == nil {
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(a.ID, b.ID)
}

// SMPPConnector is an SMPP client connector. A published one is never changed.
type SMPPConnector struct {
	smppc.Config
	Started bool // whether it should run
}

// HTTPConnector is an HTTP client connector, to which MO messages are thrown.
type HTTPConnector struct {
	CID    sms.ConnectorID
	URL    string
	Method string // GET or POST
}

// Validate reports every fault; each error names the key and the value.
func (c HTTPConnector) Validate() error {
	var errs []error
	if !smppc.ValidCID(string(c.CID)) {
		errs = append(errs, fmt.Errorf("cid: invalid value %q, must be 3 to 25 characters of A-Z, a-z, 0-9, _ and -", c.CID))
	}
	if u, err := url.Parse(c.URL); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || len(c.URL) > 2048 {
		errs = append(errs, fmt.Errorf("url: invalid value %q, must be an http or https URL", c.URL))
	}
	if c.Method != "GET" && c.Method != "POST" {
		errs = append(errs, fmt.Errorf("method: invalid value %q, must be GET or POST", c.Method))
	}
	return errors.Join(errs...)
}

// Route is a route as operators write it: its filters by their fid.
type Route struct {
	Order      int
	Type       routing.RouteType
	Filters    []string
	Connectors []routing.Connector
	Rate       billing.Amount // MT only

	// What one type has; see routing.Route.
	Weights    []int
	Rates      []billing.Amount
	FailoverOn []pdu.Status
}

func (r Route) equal(o Route) bool {
	return r.Order == o.Order && r.Type == o.Type && r.Rate == o.Rate && slices.Equal(r.Filters, o.Filters) && slices.Equal(r.Connectors, o.Connectors) &&
		slices.Equal(r.Weights, o.Weights) && slices.Equal(r.Rates, o.Rates) && slices.Equal(r.FailoverOn, o.FailoverOn)
}

func (r Route) clone() Route {
	r.Filters, r.Connectors = slices.Clone(r.Filters), slices.Clone(r.Connectors)
	r.Weights, r.Rates, r.FailoverOn = slices.Clone(r.Weights), slices.Clone(r.Rates), slices.Clone(r.FailoverOn)
	return r
}

// Interceptor is an interceptor as operators write it: its filters by their fid.
type Interceptor struct {
	Order   int
	Type    routing.InterceptorType
	Filters []string
	Script  routing.Script
}

func (i Interceptor) equal(o Interceptor) bool {
	return i.Order == o.Order && i.Type == o.Type && i.Script == o.Script && slices.Equal(i.Filters, o.Filters)
}

func (i Interceptor) clone() Interceptor {
	i.Filters = slices.Clone(i.Filters)
	return i
}

func validateGroup(g account.Group) error {
	if !account.ValidGID(string(g.GID)) {
		return fmt.Errorf("gid: invalid value %q, must be 1 to 16 characters of A-Z, a-z, 0-9, _ and -", g.GID)
	}
	return nil
}

func validateUser(u *account.User) error {
	var errs []error
	if !account.ValidUID(string(u.UID)) {
		errs = append(errs, fmt.Errorf("uid: invalid value %q, must be 1 to 16 characters of A-Z, a-z, 0-9, _ and -", u.UID))
	}
	if !account.ValidUsername(u.Username) {
		errs = append(errs, fmt.Errorf("username: invalid value %q, must be 1 to 15 characters of A-Z, a-z, 0-9, _ and -", u.Username))
	}
	if u.Password == (account.Password{}) {
		errs = append(errs, errors.New("password: is missing"))
	}
	errs = append(errs, u.Credentials.Validate())
	return errors.Join(errs...)
}

// Sentinels of RefusedError, for errors.Is.
var (
	ErrExists   = errors.New("exists already")
	ErrNotFound = errors.New("does not exist")
	ErrInUse    = errors.New("is in use")
	ErrDeclared = errors.New("belongs to a provisioning file")
)

// RefusedError says why a change was refused: it wraps ErrExists, ErrNotFound, ErrInUse or
// ErrDeclared.
type RefusedError struct {
	Key  Key
	Why  error
	By   []Key  // for ErrInUse: what uses it; for ErrExists of a username: whose it is
	File string // for ErrDeclared
	Name string // the username that is taken
}

// Error is a sentence for the operator.
func (e *RefusedError) Error() string {
	switch {
	case e.Name != "":
		return fmt.Sprintf("%s: username %s is that of %s", e.Key, e.Name, list(e.By))
	case errors.Is(e.Why, ErrInUse):
		return fmt.Sprintf("%s is used by %s", e.Key, list(e.By))
	case errors.Is(e.Why, ErrDeclared):
		return fmt.Sprintf("%s is declared in %s and can only be changed there", e.Key, e.File)
	}
	return fmt.Sprintf("%s %v", e.Key, e.Why)
}

// Unwrap gives the sentinel.
func (e *RefusedError) Unwrap() error { return e.Why }

func list(keys []Key) string {
	const most = 10
	var b strings.Builder
	for i, k := range keys {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(keys)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(k.String())
	}
	return b.String()
}

// flatten lists the single errors inside of joined ones.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // looks at the outermost error only
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, flatten(e)...)
	}
	return out
}
