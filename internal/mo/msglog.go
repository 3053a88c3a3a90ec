package mo

import (
	"context"
	"log/slog"
	"strconv"
	"strings"

	"jasmind/internal/logging"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// logMO writes the line of a message that is queued to the message log. Operators parse it (Jasmin:
// messages.log); one line for a message, whatever its parts.
func (s *Service) logMO(id sms.MessageID, m *Message) {
	if !s.deps.Messages.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	validity := "None"
	if m.PDU.ValidityPeriod != "" {
		validity = m.PDU.ValidityPeriod
	}
	var b strings.Builder
	logging.AppendField(&b, "SMS-MO [cid:", string(m.CID))
	logging.AppendField(&b, "] [queue-msgid:", string(id))
	logging.AppendField(&b, "] [status:", pdu.StatusOK.String())
	logging.AppendField(&b, "] [prio:", strconv.Itoa(int(m.PDU.PriorityFlag)))
	logging.AppendField(&b, "] [validity:", validity)
	s.logEnd(&b, m)
}

// logIntercepted writes the line of a message that an interceptor refused or answered.
func (s *Service) logIntercepted(m *Message, status pdu.Status) {
	if !s.deps.Messages.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	var b strings.Builder
	logging.AppendField(&b, "SMS-MO [cid:", string(m.CID))
	logging.AppendField(&b, "] [i-status:", status.String())
	s.logEnd(&b, m)
}

// logEnd ends a line with the addresses and the text, or with its size when that is private.
func (s *Service) logEnd(b *strings.Builder, m *Message) {
	text := m.Content()
	if s.private(m.CID) {
		text = "** " + strconv.Itoa(len(text)) + " byte content **"
	}
	logging.AppendField(b, "] [from:", m.PDU.Source.Addr)
	logging.AppendField(b, "] [to:", m.PDU.Dest.Addr)
	logging.AppendField(b, "] [content:'", text)
	b.WriteString("']")
	s.deps.Messages.Info(b.String()) //nolint:sloglint // the line is the message
}
