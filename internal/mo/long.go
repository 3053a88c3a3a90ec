package mo

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"jasmind/internal/journal"
	"jasmind/internal/logging"
	"jasmind/internal/queue"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// releaseMax is how many long messages one look releases.
const releaseMax = 64

// releaseWorkers is how many of them are queued at a time.
const releaseWorkers = 8

// partID is the id under which a part of a long message waits for an ESME.
func partID(id sms.MessageID, seq int) sms.MessageID {
	return id + "." + sms.MessageID(strconv.Itoa(seq))
}

// part stores a part of a long message, and queues what is complete by it.
func (s *Service) part(ctx context.Context, m *Message, digest uint64) pdu.Status {
	c := m.Segment().Concat
	id := sms.MessageID(uuid.NewString())
	key := sms.LongKey{CID: m.CID, Source: m.PDU.Source.Addr, Dest: m.PDU.Dest.Addr, Ref: c.Ref, Total: int(c.Total)}
	body, err := m.encode()
	var released []sms.LongMO
	if err == nil {
		// Observers first: a part that is refused because of them was not stored.
		var observed queue.Publication
		if observed, err = queue.MOCopy(partID(id, int(c.Seq)), m.CID, m.Time, m.wire(), true); err == nil {
			err = s.deps.Journal.Commit(ctx, &journal.Entry{Publish: []queue.Publication{observed}})
		}
	}
	if err == nil {
		released, err = s.deps.Parts.AddPart(ctx, sms.LongPart{Key: key, Seq: int(c.Seq), Digest: digest, Body: body}, id, s.cfg.LongTimeout, s.cfg.Claim)
	}
	if err != nil {
		s.log.Error("part of a message cannot be stored", "cid", string(m.CID), "status", temporary.String(), "err", err)
		return temporary
	}
	s.Metrics.Parts.Add(1)
	s.log.Debug("part of a message stored", "cid", string(m.CID), "part", int(c.Seq), "parts", int(c.Total), "reference", int(c.Ref))
	// The part is durable, whatever comes of this: Run tries again.
	s.take(released)
	for i := range released {
		s.release(ctx, &released[i])
	}
	return pdu.StatusOK
}

// take notes that messages are in hand, and gives those that were not: while one's entry is slow to
// become durable its claim may end.
func (s *Service) take(ms []sms.LongMO) (fresh []sms.LongMO) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range ms {
		if _, ok := s.hand[m.ID]; !ok {
			s.hand[m.ID] = struct{}{}
			fresh = append(fresh, m)
		}
	}
	return fresh
}

// release queues a long message and drops its parts. It must have been taken.
func (s *Service) release(ctx context.Context, l *sms.LongMO) {
	defer func() {
		s.mu.Lock()
		delete(s.hand, l.ID)
		s.mu.Unlock()
	}()
	if err := s.join(ctx, l); err != nil {
		s.log.Error("long message cannot be queued now, it will be tried again", "cid", string(l.Key.CID), "msgid", string(l.ID), "in", s.cfg.Claim, "err", err)
	}
}

func (s *Service) join(ctx context.Context, l *sms.LongMO) error {
	log := s.log.With("cid", string(l.Key.CID), "msgid", string(l.ID), "from", l.Key.Source, "to", l.Key.Dest)
	if l.Repeat && !l.Complete() {
		if err := s.deps.Journal.Commit(ctx, &journal.Entry{Joined: []sms.MessageID{l.ID}}); err != nil {
			return err
		}
		s.Metrics.Repeats.Add(1)
		log.Info("parts that came again dropped", "count", len(l.Parts))
		return nil
	}
	parts := make([]*Message, 0, len(l.Parts))
	var lost []queue.Publication
	for _, p := range l.Parts {
		m, err := decodePart(l.Key.CID, p.Body)
		if err != nil {
			log.Error("part of a message moved to the dead-letter queue", "part", p.Seq, "err", err)
			lost = append(lost, queue.Bury(&queue.Delivery{Queue: queue.DeliverSM(l.Key.CID), Message: queue.Message{
				ID: string(partID(l.ID, p.Seq)), ContentType: queue.ContentText, Body: p.Body}}, err.Error()))
			continue
		}
		parts = append(parts, m)
	}
	w := &work{}
	var whole *Message
	if len(parts) > 0 {
		whole = joined(parts)
		var err error
		if w, err = s.plan().entry(ctx, l.ID, whole, parts, l.Key.Total); err != nil {
			return err
		}
	}
	w.Publish = append(w.Publish, lost...)
	w.Joined = []sms.MessageID{l.ID}
	if err := s.deps.Journal.Commit(ctx, &w.Entry); err != nil {
		return err
	}
	if whole == nil {
		return nil
	}
	if len(parts) == l.Key.Total {
		s.Metrics.Joined.Add(1)
	} else {
		s.Metrics.Incomplete.Add(1)
		log.Warn("message released without all its parts", "have", len(parts), "parts", l.Key.Total, "reference", int(l.Key.Ref))
	}
	s.queued(l.ID, whole, w)
	return nil
}

// joined is what routes see of a long message: the fields of its first part, the text of all, and the
// tags that interceptors gave to any.
func joined(parts []*Message) *Message {
	whole := *parts[0]
	call := queue.MOCall{Total: len(parts)}
	for _, p := range parts {
		call.Parts = append(call.Parts, pdu.DeliverSM{Message: p.PDU})
		for _, t := range p.Tags {
			if !slices.Contains(whole.Tags, t) {
				whole.Tags = append(slices.Clone(whole.Tags), t)
			}
		}
	}
	text, octets := call.Content()
	whole.text, whole.whole = text, true
	whole.PDU.ESMClass &^= pdu.ESMUDHI
	whole.PDU.TLVs = nil
	for _, t := range parts[0].PDU.TLVs {
		switch t.Tag {
		case pdu.TagSARMsgRefNum, pdu.TagSARTotalSegments, pdu.TagSARSegmentSeqnum:
		case pdu.TagMessagePayload:
			if len(whole.PDU.ShortMessage) == 0 {
				whole.PDU.TLVs = append(whole.PDU.TLVs, pdu.TLV{Tag: t.Tag, Value: octets})
			}
		default:
			whole.PDU.TLVs = append(whole.PDU.TLVs, t)
		}
	}
	if len(whole.PDU.ShortMessage) > 0 {
		whole.PDU.ShortMessage = octets
	}
	return &whole
}

// Run releases long messages whose time has come, those of an earlier run included, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.Sweep)
	defer tick.Stop()
	failing := false
	for {
		ms, err := s.deps.Parts.ReleaseParts(ctx, releaseMax, s.cfg.LongTimeout, s.cfg.Claim)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if !failing {
				s.log.Error("long messages cannot be looked up, trying on", "err", err)
			}
		case failing:
			s.log.Info("long messages can be looked up again")
		}
		failing = err != nil
		s.releaseAll(ctx, s.take(ms))
		if len(ms) == releaseMax {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// releaseAll queues messages, several at a time, since each waits for the disk or the broker.
func (s *Service) releaseAll(ctx context.Context, ms []sms.LongMO) {
	todo := make(chan *sms.LongMO, len(ms))
	for i := range ms {
		todo <- &ms[i]
	}
	close(todo)
	var wg sync.WaitGroup
	for range min(len(ms), releaseWorkers) {
		wg.Go(func() {
			for m := range todo {
				_ = logging.Guard(s.log, "long message from a mobile", func() { s.release(ctx, m) })
			}
		})
	}
	wg.Wait()
}
