"""The types of PDU parameters that scripts see, under the names that scripts import.

Enumerations count their members from 1 in the order given here, as the library that scripts
were written for does: scripts compare members and names, never the numbers on the wire.
"""
import datetime
import re
import sys
import types
from collections import namedtuple
from enum import Enum

# Class: the pairs of name and wire value (SMPP v3.4 section 5.2 and 5.3).
TABLES = {
    'EsmClassMode': [('DEFAULT', 0), ('DATAGRAM', 1), ('FORWARD', 2), ('STORE_AND_FORWARD', 3)],
    'EsmClassType': [('DEFAULT', 0), ('SMSC_DELIVERY_RECEIPT', 4), ('DELIVERY_ACKNOWLEDGEMENT', 8),
                     ('MANUAL_ACKNOWLEDGMENT', 16), ('CONVERSATION_ABORT', 24),
                     ('INTERMEDIATE_DELIVERY_NOTIFICATION', 32)],
    'EsmClassGsmFeatures': [('UDHI_INDICATOR_SET', 64), ('SET_REPLY_PATH', 128)],
    'RegisteredDeliveryReceipt': [('NO_SMSC_DELIVERY_RECEIPT_REQUESTED', 0), ('SMSC_DELIVERY_RECEIPT_REQUESTED', 1),
                                  ('SMSC_DELIVERY_RECEIPT_REQUESTED_FOR_FAILURE', 2)],
    'RegisteredDeliverySmeOriginatedAcks': [('SME_DELIVERY_ACK_REQUESTED', 4), ('SME_MANUAL_ACK_REQUESTED', 8)],
    'AddrTon': [('UNKNOWN', 0), ('INTERNATIONAL', 1), ('NATIONAL', 2), ('NETWORK_SPECIFIC', 3),
                ('SUBSCRIBER_NUMBER', 4), ('ALPHANUMERIC', 5), ('ABBREVIATED', 6)],
    'AddrNpi': [('UNKNOWN', 0), ('ISDN', 1), ('DATA', 3), ('TELEX', 4), ('LAND_MOBILE', 6), ('NATIONAL', 8),
                ('PRIVATE', 9), ('ERMES', 10), ('INTERNET', 14), ('WAP_CLIENT_ID', 18)],
    'PriorityFlag': [('LEVEL_0', 0), ('LEVEL_1', 1), ('LEVEL_2', 2), ('LEVEL_3', 3)],
    'ReplaceIfPresentFlag': [('DO_NOT_REPLACE', 0), ('REPLACE', 1)],
    'DataCodingScheme': [('RAW', None), ('DEFAULT', None), ('GSM_MESSAGE_CLASS', 0xF0)],
    'DataCodingDefault': [('SMSC_DEFAULT_ALPHABET', 0), ('IA5_ASCII', 1), ('OCTET_UNSPECIFIED', 2), ('LATIN_1', 3),
                          ('OCTET_UNSPECIFIED_COMMON', 4), ('JIS', 5), ('CYRILLIC', 6), ('ISO_8859_8', 7),
                          ('UCS2', 8), ('PICTOGRAM', 9), ('ISO_2022_JP', 10), ('EXTENDED_KANJI_JIS', 13),
                          ('KS_C_5601', 14)],
    'DataCodingGsmMsgCoding': [('DEFAULT_ALPHABET', 0), ('DATA_8BIT', 4)],
    'DataCodingGsmMsgClass': [('NO_MESSAGE_CLASS', 0), ('CLASS_1', 1), ('CLASS_2', 2), ('CLASS_3', 3)],
    'DestFlag': [('SME_ADDRESS', 1), ('DISTRIBUTION_LIST_NAME', 2)],
    'MessageState': [('ENROUTE', 1), ('DELIVERED', 2), ('EXPIRED', 3), ('DELETED', 4), ('UNDELIVERABLE', 5),
                     ('ACCEPTED', 6), ('UNKNOWN', 7), ('REJECTED', 8)],
    'CallbackNumDigitModeIndicator': [('TBCD', 0), ('ASCII', 1)],
    'SubaddressTypeTag': [('NSAP_EVEN', 0x80), ('NSAP_ODD', 0x88), ('USER_SPECIFIED', 0xA0)],
    'AddrSubunit': [('UNKNOWN', 0), ('MS_DISPLAY', 1), ('MOBILE_EQUIPMENT', 2), ('SMART_CARD_1', 3),
                    ('EXTERNAL_UNIT_1', 4)],
    'NetworkType': [('UNKNOWN', 0), ('GSM', 1), ('TDMA', 2), ('CDMA', 3), ('PDC', 4), ('PHS', 5), ('IDEN', 6),
                    ('AMPS', 7), ('PAGING_NETWORK', 8)],
    'BearerType': [('UNKNOWN', 0), ('SMS', 1), ('CSD', 2), ('PACKET_DATA', 3), ('USSD', 4), ('CDPD', 5),
                   ('DATATAC', 6), ('FLEX_REFLEX', 7), ('CELL_BROADCAST', 8)],
    'PayloadType': [('DEFAULT', 0), ('WCMP', 1)],
    'PrivacyIndicator': [('NOT_RESTRICTED', 0), ('RESTRICTED', 1), ('CONFIDENTIAL', 2), ('SECRET', 3)],
    'LanguageIndicator': [('UNSPECIFIED', 0), ('ENGLISH', 1), ('FRENCH', 2), ('SPANISH', 3), ('GERMAN', 4),
                          ('PORTUGUESE', 5)],
    'DisplayTime': [('TEMPORARY', 0), ('DEFAULT', 1), ('INVOKE', 2)],
    'MsAvailabilityStatus': [('AVAILABLE', 0), ('DENIED', 1), ('UNAVAILABLE', 2)],
    'DeliveryFailureReason': [('DESTINATION_UNAVAILABLE', 0), ('DESTINATION_ADDRESS_INVALID', 1),
                              ('PERMANENT_NETWORK_ERROR', 2), ('TEMPORARY_NETWORK_ERROR', 3)],
    'MoreMessagesToSend': [('NO_MORE_MESSAGES', 0), ('MORE_MESSAGES', 1)],
}

WIRE = {}    # enumeration: its members' wire values
MEMBER = {}  # enumeration: the members by wire value


def define(name, pairs):
    cls = Enum(name, [p[0] for p in pairs], module='smpp.pdu.pdu_types')
    WIRE[cls] = {cls[n]: v for n, v in pairs if v is not None}
    MEMBER[cls] = {v: cls[n] for n, v in pairs if v is not None}
    globals()[name] = cls
    return cls


for _name, _pairs in TABLES.items():
    define(_name, _pairs)

Option = namedtuple('Option', 'tag, value')


def _printed(self):
    """Name[field: value, ...], which is how scripts' logs have always shown these values."""
    fields = self._fields if hasattr(self, '_fields') else ('scheme', 'schemeData')
    return '%s[%s]' % (type(self).__name__, ', '.join('%s: %s' % (f, getattr(self, f)) for f in fields))


class EsmClass(namedtuple('EsmClass', 'mode, type, gsmFeatures')):
    def __new__(cls, mode, type, gsmFeatures=()):
        return super().__new__(cls, mode, type, set(gsmFeatures))

    __repr__ = _printed


class RegisteredDelivery(namedtuple('RegisteredDelivery', 'receipt, smeOriginatedAcks, intermediateNotification')):
    def __new__(cls, receipt, smeOriginatedAcks=(), intermediateNotification=False):
        return super().__new__(cls, receipt, set(smeOriginatedAcks), intermediateNotification)

    __repr__ = _printed


class DataCodingGsmMsg(namedtuple('DataCodingGsmMsg', 'msgCoding, msgClass')):
    __repr__ = _printed


class DataCoding:
    def __init__(self, scheme=DataCodingScheme.DEFAULT, schemeData=DataCodingDefault.SMSC_DEFAULT_ALPHABET):
        self.scheme = scheme
        self.schemeData = schemeData

    def __eq__(self, other):
        return isinstance(other, DataCoding) and (self.scheme, self.schemeData) == (other.scheme, other.schemeData)

    __hash__ = None
    __repr__ = _printed


class CallbackNum(namedtuple('CallbackNum', 'digitModeIndicator, ton, npi, digits')):
    def __new__(cls, digitModeIndicator, ton=AddrTon.UNKNOWN, npi=AddrNpi.UNKNOWN, digits=None):
        return super().__new__(cls, digitModeIndicator, ton, npi, digits)

    __repr__ = _printed


class Subaddress(namedtuple('Subaddress', 'typeTag, value')):
    __repr__ = _printed


SMPPRelativeTime = namedtuple('SMPPRelativeTime', 'years, months, days, hours, minutes, seconds')


class PDU:
    mandatoryParams = []

    def __init__(self, seqNum=None, status=None, **params):
        self.id = self.commandId
        self.seqNum = seqNum
        self.status = status if status is not None else CommandStatus.ESME_ROK
        self.custom_tlvs = params.pop('custom_tlvs', [])
        self.params = dict.fromkeys(self.mandatoryParams)
        self.params.update((k, v.encode() if isinstance(v, str) else v) for k, v in params.items())

    def __repr__(self):
        head = 'PDU [command: %s, sequence_number: %s, command_status: %s' % (self.id, self.seqNum, self.status)
        return head + ''.join('\n%s: %r' % item for item in self.params.items()) + '\n]'

    def __eq__(self, other):
        return isinstance(other, PDU) and (self.id, self.seqNum, self.status, self.params) == (
            other.id, other.seqNum, other.status, other.params)

    __hash__ = None


class PDURequest(PDU):
    pass


class PDUDataRequest(PDURequest):
    pass


# How a parameter becomes a Python value and back: a pair of functions. What goes back is a
# number, ('b', octets), ('s', text that is still to be encoded) or None.

def octets(value):
    return value.encode('latin-1')


def octets_out(value):
    if value is None:
        return None
    if isinstance(value, str):
        return 'b', value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return 'b', bytes(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return 'b', str(value).encode()  # a number for an address
    raise TypeError('must be bytes or str')


def optional_octets(value):
    return value.encode('latin-1') if value else None


def text_out(value):
    if isinstance(value, str):
        return 's', value
    return octets_out(value)


def number_out(value):
    if value is None:
        return 0
    if isinstance(value, int):
        return int(value)
    raise TypeError('must be an int')


def enumeration(cls):
    members, wire = MEMBER[cls], WIRE[cls]

    def into(value):
        return members.get(value, value)

    def out(value):
        if isinstance(value, cls):
            return wire[value]
        if value is None or isinstance(value, int):
            return int(value or 0)
        raise TypeError('must be a member of %s or an int' % cls.__name__)

    return into, out


def bits(values, cls):
    total = 0
    for v in values:
        total |= v if isinstance(v, int) else WIRE[cls][v]
    return total


def esm_class(value):
    kind = MEMBER[EsmClassType].get(value & 0x3C)
    if kind is None:
        return value
    return EsmClass(MEMBER[EsmClassMode][value & 3], kind,
                    [f for v, f in MEMBER[EsmClassGsmFeatures].items() if value & v])


def esm_class_out(value):
    if isinstance(value, EsmClass):
        return bits((value.mode,), EsmClassMode) | bits((value.type,), EsmClassType) | bits(
            value.gsmFeatures, EsmClassGsmFeatures)
    return number_out(value)


def registered_delivery(value):
    receipt = MEMBER[RegisteredDeliveryReceipt].get(value & 3)
    if receipt is None or value & 0xE0:
        return value
    return RegisteredDelivery(receipt, [a for v, a in MEMBER[RegisteredDeliverySmeOriginatedAcks].items() if value & v],
                              bool(value & 16))


def registered_delivery_out(value):
    if isinstance(value, RegisteredDeliveryReceipt):
        value = RegisteredDelivery(value)
    if isinstance(value, RegisteredDelivery):
        return bits((value.receipt,), RegisteredDeliveryReceipt) | bits(
            value.smeOriginatedAcks, RegisteredDeliverySmeOriginatedAcks) | (16 if value.intermediateNotification else 0)
    return number_out(value)


def data_coding(value):
    alphabet = MEMBER[DataCodingDefault].get(value)
    if alphabet is not None:
        return DataCoding(DataCodingScheme.DEFAULT, alphabet)
    if value & 0xF8 == 0xF0:
        return DataCoding(DataCodingScheme.GSM_MESSAGE_CLASS, DataCodingGsmMsg(
            MEMBER[DataCodingGsmMsgCoding][value & 4], MEMBER[DataCodingGsmMsgClass][value & 3]))
    return DataCoding(DataCodingScheme.RAW, value)


def data_coding_out(value):
    if isinstance(value, DataCoding):
        value = value.schemeData
    if isinstance(value, DataCodingDefault):
        return WIRE[DataCodingDefault][value]
    if isinstance(value, DataCodingGsmMsg):
        return 0xF0 | bits((value.msgCoding,), DataCodingGsmMsgCoding) | bits((value.msgClass,), DataCodingGsmMsgClass)
    return number_out(value)


def time_in(value):
    """SMPP v3.4 section 7.1.1: None, an aware datetime, or a relative time; what is neither stays bytes."""
    if not value:
        return None
    raw = value.encode('latin-1')
    try:
        read = read_time(value)
        return read if time_out(read) == ('b', raw) else raw
    except (ValueError, KeyError, IndexError):
        return raw


def read_time(value):
    n = [int(value[i:i + 2]) for i in range(0, 12, 2)]
    tenths, quarters, sign = int(value[12]), int(value[13:15]), value[15:]
    if sign == 'R':
        return SMPPRelativeTime(*n)
    zone = datetime.timezone(datetime.timedelta(minutes={'+': 15, '-': -15}[sign] * quarters))
    return datetime.datetime(2000 + n[0], *n[1:], microsecond=tenths * 100000, tzinfo=zone)


def time_out(value):
    if isinstance(value, datetime.timedelta):
        seconds = int(value.total_seconds())
        if not 0 <= seconds < 100 * 86400:
            raise ValueError('must be from 0 to 99 days')
        value = SMPPRelativeTime(0, 0, seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60, seconds % 60)
    if isinstance(value, SMPPRelativeTime):
        if not all(isinstance(n, int) and 0 <= n < 100 for n in value):
            raise ValueError('must have fields from 0 to 99')
        return 'b', b'%02d%02d%02d%02d%02d%02d000R' % value
    if isinstance(value, datetime.datetime):
        value = value if value.tzinfo is not None else value.astimezone()
        quarters = int(value.utcoffset().total_seconds()) // 900
        return 'b', ('%s%d%02d%s' % (value.strftime('%y%m%d%H%M%S'), value.microsecond // 100000, abs(quarters),
                                     '-' if quarters < 0 else '+')).encode()
    return octets_out(value)


def callback_num(value):
    b = octets(value)
    if len(b) < 3:
        return b
    return CallbackNum(*(MEMBER[c].get(n, n) for c, n in zip((CallbackNumDigitModeIndicator, AddrTon, AddrNpi), b)),
                       digits=b[3:])


def callback_num_out(value):
    if not isinstance(value, CallbackNum):
        return octets_out(value)
    head = bytes((bits((value.digitModeIndicator,), CallbackNumDigitModeIndicator), bits((value.ton,), AddrTon),
                  bits((value.npi,), AddrNpi)))
    digits = octets_out(value.digits)
    return 'b', head + (digits[1] if digits else b'')


def subaddress(value):
    b = octets(value)
    return Subaddress(MEMBER[SubaddressTypeTag].get(b[0], b[0]), b[1:]) if b else b


def subaddress_out(value):
    if not isinstance(value, Subaddress):
        return octets_out(value)
    rest = octets_out(value.value)
    return 'b', bytes((bits((value.typeTag,), SubaddressTypeTag),)) + (rest[1] if rest else b'')


def same(value):
    return value


OCTETS, NUMBER, TIME = (octets, octets_out), (same, number_out), (time_in, time_out)
MANDATORY = {
    'service_type': (optional_octets, octets_out),
    'source_addr_ton': enumeration(AddrTon),
    'source_addr_npi': enumeration(AddrNpi),
    'source_addr': OCTETS,
    'dest_addr_ton': enumeration(AddrTon),
    'dest_addr_npi': enumeration(AddrNpi),
    'destination_addr': OCTETS,
    'esm_class': (esm_class, esm_class_out),
    'protocol_id': NUMBER,
    'priority_flag': enumeration(PriorityFlag),
    'schedule_delivery_time': TIME,
    'validity_period': TIME,
    'registered_delivery': (registered_delivery, registered_delivery_out),
    'replace_if_present_flag': enumeration(ReplaceIfPresentFlag),
    'data_coding': (data_coding, data_coding_out),
    'sm_default_msg_id': NUMBER,
    'short_message': (octets, text_out),
}
OPTIONAL = {
    'message_payload': (octets, text_out),
    'callback_num': (callback_num, callback_num_out),
    'source_subaddress': (subaddress, subaddress_out),
    'dest_subaddress': (subaddress, subaddress_out),
}
for _cls, _names in {
    AddrSubunit: 'source_addr_subunit dest_addr_subunit', NetworkType: 'source_network_type dest_network_type',
    BearerType: 'source_bearer_type dest_bearer_type', PayloadType: 'payload_type',
    PrivacyIndicator: 'privacy_indicator', LanguageIndicator: 'language_indicator', DisplayTime: 'display_time',
    MsAvailabilityStatus: 'ms_availability_status', DeliveryFailureReason: 'delivery_failure_reason',
    MoreMessagesToSend: 'more_messages_to_send', MessageState: 'message_state',
}.items():
    for _name in _names.split():
        OPTIONAL[_name] = enumeration(_cls)
ALIASES = {'alert_on_msg_delivery': 'alert_on_message_delivery'}


def optional(name, numeric):
    """The pair of an optional parameter; one whose value has not its type is bytes."""
    pair = OPTIONAL.get(name)
    if pair is None:
        return NUMBER if numeric else OCTETS
    return pair


def install(statuses, commands, tags):
    """Makes the modules that scripts import. The three lists are pairs of name and number."""
    for name, pairs in (('CommandStatus', statuses), ('CommandId', commands), ('Tag', tags)):
        define(name, pairs)
    me = sys.modules['smpp.pdu.pdu_types']

    constants = types.ModuleType('smpp.pdu.constants')
    for cls, wire in WIRE.items():
        base = re.sub('(?<=[a-z])(?=[A-Z])', '_', cls.__name__).lower()
        setattr(constants, base + '_name_map', {m.name: v for m, v in wire.items()})
        setattr(constants, base + '_value_map', {v: m.name for m, v in wire.items()})
    constants.command_status_value_map = {v: {'name': n, 'description': n} for n, v in statuses}
    constants.replace_if_present_flap_name_map = constants.replace_if_present_flag_name_map
    constants.replace_if_present_flap_value_map = constants.replace_if_present_flag_value_map
    constants.data_coding_gsm_message_coding_name_map = constants.data_coding_gsm_msg_coding_name_map
    constants.data_coding_gsm_message_class_name_map = constants.data_coding_gsm_msg_class_name_map

    operations = types.ModuleType('smpp.pdu.operations')
    for name, command in (('SubmitSM', 'submit_sm'), ('DeliverSM', 'deliver_sm')):
        setattr(operations, name, type(name, (PDUDataRequest,), {
            'commandId': CommandId[command], 'mandatoryParams': list(MANDATORY), '__module__': 'smpp.pdu.operations'}))

    smpp_time = types.ModuleType('smpp.pdu.smpp_time')
    smpp_time.SMPPRelativeTime = SMPPRelativeTime

    smpp, package = types.ModuleType('smpp'), types.ModuleType('smpp.pdu')
    smpp.__path__, package.__path__ = [], []
    smpp.pdu = package
    for module in (constants, operations, smpp_time, me):
        setattr(package, module.__name__.rpartition('.')[2], module)
        sys.modules[module.__name__] = module
    sys.modules.update({'smpp': smpp, 'smpp.pdu': package})
    return operations
