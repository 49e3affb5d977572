# `make` or `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
export TRADINGENGINE_CACHE ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/tradingengine
export PYTHONPATH := $(CURDIR)/operator:$(CURDIR)/apps:$(CURDIR)/devcluster
VENV_KEY := $(shell { cat requirements/dev.txt; $(PYTHON) --version; } | sha256sum | cut -c1-16)
VENV := $(TRADINGENGINE_CACHE)/venv-$(VENV_KEY)
export TRADINGENGINE_VENV := $(VENV)
BIN := .venv/bin

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

$(VENV)/.done: requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: -r requirements/dev.txt
	touch $@

.PHONY: venv
venv: $(VENV)/.done ## the Python environment of the host, outside the clone, keyed by the lock
	@ln -sfn $(VENV) .venv

.PHONY: lock
lock: ## compile the locks: one for the host, one for each image (Python 3.13)
	$(PYTHON) -m venv $(TRADINGENGINE_CACHE)/uv && $(TRADINGENGINE_CACHE)/uv/bin/python -m pip install --quiet uv
	$(TRADINGENGINE_CACHE)/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --only-binary :all: --extra operator --extra apps --extra edge --extra dev pyproject.toml -o requirements/dev.txt
	for image in operator apps edge; do $(TRADINGENGINE_CACHE)/uv/bin/uv pip compile --quiet --python-version 3.13 --python-platform x86_64-manylinux_2_28 --generate-hashes --no-emit-index-url --no-header --only-binary :all: --extra $$image pyproject.toml -o requirements/$$image.txt; done

.PHONY: lint
lint: venv ## ruff, mypy strict, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy operator apps devcluster tests
	$(BIN)/lint-imports

.PHONY: unit
unit: venv ## tests without processes
	$(BIN)/pytest
