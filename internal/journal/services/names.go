package services

import (
	"context"
	"sync"

	"jasmind/internal/queue"
	"jasmind/internal/queue/rabbit"
)

// names is the part of store/redis that remembers queues.
type names interface {
	Remember(ctx context.Context, names ...queue.Name) error
	Forget(ctx context.Context, name queue.Name) error
	Remembered(ctx context.Context) ([]queue.Name, error)
}

// Broker is RabbitMQ with a list of the queues of connectors and ESMEs, which AMQP does not give: their names are remembered in
// Redis. They outlive the connector, or the user, and what waits in them has to be found.
type Broker struct {
	*rabbit.Broker
	names names

	mu    sync.Mutex // guards known
	known map[queue.Name]struct{}
}

// NewBroker reads the list.
func NewBroker(ctx context.Context, b *rabbit.Broker, n names) (*Broker, error) {
	all, err := n.Remembered(ctx)
	if err != nil {
		return nil, err
	}
	out := &Broker{Broker: b, names: n, known: make(map[queue.Name]struct{}, len(all))}
	for _, name := range all {
		out.known[name] = struct{}{}
	}
	return out, nil
}

// Declare remembers names, and makes the queues that do not exist yet.
func (b *Broker) Declare(ctx context.Context, names ...queue.Name) error {
	var fresh []queue.Name
	b.mu.Lock()
	for _, name := range names {
		if _, ok := b.known[name]; !ok && hasOwner(name) {
			fresh = append(fresh, name)
		}
	}
	b.mu.Unlock()
	if len(fresh) > 0 {
		if err := b.names.Remember(ctx, fresh...); err != nil {
			return err
		}
		b.mu.Lock()
		for _, name := range fresh {
			b.known[name] = struct{}{}
		}
		b.mu.Unlock()
	}
	return b.Broker.Declare(ctx, names...)
}

// Delete removes a queue and what is in it, and forgets its name.
func (b *Broker) Delete(ctx context.Context, name queue.Name) error {
	if err := b.Broker.Delete(ctx, name); err != nil {
		return err
	}
	b.mu.Lock()
	delete(b.known, name)
	b.mu.Unlock()
	return b.names.Forget(ctx, name)
}

// Names lists the queues of connectors and ESMEs, in no order.
func (b *Broker) Names() []queue.Name {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]queue.Name, 0, len(b.known))
	for name := range b.known {
		out = append(out, name)
	}
	return out
}

// hasOwner tells whether a queue is that of a connector or an ESME.
func hasOwner(name queue.Name) bool {
	_, connector := queue.ConnectorOf(name)
	_, esme := queue.ESMEOf(name)
	return connector || esme
}
