# Kiosk Fleet. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X kioskfleet/internal/daemon.Version=$(VERSION)
PROGRAMS := admin broker kiosk spawner

WEB := admin/web
WEB_SOURCES := $(shell find $(WEB)/src $(WEB)/public -type f 2>/dev/null) $(WEB)/index.html $(WEB)/vite.config.ts $(WEB)/package.json admin/api/openapi.yaml
WEB_BUILT := $(WEB)/dist/index.html
WEB_MODULES := $(WEB)/node_modules/.package-lock.json

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kioskfleet
GOLANGCI := $(CACHE)/bin/golangci-lint-2.15.0

.PHONY: help build run test bench dashboards lint clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: $(WEB_BUILT) ## build the page and the programs into bin/
	CGO_ENABLED=0 go build -ldflags '$(LDFLAGS)' -o bin/ $(addprefix ./,$(PROGRAMS))

run: build ## start admin and ten simulated kiosks; data in ./data; Ctrl-C stops both
	@exec scripts/run.sh

test: $(WEB_BUILT) ## install what the tests need and run them all
	scripts/install-test-tools.sh
	cd $(WEB) && npm run --silent check && npm test --silent
	go vet -race ./...
	go test -race -timeout 30m ./...

bench: ## run the benchmarks; the table's figures also go to bin/bench.json
	-go test -run '^$$' -bench . -benchmem $$(go list ./... | grep -v /e2e$$)
	@mkdir -p bin
	go run -ldflags '$(LDFLAGS)' ./internal/bench --json bin/bench.json

dashboards: ## write the Grafana dashboards from their definitions
	go generate ./dashboards

lint: $(GOLANGCI) ## run the linters
	$(GOLANGCI) run ./...

clean: ## remove what was built; data and caches stay
	rm -rf bin $(WEB)/node_modules
	find $(WEB)/dist -mindepth 1 ! -name .gitkeep -delete

$(WEB_MODULES): $(WEB)/package-lock.json
	cd $(WEB) && npm ci --no-audit --no-fund
	@touch $@

$(WEB_BUILT): $(WEB_MODULES) $(WEB_SOURCES)
	cd $(WEB) && npm run --silent build
	@touch $@

$(GOLANGCI):
	mkdir -p $(dir $@)
	dir=$$(mktemp -d) && cd $$dir && GOBIN=$$dir go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 && mv golangci-lint $@ && rm -rf $$dir
