package account

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"jasmind/internal/billing"
)

// The credentials of a user, and the sections of their keys, as the console names them.
const (
	MTMessagingCred = "mt_messaging_cred"
	SMPPSCred       = "smpps_cred"

	SectionAuthorization = "authorization"
	SectionValueFilter   = "valuefilter"
	SectionDefaultValue  = "defaultvalue"
	SectionQuota         = "quota"
)

// CredentialKey is one credential under the three names that the console gives it, such
// as mt_messaging_cred quota balance.
type CredentialKey struct {
	Cred, Section, Name string

	parse  func(value string, c *Credentials) error
	format func(c *Credentials) string
}

// Parse sets the credential from value, spelled as on the console: yes or no (true,
// false, 1, 0, t, f, y, n), a regular expression, a number, or none for an unlimited
// quota or an undefined default. When it fails, c is unchanged and the error is a *ValueError.
func (k *CredentialKey) Parse(value string, c *Credentials) error {
	scratch := *c
	if err := k.parse(value, &scratch); err != nil {
		return &ValueError{Key: k.String(), Value: value, Err: err}
	}
	*c = scratch
	return nil
}

// Format gives the value as user -s prints it: True and False, ND for an unlimited
// quota, None for an undefined default.
func (k *CredentialKey) Format(c *Credentials) string { return k.format(c) }

// String is the three names, separated by spaces.
func (k *CredentialKey) String() string { return k.Cred + " " + k.Section + " " + k.Name }

// ValueError says that a credential cannot have a value, and why.
type ValueError struct {
	Key   string
	Value string
	Err   error
}

// Error names the key, the value and the reason.
func (e *ValueError) Error() string {
	return fmt.Sprintf("%s: invalid value %q: %v", e.Key, e.Value, e.Err)
}

// Unwrap gives the reason.
func (e *ValueError) Unwrap() error { return e.Err }

// ErrUnknownKey is wrapped by what SetCredential returns for names that are no credential.
var ErrUnknownKey = errors.New("unknown credential")

// LookupCredential finds a key by its three names; nil if there is none.
func LookupCredential(cred, section, name string) *CredentialKey {
	for i := range CredentialKeys {
		if k := &CredentialKeys[i]; k.Cred == cred && k.Section == section && k.Name == name {
			return k
		}
	}
	return nil
}

// KnownSection tells whether a set of credentials has a section.
func KnownSection(cred, section string) bool {
	return slices.ContainsFunc(CredentialKeys, func(k CredentialKey) bool { return k.Cred == cred && k.Section == section })
}

// SetCredential sets one credential by its three names. When it fails, c is unchanged.
func SetCredential(c *Credentials, cred, section, name, value string) error {
	k := LookupCredential(cred, section, name)
	if k == nil {
		return fmt.Errorf("%w: %s %s %s", ErrUnknownKey, cred, section, name)
	}
	return k.Parse(value, c)
}

// CredentialKeys lists the credentials in the order in which user -s prints them: first
// those of the documented sample, in its order, then the newer ones. It is not to be changed.
var CredentialKeys = []CredentialKey{
	{MTMessagingCred, SectionDefaultValue, "src_addr", parseDefaultSource,
		func(c *Credentials) string {
			if c.MT.DefaultSource == "" {
				return "None"
			}
			return c.MT.DefaultSource
		}},
	rate("http_throughput", func(c *Credentials) *Limit[float64] { return &c.MT.Quota.HTTPThroughput }),
	money("balance", 0, 1<<62, func(c *Credentials) *Limit[billing.Amount] { return &c.MT.Quota.Balance }),
	rate("smpps_throughput", func(c *Credentials) *Limit[float64] { return &c.MT.Quota.SMPPSThroughput }),
	count(MTMessagingCred, "sms_count", func(c *Credentials) *Limit[int] { return &c.MT.Quota.SMSCount }),
	money("early_percent", billing.Unit, 100*billing.Unit, func(c *Credentials) *Limit[billing.Amount] { return &c.MT.Quota.EarlyPercent }),
	filter("priority", func(c *Credentials) *Pattern { return &c.MT.ValueFilter.Priority }),
	filter("content", func(c *Credentials) *Pattern { return &c.MT.ValueFilter.Content }),
	filter("src_addr", func(c *Credentials) *Pattern { return &c.MT.ValueFilter.SourceAddr }),
	filter("dst_addr", func(c *Credentials) *Pattern { return &c.MT.ValueFilter.DestAddr }),
	filter("validity_period", func(c *Credentials) *Pattern { return &c.MT.ValueFilter.ValidityPeriod }),
	allow(MTMessagingCred, "http_send", func(c *Credentials) *bool { return &c.MT.Authorization.HTTPSend }),
	allow(MTMessagingCred, "http_dlr_method", func(c *Credentials) *bool { return &c.MT.Authorization.HTTPDLRMethod }),
	allow(MTMessagingCred, "http_balance", func(c *Credentials) *bool { return &c.MT.Authorization.HTTPBalance }),
	allow(MTMessagingCred, "smpps_send", func(c *Credentials) *bool { return &c.MT.Authorization.SMPPSSend }),
	allow(MTMessagingCred, "priority", func(c *Credentials) *bool { return &c.MT.Authorization.Priority }),
	allow(MTMessagingCred, "http_long_content", func(c *Credentials) *bool { return &c.MT.Authorization.HTTPLongContent }),
	allow(MTMessagingCred, "src_addr", func(c *Credentials) *bool { return &c.MT.Authorization.SourceAddr }),
	allow(MTMessagingCred, "dlr_level", func(c *Credentials) *bool { return &c.MT.Authorization.DLRLevel }),
	allow(MTMessagingCred, "http_rate", func(c *Credentials) *bool { return &c.MT.Authorization.HTTPRate }),
	allow(MTMessagingCred, "validity_period", func(c *Credentials) *bool { return &c.MT.Authorization.ValidityPeriod }),
	allow(MTMessagingCred, "http_bulk", func(c *Credentials) *bool { return &c.MT.Authorization.HTTPBulk }),
	allow(MTMessagingCred, "hex_content", func(c *Credentials) *bool { return &c.MT.Authorization.HexContent }),
	count(SMPPSCred, "max_bindings", func(c *Credentials) *Limit[int] { return &c.SMPPS.MaxBindings }),
	allow(SMPPSCred, "bind", func(c *Credentials) *bool { return &c.SMPPS.Bind }),
	// The documented sample ends here.
	allow(MTMessagingCred, "schedule_delivery_time", func(c *Credentials) *bool { return &c.MT.Authorization.ScheduleDeliveryTime }),
	{SMPPSCred, SectionAuthorization, "ip",
		func(value string, c *Credentials) error {
			l, err := parseAddresses(value)
			c.SMPPS.Addresses = l
			return err
		},
		func(c *Credentials) string { return c.SMPPS.Addresses.String() }},
}

func isNone(value string) bool {
	return strings.EqualFold(value, "none") || strings.EqualFold(value, "ND")
}

func allow(cred, name string, field func(*Credentials) *bool) CredentialKey {
	return CredentialKey{cred, SectionAuthorization, name,
		func(value string, c *Credentials) error {
			switch strings.ToLower(value) {
			case "true", "1", "t", "y", "yes":
				*field(c) = true
			case "false", "0", "f", "n", "no":
				*field(c) = false
			default:
				return errors.New("must be yes or no")
			}
			return nil
		},
		func(c *Credentials) string {
			if *field(c) {
				return "True"
			}
			return "False"
		}}
}

func filter(name string, field func(*Credentials) *Pattern) CredentialKey {
	return CredentialKey{MTMessagingCred, SectionValueFilter, name,
		func(value string, c *Credentials) error {
			p, err := CompilePattern(value)
			*field(c) = p
			return err
		},
		func(c *Credentials) string { return field(c).String() }}
}

// limit is a quota, of which parse reads the number.
func limit[T comparable](cred, name string, field func(*Credentials) *Limit[T], parse func(string) (T, error), format func(T) string) CredentialKey {
	return CredentialKey{cred, SectionQuota, name,
		func(value string, c *Credentials) error {
			if isNone(value) {
				*field(c) = Limit[T]{}
				return nil
			}
			v, err := parse(value)
			*field(c) = Limit[T]{Set: true, Value: v}
			return err
		},
		func(c *Credentials) string {
			if l := field(c); l.Set {
				return format(l.Value)
			}
			return "ND"
		}}
}

func money(name string, low, high billing.Amount, field func(*Credentials) *Limit[billing.Amount]) CredentialKey {
	return limit(MTMessagingCred, name, field,
		func(value string) (billing.Amount, error) {
			v, err := billing.Parse(value)
			if err == nil && (v < low || v > high) {
				err = fmt.Errorf("must be none or a number from %s to %s", low, high)
			}
			return v, err
		}, billing.Amount.String)
}

func count(cred, name string, field func(*Credentials) *Limit[int]) CredentialKey {
	return limit(cred, name, field,
		func(value string) (int, error) {
			v, err := strconv.ParseUint(value, 10, 53)
			if err != nil {
				return 0, errors.New("must be none or a whole number that is not negative")
			}
			return int(v), nil //nolint:gosec // 53 bits
		}, strconv.Itoa)
}

func rate(name string, field func(*Credentials) *Limit[float64]) CredentialKey {
	return limit(MTMessagingCred, name, field,
		func(value string) (float64, error) {
			// Through an Amount: no exponent, no infinity, and 0.1 prints as 0.1.
			v, err := billing.Parse(value)
			if err == nil && (v < 0 || v > 1_000_000*billing.Unit) {
				err = errors.New("must be none or messages per second, 0 to 1000000")
			}
			return float64(v) / float64(billing.Unit), err
		},
		func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) })
}

func parseDefaultSource(value string, c *Credentials) error {
	if strings.EqualFold(value, "none") {
		value = ""
	}
	if len(value) > 20 || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7F }) {
		return errors.New("must be none or at most 20 octets without control characters")
	}
	c.MT.DefaultSource = value
	return nil
}

const maxAddresses = 256

// parseAddresses reads addresses and networks separated by commas.
func parseAddresses(text string) (Addresses, error) {
	l := Addresses{}
	var clean []string
	for field := range strings.SplitSeq(text, ",") {
		field = strings.TrimSpace(field)
		p, err := netip.ParsePrefix(field)
		if err != nil {
			a, errA := netip.ParseAddr(field)
			if errA != nil || a.Zone() != "" {
				return Addresses{}, fmt.Errorf("%q is neither an IP address nor a network such as 10.0.0.0/8", field)
			}
			a = a.Unmap()
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if len(clean) == maxAddresses {
			return Addresses{}, fmt.Errorf("must not list more than %d addresses", maxAddresses)
		}
		clean = append(clean, field)
		l.prefixes = append(l.prefixes, p.Masked())
	}
	l.text = strings.Join(clean, ",")
	return l, nil
}
