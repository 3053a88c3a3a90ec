package account

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"jasmind/internal/billing"
)

// Credentials say what a user may do, and what he may use up.
type Credentials struct {
	MT    MTCredentials    // mt_messaging_cred
	SMPPS SMPPSCredentials // smpps_cred
}

// MTCredentials are what a user may do with mobile-terminated messages.
type MTCredentials struct {
	Authorization MTAuthorization
	ValueFilter   MTValueFilter
	DefaultSource string // defaultvalue src_addr, "" = none
	Quota         MTQuota
}

// MTAuthorization are the privileges of section authorization.
type MTAuthorization struct {
	HTTPSend             bool // http_send
	HTTPBalance          bool // http_balance
	HTTPRate             bool // http_rate
	HTTPBulk             bool // http_bulk, deprecated: kept for profiles, it grants nothing
	SMPPSSend            bool // smpps_send
	HTTPLongContent      bool // http_long_content
	DLRLevel             bool // dlr_level
	HTTPDLRMethod        bool // http_dlr_method
	SourceAddr           bool // src_addr
	Priority             bool // priority
	ValidityPeriod       bool // validity_period
	HexContent           bool // hex_content
	ScheduleDeliveryTime bool // schedule_delivery_time (newer than the documentation)
}

// MTValueFilter are the patterns of section valuefilter.
type MTValueFilter struct {
	SourceAddr     Pattern // src_addr
	DestAddr       Pattern // dst_addr
	Content        Pattern // content
	Priority       Pattern // priority
	ValidityPeriod Pattern // validity_period
}

// Limit is a quota: unlimited (ND) unless Set.
type Limit[T comparable] struct {
	Set   bool
	Value T
}

// MTQuota are the quotas of section quota. Balance and SMSCount are opening values: what
// is left of them lives in the ledger.
type MTQuota struct {
	Balance         Limit[billing.Amount] // balance, not negative
	SMSCount        Limit[int]            // sms_count, not negative
	EarlyPercent    Limit[billing.Amount] // early_percent, 1 to 100
	HTTPThroughput  Limit[float64]        // http_throughput, messages per second
	SMPPSThroughput Limit[float64]        // smpps_throughput, messages per second
}

// SMPPSCredentials are what a user may do as a client of the SMPP server.
type SMPPSCredentials struct {
	Bind        bool       // authorization bind
	Addresses   Addresses  // authorization ip
	MaxBindings Limit[int] // quota max_bindings, not negative
}

// Addresses is a list of networks, as its text says. Do not change its slice.
type Addresses struct {
	text     string
	prefixes []netip.Prefix
}

// Allows tells whether an address is in the list. 0.0.0.0/0 stands for every address,
// IPv6 included, since it is the default.
func (l Addresses) Allows(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range l.prefixes {
		if p.Contains(a) || p.Bits() == 0 && p.Addr().Is4() {
			return true
		}
	}
	return false
}

// String is the list as it was written.
func (l Addresses) String() string { return l.text }

// DefaultCredentials are those of a user for whom none were set.
func DefaultCredentials() Credentials { return defaultCredentials }

var defaultCredentials = func() Credentials {
	everything := must(CompilePattern(".*"))
	return Credentials{
		MT: MTCredentials{
			Authorization: MTAuthorization{
				HTTPSend: true, HTTPBalance: true, HTTPRate: true, SMPPSSend: true, HTTPLongContent: true, DLRLevel: true, HTTPDLRMethod: true,
				SourceAddr: true, Priority: true, ValidityPeriod: true, HexContent: true, ScheduleDeliveryTime: true,
			},
			ValueFilter: MTValueFilter{
				SourceAddr: everything, DestAddr: everything, Content: everything,
				Priority:       must(CompilePattern(`^[0-3]$`)),
				ValidityPeriod: must(CompilePattern(`^\d+$`)),
			},
		},
		SMPPS: SMPPSCredentials{Bind: true, Addresses: must(parseAddresses("0.0.0.0/0"))},
	}
}()

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // of constants only
	}
	return v
}

// Validate reports every credential whose value SetCredential would refuse, and every
// pattern that was not made by CompilePattern.
func (c *Credentials) Validate() error {
	var errs []error
	scratch := *c
	for i := range CredentialKeys {
		if k := &CredentialKeys[i]; k.Section != SectionValueFilter {
			errs = append(errs, k.Parse(k.Format(c), &scratch))
		}
	}
	f := &c.MT.ValueFilter
	for _, p := range []struct {
		name    string
		pattern *Pattern
	}{{"src_addr", &f.SourceAddr}, {"dst_addr", &f.DestAddr}, {"content", &f.Content}, {"priority", &f.Priority}, {"validity_period", &f.ValidityPeriod}} {
		if p.pattern.rest == restNever {
			errs = append(errs, fmt.Errorf("%s %s %s: is missing", MTMessagingCred, SectionValueFilter, p.name))
		}
	}
	return errors.Join(errs...)
}

// Equal tells whether two users may do the same.
func (c *Credentials) Equal(d *Credentials) bool {
	return !slices.ContainsFunc(CredentialKeys, func(k CredentialKey) bool { return k.Format(c) != k.Format(d) })
}
