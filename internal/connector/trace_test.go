package connector

import (
	"bytes"
	"encoding/hex"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestLogLevel10TracesPDUs(t *testing.T) {
	for _, tt := range []struct {
		name    string
		level   slog.Level
		privacy bool
		has     []string
		hasNot  []string
	}{
		{"at 10 with octets and text", slog.LevelDebug, false, []string{"pdu=bind_transceiver", "system_id=smppclient", "password=***",
			"dir=out pdu=submit_sm", "text=m1", hex.EncodeToString([]byte("m1")), "dir=in pdu=submit_sm_resp", "status=ESME_ROK", "smpp_msgid=id1", "from=1234 to=33612345678"},
			[]string{"s3cret", hex.EncodeToString([]byte("s3cret"))}},
		{"at 10 with logprivacy without the content", slog.LevelDebug, true, []string{"dir=out pdu=submit_sm", "2 byte content"},
			[]string{"text=m1", "02" + hex.EncodeToString([]byte("m1")), "s3cret"}},
		{"at 20 not", slog.LevelInfo, false, []string{"msg=bound"}, []string{"pdu=submit_sm"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log syncBuffer
			start(t, func(cfg *Config, d *Deps, m *smsc) {
				cfg.Connector.Password, cfg.Connector.LogPrivacy = "s3cret", tt.privacy
				d.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: tt.level}))
				m.answer = accept
			}, func(w *world) {
				w.b.put(message(t, "m1", 1, nil))
				synctest.Wait()
				w.shutdown()
			})
			for _, s := range tt.has {
				if !strings.Contains(log.String(), s) {
					t.Errorf("the log lacks %q:\n%s", s, log.String())
				}
			}
			for _, s := range tt.hasNot {
				if strings.Contains(log.String(), s) {
					t.Errorf("the log has %q:\n%s", s, log.String())
				}
			}
		})
	}
}
