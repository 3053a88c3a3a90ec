"""What a script is given: the routable with its pdu, tags, locks, user and connector."""
import sys
import types


class InvalidRoutableParameterError(Exception):
    """A routable was made of something else than it needs."""


class InvalidTagError(Exception):
    """A tag is neither a number nor a string."""


class TagNotFoundError(Exception):
    """A tag that is not there cannot be removed."""


class InvalidLockError(Exception):
    """Only a parameter that the pdu has can be locked."""


class jasminApiCredentialError(Exception):
    """No credential has this name."""


def _tag(tag):
    if not isinstance(tag, (int, str)):
        raise InvalidTagError('Non int or str tag given: (%s):%s' % (type(tag), tag))
    return str(tag)


class Routable:
    def __init__(self, pdu, date_time, tags=()):
        self.pdu = pdu
        self.datetime = self.date_time = date_time
        self._tags = list(tags)
        self._pdu_locks = []

    def addTag(self, tag):
        self._tags.append(_tag(tag))

    def hasTag(self, tag):
        return _tag(tag) in self._tags

    def getTags(self):
        return self._tags

    def removeTag(self, tag):
        if _tag(tag) not in self._tags:
            raise TagNotFoundError('Trying to remove non existent tag: %s' % tag)
        self._tags.remove(_tag(tag))

    def flushTags(self):
        self._tags = []

    def getTlvParam(self, param_name, default=None):
        return self.pdu.params.get(param_name, default)

    def setTlvParam(self, param_name, value):
        self.pdu.params[param_name] = value

    def getCustomTlvs(self):
        return self.pdu.custom_tlvs

    def addCustomTlv(self, tag, value_type, value, length=None):
        self.pdu.custom_tlvs.append((tag, length, value_type, value))

    def _known(self, param):
        if param not in self.pdu.params:
            raise InvalidLockError('Invalid locking param: %s' % param)
        return param

    def lockPduParam(self, param):
        self._pdu_locks.append(self._known(param))

    def pduParamIsLocked(self, param):
        return self._known(param) in self._pdu_locks

    def flushPduLocks(self):
        self._pdu_locks = []


class RoutableSubmitSm(Routable):
    """A mobile-terminated message and the user who sends it."""

    def __init__(self, pdu, user, date_time=None, tags=()):
        super().__init__(pdu, date_time, tags)
        self.user = user


class RoutableDeliverSm(Routable):
    """A mobile-originated message and the connector that it came in by."""

    def __init__(self, pdu, connector, date_time=None, tags=()):
        super().__init__(pdu, date_time, tags)
        self.connector = connector


class Credential:
    """What a user may do and what he has left; a copy, changes of it go nowhere."""

    def __init__(self, quotas, defaults):
        self.quotas, self.defaults = quotas, defaults

    def getQuota(self, key):
        return self._get(self.quotas, key, 'Quota key')

    def getDefaultValue(self, key):
        return self._get(self.defaults, key, 'Default value')

    @staticmethod
    def _get(values, key, what):
        if key not in values:
            raise jasminApiCredentialError('%s is not a valid %s' % (key, what))
        return values[key]


class Group:
    enabled = True

    def __init__(self, gid):
        self.gid = gid

    def __str__(self):
        return str(self.gid)


class User:
    enabled = True
    password = None

    def __init__(self, uid, group, username, mt_credential=None, smpps_credential=None):
        self.uid, self.group, self.username = uid, group, username
        self.mt_credential, self.smpps_credential = mt_credential, smpps_credential

    def __str__(self):
        return self.username


class Connector:
    _type = 'generic'

    def __init__(self, cid):
        self.cid = cid

    def __repr__(self):
        return '<%s Connector>' % self._type

    def __str__(self):
        return '%s Connector' % self._type


def install():
    """Makes the modules of the classes above, for scripts that import them."""
    me = sys.modules[__name__]
    jasmin, routing = types.ModuleType('jasmin'), types.ModuleType('jasmin.routing')
    jasmin.__path__, routing.__path__ = [], []
    jasmin.routing = routing
    for name in ('Routables', 'jasminApi'):
        setattr(routing, name, me)
        sys.modules['jasmin.routing.' + name] = me
    sys.modules.update({'jasmin': jasmin, 'jasmin.routing': routing})
