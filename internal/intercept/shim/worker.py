"""The worker: takes messages from one pipe, runs scripts on them, answers on another.

A frame is its length in four octets, big-endian, and a JSON object. Frames to the parent are
an answer for each request, in order, and log records at any time.
"""
import datetime
import faulthandler
import hashlib
import io
import json
import logging
import math
import os
import re
import resource
import struct
import sys
import threading
import tokenize
import traceback

from smpp.pdu import pdu_types as types_
from jasmin.routing import Routables as routables

TEXT = 8192  # longest text of a log record or an exception
send_lock = threading.Lock()
requests = answers = None
scripts = {}


def receive():
    head = requests.read(4)
    if len(head) < 4:
        return None
    return json.loads(requests.read(int.from_bytes(head, 'big')))


def send(frame):
    data = json.dumps(frame).encode()
    with send_lock:
        answers.write(len(data).to_bytes(4, 'big') + data)
        answers.flush()


class ToParent(logging.Handler):
    """Hands log records to the parent process."""

    def emit(self, record):
        try:
            text = record.getMessage()
            if record.exc_info:
                text += '\n' + ''.join(traceback.format_exception(*record.exc_info))
            line = record.lineno if record.pathname in (s[1] for s in list(scripts.values())) else 0
            send({'log': {'level': record.levelno, 'logger': record.name, 'text': text[:TEXT], 'line': line}})
        except Exception:
            self.handleError(record)


def single_semicolons(source):
    """Blanks every semicolon that follows another one, as in the documentation's own example."""
    lines = source.splitlines(keepends=True)
    last = None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.OP and token.string == ';':
            if last == ';':
                row, col = token.start
                lines[row - 1] = lines[row - 1][:col] + ' ' + lines[row - 1][col + 1:]
        last = token.string
    return ''.join(lines)


def compiled(source, name):
    try:
        return compile(source, name, 'exec', dont_inherit=True)
    except SyntaxError as original:
        try:
            return compile(single_semicolons(source), name, 'exec', dont_inherit=True)
        except (SyntaxError, tokenize.TokenError):
            raise original from None


def params_of(request):
    params = {name: pair[0](request['params'][name]) for name, pair in types_.MANDATORY.items()}
    for name, value in request['tlvs'].items():
        numeric = isinstance(value, int)
        into = types_.optional(name, numeric)[0]
        if numeric == (into in (types_.octets, types_.callback_num, types_.subaddress)):
            into = types_.same if numeric else types_.octets
        params[name] = into(value)
    return params


def custom_in(t):
    return t[0], t[1], t[2], t[3]['b'].encode('latin-1') if isinstance(t[3], dict) else t[3]


def custom_out(t):
    tag, length, kind, value = t
    if isinstance(value, (bytes, bytearray)):
        value = {'b': bytes(value).decode('latin-1')}
    elif isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError('custom_tlvs: the value of %r must be bytes, str or int' % (tag,))
    return [tag, length, kind, value]


def routable_of(request):
    command = 'SubmitSM' if request['mt'] else 'DeliverSM'
    pdu = getattr(sys.modules['smpp.pdu.operations'], command)()
    pdu.params = params_of(request)
    pdu.custom_tlvs = [custom_in(t) for t in request['custom']]
    at = datetime.datetime.fromisoformat(request['time'])
    if not request['mt']:
        return routables.RoutableDeliverSm(pdu, routables.Connector(request['cid']), at, request['tags'])
    u = request['user']
    quota = dict(u['quotas'])
    if quota['balance'] is not None:
        quota['balance'] = float(quota['balance'])
    user = routables.User(u['uid'], routables.Group(u['gid']), u['username'],
                          routables.Credential(quota, {'source_address': u['default_source']}),
                          routables.Credential({'max_bindings': u['max_bindings']}, {}))
    return routables.RoutableSubmitSm(pdu, user, at, request['tags'])


def wire_of(name, value):
    pair = types_.MANDATORY.get(name)
    if pair is None:
        pair = types_.OCTETS if isinstance(value, bytes) else types_.optional(name, isinstance(value, int))
    try:
        out = pair[1](value)
    except (TypeError, ValueError, KeyError) as e:
        raise TypeError('%s cannot be %r: %s' % (name, value, e)) from None
    if isinstance(out, tuple):
        kind, out = out
        return {kind: out if kind == 's' else out.decode('latin-1')}
    return out


def changes(request, routable):
    """What the script changed, in the form of an answer."""
    answer, params = {}, routable.pdu.params
    changed = {}
    for name, before in request['params'].items():
        after = wire_of(name, params.get(name))
        if after is None:
            after = {'b': ''}
        if after != (before if isinstance(before, int) else {'b': before}):
            changed[name] = after
    tlvs = request['tlvs']
    for name, value in params.items():
        if name in types_.MANDATORY:
            continue
        name = types_.ALIASES.get(name, name)
        if name not in tag_names:
            logging.getLogger('interceptor').warning('pdu.params[%r] is not a parameter of a message, ignored', name)
            continue
        after = None if value is None else wire_of(name, value)
        before = tlvs.get(name)
        if after != (before if before is None or isinstance(before, int) else {'b': before}):
            changed[name] = after
    for name in tlvs:
        if name not in params:
            changed[name] = None
    if changed:
        answer['params'] = changed
    tags = [str(t) for t in routable.getTags()]
    if tags != request['tags']:
        answer['tags'] = tags
    custom = [custom_out(t) for t in routable.pdu.custom_tlvs]
    if custom != request['custom']:
        answer['custom'] = custom
    if routable._pdu_locks:
        answer['locks'] = sorted(set(routable._pdu_locks))
    return answer


def status_of(value):
    """A status as a number; text when it is something else, so that the parent can tell."""
    if isinstance(value, types_.CommandStatus):
        return types_.WIRE[types_.CommandStatus][value]
    if value is None or isinstance(value, int):
        return None if value is None else max(-1, min(int(value), 1 << 31))
    return repr(value)[:100]


def failure(e, name):
    line = 0
    if isinstance(e, SyntaxError) and e.filename == name:
        line = e.lineno or 0
    for frame in traceback.extract_tb(e.__traceback__):
        if frame.filename == name:
            line = frame.lineno
    frames = [f for f in traceback.format_exception(type(e), e, e.__traceback__) if 'File "<jasmind ' not in f]
    return {'type': type(e).__name__, 'text': str(e)[:TEXT], 'line': line, 'trace': ''.join(frames)[-TEXT:]}


def run(request):
    name = request['name']
    glo = None
    try:
        if request.get('forget'):
            scripts.clear()
        if 'source' in request:
            scripts[request['script']] = compiled(request['source'], name), name
        if request['do'] == 'check':
            return {}
        code = scripts[request['script']][0]
        routable = routable_of(request)
        glo = {'__builtins__': __builtins__, '__name__': 'interceptor', '__file__': name, 'routable': routable,
               'hashlib': hashlib, 're': re, 'json': json, 'datetime': datetime, 'math': math, 'struct': struct}
        if request['do'] == 'filter':
            glo['result'] = False
            exec(code, glo)
            return {'result': glo.get('result') is True}
        glo.update(smpp_status=None, http_status=None, extra={})
        exec(code, glo)
        smpp, http, extra = status_of(glo.get('smpp_status')), status_of(glo.get('http_status')), glo.get('extra')
        if smpp is not None or http is not None:
            answer = {'smpp': smpp, 'http': http}
            if isinstance(extra, dict) and extra.get('message_id') is not None:
                mid = extra['message_id']
                answer['message_id'] = mid.decode('utf-8', 'replace') if isinstance(mid, bytes) else str(mid)
            return answer
        if not isinstance(glo.get('routable'), routables.Routable):
            raise TypeError('routable was replaced by %r' % (glo.get('routable'),))
        return changes(request, glo['routable'])
    except BaseException as e:  # sys.exit() in a script ends the script, not the worker
        glo = None
        answer = {'error': failure(e, name)}
        if isinstance(e, MemoryError):
            answer['fatal'] = True
        return answer


def json_default(self, value):
    """json.dumps of an address: they are bytes, and json knows none."""
    if isinstance(value, bytes):
        return value.decode('utf-8', 'replace')
    raise TypeError('Object of type %s is not JSON serializable' % type(value).__name__)


def leave_in_child():
    requests.close()
    os.close(answers.fileno())


def follow_parent(fd):
    """Ends this process when the parent is gone, also while a script runs."""
    os.read(fd, 1)
    os._exit(0)


def main(settings):
    global requests, answers, tag_names
    requests, answers = settings.pop('requests'), settings.pop('answers')
    tag_names = {name for name, _ in settings['tags']}
    threading.Thread(target=follow_parent, args=(settings['lifeline'],), daemon=True).start()
    os.register_at_fork(after_in_child=leave_in_child)
    sys.stdout.reconfigure(encoding='utf-8', errors='backslashreplace', line_buffering=True)
    sys.stderr.reconfigure(encoding='utf-8', errors='backslashreplace', line_buffering=True)
    faulthandler.enable()  # where a script hung is told before the process dies of SIGABRT
    json.JSONEncoder.default = json_default
    root = logging.getLogger()
    root.handlers[:] = [ToParent()]
    root.setLevel(settings['level'])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if settings['memory']:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = settings['memory'] if hard == resource.RLIM_INFINITY else min(settings['memory'], hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    send({'ready': sys.version.split()[0]})
    while True:
        request = receive()
        if request is None:
            return
        answer = run(request)
        answer.update(id=request['id'], have=request['script'] in scripts)
        try:
            send(answer)
        except (UnicodeError, ValueError, TypeError) as e:
            send({'id': request['id'], 'error': failure(e, request['name'])})
        if 'fatal' in answer:
            return
