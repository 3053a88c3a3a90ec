# Arabic, its octets as content.
import sys, urllib.parse, urllib.request

api = sys.argv[1]
sms = {'username': 'foo', 'password': 'bar', 'to': '+336222172', 'content': '\x06\x23\x06\x31\x06\x46\x06\x28', 'coding': 8}
print(urllib.request.urlopen(api + '/send?' + urllib.parse.urlencode(sms)).read().decode())
