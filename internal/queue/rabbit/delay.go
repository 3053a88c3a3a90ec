package rabbit

import (
	"slices"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A bucket is a queue without consumers that gives its messages back after a fixed time:
// x-message-ttl, then dead-lettering under the routing key they came with. Buckets are
// quorum queues that dead-letter at least once, since a classic queue forgets a message
// before its new queue has it.
type bucket struct {
	ttl      time.Duration
	exchange string // fanout; the queue has the same name
}

// buckets in ascending order. A delay that is no bucket's is made of several: the message
// comes out early, its consumer sees the time due and puts it into the next one.
var buckets = newBuckets(
	50*time.Millisecond, 200*time.Millisecond, time.Second, 5*time.Second, 10*time.Second, 30*time.Second,
	time.Minute, 3*time.Minute, 5*time.Minute, 10*time.Minute, 30*time.Minute, time.Hour)

func newBuckets(ttls ...time.Duration) []bucket {
	out := make([]bucket, len(ttls))
	for i, ttl := range ttls {
		out[i] = bucket{ttl: ttl, exchange: bucketPrefix + strconv.FormatInt(ttl.Milliseconds(), 10)}
	}
	return out
}

// bucketFor gives the largest bucket not longer than after, or a little longer (a tenth),
// which saves a journey; what is shorter than all gets the smallest.
func bucketFor(after time.Duration) *bucket {
	i, exact := slices.BinarySearchFunc(buckets, after, func(b bucket, d time.Duration) int { return int(b.ttl - d) })
	switch {
	case exact || i == 0:
		return &buckets[i]
	case i < len(buckets) && buckets[i].ttl <= after+after/10:
		return &buckets[i]
	default:
		return &buckets[i-1]
	}
}

func (b *bucket) arguments() amqp.Table {
	return amqp.Table{
		"x-queue-type":           "quorum",
		"x-message-ttl":          b.ttl.Milliseconds(),
		"x-dead-letter-exchange": exchangeDue,
		"x-dead-letter-strategy": "at-least-once",
		"x-overflow":             "reject-publish",
	}
}
