"""As much of requests as the HLR script uses; json is an attribute, as it was before 1.0."""
import base64
import json
import os
import urllib.request


class Response:
    def __init__(self, body):
        self.json = json.loads(body)


def post(url, data, auth):
    if url != 'https://api.some-provider.com/hlr/lookup':
        raise ValueError('unexpected URL ' + url)
    request = urllib.request.Request(os.environ['STANDIN_HLR'], data.encode())
    request.add_header('Authorization', 'Basic ' + base64.b64encode(':'.join(auth).encode()).decode())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return Response(opener.open(request, timeout=5).read())
