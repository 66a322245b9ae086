# Needs Python >= 3.11 and the package index, some tests a C++ compiler; everything else lands in .venv, by uv where there
# is one (make UV= does without). TORCH says which build of torch: see scripts/install_torch.sh.
PYTHON ?= python3
JOBS ?= auto
MARK ?= not long
BUILDER ?= html
UV ?= $(shell command -v uv)
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
CORE := tests/core tests/store tests/run/test_local.py tests/run/test_object_store.py tests/cli/test_app.py tests/report/test_write.py
ifeq ($(UV),)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
else
PIP := $(UV) pip install --quiet --python $(BIN)/python
endif
export TORCH UV

# Dozens of tests start processes of their own: let these find modules compiled.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo check test test-long times lowest lint types docs bench gallery package clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo "make demo    install, audit the embedded demo model, say where the report lies"
	@echo "make check   style, types and the nearest tests of a change since origin/main, in 90 s; BASE= SECONDS= ALL=1 LIST=1"
	@echo "make test    install the test tools, run the test suite"
	@echo "make test-long  run what takes longest: whole batteries, every method on a device, several processes, Ray"
	@echo "make times   run the test suite, write tests/times.json: tests that take more than half a second"
	@echo "make lowest  install the oldest releases that pyproject.toml allows into .venv-lowest, run the suite's core (needs uv)"
	@echo "make lint    style: ruff check and ruff format --check"
	@echo "make types   types: mypy --strict"
	@echo "make docs    build the documentation into docs/_build/html; BUILDER=dummy: check it and write no pages"
	@echo "make bench   run the quick benchmarks, about ten minutes; ONLY=slopes: one of all by its name, ARGS: its options"
	@echo "make gallery  photograph the page of every kind of run into runs/gallery; BEFORE=FOLDER: beside an earlier one"
	@echo "make package  build wheel and sdist into dist, check them, write the bill of materials"
	@echo "make clean   remove .venv, .venv-lowest, caches and built files (runs/ stays)"

# The pip that comes with Python can be years old, and took half as long again for all below.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is older than Python 3.11: make PYTHON=python3.12 ..." >&2; exit 2; }
ifeq ($(UV),)
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
else
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
endif

$(VENV)/.torch: | $(BIN)/python
	@scripts/install_torch.sh $(BIN)/python
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.torch
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml $(VENV)/.torch
	$(PIP) -e '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml $(VENV)/.torch
	$(PIP) -e '.[docs]'
	@touch $@

demo: $(VENV)/.installed
	@out=runs/demo-$$(date -u +%Y%m%dT%H%M%S)-$$$$ \
	  && $(BIN)/unshaken audit --out "$$out" \
	  && echo "The report: $(CURDIR)/$$out/report.html"

check: $(VENV)/.installed-test
	@OMP_NUM_THREADS=1 $(BIN)/python scripts/check.py $(if $(BASE),--base $(BASE)) $(if $(SECONDS),--seconds $(SECONDS)) \
	  $(if $(ALL),--all) $(if $(LIST),--list)

# One thread a worker: two workers on two cores would fight over them otherwise.
test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m "$(MARK)" $(ARGS)

test-long:
	@$(MAKE) test MARK=long

times:
	@UNSHAKEN_TIMES=write $(MAKE) test ARGS="-p tests.times $(ARGS)"

# On Linux the oldest torch comes with CUDA, 5 GB: UV_TORCH_BACKEND=cpu make lowest, where torch's own index is reached.
$(LOWEST)/.installed: pyproject.toml
	@[ -n "$(UV)" ] || { echo "make lowest needs uv: pip cannot choose the oldest releases" >&2; exit 2; }
	$(UV) venv --quiet --clear --python $(PYTHON) $(LOWEST)
	$(UV) pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct -e '.[test]'
	@touch $@

lowest: $(LOWEST)/.installed
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -q $(CORE) $(ARGS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/python -m mypy
	$(BIN)/mypy --config-file= --strict tests/typed_program.py

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b $(BUILDER) docs docs/_build/$(BUILDER)
	@echo "The documentation: $(CURDIR)/docs/_build/$(BUILDER)/index.html"

bench: $(VENV)/.installed-test
	$(BIN)/python benchmarks $(ONLY) $(ARGS)

gallery: $(VENV)/.installed-test
	$(BIN)/python scripts/gallery_pages.py --out $(or $(OUT),runs/gallery) $(if $(BEFORE),--before $(BEFORE))

# Its tools land in a folder of their own, which is removed; dist must not hold an earlier version.
package:
	rm -rf dist
	scripts/check_package.sh dist

clean:
	rm -rf $(VENV) $(LOWEST) docs/_build docs/_generated build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests scripts docs -name __pycache__ -type d -prune -exec rm -rf {} +
