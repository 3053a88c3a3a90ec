package smscsim

import (
	"bytes"
	"time"

	"jasmind/internal/smpp/pdu"
)

// owned finds a message by id, if it is the account's and, where a source is named, from it.
func (p *peer) owned(id string, source pdu.Address) (n uint64, ok bool) {
	n, ok = p.sim.store.find(id)
	if !ok {
		return 0, false
	}
	r, ok := p.sim.store.get(n)
	if !ok || r.account != p.systemID() {
		return 0, false
	}
	if source.Addr != "" {
		var d decoder
		if m, err := d.read(&r); err != nil || m.Source.Addr != source.Addr {
			return 0, false
		}
	}
	return n, true
}

// query answers query_sm (SMPP v3.4 §4.8).
func (p *peer) query(q *pdu.QuerySM) (pdu.Status, pdu.PDU) {
	n, ok := p.owned(q.MessageID, q.Source)
	if !ok {
		return pdu.StatusInvMsgID, nil
	}
	r, ok := p.sim.store.get(n)
	if !ok {
		return pdu.StatusInvMsgID, nil
	}
	now := time.Now().UnixNano()
	resp := &pdu.QuerySMResp{MessageID: r.id, MessageState: r.stateAt(now)}
	if now >= r.finalAt {
		resp.FinalDate = pdu.FormatAbsolute(timeOf(r.finalAt))
		resp.ErrorCode = r.errCode
	}
	return pdu.StatusOK, resp
}

// cancel answers cancel_sm (SMPP v3.4 §4.9): one message by its id, or all of the account that
// are still under way between two addresses.
func (p *peer) cancel(q *pdu.CancelSM) pdu.Status {
	if q.MessageID != "" {
		n, ok := p.owned(q.MessageID, q.Source)
		if !ok {
			return pdu.StatusInvMsgID
		}
		done := false
		p.sim.store.each(n, func(r *record) bool { // a submit_multi has several, one after the other
			if r.n > n && r.id != q.MessageID {
				return r.n-n < 2*scanBatch // others may have come in between
			}
			done = p.delete(r.n) || done
			return true
		})
		if !done {
			return pdu.StatusCancelFail
		}
		return pdu.StatusOK
	}
	var d decoder
	account, done := p.systemID(), false
	p.sim.store.each(1, func(r *record) bool {
		if r.account != account || r.status != pdu.StatusOK {
			return true
		}
		m, err := d.read(r)
		if err == nil && m.Source.Addr == q.Source.Addr && m.Dest.Addr == q.Dest.Addr &&
			(q.ServiceType == "" || q.ServiceType == m.ServiceType) {
			done = p.delete(r.n) || done
		}
		return true
	})
	if !done {
		return pdu.StatusCancelFail
	}
	return pdu.StatusOK
}

// delete ends a message that is under way; its receipt says DELETED when its time comes.
func (p *peer) delete(n uint64) bool {
	now := time.Now().UnixNano()
	return p.sim.store.update(n, func(r *record) bool {
		if r.status != pdu.StatusOK || now >= r.finalAt {
			return false
		}
		r.finalAt, r.state, r.errCode = now, pdu.StateDeleted, 0
		return true
	})
}

// replace answers replace_sm (SMPP v3.4 §4.10). Of the new fields the text is taken.
func (p *peer) replace(q *pdu.ReplaceSM) pdu.Status {
	n, ok := p.owned(q.MessageID, q.Source)
	if !ok {
		return pdu.StatusInvMsgID
	}
	text := bytes.Clone(q.ShortMessage)
	if payload, ok := q.TLVs.Get(pdu.TagMessagePayload); ok && len(text) == 0 {
		text = bytes.Clone(payload)
	}
	now := time.Now().UnixNano()
	done := p.sim.store.update(n, func(r *record) bool {
		if r.status != pdu.StatusOK || now >= r.finalAt {
			return false
		}
		r.replacement, r.replaced = text, true
		return true
	})
	if !done {
		return pdu.StatusReplaceFail
	}
	return pdu.StatusOK
}
