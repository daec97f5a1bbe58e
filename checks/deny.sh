#!/usr/bin/env bash
# Licences, duplicates and sources of all dependencies, and known vulnerabilities where the advisories can be
# fetched. Usage: checks/deny.sh [advisories|bans|licenses|sources]…
set -euo pipefail
cd "$(dirname "$0")/.."

command -v cargo-deny >/dev/null || cargo install --locked --quiet cargo-deny@0.20.2
checks=("$@")
((${#checks[@]})) || checks=(advisories bans licenses sources)
exec cargo deny --locked check "${checks[@]}"
