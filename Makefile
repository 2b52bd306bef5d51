# Two commands on a fresh machine: `make demo` and `make test`. Both install what they need.
PYTHON ?= python3
UV     := .uv/bin/uv
BIN    := .venv/bin
READY  := .venv/.ready
SHELL  := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

.PHONY: help install models demo test test-quick test-full lint type bench lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(READY)  ## the environment in .venv, from the lock file

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "cogenesis-langchain needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || \
	  { echo "pip is missing; on Debian: apt-get install python3-pip"; exit 1; }
	$(PYTHON) -m pip install --quiet --target .uv 'uv>=0.9,<1'

$(READY): requirements.lock pyproject.toml | $(UV)
	@echo "Installing into .venv (llama-cpp-python is compiled the first time: some minutes)"
	$(UV) venv --quiet --allow-existing --no-python-downloads --python $(PYTHON) .venv
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

models: $(READY)  ## the pinned model files, checked by SHA-256
	$(BIN)/cogenesis models pull

demo: models  ## a fictional person's invitation, with a stand-in cloud on this machine
	$(BIN)/cogenesis demo

test: models  ## the whole test suite but the minutes-long ones
	$(BIN)/cogenesis models pull smollm2-135m-instruct
	$(BIN)/python -m pytest -m "not full"

test-quick: $(READY)  ## the unit tests: no models, no network but loopback
	$(BIN)/python -m pytest tests/unit_tests

test-full: models  ## everything, with other generated examples in every run
	HYPOTHESIS_PROFILE=fresh $(BIN)/python -m pytest

lint: $(READY)  ## ruff, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

type: $(READY)  ## mypy
	$(BIN)/mypy

bench: models  ## the speed goals, as ratios within one run
	$(BIN)/cogenesis bench write
	$(BIN)/cogenesis bench detect
	$(BIN)/cogenesis bench fuse

lock: $(UV)  ## renew requirements.lock: names, versions and hashes, no addresses
	$(UV) pip compile --quiet --upgrade pyproject.toml --extra dev --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements.lock

clean:  ## remove the environment; models and your context stay
	rm -rf .venv .uv
