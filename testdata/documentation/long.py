# More than 160 characters.
import sys, urllib.parse, urllib.request

api = sys.argv[1]
sms = {'username': 'foo', 'password': 'bar', 'to': '+336222172', 'content': 'Very long message ' + 180 * '.'}
print(urllib.request.urlopen(api + '/send?' + urllib.parse.urlencode(sms)).read().decode())
