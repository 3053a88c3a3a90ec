package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestNetworksOfTheHTTPAPI(t *testing.T) {
	for v, want := range map[string]string{
		"": "[]", "10.0.0.0/8, 192.0.2.7": "[10.0.0.0/8 192.0.2.7/32]", "2001:db8::1,2001:db8:1::5/48,": "[2001:db8::1/128 2001:db8:1::/48]",
		"::ffff:192.0.2.1": "[192.0.2.1/32]",
		"localhost":        `"localhost" is neither an IP address nor a network`, "10.0.0.0/33": `"10.0.0.0/33" is neither`, "fe80::1%eth0": `"fe80::1%eth0" is neither`,
	} {
		got, err := parseNetworks(v)
		text := fmt.Sprint(got)
		if err != nil {
			text = err.Error()
		}
		if !strings.HasPrefix(text, want) {
			t.Errorf("%q: got %s, want %s", v, text, want)
		}
	}
}

func TestCodingsToChooseFrom(t *testing.T) {
	for v, want := range map[string]string{
		"0,8": "[0 8]", " 0 , 3 , 6 ,8": "[0 3 6 8]", "": `"" is no coding with an alphabet`, "0,4": `"4" is no coding with an alphabet`,
		"0,15": `"15" is no coding`, "11": `"11" is no coding`, "0,0": "coding 0 is there twice", "auto": `"auto" is no coding`,
	} {
		got, err := parseCodings(v)
		text := fmt.Sprint(got)
		if err != nil {
			text = err.Error()
		}
		if err == nil {
			var n []int
			for _, c := range got {
				n = append(n, int(c))
			}
			text = fmt.Sprint(n)
		}
		if !strings.HasPrefix(text, want) {
			t.Errorf("%q: got %s, want %s", v, text, want)
		}
	}
}
