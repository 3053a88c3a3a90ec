package intercept

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
)

// published reads a script of the documentation as an operator would name it.
func published(t *testing.T, name string) *Script {
	t.Helper()
	path, err := filepath.Abs("testdata/documentation/" + name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseScript(context.Background(), "python3("+path+")")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDocumentationOverrideSender(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	v := run(t, p, published(t, "override_senderid.py"), mt())
	if v.Message.PDU.Source.Addr != "123456789" || v.Changed != 1<<ParamSource || v.Locked != 0 || v.Answered != nil {
		t.Errorf("got %+v", v)
	}
}

// The script has a doubled semicolon, which is no Python.
func TestDocumentationTONAndNPI(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	s := published(t, "ton_npi.py")
	if err := p.Check(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	m := mt()
	m.PDU.Source, m.PDU.Dest = pdu.Address{Addr: "ACME"}, pdu.Address{Addr: "33612345678"}
	v := run(t, p, s, m)
	if got, want := v.Message.PDU.Source, (pdu.Address{TON: 5, NPI: 1, Addr: "ACME"}); got != want {
		t.Errorf("source: got %+v, want %+v", got, want)
	}
	if got, want := v.Message.PDU.Dest, (pdu.Address{TON: 1, NPI: 1, Addr: "33612345678"}); got != want {
		t.Errorf("destination: got %+v, want %+v", got, want)
	}
	want := Params(1<<ParamSourceTON | 1<<ParamSourceNPI | 1<<ParamDestTON | 1<<ParamDestNPI)
	if v.Changed != want || v.Locked != want {
		t.Errorf("changed %s, locked %s, want %s", v.Changed, v.Locked, want)
	}
}

func TestDocumentationEnforceDLR(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	v := run(t, p, published(t, "enforce_dlr.py"), mt())
	if v.Message.PDU.RegisteredDelivery != 1 || v.Changed != 1<<ParamRegisteredDelivery {
		t.Errorf("got %d, changed %s", v.Message.PDU.RegisteredDelivery, v.Changed)
	}
}

func TestDocumentationLockParameter(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	v := run(t, p, published(t, "locking_pdu_param.py"), mt())
	if v.Message.PDU.SMDefaultMsgID != 10 || v.Locked != 1<<ParamDefaultMsgID || v.Changed != v.Locked {
		t.Errorf("got %+v", v)
	}
}

func TestDocumentationLogging(t *testing.T) {
	file := filepath.Join(t.TempDir(), "some_file.log")
	t.Setenv("STANDIN_LOG", file)
	p, log := newPool(t, Config{Workers: 1, Path: []string{standin(t)}, Environment: []string{"STANDIN_LOG"}})
	run(t, p, python(t, "import redirects"), mt()) // in the one worker
	if v := run(t, p, published(t, "logging.py"), mt()); v.Changed != 0 {
		t.Errorf("changed %s", v.Changed)
	}
	run(t, p, published(t, "logging.py"), mt()) // the handler is there already
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "INFO Got pdu: PDU [command: CommandId.submit_sm"); n != 2 || !strings.Contains(string(b), "destination_addr: b'33612345678'") {
		t.Errorf("the script's own file has %d records:\n%s", n, b)
	}
	log.wants(t, "level=INFO", "logger=logging-example", "Got pdu: PDU [command", "documentation/logging.py", "line=14")
}

func TestDocumentationHLRLookup(t *testing.T) {
	asked := make(chan string, 1)
	hlr := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		body, _ := io.ReadAll(r.Body)
		asked <- user + " " + password + " " + string(body)
		io.WriteString(w, `{"mnc": "214", "mcc": "03"}`)
	}))
	defer hlr.Close()
	t.Setenv("STANDIN_HLR", hlr.URL)
	p, _ := newPool(t, Config{Workers: 1, Path: []string{standin(t)}, Environment: []string{"STANDIN_HLR"}})
	v := run(t, p, published(t, "hlr_lookup.py"), mt())
	if want := []string{"first", "21403"}; !slices.Equal(v.Message.Tags, want) || v.Changed != 1<<ParamTags {
		t.Errorf("got tags %q, changed %s, want %q", v.Message.Tags, v.Changed, want)
	}
	if got, want := <-asked, `user ***** {"number": "33612345678"}`; got != want {
		t.Errorf("the service was asked %q, want %q", got, want)
	}
}

// As published, the script adds octets to a text when it reads the answer, and Python 3 refuses
// that: its own except clause answers ESME_RDELIVERYFAILURE. With that line corrected it charges.
func TestDocumentationMOCharging(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	type call struct {
		Method string
		Params []map[string]any
	}
	calls := make(chan call, 1)
	results := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var got call
			if err := json.NewDecoder(bufio.NewReader(c)).Decode(&got); err == nil {
				calls <- got
				io.WriteString(c, <-results)
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	t.Setenv("STANDIN_CGRATES", l.Addr().String())
	p, _ := newPool(t, Config{Workers: 1, Path: []string{standin(t)}, Environment: []string{"STANDIN_CGRATES"}})
	run(t, p, python(t, "import redirects"), mt()) // in the one worker

	original := published(t, "mo_charging.py")
	corrected := python(t, strings.Replace(original.Source(), "buffer = ''", "buffer = b''", 1))
	for _, tt := range []struct {
		name   string
		script *Script
		answer string
		ok     bool
	}{
		{"as published", original, `{"id": 1, "result": 10, "error": null}`, false},
		{"corrected, with credit", corrected, `{"id": 1, "result": 10, "error": null}`, true},
		{"corrected, without credit", corrected, `{"id": 1, "result": 0, "error": null}`, false},
		{"corrected, with an error", corrected, `{"id": 1, "result": null, "error": "no account"}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			results <- tt.answer
			v, err := p.Run(context.Background(), tt.script, mo())
			got := <-calls
			if got.Method != "ApierV2.GetMaxUsage" || len(got.Params) != 1 || got.Params[0]["Destination"] != "33612345678" ||
				got.Params[0]["ExtraFields"].(map[string]any)["Cli"] != "ACME" {
				t.Errorf("the service was asked %+v", got)
			}
			if tt.ok {
				if err != nil || v.Answered == nil {
					t.Errorf("got %+v, %v, want an answer of success", v, err)
				}
				return
			}
			var refused *sms.Error
			want := sms.StatusPair{HTTP: 520, SMPP: pdu.StatusDeliveryFailure}
			if !asError(err, &refused) || refused.Reason != sms.ReasonIntercepted || *refused.Override != want {
				t.Errorf("got %v, want a refusal with %+v", err, want)
			}
		})
	}
}

func TestDocumentationFilters(t *testing.T) {
	asked := filepath.Join(t.TempDir(), "asked")
	t.Setenv("STANDIN_MYSQL", asked)
	p, log := newPool(t, Config{Workers: 1, Path: []string{standin(t)}, Environment: []string{"STANDIN_MYSQL"}})
	special := mt()
	special.User.Username = "Evalpyusr2"
	tests := []struct {
		name   string
		script *Script
		m      *Message
		want   bool
	}{
		{"every user but one, another", python(t, "if routable.user.username == 'bar':\n    result = False\nelse:\n    result = True\n"), mt(), true},
		{"every user but one, that one", python(t, "if routable.user.username == 'foo':\n    result = False\nelse:\n    result = True\n"), mt(), false},
		{"connector, the same", python(t, "if routable.connector.cid == 'abc':\n    result = True\nelse:\n    result = False\n"), mo(), true},
		{"logging, another user", published(t, "logging_evalpyfilter.py"), mt(), true},
		{"logging, the user", published(t, "logging_evalpyfilter.py"), special, false},
		// Its finally clause blocks whatever the database says.
		{"database", published(t, "advanced_evalpyfilter.py"), mt(), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := p.Evaluate(context.Background(), tt.script, tt.m); got != tt.want || err != nil {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
	log.wants(t, "level=DEBUG", "logger=jasmin-router", "Inside evalpy-test.py", "line=5")
	log.wants(t, "level=INFO", "Routable's username is Evalpyusr2 !", "line=7")
	b, err := os.ReadFile(asked)
	if want := "SELECT COUNT(msisdn) FROM blacklisted_numbers WHERE msisdn = b'33612345678'\n"; string(b) != want {
		t.Errorf("the database was asked %q, %v, want %q", b, err, want)
	}
}

func standin(t *testing.T) string {
	path, err := filepath.Abs("testdata/standin")
	if err != nil {
		t.Fatal(err)
	}
	return path
}
