# `make demo` and `make test` first install what is missing into .venv in this folder.
#
#   PYTHON    the Python, 3.11 or newer, that creates .venv: make install PYTHON=python3.12
#   TORCH     the build of torch, as `uv pip install --torch-backend` names it: make install
#             TORCH=cpu, or auto; the default is the package index's, on Linux that for CUDA
#   PIP_ARGS  more arguments for pip install

PYTHON ?= python3
PIP_ARGS ?=

SHELL := bash
BIN := .venv/bin
STAMP := .venv/installed
DEMO := demo
WEIGHTS := weights

# What trains best in little time on a CPU; docs/experiments.md compares.
FAST := --network fast-unet --width 16 --schedule one-cycle --learning-rate 4e-3 --ema 0.98 \
    --batch-size 8 --phase-channel --epochs 12

# The build is remembered: only `make install` has to name it. Another build starts with an empty
# .venv, which would otherwise keep the libraries of the first.
INSTALLED_TORCH := $(shell cat .venv/torch 2>/dev/null)
TORCH := $(or $(TORCH),$(INSTALLED_TORCH))
ifneq ($(TORCH),$(INSTALLED_TORCH))
.PHONY: $(STAMP)
endif

# Measured with the versions of constraints.txt, Python 3.11, x86-64.
SIZE := up to 0.6 GB to download, 2.4 GB in .venv
ifeq ($(shell uname -s),Linux)
ifeq ($(TORCH),)
SIZE := up to 3.1 GB to download, 6 GB in .venv
HINT := Most of it is torch for CUDA. Without CUDA it is 0.6 GB and 2.4 GB: make install TORCH=cpu
else ifneq ($(TORCH),cpu)
SIZE := several GB, with torch for $(TORCH)
endif
endif

.DEFAULT_GOAL := help
.PHONY: help install lint test test-gpu test-browser demo weights clean

help:
	@echo "make install   create .venv with all packages, at the versions of constraints.txt"
	@echo "               (on Linux 3.1 GB to download; with TORCH=cpu, without CUDA, 0.6 GB)"
	@echo "make demo      synthetic data, a store, two models, their table, a measured clip"
	@echo "make test      check format, lint, types and imports, then run the tests"
	@echo "make test-gpu  run the tests that need an NVIDIA GPU"
	@echo "make test-browser  run the tests of report.html and overlays, which need Chromium"
	@echo "make lint      the same without the tests"
	@echo "make weights   train the models that echo-predict uses without a run, on phantoms alone"
	@echo "make clean     remove what the demo and the tools created; .venv stays"

install: $(STAMP)

# The stamp is written last: a partial environment is completed by the next call. An environment
# whose Python or pip does not start is replaced. On a terminal pip shows its progress bars;
# elsewhere, as in a log, one line
# for each download of a megabyte or more, and the end of its output if it fails.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "$(PYTHON) is not Python 3.11 or newer; choose one: make install PYTHON=python3.12" >&2; \
	    exit 1; }
	@echo "Installing the packages of constraints.txt into .venv: $(SIZE)."
	@$(if $(HINT),echo "$(HINT)")
	@if [ -t 1 ] && [ ! -e .venv ]; then echo "Ctrl-C stops it; starting in 5 seconds."; sleep 5; fi
	@rm -f $(STAMP)
	@{ [ "$(TORCH)" = "$(INSTALLED_TORCH)" ] && $(BIN)/python -m pip --version >/dev/null 2>&1; } \
	    || $(PYTHON) -m venv --clear .venv
	@echo "$(TORCH)" > .venv/torch
ifneq ($(TORCH),)
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet \
	    --constraint constraints.txt uv
	@$(BIN)/uv pip install --python $(BIN)/python --torch-backend $(TORCH) \
	    --constraint constraints.txt torch
endif
	@pip() { $(BIN)/python -m pip install --disable-pip-version-check "$$@" \
	    --constraint constraints.txt --editable '.[train,dev]' $(PIP_ARGS); }; \
	if [ -t 1 ]; then pip; else \
	    set -o pipefail; \
	    pip --progress-bar off 2>&1 | tee .venv/install.log | while IFS= read -r line; do \
	        case $$line in *Downloading*.whl*MB\) | Installing*) echo "$${line%%:*}" ;; esac; \
	    done || { tail -n 40 .venv/install.log >&2; exit 1; }; \
	fi
	@touch $(STAMP)
	@echo "Installed into .venv: $$(du -sh .venv | cut -f1)."

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

test-gpu: $(STAMP)
	$(BIN)/pytest -m gpu tests

test-browser: $(STAMP)
	$(BIN)/pytest -m browser tests

demo: $(STAMP)
	rm -rf $(DEMO)
	$(BIN)/echo-prep synth $(DEMO)/data --videos 200 --frames 64
	$(BIN)/echo-prep build --data $(DEMO)/data --store $(DEMO)/cache.zarr
	$(BIN)/echo-train --store $(DEMO)/cache.zarr --target mask \
	    $(FAST) --run $(DEMO)/mask
	$(BIN)/echo-train --store $(DEMO)/cache.zarr --target landmarks --landmarks 7 \
	    $(FAST) --run $(DEMO)/landmarks-7
	@$(BIN)/echo-report $(DEMO)/mask $(DEMO)/landmarks-7
	$(BIN)/echo-prep synth $(DEMO)/clip --videos 1 --frames 128 --seed 1
	$(BIN)/echo-predict $(DEMO)/landmarks-7 $(DEMO)/clip/Videos --out $(DEMO)/measured
	@ls $(DEMO)/measured/*.png $(DEMO)/measured/*.mp4

# The look varies muscle and brightness enough to need little of their augmentation.
VARIED := --augment transfer --augment-wall 0 --augment-shading 0.5

# docs/weights.md describes the result. One thread, so that the weights are the same again on the
# same kind of processor; both models take about 20 minutes of a core.
weights: export OMP_NUM_THREADS = 1
weights: $(STAMP)
	rm -rf $(WEIGHTS)
	$(BIN)/echo-prep synth $(WEIGHTS)/data --look varied --videos 3000 --frames 16
	$(BIN)/echo-prep build --data $(WEIGHTS)/data --store $(WEIGHTS)/cache.zarr --landmarks 11
	$(BIN)/echo-train --store $(WEIGHTS)/cache.zarr --target mask \
	    $(FAST) --epochs 8 $(VARIED) --run $(WEIGHTS)/mask
	$(BIN)/echo-train --store $(WEIGHTS)/cache.zarr --target landmarks --landmarks 11 \
	    $(FAST) --epochs 8 $(VARIED) --run $(WEIGHTS)/landmarks-11
	$(BIN)/python benchmarks/weights.py $(WEIGHTS)/mask $(WEIGHTS)/landmarks-11 \
	    --folder $(WEIGHTS)/looks

clean:
	rm -rf $(DEMO) $(WEIGHTS) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find common prep train tests -name __pycache__ -prune -exec rm -rf {} +
