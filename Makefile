# make report | test | test-all | lab | notebooks | parameters | bench; each makes .venv first, and installs again only when constraints.txt or pyproject.toml changed.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= reports/runs
STAMP := .venv/.installed-$(shell cat constraints.txt pyproject.toml | git hash-object --stdin)
WORKERS ?= 2
export PYDEVD_DISABLE_FILE_VALIDATION := 1

.PHONY: help install report test test-all test-slow lab notebooks parameters readme bench

help:
	@echo "make report      run the demo of every study on simulated data and build reports/index.html"
	@echo "make test        the check: notebooks clean and exported, lint, types, every notebook, tests/"
	@echo "make test-all    the same and then what takes minutes (marked slow)"
	@echo "make lab         JupyterLab on nbs/"
	@echo "make notebooks   execute all notebooks again, in place, and clean them"
	@echo "make parameters  write the parameters cell of each report from its study.yaml"
	@echo "make readme      write README.md from nbs/index.ipynb"
	@echo "make bench       run what is timed, benchmarks/*.py"

install: $(STAMP)

$(STAMP):
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@rm -f .venv/.installed-*
	@touch $@

report: install
	@$(BIN)/biosig-nb sweep every_study --preset demo --workers $(WORKERS) --out $(OUT)

test: install
	@PATH="$(CURDIR)/$(BIN):$$PATH" .ci/check.sh

test-slow: install
	@PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest -n $(WORKERS) --durations=20 -m slow

test-all: test test-slow

lab: install
	$(BIN)/jupyter lab --notebook-dir nbs

notebooks: install
	$(BIN)/python .ci/notebooks.py

parameters: install
	$(BIN)/python .ci/parameters.py

readme: install
	$(BIN)/python .ci/readme.py

bench: install
	@for script in $(sort $(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python $$script || exit 1; done
