SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell tools/find-python)
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
COMPILE := $(UV) pip compile --quiet --generate-hashes --no-header --no-emit-index-url

# Without byte code on disk each process that a test starts would compile all that it imports: 2.6 s of CPU instead of 0.8 s.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.synced: requirements-dev.lock.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.12 to 3.14 found. Install one (from your distribution, python.org, pyenv or uv), or name it: make PYTHON=/path/to/python3.13"; exit 1; }
	@echo "==> Python environment in $(VENV) ($(PYTHON))"
	@test -x $(UV) || { "$(PYTHON)" -m venv $(VENV) && $(BIN)/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'; }
	@$(UV) pip sync --quiet --python $(BIN)/python requirements-dev.lock.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

.PHONY: venv
venv: $(VENV)/.synced ## Make the Python environment

.PHONY: demo
demo: venv ## Cluster, images, chart and the SDK's example (CLUSTER=local, kind or current; else what the machine has)
	@$(BIN)/python -m demo run

.PHONY: down
down: venv ## Take the demo's cluster down, without a trace
	@$(BIN)/python -m demo down

.PHONY: env
env: venv ## Print settings for a shell: eval "$(make -s env)"
	@$(BIN)/python -m demo env

.PHONY: test
test: venv ## Run everything: checks and all tiers of tests; one that fails does not stop the next
	@tools/run-tiers 'check test-unit test-control-plane' 'prepare test-cluster'

.PHONY: check
check: venv docs ## Lint, types, import boundaries, links of the docs, pinned and known-vulnerable dependencies
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports
	@$(BIN)/python -m supply_chain audit --source-optional

.PHONY: audit
audit: venv ## Compare all dependencies with known vulnerabilities (PyPI's, or those of OSV_URL)
	@$(BIN)/python -m supply_chain audit

.PHONY: sbom
sbom: venv ## Write bills of material of images and chart, CycloneDX, to dist/sbom (ARGS=--locks-only: no build)
	@$(BIN)/python -m supply_chain sbom $(ARGS)

.PHONY: krew
krew: venv ## Package kubectl ohsb for krew in dist/krew: URL=where the archives will be
	@$(BIN)/python -m krew_package --url "$(URL)"

.PHONY: release
release: venv ## Keep a release for the tests of upgrades: COMMIT=… (HEAD)
	@$(BIN)/python -m release $(COMMIT)

CAN_RUN_CLUSTER = $(filter Linux-0,$(shell uname -s)-$(shell id -u))

.PHONY: prepare
prepare: venv ## Build what the tests need: binaries and, as root on Linux, images and environments
	@$(BIN)/python -m local_cluster build helm kubernetes cyclonus helm3 $(if $(CAN_RUN_CLUSTER),containerd coredns kube-router gvisor local-path-provisioner pause volume-helper registry)
	@$(if $(CAN_RUN_CLUSTER),$(BIN)/python -m images build controller && $(BIN)/python -m images build agent-server)

PROXY := tests/unit/sandbox_gateway/proxy
INTERPRETED := $(if $(TEST_WHOLE),$(PROXY),$(addprefix $(PROXY)/test_,exchanges.py framing.py head.py routing.py websocket.py))

.PHONY: test-unit
test-unit: venv ## Tests without Kubernetes
	@$(BIN)/python -m local_cluster build helm cyclonus
	@compiled="$$($(BIN)/python -m images.compiled)" || exit 1; status=0; \
	tools/run-pytest unit 2 --dist=worksteal tests/unit --ignore=$(PROXY) || status=1; \
	echo "==> The data plane's tests, with its hot path compiled as in the image"; \
	PYTHONPATH="$$compiled" tools/run-pytest compiled 2 $(PROXY) || status=1; \
	echo "==> Some of them again, interpreted"; \
	tools/run-pytest interpreted 2 $(INTERPRETED) || status=1; exit $$status

.PHONY: test-control-plane
test-control-plane: venv ## Tests against a real API server and etcd
	@$(BIN)/python -m local_cluster build kubernetes helm helm3
	@tools/run-pytest control-plane 2 tests/control_plane

OLDER_KUBERNETES = $(patsubst tools/local_cluster/tools/kubernetes-%,%,$(wildcard tools/local_cluster/tools/kubernetes-*))

.PHONY: test-kubernetes
test-kubernetes: venv ## The same tests against older versions of Kubernetes, one after the other
	@$(BIN)/python -m local_cluster build kubernetes helm helm3; status=0; for version in $(OLDER_KUBERNETES); do \
		echo "==> Kubernetes $$version"; \
		KUBERNETES=$$version tools/run-pytest "kubernetes-$$version" 2 tests/control_plane || status=1; \
	done; exit $$status

.PHONY: test-cluster
test-cluster: venv ## Tests on a whole node with the real SDK (root on Linux)
	@if [ -n "$(CAN_RUN_CLUSTER)" ]; then \
		tools/run-pytest cluster 2 tests/cluster; \
	else \
		printf '\n%s\n%s\n\n' '!!! THE CLUSTER TIER DID NOT RUN: it needs root on Linux.' '!!! Nothing has been tried with a kubelet, an agent server or the SDK. Run: sudo make test-cluster'; \
	fi

.PHONY: test-long
# At full count some need far longer than a test that does not hang otherwise.
test-long: export PYTEST_TIMEOUT := 10800
test-long: venv ## Run all tests at full count, and those that last: an hour and more (root on Linux)
	@TEST_WHOLE=1 tools/run-tiers 'check test-unit test-control-plane' 'prepare test-cluster test-lasting test-kubernetes'

.PHONY: test-lasting
test-lasting: venv ## Tests that last: troubles of 45 s, an upgrade under load, restores, the demo on kind (root on Linux)
	@tools/run-pytest lasting 0 tests/long

.PHONY: conformance
conformance: venv ## Test a server of the Runtime API: URL=…, RUNTIME_API_KEY in the environment, ARGS=…
	@$(BIN)/python -m conformance $(if $(URL),--url $(URL)) $(ARGS)

.PHONY: generate
generate: venv ## Write what is generated: CRD manifests, the chart's version, the reference pages and the dashboard
	@version="$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" \
		&& sed -i.before -E "s/^(version|appVersion): .*/\1: $$version/" helm/openhands-sandbox/Chart.yaml \
		&& rm helm/openhands-sandbox/Chart.yaml.before
	@$(BIN)/python -m sandbox_crds.manifests crds helm/openhands-sandbox/crds
	@$(BIN)/python -m sandbox_common.reference docs/reasons.md
	@$(BIN)/python -m docs_site reference
	@$(BIN)/python -m dashboard

.PHONY: docs
docs: venv ## Build the site of the documentation in build/docs/site, and check all links
	@$(BIN)/python -m docs_site build

.PHONY: docs-serve
docs-serve: venv ## Serve the site of the documentation on this machine
	@$(BIN)/python -m docs_site serve

.PHONY: lock
lock: venv ## Resolve all Python dependencies anew
	$(COMPILE) --universal --python-version 3.12 --extra tracing pyproject.toml -o requirements.lock.txt
	$(COMPILE) --universal --python-version 3.12 --group dev --extra tracing -c requirements.lock.txt pyproject.toml -o requirements-dev.lock.txt
	cd agent_server_image && ../$(COMPILE) --python-version 3.13 --python-platform linux --override overrides.txt requirements.in -o requirements.lock.txt
	cd agent_server_image && ../$(COMPILE) --universal --python-version 3.13 build-tools.in -o build-tools.lock.txt
	cd tests/cluster/openhands_app && ../../../$(COMPILE) --config-file uv.toml --python-version 3.13 --python-platform linux requirements.in -o requirements.lock.txt
