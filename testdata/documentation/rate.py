# What a message would cost.
import json, sys, urllib.parse, urllib.request

query = urllib.parse.urlencode({'username': 'foo', 'password': 'bar', 'to': '06222172'})
price = json.loads(urllib.request.urlopen(sys.argv[1] + '/rate?' + query).read())
print('Unit rate price:', price['unit_rate'])
print('Units:', price['submit_sm_count'])
