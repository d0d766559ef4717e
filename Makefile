# Every target sets up what it needs; `make help` lists them. Needs Linux, GNU make and Python 3.11 or 3.12.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
DEMO := demo-out

# The first interpreter that fits; `make PYTHON=... demo` names another.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null \
	&& { echo $$p; break; }; done)

# DeepSpeed must not compile anything at installation.
export DS_BUILD_OPS := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
PIP_INSTALL = $(BIN)/python -m pip install --quiet

# One test process a core, one thread each: more threads only fight for the cores.
WORKERS ?= 2
# What `make bench` asks of reasoncd-bench.
BENCH ?= run --out bench-out
PYTEST := env OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## /\1\t/' | expand -t 14

# --- the environment -------------------------------------------------------------------------------

define make_venv
	@if [ -z "$(PYTHON)" ]; then \
		echo "make: Python 3.11 or 3.12 is needed and was not found; install one or name it: make PYTHON=/path/to/python3.12" >&2; \
		exit 1; fi
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		echo "making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv --clear $(VENV); fi
endef

$(VENV)/.stamp-demo: pyproject.toml
	$(make_venv)
	@echo "installing what the demo needs into $(VENV) (some minutes the first time)"
	$(PIP_INSTALL) -e '.[embedded,scenes]'
	@touch $@

$(VENV)/.stamp-dev: pyproject.toml
	$(make_venv)
	@echo "installing every part and the tools into $(VENV) (some minutes the first time)"
	$(PIP_INSTALL) -e '.[all,dev]'
	@touch $@ $(VENV)/.stamp-demo

# It is no package of Python's.
$(VENV)/tools/promtool: tools/fetch-promtool
	@echo "fetching promtool, which checks the alert rules"
	tools/fetch-promtool $@

# A real browser for the tests of the page.
$(VENV)/tools/chromium: tools/fetch-chromium
	@echo "looking for chromium, which the tests of the page drive"
	tools/fetch-chromium $@

.PHONY: tools
tools: $(VENV)/.stamp-dev $(VENV)/tools/promtool $(VENV)/tools/chromium ## Set up .venv with every part and the development tools

# --- using it --------------------------------------------------------------------------------------

.PHONY: demo
demo: $(VENV)/.stamp-demo ## Draw two images of one place and ask three questions about them
	$(BIN)/reasoncd fetch-base
	$(BIN)/python -m training.data.sample $(DEMO)
	$(BIN)/reasoncd detect $(DEMO)/t1.png $(DEMO)/t2.png --out $(DEMO)/answers \
		"Where are new buildings?" \
		"Where did people get more living space?" \
		"Where did a lake or pond dry up?"
	@echo
	@echo "The images: $(DEMO)/t1.png and t2.png; what really is new: $(DEMO)/new_buildings.png"
	@echo "The answers, one folder each with map, overlay and polygons: $(DEMO)/answers/"
	@find $(DEMO)/answers -name '*.png' | sort | sed 's/^/  /'

# --- the web page ----------------------------------------------------------------------------------

PAGE := gateway/page
PAGE_SOURCES := $(shell find $(PAGE)/src $(PAGE)/public -type f) $(addprefix $(PAGE)/,index.html vite.config.ts tsconfig.json)

.PHONY: page
page: ## Build the web page of the gateway, where Node is there
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(PAGE)/dist/index.html; else \
		echo "make: Node 20 or newer is not here, so the page is not built; all but the page works without" >&2; fi

$(PAGE)/node_modules/.package-lock.json: $(PAGE)/package-lock.json
	cd $(PAGE) && npm ci --no-audit --no-fund
	@touch $@

$(PAGE)/dist/index.html: $(PAGE)/node_modules/.package-lock.json $(PAGE_SOURCES)
	cd $(PAGE) && npm run build

.PHONY: test-page
test-page: page ## Check the page's own types and logic
	@command -v npm >/dev/null || { echo "make: the tests of the page need Node 20 or newer; install it" >&2; exit 1; }
	cd $(PAGE) && npm run check && npm test

.PHONY: wheel
wheel: $(VENV)/.stamp-dev page ## Make an installable package with the built page in it: dist/*.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

# --- checking it -----------------------------------------------------------------------------------

.PHONY: lint
lint: $(VENV)/.stamp-dev ## Style, types, layers and protos, without running anything
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	cd protos && ../$(BIN)/buf lint && ../$(BIN)/buf breaking --against released/v1.binpb

.PHONY: test
test: lint $(VENV)/tools/promtool $(VENV)/tools/chromium test-page ## Everything that must hold before a change is merged
	$(BIN)/reasoncd fetch-base
	$(PYTEST) -n $(WORKERS) --dist loadgroup

.PHONY: test-soak
test-soak: $(VENV)/.stamp-dev ## Long runs, faults and load
	$(BIN)/reasoncd fetch-base
	$(PYTEST) -m soak

.PHONY: bench
bench: $(VENV)/.stamp-dev ## Measure accuracy and speed
	$(BIN)/reasoncd fetch-base
	$(BIN)/reasoncd-bench $(BENCH)

.PHONY: k8s-validate
k8s-validate: $(VENV)/.stamp-dev ## Say what is wrong with the overlays of k8s/, before a cluster is asked
	$(BIN)/python -m k8s.validation k8s/overlays/cpu-small k8s/training
	$(BIN)/python -m k8s.validation k8s/overlays/gpu k8s/training

.PHONY: stubs
stubs: $(VENV)/.stamp-dev ## Generate reasoncd/v1 anew from protos/
	$(BIN)/python protos/generate.py

.PHONY: format
format: $(VENV)/.stamp-dev ## Mend style where a tool can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: clean
clean: ## Remove what the commands made; .venv and the model cache stay
	rm -rf $(DEMO) bench-out reasoncd-out build dist *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find reasoncd services gateway training benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +
