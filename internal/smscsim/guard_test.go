package smscsim_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"jasmind/internal/smscsim"
)

func TestAPIRefusesOtherSites(t *testing.T) {
	sim := start(t, smscsim.Config{HTTPHosts: []string{"sim.example.org"}})
	tests := []struct {
		name, method, path, host string
		header                   map[string]string
		want                     int
		says                     string
	}{
		{"an address", "GET", "/stats", "", nil, 200, ""},
		{"localhost", "GET", "/stats", "localhost:8776", nil, 200, ""},
		{"a container's name", "GET", "/stats", "smsc-sim:8776", nil, 200, ""},
		{"IPv6", "GET", "/stats", "[::1]:8776", nil, 200, ""},
		{"a name that was given", "GET", "/stats", "SIM.example.org:80", nil, 200, ""},
		{"a name of the Internet, which may resolve to this machine", "GET", "/messages", "evil.example.com:8776", nil, 403, `"evil.example.com:8776\"`},
		{"a form of another site", "POST", "/reset", "", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example.com"}, 403, "another site"},
		{"an old browser's form of another site", "POST", "/reset", "", map[string]string{"Origin": "http://evil.example.com"}, 403, "http://evil.example.com"},
		{"a page of the simulator", "POST", "/reset", "", map[string]string{"Sec-Fetch-Site": "same-origin"}, 200, ""},
		{"a program", "POST", "/reset", "", nil, 200, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://"+sim.HTTPAddr()+tt.path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = tt.host
			for k, v := range tt.header {
				req.Header.Set(k, v)
			}
			resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close() //nolint:errcheck // it was only read
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tt.want || !strings.Contains(string(body), tt.says) {
				t.Errorf("got %d %s, %v; want %d with %q", resp.StatusCode, body, err, tt.want, tt.says)
			}
		})
	}
}
