package connector

import (
	"context"
	"encoding/hex"
	"log/slog"
	"time"

	"jasmind/internal/logging"
	"jasmind/internal/smpp"
	"jasmind/internal/smpp/pdu"
)

// trace sees the session's PDUs. Our bind is the first there is on a new connection.
func (b *bind) trace(dir smpp.Direction, h pdu.Header, p pdu.PDU) {
	if _, first := p.(*pdu.Bind); first && dir == smpp.Out {
		b.open.Store(true)
		b.stats.ConnectedCount.Add(1)
		b.stats.ConnectedAt.Set(time.Now())
	}
	b.stats.trace(dir, h, p)
	if b.log.Enabled(context.Background(), slog.LevelDebug) { // loglevel 10
		b.log.Debug("pdu", tracing(b.index, dir, h, p, b.private())...)
	}
}

const masked = "***"

// tracing is the line of a PDU: what one looks for, and all of it as octets. Passwords are
// masked in both, contents left out with logprivacy.
func tracing(bind int, dir smpp.Direction, h pdu.Header, p pdu.PDU, privacy bool) []any {
	out := []any{"bind", bind, "dir", dir.String(), "pdu", h.ID.String(), "seq", h.Sequence, "length", h.Length}
	if h.ID.IsResponse() {
		out = append(out, "status", h.Status.String())
	}
	address := func(from, to pdu.Address) { out = append(out, "from", from.Addr, "to", to.Addr) }
	private := false
	switch q := p.(type) {
	case *pdu.Bind:
		own := *q
		if own.Password != "" {
			own.Password = masked
		}
		p = &own
		out = append(out, "system_id", q.SystemID, "password", own.Password)
	case *pdu.Outbind:
		own := *q
		if own.Password != "" {
			own.Password = masked
		}
		p = &own
		out = append(out, "system_id", q.SystemID, "password", own.Password)
	case *pdu.BindResp:
		out = append(out, "system_id", q.SystemID)
	case *pdu.SubmitSM:
		address(q.Source, q.Dest)
		out, private = append(out, content(q.ShortMessage, q.ESMClass, q.DataCoding, q.TLVs, privacy)), true
	case *pdu.DeliverSM:
		address(q.Source, q.Dest)
		out, private = append(out, content(q.ShortMessage, q.ESMClass, q.DataCoding, q.TLVs, privacy)), true
	case *pdu.DataSM:
		address(q.Source, q.Dest)
		out, private = append(out, content(nil, q.ESMClass, q.DataCoding, q.TLVs, privacy)), true
	case *pdu.SubmitSMResp:
		out = append(out, "smpp_msgid", q.MessageID)
	case *pdu.Unknown:
		private = true // what is in there nobody knows
	case nil:
		return append(out, "octets", "undecodable")
	}
	if private && privacy {
		return out
	}
	body, err := pdu.Append(nil, h.Status, h.Sequence, p)
	if err != nil { // what a peer may send and we may not
		return append(out, "octets", err.Error())
	}
	return append(out, "octets", hex.EncodeToString(body))
}

func content(short []byte, class pdu.ESMClass, coding pdu.DataCoding, tlvs pdu.TLVs, privacy bool) slog.Attr {
	return slog.Any("text", logging.Content{Text: textOf(short, class, coding, tlvs), Privacy: privacy})
}
