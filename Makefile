# One command for each thing a person does here; `make` alone lists them.
# Every target makes .venv from the locked requirements first and installs this tree into it as a normal package.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

BIN := .venv/bin
PYTHON_FILES := proto/python/onecard_protocol broker adapters province-stubs tests tools

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

.PHONY: demo
demo: ## a Guangdong hospital settles a Sichuan patient's bill, on this machine
	@tools/prepare run
	@$(BIN)/onecard demo

.PHONY: test
test: ## every test, against the installed package (TESTS=path for some of them)
	@tools/prepare dev
	@tools/run_tests $(TESTS)

.PHONY: check
check: ## formatting, lint, types, architecture, generated code, protocol
	@tools/prepare dev
	@tools/run_checks

.PHONY: fix
fix: ## what `make check` can mend by itself: lint, formatting, generated code and pages
	@tools/prepare dev
	$(BIN)/ruff check --fix --quiet $(PYTHON_FILES) || true
	$(BIN)/ruff format $(PYTHON_FILES)
	$(BIN)/python tools/generate_proto
	@if [ -e tools/generate_docs ]; then tools/prepare project && $(BIN)/python tools/generate_docs; fi

.PHONY: bench
bench: ## the benchmarks, and beside them the obvious stack
	@tools/prepare dev
	@$(BIN)/python tools/run_benchmarks

.PHONY: lock
lock: ## write requirements/*.txt again from pyproject.toml (UPGRADE=1 takes newer versions)
	@tools/lock $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: ## remove .venv, caches and build results (downloads in the user's cache stay)
	rm -rf .venv node_modules build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
