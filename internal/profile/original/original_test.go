package original

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"jasmind/internal/provision"
)

// The folders of testdata have one profile in each protocol; 2 and 5 as the original wrote them, the
// others as Python made them of these. want.yaml has every field that has not its default.
func TestEveryFieldOfAProfileArrives(t *testing.T) {
	want, err := os.ReadFile("testdata/want.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for protocol := range 6 {
		t.Run(fmt.Sprintf("protocol %d", protocol), func(t *testing.T) {
			dir := filepath.Join("testdata", fmt.Sprintf("protocol%d", protocol))
			p, err := Read(dir, "jcli-prod")
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Document.Encode()
			if err != nil {
				t.Fatal(err)
			}
			got = bytes.ReplaceAll(got, []byte(dir+"/"), nil)
			if !bytes.Equal(got, want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			if len(p.Files) != 9 || len(p.Refused) != 0 {
				t.Errorf("files %q, refused %v", p.Files, p.Refused)
			}
			if want := []Remark{{"SMPP connector carrier-b", "ssl_verify is no: as before, the SMSC's certificate is not looked at"}}; !slices.Equal(p.Changed, want) {
				t.Errorf("changed: %v, want %v", p.Changed, want)
			}
			store := provision.NewStore()
			if err := store.Load(p.Document); err != nil {
				t.Fatal(err)
			}
			for name, password := range map[string]string{"alice": "s3cr3t-A", "bob": "p@ss bob", "carol": "carolpw"} {
				u, _ := store.Account(name)
				if u == nil || u.Password.String() != "md5" || !u.Password.Matches(password) || u.Password.Matches(password+"x") {
					t.Errorf("%s: %v", name, u)
				}
			}
		})
	}
}

func TestNamesAndFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"jcli-prod.filters", "test.one.router-users", "test.one.smppccs", ".filters", "jcli-prod.profile.yaml", "notes"} {
		write(t, dir, name, nil)
	}
	if got := Names(dir); !slices.Equal(got, []string{"jcli-prod", "test.one"}) {
		t.Errorf("profiles %q", got)
	}
	if got := Files(dir, "test.one"); !slices.Equal(got, []string{"test.one.router-users", "test.one.smppccs"}) {
		t.Errorf("files %q", got)
	}
	if _, err := Read(dir, "other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no profile: %v", err)
	}
}

// pyObject, pyCall and pyGlobal are what pickled writes beside Go's values.
type (
	pyObject struct {
		global string
		attrs  map[string]any
	}
	pyCall struct {
		global string
		args   []any
	}
	pyGlobal string
)

// pickled writes a file as the original does, in protocol 3.
func pickled(v any) []byte {
	return append([]byte("Persisted on Mon Nov 30 03:17:26 2026 [Jasmin 0.11.1]\n\x80\x03"), append(spelled(nil, v), '.')...)
}

func spelled(b []byte, v any) []byte {
	global := func(name string) []byte {
		module, class := name[:strings.LastIndexByte(name, '.')], name[strings.LastIndexByte(name, '.')+1:]
		return append(b, "c"+module+"\n"+class+"\n"...)
	}
	switch v := v.(type) {
	case nil:
		return append(b, 'N')
	case bool:
		if v {
			return append(b, 0x88)
		}
		return append(b, 0x89)
	case int:
		return append(b, fmt.Sprintf("I%d\n", v)...)
	case float64:
		return binary.BigEndian.AppendUint64(append(b, 'G'), math.Float64bits(v))
	case string:
		return append(binary.LittleEndian.AppendUint32(append(b, 'X'), uint32(len(v))), v...)
	case []byte:
		return append(append(b, 'C', byte(len(v))), v...)
	case []any:
		b = append(b, ']', '(')
		for _, e := range v {
			b = spelled(b, e)
		}
		return append(b, 'e')
	case map[string]any:
		b = append(b, '}', '(')
		for _, k := range slices.Sorted(maps.Keys(v)) {
			b = spelled(spelled(b, k), v[k])
		}
		return append(b, 'u')
	case map[int]any:
		b = append(b, '}', '(')
		for _, k := range slices.Sorted(maps.Keys(v)) {
			b = spelled(spelled(b, k), v[k])
		}
		return append(b, 'u')
	case pyGlobal:
		return global(string(v))
	case pyCall:
		b = append(global(v.global), '(')
		for _, a := range v.args {
			b = spelled(b, a)
		}
		return append(b, 't', 'R')
	case pyObject:
		b = append(global(v.global), ')', 0x81)
		return append(spelled(b, v.attrs), 'b')
	}
	panic(fmt.Sprintf("%T", v))
}

func write(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o400); err != nil {
		t.Fatal(err)
	}
}

func api(name string, attrs map[string]any) pyObject {
	return pyObject{"jasmin.routing.jasminApi." + name, attrs}
}

func regex(text string, flags int) pyCall { return pyCall{"re._compile", []any{text, flags}} }

func filterOf(name string, attrs map[string]any) pyObject {
	return pyObject{"jasmin.routing.Filters." + name, attrs}
}

var (
	group = api("Group", map[string]any{"gid": "g1"})
	md5ed = []byte("0123456789abcdef")
)

// user is a user of group g1 with these changes.
func user(uid string, changes map[string]any) pyObject {
	attrs := map[string]any{"uid": uid, "username": uid, "group": group, "password": md5ed, "enabled": true, "mt_credential": mtCred(nil), "smpps_credential": api("SmppsCredential", map[string]any{})}
	maps.Copy(attrs, changes)
	return api("User", attrs)
}

func mtCred(attrs map[string]any) pyObject { return api("MtMessagingCredential", attrs) }

func smpp(cid string, config map[string]any) map[string]any {
	return map[string]any{"id": cid, "config": pyObject{"jasmin.protocols.smpp.configs.SMPPClientConfig", config}, "service_status": 1}
}

func route(class string, attrs map[string]any) pyObject {
	return pyObject{"jasmin.routing.Routes." + class, attrs}
}

func table(class string, rows map[int]any) pyObject {
	list := []any{}
	for order, row := range rows {
		list = append(list, map[int]any{order: row})
	}
	module := "RoutingTables"
	if strings.Contains(class, "Interception") {
		module = "InterceptionTables"
	}
	return pyObject{"jasmin.routing." + module + "." + class, map[string]any{"table": list}}
}

// read reads a profile of files, which holds group g1 if it has no groups of its own.
func read(t *testing.T, files map[string]any) (p *Profile, content string) {
	t.Helper()
	dir := t.TempDir()
	for _, suffix := range suffixes {
		v, ok := files[suffix]
		switch {
		case ok:
		case suffix == ".router-groups":
			v = []any{group}
		case suffix == ".filters", suffix == ".httpccs":
			v = map[string]any{}
		case strings.HasSuffix(suffix, "routes"):
			v = table(strings.ToUpper(suffix[8:10])+"RoutingTable", nil)
		case strings.HasSuffix(suffix, "interceptors"):
			v = table(strings.ToUpper(suffix[8:10])+"InterceptionTable", nil)
		default:
			v = []any{}
		}
		write(t, dir, "p"+suffix, pickled(v))
	}
	p, err := Read(dir, "p")
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Document.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return p, strings.ReplaceAll(string(b), dir+"/", "")
}

// Whatever is wrong with one object, it is named, and the others are taken.
func TestWhatCannotBeTakenIsNamed(t *testing.T) {
	carrier := api("SmppClientConnector", map[string]any{"cid": "carrier"})
	for _, tt := range []struct {
		name         string
		files        map[string]any
		refused      []string
		without, has string // in what was taken
	}{
		{"a user without one of his limits could do what he may not", map[string]any{".router-users": []any{
			user("u1", map[string]any{"mt_credential": mtCred(map[string]any{"value_filters": map[string]any{"content": regex("a*+", 0)}})}), user("u2", nil),
		}}, []string{`user u1: mt_messaging_cred valuefilter content: invalid value "a*+": regular expression "a*+": possessive repetition is not supported (*+): an atomic group (?>...) can say the same`}, "u1", "u2"},
		{"a class that is not known", map[string]any{".router-users": []any{
			user("u1", map[string]any{"password": pyCall{"os.system", []any{"true"}}}), user("u2", nil),
		}}, []string{"file p.router-users: objects of class os.system are refused", "user u1: password: is no MD5 digest"}, "u1", "u2"},
		{"an attribute of what is no enumeration", map[string]any{".smppccs": []any{
			smpp("abc", map[string]any{"source_addr_ton": pyCall{"builtins.getattr", []any{pyGlobal("builtins.dict"), "clear"}}}), smpp("abd", nil),
		}}, []string{"SMPP connector abc: source_addr_ton: has a value that is not understood (getattr)"}, "abc", "abd"},
		{"a value of an enumeration that is not known", map[string]any{".smppccs": []any{
			smpp("abc", map[string]any{"source_addr_ton": pyCall{"builtins.getattr", []any{pyGlobal("smpp.pdu.pdu_types.AddrTon"), "LUNAR"}}}),
		}}, []string{"SMPP connector abc: source_addr_ton: AddrTon.LUNAR is not known"}, "abc", "g1"},
		{"several faults of one object", map[string]any{".smppccs": []any{smpp("abc", map[string]any{"port": 70000, "host": nil})}},
			[]string{"SMPP connector abc: host: is missing", `SMPP connector abc: port: invalid value "70000", must be a whole number from 1 to 65535`}, "abc", "g1"},
		{"a user of a group that is not there", map[string]any{".router-groups": []any{}, ".router-users": []any{user("u1", nil)}}, []string{"user u1: group g1 does not exist"}, "u1", ""},
		{"two users of one name", map[string]any{".router-users": []any{user("u1", nil), user("u2", map[string]any{"username": "u1"})}},
			[]string{"user u2: user u2: username u1 is that of user u1"}, "u2", "u1"},
		{"a route whose filter cannot be taken", map[string]any{".router-mtroutes": table("MTRoutingTable", map[int]any{
			10: route("StaticMTRoute", map[string]any{"connector": carrier, "rate": 0.0, "filters": []any{filterOf("SourceAddrFilter", map[string]any{"source_addr": regex("(", 0)})}}),
			20: route("StaticMTRoute", map[string]any{"connector": carrier, "rate": 0.5, "filters": []any{filterOf("TransparentFilter", map[string]any{})}}),
		}), ".smppccs": []any{smpp("carrier", nil)}}, []string{"MT route 10: filters: source_addr: regular expression \"(\": error parsing regexp: missing closing ): `(`"}, "10", "20"},
		{"a file that is something else", map[string]any{".router-mtroutes": []any{}, ".filters": []any{}, ".router-users": map[string]any{}},
			[]string{"file p.router-users: is no list", "file p.filters: is no dictionary", "file p.router-mtroutes: is no MTRoutingTable"}, "u1", "g1"},
		{"rows and elements that are something else", map[string]any{
			".router-mtroutes": pyObject{"jasmin.routing.RoutingTables.MTRoutingTable", map[string]any{"table": []any{1, map[int]any{5: "x"}, map[string]any{"a": group}}}},
			".router-users":    []any{1}, ".smppccs": []any{1, map[string]any{}}, ".filters": map[string]any{"f1": group}, ".httpccs": map[string]any{"h": 1},
		}, []string{"user: is no user", "filter f1: is no filter (Group)", "SMPP connector: is no dictionary", "SMPP connector: id: is missing", "HTTP connector: is no HTTP connector",
			"a row of p.router-mtroutes: is no dictionary", `MT route -1: unknown MT route type "Group", must be one of DefaultRoute, StaticMTRoute, RandomRoundrobinMTRoute, FailoverMTRoute, WeightedMTRoute, LeastCostMTRoute, BestQualityMTRoute`,
			"MT route 5: is none"}, "u1", "g1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, content := read(t, tt.files)
			var got []string
			for _, r := range p.Refused {
				got = append(got, r.String())
			}
			if !slices.Equal(got, tt.refused) {
				t.Errorf("refused:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(tt.refused, "\n"))
			}
			if strings.Contains(content, tt.without) || !strings.Contains(content, tt.has) {
				t.Errorf("taken:\n%s", content)
			}
		})
	}
}

func TestWhatIsTakenWithAnotherMeaningIsNamed(t *testing.T) {
	carrier := api("SmppClientConnector", map[string]any{"cid": "carrier"})
	http := api("HttpConnector", map[string]any{"cid": "crm", "baseurl": "http://127.0.0.1/old", "method": "get"})
	for _, tt := range []struct {
		name    string
		files   map[string]any
		changed []string
		has     string
	}{
		{"what arithmetic leaves of a balance is no change", map[string]any{".router-users": []any{
			user("u1", map[string]any{"mt_credential": mtCred(map[string]any{"quotas": map[string]any{"balance": 0.1 + 0.2, "submit_sm_count": 0}})}),
		}}, nil, "balance: 0.3\n        sms_count: 0"},
		{"more decimals than there are", map[string]any{".router-users": []any{
			user("u1", map[string]any{"mt_credential": mtCred(map[string]any{"quotas": map[string]any{"balance": 1.23456789}})}),
		}}, []string{"user u1: quotas balance: 1.23456789 is rounded to 1.234568"}, "balance: 1.234568"},
		{"keys without a meaning", map[string]any{
			".router-users": []any{user("u1", map[string]any{"mt_credential": mtCred(map[string]any{"quotas": map[string]any{"sheep": 1}}), "smpps_credential": nil})},
			".smppccs":      []any{smpp("abc", map[string]any{"service_type": "VMA", "id": "abc", "sheep": 1, "log_format": "%(message)s", "log_file": "//var/log/jasmin/default-abc.log", "reconnectOnConnectionLoss": 0})},
		}, []string{"user u1: mt_credential quotas sheep: has no meaning here", "user u1: smpps_credential: is missing, the defaults hold", "SMPP connector abc: log_format: has no meaning here",
			"SMPP connector abc: service_type: has no meaning here", "SMPP connector abc: sheep: has no meaning here"}, "cid: abc\n    con_loss_retry: no\n"},
		{"certificates", map[string]any{".smppccs": []any{smpp("abc", map[string]any{"useSSL": true, "SSLCertificateFile": "/etc/x.pem"})}},
			[]string{"SMPP connector abc: ssl_cert and ssl_key are /etc/x.pem: it must hold both", "SMPP connector abc: ssl_verify is no: as before, the SMSC's certificate is not looked at"},
			"ssl: yes\n    ssl_verify: no\n    ssl_cert: /etc/x.pem\n    ssl_key: /etc/x.pem\n"},
		{"flags that an expression does not name", map[string]any{".filters": map[string]any{
			"f1": filterOf("ShortMessageFilter", map[string]any{"short_message": regex("promo", 34)}), "f2": filterOf("ShortMessageFilter", map[string]any{"short_message": regex("(?i)promo", 34+16)}),
		}}, nil, "short_message: \"(?i)promo\"\n  - fid: f2\n    type: ShortMessageFilter\n    short_message: \"(?s)(?i)promo\"\n"},
		{"flags that only groups of an expression have", map[string]any{".filters": map[string]any{
			"f1": filterOf("ShortMessageFilter", map[string]any{"short_message": regex("(?!promise)pro", 34)}), "f2": filterOf("ShortMessageFilter", map[string]any{"short_message": regex("(?i:a)b", 34)}),
		}}, nil, "short_message: \"(?i)(?!promise)pro\"\n  - fid: f2\n    type: ShortMessageFilter\n    short_message: \"(?i)(?i:a)b\"\n"},
		{"authorizations by their oldest names", map[string]any{".router-users": []any{
			user("u1", map[string]any{"mt_credential": mtCred(map[string]any{"authorizations": map[string]any{"long_content": false, "set_dlr_method": false}})}),
		}}, nil, "http_dlr_method: False\n        http_long_content: False\n"},
		{"a route holds filters that are gone, and one that is there by another name", map[string]any{
			".smppccs": []any{smpp("carrier", nil)}, ".filters": map[string]any{"f1": filterOf("TagFilter", map[string]any{"tag": "vip"})},
			".router-mtroutes": table("MTRoutingTable", map[int]any{20: route("StaticMTRoute", map[string]any{"connector": carrier, "rate": 0.0, "filters": []any{
				filterOf("TagFilter", map[string]any{"tag": "vip"}), filterOf("EvalPyFilter", map[string]any{"pyCode": "result = True\n"}),
			}})}),
		}, []string{"MT route 20: its EvalPyFilter is not among the filters any more: it is now filter mt20.2"}, "filters: [f1, mt20.2]"},
		{"a route holds HTTP connectors that are gone or were changed", map[string]any{
			".httpccs": map[string]any{"old": api("HttpConnector", map[string]any{"cid": "new", "baseurl": "http://127.0.0.1/new", "method": "POST"})},
			".router-moroutes": table("MORoutingTable", map[int]any{
				0:  route("DefaultRoute", map[string]any{"connector": http}),
				20: route("StaticMORoute", map[string]any{"connector": api("HttpConnector", map[string]any{"cid": "new", "baseurl": "http://127.0.0.1/old", "method": "GET"}), "filters": []any{filterOf("TransparentFilter", map[string]any{})}}),
			}),
		}, []string{"HTTP connector crm: is not among the connectors any more, but MO route 0 leads to it: it is taken from there",
			"HTTP connector new: was GET http://127.0.0.1/old when MO route 20 was made: now the route leads to POST http://127.0.0.1/new",
			"MO route 20: its TransparentFilter is not among the filters any more: it is now filter mo20.1"}, `connector: "http(crm)"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, content := read(t, tt.files)
			var got []string
			for _, r := range p.Changed {
				got = append(got, r.String())
			}
			if !slices.Equal(got, tt.changed) || len(p.Refused) > 0 {
				t.Errorf("changed:\n%s\nwant:\n%s\nrefused: %v", strings.Join(got, "\n"), strings.Join(tt.changed, "\n"), p.Refused)
			}
			if !strings.Contains(content, tt.has) {
				t.Errorf("taken:\n%s", content)
			}
		})
	}
}

// A file that is missing is named; one that cannot be read is an error, which names it.
func TestFilesOfAProfileThatAreNotGood(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "p.router-groups", pickled([]any{group}))
	p, err := Read(dir, "p")
	if err != nil || len(p.Changed) != 8 || p.Changed[0].String() != "file p.router-users: is not there, though others of this profile are" {
		t.Errorf("%v, %v", p, err)
	}
	short := pickled([]any{})
	write(t, dir, "p.router-users", short[:len(short)-1])
	write(t, dir, "p.filters", []byte("fids\nN."))
	_, err = Read(dir, "p")
	for _, want := range []string{"p.router-users: the file ends early", "p.filters: does not begin with the line Persisted on ..."} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
