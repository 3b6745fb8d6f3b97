# What is done with this repository, by name. `make help` lists it.

.DEFAULT_GOAL := help
.PHONY: help demo test abuse sim mutants crash fuzz fmt lint bench contract deny

# How long each target is fuzzed, and how often the server is killed.
SECONDS ?= 300
KILLS ?= 100

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The development profile builds in a third of the time of the release profile, and optimises dependencies and SQLite all
# the same (see [profile.dev] in Cargo.toml): a demo of some events a second loses nothing by it.
demo: ## a server, a receiver that verifies, and card traffic: see it work
	cargo run --locked --quiet --package postrider -- demo

test: ## everything that must hold: format, lints, all tests, documentation, the table of abuses
	scripts/test.sh

abuse: ## every abuse that docs/security.md lists, tried: id, result, what it is
	scripts/abuse_table.sh --run

SEEDS ?= 100000

sim: ## the simulator over SEEDS seeds (100000 unless said), on all cores
	cargo run --locked --quiet --profile sim --package postrider-sim -- --seeds $(SEEDS)

mutants: ## deliberate bugs, one at a time: the simulator has to catch each
	cargo run --locked --quiet --profile sim --package postrider-sim --features mutations -- mutants

fmt: ## format the code
	cargo fmt --all

lint: ## format and lints, checked
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

bench: ## load a server and compare it with the direct limit (release build)
	cargo run --locked --release --package postrider -- bench

contract: ## hold a running server against its OpenAPI document (installs schemathesis the first time)
	scripts/contract_check.sh

deny: ## licences, sources, banned crates and advisories of all dependencies (needs cargo-deny and the network)
	cargo deny --locked check

crash: ## kill the server KILLS times under load, and account for everything that it acknowledged
	POSTRIDER_TEST_KILLS=$(KILLS) cargo nextest run --release --locked --package postrider --profile long --no-capture -E 'test(crashes::abuse_a60)'

fuzz: ## try bytes on every reader of outside bytes, SECONDS for each (needs cargo-fuzz); TARGETS="url card" for some
	SECONDS_EACH=$(SECONDS) scripts/fuzz.sh $(TARGETS)
