# Start here: `make leaderboard` and `make test` set up .venv by themselves.
PYTHON ?= python3
BIN := .venv/bin
RESULTS := runs/leaderboard

# More options for pytest: make test PYTEST="-x -k resume"
PYTEST :=
TESTS := $(BIN)/python -m pytest -n auto --dist worksteal --disable-warnings

# The environment that `make locked` installs, and where.
LOCK := benchmarks/locks/torch-2.14.1-linux-x86_64.txt
LOCKED := .locked/$(basename $(notdir $(LOCK)))

.PHONY: leaderboard test test-slow test-all check docs lock locked clean

leaderboard: .venv/installed  ## train every technique on digits, one seed, and print the table
	$(BIN)/python -m benchmarks.run --protocol digits --seeds 0 --results $(RESULTS)
	$(BIN)/python -m benchmarks.render --results $(RESULTS) --output $(RESULTS)

test: .venv/installed  ## the fast tests, to run after each edit
	$(TESTS) -m "not slow" $(PYTEST)

test-slow: .venv/installed  ## the tests marked slow
	$(TESTS) -m slow --durations=30 --durations-min=10 $(PYTEST)

test-all: .venv/installed  ## all tests; slow ones slow down the fast ones, so the limit is higher
	$(TESTS) --fast=20 $(PYTEST)

check: .venv/installed  ## what CI checks in addition to the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m benchmarks.render --check

docs: .venv/installed  ## build the documentation's site into site/; any warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

locked:  ## install the environment of records, for Linux x86-64 and the Python that LOCK names
	$(PYTHON) -m venv --clear $(LOCKED)
	$(LOCKED)/bin/python -m pip install --require-hashes --requirement $(LOCK)
	$(LOCKED)/bin/python -m pip install --no-deps --editable .
	$(LOCKED)/bin/python -m pip check

lock: .venv/installed  ## write the lock file of the environment in .venv, after it made records
	$(BIN)/python -m pip install --quiet 'uv>=0.13'
	$(BIN)/python -m benchmarks.environment_lock

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .locked runs site
