# The verbs of this house. `make` alone prints them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
NODE := $(PYTHON) -m tests.cluster.node
export PYTHONPATH := operator:.
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help
help: ## Print the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): operator/requirements.lock tests/requirements.lock pyproject.toml
	@echo "installing Python packages into $(VENV) (about 400 MB, a minute or two; later runs reuse it)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: setup
setup: $(STAMP) ## Install the Python packages into .venv

.PHONY: demo
demo: $(STAMP) ## From nothing to a served prediction, told as it happens; leaves the cluster up
	@echo "needs: root or Docker, 10 GB of disk, two cores; the first run builds a Kubernetes node from source, about 15 minutes, once" >&2
	@$(BIN)/python -m tests.demo

.PHONY: test
test: $(STAMP) ## Every test, the ones on a real cluster among them
	@echo "needs: root or Docker, 10 GB of disk, two cores; the first run builds a Kubernetes node from source, about 15 minutes, once" >&2
	@$(BIN)/python -m pytest tests/unit tests/stories -q -n auto
	@$(BIN)/python tests/cluster/node/binaries.py > /dev/null
	@$(BIN)/python -m pytest tests/chart tests/demo tests/cluster -q

.PHONY: check
check: $(STAMP) ## Lint, types, architecture, words
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=operator $(BIN)/lint-imports --no-logo
	@$(BIN)/python tests/house.py

.PHONY: generate
generate: $(STAMP) ## Write what is generated: CRDs, the chart's copies, tables in the manuals, the command line's help
	@$(BIN)/python tests/generate.py

.PHONY: verify
verify: generate ## Fail when a generated file is not current
	@git diff --exit-code -- crds charts operator/docs || \
	  { echo "generated files are not current: run make generate and commit" >&2; exit 1; }

.PHONY: lock
lock: $(STAMP) ## Choose dependency versions anew
	@$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-header --python-version 3.11 pyproject.toml -o operator/requirements.lock
	@$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-header --python-version 3.11 pyproject.toml --group dev --group demo -o tests/requirements.lock
	@cd tests/demo/server && ../../../$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-header --python-version 3.11 --python-platform x86_64-unknown-linux-gnu requirements.in -o requirements.lock

.PHONY: cluster-up
cluster-up: ## Start a real Kubernetes node with an object store (CLUSTER=kind where Docker answers)
	@$(NODE) up

.PHONY: cluster-down
cluster-down: ## Stop it and leave nothing behind
	@$(NODE) down

.PHONY: kubeconfig
kubeconfig: ## Print the admin's kubeconfig
	@$(NODE) kubeconfig

.PHONY: bench
bench: $(STAMP) ## Measure; a table here, rows in build/bench.json
	@$(BIN)/python -m tests.bench
