# "make help" lists the targets. The tools are pinned in tools.mod and come through the Go
# module proxy; nothing else is downloaded.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
LDFLAGS := -X main.version=$(VERSION)

FUZZTIME ?= 30s
FUZZ     ?= .
BENCH    ?= .
COUNT    ?= 1
# Options of go test for all test targets, such as TESTFLAGS="-run Receipt -v".
TESTFLAGS ?=
TIMEOUT   ?= 20m

TOOL    := $(GO) tool -modfile=tools.mod
TESTENV := bin/testenv --
GOTEST  := $(GO) test -race -shuffle=on -timeout=$(TIMEOUT) $(TESTFLAGS)

# Packages with tests, told apart by whether these need RabbitMQ and Redis.
TESTED := {{if or .TestGoFiles .XTestGoFiles}}
IMPORTS := {{range .Imports}}{{.}} {{end}}{{range .TestImports}}{{.}} {{end}}{{range .XTestImports}}{{.}} {{end}}
LIST_TESTED = $(GO) list -f '$(TESTED){{.ImportPath}} $(IMPORTS){{end}}' ./...
NEEDS_SERVICES := jasmind/internal/testenv|^jasmind/features
UNIT_PACKAGES = $$($(LIST_TESTED) | awk 'NF && !/$(subst /,\/,$(NEEDS_SERVICES))/ { print $$1 }')
SERVICE_PACKAGES = $$($(LIST_TESTED) | awk '/$(subst /,\/,$(NEEDS_SERVICES))/ { print $$1 }')

.PHONY: build run demo test check fmt fmt-check vet lint arch unit gen gen-check features interop integration integration-old fuzz bench benchstat cover test-images clean help

build: ## build bin/jasmind, bin/smsc-sim and bin/loadgen
	@mkdir -p bin
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

run: build ## start jasmind (embedded) and smsc-sim, print a curl command, stop both with Ctrl-C
	@mkdir -p bin && $(GO) build -o bin/demo ./internal/demo/cmd/demo
	@exec bin/demo run

demo: build ## one message to the simulator and its delivery receipt back, each step printed
	@mkdir -p bin && $(GO) build -o bin/demo ./internal/demo/cmd/demo
	@exec bin/demo demo

test: bin/testenv ## run every test, RabbitMQ and Redis included (started as needed)
	$(TESTENV) $(GOTEST) ./...

check: fmt-check vet lint gen-check arch unit ## all that needs no services: format, vet, lint, generated files, imports, unit tests

fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')

fmt-check: ## list files that are not formatted
	@bad=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go' | while read -r f; do [ ! -e "$$f" ] || echo "$$f"; done)); \
	if [ -n "$$bad" ]; then echo "not formatted (make fmt):"; echo "$$bad"; exit 1; fi

vet: ## go vet
	$(GO) vet ./...

lint: ## golangci-lint with .golangci.yml
	$(TOOL) golangci-lint run ./...

arch: ## which package imports which: internal/arch_test.go
	$(GO) test ./internal/

unit: ## tests that need no services, with the race detector
	$(GOTEST) $(UNIT_PACKAGES)

features: bin/testenv ## the scenarios of features/, embedded and on RabbitMQ and Redis; ARGS="-feature receipts.feature" picks some
	$(TESTENV) $(GOTEST) ./features $(if $(ARGS),-args $(ARGS))

interop: build ## Kannel against jasmind and smsc-sim, and the scenarios about SMPP, both read by tshark; installs both where apt-get may, else says what lacks
	@command -v tshark >/dev/null && PATH=$$PATH:/usr/sbin command -v bearerbox >/dev/null \
		|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q kannel tshark; } \
		|| true
	@testdata/interop/kannel.sh
	@testdata/interop/capture.sh

integration: bin/testenv ## the tests that need RabbitMQ and Redis
	$(TESTENV) $(GOTEST) $(SERVICE_PACKAGES)

CONTRACTS := ./internal/queue/rabbit ./internal/journal/services ./internal/store/redis

integration-old: bin/testenv ## the contracts of queue, journal and store with the services of Debian 12, and those of journal and store with Valkey
	JASMIND_TEST_DEBIAN=12 $(TESTENV) $(GOTEST) -run Contract $(CONTRACTS)
	JASMIND_TEST_REDIS_IMAGE=jasmin-test/valkey:13 $(TESTENV) $(GOTEST) -run Contract $(filter-out %/rabbit,$(CONTRACTS))

fuzz: ## run every fuzz target for FUZZTIME, one after the other; FUZZ=name picks some
	@for p in $$($(GO) list -f '$(TESTED){{.ImportPath}}{{end}}' ./...); do \
		listed=$$($(GO) test -list '^Fuzz' $$p); \
		for f in $$(echo "$$listed" | grep -E '^Fuzz' | grep -E '$(FUZZ)' || true); do \
			echo "== $$p $$f"; \
			$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; \
		done; \
	done

bench: bin/testenv ## run the benchmarks; BENCH=regexp, COUNT=n; compare two outputs with "make benchstat"
	$(TESTENV) $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -timeout=$(TIMEOUT) ./...

benchstat: ## compare benchmark outputs: make benchstat FILES="old.txt new.txt"
	$(TOOL) benchstat $(FILES)

cover: bin/testenv ## test coverage of all packages together: cover.out, cover.html and the total
	$(TESTENV) $(GO) test -timeout=$(TIMEOUT) -coverpkg=./internal/... -coverprofile=cover.out $(TESTFLAGS) ./...
	$(GO) tool cover -html=cover.out -o cover.html
	@$(GO) tool cover -func=cover.out | tail -n 1

gen: ## write the generated files again
	$(GO) generate ./...
	$(GO) run ./cmd/jasmind config print > docs/jasmin.cfg

gen-check: ## fail if a generated file is not what "make gen" writes
	@tmp=$$(mktemp); trap 'rm -f "$$tmp"' EXIT; \
	$(GO) run ./cmd/jasmind config print > "$$tmp"; \
	diff -u docs/jasmin.cfg "$$tmp" || { echo "docs/jasmin.cfg is not what the code prints: run make gen"; exit 1; }

test-images: ## build the container images of RabbitMQ and Redis for the tests from Debian packages
	bash testdata/images/build.sh

clean: ## remove what the targets above made
	rm -rf bin cover.out cover.html

# Always given to go build, which knows whether anything changed.
.PHONY: bin/testenv
bin/testenv:
	@mkdir -p bin
	$(GO) build -o bin/testenv ./internal/testenv/cmd/testenv

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
