package throw

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"jasmind/internal/queue"
)

func networks(list ...string) (out []netip.Prefix) {
	for _, n := range list {
		out = append(out, netip.MustParsePrefix(n))
	}
	return out
}

func TestReachOfAddresses(t *testing.T) {
	clouds := Reach{Deny: networks("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128")}
	inside := Reach{Allow: networks("10.0.0.0/8", "2001:db8::/32"), Deny: networks("10.9.0.0/16")}
	noLoopback := Reach{Deny: networks("127.0.0.0/8", "::1/128")}
	for _, tt := range []struct {
		name    string
		reach   Reach
		address string
		ok      bool
	}{
		{"where clouds keep credentials", clouds, "169.254.169.254", false},
		{"the same, mapped", clouds, "::ffff:169.254.169.254", false},
		{"the same, behind NAT64", clouds, "64:ff9b::a9fe:a9fe", false},
		{"a neighbour with a zone", clouds, "fe80::1%eth0", false},
		{"where a cloud keeps them in IPv6", clouds, "fd00:ec2::254", false},
		{"a private address", clouds, "10.0.0.1", true},
		{"a public address", clouds, "2001:4860:4860::8888", true},
		{"what is allowed", inside, "10.1.0.1", true},
		{"what is allowed in IPv6", inside, "2001:db8::1", true},
		{"what is allowed and denied", inside, "10.9.0.1", false},
		{"what is not allowed", inside, "192.0.2.1", false},
		{"no address, which is this host", noLoopback, "0.0.0.0", false},
		{"no address in IPv6", noLoopback, "::", false},
		{"no address, mapped", noLoopback, "::ffff:0.0.0.0", false},
		{"this host, behind NAT64", noLoopback, "64:ff9b::7f00:1", false},
		{"any, without lists", Reach{}, "169.254.169.254", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.reach.address(netip.MustParseAddr(tt.address)); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A URL whose host is, or resolves to, an address that is refused is not called, and not tried again. One that redirects
// there is not followed.
func TestURLsThatLeadWhereTheyMayNot(t *testing.T) {
	var called atomic.Int64
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { called.Add(1); ack(w, r) })
	port := srv.URL[strings.LastIndexByte(srv.URL, ':'):]
	for _, tt := range []struct {
		name, url, why string
		reach          Reach
	}{
		{"an address in deny", srv.URL, "127.0.0.1 is in deny", Reach{Deny: networks("127.0.0.0/8")}},
		{"a name that resolves to one", "http://localhost" + port, " is in deny", Reach{Deny: networks("127.0.0.0/8", "::1/128")}},
		{"an address in other spelling", "http://[::ffff:127.0.0.1]" + port, "127.0.0.1 is in deny", Reach{Deny: networks("127.0.0.0/8")}},
		{"no address, which is this host", "http://0.0.0.0" + port, "0.0.0.0 is in deny", Reach{Deny: networks("127.0.0.0/8")}},
		{"an address that is not in allow", srv.URL, "127.0.0.1 is not in allow", Reach{Allow: networks("192.0.2.0/24")}},
		{"http where https is asked for", srv.URL, "https_only", Reach{HTTPSOnly: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			th := f.run(t, Config{MaxRetries: 3, Reach: tt.reach})
			f.put(level1(tt.url))
			e := f.settled(t, 1)
			if len(e.Publish) != 1 || len(e.Retry) != 0 {
				t.Fatalf("settled as %+v", e)
			}
			h := e.Publish[0].Message.Headers
			if why, cause := h.Str(queue.HeaderDeadReason), h.Str(queue.HeaderDeadCause); !strings.Contains(why, tt.why) || cause != string(queue.CauseRefused) {
				t.Errorf("cause %s, reason %q", cause, why)
			}
			if th.Metrics.Refused.Load() != 1 {
				t.Error("not counted as refused")
			}
		})
	}
	if called.Load() != 0 {
		t.Errorf("called %d times", called.Load())
	}
	f := newFake()
	f.run(t, Config{Reach: Reach{Allow: networks("127.0.0.0/8", "::1/128")}})
	f.put(level1(srv.URL))
	if e := f.settled(t, 1); len(e.Ack) != 1 || len(e.Publish) != 0 || called.Load() != 1 {
		t.Errorf("what is allowed: settled as %+v", e)
	}
}

// A host is refused for good only if no address of it may be called: one that may, and does not answer now, is tried again.
func TestAHostIsRefusedOnlyIfAllItsAddressesAre(t *testing.T) {
	for _, tt := range []struct {
		name    string
		deny    []netip.Prefix
		refused bool
	}{
		{"the first", networks("127.0.0.2/32"), false},
		{"the last", networks("127.0.0.1/32"), false},
		{"both", networks("127.0.0.0/8"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reach := Reach{Deny: tt.deny}
			c, err := reach.dial(net.Dialer{Resolver: resolver(t, [4]byte{127, 0, 0, 2}, [4]byte{127, 0, 0, 1})})(t.Context(), "tcp", "both.test:1")
			if err == nil {
				c.Close() //nolint:errcheck // there should be none
				t.Fatal("connected")
			}
			if refused := (*refusedError)(nil); errors.As(err, &refused) != tt.refused {
				t.Errorf("refused %v, want %v: %v", !tt.refused, tt.refused, err)
			}
		})
	}
}

// resolver resolves every name to these addresses, in this order.
func resolver(t *testing.T, addresses ...[4]byte) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() { // RFC 1035 §4.1, with the two octets of length of §4.2.2
			defer ours.Close() //nolint:errcheck // whatever it says
			var size [2]byte
			if _, err := io.ReadFull(ours, size[:]); err != nil {
				return
			}
			q := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(ours, q); err != nil {
				t.Error(err)
				return
			}
			question := q[12 : 12+bytes.IndexByte(q[12:], 0)+5]
			var answers []byte
			count := 0
			if question[len(question)-3] == 1 { // A
				for _, a := range addresses {
					answers = append(append(answers, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4), a[:]...)
					count++
				}
			}
			r := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, byte(count), 0, 0, 0, 0}, question...)
			r = append(r, answers...)
			_, _ = ours.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(r))), r...)) // the dialler may be gone
		}()
		return theirs, nil
	}}
}

// Behind a failover route the refusal of one URL leaves the turn to the next.
func TestARefusedTargetLeavesTheTurnToTheNext(t *testing.T) {
	f := newFake()
	f.runMO(t, Config{MaxRetries: 1, Reach: Reach{Deny: networks("127.0.0.0/8")}}, slog.New(slog.DiscardHandler))
	f.putMO(t, moCall(queue.MOTarget{CID: "a", URL: "http://127.0.0.1:1/", Method: "GET"}, queue.MOTarget{CID: "b", URL: "http://127.0.0.1:2/", Method: "GET"}), 0)
	if e := f.settled(t, 1); len(e.Retry) != 1 || e.Retry[0].After != 0 {
		t.Errorf("settled as %+v", e)
	}
}
