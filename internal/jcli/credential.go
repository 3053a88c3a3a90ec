package jcli

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"jasmind/internal/account"
	"jasmind/internal/billing"
	"jasmind/internal/mt"
)

// credentialChange is one credential that an operator sets, or a quota that he adds to.
type credentialChange struct {
	key   *account.CredentialKey
	value string // with add: what is added, with its sign
	add   bool
	quota mt.QuotaChange // what the ledger is told; zero: it is not its affair
}

var (
	credentialForm = regexp.MustCompile(`^(\S+) (\S+) (\S.*)$`)
	wholeNumbers   = []string{"sms_count", "max_bindings"}
	// decimals are printed as the original prints its floats: 2 as 2.0.
	decimals = []string{"balance", "early_percent", "http_throughput", "smpps_throughput"}
)

// sections of each set of credentials, as error messages list them.
var sections = map[string][]string{
	account.MTMessagingCred: {"Authorization", "ValueFilter", "DefaultValue", "Quota"},
	account.SMPPSCred:       {"Authorization", "Quota"},
}

// parseCredential reads section, key and value of a line. A sign makes an addition of a
// quota when a user is updated.
func parseCredential(cred, arg string, update bool) (credentialChange, error) {
	m := credentialForm.FindStringSubmatch(arg)
	if m == nil {
		return credentialChange{}, fmt.Errorf("expected syntax: %s section key value", cred)
	}
	section, name, value := strings.ToLower(m[1]), strings.ToLower(m[2]), m[3]
	if !slices.ContainsFunc(sections[cred], func(s string) bool { return strings.EqualFold(s, section) }) {
		return credentialChange{}, fmt.Errorf("invalid section name: %s, possible values: %s", section, strings.Join(sections[cred], ", "))
	}
	key := account.LookupCredential(cred, section, name)
	if key == nil {
		return credentialChange{}, fmt.Errorf("invalid key: %s, possible keys: %s", name, strings.Join(keysOf(cred, section), ", "))
	}
	c := credentialChange{key: key, value: value}
	number := value
	if section == account.SectionQuota && (value[0] == '+' || value[0] == '-') {
		c.add = update
		if update || value[0] == '+' {
			number = value[1:]
		}
	}
	if !c.add {
		c.value = number
	}
	scratch := account.DefaultCredentials()
	if err := key.Parse(number, &scratch); err != nil && (!c.add || !isNumber(key, number)) {
		return credentialChange{}, credentialError(key, value, err)
	}
	c.quota = c.ledgerChange(number, &scratch)
	return c, nil
}

// ledgerChange is what the ledger is told of a balance or an sms_count: the value that parsed has, or number as an addition. An
// addition that is no number is refused when the change is applied.
func (c *credentialChange) ledgerChange(number string, parsed *account.Credentials) mt.QuotaChange {
	var q mt.QuotaChange
	var n billing.Amount
	var err error
	quota := &parsed.MT.Quota
	switch {
	case c.key.Section == account.SectionQuota && c.key.Name == "balance":
		q = mt.QuotaChange{Quota: billing.QuotaBalance, Unlimited: !quota.Balance.Set, Value: int64(quota.Balance.Value)}
		n, err = billing.Parse(number)
	case c.key.Section == account.SectionQuota && c.key.Name == "sms_count":
		q = mt.QuotaChange{Quota: billing.QuotaCount, Unlimited: !quota.SMSCount.Set, Value: int64(quota.SMSCount.Value)}
		var count int64
		count, err = strconv.ParseInt(number, 10, 64)
		n = billing.Amount(count)
	}
	switch {
	case !c.add || q.Quota == 0:
		return q
	case err != nil:
		return mt.QuotaChange{}
	case c.value[0] == '-':
		n = -n
	}
	return mt.QuotaChange{Quota: q.Quota, Add: billing.BillID(uuid.NewString()), Value: int64(n)}
}

func keysOf(cred, section string) []string {
	var names []string
	for i := range account.CredentialKeys {
		if k := &account.CredentialKeys[i]; k.Cred == cred && k.Section == section {
			names = append(names, k.Name)
		}
	}
	return names
}

// isNumber tells whether a quota can be changed by a number, though it cannot be it.
func isNumber(k *account.CredentialKey, number string) bool {
	if slices.Contains(wholeNumbers, k.Name) {
		_, err := strconv.ParseUint(number, 10, 53)
		return err == nil
	}
	v, err := billing.Parse(number)
	return err == nil && v >= 0
}

// apply works the change into credentials; when it fails, they are unchanged.
func (c *credentialChange) apply(to *account.Credentials) error {
	value := c.value
	if c.add {
		sum, err := c.sum(c.key.Format(to))
		if err != nil {
			return credentialError(c.key, c.value, err)
		}
		value = sum
	}
	if err := c.key.Parse(value, to); err != nil {
		return credentialError(c.key, value, err)
	}
	return nil
}

// sum adds to a quota; an unlimited one counts as 0 (Jasmin).
func (c *credentialChange) sum(now string) (string, error) {
	if now == "ND" {
		now = "0"
	}
	a, errA := billing.Parse(now)
	b, errB := billing.Parse(strings.TrimPrefix(c.value, "+"))
	if errA == nil && errB == nil {
		if sum, ok := a.Add(b); ok {
			return sum.String(), nil
		}
	}
	return "", fmt.Errorf("the sum of %s and %s is out of range", now, c.value)
}

// longNames are those by which the original's messages call credentials.
var longNames = map[string]string{
	"early_percent": "early_decrement_balance_percent", "sms_count": "submit_sm_count",
	"dlr_level": "set_dlr_level", "http_dlr_method": "http_set_dlr_method", "src_addr": "set_source_address", "priority": "set_priority",
	"validity_period": "set_validity_period", "schedule_delivery_time": "set_schedule_delivery_time", "hex_content": "set_hex_content",
}

// credentialError is what the original says of a value, where it has words for it.
func credentialError(k *account.CredentialKey, value string, err error) error {
	name := k.Name
	if long := longNames[name]; long != "" {
		name = long
	}
	switch {
	case k.Section == account.SectionAuthorization && k.Name == "ip":
		return fmt.Errorf("Authorization ip is not a valid value (%s): %w", value, unwrapValue(err)) //nolint:staticcheck // the words of the original
	case k.Section == account.SectionAuthorization:
		return fmt.Errorf("%s is not a boolean value: %s", name, value)
	case k.Section != account.SectionQuota:
		return err
	case slices.Contains(wholeNumbers, k.Name):
		return fmt.Errorf("%s is not a valid value (%s), it must be a positive int", name, value)
	case k.Name == "early_percent":
		return fmt.Errorf("%s is not a valid value (%s), it must be None or a number in 1..100", name, asFloat(value))
	}
	return fmt.Errorf("%s is not a valid value (%s), it must be None or a positive number", name, asFloat(value))
}

func unwrapValue(err error) error {
	if v, ok := err.(*account.ValueError); ok { //nolint:errorlint // as Parse returns it
		return v.Err
	}
	return err
}

var whole = regexp.MustCompile(`^-?[0-9]+$`)

// asFloat spells a number as the original spells its floats: 2 as 2.0.
func asFloat(number string) string {
	if whole.MatchString(number) {
		return number + ".0"
	}
	return number
}

// formatCredential gives a credential as user -s prints it.
func formatCredential(k *account.CredentialKey, c *account.Credentials) string {
	text := k.Format(c)
	if k.Section == account.SectionQuota && slices.Contains(decimals, k.Name) {
		return asFloat(text)
	}
	return text
}

func credential(c *account.Credentials, cred, section, name string) string {
	return formatCredential(account.LookupCredential(cred, section, name), c)
}
