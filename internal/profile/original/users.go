package original

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"jasmind/internal/account"
	"jasmind/internal/sms"
)

// credential is a credential of the original: the object of a user that has it, its section and
// name there, and our names.
type credential struct {
	object, section, name string
	cred, ours, key       string
}

const (
	mtCredential    = "mt_credential"
	smppsCredential = "smpps_credential"

	authorizations = "authorizations"
	valueFilters   = "value_filters"
	defaultValues  = "defaults"
	quotas         = "quotas"
)

var credentials = []credential{
	authorization("long_content", "http_long_content"), // this name and the next are of early releases
	authorization("set_dlr_method", "http_dlr_method"),
	authorization("http_send", "http_send"),
	authorization("http_balance", "http_balance"),
	authorization("http_rate", "http_rate"),
	authorization("http_bulk", "http_bulk"),
	authorization("smpps_send", "smpps_send"),
	authorization("http_long_content", "http_long_content"),
	authorization("set_dlr_level", "dlr_level"),
	authorization("http_set_dlr_method", "http_dlr_method"),
	authorization("set_source_address", "src_addr"),
	authorization("set_priority", "priority"),
	authorization("set_validity_period", "validity_period"),
	authorization("set_hex_content", "hex_content"),
	authorization("set_schedule_delivery_time", "schedule_delivery_time"),
	valueFilter("destination_address", "dst_addr"),
	valueFilter("source_address", "src_addr"),
	valueFilter("priority", "priority"),
	valueFilter("validity_period", "validity_period"),
	valueFilter("content", "content"),
	{mtCredential, defaultValues, "source_address", account.MTMessagingCred, account.SectionDefaultValue, "src_addr"},
	quota("balance", "balance"),
	quota("early_decrement_balance_percent", "early_percent"),
	quota("submit_sm_count", "sms_count"),
	quota("http_throughput", "http_throughput"),
	quota("smpps_throughput", "smpps_throughput"),
	{smppsCredential, authorizations, "bind", account.SMPPSCred, account.SectionAuthorization, "bind"},
	{smppsCredential, authorizations, "ip", account.SMPPSCred, account.SectionAuthorization, "ip"},
	{smppsCredential, quotas, "max_bindings", account.SMPPSCred, account.SectionQuota, "max_bindings"},
}

func authorization(theirs, ours string) credential {
	return credential{mtCredential, authorizations, theirs, account.MTMessagingCred, account.SectionAuthorization, ours}
}

func valueFilter(theirs, ours string) credential {
	return credential{mtCredential, valueFilters, theirs, account.MTMessagingCred, account.SectionValueFilter, ours}
}

func quota(theirs, ours string) credential {
	return credential{mtCredential, quotas, theirs, account.MTMessagingCred, account.SectionQuota, ours}
}

// flag gives an attribute that is true or false, true if it is missing: the oldest users have none.
func (o *object) flag(name string) (bool, error) {
	v, ok := o.attrs[name]
	if !ok {
		return true, nil
	}
	switch v := v.(type) {
	case bool:
		return v, nil
	case int:
		return v != 0, nil
	}
	return false, fmt.Errorf("%s: is neither true nor false", name)
}

func (t *taker) group(v any) {
	o, ok := v.(*object)
	if !ok || o.class != "Group" {
		t.refuse("group", errors.New("is no group"+whose(v)))
		return
	}
	gid, err := o.text("gid")
	if err != nil {
		t.refuse("group", err)
		return
	}
	enabled, err := o.flag("enabled")
	if err == nil {
		err = t.draft.AddGroup(account.Group{GID: sms.GroupID(gid), Enabled: enabled})
	}
	if err != nil {
		t.refuse("group "+gid, err)
	}
}

func (t *taker) user(v any) {
	o, ok := v.(*object)
	if !ok || o.class != "User" {
		t.refuse("user", errors.New("is no user"+whose(v)))
		return
	}
	uid, err := o.text("uid")
	if err != nil {
		t.refuse("user", err)
		return
	}
	name := "user " + uid
	u, err := t.account(name, o)
	if err == nil {
		u.UID = sms.UserID(uid)
		err = t.draft.AddUser(*u)
	}
	if err != nil {
		t.refuse(name, err)
	}
}

// account makes a user of an object. Every fault is in the error: a user without one of his
// limits could do what he may not.
func (t *taker) account(name string, o *object) (*account.User, error) {
	u := &account.User{Credentials: account.DefaultCredentials()}
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	var err error
	u.Username, err = o.text("username")
	note(err)
	u.Enabled, err = o.flag("enabled")
	note(err)
	group, err := o.as("group", "Group")
	note(err)
	if group != nil {
		gid, err := group.text("gid")
		note(err)
		u.GID = sms.GroupID(gid)
	}
	u.Password, err = digest(o.attrs["password"])
	note(err)
	for _, of := range []struct{ object, class string }{{mtCredential, "MtMessagingCredential"}, {smppsCredential, "SmppsCredential"}} {
		if o.attrs[of.object] == nil { // older than these credentials
			t.remark(name, "%s: is missing, the defaults hold", of.object)
			continue
		}
		cred, err := o.as(of.object, of.class)
		if err == nil {
			err = t.credentials(name, of.object, cred, &u.Credentials)
		}
		note(err)
	}
	return u, errors.Join(errs...)
}

// digest gives the MD5 digest that the original keeps of a password.
func digest(v any) (account.Password, error) {
	var octets string
	switch v := v.(type) {
	case []byte:
		octets = string(v)
	case string: // of Python 2
		octets = v
	}
	if len(octets) != 16 {
		return account.Password{}, errors.New("password: is no MD5 digest")
	}
	return account.ParseHash(hex.EncodeToString([]byte(octets)))
}

func (t *taker) credentials(name, object string, o *object, c *account.Credentials) error {
	var errs []error
	known := map[string]bool{}
	sections := map[string]map[string]any{}
	for _, section := range []string{authorizations, valueFilters, defaultValues, quotas} {
		values, err := o.dict(section)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", object, err))
		}
		sections[section] = values
	}
	for _, k := range credentials {
		v, ok := sections[k.section][k.name]
		if k.object != object || !ok { // an older one has less; then our default holds
			continue
		}
		known[k.section+" "+k.name] = true
		var text string
		var rounded bool
		var err error
		if k.section == valueFilters {
			text, err = pattern(v)
		} else {
			text, rounded, err = spell(v)
		}
		if err != nil {
			err = fmt.Errorf("%s %s: %w", k.section, k.name, err)
		} else {
			err = account.SetCredential(c, k.cred, k.ours, k.key, text)
		}
		if err != nil {
			errs = append(errs, err)
		} else if rounded {
			t.remark(name, "%s %s: %v is rounded to %s", k.section, k.name, v, text)
		}
	}
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		for _, key := range slices.Sorted(maps.Keys(sections[section])) {
			if !known[section+" "+key] {
				t.remark(name, "%s %s %s: has no meaning here", object, section, key)
			}
		}
	}
	return errors.Join(errs...)
}
