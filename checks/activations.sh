#!/usr/bin/env bash
# Computes the activations of all 2^32 f32 on the best level of this CPU, compares them with f64 within the errors that
# their documentation states, and prints the largest. It takes minutes of two cores for each. (`cargo test` compares
# 400,000 numbers, on all levels, which have the same bits.) Usage: checks/activations.sh [NAME]
set -euo pipefail
cd "$(dirname "$0")/.."

SEPCONV_ACTIVATION=${1:-} cargo test --release -p sepconv-kernels --test activations -- --ignored --nocapture \
    --exact errors_of_all_numbers
