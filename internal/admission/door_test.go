package admission

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
)

// arrivals is a listener whose connections come from addresses of the test's.
type arrivals struct {
	net.Listener
	from []string
	them []net.Conn // our clients' ends
}

type arrival struct {
	net.Conn
	from net.Addr
}

func (a arrival) RemoteAddr() net.Addr { return a.from }

func (a *arrivals) Accept() (net.Conn, error) {
	if len(a.from) == 0 {
		return nil, io.EOF
	}
	ours, theirs := net.Pipe()
	a.them = append(a.them, theirs)
	c := arrival{ours, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a.from[0]))}
	a.from = a.from[1:]
	return c, nil
}

func peers(cs []*Conn) (out []string) {
	for _, c := range cs {
		out = append(out, c.RemoteAddr().String())
	}
	return out
}

var silent = slog.New(slog.DiscardHandler)

func TestOnlyWhoIsAllowedComesIn(t *testing.T) {
	d := NewDoor(DoorConfig{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::1/128")}}, silent)
	got := peers(enter(t, d, "192.0.2.7:5", "192.0.3.1:5", "[2001:db8::1]:5", "[2001:db8::2]:5", "[::ffff:192.0.2.9]:5"))
	if want := []string{"192.0.2.7:5", "[2001:db8::1]:5", "192.0.2.9:5"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if n := d.cfg.Budget.Stats.RefusedConnections.Load(); n != 2 {
		t.Errorf("%d counted as refused, want 2", n)
	}
}

// Those who are refused hold no place.
func TestConnectionsAreBoundedInAllAndByAddress(t *testing.T) {
	d := NewDoor(DoorConfig{Max: 4, PerAddress: 2, Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}}, silent)
	enter(t, d, "198.51.100.1:1", "198.51.100.1:2", "198.51.100.1:3", "198.51.100.1:4", "198.51.100.1:5")
	in := enter(t, d, "192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3", "[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1", "192.0.2.2:1")
	if got, want := peers(in), []string{"192.0.2.1:1", "192.0.2.1:2", "[2001:db8::1]:1", "[2001:db8::2]:1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for range 2 { // twice counts once
		if err := in[0].Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := peers(enter(t, d, "192.0.2.1:4", "192.0.2.1:5")); !slices.Equal(got, []string{"192.0.2.1:4"}) {
		t.Errorf("then %v", got)
	}
}

// feed sends octets until the door's end takes no more, and tells how many it took.
func feed(t *testing.T, c *Conn, n int) (taken int, err error) {
	t.Helper()
	chunk := make([]byte, 1<<10)
	for taken < n {
		sent := make(chan error, 1)
		go func() { _, err := peerOf[c].Write(chunk); sent <- err }()
		k, err := io.ReadFull(c, make([]byte, len(chunk)))
		if taken += k; err != nil {
			peerOf[c].Close() //nolint:errcheck // it is over
			<-sent
			return taken, err
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
	return taken, nil
}

// peerOf are the clients' ends.
var peerOf = map[*Conn]net.Conn{}

// enter gives the connections that a door takes in of those who come.
func enter(t *testing.T, d *Door, from ...string) []*Conn {
	t.Helper()
	a := &arrivals{from: from}
	ln := d.Listener(a)
	var in []*Conn
	for {
		c, err := ln.Accept()
		if err != nil {
			break
		}
		peerOf[Of(c)] = a.them[len(a.them)-1]
		t.Cleanup(func() { c.Close(); peerOf[Of(c)].Close() }) //nolint:errcheck // they may be closed
		in = append(in, Of(c))
	}
	return in
}

func TestStrangersHaveABudgetOfOctets(t *testing.T) {
	budget := NewBudget(BudgetConfig{Octets: 256 << 10, PerAddress: 64 << 10})
	d := NewDoor(DoorConfig{Budget: budget}, silent)
	total := 0
	for _, from := range []string{"192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3"} { // of one address
		for _, c := range enter(t, d, from) {
			n, err := feed(t, c, 1<<20)
			if !errors.Is(err, ErrOverBudget) {
				t.Errorf("ended with %v", err)
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrOverBudget) {
				t.Errorf("read on: %v", err)
			}
			total += n + connectionCost
		}
	}
	if total > 64<<10 || total < 48<<10 {
		t.Errorf("%d octets were taken of one address", total)
	}
	for _, from := range []string{"192.0.2.2:1", "192.0.2.3:1", "192.0.2.4:1", "192.0.2.5:1", "192.0.2.6:1"} {
		for _, c := range enter(t, d, from) {
			n, _ := feed(t, c, 1<<20)
			total += n + connectionCost
		}
	}
	if total > 256<<10 || total < 224<<10 || budget.InHand() > 256<<10 {
		t.Errorf("%d octets were taken in all, %d are in hand", total, budget.InHand())
	}
}

func TestWhoAuthenticatesLeavesTheBudget(t *testing.T) {
	budget := NewBudget(BudgetConfig{PerAddress: 64 << 10})
	d := NewDoor(DoorConfig{Budget: budget}, silent)
	in := enter(t, d, "192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3")
	in[0].Known()
	if n, err := feed(t, in[0], 1<<20); err != nil {
		t.Errorf("after %d octets: %v", n, err)
	}
	for range 20 { // requests of it, each of somebody who authenticates
		if !in[1].Request() {
			t.Fatal("a request is refused")
		}
		if _, err := feed(t, in[1], 40<<10); err != nil {
			t.Fatal(err)
		}
		in[1].Settle()
	}
	if n := budget.InHand(); n != connectionCost {
		t.Errorf("%d octets in hand, want those of one connection", n)
	}
	for _, c := range in {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := budget.InHand(); n != 0 || len(budget.bySource) != 0 || len(d.bySource) != 0 || d.open != 0 {
		t.Errorf("%d octets in hand of nobody", n)
	}
}

func TestManyRequestsOnOneConnectionAreBounded(t *testing.T) {
	d := NewDoor(DoorConfig{Budget: NewBudget(BudgetConfig{PerAddress: 10 * requestCost})}, silent)
	c := enter(t, d, "192.0.2.1:1")[0]
	n := 0
	for c.Request() {
		n++
	}
	if n != 9 {
		t.Errorf("%d requests, want 9 beside the connection", n)
	}
}

func TestFilesAreSplit(t *testing.T) {
	for _, tt := range []struct {
		files    int
		wants    []int
		database int
		doors    []int
	}{
		{1 << 20, []int{10000, 10000, 110}, 512, []int{10000, 10000, 110}},
		{1024, []int{10000, 10000, 110}, 256, []int{201, 201, 110}},
		{300, []int{10000, 10000, 110}, 75, []int{50, 50, 50}},
		{300, []int{10000, 0, 10}, 75, []int{140, 0, 10}},
		{20, []int{100, 100, 100}, 64, []int{6, 5, 5}},
	} {
		database, doors := Split(tt.files, tt.wants...)
		slices.Sort(doors)
		slices.Sort(tt.doors)
		if database != tt.database || !slices.Equal(doors, tt.doors) {
			t.Errorf("%d files: %d and %v, want %d and %v", tt.files, database, doors, tt.database, tt.doors)
		}
	}
	if OpenFiles() < 16 {
		t.Errorf("the system allows %d files", OpenFiles())
	}
}
