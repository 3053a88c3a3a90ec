package original

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/nlpodyssey/gopickle/types"

	"jasmind/internal/billing"
	"jasmind/internal/provision"
	"jasmind/internal/routing"
)

// content is what a filter is, whatever its fid.
type content struct {
	typ   routing.FilterType
	value string
	code  string // of an EvalPyFilter
}

// key identifies a content.
func (c content) key() string { return fmt.Sprintf("%d\x00%s\x00%s", c.typ, c.value, c.code) }

// contentOf reads a filter.
func contentOf(v any) (c content, err error) {
	o, ok := v.(*object)
	if !ok {
		return c, errors.New("is no filter" + whose(v))
	}
	if c.typ, err = routing.ParseFilterType(o.class); err != nil {
		return c, errors.New("is no filter" + whose(v))
	}
	of := func(attr, class, name string) {
		var in *object
		if in, err = o.as(attr, class); err == nil {
			c.value, err = in.text(name)
		}
	}
	attr := map[routing.FilterType]string{
		routing.SourceAddrFilter: "source_addr", routing.DestinationAddrFilter: "destination_addr", routing.ShortMessageFilter: "short_message",
		routing.DateIntervalFilter: "dateInterval", routing.TimeIntervalFilter: "timeInterval",
	}[c.typ]
	switch c.typ {
	case routing.TransparentFilter:
	case routing.ConnectorFilter:
		of("connector", "SmppClientConnector", "cid")
	case routing.UserFilter:
		of("user", "User", "uid")
	case routing.GroupFilter:
		of("group", "Group", "gid")
	case routing.SourceAddrFilter, routing.DestinationAddrFilter, routing.ShortMessageFilter:
		c.value, err = pattern(o.attrs[attr])
	case routing.DateIntervalFilter:
		c.value, err = interval(o.attrs[attr], date)
	case routing.TimeIntervalFilter:
		c.value, err = interval(o.attrs[attr], timeOfDay)
	case routing.TagFilter:
		c.value, _, err = spell(o.attrs["tag"])
	case routing.EvalPyFilter:
		c.code, err = o.text("pyCode")
	}
	if err != nil && attr != "" {
		err = fmt.Errorf("%s: %w", attr, err)
	}
	return c, err
}

// put adds a filter. The path of a script says where its code came from: there is no file of it alone.
func (t *taker) put(fid, from string, c content) error {
	var f *routing.Filter
	var err error
	if c.typ == routing.EvalPyFilter {
		f, err = routing.NewScriptFilter(fid, routing.Script{Path: t.path + from, Code: c.code})
	} else {
		f, err = routing.NewFilter(fid, c.typ, c.value)
	}
	if err == nil {
		err = t.draft.PutFilter(f)
	}
	if err == nil {
		if _, ok := t.fids[c.key()]; !ok {
			t.fids[c.key()] = fid
		}
	}
	return err
}

func (t *taker) filters(entries []types.DictEntry) {
	t.fids = map[string]string{}
	for _, e := range entries {
		fid, ok := str(e.Key)
		if !ok {
			t.refuse("filter", errors.New("fid: is no text"))
			continue
		}
		c, err := contentOf(e.Value)
		if err == nil {
			err = t.put(fid, ".filters#"+fid, c)
		}
		if err != nil {
			t.refuse("filter "+fid, err)
		}
	}
}

// use gives the fids of the filters that a route or interceptor holds. They are copies: of one that
// was changed or removed since, a filter is made under a fid of its own.
func (t *taker) use(name, prefix, from string, o *object) ([]string, error) {
	v, ok := o.attrs["filters"]
	if !ok || v == nil { // of a default
		return nil, nil
	}
	all, ok := list(v)
	if !ok {
		return nil, errors.New("filters: is no list")
	}
	var out []string
	for i, v := range all {
		c, err := contentOf(v)
		if err != nil {
			return nil, fmt.Errorf("filters: %w", err)
		}
		fid, ok := t.fids[c.key()]
		if !ok {
			fid = prefix + "." + strconv.Itoa(i+1)
			if err := t.put(fid, from, c); err != nil {
				return nil, fmt.Errorf("filters: %w", err)
			}
			t.remark(name, "its %s is not among the filters any more: it is now filter %s", c.typ, fid)
		}
		out = append(out, fid)
	}
	return out, nil
}

// tables takes the routes and the interceptors.
func (t *taker) tables(roots map[string]any) {
	for _, of := range []struct {
		suffix, class, name, prefix string
		d                           routing.Direction
		take                        func(name, prefix, from string, d routing.Direction, order int, o *object) error
	}{
		{".router-mtroutes", "MTRoutingTable", "MT route", "mt", routing.MT, t.route},
		{".router-moroutes", "MORoutingTable", "MO route", "mo", routing.MO, t.route},
		{".router-mtinterceptors", "MTInterceptionTable", "MT interceptor", "mti", routing.MT, t.interceptor},
		{".router-mointerceptors", "MOInterceptionTable", "MO interceptor", "moi", routing.MO, t.interceptor},
	} {
		root, ok := roots[of.suffix]
		if !ok {
			continue
		}
		o, ok := root.(*object)
		var rows []any
		if ok && o.class == of.class {
			rows, ok = list(o.attrs["table"])
		}
		if !ok || o.class != of.class {
			t.refuse("file "+filepath.Base(t.path)+of.suffix, errors.New("is no "+of.class))
			continue
		}
		var entries []types.DictEntry
		for _, row := range rows {
			entries = append(entries, t.entries("a row of", of.suffix, row)...)
		}
		slices.SortStableFunc(entries, func(a, b types.DictEntry) int { return cmp.Compare(orderOf(a), orderOf(b)) })
		for _, e := range entries {
			name := fmt.Sprintf("%s %d", of.name, orderOf(e))
			o, ok := e.Value.(*object)
			if !ok {
				t.refuse(name, errors.New("is none"+whose(e.Value)))
				continue
			}
			from := fmt.Sprintf("%s#%d", of.suffix, orderOf(e))
			if err := of.take(name, of.prefix+strconv.Itoa(orderOf(e)), from, of.d, orderOf(e), o); err != nil {
				t.refuse(name, err)
			}
		}
	}
}

// orderOf gives the order of a row, -1 if it has none.
func orderOf(e types.DictEntry) int {
	if n, ok := e.Key.(int); ok {
		return n
	}
	return -1
}

func (t *taker) route(name, prefix, from string, d routing.Direction, order int, o *object) error {
	typ, err := routing.ParseRouteType(d, o.class)
	if err != nil {
		return err
	}
	r := provision.Route{Order: order, Type: typ}
	if d == routing.MT {
		text, rounded, err := spell(o.attrs["rate"])
		if err != nil {
			return fmt.Errorf("rate: %w", err)
		}
		if rounded {
			t.remark(name, "rate: %v is rounded to %s", o.attrs["rate"], text)
		}
		if text != "none" {
			if r.Rate, err = billing.Parse(text); err != nil {
				return fmt.Errorf("rate: %w", err)
			}
		}
	}
	connectors := []any{o.attrs["connector"]}
	if several, ok := list(o.attrs["connector"]); ok {
		connectors = several
	}
	for _, v := range connectors {
		c, err := t.connector(name, v)
		if err != nil {
			return fmt.Errorf("connector: %w", err)
		}
		r.Connectors = append(r.Connectors, c)
	}
	if r.Filters, err = t.use(name, prefix, from, o); err != nil {
		return err
	}
	return t.draft.PutRoute(d, r)
}

// connector gives what a route leads to. It holds copies of HTTP connectors: one that was removed
// since is taken from there.
func (t *taker) connector(route string, v any) (routing.Connector, error) {
	o, ok := v.(*object)
	if !ok {
		return routing.Connector{}, errors.New("is none")
	}
	switch o.class {
	case "SmppClientConnector":
		cid, err := o.text("cid")
		return routing.Connector{Kind: routing.SMPPClient, ID: cid}, err
	case "SmppServerSystemIdConnector":
		id, err := o.text("system_id")
		return routing.Connector{Kind: routing.SMPPServer, ID: id}, err
	}
	c, name, err := httpOf(v)
	if err != nil {
		return routing.Connector{}, err
	}
	now, ok := t.draft.HTTPConnector(c.CID)
	switch {
	case !ok:
		if err := t.draft.AddHTTPConnector(c); err != nil {
			return routing.Connector{}, err
		}
		t.remark(name, "is not among the connectors any more, but %s leads to it: it is taken from there", route)
	case now != c:
		t.remark(name, "was %s %s when %s was made: now the route leads to %s %s", c.Method, c.URL, route, now.Method, now.URL)
	}
	return routing.Connector{Kind: routing.HTTPClient, ID: string(c.CID)}, nil
}

func (t *taker) interceptor(name, prefix, from string, d routing.Direction, order int, o *object) error {
	typ, err := routing.ParseInterceptorType(d, o.class)
	if err != nil {
		return err
	}
	script, err := o.as("script", d.String()+"InterceptorScript")
	if err != nil {
		return err
	}
	code, err := script.text("pyCode")
	if err != nil {
		return fmt.Errorf("script: %w", err)
	}
	i := provision.Interceptor{Order: order, Type: typ, Script: routing.Script{Path: t.path + from, Code: code}}
	if i.Filters, err = t.use(name, prefix, from, o); err != nil {
		return err
	}
	return t.draft.PutInterceptor(d, i)
}
