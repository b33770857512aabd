# The front door. `make` alone says what there is.

SHELL := /bin/sh
.DEFAULT_GOAL := help
HOST ?= 127.0.0.1
PORT ?= 8000
ARGS ?=

PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
RUNTIME := .venv/installed-runtime
DEV := .venv/installed-dev
TRACES := tests/artifacts/trace-sqlite.json tests/artifacts/trace-postgresql.json

.PHONY: help run test test-long tests lint format bench trace lock clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(RUNTIME) ## Run the product with demonstration data at http://127.0.0.1:8000 (HOST=, PORT=)
	@$(PY) manage.py serve --demo --host $(HOST) --port $(PORT)

test: ## Install what is missing, check the code, and run all tests on SQLite and on PostgreSQL (ARGS="-k word")
	@tests/tools/install python3-venv postgresql chromium
	@$(MAKE) --no-print-directory lint tests

test-long: ## Try all that `make test` only samples: 10,000 random days of money, kill -9 at every step (hours)
	@tests/tools/install python3-venv postgresql chromium
	@$(MAKE) --no-print-directory $(DEV)
	@TEST_LONG=1 $(PY) -m tests.tools.suite tests/trials $(ARGS)

tests: $(DEV)
	@$(PY) -m tests.tools.suite $(ARGS)

lint: $(DEV) ## Check format, style, types, import arrows and migrations
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy newapi accounts channels billing moderation
	@.venv/bin/lint-imports
	@DJANGO_SETTINGS_MODULE=newapi.settings.testing $(PY) manage.py makemigrations --check --dry-run

format: $(DEV) ## Put the code into its format
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

bench: $(RUNTIME) ## Measure a governed call beside a bare nginx proxy, on one core
	@tests/tools/install nginx-light wrk
	@$(PY) -m bench.gateway $(ARGS)

trace: $(DEV) ## Print which requirement is shown by which passing test of the last `make test`
	@$(PY) -m tests.tools.trace $(TRACES)

lock: $(RUNTIME) ## Resolve pyproject.toml anew into requirements.txt and requirements-dev.txt
	@$(PIP) install --quiet uv
	@$(LOCK) pyproject.toml --output-file requirements.txt $(ARGS)
	@$(LOCK) pyproject.toml --group dev --constraints requirements.txt --output-file requirements-dev.txt $(ARGS)

LOCK = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --custom-compile-command 'make lock'

clean: ## Remove the virtual environment and caches; data in var/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache staticfiles tests/artifacts

.venv/bin/python:
	@python=$$(tests/tools/find_python) && echo "== Making .venv with $$python" && "$$python" -m venv .venv

$(RUNTIME): requirements.txt | .venv/bin/python
	@echo "== Installing dependencies (about a minute, the first time)"
	@$(PIP) install --quiet --require-hashes -r requirements.txt
	@touch $@

$(DEV): requirements-dev.txt | .venv/bin/python
	@echo "== Installing dependencies for development (about a minute, the first time)"
	@$(PIP) install --quiet --require-hashes -r requirements-dev.txt
	@touch $@
