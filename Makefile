# Needs Python 3.11 and make, nothing else. `make setup` runs once and again only when a lock changed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell for name in python3.11 python3 python; do \
	command -v $$name >/dev/null && $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	&& command -v $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(VENV)/.packages
PROJECT := $(VENV)/.project
JARS := $(VENV)/.jars
CODE := $(wildcard services shared stack bench tests)
PYTEST_ARGS ?=
DEMO_ARGS ?=
UP_ARGS ?=
BENCH_ARGS ?=

.PHONY: help setup check fix test demo up bench lock

help:
	@echo "make setup   the environment (.venv) and Kafka's jars"
	@echo "make demo    the whole platform with a shop's history sent through it (DEMO_ARGS)"
	@echo "make up      the whole platform (UP_ARGS)"
	@echo "make check   are format, lint, types and import contracts right? (changes nothing)"
	@echo "make fix     what the formatter and the linter can mend by themselves"
	@echo "make test    every test, on a real Kafka and a real PostgreSQL (PYTEST_ARGS)"
	@echo "make bench   measurements (BENCH_ARGS)"
	@echo "make lock    requirements.lock and stack/kafka.lock anew (needs uv and a network)"

setup: $(JARS)

$(PACKAGES): requirements.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it with PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "setup 1/3: packages into $(VENV) (some minutes the first time)"
	@# A venv that broke off (no ensurepip, a full disk) has a python but no pip: it is made anew.
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV); "$(PYTHON)" -m venv $(VENV); } || \
		{ rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian: python3.11-venv), or check the disk" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@touch $@

$(PROJECT): $(PACKAGES) pyproject.toml
	@echo "setup 2/3: tenure itself"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(JARS): $(PROJECT) stack/kafka.lock
	@echo "setup 3/3: Kafka's jars"
	@$(BIN)/python -m stack.jars fetch
	@touch $@

check: setup
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports

fix: setup
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

test: setup
	$(BIN)/pytest $(PYTEST_ARGS)

demo: setup
	$(BIN)/tenure demo $(DEMO_ARGS)

up: setup
	$(BIN)/tenure up $(UP_ARGS)

bench: setup
	$(BIN)/tenure bench $(BENCH_ARGS)

lock: $(PROJECT)
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--override overrides.txt requirements.in --output-file requirements.lock
	$(BIN)/python -m stack.jars lock
