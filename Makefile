# The one gate: everything that is done to this project is a target here. `make` lists them.

.DEFAULT_GOAL := help
.PHONY: help setup build up down demo deploy credentials bench chaos mutants fuzz iam audit pictures lint format lock clean
.PHONY: test test-fast test-stack test-sam

# Lambda's Python. The first of these that is one; `make PYTHON=/path/to/python3.13 …` names another.
PYTHON ?= $(shell for python in python3.13 python3; do \
	$$python -c '$(IS_PYTHON)' 2>/dev/null && echo $$python && break; done)
IS_PYTHON := import sys; sys.exit(sys.version_info[:2] != (3, 13))

# An environment is ready once it holds a file named after the checksum of what was asked of it.
ready = $(1)/ready-$(shell cksum <$(2) | cut -d' ' -f1)
DEV := $(call ready,.venv,requirements/dev.txt)
TOOLS := $(call ready,.venv-tools,requirements/tools.txt)
CHECKOV := $(call ready,.venv-checkov,requirements/checkov.txt)
AUDIT := $(call ready,.venv-audit,requirements/audit.txt)
LOCK := $(call ready,.venv-lock,requirements/lock.txt)

COMMAND := .venv/bin/invoicekey

# `make chaos`: rounds of the deployed stack, and the seed of all that is drawn.
ROUNDS ?= 20
SEED ?= 1

IN_DEV := .venv/bin/
IN_TOOLS := .venv-tools/bin/

# Whatever talks to the emulator sees neither your AWS account nor another Python, and finds `sam` and `ministack`.
ISOLATED = env $(patsubst %,-u %,$(sort $(filter AWS_%,$(.VARIABLES)))) \
	AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true \
	SAM_CLI_TELEMETRY=0 PATH="$(CURDIR)/$(IN_TOOLS):$$PATH"

CODE := layers/invoicekey/python functions local operations tests benchmarks examples
LOCKED := layers/dependencies/requirements requirements/dev requirements/tools requirements/checkov requirements/audit requirements/lock

# Licences under which what is deployed may be taken on: all allow use in a closed product. MPL 2.0 (certifi) asks for the
# changes to its own files alone, and there are none.
ALLOWED := MIT;BSD;Apache-2.0;PSF-2.0;Python Software Foundation License;Mozilla Public License 2.0

# What looks like a secret and is none. Files: pictures, hashes of wheels, fingerprints, what is fed to parsers. Lines: access
# keys, SHA-256 sums, a CNPJ with letters, parcels, XML and a hook's body in base64, the made-up ids of AWS and VTEX, names in
# the emulator, and names of tests. Keywords are not looked for: ruff does (S105 to S107), where a secret opens something.
NO_SECRET_FILES := ^docs/pictures/|requirements.*\.txt$$|^tests/data/|^tests/fuzz/corpus/
NO_SECRET_LINES := [0-9]{20,}|[0-9a-f]{64}|12ABC34501DE|AA1554869884FD|"(PE5GZSB2|PG5mZVBy|eyJEb21haW4i)|a1b2c3d4e5
NO_SECRET_LINES := $(NO_SECRET_LINES)|AKIASTRANGER|ED423DDED4C1AE58|invoicekey-local-|def test_

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { line = sprintf("make %-11s", $$1); number = split($$2, words, " "); \
	for (i = 1; i <= number; i++) { if (length(line " " words[i]) > 80) { print line; line = sprintf("%16s", "") } \
	line = line " " words[i] } print line }' $(firstword $(MAKEFILE_LIST))

# ---- See it work

setup: $(DEV) $(TOOLS) $(COMMAND) ## set up the Python environments .venv and .venv-tools, and the command invoicekey
	@echo "ready: .venv for tests and lint, .venv-tools for the stack"
	@echo "the operators' command: $(COMMAND) --help (or put it on your way: export PATH=\"$(CURDIR)/.venv/bin:\$$PATH\")"

demo: $(TOOLS) ## run the whole flow on this machine: no Docker, no AWS account
	@$(ISOLATED) $(IN_TOOLS)python -m local.demo

up: $(TOOLS) ## start the emulator and deploy the stack into it
	@$(ISOLATED) $(IN_TOOLS)python -m local.stack up

down: $(TOOLS) ## stop the emulator
	@$(ISOLATED) $(IN_TOOLS)python -m local.stack down

build: $(TOOLS) ## build functions and layers, where make demo and make up take them
	@$(ISOLATED) $(IN_TOOLS)python -m local.stack build

# ---- Run it on AWS: with the AWS CLI's profiles and regions (AWS_PROFILE, AWS_REGION); STACK names another stack

deploy: $(TOOLS) ## deploy to AWS: ENV=dev (the default) or ENV=production; asks the first time
	@PYTHONPATH=layers/invoicekey/python $(IN_TOOLS)python -m operations.deploying.deploy

credentials: $(TOOLS) ## keep a VTEX account's appKey and appToken; asks, and shows nothing
	@PYTHONPATH=layers/invoicekey/python $(IN_TOOLS)python -m operations.deploying.credentials

# ---- Check it

test: test-fast test-stack test-sam ## run all tests

test-fast: $(DEV) ## run the tests that need no stack: unit, property, integration
	@echo "tests: unit, integration, property"
	@$(ISOLATED) $(IN_DEV)pytest --numprocesses auto --dist worksteal tests/property tests/unit tests/integration
	@echo "tests: every branch of the key's rules and of the judgement (by their own tests, since coverage costs time)"
	@$(ISOLATED) $(IN_DEV)pytest --quiet --numprocesses auto tests/unit/test_access_key.py tests/unit/test_verdict.py --cov --cov-report=
	@$(IN_DEV)coverage report --include='*/access_key.py,*/verdict.py' --fail-under=100

test-stack: $(DEV) $(TOOLS) $(COMMAND) ## run the tests of the deployed stack, in the emulator
	@echo "tests: stack"
	@$(ISOLATED) $(IN_DEV)pytest --numprocesses 2 --dist loadfile tests/stack

test-sam: $(DEV) $(TOOLS) ## run the tests under sam local, where Docker is
	@echo "tests: sam_local"
	@$(ISOLATED) $(IN_DEV)pytest tests/sam_local

lint: $(DEV) $(TOOLS) $(CHECKOV) ## check format, rules, types, imports, dependencies, secrets and the template
	@echo "lint: format"
	@$(IN_DEV)ruff format --check --quiet --diff $(CODE)
	@echo "lint: rules"
	@$(IN_DEV)ruff check --quiet $(CODE)
	@echo "lint: types"
	@$(IN_DEV)mypy --no-error-summary $(CODE)
	@echo "lint: import contract"
	@PYTHONPATH=layers/invoicekey/python $(IN_DEV)lint-imports --no-logo --no-cache
	@echo "lint: dependencies of what is deployed"
	@$(IN_DEV)deptry --no-ansi functions layers
	@echo "lint: dependencies of everything"
	@PYTHONWARNINGS=ignore $(IN_DEV)deptry --no-ansi $(CODE) --requirements-files requirements/dev.in
	@echo "lint: licences of what is deployed"
	@$(IN_DEV)pip-licenses --from=mixed --partial-match --allow-only='$(ALLOWED)' --packages \
	$$(grep -oE '^[A-Za-z0-9._-]+==' layers/dependencies/requirements.txt | tr -d =) >/dev/null
	@echo "lint: secrets"
	@git ls-files -z | xargs -0 $(IN_DEV)detect-secrets-hook --no-verify --disable-plugin KeywordDetector \
	--exclude-files '$(NO_SECRET_FILES)' --exclude-lines '$(NO_SECRET_LINES)'
	@echo "lint: known vulnerabilities"
	@$(MAKE) --no-print-directory audit
	@echo "lint: template"
	@$(ISOLATED) $(IN_TOOLS)cfn-lint
	@echo "lint: template's security"
	@$(ISOLATED) .venv-checkov/bin/checkov --config-file .checkov.yaml

format: $(DEV) ## format the code, and mend what the linter can
	@$(IN_DEV)ruff check --fix-only $(CODE)
	@$(IN_DEV)ruff format $(CODE)

# ---- Keep it

bench: $(DEV) $(TOOLS) ## measure against the limits in fifteen minutes; writes docs/figures.md (PARTS="starts feed": these alone)
	@$(ISOLATED) PYTHONPATH=layers/invoicekey/python $(IN_DEV)python -m benchmarks.bench $(PARTS)

chaos: $(DEV) $(TOOLS) ## break AWS and VTEX on purpose, and see that nothing is lost (ROUNDS=100 SEED=1; writes docs/proof.md)
	@$(ISOLATED) PYTHONPATH=layers/invoicekey/python $(IN_DEV)python -m tests.chaos.campaign --rounds $(ROUNDS) --seed $(SEED)

mutants: $(DEV) ## plant faults in rules and reports, and list those that no test notices (MODULES=verdict: there alone)
	@$(IN_DEV)poodle $(patsubst %,--only 'invoicekey/*/%.py',$(MODULES))

fuzz: $(DEV) ## feed each parser with what follows its coverage, then with megabytes (SECONDS=60 of each; TARGETS="xml key")
	@PYTHONPATH=layers/invoicekey/python $(IN_DEV)python -m tests.fuzz.run --seconds $(or $(SECONDS),60) $(TARGETS)

iam: $(DEV) $(TOOLS) ## take each right of each role away in turn, and see that what its function is for fails
	@$(ISOLATED) $(IN_DEV)pytest tests/iam

audit: $(DEV) ## ask OSV whether a vulnerability is known of anything that is pinned (needs the network; in lint too)
	@$(IN_DEV)python -c 'import httpx; httpx.head("https://api.osv.dev", timeout=5)' 2>/dev/null || { \
	echo "audit: skipped: api.osv.dev is out of reach"; exit 0; }; \
	$(MAKE) --no-print-directory $(AUDIT) && \
	.venv-audit/bin/pip-audit --vulnerability-service osv --disable-pip --no-deps --progress-spinner off \
	$(LOCKED:%=-r %.txt)

pictures: $(DEV) $(TOOLS) ## take the pictures of the desk anew, from its real pages (chromium is needed)
	@$(ISOLATED) $(IN_DEV)python -m local.desk_picture

lock: $(LOCK) ## take the newest dependencies that fit: write the requirements files anew, with hashes
	@for file in $(LOCKED); do echo "lock: $$file.txt"; \
	.venv-lock/bin/uv pip compile --quiet --upgrade --universal --generate-hashes --python .venv-lock/bin/python \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	--output-file $$file.txt $$file.in || exit 1; done

clean: ## remove environments, builds and caches (`make down` first)
	rm -rf .venv .venv-tools .venv-checkov .venv-audit .venv-lock .aws-sam .stack/builds .poodle-temp .fuzz .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

# ---- The environments (--no-compile: Python compiles what it comes to use, which is far less
# than all; --no-deps: the files name everything, so there is nothing to resolve)

define install
	@"$(PYTHON)" -c '$(IS_PYTHON)' 2>/dev/null || { \
	echo "Python 3.13 is needed, as on Lambda: install it, or name it with make PYTHON=/path/to/python3.13"; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	echo "This Python comes without venv: install that too (Debian, Ubuntu: apt install python3.13-venv)"; exit 1; }
	@echo "setup: $(@D) from $(1) (once, under a minute)"
	@rm -rf $(@D)
	@"$(PYTHON)" -m venv $(@D)
	@$(@D)/bin/python -m pip install -qq --no-compile --no-deps --disable-pip-version-check --require-hashes -r $(1)
	@touch $@
endef

$(DEV):
	$(call install,requirements/dev.txt)
$(COMMAND): $(DEV)
	@printf '#!/bin/sh\nPYTHONPATH="%s:%s/layers/invoicekey/python" exec "%s/.venv/bin/python" -m operations "$$@"\n' \
	"$(CURDIR)" "$(CURDIR)" "$(CURDIR)" >$@
	@chmod +x $@
$(TOOLS):
	$(call install,requirements/tools.txt)
$(CHECKOV):
	$(call install,requirements/checkov.txt)
$(AUDIT):
	$(call install,requirements/audit.txt)
$(LOCK):
	$(call install,requirements/lock.txt)
