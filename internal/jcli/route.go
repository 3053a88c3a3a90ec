package jcli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"jasmind/internal/billing"
	"jasmind/internal/provision"
	"jasmind/internal/routing"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// routerCommand is morouter or mtrouter.
func routerCommand(d routing.Direction) command {
	dir := d.String()
	c := command{
		name: strings.ToLower(dir) + "router", doc: dir + " Router management",
		options: []option{
			{"-l", "--list", "", "List " + dir + " routes"},
			{"-a", "--add", "", "Add a new " + dir + " route"},
			{"-r", "--remove", "ORDER", "Remove " + dir + " route using it's ORDER"},
			{"-s", "--show", "ORDER", "Show " + dir + " route using it's ORDER"},
			{"-f", "--flush", "", "Flush " + dir + " routing table"},
		},
		actions: []action{
			{"list", func(s *session, _, _ string) { s.listRoutes(d) }},
			{"add", func(s *session, _, _ string) { s.addRoute(d) }},
			{"remove", func(s *session, order, _ string) { s.removeRoute(d, order) }},
			{"show", func(s *session, order, _ string) { s.showRoute(d, order) }},
			{"flush", func(s *session, _, _ string) { s.flushRoutes(d) }},
		},
	}
	if d == routing.MT {
		c.options = append(c.options, option{"-e", "--explain", "", "Explain how a message is routed, without sending it"})
		c.actions = append(c.actions, action{"explain", func(s *session, _, _ string) { s.explainRoute() }})
		c.words = map[string]string{"explain": "--explain"}
	}
	return c
}

func connectorNames(cs []routing.Connector) []string {
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = c.String()
	}
	return names
}

// describeConnectors are a route's connectors, with what belongs to each of them.
func describeConnectors(r provision.Route) []string {
	names := connectorNames(r.Connectors)
	for i := range names {
		switch {
		case i < len(r.Weights):
			names[i] += " weight " + strconv.Itoa(r.Weights[i])
		case i < len(r.Rates):
			names[i] += " rated " + r.Rates[i].Fixed(5)
		}
	}
	return names
}

// listedRate is the rate of a route in lists: with rates of its connectors the lowest.
func listedRate(r provision.Route) string {
	rate := r.Rate
	if len(r.Rates) > 0 {
		rate = slices.Min(r.Rates)
	}
	if rate == 0 {
		return "0 (!)"
	}
	return rate.Fixed(5)
}

func (s *session) listRoutes(d routing.Direction) {
	routes := s.snapshot().Routes(d)
	heads, widths := []string{"Order", "Type", "Connector ID(s)", "Filter(s)"}, []int{5, 23, 32, 64}
	if d == routing.MT {
		heads, widths = []string{"Order", "Type", "Rate", "Connector ID(s)", "Filter(s)"}, []int{5, 23, 7, 35, 64}
	}
	if len(routes) > 0 {
		s.print(row(widths, heads...))
	}
	for _, r := range routes {
		cells := []string{strconv.Itoa(r.Order), r.Type.String(), strings.Join(describeConnectors(r), ", "), s.abbreviateAll(r.Filters)}
		if d == routing.MT {
			cells = slices.Insert(cells, 2, listedRate(r))
		}
		s.print(row(widths, cells...))
	}
	s.print("Total " + d.String() + " Routes: " + strconv.Itoa(len(routes)))
}

// knownRoute finds a route by the order that was typed, or says what is wrong with it.
func (s *session) knownRoute(d routing.Direction, text string) (r provision.Route, ok bool) {
	order, err := parseOrder(text)
	if err != nil {
		s.print(d.String() + " Route order must be a positive integer")
		return r, false
	}
	for _, r := range s.snapshot().Routes(d) {
		if r.Order == order {
			return r, true
		}
	}
	s.print("Unknown " + d.String() + " Route: " + text)
	return r, false
}

func parseOrder(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	return int(n), err //nolint:gosec // 31 bits
}

func (s *session) showRoute(d routing.Direction, order string) {
	r, ok := s.knownRoute(d, order)
	if !ok {
		return
	}
	rate := "NOT RATED"
	if r.Rate > 0 {
		rate = "rated " + r.Rate.Fixed(2)
	}
	if !r.Type.Several() {
		line := r.Type.String() + " to " + r.Connectors[0].String()
		if d == routing.MT {
			line += " " + rate
		}
		s.print(line)
		return
	}
	s.print(fmt.Sprintf("%s to %d connectors:", r.Type, len(r.Connectors)))
	for _, name := range describeConnectors(r) {
		s.print("   - " + name)
	}
	if len(r.FailoverOn) > 0 {
		s.print("failover on " + strings.Join(routing.FormatStatuses(r.FailoverOn), ", "))
	}
	if d == routing.MT && len(r.Rates) == 0 {
		s.print(rate)
	}
}

func (s *session) removeRoute(d routing.Direction, order string) {
	r, ok := s.knownRoute(d, order)
	if ok && s.apply("Failed removing "+d.String()+" Route", func(draft *provision.Draft) error { return draft.RemoveRoute(d, r.Order) }) {
		s.print("Successfully removed " + d.String() + " Route with order:" + order)
	}
}

func (s *session) flushRoutes(d routing.Direction) {
	n := 0
	if s.apply("Failed flushing "+d.String()+" Route table", func(draft *provision.Draft) error { n = draft.FlushRoutes(d); return nil }) {
		s.print(fmt.Sprintf("Successfully flushed %s Route table (%d flushed entries)", d, n))
	}
}

// routeForm is what was typed of a route.
type routeForm struct {
	s      *session
	d      routing.Direction
	active *interaction
	route  provision.Route
	values map[string]string
	// required are the keys among active.keys that must not be left out, once the type is known.
	required []string
}

func (s *session) addRoute(d routing.Direction) {
	f := &routeForm{s: s, d: d, values: map[string]string{}}
	f.active = &interaction{keys: []string{"order", "type"}, set: f.set, save: f.save}
	s.begin("Adding a new "+d.String()+" Route: (ok: save, ko: exit)", f.active)
}

func (f *routeForm) set(key, value string) {
	if !slices.Contains(f.active.keys, key) {
		f.s.print("Unknown Route key: " + key)
		return
	}
	if key == "type" {
		f.setType(value)
		return
	}
	var problem string
	switch key {
	case "order":
		f.route.Order, problem = checkOrder(value, f.values["type"] != "", f.route.Type == routing.DefaultRoute, "route", "DefaultRoute")
		if problem != "" && f.route.Type != routing.DefaultRoute {
			delete(f.values, "order")
		}
	case "connector":
		problem = f.setConnectors([]string{value})
	case "connectors":
		all := strings.Split(value, ";")
		if len(all) == 1 {
			problem = `connectors option value must contain a minimum of 2 connector IDs separated with ";".`
			break
		}
		problem = f.setConnectors(all)
	case "rate":
		rate, err := billing.Parse(value)
		switch {
		case err != nil:
			problem = "Incorrect rate (must be float): " + value
		case rate < 0:
			problem = "Error: rate can not be a negative value"
		}
		if problem == "" {
			f.route.Rate = rate
		}
	case "filters":
		fids := strings.Split(value, ";")
		if problem = f.s.checkFilters(fids, f.d, "Route"); problem == "" {
			f.route.Filters = fids
		}
	default:
		problem = f.setChoice(key, value)
	}
	if problem != "" {
		f.s.print(problem)
		return
	}
	f.values[key] = value
}

// setChoice takes what only some types have.
func (f *routeForm) setChoice(key, value string) (problem string) {
	values := strings.Split(value, ";")
	var err error
	switch key {
	case "weights":
		var weights []int
		if weights, err = routing.ParseWeights(values); err == nil {
			f.route.Weights = weights
		}
	case "rates":
		var rates []billing.Amount
		if rates, err = routing.ParseRates(values); err == nil {
			f.route.Rates = rates
		}
	case "failover_on":
		if value == "" || strings.EqualFold(value, "none") {
			f.route.FailoverOn = nil
			break
		}
		var statuses []pdu.Status
		if statuses, err = routing.ParseStatuses(values); err == nil {
			f.route.FailoverOn = statuses
		}
	}
	if err != nil {
		return "Error: " + key + ": " + err.Error()
	}
	return ""
}

// checkOrder reads an order. The problem is in the words of the original for routes and
// interceptors, thing being route or interceptor.
func checkOrder(text string, typed, isDefault bool, thing, defaultType string) (order int, problem string) {
	upper := strings.ToUpper(thing[:1]) + thing[1:]
	switch {
	case isDefault && text != "0":
		return 0, upper + " order forced to 0 since it is a " + defaultType
	case text == "0" && typed && !isDefault:
		return 0, "This " + thing + " order (0) is reserved for " + defaultType + " only"
	}
	order, err := parseOrder(text)
	if err != nil {
		return 0, upper + " order must be a positive integer"
	}
	return order, ""
}

// checkFilters tells what is wrong with filters of a route or interceptor; "" for nothing.
func (s *session) checkFilters(fids []string, d routing.Direction, thing string) string {
	snap := s.snapshot()
	for _, fid := range fids {
		f := snap.Filter(fid)
		if f == nil {
			return "Unknown fid: " + fid
		}
		if f.Type().UsedFor()&d == 0 {
			return fmt.Sprintf("%s#%s is not a valid filter for %s%s (not in %sFILTERS)", f.Type(), fid, d, thing, d)
		}
	}
	return ""
}

func (f *routeForm) setConnectors(texts []string) (problem string) {
	var all []routing.Connector
	snap := f.s.snapshot()
	for _, text := range texts {
		c, err := routing.ParseConnector(f.d, text)
		if err != nil {
			return strings.ToUpper(err.Error()[:1]) + err.Error()[1:] + "."
		}
		switch {
		case c.Kind == routing.SMPPClient && snap.SMPPConnector(sms.ConnectorID(c.ID)) == nil:
			return "Unknown smppc cid: " + c.ID
		case c.Kind == routing.HTTPClient && snap.HTTPConnector(sms.ConnectorID(c.ID)) == nil:
			return "Unknown http cid: " + c.ID
		}
		all = append(all, c)
	}
	f.route.Connectors = all
	return ""
}

func (f *routeForm) setType(name string) {
	typ, err := routing.ParseRouteType(f.d, name)
	if err != nil {
		var names []string
		for _, t := range routing.RouteTypes(f.d) {
			names = append(names, t.String())
		}
		f.s.print("Unknown " + f.d.String() + " Route type:" + name + ", available types: " + strings.Join(names, ", "))
		return
	}
	order, hasOrder := f.values["order"]
	f.route = provision.Route{Type: typ, Order: f.route.Order}
	f.values = map[string]string{"type": typ.String()}
	switch {
	case typ == routing.DefaultRoute:
		f.route.Order, f.values["order"] = 0, "0"
	case hasOrder && f.route.Order != 0:
		f.values["order"] = order
	}
	arguments := []string{"filters", "connector"}
	switch {
	case typ == routing.DefaultRoute:
		arguments = []string{"connector"}
	case typ.Several():
		arguments[1] = "connectors"
	}
	var optional []string
	switch typ {
	case routing.WeightedMTRoute:
		arguments = append(arguments, "weights")
	case routing.LeastCostMTRoute:
		arguments = append(arguments, "rates")
	case routing.FailoverMTRoute:
		optional = []string{"failover_on"} // not announced: the original's text stays as it is
	}
	f.s.print("jasmin.routing.Routes."+typ.String()+" arguments:", strings.Join(arguments, ", "))
	f.active.keys = append([]string{"order", "type"}, arguments...)
	if f.d == routing.MT && typ != routing.LeastCostMTRoute {
		f.active.keys = append(f.active.keys, "rate")
	}
	f.required = slices.Clone(f.active.keys)
	f.active.keys = append(f.active.keys, optional...)
}

func (f *routeForm) save() {
	required := f.required
	if required == nil {
		required = f.active.keys
	}
	if !complete(f.values, required) || f.values["type"] == "" {
		f.s.print(mustSet(required))
		return
	}
	r := f.route
	if r.Type == routing.FailoverMORoute && slices.ContainsFunc(r.Connectors, func(c routing.Connector) bool { return c.Kind != r.Connectors[0].Kind }) {
		f.s.print("Error: FailoverMORoute cannot have mixed connector types")
		return
	}
	if f.s.apply("Failed adding "+f.d.String()+"Route", func(d *provision.Draft) error { return d.PutRoute(f.d, r) }) {
		f.s.print(fmt.Sprintf("Successfully added %sRoute [%s] with order:%d", f.d, r.Type, r.Order))
		f.s.end()
	}
}
