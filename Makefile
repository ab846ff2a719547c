# make replay   sets up and opens the live view (make replay ARGS="mitdb/119 --learn 5:00", or simulated
#               alarms within three minutes: make replay ARGS="--scenario night")
# make test     sets up and runs the tests
# make check    lint, format, types
# make bench    the figures of docs/BENCH.md, their pages and plots (make bench ARGS="--only ward")
# make chaos    kills the monitor at random, a hundred times, and compares what it said
# make fuzz     a million damaged inputs for all decoders, an hour or two (make fuzz ARGS="--only rules --seed 7")

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
ARGS ?=
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --constraint constraints.txt

.PHONY: replay test check bench chaos fuzz picture clean

replay: $(VENV)/.run
	@echo "starting ecg-monitor replay" >&2
	@$(BIN)/ecg-monitor replay $(ARGS)

test: $(VENV)/.dev
	@echo "the tests"
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

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

# Each step says what it installs and how much that is, and pip what it is at: nothing here is silent
# for minutes. The sizes are those of docs/INSTALL.md.
$(VENV)/.base: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	@echo "virtual environment: $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "the tested versions: 53 packages, about 600 MB on disk"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.run: $(VENV)/.base
	@echo "PyTorch, to learn patients: about 870 MB on disk as CPU build, else more (docs/INSTALL.md)"
	@$(PIP) "$$(grep '^torch==' constraints.txt)"
	@$(PIP) --quiet --editable '.[learn]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "test and lint tools: 45 packages, about 200 MB on disk"
	@$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	@echo "what the benchmarks compare with"
	@$(PIP) --editable '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
