package rabbit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/singleflight"

	"jasmind/internal/queue"
)

// Names of this driver's own exchanges and queues, see docs/amqp.md. Delayed messages come
// back through exchangeDue, to which every work queue is bound under its own name; what has
// no queue any more goes on to the dead letters. (Through the default exchange a bucket
// would keep what it cannot route, and at 32 of them stand still.)
const (
	exchangeDue           = "jasmind.due"           // direct
	exchangeUndeliverable = "jasmind.undeliverable" // fanout, alternate of exchangeDue
	bucketPrefix          = "jasmind.delay."        // and the milliseconds: exchange (fanout) and queue

	billingPrefix = "bill_request."
	lanePrefix    = ":p" // of a queue's lanes: submit.sm.<cid>:p3
	backLane      = maxPriority + 1

	// deliveryLimit is how often a quorum queue delivers a message: RabbitMQ 4 drops it after 20 by default. No
	// limit (-1) is not to be had: RabbitMQ 3.10 takes -1 and drops what comes back once.
	deliveryLimit = int64(1<<31 - 1)
	// workQueues matches the names of the work queues, for a policy.
	workQueues = `^(submit\.sm\.|dlr|deliver_sm_thrower\.|smpps\.|bill_request\.|jasmind\.dead_letter)`
)

// ownerQueue belongs to the consuming connection of the driver that owns the virtual host, and ends with it.
const ownerQueue = "jasmind.owner"

// ErrOwned says that another driver with Config.Owner uses the virtual host.
var ErrOwned = errors.New("another jasmind uses this virtual host")

// own takes the virtual host for this connection.
func (b *Broker) own(ch *amqp.Channel) error {
	_, err := ch.QueueDeclare(ownerQueue, false, false, true, false, amqp.Table{"x-queue-type": "classic"})
	var e *amqp.Error
	switch {
	case errors.As(err, &e) && e.Code == amqp.ResourceLocked:
		return fmt.Errorf("%w, %s: each needs one of its own ([amqp-broker] vhost); whose connection it is tells: "+
			"rabbitmqctl -p %s list_queues name owner_pid", ErrOwned, b.vhost, b.vhost)
	case err != nil:
		return fmt.Errorf("declare queue %s: %w", ownerQueue, err)
	}
	return nil
}

// ErrArguments says that a queue or exchange of ours exists with other properties.
var ErrArguments = errors.New("exists with other arguments")

// topology is what this broker was told to declare.
type topology struct {
	mu       sync.Mutex
	declared map[queue.Name]struct{}
	older    map[string]struct{} // lanes that exist with the arguments of earlier versions
	told     bool                // the operator knows of older
	flight   singleflight.Group  // one redeclaration at a time for each queue
}

// isOlder tells whether a lane is known to exist with the arguments of earlier versions.
func (t *topology) isOlder(lane string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.older[lane]
	return ok
}

// forgetOlder makes the next declaration look again; no lanes: at all of them.
func (t *topology) forgetOlder(lanes ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(lanes) == 0 {
		clear(t.older)
	}
	for _, lane := range lanes {
		delete(t.older, lane)
	}
}

func (t *topology) has(n queue.Name) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.declared[n]
	return ok
}

func (t *topology) names() []queue.Name {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]queue.Name, 0, len(t.declared))
	for n := range t.declared {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

func exchangeOf(n queue.Name) string {
	if strings.HasPrefix(string(n), billingPrefix) {
		return queue.ExchangeBilling
	}
	return queue.ExchangeMessaging
}

// laneName is the queue, and the routing key, for a priority. A colon, which no cid has,
// keeps the routing key one word, so that observers of submit.sm.* see all lanes.
func (b *Broker) laneName(n queue.Name, priority uint8) string {
	if b.cfg.QueueType == Classic || priority == 0 {
		return string(n)
	}
	return string(n) + lanePrefix + strconv.Itoa(int(min(priority, maxPriority)))
}

// backName is the lane of what was put back without a delay. A connector's queue has one, consumed before the others:
// RabbitMQ adds behind what waits, and keeps the place only of what it gets back as it was.
func backName(n queue.Name) (lane string, ok bool) {
	_, ok = queue.ConnectorOf(n)
	return string(n) + lanePrefix + strconv.Itoa(backLane), ok
}

// maxLanes is how many lanes a queue has at most.
const maxLanes = backLane + 1

// laneNames lists the queues behind a name, the first to be consumed first: what was put back, then the highest priority.
func (b *Broker) laneNames(n queue.Name) []string {
	out := make([]string, 0, maxLanes)
	if lane, ok := backName(n); ok {
		out = append(out, lane)
	}
	if b.cfg.QueueType == Classic {
		return append(out, string(n))
	}
	for p := maxPriority; p >= 0; p-- {
		out = append(out, b.laneName(n, uint8(p)))
	}
	return out
}

// arguments are those that a lane is declared with. What a policy of the operator drops from a quorum queue goes
// to the dead letters.
func (b *Broker) arguments(lane string) amqp.Table {
	switch {
	case b.cfg.QueueType != Quorum:
		return amqp.Table{"x-queue-type": "classic", "x-max-priority": int32(maxPriority)}
	case b.topology.isOlder(lane):
		return amqp.Table{"x-queue-type": "quorum"}
	}
	return amqp.Table{
		"x-queue-type":           "quorum",
		"x-delivery-limit":       deliveryLimit,
		"x-dead-letter-exchange": exchangeUndeliverable,
		"x-dead-letter-strategy": "at-least-once",
		"x-overflow":             "reject-publish",
	}
}

// Declare makes durable queues and remembers them: they are declared again after each
// reconnection and when somebody deletes them at the broker. ErrArguments if one exists
// with other properties; the error tells the command that removes it.
func (b *Broker) Declare(ctx context.Context, names ...queue.Name) error {
	err := b.control(ctx, func(ch *amqp.Channel) error {
		for _, n := range names {
			if err := b.declareQueue(ch, n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s := b.con.current(); s != nil {
		b.tellOlder(s)
	}
	b.topology.mu.Lock()
	defer b.topology.mu.Unlock()
	for _, n := range names {
		b.topology.declared[n] = struct{}{}
	}
	return nil
}

// Delete removes a queue with its messages and ends its consumers. Messages of it that
// wait in a delay bucket become dead letters when their time comes.
func (b *Broker) Delete(ctx context.Context, name queue.Name) error {
	b.topology.mu.Lock()
	delete(b.topology.declared, name)
	b.topology.mu.Unlock()
	b.mu.Lock()
	for c := range b.consumers {
		if c.name == name {
			c.halt()
		}
	}
	b.mu.Unlock()
	return b.control(ctx, func(ch *amqp.Channel) error {
		for _, lane := range b.laneNames(name) {
			if _, err := ch.QueueDelete(lane, false, false, false); err != nil {
				return fmt.Errorf("delete queue %s: %w", lane, err)
			}
		}
		return nil
	})
}

// Purge drops what is ready in a queue and tells how many messages that were. What is
// delivered and not settled, and what waits in delay buckets, stays.
func (b *Broker) Purge(ctx context.Context, name queue.Name) (int, error) {
	return b.sum(ctx, name, func(ch *amqp.Channel, lane string) (int, error) { return ch.QueuePurge(lane, false) })
}

// Length counts the messages that are ready for delivery.
func (b *Broker) Length(ctx context.Context, name queue.Name) (int, error) {
	return b.sum(ctx, name, func(ch *amqp.Channel, lane string) (int, error) {
		q, err := ch.QueueDeclarePassive(lane, true, false, false, false, nil)
		return q.Messages, err
	})
}

func (b *Broker) sum(ctx context.Context, name queue.Name, f func(*amqp.Channel, string) (int, error)) (int, error) {
	results := make(chan int, maxLanes) // f runs elsewhere, and may outlive ctx
	err := b.control(ctx, func(ch *amqp.Channel) error {
		for _, lane := range b.laneNames(name) {
			n, err := f(ch, lane)
			if err != nil {
				return missing(lane, err)
			}
			results <- n
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	total := 0
	for range len(b.laneNames(name)) {
		total += <-results
	}
	return total, nil
}

// missing turns the broker's 404 into ErrNoQueue.
func missing(name string, err error) error {
	var e *amqp.Error
	if errors.As(err, &e) && e.Code == amqp.NotFound {
		return fmt.Errorf("%w: %s", queue.ErrNoQueue, name)
	}
	return fmt.Errorf("queue %s: %w", name, err)
}

// control runs f on a channel of its own, on the connection that an alarm does not block.
// When ctx ends f is left to end by itself, at the latest with the connection.
func (b *Broker) control(ctx context.Context, f func(*amqp.Channel) error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, context.Cause(ctx))
	}
	s := b.con.current()
	if s == nil {
		if err := b.Healthy(); err != nil {
			return err
		}
		return fmt.Errorf("%w: the connection to RabbitMQ is down", queue.ErrUnavailable)
	}
	done := make(chan error, 1)
	if !s.start(func() { done <- s.onChannel(f) }) {
		done <- amqp.ErrClosed
	}
	select {
	case err := <-done:
		return b.classify(s, err)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, context.Cause(ctx))
	}
}

// classify adds ErrUnavailable to errors of a connection that went away.
func (b *Broker) classify(s *session, err error) error {
	if err == nil || !s.conn.IsClosed() && !errors.Is(err, amqp.ErrClosed) {
		return err
	}
	if b.isClosed() {
		return queue.ErrClosed
	}
	return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
}

// onChannel runs f on a fresh channel: an error reply of the broker closes the channel.
func (s *session) onChannel(f func(*amqp.Channel) error) error {
	ch, err := s.conn.Channel()
	if err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	if err := f(ch); err != nil {
		_ = ch.Close() // closed already by most errors
		if errors.Is(err, errOlder) {
			return s.onChannel(f) // which knows now; so it ends
		}
		return err
	}
	if err := ch.Close(); err != nil {
		return fmt.Errorf("close channel: %w", err)
	}
	return nil
}

// declareQueue declares a queue with its lanes and bindings.
func (b *Broker) declareQueue(ch *amqp.Channel, n queue.Name) error {
	for _, lane := range b.laneNames(n) {
		if err := b.durable(ch, lane, b.arguments(lane)); err != nil {
			return err
		}
		for _, ex := range []string{exchangeOf(n), exchangeDue} {
			if err := ch.QueueBind(lane, lane, ex, false, nil); err != nil {
				return fmt.Errorf("bind queue %s to exchange %s: %w", lane, ex, err)
			}
		}
	}
	if n == queue.BillRequests {
		if err := ch.QueueBind(string(n), queue.BillRequestPattern, queue.ExchangeBilling, false, nil); err != nil {
			return fmt.Errorf("bind queue %s to exchange %s: %w", n, queue.ExchangeBilling, err)
		}
	}
	return nil
}

func (b *Broker) durable(ch *amqp.Channel, name string, args amqp.Table) error {
	if _, err := ch.QueueDeclare(name, true, false, false, false, args); err != nil {
		if !isMismatch(err) {
			return fmt.Errorf("declare queue %s: %w", name, err)
		}
		if _, ours := args["x-delivery-limit"]; ours {
			b.topology.mu.Lock()
			defer b.topology.mu.Unlock()
			b.topology.older[name] = struct{}{}
			return fmt.Errorf("declare queue %s: %w", name, errOlder)
		}
		return fmt.Errorf("queue %s %w (%s); remove it, with what is in it, by: rabbitmqctl -p %s delete_queue %s",
			name, ErrArguments, reasonOf(err), b.vhost, name)
	}
	return nil
}

// errOlder says that a lane may exist with the arguments of earlier versions: it is to be declared again.
var errOlder = errors.New("exists, maybe with the arguments of earlier versions")

// tellOlder warns, once, of queues that earlier versions declared. Only a policy gives them what newer ones have.
func (b *Broker) tellOlder(s *session) {
	b.topology.mu.Lock()
	n, told := len(b.topology.older), b.topology.told
	b.topology.told = told || n > 0
	b.topology.mu.Unlock()
	if n == 0 || told {
		return
	}
	harm := "what a policy drops from them is lost"
	if s.major >= 4 {
		harm = "they lose what is given back 20 times"
	}
	b.log.Warn("quorum queues of an earlier version have no delivery limit of ours, unless the policy is set", "count", n, "harm", harm,
		"policy", fmt.Sprintf(`rabbitmqctl -p %s set_policy --apply-to queues jasmind '%s' '{"delivery-limit":%d,"dead-letter-exchange":"%s","dead-letter-strategy":"at-least-once","overflow":"reject-publish"}'`,
			b.vhost, workQueues, deliveryLimit, exchangeUndeliverable))
}

func (b *Broker) exchange(ch *amqp.Channel, name, kind string, args amqp.Table) error {
	if err := ch.ExchangeDeclare(name, kind, true, false, false, false, args); err != nil {
		if isMismatch(err) {
			return fmt.Errorf("exchange %s %w (%s); remove it by: rabbitmqadmin --vhost=%s delete exchange name=%s "+
				"(one that is not durable goes when the broker restarts)", name, ErrArguments, reasonOf(err), b.vhost, name)
		}
		return fmt.Errorf("declare exchange %s: %w", name, err)
	}
	return nil
}

func isMismatch(err error) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Code == amqp.PreconditionFailed
}

func reasonOf(err error) string {
	var e *amqp.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return err.Error()
}

// declareExchanges declares everything that is there whatever the connectors are.
func (b *Broker) declareExchanges(ch *amqp.Channel) error {
	for _, ex := range []struct {
		name, kind string
		args       amqp.Table
	}{
		{queue.ExchangeMessaging, amqp.ExchangeTopic, nil},
		{queue.ExchangeBilling, amqp.ExchangeTopic, nil},
		{exchangeUndeliverable, amqp.ExchangeFanout, nil},
		{exchangeDue, amqp.ExchangeDirect, amqp.Table{"alternate-exchange": exchangeUndeliverable}},
	} {
		if err := b.exchange(ch, ex.name, ex.kind, ex.args); err != nil {
			return err
		}
	}
	if err := b.declareQueue(ch, queue.DeadLetter); err != nil {
		return err
	}
	if err := ch.QueueBind(string(queue.DeadLetter), "", exchangeUndeliverable, false, nil); err != nil {
		return fmt.Errorf("bind queue %s to exchange %s: %w", queue.DeadLetter, exchangeUndeliverable, err)
	}
	for i := range buckets {
		k := &buckets[i]
		if err := b.exchange(ch, k.exchange, amqp.ExchangeFanout, nil); err != nil {
			return err
		}
		if err := b.durable(ch, k.exchange, k.arguments()); err != nil {
			return err
		}
		if err := ch.QueueBind(k.exchange, "", k.exchange, false, nil); err != nil {
			return fmt.Errorf("bind queue %s: %w", k.exchange, err)
		}
	}
	return nil
}

// setUpConsume makes the topology on a fresh consuming connection. What the broker lost or
// somebody deleted meanwhile is made again; one queue that cannot be is no reason to leave
// the others without.
func (b *Broker) setUpConsume(_ context.Context, s *session) error {
	if b.cfg.Owner {
		if err := s.onChannel(b.own); err != nil {
			return err
		}
	}
	b.topology.forgetOlder()
	defer b.tellOlder(s)
	if err := s.onChannel(b.declareExchanges); err != nil {
		return err
	}
	for _, n := range b.topology.names() {
		err := s.onChannel(func(ch *amqp.Channel) error { return b.declareQueue(ch, n) })
		if err != nil && s.conn.IsClosed() {
			return err
		}
		if err != nil {
			b.log.Error("queue cannot be declared again", "queue", string(n), "err", err)
		}
	}
	return nil
}

// setUpPublish opens the channels of a fresh publishing connection.
func (b *Broker) setUpPublish(_ context.Context, s *session) error {
	var open []*amqp.Channel
	for range b.cfg.PublishChannels + 1 {
		l := newPublisher(b, s)
		ch, err := l.open()
		if err != nil {
			return err
		}
		s.publishers, open = append(s.publishers, l), append(open, ch)
	}
	for i, l := range s.publishers {
		s.start(func() { l.run(open[i]) })
	}
	n := b.cfg.PublishChannels
	s.publishers, s.delayed = s.publishers[:n], s.publishers[n]
	return nil
}

// redeclare makes a queue of ours again that somebody deleted.
func (b *Broker) redeclare(ctx context.Context, n queue.Name) error {
	_, err, _ := b.topology.flight.Do(string(n), func() (any, error) {
		b.topology.forgetOlder(b.laneNames(n)...)
		err := b.control(ctx, func(ch *amqp.Channel) error { return b.declareQueue(ch, n) })
		if err == nil {
			b.log.Warn("queue was gone and is declared again", "queue", string(n))
			b.renewConsumers(n)
		}
		return nil, err
	})
	return err
}

// renewConsumers makes the consumers of a queue subscribe again. A broker that has not told
// them yet that their queue was deleted may never do so once it exists again: seen with
// quorum queues on RabbitMQ 3.10, which then delivers into nothing.
func (b *Broker) renewConsumers(n queue.Name) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.consumers {
		if c.name == n {
			select {
			case c.renew <- struct{}{}:
			default: // it will already
			}
		}
	}
}

// restoreExchanges makes exchanges and buckets again, best effort.
func (b *Broker) restoreExchanges() {
	_, err, _ := b.topology.flight.Do("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), b.cfg.ConfirmTimeout)
		defer cancel()
		return nil, b.control(ctx, b.declareExchanges)
	})
	if err != nil && !b.isClosed() {
		b.log.Warn("exchanges cannot be declared again", "err", err)
	}
}
