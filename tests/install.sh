#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Install into a temporary prefix, move it, and build a small C program against it through find_package and
# through pkg-config: tests/install.sh CMAKE BUILD_FOLDER COMPILER
set -euo pipefail

cmake=$1 build=$2 compiler=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "install: $*" >&2
    exit 1
}

"$cmake" --install "$build" --prefix "$work/first" >"$work/install.log" || {
    cat "$work/install.log"
    fail "cmake --install failed"
}
mv "$work/first" "$work/moved" # nothing may know where it was installed
prefix=$work/moved

mkdir "$work/program"
cat >"$work/program/main.c" <<'C'
#include <dfal.h>
#include <stdio.h>
int main(void)
{
    dfal_context *context;
    struct dfal_context_options options;
    dfal_context_options_init(&options);
    options.backend = "cpuu";
    dfal_status status = dfal_context_create(&context, &options);
    printf("%s %s %s %s\n", DFAL_VERSION, dfal_version(), dfal_status_name(status), dfal_last_error());
    return status == DFAL_E_USAGE ? 0 : 1;
}
C
cat >"$work/program/CMakeLists.txt" <<'C'
cmake_minimum_required(VERSION 3.25)
project(program LANGUAGES C)
find_package(dfal 0.2 REQUIRED)
add_executable(program main.c)
target_link_libraries(program PRIVATE dfal::dfal)
C
"$cmake" -S "$work/program" -B "$work/program/build" -G Ninja "-DCMAKE_PREFIX_PATH=$prefix" \
    "-DCMAKE_C_COMPILER=$compiler" >"$work/configure.log" || { cat "$work/configure.log"; fail "find_package"; }
"$cmake" --build "$work/program/build" >"$work/build.log" || { cat "$work/build.log"; fail "build"; }
said=$("$work/program/build/program") || fail "the find_package program failed: $said"
[[ $said == "0.2.0 0.2.0 E_USAGE "*"nearest is 'cpu'"* ]] || fail "the program said: $said"

# pkg-config's file names the prefix it was installed for; --define-prefix is how a moved tree is used.
pc=$(find "$prefix" -name dfal.pc)
read -r -a flags <<<"$(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --define-variable=prefix="$prefix" --cflags --libs dfal)"
"$compiler" -std=c11 -Wall -Werror -pedantic "$work/program/main.c" "${flags[@]}" -o "$work/program/by_pkg_config"
library=$(dirname "$(find "$prefix" -name libdfal.so)")
LD_LIBRARY_PATH=$library "$work/program/by_pkg_config" >/dev/null || fail "the pkg-config program failed"

# Only the public names leave the library.
foreign=$(nm -D --defined-only "$library/libdfal.so" | awk '{print $3}' | grep -v '^dfal_' || true)
[[ -z $foreign ]] || fail "libdfal exports names that are not dfal_*: $foreign"
# And every function of the header is there.
names=$(sed -nE 's/^DFAL_API [^(]*\b(dfal_[a-z_0-9]+)\(.*/\1/p' "$prefix/include/dfal.h")
(($(wc -w <<<"$names") > 40)) || fail "dfal.h declares only: $names"
for name in $names; do
    nm -D --defined-only "$library/libdfal.so" | grep -q " T $name\$" || fail "dfal.h declares $name, libdfal has it not"
done

# The examples, against what was installed.
root=$(cd "$(dirname "$0")/.." && pwd)
"$cmake" -S "$root/examples/c" -B "$work/example" -G Ninja "-DCMAKE_PREFIX_PATH=$prefix" "-DCMAKE_C_COMPILER=$compiler" \
    >"$work/example.log" && "$cmake" --build "$work/example" >>"$work/example.log" || {
    cat "$work/example.log"
    fail "examples/c"
}
"$prefix/bin/dfal" -q synth -o "$work/pool.h5" -n 200
"$prefix/bin/dfal" -q train --net lenet5 "$work/pool.h5" -o "$work/net.h5" --epochs 1 >"$work/train.log"
for program in "$work/example/score_pool" "python3 $root/examples/score_pool.py $library/libdfal.so"; do
    # shellcheck disable=SC2086 # two words
    said=$($program "$work/net.h5" "$work/pool.h5" "$work/scores.h5" 2>"$work/events") || {
        cat "$work/events"
        fail "$program"
    }
    ok=$("$prefix/bin/dfal" info "$work/scores.h5" | sed -n 's/^status_OK  *//p')
    [[ $said == "200 samples in "*" s, $ok OK"* ]] || fail "$program said: $said, dfal info counts $ok OK"
    # shellcheck disable=SC2086
    ! $program "$work/net.h5" "$work/pool.h5" "$work/scores.h5" >"$work/again" 2>&1 || fail "$program replaced an output"
    grep -q "scores.h5" "$work/again" || fail "$program does not say what is wrong"
    rm "$work/scores.h5"
done

# The moved CUDA back end is found beside its library, which is not told where: it works, or says that there is no GPU.
if [[ -e $library/libdfal_cuda.so ]]; then
    said=$("$prefix/bin/dfal" doctor | sed -n 's/^backend_cuda  *//p')
    [[ $said == "works: "* || $said == *"NVIDIA driver"* ]] || fail "the installed CUDA back end: $said"
fi

"$prefix/bin/dfal" --version | grep -q '0\.2\.0' || fail "the installed command does not tell its version"
bash -n "$prefix/share/bash-completion/completions/dfal" || fail "the completion is not bash"
bash -n "$prefix/share/dfal/slurm/score.sbatch" || fail "the job files are missing"
if command -v help2man >/dev/null; then
    grep -q '^\.TH' "$prefix/share/man/man1/dfal.1" || fail "the manual page is missing"
fi
echo "install: find_package, pkg-config, exported names, examples, command, completion: good"
