import importlib.machinery, json, os, sys, types
while '' in sys.path:
    sys.path.remove('')
for fd in (3, 4, 5):
    os.set_inheritable(fd, False)
requests, answers = os.fdopen(3, 'rb'), os.fdopen(4, 'wb')
settings = json.loads(requests.read(int.from_bytes(requests.read(4), 'big')))
sys.path[:0] = settings.pop('path')
settings.update(requests=requests, answers=answers, lifeline=5)


def load(name, source):
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    sys.modules[name] = module
    exec(compile(source, '<jasmind %s>' % name, 'exec'), module.__dict__)
    return module


sources = settings.pop('sources')
load('smpp.pdu.pdu_types', sources['pdu_types']).install(settings['statuses'], settings['commands'], settings['tags'])
load('jasmin.routing.Routables', sources['routables']).install()
load('jasmind_worker', sources['worker']).main(settings)
