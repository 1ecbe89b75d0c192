# One line of work each; `make` alone tells what there is. A fresh machine needs Python 3.11 or newer, and nothing else.

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

# The first Python that is new enough and really runs: version managers leave names in the path that do not.
PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 python3.11 python3; do \
	if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$python; break; fi; done)

.PHONY: help dev test check bench bench-peers clean

help:  ## tell what there is
	@sed -n 's/^\([a-z-]*\):.*##\( .*\)/make \1\t\2/p' Makefile | expand -t 18

dev: $(STAMP)  ## start the demo's upstreams and the dev server on http://localhost:8787 (ARGS="--port 9000")
	@$(BIN)/python demo/upstreams.py --port 9100 -- $(BIN)/atoll dev $(ARGS)

test: $(STAMP)  ## run the tests (ARGS="-k landing")
	$(BIN)/pytest $(ARGS)

check: $(STAMP)  ## lint, format, types, and which room may import which
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy demo
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

bench: $(STAMP)  ## measure, beside aiohttp by hand (ARGS="--quick", see bench/README.md)
	$(BIN)/python -m bench $(ARGS)

bench-peers: $(STAMP)  ## install the other gateways that can be, and measure beside them
	$(BIN)/python -m bench.peers.install
	$(BIN)/python -m bench macro.fanout macro.streaming macro.memory --peers $(ARGS)

clean:  ## remove the virtual environments, caches and builds
	rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "There is no Python 3.11 or newer here: install one, or name it with PYTHON=." >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV) with $(PYTHON)" && $(PYTHON) -m venv --clear $(VENV); } || \
	{ echo "$(PYTHON) cannot make $(VENV). On Debian and Ubuntu the package python3-venv is needed for it." >&2; exit 1; }
	@echo "Installing into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' && \
	$(BIN)/python -m pip install --quiet --editable . --group dev || \
	{ echo "Installing into $(VENV) failed, for the reason above. It needs a network or a package index; then run make again." >&2; exit 1; }
	@touch $@
