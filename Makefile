SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell scripts/find-python)
VENV := .venv
UV := $(VENV)/bin/uv
RUN := $(VENV)/bin/

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.synced: requirements-dev.lock.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.12 or newer found. Install one (for example: apt-get install python3.13), or name it: make PYTHON=/path/to/python3.13"; exit 1; }
	@echo "==> Python environment in $(VENV) ($(PYTHON))"
	@test -x $(UV) || { "$(PYTHON)" -m venv $(VENV) && $(RUN)pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'; }
	@$(UV) pip sync --quiet --python $(RUN)python requirements-dev.lock.txt
	@$(UV) pip install --quiet --python $(RUN)python --no-deps --editable .
	@touch $@

.PHONY: venv
venv: $(VENV)/.synced ## Make the Python environment

.PHONY: lock
lock: ## Resolve the Python dependencies anew
	$(UV) pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-header --no-emit-index-url pyproject.toml -o requirements.lock.txt
	$(UV) pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-header --no-emit-index-url --group dev -c requirements.lock.txt pyproject.toml -o requirements-dev.lock.txt
