# Two commands for people: `make demo` (set-up and main job) and `make test` (set-up and tests).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=

.PHONY: demo test chaos unit lint check bench docs wheels lock format clean help

help:
	@echo "make demo   set up and live through a year of a simulated grid, in a few minutes"
	@echo "make test   set up for development and run all tests, two at a time"
	@echo "make chaos  kill processes at every durable transition, rollouts and ledger in full (an hour or more)"
	@echo "make unit   the unit tests alone, without those that start or kill processes"
	@echo "make check  format, lint, types, import contracts, tests, docs completeness"
	@echo "make bench  run the benchmarks (an hour); PEERS=DIR also makes the other model servers there and compares"
	@echo "make docs   the documentation as a site in build/site, without network"
	@echo "make wheels fetch the wheels of the lock into build/wheels, for recloser bundle"

$(VENV)/.run: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Recloser needs Python 3.11 or newer; set PYTHON=..."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

demo: $(VENV)/.run
	$(BIN)/recloser demo --out demo-out

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

chaos: $(VENV)/.dev
	RECLOSER_FULL=1 $(BIN)/python -m pytest -n 2 tests/chaos tests/unit/rollout tests/contract $(PYTEST_ARGS)

unit: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto -m "not slow" tests/unit $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory --keep-going --jobs=1 $(benchmarks:%=types-of-%)
	$(BIN)/lint-imports

# The types of one directory of benchmarks, by itself, as their modules share names, beside what it puts on sys.path.
benchmarks := $(notdir $(patsubst %/,%,$(sort $(dir $(wildcard benchmarks/*/*.py)))))
beside_console := tests/browser
beside_hosts := benchmarks/rollback:benchmarks/serving:tests/servers
beside_rollback := benchmarks/serving
beside_rollout := benchmarks/accuracy
beside_sizing := tests
whole_store := -p benchmarks.store

types-of-%: $(VENV)/.dev
	MYPYPATH=$(beside_$*) $(BIN)/mypy --no-error-summary $(or $(whole_$*),benchmarks/$*)

check: lint test

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/accuracy/run.py
	$(BIN)/python benchmarks/staging/clock.py
	$(BIN)/python benchmarks/store/run.py
	$(BIN)/python benchmarks/serving/run.py $(if $(PEERS),--make-venvs $(PEERS))
	$(BIN)/python benchmarks/predictions/run.py
	$(BIN)/python benchmarks/rollout/run.py
	$(BIN)/python benchmarks/rollback/run.py
	$(BIN)/python benchmarks/drift/run.py $(if $(PEERS),--make-venvs $(PEERS))
	$(BIN)/python benchmarks/connectors/run.py
	$(BIN)/python benchmarks/events/run.py
	$(BIN)/python benchmarks/hosts/run.py
	$(BIN)/python benchmarks/traces/run.py
	$(BIN)/python benchmarks/sizing/run.py

docs: $(VENV)/.dev
	$(BIN)/python docs/site/build.py build/site

# What a bundle for places without network is made of; also lets the test of such an installation run.
wheels: $(VENV)/.run
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
	  --dest build/wheels -r requirements.lock

# Needs `pip install uv`; writes lock files without index or host names. Both hold the same versions of what they share.
lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --all-extras pyproject.toml -o requirements-dev.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra build --constraint requirements-dev.lock pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) build dist demo-out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
