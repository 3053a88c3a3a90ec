package queue

// Bury is the publication that moves a delivery into the dead-letter queue: the message as
// it is, with the queue it was in (dead_queue) and why it was given up (dead_reason). The
// caller acknowledges the delivery in the same journal entry.
func Bury(d *Delivery, reason string) Publication {
	m := d.Message
	m.Headers = m.Headers.Clone().WithStr(HeaderDeadQueue, string(d.Queue)).WithStr(HeaderDeadReason, reason)
	m.Attempts = 0
	return Publication{Queue: DeadLetter, Message: m}
}
