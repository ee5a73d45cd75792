# make demo: set up everything and run the main job on the mock catalogue.
# make test: set up everything and run the tests.
# make bench: measure the speed against other libraries and an earlier commit (docs/speed.md), on an idle machine.
.PHONY: demo test lint setup bench clean
.SHELLFLAGS := -euc
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
CINN := $(VENV)/bin/cinn-clusters
export OMP_WAIT_POLICY := PASSIVE
export PIP_DISABLE_PIP_VERSION_CHECK := 1

demo: $(VENV)/.core
	$(CINN) mock --clusters 350 --seed 1 --out demo/mock --overwrite
	$(CINN) run --observables demo/mock/observables1.csv --targets demo/mock/unobservables1.csv --out demo/run
	$(CINN) infer --model demo/run/model --catalogue demo/mock/observables1.csv --samples 200 --out demo/posterior.nc --overwrite
	@printf '\nDone. What is where:\n'
	@printf '  %-32s %s\n' \
	  demo/run/report.html 'all of it on one page: open it in a browser' \
	  demo/mock/ 'the mock catalogue: observables1.csv, unobservables1.csv' \
	  demo/run/split.json 'the grouped split, and the log of dropped rows' \
	  demo/run/model/ 'the model (cinn-clusters show demo/run/model)' \
	  demo/run/posterior.nc 'posterior samples of the test clusters (ArviZ layout)' \
	  demo/run/summary.csv 'their medians, intervals and marginal modes' \
	  demo/run/scores.json 'their scores' \
	  demo/run/figures/ 'every figure as PNG and PDF' \
	  demo/posterior.nc 'posterior samples of the whole catalogue' \
	  demo/posterior_table.csv 'the catalogue with medians, intervals and flags'

test: $(VENV)/.test
	$(VENV)/bin/python -m pytest -q

lint: $(VENV)/.test
	$(VENV)/bin/ruff check src tests benchmarks docs
	$(VENV)/bin/ruff format --check src tests benchmarks docs
	$(VENV)/bin/mypy

setup: $(VENV)/.test

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "cINN-Clusters: expected Python 3.11 or newer; got " + sys.version.split()[0] + "; pass PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(VENV)/bin/pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(VENV)/bin/pip install -q -c constraints.txt -e '.[test]'
	touch $@ $(VENV)/.core

BASELINE ?= 53f198b
bench: $(VENV)/.test
	$(VENV)/bin/pip install -q -c constraints.txt -e '.[benchmark]'
	test -d bench/before || git worktree add --detach bench/before $(BASELINE)
	$(VENV)/bin/python benchmarks/speed/run.py --baseline bench/before --out bench --page docs/speed.md

clean:
	rm -rf demo dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
