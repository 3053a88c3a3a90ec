# A receipt of the terminal's is asked for; no method is given.
import sys, urllib.parse, urllib.request

api, page = sys.argv[1:]
sms = {'username': 'foo', 'password': 'bar', 'to': '+336222172', 'content': 'Hello', 'dlr-url': page, 'dlr-level': 2}
print(urllib.request.urlopen(api + '/send?' + urllib.parse.urlencode(sms)).read().decode())
