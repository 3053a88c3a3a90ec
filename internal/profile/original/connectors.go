package original

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/nlpodyssey/gopickle/types"

	"jasmind/internal/provision"
	"jasmind/internal/smppc"
	"jasmind/internal/sms"
)

// connectorKeys are the attributes of an SMPPClientConfig that the console sets, and our names of them.
var connectorKeys = map[string]string{
	"host": "host", "port": "port", "username": "username", "password": "password", "systemType": "systype", "bindOperation": "bind",
	"useSSL": "ssl", "addressTon": "bind_ton", "addressNpi": "bind_npi", "addressRange": "addr_range",
	"sessionInitTimerSecs": "bind_to", "enquireLinkTimerSecs": "elink_interval", "inactivityTimerSecs": "trx_to", "responseTimerSecs": "res_to",
	"pduReadTimerSecs": "pdu_red_to", "reconnectOnConnectionLoss": "con_loss_retry", "reconnectOnConnectionLossDelay": "con_loss_delay",
	"reconnectOnConnectionFailure": "con_fail_retry", "reconnectOnConnectionFailureDelay": "con_fail_delay",
	"source_addr": "src_addr", "source_addr_ton": "src_ton", "source_addr_npi": "src_npi", "dest_addr_ton": "dst_ton", "dest_addr_npi": "dst_npi",
	"validity_period": "validity", "priority_flag": "priority", "protocol_id": "proto_id", "data_coding": "coding", "sm_default_msg_id": "def_msg_id",
	"replace_if_present_flag": "ripf", "submit_sm_throughput": "submit_throughput", "requeue_delay": "requeue_delay", "dlr_expiry": "dlr_expiry",
	"dlr_msg_id_bases": "dlr_msgid", "log_file": "logfile", "log_rotate": "logrotate", "log_level": "loglevel", "log_privacy": "logprivacy",
}

// values of enumerations (SMPP v3.4 §5.2.5, §5.2.6, §5.2.14, §5.2.18).
var values = map[string]map[string]int{
	"AddrTon":              {"UNKNOWN": 0, "INTERNATIONAL": 1, "NATIONAL": 2, "NETWORK_SPECIFIC": 3, "SUBSCRIBER_NUMBER": 4, "ALPHANUMERIC": 5, "ABBREVIATED": 6},
	"AddrNpi":              {"UNKNOWN": 0, "ISDN": 1, "DATA": 3, "TELEX": 4, "LAND_MOBILE": 6, "NATIONAL": 8, "PRIVATE": 9, "ERMES": 10, "INTERNET": 14, "WAP_CLIENT_ID": 18},
	"PriorityFlag":         {"LEVEL_0": 0, "LEVEL_1": 1, "LEVEL_2": 2, "LEVEL_3": 3},
	"ReplaceIfPresentFlag": {"DO_NOT_REPLACE": 0, "REPLACE": 1},
}

// unsettable tells of the attributes that the original's console cannot set whether they have the
// value that they always have there, which is what every connector here does.
var unsettable = map[string]func(v any) bool{
	"service_type":           func(v any) bool { return v == nil },
	"schedule_delivery_time": func(v any) bool { return v == nil },
	"SSLCertificateFile":     func(v any) bool { return v == nil }, // see certificate
	"custom_tlvs":            func(v any) bool { l, ok := list(v); return v == nil || ok && len(l) == 0 },
	"log_format": func(v any) bool {
		return v == nil || v == any("%(asctime)s %(levelname)-8s %(process)d %(message)s")
	},
	"log_date_format":     func(v any) bool { return v == nil || v == any("%Y-%m-%d %H:%M:%S") },
	"esm_class":           func(v any) bool { return made(v, "STORE_AND_FORWARD", "DEFAULT") },
	"registered_delivery": func(v any) bool { return made(v, "NO_SMSC_DELIVERY_RECEIPT_REQUESTED") },
}

// made tells whether an object was made of these members first, and of nothing else but empty sets and false.
func made(v any, names ...string) bool {
	o, ok := v.(*object)
	if !ok || len(o.args) < len(names) {
		return false
	}
	for i, arg := range o.args {
		if i < len(names) {
			if m, ok := arg.(member); !ok || m.name != names[i] {
				return false
			}
			continue
		}
		switch arg := arg.(type) {
		case *types.Set:
			ok = arg.Len() == 0
		case *object: // a set of the oldest protocols
			elements, isList := []any(nil), true
			if len(arg.args) > 0 {
				elements, isList = list(arg.args[0])
			}
			ok = arg.class == "set" && isList && len(elements) == 0
		case bool:
			ok = !arg
		default:
			ok = arg == nil || arg == any(0)
		}
		if !ok {
			return false
		}
	}
	return true
}

func (t *taker) smppConnector(v any) {
	entry, ok := v.(*types.Dict)
	if !ok {
		t.refuse("SMPP connector", errors.New("is no dictionary"))
		return
	}
	o := &object{}
	if err := o.PySetState(entry); err != nil {
		t.refuse("SMPP connector", err)
		return
	}
	cid, err := o.text("id")
	if err != nil {
		t.refuse("SMPP connector", err)
		return
	}
	name := "SMPP connector " + cid
	c := provision.SMPPConnector{Config: smppc.Default(sms.ConnectorID(cid))}
	c.Started, err = o.flag("service_status")
	if err == nil {
		err = t.configure(name, o, &c.Config)
	}
	if err == nil {
		err = t.draft.AddSMPPConnector(c)
	}
	if err != nil {
		t.refuse(name, err)
	}
}

// configure sets a connector's parameters from its SMPPClientConfig.
func (t *taker) configure(name string, entry *object, c *smppc.Config) error {
	o, err := entry.as("config", "SMPPClientConfig")
	if err != nil {
		return err
	}
	var errs []error
	for _, attr := range slices.Sorted(maps.Keys(o.attrs)) {
		v, key := o.attrs[attr], connectorKeys[attr]
		usual, fixed := unsettable[attr]
		switch {
		case key != "":
			text, rounded, err := parameter(key, v)
			if err != nil {
				err = fmt.Errorf("%s: %w", attr, err)
			} else {
				err = smppc.Set(c, key, text)
			}
			if err != nil {
				errs = append(errs, err)
			} else if rounded {
				t.remark(name, "%s: %v is rounded to %s", key, v, text)
			}
		case attr == "id":
			if id, _ := str(v); id != string(c.CID) {
				t.remark(name, "its configuration is that of %s", id)
			}
		case attr == "SSLCertificateFile" && v != nil:
			errs = append(errs, t.certificate(name, v, c))
		case !fixed && !strings.HasPrefix(attr, "_"), fixed && !usual(v):
			t.remark(name, "%s: has no meaning here", attr)
		}
	}
	if c.SSL {
		// The original looks at no certificate of an SMSC.
		c.SSLVerify = false
		t.remark(name, "ssl_verify is no: as before, the SMSC's certificate is not looked at")
	}
	return errors.Join(errs...)
}

// parameter spells a value as the console takes it for a key.
func parameter(key string, v any) (text string, rounded bool, err error) {
	if m, ok := v.(member); ok {
		n, ok := values[m.class][m.name]
		if !ok {
			return "", false, fmt.Errorf("%s.%s is not known", m.class, m.name)
		}
		return strconv.Itoa(n), false, nil
	}
	text, rounded, err = spell(v)
	k := smppc.Lookup(key)
	switch {
	case err != nil:
	case v == nil && !slices.Contains([]string{"systype", "addr_range", "src_addr", "validity", "proto_id"}, key):
		if text = ""; key != "username" && key != "password" {
			err = errors.New("is missing")
		}
	case key == "logfile":
		text = path.Clean("/" + strings.TrimLeft(text, "/"))
		if s, _ := str(v); !strings.HasPrefix(s, "/") {
			text = s // relative to wherever the daemon is started
		}
	case k.Parse("yes", &smppc.Config{}) == nil && k.Parse("maybe", &smppc.Config{}) != nil: // a switch, which may be 0 or 1
		text = map[string]string{"0": "no", "1": "yes"}[text] + strings.Trim(text, "01")
	}
	return text, rounded, err
}

// certificate takes the file with our own certificate and its key.
func (t *taker) certificate(name string, v any, c *smppc.Config) error {
	file, ok := str(v)
	if !ok {
		return errors.New("SSLCertificateFile: is no text")
	}
	t.remark(name, "ssl_cert and ssl_key are %s: it must hold both", file)
	return errors.Join(smppc.Set(c, "ssl_cert", file), smppc.Set(c, "ssl_key", file))
}

// httpOf makes an HTTP connector of an object.
func httpOf(v any) (c provision.HTTPConnector, name string, err error) {
	o, ok := v.(*object)
	if !ok || o.class != "HttpConnector" {
		return c, "HTTP connector", errors.New("is no HTTP connector" + whose(v))
	}
	cid, err := o.text("cid")
	if err != nil {
		return c, "HTTP connector", err
	}
	url, errURL := o.text("baseurl")
	method, errMethod := o.text("method")
	return provision.HTTPConnector{CID: sms.ConnectorID(cid), URL: url, Method: strings.ToUpper(method)}, "HTTP connector " + cid, errors.Join(errURL, errMethod)
}

func (t *taker) httpConnector(v any) {
	c, name, err := httpOf(v)
	if err == nil {
		err = t.draft.AddHTTPConnector(c)
	}
	if err != nil {
		t.refuse(name, err)
	}
}
