package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smstext"
)

// parseNetworks reads addresses and CIDR networks, separated by commas.
func parseNetworks(v string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for field := range strings.SplitSeq(v, ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		if p, err := netip.ParsePrefix(field); err == nil {
			out = append(out, p.Masked())
			continue
		}
		a, err := netip.ParseAddr(field)
		if err != nil || a.Zone() != "" {
			return nil, fmt.Errorf("%q is neither an IP address nor a network such as 10.0.0.0/8", field)
		}
		a = a.Unmap()
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out, nil
}

// parseCodings reads values of data_coding that have an alphabet, separated by commas.
func parseCodings(v string) ([]pdu.DataCoding, error) {
	var out []pdu.DataCoding
	for field := range strings.SplitSeq(v, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(field), 10, 8)
		c := pdu.DataCoding(n)
		if err != nil || n > 14 || smstext.AlphabetOf(c) == smstext.Octets || n == 11 || n == 12 {
			return nil, fmt.Errorf("%q is no coding with an alphabet, must be of 0, 1, 3, 5, 6, 7, 8, 10, 13, 14", strings.TrimSpace(field))
		}
		if slices.Contains(out, c) {
			return nil, fmt.Errorf("coding %d is there twice", c)
		}
		out = append(out, c)
	}
	return out, nil
}
