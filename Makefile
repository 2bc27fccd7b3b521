# `make demo` and `make test` first install what is missing, into .venv in this folder.
#
#   PYTHON    the Python, 3.11 or newer, that .venv is made with: make PYTHON=python3.12 install
#   PIP_ARGS  more arguments for pip install, such as another package index for torch

PYTHON ?= python3
PIP_ARGS ?=

BIN := .venv/bin
STAMP := .venv/installed
DEMO := demo

.DEFAULT_GOAL := help
.PHONY: help install lint test demo clean

help:
	@echo "make install   make .venv with everything in it, at the versions of constraints.txt"
	@echo "make demo      synthetic data, a store, a mask model, a landmark model, their table"
	@echo "make test      format, lint, types, import directions, tests"
	@echo "make lint      the same without the tests"
	@echo "make clean     remove what the demo and the tools made; .venv stays"

install: $(STAMP)

# The stamp is written last: an environment that was left half-made is gone on with, and one
# whose Python or pip does not start is made anew.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "$(PYTHON) is not Python 3.11 or newer; choose one: make PYTHON=python3.12 install" >&2; \
	    exit 1; }
	@rm -f $(STAMP)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --progress-bar off \
	    --constraint constraints.txt --editable '.[train,dev]' $(PIP_ARGS)
	@touch $(STAMP)

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# One thread in each test worker: several would share one core and wait for each other.
test: export OMP_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: export MKL_NUM_THREADS = 1
test: lint
	$(BIN)/pytest -n auto

demo: $(STAMP)
	rm -rf $(DEMO)
	$(BIN)/echo-prep synth $(DEMO)/data --videos 200 --frames 64
	$(BIN)/echo-prep build --data $(DEMO)/data --store $(DEMO)/cache.zarr
	$(BIN)/echo-train --store $(DEMO)/cache.zarr --target mask \
	    --width 16 --epochs 12 --run $(DEMO)/mask
	$(BIN)/echo-train --store $(DEMO)/cache.zarr --target landmarks --landmarks 7 \
	    --width 16 --epochs 12 --run $(DEMO)/landmarks-7
	@$(BIN)/echo-report $(DEMO)/mask $(DEMO)/landmarks-7

clean:
	rm -rf $(DEMO) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find common prep train tests -name __pycache__ -prune -exec rm -rf {} +
