package intercept

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"jasmind/internal/smpp/pdu"
)

// liar is a worker of the test: python3 that greets and then does as told.
func liar(t *testing.T, does string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python3")
	program := `#!/usr/bin/env python3
import os, json, time
def take():
    n = int.from_bytes(os.read(3, 4), 'big')
    b = b''
    while len(b) < n:
        b += os.read(3, n - len(b))
    return json.loads(b)
def frame(b):
    os.write(4, len(b).to_bytes(4, 'big') + b)
def say(**kw):
    frame(json.dumps(kw).encode())
take()
` + does
	if err := os.WriteFile(path, []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestALyingWorkerIsEnded(t *testing.T) {
	const greet = "say(ready='3.0')\n"
	for name, does := range map[string]string{
		"no JSON":                      greet + "take(); frame(b'{'); time.sleep(600)",
		"another number":               greet + "say(id=take()['id'] + 1); time.sleep(600)",
		"an endless frame":             greet + "take(); os.write(4, b'\\xff\\xff\\xff\\xff'); time.sleep(600)",
		"half a frame":                 greet + "take(); os.write(4, b'\\x00\\x00\\x00\\x09{')",
		"two answers":                  greet + "n = take()['id']; say(id=n + 7); say(id=n + 7); say(id=n + 7); time.sleep(600)",
		"greeting again":               greet + "take(); say(ready='4'); time.sleep(600)",
		"an answer before the call":    greet + "say(id=0); take(); time.sleep(600)",
		"an octet that is none":        greet + "say(id=take()['id'], params={'source_addr': {'b': '\\u0100'}}); time.sleep(600)",
		"a value of no kind":           greet + "say(id=take()['id'], params={'source_addr': {}}); time.sleep(600)",
		"a parameter that is none":     greet + "say(id=take()['id'], params={'x': 1}); time.sleep(600)",
		"a type that is none":          greet + "say(id=take()['id'], params={'source_addr': 1}); time.sleep(600)",
		"a custom TLV of three fields": greet + "say(id=take()['id'], custom=[[1, None, None]]); time.sleep(600)",
		"a custom TLV that is huge":    greet + "say(id=take()['id'], custom=[[1 << 16, None, None, 1]]); time.sleep(600)",
		"a tag without end":            greet + "say(id=take()['id'], tags=['x' * 300]); time.sleep(600)",
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := newPool(t, Config{Python: liar(t, does), Workers: 1})
			wantFailure(t, p, python(t, "pass"), mt())
			p.Close()
		})
	}
}

func TestAWorkerThatGreetsWithNonsense(t *testing.T) {
	p, log := newPool(t, Config{Python: liar(t, "say(id=1); time.sleep(600)")})
	if err := p.Check(context.Background(), python(t, "pass")); err == nil {
		t.Error("want an error")
	}
	log.wants(t, "interceptor worker broke the protocol", "an answer without a request")
}

// An answer that lies is an error, never a panic, and never a message that cannot be sent.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		`{"id":1,"params":{"source_addr":{"b":"\u00ff"},"short_message":{"s":"é"},"priority_flag":3,"validity_period":null}}`,
		`{"id":1,"params":{"message_payload":{"b":"x"},"sar_msg_ref_num":65535},"tags":["a"],"locks":["source_addr","x"]}`,
		`{"id":1,"custom":[[5120,null,"Int8",18446744073709551615],[5121,4,null,{"b":"a"}],[1,2,"x","y"]]}`,
		`{"id":1,"smpp":0,"http":null,"message_id":"x"}`, `{"id":1,"smpp":"x","http":99999999999999}`,
		`{"log":{"level":10,"logger":"x","text":"y","line":1}}`, `{"ready":"3.11"}`, `{"id":1,"error":{"type":"E","text":"t","line":-5}}`, `null`, `[]`,
	} {
		f.Add([]byte(s))
	}
	s := &Script{kind: Python, origin: "/x.py"}
	f.Fuzz(func(t *testing.T, data []byte) {
		var buf []byte
		in := append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...)
		fr, err := readFrame(bytes.NewReader(in), &buf)
		if err != nil {
			return
		}
		if fr.Error != nil {
			_ = Failed(s.String(), fr.Error).Error()
		}
		if fr.SMPP.set || fr.HTTP.set {
			if _, err := decide(s, fr.SMPP, fr.HTTP, fr.MessageID); err != nil {
				_ = err.Error()
			}
		}
		m := mt().clone()
		if _, _, err := fr.apply(&m); err != nil {
			return
		}
		for _, c := range m.CustomTLVs {
			_, _ = c.Encode()
		}
		if len(m.PDU.ShortMessage) > MaxContent || len(m.Tags) > maxTags || len(m.CustomTLVs) > maxCustom {
			t.Fatalf("%s passed the bounds", data)
		}
		m.PDU.ShortMessage = nil
		if _, err := pdu.Append(nil, pdu.StatusOK, 1, &pdu.SubmitSM{Message: m.PDU}); err != nil {
			t.Fatalf("%s left a message that cannot be sent: %v", data, err)
		}
		if _, err := json.Marshal(encodeMessage(&m)); err != nil {
			t.Fatalf("%s left a message that no worker can be given: %v", data, err)
		}
	})
}
