package provision

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"jasmind/internal/routing"
	"jasmind/internal/sms"
)

// ApplyFile reads a provisioning file and applies it as ApplyDocument does. Errors: Faults,
// or that the file cannot be read; then nothing has changed.
func (s *Store) ApplyFile(path string) error {
	doc, err := ParseFile(path)
	if err != nil {
		return err
	}
	return s.ApplyDocument(doc)
}

// ApplyDocument makes the configuration what a provisioning file declares, in one change.
// What the file declares belongs to it from then on, also when it was configured by other
// means before. What the last document declared and this one does not is removed. What
// both declare alike stays untouched, so that connectors keep running. Everything else is
// left alone. Errors: Faults, when something that is not of the file stands against it;
// then nothing has changed.
func (s *Store) ApplyDocument(doc *Document) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.document
	if last == nil {
		last = &Document{state: newState()}
	}
	err := s.changeLocked(func(d *Draft) error {
		for key := range last.lines {
			if _, ok := doc.lines[key]; !ok {
				d.remove(key)
				delete(d.declared, key)
				d.dirty = true
			}
		}
		for _, key := range doc.keys() {
			if d.declared[key] != doc.path {
				d.declared[key] = doc.path
				d.dirty = true
			}
			if !d.has(key) || !last.declaresAlike(doc, key) {
				d.take(doc, last, key)
				d.dirty = true
			}
		}
		return doc.conflicts(d)
	})
	if err != nil {
		return err
	}
	s.document = doc
	return nil
}

// keys lists what the document declares in the order of its lines.
func (doc *Document) keys() []Key {
	return slices.SortedFunc(maps.Keys(doc.lines), func(a, b Key) int {
		return cmp.Or(cmp.Compare(doc.lines[a], doc.lines[b]), compareKeys(a, b))
	})
}

// Load makes everything that no provisioning file declares what doc says, in one change:
// what doc does not have is removed, what is there alike stays untouched, and what a
// provisioning file declares is left alone. Errors: Faults; then nothing has changed.
func (s *Store) Load(doc *Document) error {
	return s.change(func(d *Draft) error {
		for _, key := range slices.Collect(maps.Keys(d.added)) {
			_, declared := d.declared[key]
			if _, ok := doc.lines[key]; !ok && !declared {
				d.remove(key)
				d.dirty = true
			}
		}
		for _, key := range doc.keys() {
			if _, declared := d.declared[key]; declared {
				continue
			}
			if d.has(key) && d.alike(doc, key) {
				d.last++
				d.added[key] = d.last // the order of the document holds
				continue
			}
			delete(d.added, key)
			d.take(doc, &Document{}, key)
			d.dirty = true
		}
		return doc.conflicts(d)
	})
}

// alike tells whether a thing is configured just as a document has it.
func (d *Draft) alike(doc *Document, k Key) bool {
	if k.Kind == KindUser && d.users[sms.UserID(k.ID)].Password != doc.users[sms.UserID(k.ID)].Password {
		return false
	}
	return (&Document{state: d.state, passwords: doc.passwords}).declaresAlike(doc, k)
}

// conflicts lists what stands against a document after it was worked into a draft. The
// document alone has no fault, so something outside of it has a part in each.
func (doc *Document) conflicts(d *Draft) error {
	var faults Faults
	for _, f := range d.check(nil) {
		line, ok := doc.lines[f.key]
		if !ok {
			faults = append(faults, Fault{File: doc.path, Text: f.String() + " (it is not declared in this file)"})
			continue
		}
		faults = append(faults, Fault{File: doc.path, Line: line, Text: f.String()})
	}
	if faults == nil {
		return nil
	}
	slices.SortStableFunc(faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return faults
}

// declaresAlike tells whether two documents declare a thing, and say the same of it.
func (doc *Document) declaresAlike(other *Document, k Key) bool {
	if !doc.has(k) {
		return false
	}
	order, _ := strconv.Atoi(k.ID)
	switch k.Kind {
	case KindGroup:
		return *doc.groups[sms.GroupID(k.ID)] == *other.groups[sms.GroupID(k.ID)]
	case KindUser:
		uid := sms.UserID(k.ID)
		a, b := *doc.users[uid], *other.users[uid]
		return a.Username == b.Username && a.GID == b.GID && a.Enabled == b.Enabled && a.Equal(&b.Credentials) && doc.passwords[uid] == other.passwords[uid]
	case KindFilter:
		a, b := doc.filters[k.ID], other.filters[k.ID]
		return sameFilter(a, b)
	case KindSMPPConnector:
		a, b := doc.smppcs[sms.ConnectorID(k.ID)], other.smppcs[sms.ConnectorID(k.ID)]
		return a.Started == b.Started && a.Equal(b.Config)
	case KindHTTPConnector:
		return *doc.httpcs[sms.ConnectorID(k.ID)] == *other.httpcs[sms.ConnectorID(k.ID)]
	case KindMTRoute:
		return doc.mt[order].equal(*other.mt[order])
	case KindMORoute:
		return doc.mo[order].equal(*other.mo[order])
	case KindMTInterceptor:
		return doc.mti[order].equal(*other.mti[order])
	case KindMOInterceptor:
		return doc.moi[order].equal(*other.moi[order])
	}
	return false
}

// take puts what a document says of one thing into the draft.
func (d *Draft) take(doc, last *Document, k Key) {
	d.note(k)
	switch k.Kind {
	case KindGroup:
		d.groups[sms.GroupID(k.ID)] = doc.groups[sms.GroupID(k.ID)]
	case KindUser:
		uid := sms.UserID(k.ID)
		u := *doc.users[uid]
		if now := d.users[uid]; now != nil && last.passwords[uid] != "" && last.passwords[uid] == doc.passwords[uid] {
			u.Password = now.Password // perhaps a newer hash of it
		}
		d.storeUser(u)
	case KindFilter:
		d.filters[k.ID] = doc.filters[k.ID]
	case KindSMPPConnector:
		d.smppcs[sms.ConnectorID(k.ID)] = doc.smppcs[sms.ConnectorID(k.ID)]
	case KindHTTPConnector:
		d.httpcs[sms.ConnectorID(k.ID)] = doc.httpcs[sms.ConnectorID(k.ID)]
	case KindMTRoute, KindMORoute:
		dir := routing.MT
		if k.Kind == KindMORoute {
			dir = routing.MO
		}
		order, _ := strconv.Atoi(k.ID)
		to, _ := d.routes(dir)
		from, _ := doc.routes(dir)
		to[order] = from[order]
	case KindMTInterceptor, KindMOInterceptor:
		dir := routing.MT
		if k.Kind == KindMOInterceptor {
			dir = routing.MO
		}
		order, _ := strconv.Atoi(k.ID)
		to, _ := d.interceptors(dir)
		from, _ := doc.interceptors(dir)
		to[order] = from[order]
	}
}

func sameFilter(a, b *routing.Filter) bool {
	if a.Type() != b.Type() || a.Value() != b.Value() {
		return false
	}
	return a.Script() == nil && b.Script() == nil || a.Script() != nil && b.Script() != nil && *a.Script() == *b.Script()
}
