#!/usr/bin/env bash
# Builds the images of the test services from Debian packages, for hosts that can
# reach no image registry. With Debian 13 (trixie), the default:
#
#   jasmin-test/debian:13     made by debootstrap
#   jasmin-test/redis:13      the redis-server package on it (8.0)
#   jasmin-test/valkey:13     the valkey-server package on it (8.1)
#   jasmin-test/rabbitmq:13   the rabbitmq-server package on it (4.0)
#
# With Debian 12 (bookworm) the tags are :12, of Redis 7.0 and RabbitMQ 3.10, without Valkey.
#
# Usage: bash testdata/images/build.sh [--if-needed] [--rebuild]
#
#   JASMIND_TEST_DEBIAN   13 (default) or 12
#   --if-needed           do nothing when the official images are there or can be pulled within
#                         JASMIND_TEST_PULL_SECONDS (default 60) each
#   --rebuild             build the images again although they are there
#
# An image that is there is kept as long as its recipe is the same. Without a Docker engine the script starts one, as root
# on Debian also installing it; where that is impossible it says so and exits 0, since the
# tests can then run redis-server and rabbitmq-server as plain processes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

debian=${JASMIND_TEST_DEBIAN:-13}
base=jasmin-test/debian:$debian
recipe_label=jasmin-test.recipe
if_needed=no
rebuild=no

say() { printf 'test-images: %s\n' "$*"; }
die() { printf 'test-images: %s\n' "$*" >&2; exit 1; }

while [ $# -gt 0 ]; do
	case "$1" in
	--if-needed) if_needed=yes ;;
	--rebuild) rebuild=yes ;;
	*) die "unknown argument \"$1\"; known: --if-needed, --rebuild" ;;
	esac
	shift
done

case "$debian" in
12) release=bookworm services="redis rabbitmq" official="redis:7 rabbitmq:3.13" ;;
13) release=trixie services="redis valkey rabbitmq" official="redis:8 valkey/valkey:8 rabbitmq:4" ;;
*) die "JASMIND_TEST_DEBIAN=$debian: not one of 12, 13" ;;
esac

is_root() { [ "$(id -u)" = 0 ]; }
have() { command -v "$1" >/dev/null 2>&1; }
engine_answers() { have docker && docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
recipe_of() { docker image inspect --format "{{index .Config.Labels \"$recipe_label\"}}" "$1" 2>/dev/null || true; }
image_exists() { docker image inspect "$1" >/dev/null 2>&1; }

apt_updated=no
apt_install() {
	if [ "$apt_updated" = no ]; then
		apt-get update -qq || return 1
		apt_updated=yes
	fi
	local log
	log=$(mktemp)
	if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
}

# no_engine ends the script: the tests have another way.
no_engine() {
	say "$*; the tests will use the system's redis-server and rabbitmq-server packages"
	exit 0
}

# start_engine brings a Docker engine up, or does not return.
start_engine() {
	[ -z "${DOCKER_HOST:-}" ] || no_engine "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST"
	is_root || no_engine "no Docker engine answers, and starting one needs root"
	if ! have dockerd || ! have docker; then
		have apt-get || no_engine "no Docker engine is installed, and there is no apt-get to install it"
		say "installing docker.io"
		apt_install docker.io iptables || no_engine "docker.io could not be installed"
	fi
	if ! engine_answers; then
		say "starting dockerd"
		local log=/var/log/dockerd-jasmin-test.log
		setsid nohup dockerd >"$log" 2>&1 </dev/null 9>&- &
		local pid=$!
		for _ in $(seq 60); do
			engine_answers && break
			kill -0 "$pid" 2>/dev/null || no_engine "dockerd ended at once, see $log"
			sleep 0.5
		done
		engine_answers || no_engine "dockerd does not answer after 30 s, see $log"
	fi
	say "Docker engine $(docker version --format '{{.Server.Version}}') is up"
}

# pull IMAGE succeeds when the image is there or comes in time.
pull() {
	image_exists "$1" && return 0
	say "pulling $1"
	timeout "${JASMIND_TEST_PULL_SECONDS:-60}" docker pull -q "$1" >/dev/null 2>&1
}

# build_base makes Debian without any image to start from.
build_base() {
	if ! have debootstrap; then
		is_root || die "debootstrap is missing and installing it needs root: run \"apt-get install debootstrap\" as root, or this script as root"
		have apt-get || die "debootstrap is missing and there is no apt-get to install it; make rabbitmq and redis images available otherwise and name them in JASMIND_TEST_RABBITMQ_IMAGE and JASMIND_TEST_REDIS_IMAGE"
		say "installing debootstrap"
		apt_install debootstrap || die "debootstrap is missing and \"apt-get install debootstrap\" did not succeed"
	fi
	is_root || die "debootstrap makes device files and needs root: run this script as root"
	say "building $base (about 40 s)"
	local work rootfs
	work=$(mktemp -d "${TMPDIR:-/tmp}/jasmin-test-debian.XXXXXX")
	rootfs=$work/rootfs
	# shellcheck disable=SC2064 # the folder's name must be fixed now
	trap "rm -rf -- '$work'" EXIT
	debootstrap --variant=minbase --include=ca-certificates "$release" "$rootfs" >"$work/log" 2>&1 || {
		tail -n 20 "$work/log" >&2
		die "debootstrap $release did not succeed"
	}
	rm -rf "$rootfs"/var/cache/apt/archives/*.deb "$rootfs"/var/lib/apt/lists/*
	# The build host's name servers and names are no part of the image.
	rm -f "$rootfs/etc/resolv.conf" "$rootfs/etc/hostname"
	tar -C "$rootfs" -c . | docker import - "$base" >/dev/null
	rm -rf -- "$work"
	trap - EXIT
}

# build_service NAME
build_service() {
	local image=jasmin-test/$1:$debian folder=$1 recipe log
	[ "$1" = valkey ] && folder=redis
	recipe=$(cat "$folder"/* | sha256sum | cut -c 1-16)
	if [ "$rebuild" = no ] && [ "$(recipe_of "$image")" = "$recipe" ]; then
		say "$image is there"
		return
	fi
	if [ "$base_done" = no ]; then
		if [ "$rebuild" = no ] && image_exists "$base"; then say "$base is there"; else build_base; fi
		base_done=yes
	fi
	say "building $image"
	log=$(mktemp)
	# The host's network: a build must reach the package mirrors as the host does.
	docker build --network host --no-cache --label "$recipe_label=$recipe" \
		--build-arg "BASE=$base" --build-arg "SERVER=$1" -t "$image" "$folder" >"$log" 2>&1 || {
		tail -n 30 "$log" >&2
		rm -f "$log"
		die "docker build of $image did not succeed"
	}
	rm -f "$log"
}

# Two runs at a time would build everything twice. The lock is on a folder that all checkouts
# of one machine share and any user can open.
if have flock; then
	exec 9<"${TMPDIR:-/tmp}"
	flock 9
fi

engine_answers || start_engine

all() {
	local do=$1 what
	shift
	for what in "$@"; do "$do" "$what" || return 1; done
}
built() { image_exists "jasmin-test/$1:$debian"; }

# shellcheck disable=SC2086 # lists of words
if [ "$if_needed" = yes ] && [ "$rebuild" = no ]; then
	if ! all built $services && all pull $official; then
		say "the official images are there, nothing to build"
		exit 0
	fi
fi

base_done=no
for s in $services; do build_service "$s"; done
say "ready:$(for s in $services; do printf ' jasmin-test/%s:%s' "$s" "$debian"; done)"
