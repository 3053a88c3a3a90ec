package provision

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"

	"jasmind/internal/account"
	"jasmind/internal/intercept"
	"jasmind/internal/routing"
	"jasmind/internal/sms"
)

// state is the whole configuration. What its maps point to is never changed.
type state struct {
	groups  map[sms.GroupID]*account.Group
	users   map[sms.UserID]*account.User
	filters map[string]*routing.Filter
	smppcs  map[sms.ConnectorID]*SMPPConnector
	httpcs  map[sms.ConnectorID]*HTTPConnector
	mt, mo  map[int]*Route
	mti     map[int]*Interceptor
	moi     map[int]*Interceptor
	added   map[Key]uint64 // grows from what was added first to what was added last
	last    uint64         // the greatest of added
}

func newState() state {
	return state{
		groups: map[sms.GroupID]*account.Group{}, users: map[sms.UserID]*account.User{}, filters: map[string]*routing.Filter{},
		smppcs: map[sms.ConnectorID]*SMPPConnector{}, httpcs: map[sms.ConnectorID]*HTTPConnector{}, mt: map[int]*Route{}, mo: map[int]*Route{},
		mti: map[int]*Interceptor{}, moi: map[int]*Interceptor{}, added: map[Key]uint64{},
	}
}

func (s *state) clone() state {
	return state{
		groups: maps.Clone(s.groups), users: maps.Clone(s.users), filters: maps.Clone(s.filters),
		smppcs: maps.Clone(s.smppcs), httpcs: maps.Clone(s.httpcs), mt: maps.Clone(s.mt), mo: maps.Clone(s.mo),
		mti: maps.Clone(s.mti), moi: maps.Clone(s.moi), added: maps.Clone(s.added), last: s.last,
	}
}

// routes gives the routes of one direction, and the kind of their keys.
func (s *state) routes(d routing.Direction) (map[int]*Route, Kind) {
	if d == routing.MO {
		return s.mo, KindMORoute
	}
	return s.mt, KindMTRoute
}

// interceptors gives the interceptors of one direction, and the kind of their keys.
func (s *state) interceptors(d routing.Direction) (map[int]*Interceptor, Kind) {
	if d == routing.MO {
		return s.moi, KindMOInterceptor
	}
	return s.mti, KindMTInterceptor
}

// note remembers when a thing was added.
func (s *state) note(k Key) {
	if _, ok := s.added[k]; !ok {
		s.last++
		s.added[k] = s.last
	}
}

// has tells whether a thing is configured.
func (s *state) has(k Key) bool {
	switch k.Kind {
	case KindGroup:
		return s.groups[sms.GroupID(k.ID)] != nil
	case KindUser:
		return s.users[sms.UserID(k.ID)] != nil
	case KindFilter:
		return s.filters[k.ID] != nil
	case KindSMPPConnector:
		return s.smppcs[sms.ConnectorID(k.ID)] != nil
	case KindHTTPConnector:
		return s.httpcs[sms.ConnectorID(k.ID)] != nil
	}
	order, err := strconv.Atoi(k.ID)
	if err != nil {
		return false
	}
	switch k.Kind {
	case KindMTRoute:
		return s.mt[order] != nil
	case KindMORoute:
		return s.mo[order] != nil
	case KindMTInterceptor:
		return s.mti[order] != nil
	case KindMOInterceptor:
		return s.moi[order] != nil
	}
	return false
}

// remove takes a thing out, whatever uses it.
func (s *state) remove(k Key) {
	delete(s.added, k)
	order, _ := strconv.Atoi(k.ID)
	switch k.Kind {
	case KindGroup:
		delete(s.groups, sms.GroupID(k.ID))
	case KindUser:
		delete(s.users, sms.UserID(k.ID))
	case KindFilter:
		delete(s.filters, k.ID)
	case KindSMPPConnector:
		delete(s.smppcs, sms.ConnectorID(k.ID))
	case KindHTTPConnector:
		delete(s.httpcs, sms.ConnectorID(k.ID))
	case KindMTRoute:
		delete(s.mt, order)
	case KindMORoute:
		delete(s.mo, order)
	case KindMTInterceptor:
		delete(s.mti, order)
	case KindMOInterceptor:
		delete(s.moi, order)
	}
}

// usedBy lists what refers to a thing, in order.
func (s *state) usedBy(k Key) []Key {
	var out []Key
	if k.Kind == KindGroup {
		for _, u := range s.users {
			if string(u.GID) == k.ID {
				out = append(out, Key{KindUser, string(u.UID)})
			}
		}
	}
	for _, d := range []routing.Direction{routing.MT, routing.MO} {
		routes, kind := s.routes(d)
		for order, r := range routes {
			for _, ref := range r.references() {
				if ref == k {
					out = append(out, Key{kind, strconv.Itoa(order)})
					break
				}
			}
		}
		if k.Kind != KindFilter {
			continue
		}
		interceptors, kind := s.interceptors(d)
		for order, i := range interceptors {
			if slices.Contains(i.Filters, k.ID) {
				out = append(out, Key{kind, strconv.Itoa(order)})
			}
		}
	}
	slices.SortFunc(out, compareKeys)
	return out
}

// references lists what a route cannot be without. The user behind smpps(username) is
// not among them: his messages wait for him.
func (r *Route) references() []Key {
	var out []Key
	for _, fid := range r.Filters {
		out = append(out, Key{KindFilter, fid})
	}
	for _, c := range r.Connectors {
		switch c.Kind {
		case routing.SMPPClient:
			out = append(out, Key{KindSMPPConnector, c.ID})
		case routing.HTTPClient:
			out = append(out, Key{KindHTTPConnector, c.ID})
		case routing.SMPPServer:
		}
	}
	return out
}

// resolve turns a route into one that can be matched; filters that do not exist are left out.
func (s *state) resolve(r *Route) *routing.Route {
	return &routing.Route{Order: r.Order, Type: r.Type, Connectors: r.Connectors, Rate: r.Rate,
		Weights: r.Weights, Rates: r.Rates, FailoverOn: r.FailoverOn, Filters: s.resolveFilters(r.Filters)}
}

// resolveInterceptor is what resolve is for routes.
func (s *state) resolveInterceptor(i *Interceptor) *routing.Interceptor {
	return &routing.Interceptor{Order: i.Order, Type: i.Type, Script: i.Script, Filters: s.resolveFilters(i.Filters)}
}

func (s *state) resolveFilters(fids []string) []*routing.Filter {
	var out []*routing.Filter
	for _, fid := range fids {
		if f := s.filters[fid]; f != nil {
			out = append(out, f)
		}
	}
	return out
}

// fault is something wrong with one parameter of a configured thing.
type fault struct {
	key   Key
	field string // the parameter, as operators spell it
	text  string
}

func (f fault) String() string { return f.key.String() + ": " + f.text }

// check lists every fault between the configured things: references to what does not
// exist, usernames that two users have, and routes that break a rule. known tells of things
// that are not in s, yet should not count as missing; it may be nil.
func (s *state) check(known func(Key) bool) []fault {
	var out []fault
	missing := func(k Key) bool { return !s.has(k) && (known == nil || !known(k)) }
	owner := map[string]sms.UserID{}
	for _, uid := range slices.Sorted(maps.Keys(s.users)) {
		u := s.users[uid]
		key := Key{KindUser, string(uid)}
		if g := (Key{KindGroup, string(u.GID)}); missing(g) {
			out = append(out, fault{key, "gid", "gid: " + g.String() + " does not exist"})
		}
		if other, ok := owner[u.Username]; ok {
			out = append(out, fault{key, "username", "username: " + u.Username + " is that of user " + string(other) + " too"})
		} else {
			owner[u.Username] = uid
		}
	}
	for _, d := range []routing.Direction{routing.MT, routing.MO} {
		routes, kind := s.routes(d)
		for _, order := range slices.Sorted(maps.Keys(routes)) {
			r := routes[order]
			key := Key{kind, strconv.Itoa(order)}
			complete := true
			for _, ref := range r.references() {
				if !missing(ref) {
					complete = complete && s.has(ref)
					continue
				}
				complete = false
				field := "filters"
				if ref.Kind != KindFilter {
					field = "connector"
				}
				out = append(out, fault{key, field, field + ": " + ref.String() + " does not exist"})
			}
			if complete {
				for _, err := range flatten(s.resolve(r).Validate(d)) {
					out = append(out, fault{key, fieldOf(err), err.Error()})
				}
			}
		}
		interceptors, kind := s.interceptors(d)
		for _, order := range slices.Sorted(maps.Keys(interceptors)) {
			i := interceptors[order]
			key := Key{kind, strconv.Itoa(order)}
			complete := true
			for _, fid := range i.Filters {
				ref := Key{KindFilter, fid}
				complete = complete && s.has(ref)
				if missing(ref) {
					out = append(out, fault{key, "filters", "filters: " + ref.String() + " does not exist"})
				}
			}
			if complete {
				for _, err := range flatten(s.resolveInterceptor(i).Validate(d)) {
					out = append(out, fault{key, fieldOf(err), err.Error()})
				}
			}
		}
	}
	return out
}

// fieldOf is the parameter that an error of ours starts with.
func fieldOf(err error) string {
	text := err.Error()
	for i := range len(text) {
		if text[i] == ':' {
			return text[:i]
		}
		if text[i] == ' ' {
			break
		}
	}
	return ""
}

// Snapshot is the configuration at one moment. It is immutable and safe for concurrent
// use; nothing that it hands out may be changed.
type Snapshot struct {
	state
	version  uint64
	byName   map[string]*account.User
	tableMT  *routing.Table
	tableMO  *routing.Table
	tableMTI *routing.InterceptorTable
	tableMOI *routing.InterceptorTable
	declared map[Key]string // to the path of the file
	scripted bool           // whether a filter has a script
	prepared sync.Map       // *routing.Script to *intercept.Script: those that were needed
}

// build makes a snapshot of a state without faults.
func (s *state) build(version uint64, declared map[Key]string) (*Snapshot, error) {
	out := &Snapshot{state: *s, version: version, byName: make(map[string]*account.User, len(s.users)), declared: declared}
	for _, u := range s.users {
		out.byName[u.Username] = u
	}
	for _, f := range s.filters {
		out.scripted = out.scripted || f.Script() != nil
	}
	table := func(d routing.Direction) (*routing.Table, error) {
		specs, _ := s.routes(d)
		routes := make([]*routing.Route, 0, len(specs))
		for _, r := range specs {
			routes = append(routes, s.resolve(r))
		}
		return routing.NewTable(d, routes)
	}
	var errMT, errMO error
	out.tableMT, errMT = table(routing.MT)
	out.tableMO, errMO = table(routing.MO)
	interceptors := func(d routing.Direction) (*routing.InterceptorTable, error) {
		specs, _ := s.interceptors(d)
		all := make([]*routing.Interceptor, 0, len(specs))
		for _, i := range specs {
			all = append(all, s.resolveInterceptor(i))
		}
		return routing.NewInterceptorTable(d, all)
	}
	var errMTI, errMOI error
	out.tableMTI, errMTI = interceptors(routing.MT)
	out.tableMOI, errMOI = interceptors(routing.MO)
	return out, errors.Join(errMT, errMO, errMTI, errMOI)
}

// Version grows with every change.
func (s *Snapshot) Version() uint64 { return s.version }

// Account gives the user with a username, and his group; nil if there is none.
func (s *Snapshot) Account(username string) (*account.User, *account.Group) {
	u := s.byName[username]
	if u == nil {
		return nil, nil
	}
	return u, s.groups[u.GID]
}

// User gives a user by his uid; nil if there is none.
func (s *Snapshot) User(uid sms.UserID) *account.User { return s.users[uid] }

// Group gives a group; nil if there is none.
func (s *Snapshot) Group(gid sms.GroupID) *account.Group { return s.groups[gid] }

// Filter gives a filter; nil if there is none.
func (s *Snapshot) Filter(fid string) *routing.Filter { return s.filters[fid] }

// SMPPConnector gives an SMPP client connector; nil if there is none.
func (s *Snapshot) SMPPConnector(cid sms.ConnectorID) *SMPPConnector { return s.smppcs[cid] }

// HTTPConnector gives an HTTP client connector; nil if there is none.
func (s *Snapshot) HTTPConnector(cid sms.ConnectorID) *HTTPConnector { return s.httpcs[cid] }

// Table gives the routes of one direction.
func (s *Snapshot) Table(d routing.Direction) *routing.Table {
	if d == routing.MO {
		return s.tableMO
	}
	return s.tableMT
}

// InterceptorTable gives the interceptors of one direction, for the flow.
func (s *Snapshot) InterceptorTable(d routing.Direction) *routing.InterceptorTable {
	if d == routing.MO {
		return s.tableMOI
	}
	return s.tableMTI
}

// Interceptors lists the interceptors of one direction as operators wrote them, in
// descending order.
func (s *Snapshot) Interceptors(d routing.Direction) []Interceptor {
	all, _ := s.interceptors(d)
	out := make([]Interceptor, 0, len(all))
	for _, i := range all {
		out = append(out, i.clone())
	}
	slices.SortFunc(out, func(a, b Interceptor) int { return cmp.Compare(b.Order, a.Order) })
	return out
}

// HasScriptFilters tells whether any filter is an EvalPyFilter.
func (s *Snapshot) HasScriptFilters() bool { return s.scripted }

// Scripts lists the scripts of all interceptors and filters.
func (s *Snapshot) Scripts() []routing.Script {
	var out []routing.Script
	for _, d := range []routing.Direction{routing.MT, routing.MO} {
		for _, i := range s.Interceptors(d) {
			out = append(out, i.Script)
		}
	}
	for _, f := range s.Filters() {
		if script := f.Script(); script != nil {
			out = append(out, *script)
		}
	}
	return out
}

// runnable gives a script of the snapshot in the form that package intercept runs. It is
// prepared when it is first needed, and kept.
func (s *Snapshot) runnable(script *routing.Script) (*intercept.Script, error) {
	if p, ok := s.prepared.Load(script); ok {
		return p.(*intercept.Script), nil
	}
	p, err := script.Runnable()
	if err == nil {
		s.prepared.Store(script, p)
	}
	return p, err
}

// Routes lists the routes of one direction as operators wrote them, in descending order.
func (s *Snapshot) Routes(d routing.Direction) []Route {
	routes, _ := s.routes(d)
	out := make([]Route, 0, len(routes))
	for _, r := range routes {
		out = append(out, r.clone())
	}
	slices.SortFunc(out, func(a, b Route) int { return cmp.Compare(b.Order, a.Order) })
	return out
}

// Groups lists the groups by gid.
func (s *Snapshot) Groups() []*account.Group { return sorted(s.groups) }

// Users lists the users by uid.
func (s *Snapshot) Users() []*account.User { return sorted(s.users) }

// Filters lists the filters by fid.
func (s *Snapshot) Filters() []*routing.Filter { return sorted(s.filters) }

// SMPPConnectors lists the SMPP client connectors by cid.
func (s *Snapshot) SMPPConnectors() []*SMPPConnector { return sorted(s.smppcs) }

// HTTPConnectors lists the HTTP client connectors by cid.
func (s *Snapshot) HTTPConnectors() []*HTTPConnector { return sorted(s.httpcs) }

// Added tells when a thing was added: what was added later has the greater number; 0 if
// it does not exist.
func (s *Snapshot) Added(k Key) uint64 { return s.added[k] }

// DeclaredIn tells which provisioning file a thing belongs to, if any.
func (s *Snapshot) DeclaredIn(k Key) (file string, ok bool) {
	file, ok = s.declared[k]
	return file, ok
}

func sorted[K cmp.Ordered, V any](m map[K]V) []V {
	out := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}
