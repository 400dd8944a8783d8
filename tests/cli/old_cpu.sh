#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# On a CPU without AVX2 (qemu plays a Nehalem) the command says so in one sentence and exits 69; on one with AVX2 and
# without AVX-512 it works. usage: old_cpu.sh DFAL
set -u
command -v qemu-x86_64 >/dev/null || { echo "skipped: qemu-x86_64 (qemu-user) is not installed"; exit 77; }
text=$(qemu-x86_64 -cpu Nehalem "$1" doctor 2>&1)
code=$?
[ $code = 69 ] || { echo "exit code $code on a CPU without AVX2, expected 69: $text"; exit 1; }
case $text in
*AVX2*) ;;
*) echo "the sentence does not name AVX2: $text"; exit 1 ;;
esac
[ "$(printf '%s\n' "$text" | wc -l)" = 1 ] || { echo "more than one sentence: $text"; exit 1; }
text=$(qemu-x86_64 -cpu max "$1" --isa avx512 doctor 2>&1 >/dev/null)
code=$?
[ $code = 0 ] || [ $code = 69 ] || { echo "exit code $code on a CPU without AVX-512: $text"; exit 1; }
qemu-x86_64 -cpu max "$1" -q synth -n 3 -o /dev/shm/dfal-old-cpu-$$.h5
code=$?
rm -f /dev/shm/dfal-old-cpu-$$.h5
[ $code = 0 ] || { echo "exit code $code on a CPU with AVX2, expected 0"; exit 1; }
