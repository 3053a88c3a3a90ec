package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"jasmind/internal/connector"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppserver"
	"jasmind/internal/smstext"
)

const defaultRetrial = `{'ESME_RSYSERR': {'count': 2, 'delay': 30}, 'ESME_RTHROTTLED': {'count': 20, 'delay': 30}, 'ESME_RMSGQFUL': {'count': 2, 'delay': 180}, 'ESME_RINVSCHED': {'count': 2, 'delay': 300}}`

var trailingComma = regexp.MustCompile(`,\s*([}\]])`)

// parseRetrials reads a submit_error_retrial, which is a Python dict: status name to count and delay.
func parseRetrials(v string) (map[pdu.Status]connector.Retrial, error) {
	s := trailingComma.ReplaceAllString(strings.ReplaceAll(v, "'", `"`), "$1")
	var raw map[string]struct {
		Count *int     `json:"count"`
		Delay *float64 `json:"delay"`
	}
	dec := json.NewDecoder(strings.NewReader(s))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf("%q is not a dict like {'ESME_RSYSERR': {'count': 2, 'delay': 30}}: %w", v, err)
	}
	if dec.More() {
		return nil, fmt.Errorf("%q has something after its closing brace", v)
	}
	out := make(map[pdu.Status]connector.Retrial, len(raw))
	for name, r := range raw {
		status, ok := pdu.ParseStatus(name)
		switch {
		case !ok:
			return nil, fmt.Errorf("%q is no command_status", name)
		case r.Count == nil || *r.Count < 0 || *r.Count > 100000:
			return nil, fmt.Errorf("count of %s is not a whole number from 0 to 100000", name)
		case r.Delay == nil || *r.Delay < 0 || *r.Delay > day:
			return nil, fmt.Errorf("delay of %s is not a number of seconds from 0 to %d", name, day)
		}
		out[status] = connector.Retrial{Count: *r.Count, Delay: time.Duration(*r.Delay * float64(time.Second))}
	}
	return out, nil
}

func unquoted(v string) (string, error) {
	if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' {
		v = v[1 : len(v)-1]
	}
	return v, nil
}

func something(v string) (string, error) {
	if v == "" {
		return "", errors.New(`"" names nothing`)
	}
	return v, nil
}

// scriptMemory reads MiB and gives octets.
func scriptMemory(v string) (int64, error) {
	n, err := mebibytes[int64](0, 1<<20)(v)
	if err == nil && n > 0 && n < 64<<20 {
		err = fmt.Errorf("%q is less than 64", v)
	}
	return n, err
}

func parseFolders(v string) ([]string, error) {
	out := filepath.SplitList(v)
	for _, dir := range out {
		if !filepath.IsAbs(dir) {
			return nil, fmt.Errorf("%q is no absolute path", dir)
		}
	}
	return out, nil
}

func parseVariables(v string) ([]string, error) {
	out := strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' })
	for _, name := range out {
		if strings.Contains(name, "=") {
			return nil, fmt.Errorf("%q is no name of a variable", name)
		}
	}
	return out, nil
}

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

// parseListeners reads host:port and tls://host:port, separated by commas.
func parseListeners(v string) ([]smppserver.Listener, error) {
	var out []smppserver.Listener
	for field := range strings.SplitSeq(v, ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		addr, secure := strings.CutPrefix(field, "tls://")
		_, p, err := net.SplitHostPort(addr)
		if err == nil {
			var n uint64
			if n, err = strconv.ParseUint(p, 10, 16); err != nil || strconv.FormatUint(n, 10) != p {
				err = errors.New("no port number from 0 to 65535")
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%q is not host:port: %w", field, err)
		}
		out = append(out, smppserver.Listener{Address: addr, TLS: secure})
	}
	return out, nil
}
