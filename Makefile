# `make` or `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
# Debian's python3 alone cannot make environments.
NO_VENV = { $(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || echo "error: $(PYTHON) has no venv; mend: apt-get install python3-venv" >&2; exit 1; }
export TRADINGENGINE_CACHE ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/tradingengine
export PYTHONPATH := $(CURDIR)/operator:$(CURDIR)/apps:$(CURDIR)/devcluster
# A shell that keeps no byte code has each of a check's hundreds of processes compile all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE
VENV_KEY := $(shell { cat requirements/dev.txt; $(PYTHON) --version; } | sha256sum | cut -c1-16)
VENV := $(TRADINGENGINE_CACHE)/venv-$(VENV_KEY)
export TRADINGENGINE_VENV := $(VENV)
BIN := .venv/bin
UV_HOME := $(TRADINGENGINE_CACHE)/uv-$(shell { cat requirements/uv.txt; $(PYTHON) --version; } | sha256sum | cut -c1-16)
UV := $(UV_HOME)/bin/uv

# What a person says of one call: the value of a variable from the command line alone, since a shell may have a CLUSTER,
# PORT or KEEP for purposes of its own. `option` makes an option of it.
given = $(if $(findstring command line,$(origin $(1))),$($(1)))
option = $(if $(call given,$(1)),--$(2) "$($(1))")
flag = $(if $(call given,$(1)),--$(2))

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z][a-z0-9 %-]*:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{count = split($$1, names, " "); for (i = 1; i <= count; i++) {sub("%", "NAME", names[i]); printf "  %-16s %s\n", names[i], $$2}}' | sort

# The folders are named by the hash of the lock: a newer file with the same content is nothing new.
# Nothing below resolves: what a lock does not name is not installed, however new a release there is.
# Two checkouts may begin at once on a fresh machine: one makes a folder, the other waits and finds it made. A folder
# without .done is what an interrupted one left, and is made anew.
define MADE_ONCE
@mkdir -p $(TRADINGENGINE_CACHE)/locks; exec 9>> $(TRADINGENGINE_CACHE)/locks/$(notdir $(@D)); \
flock --nonblock 9 || { echo "$(@D): waits for another that is making it" >&2; flock 9; }; \
if [ -e $@ ]; then exit 0; fi; \
echo "making $(@D)" >&2; rm -rf $(@D)
endef

$(UV_HOME)/.done:
	$(MADE_ONCE); \
	$(PYTHON) -m venv $(UV_HOME) || $(NO_VENV); \
	$(UV_HOME)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: -r requirements/uv.txt; \
	touch $@

$(VENV)/.done: | $(UV_HOME)/.done
	$(MADE_ONCE); \
	$(PYTHON) -m venv --without-pip $(VENV); \
	$(UV) pip sync --quiet --python $(VENV)/bin/python --require-hashes --only-binary :all: --link-mode copy requirements/dev.txt; \
	touch $@

.PHONY: uv-path
uv-path: $(UV_HOME)/.done
	@echo $(UV)

.PHONY: venv
venv: $(VENV)/.done ## the Python environment of the host, outside the clone, keyed by the lock
	@ln -sfn $(VENV) .venv

UV_COMPILE := $(UV) pip compile --quiet --generate-hashes --no-emit-index-url --no-header --only-binary :all:

.PHONY: lock lock-upgrade
lock: $(UV_HOME)/.done ## compile the locks: uv itself, one for the host, one for each image (Python 3.13); pins stay
	$(UV_COMPILE) --universal --python-version 3.11 requirements/uv.in -o requirements/uv.txt
	$(UV_COMPILE) --universal --python-version 3.11 --extra operator --extra apps --extra edge --extra dev pyproject.toml -o requirements/dev.txt
	for image in operator apps edge; do $(UV_COMPILE) --python-version 3.13 --python-platform x86_64-manylinux_2_28 --extra $$image pyproject.toml -o requirements/$$image.txt; done

lock-upgrade: UV_COMPILE += $(if $(call given,PACKAGE),--upgrade-package $(PACKAGE),--upgrade)
lock-upgrade: lock ## the same with the newest releases that the limits allow; PACKAGE=name for one

.PHONY: lint lint-python lint-shell lint-yaml lint-docker
lint: lint-python lint-page lint-shell lint-yaml lint-docker ## all linters

lint-python: venv ## ruff with docstrings and function length, mypy strict, import layers
	$(BIN)/ruff check --cache-dir $(TRADINGENGINE_CACHE)/ruff .
	$(BIN)/ruff format --cache-dir $(TRADINGENGINE_CACHE)/ruff --check .
	$(BIN)/mypy --cache-dir $(TRADINGENGINE_CACHE)/mypy operator apps devcluster tests bench demo
	$(BIN)/lint-imports --cache-dir $(TRADINGENGINE_CACHE)/import-linter

.PHONY: lint-page
lint-page: frontend ## the page's sources: Biome's rules and its format; `npm run format` there mends what it can
	cd apps/tradingengine/dashboard/frontend && npm run --silent lint

lint-shell: venv ## shellcheck (Debian's; `make packages`) over every script
lint-yaml: venv ## yamllint over all YAML that people write
lint-docker: venv ## hadolint over every Dockerfile
lint-shell lint-yaml lint-docker:
	$(BIN)/python -m te_checks lint $(@:lint-%=%)

.PHONY: audit
audit: venv ## known weaknesses of all that the locks name, asked of PyPI, npm and Go; a source that is silent fails it
	$(BIN)/python -m te_checks audit

# ---------------------------------------------------------------------------------------------------- tests
PYTEST := $(BIN)/pytest --durations=5 --durations-min=5
# Processes that share the tests of a target; 0 for none, as a debugger needs it.
WORKERS ?= $(shell nproc)
SPREAD = --numprocesses=$(WORKERS) --dist=worksteal
# Tests with servers wait more than they compute.
integration cluster: WORKERS := $(if $(filter 0,$(WORKERS)),0,$(shell echo $$(($(WORKERS) * 2))))
COVERED := COVERAGE_FILE=.coverage
ARGS ?=

.PHONY: unit
unit: venv ## tests without processes; ARGS="-k name" goes to pytest
	$(COVERED).unit $(PYTEST) $(SPREAD) --cov --cov-report= $(ARGS)

.PHONY: frontend-test
frontend-test: frontend ## the front end's own tests, by node
	cd apps/tradingengine/dashboard/frontend && npm test --silent

.PHONY: integration
integration: venv ## real Postgres, Redis and browser on loopback, servers from the images' root file systems (root)
	$(DEVCLUSTER) images --rootfs postgres redis > /dev/null
	$(DEVCLUSTER) images --frontend > /dev/null
	$(COVERED).integration $(PYTEST) $(SPREAD) -m integration tests/integration --cov --cov-report= $(ARGS)

# A new seed each time, printed with what it found; SEED=n tries that one again.
.PHONY: fuzz
fuzz: SEED ?= $(shell $(PYTHON) -c 'import secrets; print(secrets.randbelow(2**31))')
fuzz: EXAMPLES ?= 300
fuzz: venv ## the API tried long by schemathesis with a new seed; SEED=n, EXAMPLES=n for each call (root)
	$(DEVCLUSTER) images --rootfs postgres redis > /dev/null
	@seed=$(SEED); echo "seed $$seed, $(EXAMPLES) examples for each call"; TE_FUZZ_SEED=$$seed TE_FUZZ_EXAMPLES=$(EXAMPLES) $(PYTEST) -m integration -s tests/integration/api/test_fuzz.py $(ARGS)

.PHONY: cluster
cluster: venv ## a real API server in a network namespace of its own, also beside a running demo (root)
	$(DEVCLUSTER) build --only etcd --only kubernetes --only helm --only gateway-api
	$(COVERED).cluster $(PYTEST) $(SPREAD) --dist=loadfile --no-loadscope-reorder -m cluster tests/cluster --cov --cov-report= $(ARGS)

.PHONY: e2e
e2e: venv ## the whole product on two real nodes; refuses while a demo is up (root)
	$(BIN)/python -m te_demo refuse-if-up
	$(DEVCLUSTER) build
	$(PYTEST) -m e2e tests/e2e --verbose $(ARGS)

# A report takes in, and then deletes, whatever is named as its own data file with something behind a dot.
TOGETHER := .coverage-together

.PHONY: coverage
coverage: venv ## branch coverage of the product by the last unit, integration and cluster runs, their processes included: 90 %
	$(BIN)/python -m te_checks coverage-data
	$(BIN)/coverage combine --quiet --keep --data-file=$(TOGETHER) .coverage.unit .coverage.integration .coverage.cluster
	@echo "The files with the most uncovered lines:"
	$(BIN)/coverage report --data-file=$(TOGETHER) --sort=-miss 2>&1 | awk 'NR <= 22'
	$(BIN)/coverage report --data-file=$(TOGETHER) --fail-under=90 --format=total

.PHONY: packages
packages: ## install the Debian packages that tests and builds need and that are missing (root)
	$(DEVCLUSTER) packages --tests

# The whole product waits for pods more than it computes, so the other tests run beside it; they give way to it, since a
# release is judged there by how soon it answers.
.PHONY: test
test: packages venv ## all of them: unit, integration, cluster, and e2e beside them (root)
	$(BIN)/python -m te_demo refuse-if-up
	$(MAKE) --no-print-directory tools images
	$(MAKE) --no-print-directory --jobs=2 test-e2e test-others

.PHONY: test-e2e test-others
test-e2e:
	@MAKEFLAGS= $(MAKE) --no-print-directory e2e 2>&1 | sed --unbuffered 's/^/e2e | /'
test-others:
	@MAKEFLAGS= nice -n 10 $(MAKE) --no-print-directory unit frontend-test integration cluster coverage

# Heavier than what every change needs: .ci/run runs those whose inputs changed since they last passed.
SUITES := $(BIN)/python -m te_suites

.PHONY: suites
suites: venv ## the heavier suites, and which are due
	$(SUITES) list

suite-%: venv ## one of the heavier suites, due or not (root)
	$(SUITES) run $*

.PHONY: operator-fuzz
operator-fuzz: venv ## 2,000 generated states of an engine, each with a fault; SEED=n, CASES=n,m, STATES=n, DESKS=n (root)
	$(DEVCLUSTER) build --only etcd --only kubernetes --only gateway-api
	SEED="$(call given,SEED)" CASES="$(call given,CASES)" DESKS="$(call given,DESKS)" STATES="$(or $(call given,STATES),2000)" \
		$(BIN)/python -m pytest -m suite tests/suites/hostile/test_any_change_and_back.py $(ARGS)

.PHONY: suites-due
suites-due: venv
	$(SUITES) run-due --begun $(BEGUN) --test-seconds $(TEST_SECONDS)

.PHONY: test-all
test-all: test ## `make test`, then every suite, due or not (root)
	$(SUITES) run --all

.PHONY: bench
bench: venv ## the figures, written to docs/benchmarks.md (root)
	$(BIN)/python -m te_demo refuse-if-up
	$(BIN)/python -m bench $(ARGS)

.PHONY: judge-sim
judge-sim: venv ## how often the judge of releases is wrong, simulated; written to docs/developer/judgement.md; RUNS=n, SEED=n
	$(BIN)/python -m bench.judge $(call option,RUNS,runs) $(call option,SEED,seed)

.PHONY: bench-cold bench-warm bench-operator bench-releases bench-warmth bench-page bench-desk
bench-cold bench-warm: venv ## how long a fresh clone takes to build and check with caches empty, or as they are (root)
	$(BIN)/python -m te_demo refuse-if-up
	$(BIN)/python -m bench --ci $(@:bench-%=%)

bench-operator: venv ## what the operator costs with 50 engines, MINUTES=10 idle and as long beside a canary (root)
	$(BIN)/python -m bench --operator $(call option,MINUTES,minutes) $(ARGS)

bench-releases: venv ## releases that break, ours beside Flagger's: what clients notice (root; builds Flagger once)
	$(BIN)/python -m te_demo refuse-if-up
	$(BIN)/python -m bench --releases $(ARGS)

bench-warmth: venv frontend ## the first answers of a slot that was just started, beside the one that serves (root)
	$(BIN)/python -m bench --warmth

bench-page: venv ## the dashboard's page with 200 rows that change ten times a second
	$(BIN)/python -m bench --page $(ARGS)

bench-desk: venv ## how long the desk without a cluster takes, with caches empty and as they are (root)
	$(BIN)/python -m bench --desk

# ---------------------------------------------------------------------------------------------------- demo
DEMO := $(BIN)/python -m te_demo
# On the cluster of the current kubeconfig context; docs/admin/existing-cluster.md says what each of these is.
AT = $(call option,CLUSTER,cluster)
# REGISTRY alone may come from the environment too, where the page has its reader put it.
THERE = $(if $(REGISTRY),--registry "$(REGISTRY)") $(call option,IMAGES,images) \
	$(call option,GATEWAY,gateway) $(call option,GATEWAY_SERVICE,gateway-service) \
	$(call option,DESK_HOST,host) $(call option,EDGE_NODE,edge-node) $(call flag,YES,yes) $(call flag,DRY_RUN,dry-run)

.PHONY: demo
demo: ## a live dashboard on a real Kubernetes; DATA_DIR=folder replays recorded prices (root); CLUSTER=current on yours
	$(if $(call given,CLUSTER),,$(PYTHON) -m te_demo check)
	$(MAKE) --no-print-directory venv
	$(DEMO) up $(call option,DATA_DIR,data-dir) $(AT) $(if $(call given,CLUSTER),$(THERE))

.PHONY: desk
desk: ## api, dashboard and edge without a cluster, started again when code changes; DATA_DIR=, KEEP=, PORT= (root)
	@exec $(PYTHON) -m te_desk $(call option,DATA_DIR,data-dir) $(call option,KEEP,keep) $(call option,PORT,port) $(ARGS)

.PHONY: demo-canary
demo-canary: venv ## a good release promoted, a bad one withdrawn, while a client keeps asking
	$(DEMO) canary $(AT)

.PHONY: demo-cut
demo-cut: venv ## the edge's link cut for two minutes while the strategy trades; SECONDS_CUT=n for another time
	$(DEMO) cut $(call option,SECONDS_CUT,seconds) $(AT)

.PHONY: demo-down
demo-down: venv ## everything away that a demo made: engine, cluster, processes; in a cluster that was there only that
	$(DEMO) down $(AT) $(call flag,FORGET,forget)

# ---------------------------------------------------------------------------------------------------- parts
DEVCLUSTER := devcluster/bin/devcluster

.PHONY: doctor
doctor: venv ## run every tool; say what is missing and how to mend it
	$(DEVCLUSTER) doctor

.PHONY: tools
tools: ## build Kubernetes and its friends from pinned Go modules, once
	$(DEVCLUSTER) build

.PHONY: devcluster-up
devcluster-up: venv ## two nodes, without the product
	$(DEVCLUSTER) build
	$(DEVCLUSTER) up

.PHONY: devcluster-down
devcluster-down: ## take it down
	$(DEVCLUSTER) down

.PHONY: images
images: venv ## build all images on a Debian 13 base of our own
	$(DEVCLUSTER) images

.PHONY: image-contexts
image-contexts: venv ## write build/images/NAME for `docker build`; BASES="python=IMAGE@sha256:... postgres=IMAGE@sha256:..."
	$(DEVCLUSTER) images --contexts build/images $(foreach base,$(call given,BASES),--base "$(base)")

.PHONY: wheel
wheel: venv ## build/wheel: operator and programs as one wheel, with templates, contract and front end
	$(DEVCLUSTER) images --wheel build/wheel

.PHONY: frontend
frontend: ## build the dashboard's front end
	$(DEVCLUSTER) images --frontend
