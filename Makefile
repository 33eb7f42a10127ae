# Everything here does its own set-up: Python 3.11 to 3.13 and make are all that a machine needs.
# NOTE: keep this file dull. What takes more than three lines is a script of its own.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# With it every process would compile the tree anew, and the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { echo "Python 3.11, 3.12 or 3.13 is needed, not `$(PYTHON) -V 2>&1` (make PYTHON=/path/to/python3)"; exit 1; }
	@echo "Setting up $(VENV) (once, about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

setup: $(READY) ## install everything into .venv

extras: ## fetch what some tests and checks need: Chromium, promtool, haproxy, luacheck, libraries of the examples
	@sh tests/install_extras.sh

demo: $(READY) ## one job, from a POST to a rendered mp4 and a verified webhook
	@$(BIN)/vidu-gateway demo $(ARGS)

up: $(READY) ## the whole service on this machine
	@$(BIN)/vidu-gateway up $(ARGS)

# Twice as many processes as a small machine has cores: a third of a test's time is waiting.
test: $(READY) extras ## all tests
	@$(BIN)/python -m pytest -n 4 --dist worksteal --durations 10 $(ARGS)

crashes: $(READY) ## simulate: one process fails at each point, and then another (SEED=n)
	@$(BIN)/python -m tests.promises.crashes --pairs 40 $(if $(SEED),--seed $(SEED)) $(ARGS)

faults: $(READY) ## kill, freeze, cut off, cut power and fail over under load (SCALE=1 SEED=n)
	@$(BIN)/python -m tests.promises.faults --scale $(or $(SCALE),1) $(if $(SEED),--seed $(SEED)) $(ARGS)

mutants: $(READY) ## plant bugs in copies of the tree; each must be caught
	@$(BIN)/python -m tests.promises.mutants $(ARGS)

check: $(READY) ## format, lint, types, import contracts, Lua, sizes, lock files
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@sh tests/install_extras.sh luacheck
	@$(BIN)/python -m tests.check_lua
	@$(BIN)/python tests/check_sizes.py
	@$(BIN)/python tests/check_locks.py

fix: $(READY) ## format, and mend what ruff can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY) ## measure; writes .bench/latest.json
	@$(BIN)/python -m tests.benchmarks $(ARGS)

lock: $(READY) ## resolve the dependencies anew into the lock files
	@$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-annotate --no-header --quiet --upgrade --extra media --extra s3 --extra sandbox -o requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-annotate --no-header --quiet --upgrade --all-extras --group dev -o requirements-dev.lock
	@$(BIN)/uv pip compile tests/clients/requirements.in --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet --upgrade -o tests/clients/requirements.lock

clean: ## remove what make made
	@rm -rf $(VENV) .extras .bench .mypy_cache .ruff_cache .hypothesis dist

.PHONY: help setup extras demo up test crashes faults mutants check fix bench lock clean
