# Everything a newcomer or CI runs. Any Python from 3.11 on will do for PYTHON; the rest is set up from locks.
PYTHON ?= python3
BIN := .venv/bin
SETUP := $(PYTHON) infra/toolchain/setup.py
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/keyrung
COMPILE := $(BIN)/uv pip compile --custom-compile-command "make lock" --universal --python-version 3.11 --generate-hashes --no-emit-index-url --quiet

BUNDLE := infra/keyrung_infra/packaging

.PHONY: setup setup-tests demo test test-slow check bench capacity diagram tables guardrails mutation clean clean-cache lock

setup:  ## tools and environment, nothing else
	@$(SETUP)

demo: setup  ## the main job, from keys to an audited step-up
	@$(BIN)/keyrung demo

test: setup-tests  ## all tests, against the real servers
	@$(BIN)/pytest --numprocesses 2 --dist loadgroup

test-slow: setup  ## the long comparisons of the policy analysis with brute force, some minutes
	@$(BIN)/pytest --numprocesses 2 -m slow

check: setup  ## style, types and import rules
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup  ## measurements; they assert nothing
	@$(BIN)/pytest --quiet --capture=no tests/benchmarks/bench_*.py

capacity: setup  ## write which limit of an AWS deployment binds at which rate into tests/benchmarks/capacity/README.md
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.capacity

diagram: setup  ## draw what the target aws deploys into infra/README.md
	@PYTHONPATH=tests $(BIN)/python -W ignore::DeprecationWarning -m support.deployment_diagram

mutation: setup  ## change the verifier's code in small ways and count the changes that the tests notice, some minutes
	@$(BIN)/python tests/mutation/run.py

tables: setup  ## write the tables of back ends in provisioners/README.md
	@PYTHONPATH=tests $(BIN)/python -m support.backend_table

clean:  ## remove all that was made in this folder, the local stack included
	@[ ! -d .keyrung ] || { [ -x $(BIN)/keyrung ] || $(SETUP); $(BIN)/keyrung dev down; }
	@rm -rf .keyrung .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .mutation dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

clean-cache:  ## remove what is shared between checkouts: the Pulumi CLI, downloaded packages
	@rm -rf "$(CACHE)"

lock: setup  ## renew the hashed locks after a change of pyproject.toml, go.in or bundle.in
	@$(COMPILE) pyproject.toml --all-extras --group dev -o infra/toolchain/requirements.lock
	@$(COMPILE) infra/toolchain/go.in -o infra/toolchain/go.lock
	@$(COMPILE) $(BUNDLE)/bundle.in --no-emit-package pycparser --constraint infra/toolchain/requirements.lock -o $(BUNDLE)/bundle.lock
	@$(COMPILE) infra/toolchain/guardrails.in -o infra/toolchain/guardrails.lock

guardrails:  ## set up the policy pack, for `pulumi preview --policy-pack policies/guardrails`
	@$(SETUP) --guardrails

setup-tests:
	@$(SETUP) --tests
