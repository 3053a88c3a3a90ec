package mt

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"jasmind/internal/logging"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

func TestLineOfAnAcceptedMessage(t *testing.T) {
	for _, tt := range []struct {
		name    string
		level   int
		text    string
		privacy bool
		want    string
	}{
		{"no receipt", 0, "hello", false, "[dlr:No] [from:ACME] [to:336] [content:hello]"},
		{"the SMSC's answer", 1, "é", false, "[dlr:SMS-C] [from:ACME] [to:336] [content:é]"},
		{"the receipt", 2, "", false, "[dlr:Terminal] [from:ACME] [to:336] [content:]"},
		{"both", 3, "x", false, "[dlr:All] [from:ACME] [to:336] [content:x]"},
		{"a forged line", 0, "a\nSMS-MT [uid:x]\x00\u2028", false, "[dlr:No] [from:ACME] [to:336] [content:a.SMS-MT [uid:x]..]"},
		{"privacy", 0, "é\n", true, "[dlr:No] [from:ACME] [to:336] [content:** 3 byte content **]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.MessageKey {
					return a
				}
				return slog.Attr{}
			}}))
			m := &Message{UID: "u1", PDU: pdu.Message{Source: pdu.Address{Addr: "ACME"}, Dest: pdu.Address{Addr: "336"}, PriorityFlag: 2}, Report: Report{What: sms.ReportOf(tt.level)}}
			LogAccepted(log, m, Accepted{ID: "id-1", CID: "abc"}, logging.Content{Text: tt.text, Privacy: tt.privacy})
			want := `msg="SMS-MT [uid:u1] [cid:abc] [msgid:id-1] [prio:2] ` + tt.want + `"`
			if got := strings.TrimSuffix(out.String(), "\n"); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}
