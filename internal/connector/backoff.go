package connector

import (
	"math/rand/v2"
	"time"
)

const (
	// mostDoublings bounds how long the wait for the next try becomes: eight times the delay.
	mostDoublings = 3
	// longestBackoff bounds it, too, unless the delay itself is longer.
	longestBackoff = time.Minute
	// steady is how long a session has to last for its loss to count as the first one.
	steady = 30 * time.Second
)

// backoff lengthens the delay between tries that fail in a row.
type backoff struct{ failures int }

// next is how long to wait after one more failure: delay after the first, then twice as long
// each time, up to eight times the delay or a minute.
func (b *backoff) next(delay time.Duration) time.Duration {
	d := delay << min(b.failures, mostDoublings)
	d = min(d, max(delay, longestBackoff))
	b.failures++
	return jitter(d)
}

func (b *backoff) reset() { b.failures = 0 }

// jitter lengthens a delay by up to a tenth, so that the binds of many connectors do not
// come back all at once.
func jitter(d time.Duration) time.Duration {
	d = max(d, 10*time.Millisecond) // a delay of 0 must not become a storm
	return d + rand.N(d/10+1)
}
