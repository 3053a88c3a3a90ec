package dlr

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"jasmind/internal/logging"
	"jasmind/internal/queue"
	"jasmind/internal/sms"
)

// receipt handles a receipt. One whose mapping is not there yet waits: often the
// submit_sm_resp comes later than the receipt, or is not durable yet.
func (l *Lookup) receipt(ctx context.Context, d *event, fx *effects) error {
	ev, err := queue.DecodeReceiptEvent(&d.Message)
	if err != nil {
		l.bury(d, fx, err)
		return nil
	}
	m, ok, err := l.mapping(ctx, d, ev)
	if err != nil {
		return err
	}
	if !ok {
		if !l.again(d, fx, slices.Concat(mappings(ev)...)...) {
			l.unclaimed(d, ev, fx)
		}
		return nil
	}
	req, ok, err := l.store.Receipt(ctx, m.MsgID)
	if err != nil {
		return err
	}
	if !ok || req.Report&sms.ReportFinal == 0 {
		fx.finish(nil, nil, func() {
			l.Metrics.Receipts.Add(1)
			l.log.Debug("nobody asks for this receipt any more", "msgid", string(m.MsgID), "smpp_msgid", ev.ID, "status", ev.State)
		})
		return nil
	}
	req.CID = cmp.Or(m.SentBy, ev.CID, req.CID) // a failover route may have moved the message
	dlr := &queue.HTTPDLR{MsgID: req.MsgID, UID: req.UID, URL: req.URL, Method: req.Method, Level: 2, Status: ev.State, CID: req.CID, IDSMSC: m.SMPPMsgID,
		Sub: orMissing(ev.Sub), Dlvrd: orMissing(ev.Dlvrd), SubDate: orMissing(ev.SubmitDate), DoneDate: orMissing(ev.DoneDate),
		Err: orMissing(ev.Err), Text: ev.Text}
	done := sms.State(ev.State).Final()
	if m.Parts > 1 {
		if dlr, done, err = l.longMessage(ctx, dlr, m, ev, req.Expiry-sms.QueueStay); err != nil {
			return err
		}
	}
	var forget []sms.MessageID
	if done {
		forget = append(forget, req.MsgID)
	}
	if done && req.Report&sms.ReportSubmit != 0 {
		open, err := l.levelOneOpen(ctx, req.MsgID)
		if err != nil {
			return err
		}
		// The answer to the submission is still in its queue: its DLR goes first, and needs
		// the request. Should it never come, the request is left to expire.
		if open {
			if l.again(d, fx, key{id: string(queue.LevelOne(req.MsgID))}) {
				return nil
			}
			forget = nil
		}
	}
	if m.Origin == sms.OriginSMPP && dlr != nil {
		fx.change = stateOf(m.MsgID, dlr)
	}
	pub := l.publication(&req, dlr, false)
	fx.finish(pub, forget, func() {
		l.Metrics.Receipts.Add(1)
		if pub != nil {
			l.forwarded(dlr, ev.Text)
		}
	})
	return nil
}

// An account that other programs use, too, may bring any number of receipts that are none of ours. Dead letters are made of the first
// thousand, and of one every ten seconds; the others are in the log.
const (
	unknownMost  = 1000
	unknownEvery = 10 * time.Second
)

// unclaimed makes a dead letter of a receipt that no message claims: the SMSC was told that we have it, so it must not vanish.
func (l *Lookup) unclaimed(d *event, ev *queue.ReceiptEvent, fx *effects) {
	var letter *queue.Publication
	if d.letter = d.letter || l.unknown.Allow(); d.letter { // one look after the other counts once
		p := queue.BuryAs(d.Delivery, queue.CauseUnclaimed, fmt.Sprintf("no message is known under the id %s at connector %s", ev.ID, ev.CID))
		letter = &p
	}
	fx.finish(letter, nil, func() {
		attrs := []any{"cid", string(ev.CID), "status", ev.State, "tries", d.Attempts + 1, "dead_letter", letter != nil}
		if letter == nil {
			l.Metrics.Unkept.Add(1)
			if !l.cfg.LogPrivacy {
				attrs = append(attrs, "octets", hex.EncodeToString(ev.Octets))
			}
		}
		//nolint:sloglint // Jasmin: operators look for this line
		l.log.Warn("Got a DLR for an unknown message id: "+ev.ID, attrs...)
		l.Metrics.Unmatched.Add(1)
	})
}

// stateOf is what query_sm tells of a message from now on.
func stateOf(id sms.MessageID, dlr *queue.HTTPDLR) *sms.StateChange {
	state := sms.State(dlr.Status)
	c := &sms.StateChange{MsgID: id, Left: true, State: state.Number()}
	if n, err := strconv.ParseUint(given(dlr.Err), 10, 8); err == nil {
		c.Err = uint8(n)
	}
	if state.Final() {
		c.Final = time.Now()
	}
	return c
}

// forwarded counts and logs a DLR that was queued.
func (l *Lookup) forwarded(dlr *queue.HTTPDLR, text string) {
	l.Metrics.Forwarded.Add(1)
	l.log.Debug("DLR queued", "msgid", string(dlr.MsgID), "status", dlr.Status, "level", dlr.Level,
		"text", logging.Content{Text: text, Privacy: l.cfg.LogPrivacy})
}

// longMessage records the state of one part and gives the DLR of the whole message once
// all parts are final: that of the part with the worst state. Intermediate states of parts
// are not forwarded.
func (l *Lookup) longMessage(ctx context.Context, dlr *queue.HTTPDLR, m sms.Mapping, ev *queue.ReceiptEvent, expiry time.Duration) (*queue.HTTPDLR, bool, error) {
	if !sms.State(ev.State).Final() || l.cfg.LastPartOnly && m.Part != m.Parts {
		return nil, false, nil
	}
	if l.cfg.LastPartOnly {
		return dlr, true, nil
	}
	all, err := l.store.RecordFinal(ctx, sms.PartOutcome{MsgID: m.MsgID, Part: m.Part, Parts: m.Parts, SMPPMsgID: m.SMPPMsgID, State: sms.State(ev.State),
		Err: ev.Err, SubmitDate: ev.SubmitDate, DoneDate: ev.DoneDate, Sub: ev.Sub, Dlvrd: ev.Dlvrd, Text: ev.Text, Expiry: expiry})
	if err != nil {
		return nil, false, err
	}
	if len(all) < m.Parts {
		return nil, false, nil
	}
	worst := slices.MaxFunc(all, func(a, b sms.PartOutcome) int { return a.State.Compare(b.State) })
	first := slices.MinFunc(all, func(a, b sms.PartOutcome) int { return a.Part - b.Part })
	dlr.Status, dlr.Err = string(worst.State), orMissing(worst.Err)
	dlr.Sub, dlr.Dlvrd, dlr.SubDate, dlr.DoneDate = orMissing(worst.Sub), orMissing(worst.Dlvrd), orMissing(worst.SubmitDate), orMissing(worst.DoneDate)
	dlr.Text, dlr.IDSMSC = first.Text, first.SMPPMsgID
	return dlr, true, nil
}

// mapping finds the message that one of the candidates belongs to: the first that has a
// mapping, or with Unique (dlr_msgid auto) the only one. An account counts only if those before it have none.
func (l *Lookup) mapping(ctx context.Context, d *event, ev *queue.ReceiptEvent) (sms.Mapping, bool, error) {
	var found []sms.Mapping
	for _, keys := range mappings(ev) {
		for _, k := range keys {
			m, ok, err := l.store.Mapping(ctx, k.account, k.id)
			if err != nil {
				return m, false, err
			}
			if !ok {
				continue
			}
			if !ev.Unique {
				return m, true, nil
			}
			if !slices.ContainsFunc(found, func(f sms.Mapping) bool { return f.MsgID == m.MsgID && f.Part == m.Part }) {
				found = append(found, m)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	switch {
	case len(found) == 1:
		return found[0], true, nil
	case len(found) > 1 && d.Attempts == 0 && d.looks == 0:
		l.log.Warn("receipt id is ambiguous under dlr_msgid auto", "cid", string(ev.CID), "smpp_msgid", ev.ID, "candidates", ev.IDs)
	}
	return sms.Mapping{}, false, nil
}

// mappings are those that a receipt may mean, by account. The last one is for records whose ids are the connector's.
func mappings(ev *queue.ReceiptEvent) [][]key {
	ids := append([]string{ev.ID}, ev.IDs...)
	out := make([][]key, 0, len(ev.Accounts)+1)
	for _, account := range append(slices.Clone(ev.Accounts), sms.Account(ev.CID)) {
		keys := make([]key, len(ids))
		for i, id := range ids {
			keys[i] = key{account, id}
		}
		out = append(out, keys)
	}
	return out
}

func orMissing(s string) string {
	if s == "" {
		return missing
	}
	return s
}
