# Every habit of the project; `make` alone lists them. Needs Python 3.11 or later and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n auto --dist worksteal -q

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo demo-feeds test check check-native prove bench fuzz docs lock clean

help: ## list what make can do
	@awk -F ':[^#]*## ' '/^[a-z-]+:[^#]*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.installed-run ## show the whole job on generated files: scan, match, report, update, re-scan
	@$(BIN)/python -m samples.demo

demo-feeds: $(VENV)/.installed-run ## show lists refreshed from servers with bad days: kills, retries, withdrawals, the daemon
	@$(BIN)/python -m samples.feeds_demo

test: $(VENV)/.installed-dev ## run the tests (PYTEST_ARGS="-k name" for some of them)
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.installed-dev ## lint, formatting, types, import rules, documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(patsubst %/__init__.py,%,$(wildcard hashsets/__init__.py scanner/__init__.py samples/__init__.py bench/__init__.py))
	$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_docs.py

check-native: $(VENV)/.installed-dev ## run the tests of the C kernels under the address and undefined-behaviour sanitizers (gcc)
	@.ci/check-native

prove: $(VENV)/.installed-dev ## run the long proofs at full counts; figures go to bench/runs/
	@$(BIN)/python -m pytest -m prove --timeout 0 -q

bench: $(VENV)/.installed-dev ## measure; figures go to bench/runs/
	@$(BIN)/python -m bench

fuzz: $(VENV)/.installed-dev ## feed damaged input to all that reads strangers' bytes, FUZZ_SECONDS=60; finds become tests
	@$(BIN)/python -m tests.fuzzing $(or $(FUZZ_SECONDS),60)

docs: $(VENV)/.installed-dev ## rewrite README's command reference and configuration table from the code
	@$(BIN)/python .ci/docs.py

lock: ## pin every dependency, with hashes, for every platform (needs the network)
	@PYTHON="$(PYTHON)" .ci/lock

clean: ## remove everything make and the tests have made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .coverage
	find $(wildcard hashsets scanner bench tests samples) -name __pycache__ -type d -prune -exec rm -rf {} +
	find hashsets scanner -name '*.so' -delete

# The environment. A stamp older than a lock, pyproject.toml or the C sources of the kernels installs again.
# The development lock holds all of the other one, so installing it settles both.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "hashward needs Python 3.11 or later. If you have one under another name: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "This Python cannot make virtual environments. On Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }

install = $(BIN)/python -m pip --disable-pip-version-check install --quiet
# The build tools are in the lock, so nothing is downloaded for it. setuptools warns of every editable install.
itself = PYTHONWARNINGS=ignore $(install) --no-deps --no-build-isolation --editable .

kernels := $(wildcard hashsets/matching/native/* scanner/hashing/native/* scanner/decoding/native/* scanner/isolation/native/*)

$(VENV)/.installed-run: .locks/run.txt pyproject.toml $(kernels) | $(VENV)/bin/python
	@echo "Installing what hashward needs into $(VENV) (once, a minute or so) ..." >&2
	@$(install) --require-hashes -r .locks/run.txt
	@$(itself)
	@touch $@

$(VENV)/.installed-dev: .locks/dev.txt pyproject.toml $(kernels) | $(VENV)/bin/python
	@echo "Installing what hashward and its tests need into $(VENV) (once, a minute or so) ..." >&2
	@$(install) --require-hashes -r .locks/dev.txt
	@$(itself)
	@touch $(VENV)/.installed-run $@
