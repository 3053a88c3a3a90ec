package smscsim

import (
	"strings"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smpp/receipt"
)

// job is a receipt to be sent for a message.
type job struct {
	account   *account
	session   uint64 // that submitted
	plan      *receiptPlan
	epoch     uint64
	n         uint64 // of the record
	id        string
	number    uint64
	service   string
	source    pdu.Address // of the message
	dest      pdu.Address // of the message
	submitted time.Time
	text      string
	asked     uint8 // registered_delivery
	state     pdu.MessageState
	final     bool
	delay     time.Duration
}

// The bits of registered_delivery (SMPP v3.4 §5.2.17; 3 is of v5.0 §4.7.21).
const (
	receiptMask         = 0x03
	receiptAlways       = 1
	receiptOnFailure    = 2
	receiptOnSuccess    = 3
	intermediateReceipt = 0x10
)

// textInReceipt is how many characters of the message a receipt repeats (SMPP v3.4 Appendix B).
const textInReceipt = 20

// plan makes the receipts of an accepted message, in order.
func (p *peer) plan(a *account, m *pdu.Message, d decision, e ending, id string, number, n uint64, now time.Time) []*job {
	always := d.receipt.Send == SendAlways
	wantFinal := always || m.RegisteredDelivery&receiptMask != 0
	wantMore := len(d.receipt.intermediate) > 0 && (wantFinal || m.RegisteredDelivery&intermediateReceipt != 0)
	if d.receipt.Send == SendNever || !wantFinal && !wantMore {
		return nil
	}
	text, _ := readText(m)
	if r := []rune(text); len(r) > textInReceipt {
		text = string(r[:textInReceipt])
	}
	common := job{account: a, session: p.id, plan: d.receipt, epoch: p.sim.epoch.Load(), n: n, id: id, number: number,
		service: m.ServiceType, source: m.Source, dest: m.Dest, submitted: now, text: text, asked: m.RegisteredDelivery}
	var jobs []*job
	if wantMore {
		for _, st := range d.receipt.intermediate {
			j := common
			j.state, j.delay = st, min(e.delay, 0)
			jobs = append(jobs, &j)
		}
	}
	if wantFinal {
		common.state, common.delay, common.final = e.state, e.delay, true
		jobs = append(jobs, &common)
	}
	return jobs
}

// dispatch sends receipts or has them wait for their time.
func (sim *Simulator) dispatch(jobs []*job) {
	for _, j := range jobs {
		switch {
		case j.delay <= 0:
			sim.fire(j)
		case sim.pending.Add(1) > int64(sim.cfg.MaxScheduled):
			sim.pending.Add(-1)
			sim.counters.Load().receiptsDropped.Add(1)
		default:
			sim.schedule.after(j.delay, func() {
				sim.pending.Add(-1)
				sim.fire(j)
			})
		}
	}
}

// fire sends a receipt whose time has come, with what cancel_sm made of its message.
func (sim *Simulator) fire(j *job) {
	if j.epoch != sim.epoch.Load() {
		return
	}
	select {
	case <-sim.stopping:
		sim.counters.Load().receiptsDropped.Add(1)
		return
	default:
	}
	if j.final {
		if r, ok := sim.store.get(j.n); ok && r.state == pdu.StateDeleted {
			j.state = pdu.StateDeleted
		}
		if j.plan.Send != SendAlways && !wanted(j.asked, j.state) {
			return
		}
	}
	p, err := j.build(time.Now())
	if err != nil {
		sim.logger.Error("receipt", "id", j.id, "err", err)
		sim.counters.Load().receiptsFailed.Add(1)
		return
	}
	j.account.enqueue(delivery{pdu: p, session: j.session, bind: j.plan.Bind, epoch: j.epoch})
}

// wanted reports whether registered_delivery asks for a final receipt with a state.
func wanted(asked uint8, st pdu.MessageState) bool {
	switch asked & receiptMask {
	case receiptAlways:
		return true
	case receiptOnFailure:
		return st != pdu.StateDelivered
	case receiptOnSuccess:
		return st == pdu.StateDelivered
	}
	return false
}

// maxShort is the room of short_message (SMPP v3.4 §5.2.22).
const maxShort = 254

// build makes the PDU of a receipt.
func (j *job) build(now time.Time) (pdu.PDU, error) {
	plan := j.plan
	r := receipt.Receipt{
		ID:           receiptID(j.id, j.number, plan.ID, plan.IDWidth),
		SubmitDate:   receipt.FormatDate(j.submitted),
		DoneDate:     receipt.FormatDate(now),
		Err:          plan.Err,
		Text:         j.text,
		MessageState: j.state,
	}
	text, err := receipt.Append(nil, &r)
	if err != nil {
		return nil, err
	}
	if plan.Template != "" {
		text = []byte(j.fill(&r, now))
	}
	class := pdu.ESMTypeReceipt
	if j.state == pdu.StateEnroute || j.state == pdu.StateScheduled {
		class = pdu.ESMTypeIntermediate
	}
	if plan.ESMClass != nil {
		class = pdu.ESMClass(*plan.ESMClass)
	}
	var tlvs pdu.TLVs
	if plan.Form != FormText && plan.Form != FormPayload {
		r.ID = receiptID(j.id, j.number, plan.TLVID, plan.IDWidth)
		receipt.SetTLVs(&tlvs, &r)
	}
	if plan.Form == FormDataSM {
		tlvs.Set(pdu.TagMessagePayload, text)
		return &pdu.DataSM{ServiceType: j.service, Source: j.dest, Dest: j.source, ESMClass: class, TLVs: tlvs}, nil
	}
	p := &pdu.DeliverSM{Message: pdu.Message{ServiceType: j.service, Source: j.dest, Dest: j.source, ESMClass: class}}
	switch {
	case plan.Form == FormTLV:
	case plan.Form == FormPayload || len(text) > maxShort:
		tlvs.Set(pdu.TagMessagePayload, text)
	default:
		p.ShortMessage = text
	}
	p.TLVs = tlvs
	return p, nil
}

// fill puts the values of a receipt into the rule's template.
func (j *job) fill(r *receipt.Receipt, now time.Time) string {
	const withSeconds = "060102150405"
	dlvrd := "000"
	if j.state == pdu.StateDelivered {
		dlvrd = "001"
	}
	return strings.NewReplacer("{id}", r.ID, "{sub}", "001", "{dlvrd}", dlvrd,
		"{submit_date}", r.SubmitDate, "{done_date}", r.DoneDate,
		"{submit_date_s}", j.submitted.Format(withSeconds), "{done_date_s}", now.Format(withSeconds),
		"{state}", receipt.StateText(j.state), "{err}", r.Err, "{text}", r.Text).Replace(j.plan.Template)
}
