# What is left.
import json, sys, urllib.parse, urllib.request

who = urllib.parse.urlencode({'username': 'foo', 'password': 'bar'})
left = json.loads(urllib.request.urlopen(sys.argv[1] + '/balance?' + who).read())
print('Balance:', left['balance'])
print('SMS Count:', left['sms_count'])
