package intercept

import (
	"context"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"jasmind/internal/smpp/pdu"
)

// check is a script that fails unless what it asserts is true; what follows may change things.
func check(t *testing.T, p *Pool, m *Message, source string) *Verdict {
	t.Helper()
	return run(t, p, python(t, source), m)
}

func TestWhatAScriptSees(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	m := mt()
	m.PDU.TLVs.SetUint16(pdu.TagSARMsgRefNum, 300)
	m.PDU.TLVs.SetUint8(pdu.TagPayloadType, 1)
	m.PDU.TLVs.Set(pdu.TagMessagePayload, []byte{0, 0xFF, 'x'})
	m.PDU.TLVs.Set(pdu.TagCallbackNum, []byte("\x01\x01\x01123"))
	m.PDU.TLVs.Set(pdu.TagSourceSubaddress, []byte("\xA0abc"))
	m.PDU.TLVs.Set(pdu.TagUserMessageReference, []byte{1}) // one octet too few
	m.PDU.TLVs.SetCString(pdu.TagReceiptedMessageID, "id-1")
	m.PDU.TLVs.Set(0x1400, []byte{0xFE, 'v'})
	m.CustomTLVs = []CustomTLV{{Tag: 0x1401, Length: -1, Type: "Int8", Value: uint64(1) << 63}, {Tag: 0x1402, Length: -1, Value: "text"}}
	m.PDU.ShortMessage = []byte{0x00, 0x1B, 0x65, 0xFF}
	m.PDU.DataCoding = 8
	m.PDU.ESMClass = 0x43
	m.PDU.RegisteredDelivery = 0x15
	m.PDU.ValidityPeriod = "000001000000000R"
	m.PDU.ScheduleDeliveryTime = "240229131415608+"
	v := check(t, p, m, `
from datetime import datetime as dt, timedelta, timezone
from smpp.pdu.pdu_types import *
from smpp.pdu import pdu_types, constants
from smpp.pdu.operations import SubmitSM
from smpp.pdu.smpp_time import SMPPRelativeTime
from jasmin.routing.Routables import RoutableSubmitSm
q = routable.pdu.params
assert isinstance(routable, RoutableSubmitSm) and isinstance(routable.pdu, SubmitSM)
assert routable.pdu.id == CommandId.submit_sm and routable.pdu.status == CommandStatus.ESME_ROK
assert q['source_addr'] == b'ACME' and q['destination_addr'] == b'33612345678'
assert q['source_addr_ton'] is AddrTon.ALPHANUMERIC and q['source_addr_npi'] is AddrNpi.UNKNOWN
assert q['dest_addr_ton'] is AddrTon.INTERNATIONAL and q['dest_addr_npi'] is AddrNpi.ISDN
assert q['short_message'] == b'\x00\x1b\x65\xff'
assert q['esm_class'] == EsmClass(EsmClassMode.STORE_AND_FORWARD, EsmClassType.DEFAULT, [EsmClassGsmFeatures.UDHI_INDICATOR_SET])
assert q['registered_delivery'] == RegisteredDelivery(RegisteredDeliveryReceipt.SMSC_DELIVERY_RECEIPT_REQUESTED,
    [RegisteredDeliverySmeOriginatedAcks.SME_DELIVERY_ACK_REQUESTED], True)
assert q['priority_flag'] is PriorityFlag.LEVEL_1 and q['replace_if_present_flag'] is ReplaceIfPresentFlag.DO_NOT_REPLACE
assert q['data_coding'] == DataCoding(DataCodingScheme.DEFAULT, DataCodingDefault.UCS2), q['data_coding']
assert q['protocol_id'] == 0 and q['sm_default_msg_id'] == 0 and q['service_type'] is None
assert q['validity_period'] == SMPPRelativeTime(0, 0, 1, 0, 0, 0), q['validity_period']
assert q['schedule_delivery_time'] == dt(2024, 2, 29, 13, 14, 15, 600000, timezone(timedelta(hours=2))), q['schedule_delivery_time']
assert q['sar_msg_ref_num'] == 300 and q['payload_type'] is PayloadType.WCMP
assert q['message_payload'] == b'\x00\xffx' and q['receipted_message_id'] == b'id-1'
assert q['callback_num'] == CallbackNum(CallbackNumDigitModeIndicator.ASCII, AddrTon.INTERNATIONAL, AddrNpi.ISDN, b'123')
assert q['source_subaddress'] == Subaddress(SubaddressTypeTag.USER_SPECIFIED, b'abc')
assert q['user_message_reference'] == b'\x01'
assert routable.pdu.custom_tlvs == [(0x1401, None, 'Int8', 1 << 63), (0x1402, None, None, 'text'), (0x1400, 2, 'OctetString', b'\xfev')]
assert routable.getTags() == ['first'] and routable.hasTag('first') and not routable.hasTag(1)
assert routable.date_time == routable.datetime == dt(2024, 2, 29, 13, 14, 15, 678000)
u = routable.user
assert (u.uid, u.group.gid, u.username, str(u)) == ('u1', 'g1', 'foo', 'foo')
c = u.mt_credential
assert c.getQuota('balance') == 10.25 and c.getQuota('submit_sm_count') == 5 and c.getQuota('http_throughput') == 2.5
assert c.getQuota('smpps_throughput') is None and c.getDefaultValue('source_address') is None
assert smpp_status is None and http_status is None and extra == {}
assert hashlib.md5 and re.match and json.dumps and datetime.datetime and math.pi and struct.pack
assert constants.priority_flag_value_map[2] == 'LEVEL_2' and constants.command_status_value_map[88]['name'] == 'ESME_RTHROTTLED'
assert constants.esm_class_gsm_features_name_map['UDHI_INDICATOR_SET'] == 64
assert AddrTon.UNKNOWN.value == 1 and pdu_types.AddrTon is AddrTon
`)
	if v.Changed != 0 || v.Locked != 0 {
		t.Errorf("looking changed %s and locked %s", v.Changed, v.Locked)
	}
	m2 := m.clone()
	if !reflect.DeepEqual(v.Message, m2) {
		t.Errorf("got %+v, want %+v", v.Message, m2)
	}
}

func TestWhatAScriptSeesOfAnMO(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	check(t, p, mo(), `
from jasmin.routing.Routables import RoutableDeliverSm
from smpp.pdu.pdu_types import CommandId
assert isinstance(routable, RoutableDeliverSm) and routable.pdu.id is CommandId.deliver_sm
assert routable.connector.cid == 'abc' and not hasattr(routable, 'user')
`)
}

func TestWhatAScriptChanges(t *testing.T) {
	p, log := newPool(t, Config{Workers: 1})
	m := mt()
	m.PDU.TLVs.SetUint8(pdu.TagPrivacyIndicator, 1)
	m.PDU.TLVs.SetUint8(pdu.TagLanguageIndicator, 1)
	before := m.clone()
	v := check(t, p, m, `
from datetime import datetime as dt, timedelta, timezone
from smpp.pdu.pdu_types import *
q = routable.pdu.params
q['service_type'] = 'CMT'
q['source_addr'] = 12345
q['destination_addr'] = bytearray(b'4912')
q['source_addr_ton'] = 1
q['esm_class'] = EsmClass(EsmClassMode.FORWARD, EsmClassType.DEFAULT)
q['registered_delivery'].smeOriginatedAcks.add(RegisteredDeliverySmeOriginatedAcks.SME_MANUAL_ACK_REQUESTED)
q['priority_flag'] = PriorityFlag.LEVEL_3
q['data_coding'].schemeData = DataCodingDefault.UCS2
q['short_message'] = 'h€𝄞'
q['validity_period'] = timedelta(days=1, hours=2)
q['schedule_delivery_time'] = dt(2030, 1, 2, 3, 4, 5, 600000, tzinfo=timezone(timedelta(hours=-3)))
q['replace_if_present_flag'] = True
q['user_message_reference'] = 7
q['language_indicator'] = LanguageIndicator.FRENCH
q['alert_on_msg_delivery'] = b''
q['callback_num'] = CallbackNum(CallbackNumDigitModeIndicator.ASCII, AddrTon.NATIONAL, digits=b'99')
q['no_such'] = 1
del q['privacy_indicator']
routable.addTag(5); routable.removeTag('first'); routable.addTag('x')
routable.addCustomTlv(0x1402, 'OctetString', b'\xff\x00')
routable.addCustomTlv(0x1403, 'Int4', 9, length=4)
routable.lockPduParam('source_addr_ton'); routable.lockPduParam('short_message')
assert routable.pduParamIsLocked('short_message') and not routable.pduParamIsLocked('source_addr')
`)
	got := v.Message.PDU
	want := pdu.Message{
		ServiceType: "CMT", Source: pdu.Address{TON: 1, Addr: "12345"}, Dest: pdu.Address{TON: 1, NPI: 1, Addr: "4912"},
		ESMClass: 2, PriorityFlag: 3, ScheduleDeliveryTime: "300102030405612-", ValidityPeriod: "000001020000000R",
		RegisteredDelivery: 8, ReplaceIfPresent: 1, DataCoding: 8, ShortMessage: []byte("\x00h\x20\xac\xd8\x34\xdd\x1e"),
		TLVs: pdu.TLVs{{Tag: pdu.TagLanguageIndicator, Value: []byte{2}}, {Tag: pdu.TagAlertOnMessageDelivery, Value: []byte{}},
			{Tag: pdu.TagCallbackNum, Value: []byte("\x01\x02\x0099")}, {Tag: pdu.TagUserMessageReference, Value: []byte{0, 7}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	if want := []string{"5", "x"}; !slices.Equal(v.Message.Tags, want) {
		t.Errorf("tags %q, want %q", v.Message.Tags, want)
	}
	wantTLVs := []CustomTLV{{Tag: 0x1402, Length: -1, Type: "OctetString", Value: []byte{0xFF, 0}}, {Tag: 0x1403, Length: 4, Type: "Int4", Value: int64(9)}}
	if !reflect.DeepEqual(v.Message.CustomTLVs, wantTLVs) {
		t.Errorf("custom TLVs %+v, want %+v", v.Message.CustomTLVs, wantTLVs)
	}
	if want := Params(1<<ParamSourceTON | 1<<ParamShortMessage); v.Locked != want {
		t.Errorf("locked %s, want %s", v.Locked, want)
	}
	wantChanged := Params(1<<paramEnd - 1)
	for _, p := range []Param{ParamSourceNPI, ParamDestTON, ParamDestNPI, ParamProtocolID, ParamDefaultMsgID} {
		wantChanged &^= 1 << p
	}
	if v.Changed != wantChanged {
		t.Errorf("changed %s, want %s", v.Changed, wantChanged)
	}
	if !reflect.DeepEqual(m.clone(), before) {
		t.Errorf("the message of the caller was changed: %+v", m)
	}
	log.wants(t, "level=WARN", "pdu.params['no_such'] is not a parameter")
}

// Values of the wire that the enumerations lack pass through a script unharmed.
func TestOddValuesSurvive(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	s := python(t, "repr(routable.pdu)\nrepr(routable)")
	for _, b := range []uint8{0, 1, 3, 0x0F, 0x14, 0x3C, 0x40, 0x7F, 0x80, 0xBF, 0xF0, 0xF7, 0xF8, 0xFF} {
		m := mt()
		q := &m.PDU
		q.Source.TON, q.Source.NPI, q.Dest.TON, q.Dest.NPI, q.ESMClass, q.ProtocolID, q.PriorityFlag = b, b, b, b, pdu.ESMClass(b), b, b
		q.RegisteredDelivery, q.ReplaceIfPresent, q.DataCoding, q.SMDefaultMsgID = b, b, pdu.DataCoding(b), b
		q.Source.Addr = string([]byte{'a', b | 1})
		q.ValidityPeriod, q.ScheduleDeliveryTime = "991332000000000+", "000001000000100R"
		for tag, k := range tlvKinds {
			if k != cOctetString {
				q.TLVs.Set(tag, []byte{b, b}[:1+int(b&1)])
			}
		}
		v := run(t, p, s, m)
		if want := m.clone(); v.Changed != 0 || !reflect.DeepEqual(v.Message, want) {
			t.Errorf("octet %#x: changed %s, got\n%+v, want\n%+v", b, v.Changed, v.Message, want)
		}
	}
}

func TestStatusesOfAScript(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	if v := check(t, p, mt(), "smpp_status = 0\nextra['message_id'] = 'abc'\n"); v.Answered == nil || v.Answered.MessageID != "abc" {
		t.Errorf("got %+v, want an answer with the id", v)
	}
	if v := check(t, p, mt(), "smpp_status = 0\nextra['message_id'] = 12345\n"); v.Answered == nil || v.Answered.MessageID != "12345" {
		t.Errorf("got %+v, want an answer with the number as text", v)
	}
	for source, want := range map[string]string{
		"smpp_status = 64":                "520/ESME_RINVDESTFLAG",
		"http_status = 404":               "404/ESME_RUNKNOWNERR",
		"http_status = 300":               "300/ESME_RUNKNOWNERR",
		"smpp_status = 88; extra = None":  "520/ESME_RTHROTTLED",
		"smpp_status = 'abc'":             "520/ESME_RUNKNOWNERR",
		"smpp_status = 1 << 70":           "520/ESME_RSYSERR",
		"smpp_status = -(1 << 70)":        "520/ESME_RSYSERR",
		"smpp_status = 9; http_status=[]": "520/ESME_RSYSERR",
		"from smpp.pdu.pdu_types import CommandStatus\nsmpp_status = CommandStatus.ESME_RINVDSTADR": "520/ESME_RINVDSTADR",
	} {
		_, pair, _ := refusal(t, p, python(t, source), mt())
		if got := strings.Join([]string{strconv.Itoa(pair.HTTP), pair.SMPP.String()}, "/"); got != want {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
	}
	if n := p.Stats.Refused.Load(); n != 9 {
		t.Errorf("%d refusals were counted, want 9", n)
	}
}

func TestFiltersOfAScript(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	for source, want := range map[string]bool{
		"result = True": true, "result = False": false, "pass": false, "result = 1": false, "result = 'yes'": false,
		"del result": false, "result = routable.hasTag('first')": true,
	} {
		if got, err := p.Evaluate(context.Background(), python(t, source), mt()); got != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", source, got, err, want)
		}
	}
	m := mt()
	if got, err := p.Evaluate(context.Background(), python(t, "result = True\nroutable.addTag(1)\nraise ValueError"), m); got || err == nil {
		t.Errorf("an exception: got %v, %v, want false and an error", got, err)
	}
	if len(m.Tags) != 1 {
		t.Errorf("the filter changed the message: %q", m.Tags)
	}
}

// Globals are fresh for each message; modules stay loaded.
func TestScriptsDoNotSeeEachOther(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	s := python(t, "assert 'leak' not in globals()\nleak = 1\nextra['x'] = 1\n")
	run(t, p, s, mt())
	run(t, p, s, mt())
}

func TestWhatAScriptPrintsIsLogged(t *testing.T) {
	p, log := newPool(t, Config{Workers: 1})
	check(t, p, mt(), "import sys, logging\nprint('out', 'é')\nsys.stderr.write('err\\n')\nlogging.getLogger('jasmin-router').error('bad %s', 'thing')\n")
	p.Close()
	log.wants(t, "script printed", "out é")
	log.wants(t, "script printed", "text=err")
	log.wants(t, "level=ERROR", "logger=jasmin-router", "bad thing", "line=4", "/scripts/test.py")
}

func TestASlowScriptIsLogged(t *testing.T) {
	p, log := newPool(t, Config{Workers: 1, SlowScript: time.Nanosecond})
	run(t, p, python(t, "pass"), mt())
	log.wants(t, "level=WARN", "script was slow", "/scripts/test.py", "dur=")
}

// A forked child that returns into the worker's loop must not answer in its parent's place.
func TestAForkInAScriptAnswersOnce(t *testing.T) {
	p, _ := newPool(t, Config{Workers: 1})
	s := python(t, "import os\nroutable.flushTags()\nroutable.addTag(os.getpid())\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\n    routable.addTag('parent')\n")
	a, b := run(t, p, s, mt()), run(t, p, s, mt())
	if !slices.Equal(a.Message.Tags, b.Message.Tags) || a.Message.Tags[1] != "parent" {
		t.Errorf("got %q and %q", a.Message.Tags, b.Message.Tags)
	}
}
