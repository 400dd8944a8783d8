#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/setup with made-up package tools: what it installs, that it is quiet when all is there, and exit 69 with the
# names when it may not install.
set -euo pipefail

setup=$(cd "$(dirname "$0")/.." && pwd)/tools/setup
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir "$work/bin" "$work/state"
chmod 777 "$work/state"
cp "$setup" "$work/setup"
for tool in bash cat rm sed mktemp env true install; do
    ln -s "$(type -P "$tool")" "$work/bin/$tool"
done
cat >"$work/bin/dpkg-query" <<C
#!/bin/bash
[[ -e $work/state/all || -e $work/state/\${@: -1} ]] || exit 1
printf installed
C
cat >"$work/bin/apt-get" <<C
#!/bin/bash
echo "\$*" >>$work/state/calls
[[ ! -x $work/system/usr/sbin/policy-rc.d ]] || echo "denied: \$1" >>$work/state/calls
[[ \$1 == update ]] || [[ ! -e $work/state/broken ]] || { echo "no such mirror"; exit 100; }
C
cat >"$work/bin/apt-cache" <<C
#!/bin/bash
[[ \$2 == *t64 || \$2 == libdnnl3 ]] && echo "Package: \$2"
C
chmod 755 "$work/bin/apt-cache" "$work/bin/dpkg-query" "$work/bin/apt-get" "$work/setup"

fail() {
    echo "setup test: $*" >&2
    cat "$work/out" >&2
    exit 1
}

# run EXPECTED-STATUS COMMAND...
run() {
    local expected=$1 status=0
    shift
    PATH=$work/bin TMPDIR=$work/state "$@" >"$work/out" 2>&1 </dev/null || status=$?
    ((status == expected)) || fail "'$*' ended with $status, expected $expected"
}

said() {
    grep -q -e "$1" "$work/out" || fail "nothing like '$1' was said"
}

touch "$work/state/cmake"
run 0 "$work/setup" --list build test full
said "packages of 'build': cmake "
said "libcmocka-dev"
said "clang-tidy"
said "libclang-rt-14-dev|libclang-rt-18-dev"
[[ ! -e $work/state/calls ]] || fail "--list called apt-get"
run 64 "$work/setup" tests
said "unknown argument 'tests'"

unprivileged=()
if ((EUID == 0)); then
    unprivileged=("$(command -v setpriv)" --reuid=65534 --regid=65534 --clear-groups)
fi
run 69 "${unprivileged[@]}" "$work/bin/bash" "$work/setup"
said "not root and no sudo: ask for these packages: ninja-build "
[[ ! -e $work/state/calls ]] || fail "apt-get was called without root"

# With sudo, and as root where this is root.
cat >"$work/bin/sudo" <<'C'
#!/bin/bash
while [[ ${1-} == -* ]]; do shift; done
exec "$@"
C
chmod 755 "$work/bin/sudo"
run 0 "${unprivileged[@]}" "$work/bin/bash" "$work/setup" build
said "installing [0-9]* packages: finished, [0-9]* s"
grep -q '^install --yes --no-install-recommends ninja-build ' "$work/state/calls" || fail "apt-get was not called as expected"
run 0 "${unprivileged[@]}" "$work/bin/bash" "$work/setup" run
grep -q '^install .* libhdf5-103-1t64 libdnnl3 libgomp1 .* libjpeg62-turbo$' "$work/state/calls" ||
    fail "of two names the one that apt knows was not taken"
touch "$work/state/broken"
run 69 "${unprivileged[@]}" "$work/bin/bash" "$work/setup" build
said "no such mirror"
said "could not install: ninja-build"

# Services of what the tests need are neither started nor left for the next boot; whoever keeps them off already goes on doing so.
rm "$work/state/broken" "$work/state/calls"
mkdir -p "$work/system/run/systemd/system" "$work/system/usr/sbin"
chmod 777 "$work/system/usr/sbin"
printf '#!/bin/bash\necho "systemctl $*" >>%s\n' "$work/state/calls" >"$work/bin/systemctl"
chmod 755 "$work/bin/systemctl"
export DFAL_SETUP_ROOT=$work/system
touch "$work/state/slurmd" # a node of a cluster stays one
run 0 "${unprivileged[@]}" "$work/bin/bash" "$work/setup" test
grep -q '^denied: install' "$work/state/calls" || fail "services might have been started"
grep -q '^systemctl --quiet disable slurmctld munge$' "$work/state/calls" || fail "the services were not disabled"
[[ ! -e $work/system/usr/sbin/policy-rc.d ]] || fail "the machine still starts no services"
echo "#!/bin/sh" >"$work/system/usr/sbin/policy-rc.d"
run 0 "${unprivileged[@]}" "$work/bin/bash" "$work/setup" test
[[ -e $work/system/usr/sbin/policy-rc.d ]] || fail "somebody else's policy-rc.d is gone"
unset DFAL_SETUP_ROOT

rm -f "$work/state/calls"
touch "$work/state/all"
run 0 "$work/setup" build test
said "packages are installed"
[[ ! -e $work/state/calls ]] || fail "apt-get was called although all is there"
# --cuda: a toolkit that is whole is taken, else packages for Python are asked for; both must compile a kernel.
mkdir -p "$work/tree/tools" "$work/cuda/bin" "$work/cuda/lib64"
cp "$setup" "$setup-cuda" "$work/tree/tools/"
for tool in dirname readlink mkdir head paste; do
    ln -s "$(type -P "$tool")" "$work/bin/$tool"
done
cat >"$work/cuda/bin/nvcc" <<C
#!/bin/bash
[[ \$1 != --version ]] || { cat "$work/state/release"; exit 0; }
[[ ! -e $work/state/old ]]
C
printf '#!/bin/bash\necho "$*" >>%s\nexit 1\n' "$work/state/calls" >"$work/bin/python3"
chmod 755 "$work/cuda/bin/nvcc" "$work/bin/python3"
touch "$work/cuda/lib64/libcublasLt.so.13"
try_cuda() {
    run "$1" env CUDA_HOME="$work/cuda" DFAL_SETUP_ROOT="$work/nowhere" "$work/tree/tools/setup" --cuda
}
# Asked for help, or something unknown, it installs nothing.
run 0 "$work/tree/tools/setup-cuda" --help
said "^A toolkit for the CUDA back end: tools/setup-cuda"
run 0 "$work/tree/tools/setup-cuda" -h
run 64 "$work/tree/tools/setup-cuda" --list
said "unknown argument '--list'"
[[ ! -e $work/state/calls ]] || fail "help called python3"
try_cuda 69
said "it lacks cuDNN"
said "cannot make a virtual environment"
grep -q '^-m venv ' "$work/state/calls" || fail "python3 was not asked for a virtual environment"
touch "$work/cuda/lib64/libcudnn.so.9"
# Each part may be too old, in one sentence.
cuda_is() {
    echo "Cuda compilation tools, release $1, V$1.88" >"$work/state/release"
    printf '#define CUDNN_MAJOR %s\n#define CUDNN_MINOR %s\n#define CUDNN_PATCHLEVEL 0\n' "${2%.*}" "${2#*.}" >"$work/cuda/include/cudnn_version.h"
}
mkdir "$work/cuda/include"
: >"$work/state/release"
try_cuda 69
said "whose nvcc tells no version, 13.0 or newer is needed"
cuda_is 12.9 9.19
try_cuda 69
said "$work/cuda is a toolkit of CUDA 12.9, 13.0 or newer is needed"
cuda_is 13.0 9.8
try_cuda 69
said "$work/cuda has cuDNN 9.8, 9.15 or newer is needed"
rm "$work/cuda/include/cudnn_version.h"
try_cuda 69
said "it lacks cuDNN's headers"
cuda_is 13.0 9.15
try_cuda 0
said "cmake --preset cuda -DDFAL_TESTS=OFF -DCUDAToolkit_ROOT=$work/cuda$"
# What the test kernel_budget needs is asked for where the toolkit lacks it, and is no reason to fail.
said "installing nvidia-cuda-cuobjdump==[0-9.]* nvidia-cuda-nvdisasm==[0-9.]*: failed"
said "kernel_budget is skipped without cuobjdump and nvdisasm"
touch "$work/cuda/bin/cuobjdump" "$work/cuda/bin/nvdisasm"
chmod 755 "$work/cuda/bin/cuobjdump" "$work/cuda/bin/nvdisasm"
try_cuda 0
! grep -q kernel_budget "$work/out" || fail "packages were asked for that the toolkit has"
cuda_is 14.1 10.2
try_cuda 0
touch "$work/state/old"
try_cuda 69
said "does not compile here"

# What it has made is found by whoever asks for CUDA and names no other; the made-up one is none, so the build ends there.
configured() {
    local expected=$1 found=
    shift
    rm -rf "$work/configured"
    "$cmake" -S "$work/tree" -B "$work/configured" "$@" >"$work/out" 2>&1 || true
    found=$(sed -n 's/^CUDAToolkit_ROOT:[A-Z]*=//p' "$work/configured/CMakeCache.txt")
    [[ $found == "$expected" ]] || fail "the toolkit of '$*' is '$found', expected '$expected'"
}
cmake=$(command -v cmake)
mkdir -p "$work/tree/cmake" "$work/tree/build/cuda/toolkit/bin"
cp "${setup%/tools/setup}/cmake/cuda.cmake" "$work/tree/cmake/"
cp "$work/cuda/bin/nvcc" "$work/tree/build/cuda/toolkit/bin/"
printf 'cmake_minimum_required(VERSION 3.25)\nproject(one NONE)\ninclude(cmake/cuda.cmake)\n' >"$work/tree/CMakeLists.txt"
configured "$work/tree/build/cuda/toolkit" -DDFAL_CUDA=ON
configured "$work/cuda" -DDFAL_CUDA=ON "-DCUDAToolkit_ROOT=$work/cuda"
configured "" -DDFAL_CUDA=AUTO
configured "" -DDFAL_CUDA=OFF

rm "$work/bin/apt-get"
run 69 "$work/setup"
said "has no apt"
echo "setup: list, no root, sudo, second names, failure, nothing to do, CUDA, no apt: good"
