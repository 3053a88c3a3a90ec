#!/usr/bin/env bash
# Sees to it that rabbitmq-server and redis-server are installed, for tests on a host
# without a Docker engine, which run them as child processes on ports of their own. As
# root on Debian it installs them, without starting the system's services.
#
# Usage: bash testdata/images/packages.sh
set -euo pipefail

say() { printf 'test-packages: %s\n' "$*"; }
die() { printf 'test-packages: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# As another user than root, PATH has no sbin.
PATH=$PATH:/usr/sbin:/sbin

missing=()
have redis-server || missing+=(redis-server)
{ have rabbitmq-server && have epmd; } || missing+=(rabbitmq-server)
if [ ${#missing[@]} = 0 ]; then
	say "redis-server and rabbitmq-server are there"
	exit 0
fi

by_hand="apt-get install ${missing[*]}"
have apt-get || die "without a Docker engine the tests need ${missing[*]}, and there is no apt-get to install it"
[ "$(id -u)" = 0 ] || die "without a Docker engine the tests need ${missing[*]}: run \"$by_hand\" as root, or this script as root"

# A policy of 101 keeps the packages from starting their services (invoke-rc.d(8)).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
say "installing ${missing[*]}"
log=$(mktemp)
if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
	tail -n 30 "$log" >&2
	rm -f "$log"
	die "\"$by_hand\" did not succeed"
fi
rm -f "$log"
# Nor shall they start with the machine.
if have systemctl; then
	systemctl disable --quiet "${missing[@]}" >/dev/null 2>&1 || true
fi
say "installed ${missing[*]}"
