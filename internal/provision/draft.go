package provision

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"jasmind/internal/account"
	"jasmind/internal/routing"
	"jasmind/internal/sms"
)

// Draft is a configuration that a change is working on, seen by nobody else. Its methods
// refuse with a *RefusedError, or with errors that name the key and the value; after a
// refusal the draft is as it was before that call.
type Draft struct {
	state
	declared    map[Key]string
	userVersion uint64
	dirty       bool
}

// Group gives a copy of a group; ok is false if there is none.
func (d *Draft) Group(gid sms.GroupID) (g account.Group, ok bool) { return deref(d.groups[gid]) }

// User gives a copy of a user; ok is false if there is none.
func (d *Draft) User(uid sms.UserID) (u account.User, ok bool) { return deref(d.users[uid]) }

// SMPPConnector gives a copy of a connector; ok is false if there is none.
func (d *Draft) SMPPConnector(cid sms.ConnectorID) (c SMPPConnector, ok bool) {
	return deref(d.smppcs[cid])
}

// HTTPConnector gives a copy of a connector; ok is false if there is none.
func (d *Draft) HTTPConnector(cid sms.ConnectorID) (c HTTPConnector, ok bool) {
	return deref(d.httpcs[cid])
}

func deref[T any](p *T) (v T, ok bool) {
	if p == nil {
		return v, false
	}
	return *p, true
}

// DeclaredIn tells which provisioning file a thing belongs to, if any.
func (d *Draft) DeclaredIn(k Key) (file string, ok bool) {
	file, ok = d.declared[k]
	return file, ok
}

// AddGroup adds a group.
func (d *Draft) AddGroup(g account.Group) error {
	if err := validateGroup(g); err != nil {
		return err
	}
	if err := d.absent(Key{KindGroup, string(g.GID)}); err != nil {
		return err
	}
	return d.storeGroup(g)
}

// PutGroup adds a group, or replaces the one with the same gid (Jasmin: adding a gid that
// is taken replaces).
func (d *Draft) PutGroup(g account.Group) error {
	if !d.has(Key{KindGroup, string(g.GID)}) {
		return d.AddGroup(g)
	}
	if err := d.changeable(Key{KindGroup, string(g.GID)}); err != nil {
		return err
	}
	return d.storeGroup(g)
}

func (d *Draft) storeGroup(g account.Group) error {
	d.groups[g.GID] = &g
	d.note(Key{KindGroup, string(g.GID)})
	d.dirty = true
	return nil
}

// EnableGroup enables or disables a group, and so all its users.
func (d *Draft) EnableGroup(gid sms.GroupID, enabled bool) error {
	if err := d.changeable(Key{KindGroup, string(gid)}); err != nil {
		return err
	}
	g := *d.groups[gid]
	g.Enabled = enabled
	d.groups[gid] = &g
	d.dirty = true
	return nil
}

// RemoveGroup removes a group that has no users.
func (d *Draft) RemoveGroup(gid sms.GroupID) error {
	return d.removeUnused(Key{KindGroup, string(gid)})
}

// AddUser adds a user; his Version is set here.
func (d *Draft) AddUser(u account.User) error {
	if err := validateUser(&u); err != nil {
		return err
	}
	if err := d.absent(Key{KindUser, string(u.UID)}); err != nil {
		return err
	}
	return d.putUser(u)
}

// UpdateUser replaces the user with the same uid; his Version is set here.
func (d *Draft) UpdateUser(u account.User) error {
	if err := validateUser(&u); err != nil {
		return err
	}
	if err := d.changeable(Key{KindUser, string(u.UID)}); err != nil {
		return err
	}
	return d.putUser(u)
}

// EnableUser enables or disables a user.
func (d *Draft) EnableUser(uid sms.UserID, enabled bool) error {
	key := Key{KindUser, string(uid)}
	if err := d.changeable(key); err != nil {
		return err
	}
	u := *d.users[uid]
	u.Enabled = enabled
	return d.putUser(u)
}

func (d *Draft) putUser(u account.User) error {
	key := Key{KindUser, string(u.UID)}
	if d.groups[u.GID] == nil {
		return &RefusedError{Key: Key{KindGroup, string(u.GID)}, Why: ErrNotFound}
	}
	for uid, other := range d.users {
		if other.Username == u.Username && uid != u.UID {
			return &RefusedError{Key: key, Why: ErrExists, Name: u.Username, By: []Key{{KindUser, string(uid)}}}
		}
	}
	d.storeUser(u)
	return nil
}

func (d *Draft) storeUser(u account.User) {
	d.userVersion++
	u.Version = d.userVersion
	d.users[u.UID] = &u
	d.note(Key{KindUser, string(u.UID)})
	d.dirty = true
}

// RemoveUser removes a user.
func (d *Draft) RemoveUser(uid sms.UserID) error { return d.removeUnused(Key{KindUser, string(uid)}) }

// PutFilter adds a filter, or replaces the one with the same fid in every route and
// interceptor that has it.
func (d *Draft) PutFilter(f *routing.Filter) error {
	key := Key{KindFilter, f.FID()}
	if d.filters[f.FID()] != nil {
		if err := d.changeable(key); err != nil {
			return err
		}
		for _, user := range d.usedBy(key) {
			dir := routing.MT
			if user.Kind == KindMORoute || user.Kind == KindMOInterceptor {
				dir = routing.MO
			}
			if f.Type().UsedFor()&dir == 0 {
				return fmt.Errorf("%s: %s cannot be used in %s", key, f.Type(), user)
			}
		}
	}
	d.filters[f.FID()] = f
	d.note(key)
	d.dirty = true
	return nil
}

// RemoveFilter removes a filter that no route and no interceptor uses.
func (d *Draft) RemoveFilter(fid string) error { return d.removeUnused(Key{KindFilter, fid}) }

// AddSMPPConnector adds an SMPP client connector.
func (d *Draft) AddSMPPConnector(c SMPPConnector) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := d.absent(Key{KindSMPPConnector, string(c.CID)}); err != nil {
		return err
	}
	d.smppcs[c.CID] = &c
	d.note(Key{KindSMPPConnector, string(c.CID)})
	d.dirty = true
	return nil
}

// UpdateSMPPConnector replaces the connector with the same cid.
func (d *Draft) UpdateSMPPConnector(c SMPPConnector) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := d.changeable(Key{KindSMPPConnector, string(c.CID)}); err != nil {
		return err
	}
	d.smppcs[c.CID] = &c
	d.dirty = true
	return nil
}

// StartSMPPConnector says whether a connector should run. That is operation rather than
// configuration, so it is possible for a declared one as well; it lasts until the file
// declares otherwise.
func (d *Draft) StartSMPPConnector(cid sms.ConnectorID, started bool) error {
	c := d.smppcs[cid]
	if c == nil {
		return &RefusedError{Key: Key{KindSMPPConnector, string(cid)}, Why: ErrNotFound}
	}
	if c.Started == started {
		return nil
	}
	fresh := *c
	fresh.Started = started
	d.smppcs[cid] = &fresh
	d.dirty = true
	return nil
}

// RemoveSMPPConnector removes a connector that no route uses.
func (d *Draft) RemoveSMPPConnector(cid sms.ConnectorID) error {
	return d.removeUnused(Key{KindSMPPConnector, string(cid)})
}

// AddHTTPConnector adds an HTTP client connector.
func (d *Draft) AddHTTPConnector(c HTTPConnector) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := d.absent(Key{KindHTTPConnector, string(c.CID)}); err != nil {
		return err
	}
	return d.storeHTTPConnector(c)
}

// PutHTTPConnector adds an HTTP client connector, or replaces the one with the same cid
// (Jasmin: adding a cid that is taken replaces).
func (d *Draft) PutHTTPConnector(c HTTPConnector) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if k := (Key{KindHTTPConnector, string(c.CID)}); d.has(k) {
		if err := d.changeable(k); err != nil {
			return err
		}
	}
	return d.storeHTTPConnector(c)
}

func (d *Draft) storeHTTPConnector(c HTTPConnector) error {
	d.httpcs[c.CID] = &c
	d.note(Key{KindHTTPConnector, string(c.CID)})
	d.dirty = true
	return nil
}

// RemoveHTTPConnector removes a connector that no route uses.
func (d *Draft) RemoveHTTPConnector(cid sms.ConnectorID) error {
	return d.removeUnused(Key{KindHTTPConnector, string(cid)})
}

// PutRoute adds a route, or replaces the one of the same order (Jasmin: adding at an order
// that is taken replaces).
func (d *Draft) PutRoute(dir routing.Direction, r Route) error {
	routes, kind := d.routes(dir)
	key := Key{kind, strconv.Itoa(r.Order)}
	if routes[r.Order] != nil {
		if err := d.changeable(key); err != nil {
			return err
		}
	}
	for _, ref := range r.references() {
		if !d.has(ref) {
			return &RefusedError{Key: ref, Why: ErrNotFound}
		}
	}
	if err := d.resolve(&r).Validate(dir); err != nil {
		return err
	}
	r = r.clone()
	routes[r.Order] = &r
	d.note(key)
	d.dirty = true
	return nil
}

// PutInterceptor adds an interceptor, or replaces the one of the same order.
func (d *Draft) PutInterceptor(dir routing.Direction, i Interceptor) error {
	interceptors, kind := d.interceptors(dir)
	key := Key{kind, strconv.Itoa(i.Order)}
	if interceptors[i.Order] != nil {
		if err := d.changeable(key); err != nil {
			return err
		}
	}
	for _, fid := range i.Filters {
		if ref := (Key{KindFilter, fid}); !d.has(ref) {
			return &RefusedError{Key: ref, Why: ErrNotFound}
		}
	}
	if err := d.resolveInterceptor(&i).Validate(dir); err != nil {
		return err
	}
	i = i.clone()
	interceptors[i.Order] = &i
	d.note(key)
	d.dirty = true
	return nil
}

// RemoveInterceptor removes the interceptor of an order.
func (d *Draft) RemoveInterceptor(dir routing.Direction, order int) error {
	_, kind := d.interceptors(dir)
	return d.removeUnused(Key{kind, strconv.Itoa(order)})
}

// FlushInterceptors removes every interceptor of a direction that the provisioning file
// does not declare, and tells how many.
func (d *Draft) FlushInterceptors(dir routing.Direction) int {
	interceptors, kind := d.interceptors(dir)
	return d.flush(kind, slices.Collect(maps.Keys(interceptors)))
}

// RemoveRoute removes the route of an order.
func (d *Draft) RemoveRoute(dir routing.Direction, order int) error {
	_, kind := d.routes(dir)
	return d.removeUnused(Key{kind, strconv.Itoa(order)})
}

// FlushRoutes removes every route of a direction that the provisioning file does not
// declare, and tells how many.
func (d *Draft) FlushRoutes(dir routing.Direction) int {
	routes, kind := d.routes(dir)
	return d.flush(kind, slices.Collect(maps.Keys(routes)))
}

func (d *Draft) flush(kind Kind, orders []int) int {
	n := 0
	for _, order := range orders {
		key := Key{kind, strconv.Itoa(order)}
		if _, ok := d.declared[key]; !ok {
			d.remove(key)
			n++
		}
	}
	d.dirty = d.dirty || n > 0
	return n
}

func (d *Draft) absent(k Key) error {
	if d.has(k) {
		return &RefusedError{Key: k, Why: ErrExists}
	}
	return nil
}

// changeable refuses what does not exist or belongs to a file.
func (d *Draft) changeable(k Key) error {
	if !d.has(k) {
		return &RefusedError{Key: k, Why: ErrNotFound}
	}
	if file, ok := d.declared[k]; ok {
		return &RefusedError{Key: k, Why: ErrDeclared, File: file}
	}
	return nil
}

func (d *Draft) removeUnused(k Key) error {
	if err := d.changeable(k); err != nil {
		return err
	}
	if by := d.usedBy(k); len(by) > 0 {
		return &RefusedError{Key: k, Why: ErrInUse, By: by}
	}
	d.remove(k)
	d.dirty = true
	return nil
}
