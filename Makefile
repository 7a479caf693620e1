PYTHON ?= python3
VENV := .venv/bin
AFRESH := $(VENV)/python -m app
ALL := run dev corpus

.DEFAULT_GOAL := help
SHELL := bash
.SILENT:
.PHONY: help run demo worker api migrate psql test matrix chaos soak faults-long check format schema simulate bench lock clean sync-run sync-all
MAKEFLAGS += --no-print-directory

help: ## Show this list
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: sync-run ## Start everything: Postgres, migrations, a worker, the API
	$(AFRESH) up

demo: sync-run ## Watch it work against a dependency that misbehaves; D=--keep leaves it up
	$(AFRESH) demo $(D)

worker: sync-run ## Start a worker
	$(AFRESH) worker

api: sync-run ## Start the API
	$(AFRESH) api

migrate: sync-run ## Bring the database up to this code
	$(AFRESH) migrate

psql: sync-run ## Open psql on the right server
	$(AFRESH) psql

test: sync-all ## Run the tests; T="-k breaker" chooses, N=0 runs them in one process
	$(VENV)/python -m pytest -n $(or $(N),3) --dist loadfile $(T)

matrix: sync-all ## Run the tests of SQL and its plans on Postgres 16, and on 15 where Debian's package is
	failed=0; for version in 16 $(notdir $(wildcard /usr/lib/postgresql/15)); do \
		echo "Postgres $$version"; \
		TEST_POSTGRES_VERSION=$$version $(VENV)/python -m pytest -n 3 --dist loadfile -m matrix -q tests/postgres tests/queue tests/sql tests/store || failed=1; \
	done; exit $$failed

chaos: sync-all ## Two minutes of random faults, and the account of every job; C="--seconds 20 --seed 1" chooses
	$(VENV)/python -m tests.faults.chaos $(C)

soak: sync-all ## A steady load under a short retention, and whether anything grows; MINUTES=20
	$(VENV)/python -m tests.faults.soak --minutes $(or $(MINUTES),20)

faults-long: sync-all ## The tests of faults with their long outages
	FAULTS_LONG=1 $(VENV)/python -m pytest tests/faults

check: sync-all ## Lint, formatting, types, import contracts
	$(VENV)/ruff check
	$(VENV)/ruff format --check
	$(VENV)/mypy
	found=$$($(VENV)/lint-imports --no-logo) || { echo "$$found"; exit 1; }
	echo "All import contracts kept."

format: sync-all ## Format the code and mend what lint can mend
	$(VENV)/ruff check --fix --quiet
	$(VENV)/ruff format

schema: sync-all ## Write what is made of the code: sql/schema.sql, .env.example, the guide's settings, docs/openapi.json, Prometheus's alerts
	$(VENV)/python -m app.postgres.golden
	$(VENV)/python -m app.config.example > .env.example
	$(VENV)/python -m app.config.page > docs/guide/settings.md
	$(VENV)/python -m app.api.contract > docs/openapi.json
	$(VENV)/python -m app.monitoring.alerts.prometheus > deploy/prometheus/alerts.yml

simulate: sync-run ## Play outages through, ours against other policies; S=--short takes seconds
	$(AFRESH) simulate $(S)

bench: sync-all ## Measure the numbers we promise, as ratios, in five minutes; SCALE=full all of them, in an hour
	$(VENV)/python -m bench --scale $(or $(SCALE),short)

lock: sync-all ## Resolve the dependencies anew; U=--upgrade takes the newest
	$(VENV)/python scripts/lock.py $(U)

clean: ## Remove what make made; the data in .afresh stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find app tests bench scripts -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

sync-run:
	$(PYTHON) scripts/sync.py run

sync-all:
	$(PYTHON) scripts/sync.py $(ALL)
