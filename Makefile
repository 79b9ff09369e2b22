# Everything runs in what infra/bootstrap.py brings; python3 and the package registries are enough to begin.
PYTHON ?= python3
LOCAL = .venv/bin/python -m infra.local
PLACE = $(if $(DIRECTORY),--directory "$(DIRECTORY)") $(if $(PORT),--port $(PORT)) $(if $(POSTGRES_PORT),--postgres-port $(POSTGRES_PORT))

.DEFAULT_GOAL := help
.PHONY: help bootstrap up demo down reset logs doctor windows rotate-keys admin redrive test check openapi schema synth deploy bench

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

bootstrap: ## Bring the tools: uv, Python 3.13 and packages, Node, the cdk CLI (everything below does so first)
	@$(PYTHON) infra/bootstrap.py

demo: bootstrap ## Start Chally here and carry one photo from phone to verdict (PHOTO=path for your own)
	@$(LOCAL) demo $(PLACE) $(if $(PHOTO),--photo "$(PHOTO)")

up: bootstrap ## Start Chally here, or bring it up to date (PORT=4566 DIRECTORY=.local POSTGRES_PORT=)
	@$(LOCAL) up $(PLACE)

down: bootstrap ## Stop it; the data stays
	@$(LOCAL) down $(PLACE)

reset: bootstrap ## Stop it and delete its data
	@$(LOCAL) reset $(PLACE)

logs: bootstrap ## What functions and servers logged (FUNCTION=identity FOLLOW=1 MINUTES=10)
	@$(LOCAL) logs $(PLACE) $(FUNCTION) $(if $(FOLLOW),--follow) $(if $(MINUTES),--minutes $(MINUTES))

doctor: ## What is missing, and how to fix it
	@$(PYTHON) -m infra.local.doctor $(if $(DIRECTORY),--directory "$(DIRECTORY)")

windows: bootstrap ## Precompute the windows now, as the schedule does every 15 minutes
	@$(LOCAL) invoke challenge-windows $(PLACE)

rotate-keys: bootstrap ## Make the next signing key now; it signs in 15 minutes (STAGE=local)
	@$(LOCAL) invoke identity-keys --payload '{"rotate": true}' --stage $(or $(STAGE),local) $(PLACE)

admin: bootstrap ## Give somebody a role (EMAIL=kari@example.com ROLE=admin STAGE=local)
	@$(LOCAL) role '$(EMAIL)' $(or $(ROLE),admin) --stage $(or $(STAGE),local) $(PLACE)

redrive: bootstrap ## Send a queue's dead letters again, once what failed is mended (QUEUE=verdicts STAGE=local)
	@$(LOCAL) redrive $(or $(QUEUE),verdicts) --stage $(or $(STAGE),local) $(PLACE)

test: bootstrap ## Run the tests (ARGS="-k windows")
	@$(LOCAL) test -- $(ARGS)

check: bootstrap ## Run every linter and type check
	@$(LOCAL) check

bench: bootstrap ## Measure the figures we publish (the system must be up for those of the whole)
	@$(LOCAL) bench

schema: bootstrap ## Write the whole database schema, functions/migrations/schema.sql, for readers
	@PYTHONPATH=functions:layers/core/python .venv/bin/python -m infra.tools.schema

openapi: bootstrap ## Write the API's description, functions/system/openapi.json, from the code
	@PYTHONPATH=functions:layers/core/python .venv/bin/python -m system.openapi

synth: bootstrap ## Synthesise the CDK app, all stages, into cdk.out/ (no AWS account needed)
	@$(LOCAL) synth

deploy: bootstrap ## Deploy to AWS (STAGE=staging)
	@$(LOCAL) deploy $(or $(STAGE),staging)
