# The one door: people and the build machine come in by the same recipes.

.DEFAULT_GOAL := help
.PHONY: help run demo test test-on-sentinel test-on-cluster soak lint lint-deploy bench bench-channels

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
TOOLS := $(TARGET_DIR)/tools

help: ## Lists what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' Makefile

run: ## Starts the gateway, release build, on a Redis of its own
	@scripts/install.sh cargo cc redis-server
	cargo build --release --locked
	@$(TARGET_DIR)/release/stockgate serve

demo: ## Shows a flash sale against four channels, and checks every number
	@scripts/install.sh cargo cc redis-server
	cargo build --release --locked
	@$(TARGET_DIR)/release/stockgate demo

test: ## Runs all tests, on real redis-server processes
	@scripts/install.sh cargo cc redis-server
	cargo test --locked

test-on-sentinel: ## Runs the integration tests on a master that sentinels name
	@scripts/install.sh cargo cc redis-server
	STOCKGATE_IT_ON=sentinel cargo test --locked --test it

test-on-cluster: ## Runs the integration tests on a cluster of three masters and three replicas
	@scripts/install.sh cargo cc redis-server
	STOCKGATE_IT_ON=cluster cargo test --locked --test it

soak: ## Kills a worker every second for a minute, under load, and checks every number
	@scripts/install.sh cargo cc redis-server
	STOCKGATE_SOAK_SECONDS=$(or $(STOCKGATE_SOAK_SECONDS),60) cargo test --locked --test it gateway_kill -- --nocapture

# Unit files are checked where systemd is.
lint-deploy: ## Checks deploy/: charts, rules, units, and each Redis configuration by starting it
	@scripts/install.sh promtool redis-server $(if $(filter Linux,$(shell uname -s)),systemd-analyze)
	@scripts/install_deploy_tools.sh $(TOOLS)/deploy
	scripts/check_deploy.sh $(TOOLS)/deploy

# Advisories are left out: their database is a git clone of a repository that not every build machine can reach.
# Where it can: $(TOOLS)/bin/cargo-deny check advisories
lint: lint-deploy ## Checks form, lints, docs, the contract, the dependencies and deploy/
	@scripts/install.sh cargo cargo-fmt cargo-clippy cc
	@scripts/install_buf.sh
	@scripts/install_cargo_deny.sh $(TOOLS)
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked
	node_modules/.bin/buf lint
	$(TOOLS)/bin/cargo-deny --locked check --hide-inclusion-graph bans licenses sources

bench: ## Measures calls per second beside rivals, ten minutes, and writes docs/benchmarks.md
	@scripts/install.sh cargo cc redis-server postgres
	cargo bench --locked --bench throughput -- --write

bench-channels: ## Measures how late channels hear of a change, with sick ones among them
	@scripts/install.sh cargo cc redis-server
	cargo bench --locked --bench channels
