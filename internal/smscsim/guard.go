package smscsim

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// guard keeps pages of other sites, which a browser on this machine may show, from the control API: it has no
// password, and a page could else change rules or read messages.
//
//   - A Host that is neither an IP address nor one word (localhost, a container's name) nor one of names is
//     refused: a name of the Internet may be made to resolve to this machine (DNS rebinding).
//   - A changing request that the browser marks as coming from another site is refused.
func guard(names []string, next http.Handler) http.Handler {
	refuse := func(w http.ResponseWriter, reason string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		json.NewEncoder(w).Encode(map[string]string{"error": reason}) //nolint:errcheck // the client has gone
	}
	sites := http.NewCrossOriginProtection()
	sites.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, fmt.Sprintf("a request from another site: Origin %.100q", r.Header.Get("Origin")))
	}))
	protected := sites.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ownHost(r.Host, names) {
			refuse(w, fmt.Sprintf("Host %.100q is none of this simulator: give it with --http-host", r.Host))
			return
		}
		protected.ServeHTTP(w, r)
	})
}

// ownHost tells whether a Host header names this machine.
func ownHost(host string, names []string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return !strings.Contains(name, ".") || strings.HasSuffix(name, ".localhost") ||
		slices.ContainsFunc(names, func(n string) bool { return n == "*" || strings.EqualFold(n, name) })
}
