package journal

import (
	"context"
	"time"
)

// Outlive gives a context for a commit: it ends grace after ctx, or when cancel is called. One that was begun is
// brought to its end, since with RabbitMQ half of it done would be done twice.
func Outlive(ctx context.Context, grace time.Duration) (longer context.Context, cancel context.CancelFunc) {
	longer, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-t.C:
			end()
		case <-longer.Done():
		}
	})
	return longer, func() {
		stop()
		end()
	}
}
