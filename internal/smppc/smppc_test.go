package smppc

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"jasmind/internal/smpp/pdu"
	"jasmind/internal/sms"
	"jasmind/internal/smstext"
)

// The sample of the documentation, smppccm -s Demo, with the table's default where the
// two disagree (elink_interval), and the parameters that the sample leaves out.
const shownDemo = `ripf 0
con_fail_delay 10
dlr_expiry 86400
coding 0
submit_throughput 1
elink_interval 30
bind_to 30
port 2775
con_fail_retry yes
password password
src_addr None
bind_npi 1
addr_range None
dst_ton 1
res_to 60
def_msg_id 0
priority 0
con_loss_retry yes
username smppclient
dst_npi 1
validity None
requeue_delay 120
host 127.0.0.1
src_npi 1
trx_to 300
logfile /var/log/jasmin/default-Demo.log
systype 
cid Demo
loglevel 20
bind transceiver
proto_id None
con_loss_delay 10
bind_ton 0
pdu_red_to 10
src_ton 2
logrotate midnight
logprivacy no
ssl no
dlr_msgid 0
custom_tlvs none
window 10
binds 1
max_queue 0
language none
strict_order no
dlr_cid None
interface_version 3.4
ssl_verify yes
ssl_ca None
ssl_server_name None
ssl_cert None
ssl_key None
outbind None
outbind_system_id None
outbind_password None
`

func shown(c Config) string {
	var b strings.Builder
	for i := range Keys {
		fmt.Fprintf(&b, "%s %s\n", Keys[i].Name, Keys[i].Format(c))
	}
	return b.String()
}

func TestDefaultIsShownAsDocumented(t *testing.T) {
	c := Default("Demo")
	if got := shown(c); got != shownDemo {
		t.Errorf("got\n%s\nwant\n%s", got, shownDemo)
	}
	if err := c.Validate(); err != nil {
		t.Errorf("the default is refused: %v", err)
	}
}

func TestSetChangesExactlyItsField(t *testing.T) {
	for _, tt := range []struct {
		key, value, format string // format "": as value
		want               func(*Config)
	}{
		{"cid", "New_cid-1", "", func(c *Config) { c.CID, c.LogFile = "New_cid-1", "/var/log/jasmin/default-New_cid-1.log" }},
		{"host", "smsc.example.org", "", func(c *Config) { c.Host = "smsc.example.org" }},
		{"port", "65535", "", func(c *Config) { c.Port = 65535 }},
		{"ssl", "yes", "", func(c *Config) { c.SSL = true }},
		{"username", "", "", func(c *Config) { c.Username = "" }},
		{"password", "0123456789abcdef", "", func(c *Config) { c.Password = "0123456789abcdef" }},
		{"bind", "receiver", "", func(c *Config) { c.Bind = pdu.Receiver }},
		{"bind", "transmitter", "", func(c *Config) { c.Bind = pdu.Transmitter }},
		{"systype", "VMS", "", func(c *Config) { c.SystemType = "VMS" }},
		{"bind_ton", "6", "", func(c *Config) { c.BindTON = 6 }},
		{"bind_npi", "18", "", func(c *Config) { c.BindNPI = 18 }},
		{"addr_range", "^33", "", func(c *Config) { c.AddressRange = "^33" }},
		{"bind_to", "0.5", "", func(c *Config) { c.BindTimeout = 500 * time.Millisecond }},
		{"trx_to", "0", "", func(c *Config) { c.Inactivity = 0 }},
		{"res_to", "1.25", "", func(c *Config) { c.ResponseTimeout = 1250 * time.Millisecond }},
		{"pdu_red_to", "3", "", func(c *Config) { c.PDUReadTimeout = 3 * time.Second }},
		{"elink_interval", "45.000", "45", func(c *Config) { c.EnquireLink = 45 * time.Second }},
		{"con_loss_retry", "no", "", func(c *Config) { c.ConLossRetry = false }},
		{"con_loss_delay", "1", "", func(c *Config) { c.ConLossDelay = time.Second }},
		{"con_fail_retry", "no", "", func(c *Config) { c.ConFailRetry = false }},
		{"con_fail_delay", "2", "", func(c *Config) { c.ConFailDelay = 2 * time.Second }},
		{"src_addr", "JASMIN", "", func(c *Config) { c.SourceAddr = "JASMIN" }},
		{"src_ton", "5", "", func(c *Config) { c.SourceTON = 5 }},
		{"src_npi", "0", "", func(c *Config) { c.SourceNPI = 0 }},
		{"dst_ton", "0", "", func(c *Config) { c.DestTON = 0 }},
		{"dst_npi", "3", "", func(c *Config) { c.DestNPI = 3 }},
		{"validity", "3600", "", func(c *Config) { c.Validity = time.Hour }},
		{"priority", "3", "", func(c *Config) { c.Priority = 3 }},
		{"proto_id", "0", "", func(c *Config) { c.ProtocolIDSet = true }},
		{"proto_id", "64", "", func(c *Config) { c.ProtocolID, c.ProtocolIDSet = 64, true }},
		{"coding", "auto", "", func(c *Config) { c.AutoCoding = true }},
		{"language", "none", "", func(*Config) {}},
		{"language", "Turkish", "turkish", func(c *Config) { c.Language.Language = smstext.Turkish }},
		{"language", "pt:LOCKING", "portuguese:locking", func(c *Config) {
			c.Language = smstext.National{Language: smstext.Portuguese, Shift: smstext.ShiftLocking}
		}},
		{"coding", "14", "", func(c *Config) { c.Coding = pdu.CodingKSC5601 }},
		{"def_msg_id", "254", "", func(c *Config) { c.DefaultMsgID = 254 }},
		{"ripf", "1", "", func(c *Config) { c.ReplaceIfPresent = 1 }},
		{"submit_throughput", "0", "", func(c *Config) { c.SubmitThroughput = 0 }},
		{"submit_throughput", "0.20", "0.2", func(c *Config) { c.SubmitThroughput = 0.2 }},
		{"submit_throughput", "110", "", func(c *Config) { c.SubmitThroughput = 110 }},
		{"requeue_delay", "30", "", func(c *Config) { c.RequeueDelay = 30 * time.Second }},
		{"dlr_expiry", "172800", "", func(c *Config) { c.DLRExpiry = 48 * time.Hour }},
		{"dlr_msgid", "auto", "", func(c *Config) { c.DLRMsgID = "auto" }},
		{"dlr_msgid", "2", "", func(c *Config) { c.DLRMsgID = "2" }},
		{"window", "1000", "", func(c *Config) { c.Window = 1000 }},
		{"binds", "2", "", func(c *Config) { c.Binds = 2 }},
		{"max_queue", "50000", "", func(c *Config) { c.MaxQueue = 50000 }},
		{"strict_order", "yes", "", func(c *Config) { c.StrictOrder = true }},
		{"dlr_cid", "other-1", "", func(c *Config) { c.DLRCID = "other-1" }},
		{"dlr_cid", "none", "None", func(c *Config) {}},
		{"interface_version", "5.0", "", func(c *Config) { c.InterfaceVersion = 0x50 }},
		{"interface_version", "3.3", "", func(c *Config) { c.InterfaceVersion = 0x33 }},
		{"ssl_verify", "no", "", func(c *Config) { c.SSLVerify = false }},
		{"ssl_ca", "/etc/ssl/operator.pem", "", func(c *Config) { c.SSLCA = "/etc/ssl/operator.pem" }},
		{"ssl_server_name", "smsc.example", "", func(c *Config) { c.SSLServerName = "smsc.example" }},
		{"ssl_cert", "c.pem", "", func(c *Config) { c.SSLCert = "c.pem" }},
		{"ssl_key", "k.pem", "", func(c *Config) { c.SSLKey = "k.pem" }},
		{"outbind", "0.0.0.0:2777", "", func(c *Config) { c.Outbind = "0.0.0.0:2777" }},
		{"outbind", ":0", "", func(c *Config) { c.Outbind = ":0" }},
		{"outbind", "[::1]:2777", "", func(c *Config) { c.Outbind = "[::1]:2777" }},
		{"outbind_system_id", "SMSC", "", func(c *Config) { c.OutbindSystemID = "SMSC" }},
		{"outbind_password", "secret", "", func(c *Config) { c.OutbindPassword = "secret" }},
		{"logfile", "/tmp/x.log", "", func(c *Config) { c.LogFile = "/tmp/x.log" }},
		{"logrotate", "W6", "", func(c *Config) { c.LogRotate = "W6" }},
		{"loglevel", "10", "", func(c *Config) { c.LogLevel = 10 }},
		{"logprivacy", "yes", "", func(c *Config) { c.LogPrivacy = true }},
		{"custom_tlvs", "none", "", func(*Config) {}},
		{"custom_tlvs", "5120,Int4,4", "0x1400,Int4,4,optional", func(c *Config) { c.CustomTLVs = TLVRules{{0x1400, "Int4", 4, false}} }},
		{"custom_tlvs", " 0x3fff , COctetString , - , Required ;0x1401,OctetString,,;", "0x3FFF,COctetString,-,required;0x1401,OctetString,-,optional",
			func(c *Config) {
				c.CustomTLVs = TLVRules{{0x3FFF, "COctetString", 0, true}, {0x1401, "OctetString", 0, false}}
			}},
	} {
		t.Run(tt.key+" "+tt.value, func(t *testing.T) {
			got, want := Default("Demo"), Default("Demo")
			tt.want(&want)
			if err := Set(&got, tt.key, tt.value); err != nil {
				t.Fatal(err)
			}
			if !got.Equal(want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
			if tt.format == "" {
				tt.format = tt.value
			}
			if s := Lookup(tt.key).Format(got); s != tt.format {
				t.Errorf("printed as %q, want %q", s, tt.format)
			}
			if err := got.Validate(); err != nil {
				t.Errorf("Validate: %v", err)
			}
		})
	}
}

func TestNoneUndefinesOptionalParameters(t *testing.T) {
	c := Default("Demo")
	for k, v := range map[string]string{"src_addr": "1234", "addr_range": "^3", "validity": "60", "proto_id": "1", "systype": "VMS"} {
		if err := Set(&c, k, v); err != nil {
			t.Fatal(err)
		}
		for _, spelled := range []string{"None", "none", "NONE"} {
			d := c
			if err := Set(&d, k, spelled); err != nil {
				t.Errorf("%s %s: %v", k, spelled, err)
			}
			if got, want := Lookup(k).Format(d), Lookup(k).Format(Default("Demo")); got != want {
				t.Errorf("%s %s is printed %q, want %q", k, spelled, got, want)
			}
		}
	}
}

func TestSetRefusesAndLeavesTheConfigurationAlone(t *testing.T) {
	bad := map[string][]string{
		"cid": {"", "ab", "a b c", "abcdefghijklmnopqrstuvwxyz", "é12", "None()"}, "host": {"", "a b", "x/y", strings.Repeat("h", 256)},
		"port": {"0", "65536", "-1", "+1", "abc", "", "2775.0", "99999999999999999999"},
		"ssl":  {"true", "Yes", "", "1"}, "username": {"0123456789abcdef", "a\x00b", "a\nb"}, "password": {"0123456789abcdefg", "\x7f"},
		"bind": {"Transceiver", "none", ""}, "systype": {"0123456789abc"}, "bind_ton": {"7", "-1", ""}, "bind_npi": {"2", "5", "None"},
		"addr_range": {strings.Repeat("1", 41)}, "bind_to": {"0", "-1", "abc", "", "1e3", "inf", "NaN", "0.0001", ".5", "5.", "9999999999999"},
		"res_to": {"0"}, "pdu_red_to": {"0"}, "con_loss_retry": {"maybe"}, "con_loss_delay": {"-1"}, "con_fail_retry": {""}, "con_fail_delay": {"none"},
		"src_addr": {strings.Repeat("1", 21)}, "src_ton": {"x"}, "src_npi": {"11"}, "dst_ton": {"07x"}, "dst_npi": {"256"},
		"validity": {"0", "-5"}, "priority": {"4", "-1"}, "proto_id": {"256", "x"}, "coding": {"11", "12", "15", "0x08", "Auto"}, "language": {"", "klingon", "tr:", "tr:all", "es:both", "none:single", ":single"},
		"def_msg_id": {"255"}, "ripf": {"2", "yes"}, "submit_throughput": {"-1", "inf", "abc", "1e2", "1000001"},
		"custom_tlvs": {"", "0x1400,Int3,4", "0x1400,Int4,4;0x1400,Int4,4"}, "requeue_delay": {"x"}, "dlr_expiry": {"0"}, "dlr_msgid": {"3", "Auto", ""}, "window": {"0", "1001"}, "binds": {"0", "101"},
		"max_queue": {"-1"}, "strict_order": {"true"}, "dlr_cid": {"x", "a b c"}, "interface_version": {"4.0", "0x34", ""},
		"ssl_verify": {"maybe"}, "ssl_ca": {"a\x00b"}, "ssl_server_name": {strings.Repeat("a", 256)}, "ssl_cert": {"\n"}, "ssl_key": {"\n"},
		"outbind": {"2777", "host", "host:", "host:70000", "host:http", "a b:1"}, "outbind_system_id": {strings.Repeat("a", 16)},
		"outbind_password": {strings.Repeat("secret", 3)}, "logfile": {""}, "logrotate": {"W7", "Midnight"}, "loglevel": {"15", "INFO"}, "logprivacy": {"True"},
		"trx_to": {"-0"}, "elink_interval": {"1,5"},
	}
	for i := range Keys {
		if len(bad[Keys[i].Name]) == 0 {
			t.Errorf("no refused value is tried for %s", Keys[i].Name)
		}
	}
	for key, values := range bad {
		for _, v := range values {
			c := Default("Demo")
			err := Set(&c, key, v)
			var ve *ValueError
			if !errors.As(err, &ve) {
				t.Errorf("%s %q: got error %v, want a ValueError", key, v, err)
				continue
			}
			if Lookup(key).Secret {
				if strings.Contains(err.Error(), v) {
					t.Errorf("the error tells the password: %v", err)
				}
			} else if ve.Key != key || ve.Value != v || !strings.Contains(err.Error(), fmt.Sprintf("%s: invalid value %q", key, v)) {
				t.Errorf("%s %q: the error does not name both: %v", key, v, err)
			}
			if !c.Equal(Default("Demo")) {
				t.Errorf("%s %q: changed the configuration: %+v", key, v, c)
			}
		}
	}
	c := Default("Demo")
	if err := Set(&c, "nope", "1"); !errors.Is(err, ErrUnknownKey) || !strings.Contains(err.Error(), `"nope"`) {
		t.Errorf("unknown key: %v", err)
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	c := Default("x")
	c.Port, c.Window, c.ResponseTimeout, c.Coding = 0, 5000, time.Microsecond, 99
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	want := []string{
		`coding: invalid value "99", must be one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, or auto`,
		`port: invalid value "0", must be a whole number from 1 to 65535`,
		`res_to: invalid value "0.000001", must be seconds, with up to 3 decimals, at least 0.001`,
		`cid: invalid value "x", must be 3 to 25 characters of A-Z, a-z, 0-9, _ and -`,
		`window: invalid value "5000", must be a whole number from 1 to 1000`,
	}
	if got := strings.Split(err.Error(), "\n"); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRestartIsNeededForTheDocumentedParameters(t *testing.T) {
	var restart, rebind []string
	for i := range Keys {
		if Keys[i].NeedsRestart {
			restart = append(restart, Keys[i].Name)
		}
		if Keys[i].NeedsRebind {
			rebind = append(rebind, Keys[i].Name)
		}
	}
	if got, want := strings.Join(restart, " "), "port password username host logfile systype loglevel"; got != want {
		t.Errorf("restart: got %s, want %s", got, want)
	}
	if got, want := strings.Join(rebind, " "), "port password bind_npi addr_range username host systype bind bind_ton ssl interface_version ssl_verify ssl_ca ssl_server_name ssl_cert ssl_key outbind outbind_system_id outbind_password"; got != want {
		t.Errorf("rebind: got %s, want %s", got, want)
	}
}

func TestChangedNamesTheParametersThatDiffer(t *testing.T) {
	a, b := Default("Demo"), Default("Demo")
	if got := Changed(a, b); got != nil {
		t.Errorf("equal ones differ in %v", got)
	}
	b.Host, b.ProtocolIDSet = "10.0.0.1", true
	var names []string
	for _, k := range Changed(a, b) {
		names = append(names, k.Name)
	}
	if got := strings.Join(names, " "); got != "host proto_id" {
		t.Errorf("got %s", got)
	}
}

// Whatever a parameter takes, it prints so that it can be read back to the same value.
func FuzzSet(f *testing.F) {
	for i := range Keys {
		f.Add(uint8(i), Keys[i].Format(Default("Demo")))
	}
	f.Add(uint8(4), "0.1")
	f.Add(uint8(6), "12.345")
	f.Fuzz(func(t *testing.T, index uint8, value string) {
		k := &Keys[int(index)%len(Keys)]
		c := Default("Demo")
		if err := Set(&c, k.Name, value); err != nil {
			if !c.Equal(Default("Demo")) {
				t.Fatalf("%s %q: changed although %v", k.Name, value, err)
			}
			return
		}
		d := Default("Demo")
		if err := Set(&d, k.Name, k.Format(c)); err != nil {
			t.Fatalf("%s %q is printed as %q, which is refused: %v", k.Name, value, k.Format(c), err)
		}
		if !c.Equal(d) {
			t.Fatalf("%s %q: got %+v after a round trip, want %+v", k.Name, value, d, c)
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("%s %q: %v", k.Name, value, err)
		}
	})
}

func TestARestartIsNeededForWhatABindOrTheLogFileUses(t *testing.T) {
	for _, tt := range []struct {
		key, value string
		want       bool
	}{
		{"host", "10.0.0.1", true}, {"bind", "receiver", true}, {"elink_interval", "7", false}, {"logfile", "/tmp/abc.log", true}, {"submit_throughput", "7", false},
	} {
		a, b := Default("Demo"), Default("Demo")
		if err := Set(&b, tt.key, tt.value); err != nil {
			t.Fatal(err)
		}
		if got := RestartNeeded(a, b); got != tt.want {
			t.Errorf("%s: got %v", tt.key, got)
		}
	}
}

func TestAccount(t *testing.T) {
	for _, tt := range []struct {
		host     string
		port     int
		username string
		want     sms.Account
	}{
		{"SMSC.Example.", 2775, "User", "smsc.example:2775/User"},
		{"127.0.0.1", 2776, "a:b/c d", "127.0.0.1:2776/a%3Ab%2Fc+d"},
		{"::1", 2775, "", "[::1]:2775/"},
	} {
		c := Default("abc")
		c.Host, c.Port, c.Username = tt.host, tt.port, tt.username
		if got := c.Account(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}
