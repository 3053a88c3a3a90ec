package smscsim

import (
	"context"
	"sync/atomic"
	"time"

	"jasmind/internal/smpp/pdu"
)

// Stats are the counters since the start or the last reset. They outlive the messages.
type Stats struct {
	Uptime        Duration          `json:"uptime"`      // since the start
	Sessions      int               `json:"sessions"`    // connected, bound or not
	Connections   uint64            `json:"connections"` // accepted
	Submitted     uint64            `json:"submitted"`   // messages: submit_sm, data_sm and each destination of submit_multi
	Accepted      uint64            `json:"accepted"`    // answered, or meant, with ESME_ROK
	Refused       uint64            `json:"refused"`     // answered with another status
	Unanswered    uint64            `json:"unanswered"`  // of both, those whose response a rule withheld
	PerSecond     uint64            `json:"per_second"`  // submitted in the last whole second
	PeakPerSecond uint64            `json:"peak_per_second"`
	PDUsIn        uint64            `json:"pdus_in"`
	PDUsOut       uint64            `json:"pdus_out"`
	Statuses      map[string]uint64 `json:"statuses"`   // submitted messages by status
	Operations    map[string]uint64 `json:"operations"` // requests received by command
	Receipts      ReceiptStats      `json:"receipts"`
	MO            MOStats           `json:"mo"`
	Kept          int               `json:"kept"` // messages held in full
	KeptOctets    int               `json:"kept_octets"`
	Forgotten     uint64            `json:"forgotten"` // messages that made room
	Untracked     uint64            `json:"untracked"` // tagged messages for which the ledger had no room
}

// ReceiptStats are about receipts.
type ReceiptStats struct {
	Sent      uint64 `json:"sent"`      // attempts
	Acked     uint64 `json:"acked"`     // answered with ESME_ROK
	Refused   uint64 `json:"refused"`   // attempts that were answered otherwise or not at all
	Failed    uint64 `json:"failed"`    // given up after the last attempt
	Dropped   uint64 `json:"dropped"`   // no room in the queue
	Queued    int    `json:"queued"`    // due, or being retried, and not yet acked
	Scheduled int    `json:"scheduled"` // tasks whose time has not come: receipts and delayed responses
}

// MOStats are about injected messages, counted by part.
type MOStats struct {
	Sent    uint64 `json:"sent"`
	Acked   uint64 `json:"acked"`
	Refused uint64 `json:"refused"`
}

// counters are what Stats is made of.
type counters struct {
	connections, submitted, accepted, refused, unanswered atomic.Uint64
	pdusIn, pdusOut                                       atomic.Uint64
	receiptsSent, receiptsAcked, receiptsRefused          atomic.Uint64
	receiptsFailed, receiptsDropped                       atomic.Uint64
	moSent, moAcked, moRefused                            atomic.Uint64
	perSecond, peak                                       atomic.Uint64
	statuses                                              [0x500]atomic.Uint64 // the last one for all above
	operations                                            [len(commands)]atomic.Uint64
}

// commands are the requests counted by name.
var commands = [...]pdu.CommandID{pdu.CmdSubmitSM, pdu.CmdDataSM, pdu.CmdSubmitMulti, pdu.CmdQuerySM, pdu.CmdCancelSM,
	pdu.CmdReplaceSM, pdu.CmdEnquireLink, pdu.CmdBindTransceiver, pdu.CmdBindTransmitter, pdu.CmdBindReceiver, pdu.CmdUnbind}

func (c *counters) operation(id pdu.CommandID) {
	for i := range commands {
		if commands[i] == id {
			c.operations[i].Add(1)
			return
		}
	}
}

// submission counts a message and its answer.
func (c *counters) submission(status pdu.Status, unanswered bool) {
	c.submitted.Add(1)
	if status == pdu.StatusOK {
		c.accepted.Add(1)
	} else {
		c.refused.Add(1)
	}
	if unanswered {
		c.unanswered.Add(1)
	}
	c.statuses[min(int(status), len(c.statuses)-1)].Add(1)
}

// Stats is a snapshot of the counters.
func (sim *Simulator) Stats() Stats {
	c := sim.counters.Load()
	s := Stats{
		Uptime:      Duration(time.Since(sim.started).Round(time.Millisecond)),
		Connections: c.connections.Load(), Submitted: c.submitted.Load(), Accepted: c.accepted.Load(),
		Refused: c.refused.Load(), Unanswered: c.unanswered.Load(),
		PerSecond: c.perSecond.Load(), PeakPerSecond: c.peak.Load(),
		PDUsIn: c.pdusIn.Load(), PDUsOut: c.pdusOut.Load(),
		Statuses: map[string]uint64{}, Operations: map[string]uint64{},
		Receipts: ReceiptStats{
			Sent: c.receiptsSent.Load(), Acked: c.receiptsAcked.Load(), Refused: c.receiptsRefused.Load(),
			Failed: c.receiptsFailed.Load(), Dropped: c.receiptsDropped.Load(), Scheduled: sim.schedule.waiting(),
		},
		MO: MOStats{Sent: c.moSent.Load(), Acked: c.moAcked.Load(), Refused: c.moRefused.Load()},
	}
	for i := range c.statuses {
		if n := c.statuses[i].Load(); n > 0 {
			name := pdu.Status(i).String()
			if i == len(c.statuses)-1 {
				name = "other"
			}
			s.Statuses[name] = n
		}
	}
	for i, id := range commands {
		if n := c.operations[i].Load(); n > 0 {
			s.Operations[id.String()] = n
		}
	}
	s.Kept, s.KeptOctets, s.Forgotten = sim.store.size()
	sim.ledger.mu.Lock()
	s.Untracked = sim.ledger.lost
	sim.ledger.mu.Unlock()
	sim.mu.Lock()
	s.Sessions = len(sim.peers)
	accounts := make([]*account, 0, len(sim.accounts))
	for _, a := range sim.accounts {
		accounts = append(accounts, a)
	}
	sim.mu.Unlock()
	for _, a := range accounts {
		s.Receipts.Queued += a.queued()
	}
	return s
}

// tickLoop measures rates and writes summaries, once a second.
func (sim *Simulator) tickLoop(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	var before Stats
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			s := sim.Stats()
			if s.Submitted < before.Submitted || s.PDUsIn < before.PDUsIn {
				before = Stats{} // it was reset
			}
			c := sim.counters.Load()
			n := s.Submitted - before.Submitted
			c.perSecond.Store(n)
			c.peak.Store(max(n, c.peak.Load()))
			sim.log.tick(now, &s, &before)
			before = s
		}
	}
}
