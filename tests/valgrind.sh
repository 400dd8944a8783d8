#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One whole small job of each kind under valgrind: tests/valgrind.sh DFAL. An error of memory fails; what is only still
# reachable at the end does not. valgrind knows no AVX-512, hence --isa avx2. Exit status 77: valgrind is missing.
set -euo pipefail
dfal=$(realpath "${1:?usage: tests/valgrind.sh DFAL}")
command -v valgrind >/dev/null || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >run.yaml <<'YAML'
data: {train: train.h5, test: test.h5}
network: lenet5
strategies: [dfal, random]
initial: 10
query: 5
annotations: 15
trials: 1
training: {restarts: 1, epochs: 1, validation: 0.2}
YAML
checked() {
    echo "valgrind: $*"
    valgrind --quiet --error-exitcode=99 --trace-children=no "$dfal" --quiet --isa avx2 --threads 2 "$@"
}
checked synth -n 40 -o train.h5
checked synth -n 20 --split test -o test.h5
checked train --net lenet5 train.h5 --epochs 1 -o net.h5
checked score net.h5 test.h5 -o scores.h5
checked run run.yaml -o out
