# make help lists the targets. First runs build Kubernetes and Prometheus for the
# tests and the local stack: about a quarter of an hour on 2 cores.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:

# Programs are built as the local stack builds them, so that they share Go's cache.
export CGO_ENABLED := 0
export GOWORK := off

MODULES := . local local/build/kube tools tools/lint
CONTROLLER_GEN := go tool -modfile=tools/go.mod controller-gen
API_DOCS := go tool -modfile=tools/go.mod crd-ref-docs
# Absolute, because the linter is run in each module's folder.
LINT := go tool -modfile=$(CURDIR)/tools/lint/go.mod golangci-lint

##@ Use it

.PHONY: demo
demo: bin/local ## Roll out a good and a bad version on the local stack, under load, and sum up
	@exec bin/local demo $(ARGS)

.PHONY: local
local: bin/local ## Start the local stack and keep it until Ctrl-C
	@exec bin/local up $(ARGS)

.PHONY: build
build: check ## Build the programs into bin/
	@go build -o bin/ ./cmd/...
	@ln -sf kubectl-weighlock bin/kubectl_complete-weighlock
	@go -C local build -o ../bin/local .

.PHONY: plugin
plugin: check ## Build the kubectl plugin into bin/, and what completes its words: put that folder into PATH
	@go build -o bin/kubectl-weighlock ./cmd/kubectl-weighlock
	@ln -sf kubectl-weighlock bin/kubectl_complete-weighlock

.PHONY: plugin-release
plugin-release: check ## Build the plugin for all platforms into bin/plugin/, with its manifest for krew (VERSION=v1.2.3)
	@go run ./hack/plugin-release -version "$(VERSION)"

##@ Change it

.PHONY: generate
generate: ## Write deep copies, CRDs and the API reference from api/, and the reference of the plugin from cli/
	@$(CONTROLLER_GEN) object paths=./api/...
	@$(CONTROLLER_GEN) crd paths=./api/... output:crd:dir=crds
	@$(API_DOCS) --source-path=api --config=hack/api-docs/config.yaml --templates-dir=hack/api-docs/templates \
		--renderer=markdown --output-path=docs/api.md --log-level=ERROR
	@go run ./hack/cli-docs docs/cli

.PHONY: lint
lint: check ## Lint the product and the local stack
	@failed=; \
	echo "lint: the product"; $(LINT) run || failed=1; \
	echo "lint: the local stack"; (cd local && $(LINT) run) || failed=1; \
	test -z "$$failed"

.PHONY: fmt
fmt: check ## Format the Go code as the linter wants it
	@$(LINT) fmt
	@cd local && $(LINT) fmt

.PHONY: tidy
tidy: check ## Tidy every module
	@for module in $(MODULES); do go -C $$module mod tidy; done

.PHONY: verify
verify: check ## Check that modules are tidy, generated files fresh and the linter content
	@for module in $(MODULES); do \
		echo "tidy: $$module"; \
		go -C $$module mod tidy -diff || { echo "go.mod of $$module is not tidy: run 'make tidy'" >&2; exit 1; }; \
	done
	@echo "generate"
	@hack/unchanged $(MAKE) generate
	@$(MAKE) lint

##@ Test it

.PHONY: test
test: bin/local ## Run all tests, on a real API server, and end to end on the local stack
	@hack/test $(ARGS)

.PHONY: e2e
e2e: check ## Run the end-to-end tests on the local stack COUNT times, once unless told, and sum up
	@hack/repeat $(or $(COUNT),1) $(ARGS)

ROLLOUTS ?= 100000

.PHONY: simulate
simulate: check ## Take random rollouts through the planner (ROLLOUTS=100000 of them), and hold each against what must never happen
	@go test ./rollout -run Random -rollouts $(ROLLOUTS) -count 1 -timeout 2h

.PHONY: bench
bench: bin/local ## Run the benchmarks, and weigh idle Rollouts (IDLE="1 100 1000 10000")
	@hack/bench $(IDLE)

.PHONY: bench-analysis
bench-analysis: check ## Try the verdicts and peers' rules on simulated traffic, and write docs/analysis.md (SEED=n RUNS=2000)
	@go run ./hack/bench-analysis

##@ Else

.PHONY: check
check:
	@hack/check

.PHONY: clean
clean: ## Remove what was built here (not the cache folder)
	@rm -rf bin

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Go knows best whether it is up to date.
.PHONY: bin/local
bin/local: check
	@go -C local build -o ../bin/local .
