# The commands of development. They require make and Python 3.11 or newer, and install the rest into .cache and .venv.
#
#   make PYTHON=/path/to/python3.13 test    selects the interpreter, which stays selected until `make clean`.

UV_VERSION := 0.13.9
BIN := .venv/bin
UV := .cache/uv/bin/uv

# Variables of the caller must not affect the environment.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONPATH PYTHONHOME PYTHONSTARTUP
# Without bytecode files every process compiles each module that it imports.
unexport PYTHONDONTWRITEBYTECODE
unexport UV_PYTHON UV_SYSTEM_PYTHON UV_ENV_FILE UV_NO_SYNC UV_FROZEN UV_LOCKED UV_EXTRA UV_NO_DEV
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/.venv

.NOTPARALLEL:
.DEFAULT_GOAL := help
heading = @printf '\n\033[1m== %s\033[0m\n' "$(1)"

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: .venv/.ready ## The whole engine with demo data, data in .scalecommerce; options: make run ARGS="--port 9000"
	@exec $(BIN)/scalecommerce up --demo $(ARGS)

.PHONY: test
test: lint types contracts unit project simulations integration browser ## All checks and tests from `lint` to `browser`; stops at the first failure
	$(call heading,All checks passed)
	@cat .cache/tests-left-out/* 2>/dev/null || true

.PHONY: lint
lint: .venv/.ready ## Style and format
	$(call heading,ruff check)
	@$(BIN)/ruff check
	$(call heading,ruff format --check)
	@$(BIN)/ruff format --check

.PHONY: types
types: .venv/.ready ## mypy, strict
	$(call heading,mypy)
	@$(BIN)/mypy

.PHONY: contracts
contracts: .venv/.ready ## Import contracts (import-linter)
	$(call heading,lint-imports)
	@$(BIN)/lint-imports

.PHONY: unit
unit: .venv/.ready ## Tests without I/O; options: make unit ARGS="-k money"
	$(call heading,pytest tests/unit)
	@.ci/unit-tests $(ARGS)

.PHONY: project
project: .venv/.ready ## Documentation, links, image, Compose file and names agree with the code
	$(call heading,pytest tests/project)
	@$(BIN)/pytest tests/project $(ARGS)

.PHONY: simulations
simulations: .venv/.ready ## The whole engine and its markets, simulated in one process, without I/O
	$(call heading,pytest tests/simulation)
	@$(BIN)/pytest tests/simulation --numprocesses=2 --dist=worksteal $(ARGS)

.PHONY: integration
integration: .venv/.ready ## Tests on real servers, which are installed as wheels
	$(call heading,pytest tests/integration)
	@$(BIN)/pytest tests/integration --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)

.PHONY: browser
browser: .venv/.ready ## Tests of the pages in Chromium, installed if missing; options: make browser ARGS="--shots build/shots"
	$(call heading,pytest tests/browser)
	@$(BIN)/python -m tests.browser $(ARGS)

.PHONY: fuzz
fuzz: .venv/.ready ## Thousands of generated requests against real servers; options: make fuzz ARGS="--seconds 600"
	@$(BIN)/python -m tests.fuzz.campaign $(ARGS)

.PHONY: torture
torture: .venv/.ready ## Kill every process of an engine under load, then check its data; options: make torture ARGS="--seed 7"
	@$(BIN)/scalecommerce torture $(ARGS)

.PHONY: attack
attack: .venv/.ready ## Attack an engine beside an honest load; options: make attack ARGS="--only connections --seconds 60 --engine DIR"
	@$(BIN)/python -m tests.attacks $(ARGS)

.PHONY: cluster-test
cluster-test: .venv/.ready .cache/patroni/.ready ## Faults of a cluster with Patroni and etcd under load, as root, about 50 min; options: make cluster-test ARGS="--faults 7"
	@exec $(BIN)/python -m tests.cluster $(ARGS)

.PHONY: docs
docs: .venv/.ready ## The documentation as a site in build/site; fails on broken links
	@$(BIN)/sphinx-build -c docs -d build/doctrees -b html -E -W --keep-going -q . build/site
	@echo "build/site/index.html"

.PHONY: sbom
sbom: .venv/.ready ## The software bill of materials of a deployment in build/sbom.cdx.json (CycloneDX), from uv.lock
	@mkdir -p build
	@$(UV) export --quiet --frozen --no-dev --extra server --extra otel --format cyclonedx1.5 --preview-features sbom-export \
		--output-file build/sbom.cdx.json >/dev/null
	@echo "build/sbom.cdx.json"

.PHONY: audit
audit: $(UV) ## Compare the packages of uv.lock with known vulnerabilities; asks osv.dev
	@$(UV) audit --frozen --no-dev --preview-features audit-command $(ARGS)

.PHONY: format
format: .venv/.ready ## Format the code and apply the safe fixes of `lint`
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

.PHONY: bench
bench: .venv/.ready ## List the benchmarks
	@for file in bench/[a-z]*.py; do \
		printf '  %s -m bench.%-20s %s\n' $(BIN)/python "$$(basename "$$file" .py)" \
			"$$(sed -n '1s/^"""\([^"]*\).*/\1/p' "$$file")"; \
	done

.PHONY: bench-orders
bench-orders: .venv/.ready ## Orders over HTTP against pgbench, about 25 min; options: make bench-orders ARGS="--quick"
	@$(BIN)/python -m bench.orders $(ARGS)

.PHONY: bench-reads
bench-reads: .venv/.ready ## Reads of a million products over HTTP, about 20 min; options: make bench-reads ARGS="--quick"
	@$(BIN)/python -m bench.reads $(ARGS)

.PHONY: alerts-soak
alerts-soak: .venv/.ready ## An hour of load, watched by Prometheus: no alert may fire; options: make alerts-soak ARGS="--minutes 10"
	@$(BIN)/python -m bench.alerts_soak $(ARGS)

.PHONY: lock
lock: $(UV) ## Bring uv.lock up to date with pyproject.toml; options: make lock ARGS=--upgrade
	@$(UV) lock --python "$$(cat .cache/python)" $(ARGS)

.PHONY: clean
clean: ## Remove all generated files except the engine's data (.scalecommerce)
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist

# The environment follows the interpreter, the lock and this file; a second `make` finds it ready.
.venv/.ready: $(UV) .cache/python pyproject.toml uv.lock Makefile
	$(call heading,Environment for $$(cat .cache/python))
	@$(UV) sync --quiet --frozen --all-extras --python "$$(cat .cache/python)"
	@touch $@

# Patroni in an environment of its own, because only `cluster-test` runs it.
.cache/patroni/.ready: $(UV) .cache/python pyproject.toml uv.lock Makefile
	@UV_PROJECT_ENVIRONMENT="$(CURDIR)/.cache/patroni" $(UV) sync --quiet --frozen --only-group cluster --python "$$(cat .cache/python)"
	@touch $@

# Into an environment of its own; Debian's Python has no venv without python3-venv, but may have pip.
$(UV): .cache/python Makefile
	$(call heading,uv $(UV_VERSION))
	@rm -rf .cache/uv && python="$$(cat .cache/python)" && pip="pip --quiet --disable-pip-version-check install" && \
	if "$$python" -m venv .cache/uv >/dev/null 2>&1; then .cache/uv/bin/python -m $$pip uv==$(UV_VERSION); \
	elif "$$python" -m pip --version >/dev/null 2>&1; then "$$python" -m $$pip --target .cache/uv uv==$(UV_VERSION); \
	else echo "$$python has neither venv nor pip (on Debian: apt install python3-venv)." >&2; exit 1; fi
	@touch $@

# Chosen once. PYTHON=... on the command line or in the environment chooses again.
.cache/python: $(if $(PYTHON),.cache/forced)
	@mkdir -p .cache
	@if [ -n "$(PYTHON)" ]; then \
		"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")' && \
		chosen=$$("$(PYTHON)" -c 'import sys; print(sys.executable)'); \
	else \
		chosen=$$(.ci/find-python); \
	fi && { [ "$$(cat $@ 2>/dev/null)" = "$$chosen" ] || echo "$$chosen" > $@; }

.PHONY: .cache/forced
.cache/forced:
