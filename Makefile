# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench slow support-table quantities methods-table docs hooks
.DELETE_ON_ERROR:

demo: .venv/.installed
	$(BIN)/gradlens demo

# Several processes of one thread each: tests wait for processes and files more than they compute.
test: .venv/.installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

slow: .venv/.installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow --timeout=1800

# Runs every style of training; a style whose test fails is said to, and the rest goes on.
support-table: .venv/.installed
	rm -rf runs/support
	-GRADLENS_SUPPORT=$(CURDIR)/runs/support OMP_NUM_THREADS=1 $(BIN)/pytest -m "slow or not slow" --timeout=1800 \
		tests/e2e/test_styles.py tests/e2e/test_frameworks.py tests/e2e/test_language_models.py tests/distributed
	$(BIN)/python -m tests.e2e.support_table runs/support

# Writes the table of quantities into the pages that show it.
quantities: .venv/.installed
	$(BIN)/python -m gradlens.metrics.table README.md gradlens/metrics/README.md

# Writes what was measured of each method into the package and the page of the table of methods.
methods-table: .venv/.installed
	$(BIN)/python experiments/paper/table_of_methods.py

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The API reference, in build/reference.
docs: .venv/.installed
	$(BIN)/python experiments/api_reference.py

# What `make lint` checks, before each commit.
hooks: .venv/.installed
	$(BIN)/pre-commit install

bench: .venv/.installed
	$(BIN)/python experiments/bench_overhead.py

# uv lives inside the environment, so nothing but Python is needed; the marker is renewed only when the install succeeded.
.venv/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --editable '.[all]'
	touch $@
