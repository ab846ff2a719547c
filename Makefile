# make replay   sets up and opens the live view (make replay ARGS="mitdb/119 --learn 5:00")
# make test     sets up and runs the tests
# make check    lint, format, types
# make bench    the figures of docs/BENCH.md, their pages and plots (make bench ARGS="--only ward")
# make chaos    kills the monitor at random, a hundred times, and compares what it said
# make fuzz     a million damaged inputs for all decoders, an hour or two (make fuzz ARGS="--only rules --seed 7")

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
ARGS ?=
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: replay test check bench chaos fuzz picture clean

replay: $(VENV)/.run
	@$(BIN)/ecg-monitor replay $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.bench
	@$(BIN)/python -m tools.bench $(ARGS)

chaos: $(VENV)/.dev
	$(BIN)/python -m tools.chaos --kills 100 $(ARGS)

fuzz: $(VENV)/.dev
	$(BIN)/python -m tools.fuzz $(ARGS)

picture: $(VENV)/.run
	$(BIN)/python -m tools.picture docs/live-view.svg $(ARGS)

$(VENV)/.run: pyproject.toml constraints.txt
	@echo "setting up $(VENV): PyTorch is large, this takes some minutes the first time"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	@$(PIP) --editable '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
