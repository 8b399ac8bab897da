# Every target installs what it needs first, so each of them works alone on a fresh clone.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell scripts/find-python.sh)
VENV := .venv
BIN := $(VENV)/bin
SLICE ?= samples/shop.yaml
# Names everything that the environment is made of; the folder too, since a moved environment doesn't work.
INSTALLED := $(VENV)/.installed-$(shell { pwd; cat requirements/uv.txt requirements/dev.txt pyproject.toml scripts/install.sh; } | cksum | cut -d' ' -f1)
# A stamp without a Python that starts or the command that is installed last is a lie: install again.
ifneq ($(shell test -x $(BIN)/python && test -x $(BIN)/rslice && echo whole),whole)
.PHONY: $(INSTALLED)
endif

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "; print "Usage: make <target>\n"} /^[a-z0-9-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: $(INSTALLED) ## Install everything into .venv, from hash-locked requirements

$(INSTALLED):
	@rm -f $(VENV)/.installed-*
	@scripts/install.sh "$(PYTHON)"
	@touch $@

.PHONY: demo
demo: install ## Start the sample slice for real, prove every claim, print a table
	@$(BIN)/rslice demo

.PHONY: run
run: install ## Run a slice on this machine (SLICE=samples/shop.yaml)
	@$(BIN)/rslice run -f $(SLICE)

.PHONY: test
test: install ## Every test that needs no cluster
	@scripts/test.sh

.PHONY: test-apiserver
test-apiserver: install ## The CRD and the samples against a real kube-apiserver (built once, then cached)
	@scripts/test-apiserver.sh

.PHONY: e2e
e2e: install ## The operator in a kind cluster, every scenario (E2E_KUBECONFIG=... for another disposable cluster)
	@scripts/e2e.sh

.PHONY: e2e-smoke
e2e-smoke: install ## The scenarios that take under ten minutes together
	@scripts/e2e.sh smoke

.PHONY: images
images: install ## Build the images of operator and sample services with Docker (TAGS="1.1.0" for more tags)
	@tests/kind/cluster.sh images

.PHONY: cluster-up
cluster-up: install ## A disposable kind cluster, also without a container registry (NODES=3)
	@tests/kind/cluster.sh up

.PHONY: cluster-load-images
cluster-load-images: install ## Build the images and put them onto the cluster's nodes
	@tests/kind/cluster.sh load-images

.PHONY: cluster-down
cluster-down: install ## Remove the cluster, and stop Docker if cluster-up started it
	@tests/kind/cluster.sh down

.PHONY: lint
lint: install ## ruff, mypy, import-linter, sizes, shell, YAML, workflows, the Helm chart, checkov
	@scripts/lint.sh

.PHONY: generate
generate: install ## Write everything that is generated: CRD, reference, golden files
	@scripts/generate.sh

.PHONY: verify
verify: install ## Fail if anything generated is stale
	@scripts/verify.sh

.PHONY: mutants
mutants: install ## Break the code in seeded ways and count which tests notice (SEED=n to choose)
	@$(BIN)/python scripts/mutants.py

.PHONY: fuzz
fuzz: install ## Requests made from the OpenAPI documents (EXAMPLES=300 an operation, SEED=n to repeat)
	@$(BIN)/python -m scripts.hostile.fuzz $(if $(EXAMPLES),--examples $(EXAMPLES)) $(if $(SEED),--seed $(SEED))

.PHONY: hostile
hostile: install ## 100,000 hostile requests to the services; memory must stay flat (REQUESTS=n, SEED=n)
	@$(BIN)/python -m scripts.hostile $(if $(REQUESTS),--requests $(REQUESTS)) $(if $(SEED),--seed $(SEED))

.PHONY: chaos
chaos: install ## Random edits, accidents and deaths against the real operator and API server (SEED=n STEPS=200)
	@$(BIN)/python -m tests.kube.chaos $(if $(SEED),--seed $(SEED)) $(if $(STEPS),--steps $(STEPS))

.PHONY: bench
bench: install ## Measure, as ratios in one run (PARTS="proxy stall" for some of it)
	@$(BIN)/python -m scripts.bench $(PARTS)

.PHONY: bench-operator
bench-operator: install ## How soon traffic follows an edit; an operator with 1,000 slices (PARTS="weight --changes 50")
	@$(BIN)/python -m scripts.bench_operator $(PARTS)

.PHONY: lock
lock: install ## Renew the hash-locked requirements
	@scripts/lock.sh

.PHONY: clean
clean: ## Remove the virtual environments, caches and build output
	@rm -rf .venv .venv-* build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
