#!/bin/sh
# Builds the pinned cargo-deny into directory $1; quiet and offline when it is there.
set -eu

version=0.20.2
tools=${1:?usage: scripts/install_cargo_deny.sh DIRECTORY}

case $("$tools/bin/cargo-deny" --version 2>/dev/null || true) in
    "cargo-deny $version") exit 0 ;;
esac
# It runs for a second and is built on every fresh machine: cheap to build beats fast to run.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1
cargo install --locked --root "$tools" --version "$version" cargo-deny
