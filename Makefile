# infra/tools/bootstrap.py installs everything that the targets use; it needs python3 and the package registries.
PYTHON ?= python3
TOOLS = .venv/bin/python -m infra.tools
PLACE = $(if $(DIRECTORY),--directory "$(DIRECTORY)") $(if $(PORT),--port $(PORT)) $(if $(POSTGRES_PORT),--postgres-port $(POSTGRES_PORT))
STAGED = $(PLACE) --stage $(or $(STAGE),local)
# Tests start many processes: without their bytecode each would compile every package again.
PYTEST = PYTHONDONTWRITEBYTECODE= .venv/bin/python $(if $(COVERAGE),-m coverage run) -m pytest --numprocesses=auto --dist=loadgroup $(ARGS)
FULLY_COVERED = */rules.py,*/rules/*.py,*/identity/tokens.py,*/identity/sessions.py

.DEFAULT_GOAL := help
.PHONY: help bootstrap up demo down reset logs doctor windows rotate-keys admin redrive test coverage mutate check openapi schema synth deploy bench

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

bootstrap: ## Install the tools: uv, Python 3.13 and packages, Node, the cdk CLI (other targets do this first)
	@$(PYTHON) infra/tools/bootstrap.py

demo: bootstrap ## Start Chally here and carry one photo from the phone to its verdict (PHOTO=path for your own)
	@$(TOOLS) $(PLACE) demo $(if $(PHOTO),--photo "$(PHOTO)")

up: bootstrap ## Start Chally here, or update it (PORT=4566 DIRECTORY=.local POSTGRES_PORT=)
	@$(TOOLS) $(PLACE) up

down: bootstrap ## Stop it and keep the data
	@$(TOOLS) $(PLACE) down

reset: bootstrap ## Stop it and delete its data
	@$(TOOLS) $(PLACE) reset

logs: bootstrap ## Show the logs of functions and servers (FUNCTION=identity FOLLOW=1 MINUTES=10)
	@$(TOOLS) $(PLACE) logs $(FUNCTION) $(if $(FOLLOW),--follow) $(if $(MINUTES),--minutes $(MINUTES))

doctor: ## Show what is missing and how to fix it
	@$(PYTHON) -m infra.tools.doctor $(if $(DIRECTORY),--directory "$(DIRECTORY)")

windows: bootstrap ## Compute windows now, as the schedule does every 15 minutes (STAGE=local)
	@$(TOOLS) $(STAGED) invoke challenge-windows

rotate-keys: bootstrap ## Create the next signing key now; it signs in 15 minutes (STAGE=local)
	@$(TOOLS) $(STAGED) invoke identity-keys --payload '{"rotate": true}'

admin: bootstrap ## Give a person a role (EMAIL=kari@example.com ROLE=admin STAGE=local)
	@$(TOOLS) $(STAGED) role '$(EMAIL)' $(or $(ROLE),admin)

redrive: bootstrap ## Send a queue's dead letters again after the cause is fixed (QUEUE=verdicts STAGE=local)
	@$(TOOLS) $(STAGED) redrive $(or $(QUEUE),verdicts)

test: bootstrap ## Run the tests (ARGS="-k windows")
	@$(PYTEST)

coverage: bootstrap ## Run the tests, list the lines and branches they miss, and fail below the floors
	@.venv/bin/coverage erase
	@$(MAKE) --no-print-directory test COVERAGE=1
	@.venv/bin/coverage combine --quiet
	@.venv/bin/coverage report --fail-under=90; whole=$$?; \
	  .venv/bin/coverage report --include='$(FULLY_COVERED)' --fail-under=100 && exit $$whole

check: bootstrap ## Run every linter and type check
	@$(TOOLS) check

bench: bootstrap ## Measure the published figures (some need a running system: make up)
	@for file in tests/bench/bench_*.py; do \
	  PYTHONPATH=functions:layers/core/python:. .venv/bin/python -m tests.bench.$$(basename $$file .py) || failed=1; \
	done; exit $${failed:-0}

mutate: bootstrap ## Change the source in 150 places and see which changes no test notices (an hour; ARGS="--seed 2 --number 30")
	@PYTHONPATH=functions:layers/core/python:. .venv/bin/python -m tests.mutation $(ARGS)

openapi: bootstrap ## Write functions/system/openapi.json, the description of the API, from the code
	@PYTHONPATH=functions:layers/core/python .venv/bin/python -m system.openapi

schema: bootstrap ## Write functions/migrations/schema.sql, the whole schema for readers
	@PYTHONPATH=functions:layers/core/python .venv/bin/python -m infra.tools.schema

synth: bootstrap ## Synthesise all stages of the CDK app into cdk.out/ (needs no AWS account)
	@$(TOOLS) synth

deploy: bootstrap ## Deploy to AWS (STAGE=staging)
	@$(TOOLS) deploy $(or $(STAGE),staging)
