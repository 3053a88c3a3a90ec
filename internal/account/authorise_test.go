package account

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"jasmind/internal/sms"
)

func user(t testing.TB, credentials ...string) *User {
	t.Helper()
	u := &User{Username: "foo", UID: "u1", Credentials: DefaultCredentials()}
	for _, c := range credentials {
		f := strings.SplitN(c, " ", 4)
		if err := SetCredential(&u.Credentials, f[0], f[1], f[2], f[3]); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

// fullRequest sets all that a request can have, plainRequest what it must.
func fullRequest() *Request {
	given := func(s string) Param { return Param{Set: true, Value: s} }
	return &Request{To: "33612", From: given("JASMIN"), Priority: given("2"), Validity: given("60"), Content: func() string { return "hello\nworld" },
		Hex: true, Schedule: true, Level: true, Method: true, Long: true}
}

func plainRequest() *Request {
	return &Request{To: "33612", Priority: Param{Value: "0"}, Content: func() string { return "hello" }}
}

// Every key of the console has its row, and each row holds for the operations that it says, at both doors: whoever may not
// is refused if he asks for it, and only then.
func TestAuthoriseByTheTable(t *testing.T) {
	var keys, rows []string
	for i := range CredentialKeys {
		k := &CredentialKeys[i]
		if k.Cred == MTMessagingCred && (k.Section == SectionAuthorization && k.Name != "http_bulk" || k.Section == SectionValueFilter) {
			keys = append(keys, k.Section+" "+k.Name)
		}
	}
	type row struct {
		section, key, value string
		refusals            [operations]refusal
		always              bool // a plain request has it as well
		reason              sms.Reason
		text                string
	}
	var all []row
	for _, a := range authorizations {
		all = append(all, row{SectionAuthorization, a.key, "no", a.refusals, a.asked == nil, sms.ReasonAuthorization, "Authorization failed for %s [foo] (%s)."})
	}
	for _, f := range filters {
		all = append(all, row{SectionValueFilter, f.key, "^never$", f.refusals, f.key == "dst_addr" || f.key == "content", sms.ReasonValueFilter, "Value filter failed for %s [foo] (%s)."})
	}
	for _, r := range all {
		rows = append(rows, r.section+" "+r.key)
		u := user(t, strings.Join([]string{MTMessagingCred, r.section, r.key, r.value}, " "))
		for op := range operations {
			want := ""
			if refused := r.refusals[op]; refused.text != "" {
				noun := map[bool]string{false: "user", true: "username"}[op.smpp()]
				want = fmt.Sprintf("%s %s %s", r.reason, refused.field, fmt.Sprintf(r.text, noun, refused.text))
			}
			if got := outcome(u.Authorise(op, fullRequest())); got != want {
				t.Errorf("%s %s, %s: got %q, want %q", r.section, r.key, op, got, want)
			}
			// A PDU has a source and a priority whether they were set or not.
			always := r.always || r.section == SectionValueFilter && op.smpp() && (r.key == "src_addr" || r.key == "priority")
			if !always {
				want = ""
			}
			if got := outcome(u.Authorise(op, plainRequest())); got != want {
				t.Errorf("%s %s, %s without it: got %q, want %q", r.section, r.key, op, got, want)
			}
		}
	}
	slices.Sort(keys)
	slices.Sort(rows)
	if !slices.Equal(keys, rows) {
		t.Errorf("rows %q\nwant %q", rows, keys)
	}
	for op := range operations {
		if err := user(t).Authorise(op, fullRequest()); err != nil {
			t.Errorf("%s is refused by default: %v", op, err)
		}
	}
}

func outcome(err error) string {
	var e *sms.Error
	if !errors.As(err, &e) {
		return ""
	}
	return fmt.Sprintf("%s %s %s", e.Reason, e.Field, e.Detail)
}

func TestValueFiltersLookAtWhatLeaves(t *testing.T) {
	for _, tt := range []struct {
		name, credential string
		op               Operation
		edit             func(*Request)
		refused          bool
	}{
		{"the destination", "valuefilter dst_addr ^33", HTTPSend, nil, false},
		{"another destination", "valuefilter dst_addr ^44", HTTPSend, nil, true},
		{"a source that was not given, over HTTP", "valuefilter src_addr ^X", HTTPSend, nil, false},
		{"a source that was not given, over SMPP", "valuefilter src_addr ^X", SMPPSubmit, nil, true},
		{"a priority of 4", "valuefilter priority ^[0-3]$", SMPPSubmit, func(r *Request) { r.Priority = Param{true, "4"} }, true},
		{"a validity", "valuefilter validity_period ^6$", SMPPReplace, func(r *Request) { r.Validity = Param{true, "60"} }, true},
		{"text is looked at from its start", "valuefilter content ello", HTTPSend, nil, true},
		{"text of two lines", "valuefilter content hello", HTTPSend, func(r *Request) { r.Content = func() string { return "hello\nworld" } }, false},
		{"no text", "valuefilter content hello", HTTPSend, func(r *Request) { r.Content = nil }, false},
		{"a replacement leaves the addresses alone", "valuefilter dst_addr ^44", SMPPReplace, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := plainRequest()
			if tt.edit != nil {
				tt.edit(r)
			}
			if err := user(t, MTMessagingCred+" "+tt.credential).Authorise(tt.op, r); (err != nil) != tt.refused {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The default source address of the user is what leaves.
func TestDefaultSourceIsFiltered(t *testing.T) {
	u := user(t, "mt_messaging_cred valuefilter src_addr ^BANK$", "mt_messaging_cred defaultvalue src_addr BANK")
	for _, op := range []Operation{HTTPSend, SMPPSubmit} {
		if err := u.Authorise(op, plainRequest()); err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// The text is decoded for who has a filter only.
func TestContentIsReadForAFilterOnly(t *testing.T) {
	read := 0
	r := plainRequest()
	r.Content = func() string { read++; return "hello" }
	for want, u := range []*User{user(t), user(t, "mt_messaging_cred valuefilter content ^hello")} {
		if err := u.Authorise(SMPPSubmit, r); err != nil || read != want {
			t.Errorf("read %d times, want %d; %v", read, want, err)
		}
	}
}

func TestAuthoriseBind(t *testing.T) {
	for _, tt := range []struct {
		name, credential, from string
		bindings               int
		why, list              string
	}{
		{"by default", "smpps_cred authorization bind yes", "203.0.113.9", 99, "", ""},
		{"by default, without an address", "smpps_cred authorization bind yes", "", 0, "", ""},
		{"not at all", "smpps_cred authorization bind no", "203.0.113.9", 0, "not authorised to bind", ""},
		{"from the list", "smpps_cred authorization ip 192.0.2.0/24", "192.0.2.7", 0, "", ""},
		{"from elsewhere", "smpps_cred authorization ip 192.0.2.0/24", "203.0.113.9", 0, "address not allowed", "192.0.2.0/24"},
		{"from a peer without an address", "smpps_cred authorization ip 192.0.2.0/24", "", 0, "address not allowed", "192.0.2.0/24"},
		{"the last one", "smpps_cred quota max_bindings 2", "203.0.113.9", 1, "", ""},
		{"one too many", "smpps_cred quota max_bindings 2", "203.0.113.9", 2, "max_bindings reached", ""},
	} {
		from, _ := netip.ParseAddr(tt.from)
		if why, list := user(t, tt.credential).AuthoriseBind(from, tt.bindings); why != tt.why || list != tt.list {
			t.Errorf("%s: got %q %q, want %q %q", tt.name, why, list, tt.why, tt.list)
		}
	}
}

func TestThroughputIsThatOfTheDoor(t *testing.T) {
	u := user(t, "mt_messaging_cred quota http_throughput 5", "mt_messaging_cred quota smpps_throughput 7")
	if http, smpp := u.Throughput(sms.OriginHTTP), u.Throughput(sms.OriginSMPP); http.Value != 5 || smpp.Value != 7 {
		t.Errorf("got %+v and %+v", http, smpp)
	}
	if got := user(t).Throughput(sms.OriginHTTP); got.Set {
		t.Errorf("by default %+v", got)
	}
}

func TestSource(t *testing.T) {
	u := User{Credentials: DefaultCredentials()}
	if got := u.Source(Param{}); got != "" {
		t.Errorf("got %q", got)
	}
	u.MT.DefaultSource = "JASMIN"
	if got := u.Source(Param{}); got != "JASMIN" {
		t.Errorf("got %q", got)
	}
	if got := u.Source(Param{Set: true, Value: "1234"}); got != "1234" {
		t.Errorf("got %q", got)
	}
}

// The page has the table as it is here.
func TestConsolePageHasTheTable(t *testing.T) {
	page, err := os.ReadFile("../../docs/console.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{"| credential | /send | /rate | /balance | submit_sm | replace_sm |", "|---|---|---|---|---|---|"}
	line := func(section, key string, refusals [operations]refusal) {
		cells := []string{"`" + section + " " + key + "`"}
		for _, r := range refusals {
			switch {
			case r.field != "":
				cells = append(cells, "`"+r.field+"`")
			case r.text != "":
				cells = append(cells, "all")
			default:
				cells = append(cells, "-")
			}
		}
		lines = append(lines, "| "+strings.Join(cells, " | ")+" |")
	}
	for _, a := range authorizations {
		line(SectionAuthorization, a.key, a.refusals)
	}
	for _, f := range filters {
		line(SectionValueFilter, f.key, f.refusals)
	}
	if want := strings.Join(lines, "\n") + "\n"; !strings.Contains(string(page), want) {
		t.Errorf("docs/console.md lacks\n%s", want)
	}
}

func BenchmarkAuthorise(b *testing.B) {
	u := user(b)
	r := plainRequest()
	b.ReportAllocs()
	for b.Loop() {
		if err := u.Authorise(HTTPSend, r); err != nil {
			b.Fatal(err)
		}
	}
}
