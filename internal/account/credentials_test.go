package account

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"jasmind/internal/billing"
)

// The sample of the documentation, user -s foo, without uid, gid and username, in its
// order, then what is newer.
const shownFoo = `mt_messaging_cred defaultvalue src_addr None
mt_messaging_cred quota http_throughput ND
mt_messaging_cred quota balance ND
mt_messaging_cred quota smpps_throughput ND
mt_messaging_cred quota sms_count ND
mt_messaging_cred quota early_percent ND
mt_messaging_cred valuefilter priority ^[0-3]$
mt_messaging_cred valuefilter content .*
mt_messaging_cred valuefilter src_addr .*
mt_messaging_cred valuefilter dst_addr .*
mt_messaging_cred valuefilter validity_period ^\d+$
mt_messaging_cred authorization http_send True
mt_messaging_cred authorization http_dlr_method True
mt_messaging_cred authorization http_balance True
mt_messaging_cred authorization smpps_send True
mt_messaging_cred authorization priority True
mt_messaging_cred authorization http_long_content True
mt_messaging_cred authorization src_addr True
mt_messaging_cred authorization dlr_level True
mt_messaging_cred authorization http_rate True
mt_messaging_cred authorization validity_period True
mt_messaging_cred authorization http_bulk False
mt_messaging_cred authorization hex_content True
smpps_cred quota max_bindings ND
smpps_cred authorization bind True
mt_messaging_cred authorization schedule_delivery_time True
smpps_cred authorization ip 0.0.0.0/0
`

func TestDefaultCredentialsAreShownAsDocumented(t *testing.T) {
	c := DefaultCredentials()
	var b strings.Builder
	for i := range CredentialKeys {
		fmt.Fprintf(&b, "%s %s\n", &CredentialKeys[i], CredentialKeys[i].Format(&c))
	}
	if b.String() != shownFoo {
		t.Errorf("got\n%s\nwant\n%s", b.String(), shownFoo)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestEveryAuthorizationHasAFieldOfItsOwn(t *testing.T) {
	for i := range CredentialKeys {
		k := &CredentialKeys[i]
		if k.Section != SectionAuthorization || k.Name == "ip" {
			continue
		}
		c := DefaultCredentials()
		other := map[string]string{"True": "no", "False": "yes"}[k.Format(&c)]
		if err := k.Parse(other, &c); err != nil {
			t.Fatal(err)
		}
		d := DefaultCredentials()
		var changed []string
		for j := range CredentialKeys {
			if CredentialKeys[j].Format(&c) != CredentialKeys[j].Format(&d) {
				changed = append(changed, CredentialKeys[j].String())
			}
		}
		if len(changed) != 1 || changed[0] != k.String() || c.Equal(&d) {
			t.Errorf("setting %s changed %v", k, changed)
		}
	}
}

func TestSetCredential(t *testing.T) {
	for _, tt := range []struct{ cred, section, name, value, shown string }{
		{"mt_messaging_cred", "quota", "balance", "44.2", "44.2"},
		{"mt_messaging_cred", "quota", "balance", "0", "0"},
		{"mt_messaging_cred", "quota", "sms_count", "none", "ND"},
		{"mt_messaging_cred", "quota", "sms_count", "10", "10"},
		{"mt_messaging_cred", "quota", "early_percent", "12.5", "12.5"},
		{"mt_messaging_cred", "quota", "smpps_throughput", "2", "2"},
		{"mt_messaging_cred", "quota", "http_throughput", "0.1", "0.1"},
		{"mt_messaging_cred", "valuefilter", "src_addr", "^JASMIN$", "^JASMIN$"},
		{"mt_messaging_cred", "valuefilter", "dst_addr", "^33", "^33"},
		{"mt_messaging_cred", "valuefilter", "content", "^hello", "^hello"},
		{"mt_messaging_cred", "valuefilter", "priority", "^[01]$", "^[01]$"},
		{"mt_messaging_cred", "valuefilter", "validity_period", "^60$", "^60$"},
		{"mt_messaging_cred", "defaultvalue", "src_addr", "JASMIN", "JASMIN"},
		{"mt_messaging_cred", "defaultvalue", "src_addr", "None", "None"},
		{"mt_messaging_cred", "authorization", "http_send", "NO", "False"},
		{"mt_messaging_cred", "authorization", "http_bulk", "t", "True"},
		{"smpps_cred", "authorization", "bind", "0", "False"},
		{"smpps_cred", "authorization", "ip", "10.0.0.0/8, 192.0.2.1,2001:db8::/32", "10.0.0.0/8,192.0.2.1,2001:db8::/32"},
		{"smpps_cred", "quota", "max_bindings", "2", "2"},
	} {
		c := DefaultCredentials()
		if err := SetCredential(&c, tt.cred, tt.section, tt.name, tt.value); err != nil {
			t.Errorf("%+v: %v", tt, err)
		} else if got := LookupCredential(tt.cred, tt.section, tt.name).Format(&c); got != tt.shown {
			t.Errorf("%+v: shown as %q", tt, got)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	c := DefaultCredentials()
	if err := SetCredential(&c, MTMessagingCred, SectionQuota, "balance", "44.2"); err != nil || c.MT.Quota.Balance != (Limit[billing.Amount]{Set: true, Value: 44_200_000}) {
		t.Errorf("balance: got %+v, %v", c.MT.Quota.Balance, err)
	}
}

func TestSetCredentialRefusesAndLeavesThemAlone(t *testing.T) {
	for _, tt := range []struct{ cred, section, name, value string }{
		{"mt_messaging_cred", "quota", "balance", "-1"},
		{"mt_messaging_cred", "quota", "balance", "lots"},
		{"mt_messaging_cred", "quota", "balance", "0.0000001"},
		{"mt_messaging_cred", "quota", "sms_count", "-1"},
		{"mt_messaging_cred", "quota", "sms_count", "1.5"},
		{"mt_messaging_cred", "quota", "early_percent", "0.99"},
		{"mt_messaging_cred", "quota", "early_percent", "101"},
		{"mt_messaging_cred", "quota", "http_throughput", "-2"},
		{"mt_messaging_cred", "quota", "smpps_throughput", "inf"},
		{"mt_messaging_cred", "valuefilter", "src_addr", "("},
		{"mt_messaging_cred", "defaultvalue", "src_addr", strings.Repeat("1", 21)},
		{"mt_messaging_cred", "authorization", "http_send", "maybe"},
		{"smpps_cred", "quota", "max_bindings", "many"},
		{"smpps_cred", "authorization", "ip", "10.0.0.0/33"},
		{"smpps_cred", "authorization", "ip", ""},
		{"smpps_cred", "authorization", "ip", "10.0.0.1,,10.0.0.2"},
		{"smpps_cred", "authorization", "ip", "fe80::1%eth0"},
		{"smpps_cred", "authorization", "ip", strings.Repeat("10.0.0.1,", 256) + "10.0.0.1"},
	} {
		c, d := DefaultCredentials(), DefaultCredentials()
		err := SetCredential(&c, tt.cred, tt.section, tt.name, tt.value)
		var ve *ValueError
		if !errors.As(err, &ve) || ve.Value != tt.value || !strings.HasPrefix(err.Error(), tt.cred+" "+tt.section+" "+tt.name+": invalid value ") {
			t.Errorf("%+v: got %v", tt, err)
		}
		if !c.Equal(&d) {
			t.Errorf("%+v: changed the credentials", tt)
		}
	}
	c := DefaultCredentials()
	if err := SetCredential(&c, "smpps_cred", "quota", "balance", "1"); !errors.Is(err, ErrUnknownKey) || !strings.Contains(err.Error(), "smpps_cred quota balance") {
		t.Errorf("unknown key: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	for _, tt := range []struct {
		list, addr string
		want       bool
	}{
		{"0.0.0.0/0", "203.0.113.9", true},
		{"0.0.0.0/0", "2001:db8::1", true}, // the default lets everybody in
		{"::/0", "2001:db8::1", true},
		{"::/0", "203.0.113.9", false},
		{"10.0.0.0/8,192.0.2.1", "10.255.0.1", true},
		{"10.0.0.0/8,192.0.2.1", "192.0.2.1", true},
		{"10.0.0.0/8,192.0.2.1", "192.0.2.2", false},
		{"10.0.0.0/8", "::ffff:10.0.0.1", true}, // as a dual-stack listener sees it
		{"10.1.2.3/8", "10.9.9.9", true},
		{"2001:db8::/32", "2001:db8::5", true},
		{"2001:db8::/32", "10.0.0.1", false},
	} {
		l, err := parseAddresses(tt.list)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Allows(netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("%s in %s: got %v, want %v", tt.addr, tt.list, got, tt.want)
		}
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	c := DefaultCredentials()
	c.MT.Quota.Balance = Limit[billing.Amount]{Set: true, Value: -1}
	c.MT.ValueFilter.Content = Pattern{}
	want := `mt_messaging_cred quota balance: invalid value "-0.000001": must be none or a number from 0 to 4611686018427.387904
mt_messaging_cred valuefilter content: is missing`
	if err := c.Validate(); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if err := new(Credentials).Validate(); err == nil {
		t.Error("the zero Credentials are valid")
	}
}
