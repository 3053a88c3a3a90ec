# Arabic, its octets as hex-content: beside the content of the message before, which is refused, and alone.
import sys, urllib.error, urllib.parse, urllib.request

api = sys.argv[1]
sms = {'username': 'foo', 'password': 'bar', 'to': '+336222172', 'content': 'Hello', 'hex-content': '0623063106460628', 'coding': 8}
for _ in range(2):
    try:
        print(urllib.request.urlopen(api + '/send?' + urllib.parse.urlencode(sms)).read().decode())
    except urllib.error.HTTPError as refused:
        print(refused.read().decode())
    sms.pop('content', None)
