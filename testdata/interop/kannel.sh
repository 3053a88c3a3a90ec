#!/bin/bash
# Kannel against jasmind and smsc-sim, with every octet between them read by tshark's SMPP
# dissector. Kannel is a client of our SMPP server, and of smsc-sim as well, so that both of
# our sides as an SMSC are seen by it. "make interop" runs this.
#
# It needs bin/jasmind and bin/smsc-sim, Kannel, tshark, curl and python3, and the right to
# capture on the loopback interface. All it starts it stops; WORK=folder keeps the logs there.
set -euo pipefail
cd "$(dirname "$0")/../.."

missing=()
for tool in curl python3 tshark bearerbox smsbox; do
	PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null || missing+=("$tool")
done
if ((${#missing[@]})); then
	echo "interop: missing ${missing[*]}; on Debian: apt-get install kannel tshark curl python3" >&2
	exit 2
fi
for tool in bin/jasmind bin/smsc-sim; do
	[ -x $tool ] || { echo "interop: missing $tool; make build" >&2; exit 2; }
done
PATH=$PATH:/usr/sbin

work=${WORK:-}
if [ -z "$work" ]; then
	work=$(mktemp -d)
	trap 'stop; rm -rf "$work"' EXIT
else
	mkdir -p "$work"
	trap 'stop' EXIT
fi
pids=()
stop() {
	for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
		kill "${pids[i]}" 2>/dev/null || true
		wait "${pids[i]}" 2>/dev/null || true
	done
	pids=()
}

# until_true WHAT COMMAND...: waits up to a minute.
until_true() {
	local what=$1 end=$((SECONDS + 60))
	shift
	until "$@" >/dev/null 2>&1; do
		if ((SECONDS > end)); then
			echo "FAIL  $what"
			failed=1
			return 0
		fi
		sleep 0.2
	done
	echo "ok    $what"
}
failed=0

read -r admin box sendsms hook < <(python3 -c '
import socket
s = [socket.socket() for _ in range(4)]
for x in s: x.bind(("127.0.0.1", 0))
print(*[x.getsockname()[1] for x in s])')

# The customer's pages: each request is a line.
python3 -u -c '
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.path, flush=True)
        self.send_response(200); self.end_headers(); self.wfile.write(b"ACK/Jasmin")
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()' "$hook" >"$work/pages" &
pids+=($!)

cat >"$work/sim.yaml" <<EOF
smpp: 127.0.0.1:0
http: 127.0.0.1:0
log: none
accounts:
  - {system_id: gateway, password: secret}
  - {system_id: kannel, password: secret}
EOF
bin/smsc-sim --config "$work/sim.yaml" --ready-file "$work/sim.json" >"$work/sim.log" 2>&1 &
pids+=($!)
until_true "smsc-sim is up" test -s "$work/sim.json"
field() { python3 -c 'import json,sys; d=json.load(open(sys.argv[1]))
for k in sys.argv[2:]: d=d[k]
print(d)' "$@"; }
sim=$(field "$work/sim.json" smpp)
api=http://$(field "$work/sim.json" http | sed 's|^http://||')

cat >"$work/provision.yaml" <<EOF
groups: [{gid: customers}]
users:
  - {uid: u1, username: kannel, password: secret, gid: customers}
smpp_connectors:
  - {cid: sim, host: 127.0.0.1, port: ${sim##*:}, username: gateway, password: secret, submit_throughput: 0, con_fail_delay: 1}
mt_routes: [{type: DefaultRoute, connector: smppc(sim)}]
mo_routes: [{type: DefaultRoute, connector: smpps(kannel)}]
EOF
env ROOT_PATH="$work/root" LOG_PATH="$work/log" GATEWAY_MODE=embedded HTTP_API_PORT=0 SMPP_SERVER_PORT=0 JCLI_PORT=0 \
	bin/jasmind --provision "$work/provision.yaml" --ready-file "$work/jasmind.json" >"$work/jasmind.log" 2>&1 &
pids+=($!)
until_true "jasmind is up" test -s "$work/jasmind.json"
smpp=$(python3 -c 'import json,sys
def walk(d):
    for k, v in d.items():
        if isinstance(v, dict): yield from walk(v)
        else: yield k, v
print(next(v for k, v in walk(json.load(open(sys.argv[1]))) if "smpp" in k))' "$work/jasmind.json")

tshark -q -i lo -f "tcp port ${sim##*:} or tcp port ${smpp##*:}" -w "$work/smpp.pcapng" >"$work/tshark.log" 2>&1 &
shark=$!
pids+=($shark)
until_true "tshark captures" grep -q -i capturing "$work/tshark.log"

smsc() { cat <<EOF
group = smsc
smsc = smpp
smsc-id = $1
allowed-smsc-id = $1
host = 127.0.0.1
port = $2
transceiver-mode = true
smsc-username = kannel
smsc-password = secret
system-type = VMA
interface-version = 34
enquire-link-interval = 5
reconnect-delay = 1

EOF
}
cat >"$work/kannel.conf" <<EOF
group = core
admin-port = $admin
admin-password = secret
smsbox-port = $box
box-allow-ip = 127.0.0.1
log-file = $work/bearerbox.log
log-level = 0
dlr-storage = internal

$(smsc jasmind "${smpp##*:}")

$(smsc sim "${sim##*:}")

group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = $box
sendsms-port = $sendsms
global-sender = 1234
log-file = $work/smsbox.log
log-level = 0

group = sendsms-user
username = tester
password = secret
concatenation = true
max-messages = 10

group = sms-service
keyword = default
catch-all = true
max-messages = 0
get-url = "http://127.0.0.1:$hook/mo?smsc=%i&from=%p&to=%P&text=%a"
EOF
bearerbox "$work/kannel.conf" >"$work/bearerbox.out" 2>&1 &
pids+=($!)
status() { curl -sf "http://127.0.0.1:$admin/status.txt?password=secret"; }
online() { [ "$(status | grep -c online)" -ge 2 ]; }
until_true "Kannel is bound to jasmind and to smsc-sim" online
smsbox "$work/kannel.conf" >"$work/smsbox.out" 2>&1 &
pids+=($!)
until_true "Kannel takes messages" curl -s "http://127.0.0.1:$sendsms/cgi-bin/sendsms"

send() { # smsc to text
	curl -sfG "http://127.0.0.1:$sendsms/cgi-bin/sendsms" --data-urlencode username=tester --data-urlencode password=secret \
		--data-urlencode "smsc=$1" --data-urlencode from=1234 --data-urlencode "to=$2" --data-urlencode "text=$3" \
		--data-urlencode dlr-mask=31 --data-urlencode "dlr-url=http://127.0.0.1:$hook/dlr?smsc=$1&to=$2&state=%d" >/dev/null
}
at_sim() { curl -sfG "$api/messages/count" --data-urlencode "to=$1" --data-urlencode "joined=true" | grep -q '[1-9]'; }
page() { grep -q -- "$1" "$work/pages"; }
mo() { # account from to text
	curl -sf "$api/mo" -d "{\"account\":\"$1\",\"from\":\"$2\",\"to\":\"$3\",\"text\":\"$4\"}" >>"$work/mo.json"
}

long=$(printf 'long message %.0s' {1..30})
for via in jasmind sim; do
	n=$([ $via = jasmind ] && echo 1 || echo 2)
	send $via "3361000000$n" "hello via $via"
	until_true "MT by Kannel via $via arrives" at_sim "3361000000$n"
	until_true "its answer reaches Kannel ($via)" page "/dlr?smsc=$via&to=3361000000$n&state=8"
	until_true "its receipt reaches Kannel ($via)" page "/dlr?smsc=$via&to=3361000000$n&state=1"
	send $via "3362000000$n" "$long"
	until_true "a long MT by Kannel via $via arrives and joins" at_sim "3362000000$n"
	until_true "its receipt reaches Kannel ($via)" page "/dlr?smsc=$via&to=3362000000$n&state=1"
done
mo gateway 447900000001 1234 "hello-from-outside" || true
until_true "MO through jasmind reaches Kannel" page "/mo?smsc=jasmind&.*text=hello-from-outside"
mo kannel 447900000002 1234 "hello-from-the-simulator" || true
until_true "MO of smsc-sim reaches Kannel" page "/mo?smsc=sim&.*text=hello-from-the-simulator"

online_still() { status | grep -q "online" && [ "$(grep -c 'SMPP.*Couldn.t\|re-connecting' "$work/bearerbox.log" || true)" = 0 ]; }
until_true "Kannel lost no bind" online_still

sleep 6 # one enquire_link of Kannel, every 5 seconds, in each session
kill -INT $shark
wait $shark 2>/dev/null || true
decode=(-r "$work/smpp.pcapng" -d "tcp.port==${sim##*:},smpp" -d "tcp.port==${smpp##*:},smpp")
pdus=$(tshark "${decode[@]}" -Y smpp -T fields -e smpp.command_id 2>/dev/null | tr , '\n' | grep -c . || true)
bad=$(tshark "${decode[@]}" -Y '_ws.malformed || (smpp && _ws.expert.severity >= 0x00800000)' 2>/dev/null || true)
echo "tshark read $pdus PDUs"
[ "$pdus" -gt 0 ] || { echo "FAIL  tshark saw no PDU"; failed=1; }
if [ -n "$bad" ]; then
	echo "FAIL  tshark objects to:"
	echo "$bad" | head -20
	failed=1
else
	echo "ok    tshark finds no malformed PDU"
fi
[ $failed = 0 ] || [ -z "${WORK:-}" ] || echo "logs are in $work"
exit $failed
