package jcli

import (
	"strconv"
	"strings"

	"jasmind/internal/account"
	"jasmind/internal/billing"
	"jasmind/internal/mt"
	"jasmind/internal/provision"
	"jasmind/internal/sms"
)

var userCommand = command{
	name: "user", doc: "User management",
	options: []option{
		{"-l", "--list", "", "List all users or a group users when provided with GID"},
		{"-a", "--add", "", "Add user"},
		{"-e", "--enable", "UID", "Enable user"},
		{"-d", "--disable", "UID", "Disable user"},
		{"-u", "--update", "UID", "Update user using it's UID"},
		{"-r", "--remove", "UID", "Remove user using it's UID"},
		{"-s", "--show", "UID", "Show user using it's UID"},
		{"", "--smpp-unbind", "UID", "Unbind user from smpp server using it's UID"},
		{"", "--smpp-ban", "UID", "Unbind and ban user from smpp server using it's UID"},
	},
	actions: []action{
		{"list", func(s *session, _, gid string) { s.listUsers(gid) }},
		{"add", func(s *session, _, _ string) { s.addUser() }},
		{"enable", func(s *session, uid, _ string) { s.enableUser(uid, true) }},
		{"disable", func(s *session, uid, _ string) { s.enableUser(uid, false) }},
		{"update", func(s *session, uid, _ string) { s.updateUser(uid) }},
		{"remove", func(s *session, uid, _ string) { s.removeUser(uid) }},
		{"show", func(s *session, uid, _ string) { s.showUser(uid) }},
		{"smpp-unbind", func(s *session, uid, _ string) { s.unbindUser(uid, false) }},
		{"smpp-ban", func(s *session, uid, _ string) { s.unbindUser(uid, true) }},
	},
}

var userKeys = []string{"username", "password", "gid", "uid", account.MTMessagingCred, account.SMPPSCred}

func (s *session) snapshot() *provision.Snapshot { return s.srv.deps.Store.Snapshot() }

// withLeft gives the credentials of a user with what is left of his quotas; known is false when nobody can tell.
func (s *session) withLeft(u *account.User) (c account.Credentials, known bool) {
	c = u.Credentials
	if s.srv.deps.Accounts == nil {
		return c, false
	}
	left, known := s.srv.deps.Accounts.Left(s.srv.ctx, u.UID)
	if known {
		c.MT.Quota.Balance = account.Limit[billing.Amount]{Set: left.HasBalance, Value: left.Balance}
		c.MT.Quota.SMSCount = account.Limit[int]{Set: left.HasCount, Value: int(left.Count)}
	}
	return c, known
}

func (s *session) listUsers(gid string) {
	snap := s.snapshot()
	widths := []int{16, 16, 16, 7, 6, 8}
	n, known := 0, true
	for _, u := range added(snap, provision.KindUser, snap.Users(), func(u *account.User) string { return string(u.UID) }) {
		if gid != "" && string(u.GID) != gid {
			continue
		}
		if n == 0 {
			s.print(row(widths, "User id", "Group id", "Username", "Balance", "MT SMS", "Throughput"))
		}
		n++
		c := u.Credentials
		if known { // else each user would be waited for
			c, known = s.withLeft(u)
		}
		quota := func(name string) string { return credential(&c, account.MTMessagingCred, account.SectionQuota, name) }
		g := snap.Group(u.GID)
		s.print(row(widths, mark(string(u.UID), u.Enabled), mark(string(u.GID), g == nil || g.Enabled), u.Username,
			quota("balance"), quota("sms_count"), quota("http_throughput")+"/"+quota("smpps_throughput")))
	}
	if gid == "" {
		s.print("Total Users: " + strconv.Itoa(n))
	} else {
		s.print("Total Users in group [" + gid + "]: " + strconv.Itoa(n))
	}
}

// showUser prints first what the documented sample has, in its order, then what is newer.
func (s *session) showUser(uid string) {
	u := s.knownUser(uid)
	if u == nil {
		return
	}
	c, _ := s.withLeft(u)
	show := func(cred string, newer bool) {
		for i := range account.CredentialKeys {
			if k := &account.CredentialKeys[i]; k.Cred == cred && newerCredential(k) == newer {
				s.print(k.String() + " " + formatCredential(k, &c))
			}
		}
	}
	s.print("username " + u.Username)
	show(account.MTMessagingCred, false)
	s.print("uid " + string(u.UID))
	show(account.SMPPSCred, false)
	s.print("gid " + string(u.GID))
	show(account.MTMessagingCred, true)
	show(account.SMPPSCred, true)
}

func newerCredential(k *account.CredentialKey) bool {
	return k.Name == "schedule_delivery_time" || k.Name == "ip"
}

// userForm is what was typed of a user.
type userForm struct {
	username, password, gid, uid string
	hasName, hasPassword, hasGID bool
	hasUID                       bool
	credentials                  []credentialChange
}

// set takes one key; what is refused is printed.
func (f *userForm) set(s *session, key, value string, update bool) {
	switch key {
	case "username":
		f.username, f.hasName = value, true
	case "password":
		f.password, f.hasPassword = value, true
	case "uid":
		f.uid, f.hasUID = value, true
	case "gid":
		if s.snapshot().Group(sms.GroupID(value)) == nil {
			s.print("Unknown Group gid:" + value + ", you must first create the Group")
			return
		}
		f.gid, f.hasGID = value, true
	case account.MTMessagingCred, account.SMPPSCred:
		change, err := parseCredential(key, value, update)
		if err != nil {
			s.print("Error: " + err.Error())
			return
		}
		f.credentials = append(f.credentials, change)
	default:
		s.print("Unknown User key: " + key)
	}
}

// hash makes the hash of the password that was typed.
func (f *userForm) hash(s *session) (p account.Password, ok bool) {
	var err error
	s.srv.heavily(func() { p, err = account.HashPassword(f.password) })
	if err != nil {
		s.print("Error: Invalid password length !")
		return p, false
	}
	return p, true
}

func (s *session) addUser() {
	var f userForm
	s.begin("Adding a new User: (ok: save, ko: exit)", &interaction{
		keys: userKeys,
		set:  func(key, value string) { f.set(s, key, value, false) },
		save: func() { s.saveUser(&f) },
	})
}

func (s *session) saveUser(f *userForm) {
	switch {
	case !f.hasUID || !f.hasGID || !f.hasName || !f.hasPassword:
		s.print("You must set User id (uid), group (gid), username and password before saving !")
		return
	case !account.ValidUID(f.uid):
		s.print("Error: User uid syntax is invalid")
		return
	case !account.ValidUsername(f.username):
		s.print("Error: User username syntax is invalid")
		return
	}
	u := account.User{UID: sms.UserID(f.uid), GID: sms.GroupID(f.gid), Username: f.username, Enabled: true, Credentials: account.DefaultCredentials()}
	for _, c := range f.credentials {
		if err := c.apply(&u.Credentials); err != nil {
			s.print("Error: " + err.Error())
			return
		}
	}
	var ok bool
	if u.Password, ok = f.hash(s); !ok {
		return
	}
	if !s.applyUser("Failed adding User", u.UID, f.quotas(), func(d *provision.Draft) error {
		if _, exists := d.User(u.UID); exists { // Jasmin: adding a uid that is taken replaces
			return d.UpdateUser(u)
		}
		return d.AddUser(u)
	}) {
		return
	}
	s.print("Successfully added User [" + f.uid + "] to Group [" + f.gid + "]")
	s.end()
}

// quotas are the changes that are the ledger's affair too.
func (f *userForm) quotas() []mt.QuotaChange {
	var changes []mt.QuotaChange
	for _, c := range f.credentials {
		if c.quota.Quota != 0 {
			changes = append(changes, c.quota)
		}
	}
	return changes
}

func (s *session) updateUser(uid string) {
	if s.knownUser(uid) == nil {
		return
	}
	var f userForm
	s.begin("Updating User id ["+uid+"]: (ok: save, ko: exit)", &interaction{
		keys: userKeys,
		set: func(key, value string) {
			switch key {
			case "uid":
				s.print("User id can not be modified !")
			case "username":
				s.print("User username can not be modified !")
			default:
				f.set(s, key, value, true)
			}
		},
		save: func() {
			if !f.hasPassword && !f.hasGID && len(f.credentials) == 0 {
				s.print("Nothing to save")
				return
			}
			var p account.Password
			if f.hasPassword {
				var ok bool
				if p, ok = f.hash(s); !ok {
					return
				}
			}
			if s.applyUser("Failed updating User", sms.UserID(uid), f.quotas(), func(d *provision.Draft) error { return f.update(d, sms.UserID(uid), p) }) {
				s.print("Successfully updated User [" + uid + "]")
				s.end()
			}
		},
	})
}

// topsUp tells whether nothing was typed but what is added to quotas that a user has. What is
// left is the ledger's, so that is possible for one whom a provisioning file declares: what
// the file says are opening values.
func (f *userForm) topsUp(u *account.User) bool {
	if f.hasPassword || f.hasGID {
		return false
	}
	for _, c := range f.credentials {
		limited := c.key.Name == "balance" && u.MT.Quota.Balance.Set || c.key.Name == "sms_count" && u.MT.Quota.SMSCount.Set
		if c.key.Section != account.SectionQuota || !c.add || !limited {
			return false
		}
	}
	return true
}

// update works what was typed into the user as he is now: other sessions may have changed
// him since.
func (f *userForm) update(d *provision.Draft, uid sms.UserID, p account.Password) error {
	u, ok := d.User(uid)
	if !ok {
		return &provision.RefusedError{Key: provision.Key{Kind: provision.KindUser, ID: string(uid)}, Why: provision.ErrNotFound}
	}
	if _, declared := d.DeclaredIn(provision.Key{Kind: provision.KindUser, ID: string(uid)}); declared && f.topsUp(&u) {
		return nil
	}
	if f.hasPassword {
		u.Password = p
	}
	if f.hasGID {
		u.GID = sms.GroupID(f.gid)
	}
	for _, c := range f.credentials {
		if err := c.apply(&u.Credentials); err != nil {
			return err
		}
	}
	return d.UpdateUser(u)
}

// knownUser gives a user, or says that there is none.
func (s *session) knownUser(uid string) *account.User {
	u := s.snapshot().User(sms.UserID(uid))
	if u == nil {
		s.print("Unknown User: " + uid)
	}
	return u
}

func (s *session) enableUser(uid string, enabled bool) {
	if s.knownUser(uid) == nil {
		return
	}
	doing, done := "Failed enabling User", "enabled"
	if !enabled {
		doing, done = "Failed disabling User", "disabled"
	}
	if s.apply(doing, func(d *provision.Draft) error { return d.EnableUser(sms.UserID(uid), enabled) }) {
		s.print("Successfully " + done + " User id:" + uid)
	}
}

func (s *session) removeUser(uid string) {
	if s.knownUser(uid) != nil && s.applyUser("Failed removing User", sms.UserID(uid), nil, func(d *provision.Draft) error { return d.RemoveUser(sms.UserID(uid)) }) {
		s.print("Successfully removed User id:" + uid)
	}
}

// unbindUser closes the SMPP sessions of a user; a banned one loses the right to bind first.
func (s *session) unbindUser(uid string, ban bool) {
	if s.knownUser(uid) == nil {
		return
	}
	doing, done := "Failed unbinding User", "unbound"
	if ban {
		doing, done = "Failed banning User", "unbound and banned"
		if !s.apply(doing, func(d *provision.Draft) error {
			u, ok := d.User(sms.UserID(uid))
			if !ok || !u.SMPPS.Bind {
				return nil
			}
			u.SMPPS.Bind = false
			return d.UpdateUser(u)
		}) {
			return
		}
	}
	if s.srv.deps.Binds != nil {
		if err := s.srv.deps.Binds.Unbind(s.srv.ctx, sms.UserID(uid)); err != nil {
			s.log.Warn("unbind", "uid", uid, "err", err)
			s.print(doing + ": " + strings.TrimSpace(oneLine(err)))
			return
		}
	}
	s.print("Successfully " + done + " User id:" + uid)
}
