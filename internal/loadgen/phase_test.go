package loadgen

import (
	"net"
	"strings"
	"testing"
)

// A server that closes after each answer interrupts senders that wait for the next phase: none of them may miss it,
// and none be counted twice.
func TestConnectionsThatCloseMissNoPhase(t *testing.T) {
	closing := strings.Replace(good, "\r\n", "\r\nConnection: close\r\n", 1)
	for _, pipeline := range []int{1, 4} {
		for range 20 {
			g := startGateway(t, func(_ int, conn net.Conn) {
				serveSend(conn, func(int) (string, bool) { return closing, false })
			})
			cfg := httpConfig(g.url)
			cfg.Connections, cfg.Pipeline, cfg.Warmup, cfg.Count = 3, pipeline, 9, 20
			rep := mustRun(t, cfg)
			if rep.Warmup.Accepted != 9 || rep.Accepted != 20 {
				t.Fatalf("pipeline %d: warm-up %+v, then %+v %v", pipeline, rep.Warmup, rep.Counts, rep.Missing)
			}
		}
	}
}
