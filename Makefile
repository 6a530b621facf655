# Everything that a developer or CI does, by name. It needs make and Python 3.11 or 3.12, nothing else.

VENV ?= .venv
RUN := $(VENV)/bin/
LOCKED := $(VENV)/.locked
STAMP := $(VENV)/.installed
COMPILED := $(VENV)/.compiled
# Which tests, and what else pytest is told: make test TESTS=tests/shard ARGS='-k clock'
TESTS ?= tests
ARGS ?=
# All tests are shared out among so many processes; a choice of tests runs in one, unless told otherwise.
WORKERS ?= $(if $(filter-out tests,$(TESTS)),0,2)
# Tests that need little time, no broker and no data, and how many per cent of the lines they run at least.
FAST := (unit or operator or property) and not (soak or slow or acceptance or broker)
COVERAGE_MIN := 79
# Where the broker of `make broker` listens.
PORT ?= 9092
# Each file is one benchmark that needs no argument.
BENCHMARKS ?= $(sort $(wildcard benchmarks/[a-z]*.py))

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export VENV

.DEFAULT_GOAL := help
.PHONY: help demo test coverage rest golden golden-update broker check format bench bench-check soak build schema lock clean
.DELETE_ON_ERROR:

help: ## show this list
	@echo "Headrace decides on events as they arrive, and learns from their outcomes."
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)$$/  make \1 \2/p' $(firstword $(MAKEFILE_LIST)) \
		| awk '{ printf "  %s %-11s", $$1, $$2; $$1 = $$2 = ""; print }'
	@echo
	@echo "The first one that needs it makes $(VENV) from requirements.txt. PYTHON=... chooses another Python."

demo: $(COMPILED) ## watch both flows decide and learn on a simulated shop, for half a minute
	@$(RUN)headrace demo

test: $(STAMP) ## run the tests (on real data: with HEADRACE_DATA, its folder; on Kafka: with Java and Maven)
	@$(RUN)python -m pytest -m "not soak" --numprocesses $(WORKERS) --dist worksteal $(ARGS) $(TESTS)

coverage: $(STAMP) ## run the fast tests, and fail if they run too few of the lines
	@COVERAGE_CORE=$$($(RUN)python -c 'import sys; print("sysmon" if hasattr(sys, "monitoring") else "ctrace")') \
		$(RUN)python -m pytest -m "$(FAST)" --numprocesses $(WORKERS) --dist worksteal $(ARGS) $(TESTS) \
		--cov --cov-report=term --cov-fail-under=$(COVERAGE_MIN)

rest: $(STAMP) # the tests that `make coverage` leaves out
	@$(RUN)python -m pytest -m "not soak and not ($(FAST))" --numprocesses $(WORKERS) --dist worksteal $(ARGS) $(TESTS)

golden: $(STAMP) ## hold the decisions, dead letters and records of small worlds against those committed
	@$(RUN)python -m pytest -q --numprocesses 2 --dist worksteal $(ARGS) tests/golden

golden-update: $(STAMP) # write them anew; tests/golden/README.md says when
	@$(RUN)python tests/golden/update.py

broker: $(STAMP) ## run a Kafka broker on this machine until ctrl-C (needs Java and Maven; PORT=9092)
	@exec $(RUN)python tests/broker.py --port $(PORT)

check: $(STAMP) ## lint, format, types, and the arrows between the packages
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)mypy --config-file tests/mypy.ini
	$(RUN)lint-imports --no-logo

format: $(STAMP) ## let ruff mend what it can
	$(RUN)ruff check --fix .
	$(RUN)ruff format .

bench: $(STAMP) ## run the benchmarks; each prints its conditions with its figures
	@set -e; for file in $(BENCHMARKS); do echo "== $$file"; $(RUN)python $$file; done

bench-check: $(STAMP) ## compare what a run costs with another commit: make bench-check BASE=COMMIT
	@test -n "$(BASE)" || { echo "which commit? make bench-check BASE=COMMIT" >&2; exit 2; }
	@$(RUN)python benchmarks/_against.py $(ARGS) $(BASE)

soak: $(STAMP) ## run the long tests
	@$(RUN)python -m pytest -m soak $(ARGS) $(TESTS)

build: $(STAMP) ## build the source archive and the wheel into dist/ (docs/releasing.md)
	@rm -rf dist
	@$(RUN)python -m build --no-isolation --outdir dist .

schema: $(STAMP) ## write docs/schemas anew from the event contract
	@$(RUN)headrace schema

lock: $(STAMP) ## solve requirements.txt anew: every package with its hashes, for Python 3.11 and 3.12
	$(RUN)uv pip compile pyproject.toml --extra dev --quiet --upgrade --output-file requirements.txt \
		--universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links

clean: ## remove what make made: the virtual environment, builds and caches
	rm -rf .kafka build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@left=0; for folder in .venv .venv-* $(VENV); do .ci/own-venv "$$folder" && rm -rf "$$folder" || left=1; done; exit $$left

# Other packages: a new environment. Another pyproject.toml or version: only the project is linked in again.
# Changed code needs neither.
$(LOCKED): requirements.txt
	@.ci/own-venv $(VENV)
	@python=$$(.ci/find-python) && echo "Making $(VENV) with $$python" && "$$python" -m venv --clear $(VENV)
	@echo "Installing the packages of requirements.txt into it (a minute or two, once) ..."
	@$(RUN)python -m pip install --quiet --require-hashes --requirement requirements.txt
	@touch $@

$(STAMP): $(LOCKED) pyproject.toml $(wildcard src/headrace/__init__.py)
	@$(RUN)python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# What Numba compiles is kept for later processes. A day of the demonstration needs all of it.
$(COMPILED): $(STAMP)
	@echo "Compiling what decides (a minute, once) ..."
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(RUN)headrace demo --days 1 --live 0 --to "$$folder/d" >/dev/null 2>&1
	@touch $@
