package provision

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"jasmind/internal/account"
	"jasmind/internal/billing"
	"jasmind/internal/routing"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

// entry is one thing of a section while it is read.
type entry struct {
	r       *reader
	section string
	key     Key // once the id is known
	line    int
	nodes   map[string]*yaml.Node
	keys    map[string]*yaml.Node // the keys themselves, for their lines
	order   []string              // keys as they stand in the file
	used    map[string]bool
	faulty  bool
}

func (r *reader) entry(section string, node *yaml.Node) *entry {
	e := &entry{r: r, section: section, line: node.Line, nodes: map[string]*yaml.Node{}, keys: map[string]*yaml.Node{}, used: map[string]bool{}}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			e.fault(key.Line, "a key must be a word, not %s", describe(key))
		case key.ShortTag() == "!!merge":
			e.fault(key.Line, "merge keys (<<) are not supported")
		case e.nodes[key.Value] != nil:
			e.fault(key.Line, "%s is there twice, first in line %d", key.Value, e.keys[key.Value].Line)
		default:
			e.nodes[key.Value], e.keys[key.Value] = value, key
			e.order = append(e.order, key.Value)
		}
	}
	return e
}

// fault notes a fault of the entry, which is then left out.
func (e *entry) fault(line int, format string, args ...any) {
	e.faulty = true
	name := e.section
	if e.key.ID != "" {
		name = e.key.String()
	}
	e.r.fault(line, "%s: %s", name, fmt.Sprintf(format, args...))
}

// faultOf notes the faults that validation found, each on the line of its parameter.
func (e *entry) faultOf(err error) {
	for _, err := range flatten(err) {
		e.fault(e.lineOf(fieldOf(err)), "%s", err)
	}
}

func (e *entry) lineOf(name string) int {
	if n := e.keys[name]; n != nil {
		return n.Line
	}
	return e.line
}

// text gives the value of a key as it is written; ok is false, with a fault noted, if it
// is no single value. What is absent is "" and ok.
func (e *entry) text(name string) (value string, ok bool) {
	e.used[name] = true
	n := e.nodes[name]
	if n == nil {
		return "", true
	}
	return e.scalar(name, n)
}

func (e *entry) scalar(name string, n *yaml.Node) (value string, ok bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		e.fault(n.Line, "%s: must be a single value, not %s", name, describe(n))
		return "", false
	case n.ShortTag() == "!!null":
		e.fault(n.Line, "%s: has no value (write '' for an empty one)", name)
		return "", false
	}
	return n.Value, true
}

// required is text, with a fault if the key is absent.
func (e *entry) required(name string) (value string, ok bool) {
	if e.nodes[name] == nil {
		e.used[name] = true
		e.fault(e.line, "%s: is missing", name)
		return "", false
	}
	return e.text(name)
}

// yesNo reads yes and no, true and false.
func (e *entry) yesNo(name string, absent bool) bool {
	value, ok := e.text(name)
	if !ok || e.nodes[name] == nil {
		return absent
	}
	switch asYesNo(e.nodes[name]) {
	case "yes":
		return true
	case "no":
		return false
	}
	e.fault(e.nodes[name].Line, "%s: invalid value %q, must be yes or no", name, value)
	return absent
}

// asYesNo spells YAML's true and false as the console does.
func asYesNo(n *yaml.Node) string {
	if n.ShortTag() == "!!bool" {
		switch strings.ToLower(n.Value) {
		case "true":
			return "yes"
		case "false":
			return "no"
		}
	}
	return n.Value
}

// list reads a list of values, or one value with semicolons as the console takes it.
func (e *entry) list(name string) (values []string, ok bool) {
	e.used[name] = true
	n := e.nodes[name]
	if n == nil {
		return nil, true
	}
	if n.Kind == yaml.MappingNode {
		e.fault(n.Line, "%s: must be a list, not a mapping", name)
		return nil, false
	}
	if n.Kind != yaml.SequenceNode {
		value, ok := e.scalar(name, n)
		if !ok {
			return nil, false
		}
		return strings.Split(value, ";"), true
	}
	ok = true
	for _, item := range n.Content {
		value, good := e.scalar(name, item)
		ok = ok && good
		values = append(values, value)
	}
	return values, ok
}

// is gives the entry its key, with a fault if the file has it already.
func (e *entry) is(kind Kind, id string) {
	e.key = Key{kind, id}
	if first, ok := e.r.doc.lines[e.key]; ok {
		e.fault(e.line, "is declared twice, first in line %d", first)
		return
	}
	e.r.doc.lines[e.key] = e.line
	lines := make(map[string]int, len(e.keys))
	for name, n := range e.keys {
		lines[name] = n.Line
	}
	e.r.fieldLines[e.key] = lines
}

// finish notes the keys that nothing has read.
func (e *entry) finish() {
	for _, name := range e.order {
		if !e.used[name] {
			e.fault(e.keys[name].Line, "unknown key %q", name)
		}
	}
}

// complete tells whether the entry can go into the document: it has a key and, with its
// unknown keys looked at as well, no fault.
func (e *entry) complete() bool {
	return !e.faulty && e.key.ID != "" && !slices.ContainsFunc(e.order, func(name string) bool { return !e.used[name] })
}

func (r *reader) group(e *entry) {
	if gid, ok := e.required("gid"); ok {
		g := account.Group{GID: sms.GroupID(gid)}
		if err := validateGroup(g); err != nil {
			e.faultOf(err)
		} else {
			e.is(KindGroup, gid)
		}
		g.Enabled = e.yesNo("enabled", true)
		if e.complete() {
			r.doc.groups[g.GID] = &g
		}
		return
	}
	e.yesNo("enabled", true)
}

func (r *reader) user(e *entry) {
	u := account.User{Credentials: account.DefaultCredentials()}
	uid, okUID := e.required("uid")
	if okUID && account.ValidUID(uid) {
		e.is(KindUser, uid)
	}
	username, okName := e.required("username")
	gid, okGID := e.required("gid")
	secret, okSecret := e.required("password")
	u.UID, u.Username, u.GID = sms.UserID(uid), username, sms.GroupID(gid)
	u.Enabled = e.yesNo("enabled", true)
	if okSecret {
		p, err := password(secret)
		if err != nil {
			e.fault(e.lineOf("password"), "password: %v", err)
		}
		u.Password = p
	}
	e.credentials(account.MTMessagingCred, &u.Credentials)
	e.credentials(account.SMPPSCred, &u.Credentials)
	for _, err := range flatten(validateUser(&u)) {
		// What is missing was noted.
		switch field := fieldOf(err); {
		case field == "uid" && !okUID, field == "username" && !okName, field == "password":
		default:
			e.fault(e.lineOf(field), "%s", err)
		}
	}
	if okGID && !account.ValidGID(gid) {
		e.faultOf(validateGroup(account.Group{GID: u.GID}))
	}
	if e.complete() {
		r.doc.users[u.UID] = &u
		r.doc.passwords[u.UID] = secret
	}
}

func (r *reader) filter(e *entry) {
	fid, okFID := e.required("fid")
	if okFID && routing.ValidFID(fid) {
		e.is(KindFilter, fid)
	}
	name, okType := e.required("type")
	if !okType {
		e.anyFilter()
		return
	}
	typ, err := routing.ParseFilterType(name)
	if err != nil {
		e.fault(e.lineOf("type"), "type: %v", err)
		e.anyFilter()
		return
	}
	value := ""
	if p := typ.Parameter(); p != "" {
		v, ok := e.required(p)
		if !ok {
			return
		}
		value = v
	}
	if !okFID {
		fid = "f" // the other parameters are looked at all the same
	}
	var f *routing.Filter
	if typ == routing.EvalPyFilter {
		f, err = e.scriptFilter(fid, value)
	} else {
		f, err = routing.NewFilter(fid, typ, value)
	}
	if err != nil {
		e.faultOf(err)
	}
	if e.complete() {
		r.doc.filters[fid] = f
	}
}

// anyFilter keeps the keys of filters from being faults: the type is not known.
func (e *entry) anyFilter() {
	e.used["code"] = true
	for _, t := range routing.FilterTypes() {
		e.used[t.Parameter()] = true
	}
}

// scriptFilter makes an EvalPyFilter of a path or URL, or of expr(rule).
func (e *entry) scriptFilter(fid, value string) (*routing.Filter, error) {
	script, err := routing.ParseScript(value)
	if errors.Is(err, routing.ErrScript) || !script.IsRule() { // a path, whatever it looks like
		if value == "" {
			return nil, errors.New(`pyCode: invalid value "", must be the path or URL of a script, or expr(rule)`)
		}
		script, err = routing.Script{Path: value}, nil
	}
	if err == nil {
		script, err = e.script(script)
	}
	if err != nil {
		return nil, fmt.Errorf("pyCode: %w", err)
	}
	return routing.NewScriptFilter(fid, script)
}

// script completes a script: the code of a Python script stands beside it, or else is read.
func (e *entry) script(s routing.Script) (routing.Script, error) {
	switch {
	case s.IsRule() && e.nodes["code"] != nil:
		e.used["code"] = true
		return s, errors.New("a rule has no code beside it")
	case s.IsRule():
		return s, nil
	case e.nodes["code"] == nil:
		return ReadScript(context.Background(), s.Path)
	}
	code, ok := e.text("code")
	if !ok {
		return routing.Script{}, errors.New("the code cannot be read")
	}
	s.Code = code
	return s, nil
}

// credentials reads one set of credentials: sections, each with keys.
func (e *entry) credentials(cred string, c *account.Credentials) {
	e.used[cred] = true
	node := e.nodes[cred]
	if node == nil {
		return
	}
	if node.Kind != yaml.MappingNode {
		e.fault(node.Line, "%s: must be a mapping of sections, not %s", cred, describe(node))
		return
	}
	seen := map[string]int{} // sections and keys, to the lines where they are
	again := func(name string, n *yaml.Node) bool {
		first, ok := seen[name]
		if ok {
			e.fault(n.Line, "%s is there twice, first in line %d", name, first)
		}
		seen[name] = n.Line
		return ok
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		section, keys := node.Content[i], node.Content[i+1]
		if section.Kind != yaml.ScalarNode || !account.KnownSection(cred, section.Value) {
			e.fault(section.Line, "unknown section of %s %s", cred, quote(section))
			continue
		}
		if again(cred+" "+section.Value, section) {
			continue
		}
		if keys.Kind != yaml.MappingNode {
			e.fault(keys.Line, "%s %s: must be a mapping, not %s", cred, section.Value, describe(keys))
			continue
		}
		for j := 0; j+1 < len(keys.Content); j += 2 {
			name, n := keys.Content[j], keys.Content[j+1]
			key := account.LookupCredential(cred, section.Value, name.Value)
			if key == nil {
				e.fault(name.Line, "unknown credential %q", cred+" "+section.Value+" "+name.Value)
				continue
			}
			if again(key.String(), name) {
				continue
			}
			if value, ok := e.scalar(key.String(), n); ok {
				if err := key.Parse(value, c); err != nil {
					e.fault(n.Line, "%s", err)
				}
			}
		}
	}
}

func (r *reader) smppConnector(e *entry) {
	cid, ok := e.required("cid")
	if ok && smppc.ValidCID(cid) {
		e.is(KindSMPPConnector, cid)
	} else if ok {
		scratch := smppc.Config{}
		e.faultOf(smppc.Set(&scratch, "cid", cid))
	}
	c := SMPPConnector{Config: smppc.Default(sms.ConnectorID(cid)), Started: e.yesNo("started", true)}
	for _, name := range e.order {
		k := smppc.Lookup(name)
		if k == nil || name == "cid" {
			continue
		}
		if value, ok := e.text(name); ok {
			if k.Parse("yes", &smppc.Config{}) == nil && k.Parse("maybe", &smppc.Config{}) != nil {
				value = asYesNo(e.nodes[name])
			}
			e.faultOf(k.Parse(value, &c.Config))
		}
	}
	if e.complete() {
		r.doc.smppcs[c.CID] = &c
	}
}

func (r *reader) httpConnector(e *entry) {
	cid, okCID := e.required("cid")
	if okCID && smppc.ValidCID(cid) {
		e.is(KindHTTPConnector, cid)
	}
	url, okURL := e.required("url")
	method, okMethod := e.required("method")
	c := HTTPConnector{CID: sms.ConnectorID(cid), URL: url, Method: strings.ToUpper(method)}
	for _, err := range flatten(c.Validate()) {
		switch field := fieldOf(err); {
		case field == "cid" && !okCID, field == "url" && !okURL, field == "method" && !okMethod:
		default:
			e.fault(e.lineOf(field), "%s", err)
		}
	}
	if e.complete() {
		r.doc.httpcs[c.CID] = &c
	}
}

func (r *reader) mtRoute(e *entry) { r.route(e, routing.MT) }
func (r *reader) moRoute(e *entry) { r.route(e, routing.MO) }

func (r *reader) route(e *entry, d routing.Direction) {
	routes, kind := r.doc.routes(d)
	var route Route
	name, ok := e.required("type")
	if ok {
		typ, err := routing.ParseRouteType(d, name)
		if err != nil {
			e.fault(e.lineOf("type"), "type: %v", err)
		}
		route.Type = typ
	}
	if order, ok := e.orderOf(route.Type == routing.DefaultRoute); ok {
		route.Order = order
		e.is(kind, strconv.Itoa(order))
	}
	route.Filters, _ = e.list("filters")
	e.connectors(&route, d)
	if d == routing.MT {
		e.choice(&route)
		if rate, ok := e.text("rate"); ok && e.nodes["rate"] != nil {
			v, err := billing.Parse(rate)
			if err != nil {
				e.fault(e.lineOf("rate"), "rate: %v", err)
			}
			route.Rate = v
		}
	}
	if e.complete() {
		routes[route.Order] = &route
	}
}

// choice reads what only some types of MT routes have.
func (e *entry) choice(route *Route) {
	var err error
	switch route.Type {
	case 0: // faulty already
		e.used["weights"], e.used["rates"], e.used["failover_on"] = true, true, true
	case routing.WeightedMTRoute:
		if values, ok := e.requiredList("weights"); ok {
			if route.Weights, err = routing.ParseWeights(values); err != nil {
				e.fault(e.lineOf("weights"), "weights: %v", err)
			}
		}
	case routing.LeastCostMTRoute:
		if values, ok := e.requiredList("rates"); ok {
			if route.Rates, err = routing.ParseRates(values); err != nil {
				e.fault(e.lineOf("rates"), "rates: %v", err)
			}
		}
	case routing.FailoverMTRoute:
		if values, ok := e.list("failover_on"); ok && len(values) > 0 {
			if route.FailoverOn, err = routing.ParseStatuses(values); err != nil {
				e.fault(e.lineOf("failover_on"), "failover_on: %v", err)
			}
		}
	}
}

// requiredList is list, with a fault if the key is absent.
func (e *entry) requiredList(name string) (values []string, ok bool) {
	if e.nodes[name] == nil {
		e.used[name] = true
		e.fault(e.line, "%s: is missing", name)
		return nil, false
	}
	return e.list(name)
}

func (r *reader) mtInterceptor(e *entry) { r.interceptor(e, routing.MT) }
func (r *reader) moInterceptor(e *entry) { r.interceptor(e, routing.MO) }

func (r *reader) interceptor(e *entry, d routing.Direction) {
	interceptors, kind := r.doc.interceptors(d)
	var i Interceptor
	if name, ok := e.required("type"); ok {
		typ, err := routing.ParseInterceptorType(d, name)
		if err != nil {
			e.fault(e.lineOf("type"), "type: %v", err)
		}
		i.Type = typ
	}
	if order, ok := e.orderOf(i.Type == routing.DefaultInterceptor); ok {
		i.Order = order
		e.is(kind, strconv.Itoa(order))
	}
	i.Filters, _ = e.list("filters")
	if text, ok := e.required("script"); ok {
		script, err := routing.ParseScript(text)
		if err == nil {
			i.Script, err = e.script(script)
		}
		if err != nil {
			e.fault(e.lineOf("script"), "script: %v", err)
		}
	}
	if e.complete() {
		interceptors[i.Order] = &i
	}
}

// orderOf reads the order, which that of a default may leave out.
func (e *entry) orderOf(isDefault bool) (order int, ok bool) {
	if isDefault && e.nodes["order"] == nil {
		return 0, true
	}
	text, ok := e.required("order")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		e.fault(e.lineOf("order"), "order: invalid value %q, must be a whole number from 0 to %d", text, math.MaxInt32)
		return 0, false
	}
	return int(n), true //nolint:gosec // 31 bits
}

// connectors reads connector or connectors, whichever the type of the route wants.
func (e *entry) connectors(route *Route, d routing.Direction) {
	name, other := "connector", "connectors"
	if route.Type.Several() {
		name, other = other, name
	}
	values, ok := e.list(name)
	if route.Type == 0 { // faulty already; both are looked at
		more, ok2 := e.list(other)
		values, ok = append(values, more...), ok && ok2
	} else if e.nodes[name] == nil {
		e.fault(e.line, "%s: is missing", name)
		return
	}
	if !ok {
		return
	}
	for _, value := range values {
		c, err := routing.ParseConnector(d, value)
		if err != nil {
			e.fault(e.lineOf(name), "%s: invalid value %q: %v", name, value, err)
			continue
		}
		route.Connectors = append(route.Connectors, c)
	}
}
