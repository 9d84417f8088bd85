# `make run` and `make test` do everything from a fresh clone; the other targets are for those who change the code.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Each of the tests' workers, and each bot that they start, would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run sandbox test late lint types check cover mutants lock bench picture clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Two environments' worth of packages in one folder: what the bot needs, or that and what its tests need.
$(VENV)/run: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; name another: make run PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/dev: requirements-dev.txt $(VENV)/run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

run: $(VENV)/run  ## start the bot if .env names a DISCORD_TOKEN, else the sandbox
	@if grep -qsE '^[^[:alnum:]_#]*(export +)?DISCORD_TOKEN *= *[^[:alnum:]#]?[[:alnum:]]' .env; \
	then exec $(BIN)/python -m bot; else exec $(BIN)/python -m sandbox; fi

sandbox: $(VENV)/run  ## start the sandbox in any case; options in ARGS, such as ARGS=--fresh
	@exec $(BIN)/python -m sandbox $(ARGS)

test: $(VENV)/dev  ## run the tests
	$(BIN)/python -m pytest -q -n 6 --dist worksteal

late: $(VENV)/dev  ## run the end-to-end tests with a Discord that answers the bot 60 ms late, which finds tests that race
	DISCORD_LAG_MS=60 $(BIN)/python -m pytest -q -n 6 --dist worksteal tests/e2e

lint: $(VENV)/dev  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev  ## check types, strictly
	$(BIN)/mypy

check: lint types test  ## what CI runs

# Not one of the pinned packages: few need it. Hypothesis tries the same examples each time where CI is set.
cover: $(VENV)/dev  ## say which statements and branches of the bot the tests run
	$(BIN)/coverage run -m pytest -q -n 4 --dist worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

mutants: $(VENV)/dev  ## change the code that moves money in small ways, and list what no test sees; long
	@$(BIN)/mutmut --version >/dev/null 2>&1 || { echo "mutmut is needed: $(BIN)/python -m pip install mutmut==3.8.1"; exit 1; }
	CI=true $(BIN)/mutmut run --max-children 1
	$(BIN)/mutmut results

bench: $(VENV)/dev  ## print the benchmarks' tables
	$(BIN)/python -m benchmarks.answers
	$(BIN)/python -m benchmarks.pictures
	$(BIN)/python -m benchmarks.ledger

picture: $(VENV)/dev  ## make README's picture of the sandbox anew, with Chromium
	$(BIN)/python -m sandbox.web.picture

lock: $(VENV)/dev  ## pin the newest allowed versions, with hashes and without index addresses
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt

clean:  ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis mutants
