#!/bin/bash
# The scenarios, embedded, with every octet on the loopback interface read by tshark's
# SMPP dissector: what jasmind and smsc-sim send must be well-formed to another implementation. What
# sends faulty PDUs on purpose, tagged @malformed, is left out. "make interop" runs this.
#
# It needs tshark and the right to capture on the loopback interface. Where it may it makes a network of its own, so that
# nothing else is captured. WORK=folder keeps the capture and the output there; FEATURES picks others.
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v tshark >/dev/null || { echo "capture: missing tshark; on Debian: apt-get install tshark" >&2; exit 2; }
if [ -z "${ALONE:-}" ] && unshare -n ip link set lo up 2>/dev/null; then
	exec env ALONE=1 unshare -n bash -c 'ip link set lo up && exec "$0"' "$PWD/testdata/interop/capture.sh"
fi

work=${WORK:-}
if [ -z "$work" ]; then
	work=$(mktemp -d)
	clean=$work
fi
mkdir -p "$work"
shark=
end() {
	[ -z "$shark" ] || kill "$shark" 2>/dev/null || true
	[ -z "${clean:-}" ] || rm -rf "$clean"
}
trap end EXIT

go test -c -o "$work/features.test" ./features
tshark -q -i lo -B 256 -f tcp -w "$work/smpp.pcapng" >"$work/tshark.log" 2>&1 &
shark=$!
for ((i = 0; i < 300; i++)); do
	! grep -q -i capturing "$work/tshark.log" || break
	sleep 0.1
done
failed=0
for f in ${FEATURES:-$(basename -s .feature features/*.feature | grep -v -x malformed)}; do
	if (cd features && "$work/features.test" -test.run TestFeatures/embedded -feature "$f.feature" -tags '~@malformed' >"$work/$f.txt" 2>&1); then
		echo "ok    $f.feature"
	else
		echo "FAIL  $f.feature"
		tail -n 40 "$work/$f.txt"
		failed=1
	fi
done
sleep 1 # what the kernel still holds for the capture
kill -INT "$shark"
wait "$shark" 2>/dev/null || true
shark=
if grep -i 'packets* dropped' "$work/tshark.log" | grep -v -q '^0 '; then
	grep -i dropped "$work/tshark.log"
	failed=1
fi

# WSP is what a scenario's WAP push would have to be; its content is not. The heuristics of the dissector find the connections; then all of these are read as SMPP, whatever they carry.
read_it() { tshark -n -r "$work/smpp.pcapng" --disable-protocol wsp --enable-heuristic smpp_tcp "$@" 2>/dev/null; }
servers=$(read_it -Y 'tcp.flags.syn == 1 && tcp.flags.ack == 0' -T fields -e tcp.dstport | sort -u)
smpp=$(read_it -Y 'smpp.command_id' -T fields -e tcp.srcport -e tcp.dstport | tr '\t' '\n' | sort -u)
decode=()
for port in $(comm -12 <(echo "$servers") <(echo "$smpp")); do
	decode+=(-d "tcp.port==$port,smpp")
done
pdus=$(read_it "${decode[@]}" -Y smpp -T fields -e smpp.command_id | tr , '\n' | sort | uniq -c)
total=$(awk '{ n += $1 } END { print n + 0 }' <<<"$pdus")
bad=$(read_it "${decode[@]}" -Y 'smpp && (_ws.malformed || _ws.expert.severity >= 0x00800000)')
echo "$pdus" >"$work/pdus"
echo "tshark read $total PDUs of $((${#decode[@]} / 2)) servers"
if [ "$total" = 0 ]; then
	echo "FAIL  tshark saw no PDU"
	failed=1
elif [ -n "$bad" ]; then
	echo "FAIL  tshark objects to $(wc -l <<<"$bad") frames, such as:"
	head -n 20 <<<"$bad"
	failed=1
else
	echo "ok    tshark finds no malformed PDU"
fi
exit $failed
