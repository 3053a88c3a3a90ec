package provision

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jasmind/internal/routing"
	"jasmind/internal/smpp/pdu"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

var update = flag.Bool("update", false, "rewrite the expected faults under testdata/provision/bad")

const testdata = "../../testdata/provision"

func mustParse(t testing.TB, text string) *Document {
	t.Helper()
	doc, err := Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestGoodFilesAreAccepted(t *testing.T) {
	files, err := filepath.Glob(testdata + "/good/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, file := range files {
		if err := NewStore().ApplyFile(file); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Beside each bad file stands what is wrong with it, fault by fault.
func TestEveryFaultOfABadFileIsNamed(t *testing.T) {
	files, err := filepath.Glob(testdata + "/bad/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := Parse(filepath.Base(file), content)
		if err == nil {
			t.Errorf("%s is accepted: %s", file, doc)
			continue
		}
		var faults Faults
		if !errors.As(err, &faults) {
			t.Errorf("%s: %T, want Faults", file, err)
		}
		got := err.Error() + "\n"
		golden := strings.TrimSuffix(file, ".yaml") + ".faults"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
		if strings.Contains(got, "0123456789abcdefg") {
			t.Errorf("%s: the faults tell a password", file)
		}
	}
}

func TestEveryKeyReachesItsField(t *testing.T) {
	doc, err := ParseFile(testdata + "/good/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := doc.smppcs["smpp-01"]
	want := smppc.Config{
		CID: "smpp-01", Host: "10.10.1.2", Port: 2776, SSL: true, Username: "smppuser", Password: "p: #x", Bind: pdu.Transmitter,
		BindTON: 1, BindNPI: 0, AddressRange: "^33", BindTimeout: 5 * time.Second, Inactivity: time.Minute, ResponseTimeout: 1500 * time.Millisecond,
		PDUReadTimeout: 3 * time.Second, EnquireLink: 15 * time.Second, ConLossDelay: time.Second, ConFailRetry: true, ConFailDelay: 2 * time.Second,
		SourceTON: 5, Validity: time.Hour, Priority: 1, Coding: pdu.CodingUCS2, ReplaceIfPresent: 1, SubmitThroughput: 0.5,
		RequeueDelay: 30 * time.Second, DLRExpiry: 48 * time.Hour, DLRMsgID: "auto", Window: 100, Binds: 2, MaxQueue: 50000,
		StrictOrder: true, DLRCID: "second", InterfaceVersion: 0x50, SSLVerify: false, SSLCA: "/etc/ssl/smsc-ca.pem", SSLServerName: "smsc.example",
		SSLCert: "/etc/ssl/client.pem", SSLKey: "/etc/ssl/client.key", Outbind: "0.0.0.0:2777", OutbindSystemID: "SMSC", OutbindPassword: "secret",
		LogFile: "/tmp/smpp-01.log", LogRotate: "D", LogLevel: 10,
		CustomTLVs: smppc.TLVRules{{Tag: 0x1400, Type: "Int4", MaxLength: 4, Required: true}, {Tag: 0x1401, Type: "COctetString"}},
	}
	if !c.Equal(want) || c.Started {
		t.Errorf("connector:\ngot  %+v\nwant %+v", *c, want)
	}
	if c := doc.smppcs["second"]; !c.Equal(smppc.Default("second")) || !c.Started {
		t.Errorf("a connector of a cid alone: %+v", c)
	}
	for uid, enabled := range map[sms.UserID]bool{"u1": true, "u2": true, "u3": false, "u4": true} {
		if u := doc.users[uid]; u == nil || u.Enabled != enabled {
			t.Errorf("user %s: %+v", uid, u)
		}
	}
	schemes := ""
	for _, uid := range []sms.UserID{"u1", "u2", "u3", "u4"} {
		schemes += doc.users[uid].Password.String() + " "
	}
	if schemes != "declared md5 argon2id declared " {
		t.Errorf("passwords: %s", schemes)
	}
	if u := doc.users["u4"]; u.Username != "007" || doc.passwords["u4"] != "0123" || u.GID != "g-3_x" {
		t.Errorf("numbers are not kept as they are written: %+v", u)
	}
	for gid, enabled := range map[sms.GroupID]bool{"G1": true, "G2": false, "g-3_x": false} {
		if g := doc.groups[gid]; g == nil || g.Enabled != enabled {
			t.Errorf("group %s: %+v", gid, g)
		}
	}
	if h := doc.httpcs["http_1"]; *h != (HTTPConnector{CID: "http_1", URL: "http://127.0.0.1:8080/mo?x=1", Method: "GET"}) {
		t.Errorf("HTTP connector: %+v", h)
	}
	for fid, want := range map[string]string{
		"all": "TransparentFilter ", "from": "ConnectorFilter smpp-01", "user": "UserFilter u1", "group": "GroupFilter G2", "From20*": `SourceAddrFilter ^20\d+`,
		"France": `DestinationAddrFilter ^\+33\d+`, "hello": "ShortMessageFilter ^hello.*$", "summer": "DateIntervalFilter 2015-06-01;2015-08-31",
		"night": "TimeIntervalFilter 22:00:00;06:00:00", "tagged": "TagFilter 21401",
	} {
		if f := doc.filters[fid]; f == nil || f.Type().String()+" "+f.Value() != want {
			t.Errorf("filter %s: %+v, want %s", fid, f, want)
		}
	}
	first, second := routing.Connector{Kind: routing.SMPPClient, ID: "smpp-01"}, routing.Connector{Kind: routing.SMPPClient, ID: "second"}
	foo, http1, http2 := routing.Connector{Kind: routing.SMPPServer, ID: "foo"}, routing.Connector{Kind: routing.HTTPClient, ID: "http_1"}, routing.Connector{Kind: routing.HTTPClient, ID: "http_2"}
	for _, tt := range []struct {
		routes map[int]*Route
		want   []Route
	}{
		{doc.mt, []Route{
			{Order: 0, Type: routing.DefaultRoute, Connectors: []routing.Connector{second}},
			{Order: 10, Type: routing.StaticMTRoute, Filters: []string{"France", "user"}, Connectors: []routing.Connector{first}, Rate: 350_000},
			{Order: 20, Type: routing.RandomRoundrobinMTRoute, Filters: []string{"group", "night"}, Connectors: []routing.Connector{first, second}, Rate: 1_500_000},
			{Order: 30, Type: routing.FailoverMTRoute, Filters: []string{"all"}, Connectors: []routing.Connector{first, second}, Rate: 0},
		}},
		{doc.mo, []Route{
			{Order: 0, Type: routing.DefaultRoute, Filters: nil, Connectors: []routing.Connector{http1}, Rate: 0},
			{Order: 10, Type: routing.StaticMORoute, Filters: []string{"from"}, Connectors: []routing.Connector{foo}, Rate: 0},
			{Order: 20, Type: routing.RandomRoundrobinMORoute, Filters: []string{"summer", "hello"}, Connectors: []routing.Connector{http1, foo}, Rate: 0},
			{Order: 30, Type: routing.FailoverMORoute, Filters: []string{"From20*", "tagged"}, Connectors: []routing.Connector{http1, http2}, Rate: 0},
		}},
	} {
		if len(tt.routes) != len(tt.want) {
			t.Errorf("%d routes, want %d", len(tt.routes), len(tt.want))
		}
		for _, want := range tt.want {
			if got := tt.routes[want.Order]; got == nil || !got.equal(want) {
				t.Errorf("route: got %+v, want %+v", got, want)
			}
		}
	}
	if got := doc.String(); got != "3 groups, 4 users, 10 filters, 2 SMPP connectors, 2 HTTP connectors, 4 MT routes, 4 MO routes, 0 MT interceptors, 0 MO interceptors" {
		t.Errorf("got %s", got)
	}
}

// The example in docs/provisioning.md is complete: it names every parameter of a connector.
func TestDocumentedExampleIsAccepted(t *testing.T) {
	content, err := os.ReadFile("../../docs/provisioning.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(content), "```yaml\n")
	example, _, ok2 := strings.Cut(rest, "```\n")
	if !ok || !ok2 {
		t.Fatal("no ```yaml example in docs/provisioning.md")
	}
	doc, err := Parse("provisioning.md", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if err := NewStore().ApplyDocument(doc); err != nil {
		t.Error(err)
	}
	for i := range smppc.Keys {
		if !strings.Contains(example, "    "+smppc.Keys[i].Name+":") && !strings.Contains(example, "  - "+smppc.Keys[i].Name+":") {
			t.Errorf("the example does not name %s", smppc.Keys[i].Name)
		}
	}
	for _, typ := range routing.FilterTypes() {
		if !strings.Contains(example, typ.String()) {
			t.Errorf("the example has no %s", typ)
		}
	}
	for _, d := range []routing.Direction{routing.MT, routing.MO} {
		for _, typ := range routing.RouteTypes(d) {
			if !strings.Contains(example, typ.String()) {
				t.Errorf("the example has no %s", typ)
			}
		}
	}
}

func TestFilesThatCannotBeReadAreNamed(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	if _, err := ParseFile(missing); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("got %v", err)
	}
	if _, err := ParseFile(t.TempDir()); err == nil {
		t.Error("a folder is accepted")
	}
}

func TestManyFaultsAreCutShort(t *testing.T) {
	_, err := Parse("x.yaml", []byte("groups:\n"+strings.Repeat("  - {}\n", 1000)))
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 1000 {
		t.Fatalf("got %d faults", len(faults))
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 201 || lines[0] != "x.yaml:2: groups: gid: is missing" || lines[200] != "and 800 more faults" {
		t.Errorf("%d lines, first %q, last %q", len(lines), lines[0], lines[len(lines)-1])
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"/good/*.yaml", "/bad/*.yaml"} {
		files, _ := filepath.Glob(testdata + pattern)
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		doc, err := Parse("x.yaml", content)
		if err != nil {
			var faults Faults
			if !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("got %T %v, want Faults", err, err)
			}
			return
		}
		if err := NewStore().ApplyDocument(doc); err != nil {
			t.Fatalf("accepted alone, refused by an empty store: %v", err)
		}
	})
}

// A file with 10,000 users, as a gateway with many customers has it.
func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	text.WriteString("groups:\n  - {gid: G1}\nusers:\n")
	for i := range 10_000 {
		fmt.Fprintf(&text, "  - {uid: u%d, username: n%d, password: secret%d, gid: G1}\n", i, i, i)
	}
	b.ReportAllocs()
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		if _, err := Parse("x.yaml", []byte(text.String())); err != nil {
			b.Fatal(err)
		}
	}
}
