# The fewest parameters, then with an originating address.
import sys, urllib.parse, urllib.request

api = sys.argv[1]
sms = {'username': 'foo', 'password': 'bar', 'to': '+336222172', 'content': 'Hello'}
for more in ({}, {'from': 'Jasmin GW'}):
    query = urllib.parse.urlencode({**sms, **more})
    print(urllib.request.urlopen(api + '/send?' + query).read().decode())
