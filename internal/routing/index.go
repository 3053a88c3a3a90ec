package routing

import (
	"math"
	"slices"

	"jasmind/internal/sms"
)

const (
	indexedFrom = 16 // routes; fewer are looked at one after the other
	maxLengths  = 16 // of prefixes of one field; longer ones are cut to the longest of these
	maxCursors  = 64 // lists that one message can lead to; with more, all routes are looked at
)

// index leads from what a message is to the routes that may take it, so that the others need
// not be looked at. Each route is under one of its filters: under the one that leads to the
// fewest routes. Lists hold places in the table, in order.
type index struct {
	any       []int32 // under no filter
	user      map[sms.UserID][]int32
	group     map[sms.GroupID][]int32
	connector map[sms.ConnectorID][]int32
	tag       map[string][]int32
	source    prefixes
	dest      prefixes
}

// prefixes leads from the beginnings of one text to routes.
type prefixes struct {
	lengths []int // that there are, ascending
	longest int   // of what is indexed
	lists   map[string][]int32
}

// indexKey is one thing that a route can be under.
type indexKey struct {
	typ  FilterType
	text string
}

// keysOf gives what a route can be under for one of its filters; none if it tells nothing.
func keysOf(f *Filter) []indexKey {
	switch f.typ {
	case UserFilter, GroupFilter, ConnectorFilter, TagFilter:
		return []indexKey{{f.typ, f.value}}
	case SourceAddrFilter, DestinationAddrFilter:
		var out []indexKey
		for _, p := range f.pattern.Prefixes() {
			out = append(out, indexKey{f.typ, p})
		}
		return out
	}
	return nil
}

func newIndex(routes []*Route) *index {
	x := &index{user: map[sms.UserID][]int32{}, group: map[sms.GroupID][]int32{}, connector: map[sms.ConnectorID][]int32{}, tag: map[string][]int32{}}
	count := map[indexKey]int{}
	for _, r := range routes {
		for _, f := range r.Filters {
			for _, k := range keysOf(f) {
				count[k]++
			}
		}
	}
	chosen := make([][]indexKey, len(routes))
	for i, r := range routes {
		fewest := math.MaxInt
		for _, f := range r.Filters {
			keys, most := keysOf(f), 0
			for _, k := range keys {
				most = max(most, count[k])
			}
			if len(keys) > 0 && most < fewest {
				chosen[i], fewest = keys, most
			}
		}
	}
	x.source, x.dest = newPrefixes(chosen, SourceAddrFilter), newPrefixes(chosen, DestinationAddrFilter)
	for i, keys := range chosen {
		place := int32(i) //nolint:gosec // a table is not that long
		if len(keys) == 0 {
			x.any = append(x.any, place)
		}
		for _, k := range keys {
			switch k.typ {
			case UserFilter:
				x.user[sms.UserID(k.text)] = append(x.user[sms.UserID(k.text)], place)
			case GroupFilter:
				x.group[sms.GroupID(k.text)] = append(x.group[sms.GroupID(k.text)], place)
			case ConnectorFilter:
				x.connector[sms.ConnectorID(k.text)] = append(x.connector[sms.ConnectorID(k.text)], place)
			case TagFilter:
				x.tag[k.text] = append(x.tag[k.text], place)
			case SourceAddrFilter:
				x.source.add(k.text, place)
			case DestinationAddrFilter:
				x.dest.add(k.text, place)
			}
		}
	}
	return x
}

func newPrefixes(chosen [][]indexKey, typ FilterType) prefixes {
	p := prefixes{lists: map[string][]int32{}}
	for _, keys := range chosen {
		for _, k := range keys {
			if k.typ == typ && !slices.Contains(p.lengths, len(k.text)) {
				p.lengths = append(p.lengths, len(k.text))
			}
		}
	}
	slices.Sort(p.lengths)
	p.lengths = p.lengths[:min(len(p.lengths), maxLengths)]
	if n := len(p.lengths); n > 0 {
		p.longest = p.lengths[n-1]
	}
	return p
}

func (p *prefixes) add(text string, place int32) {
	text = text[:min(len(text), p.longest)]
	if list := p.lists[text]; len(list) == 0 || list[len(list)-1] != place {
		p.lists[text] = append(list, place)
	}
}

// cursors are lists that are read together in the order of the table.
type cursors struct {
	lists [maxCursors][]int32
	n     int
	full  bool
}

func (c *cursors) add(list []int32) {
	switch {
	case len(list) == 0:
	case c.n == maxCursors:
		c.full = true
	default:
		c.lists[c.n] = list
		c.n++
	}
}

func (c *cursors) addPrefixes(p *prefixes, text string) {
	for _, n := range p.lengths {
		if n > len(text) {
			return
		}
		c.add(p.lists[text[:n]])
	}
}

// next gives the first place that is left, and takes it out.
func (c *cursors) next() (place int32, ok bool) {
	place = math.MaxInt32
	for i := range c.n {
		if first := c.lists[i][0]; first < place {
			place = first
		}
	}
	for i := 0; i < c.n; {
		if c.lists[i][0] != place {
			i++
			continue
		}
		if c.lists[i] = c.lists[i][1:]; len(c.lists[i]) > 0 {
			i++
			continue
		}
		c.n--
		c.lists[i] = c.lists[c.n]
	}
	return place, place != math.MaxInt32
}

// match gives the first route that takes a message; ok is false if the index cannot tell.
func (x *index) match(routes []*Route, m *Message) (r *Route, ok bool) {
	var c cursors
	c.add(x.any)
	c.add(x.user[m.User])
	c.add(x.group[m.Group])
	c.add(x.connector[m.Connector])
	c.addPrefixes(&x.dest, m.Destination)
	c.addPrefixes(&x.source, m.Source)
	if len(x.tag) > 0 {
		for _, tag := range m.Tags {
			c.add(x.tag[tag])
		}
	}
	if c.full {
		return nil, false
	}
	for {
		place, more := c.next()
		if !more {
			return nil, true
		}
		if routes[place].Match(m) {
			return routes[place], true
		}
	}
}
