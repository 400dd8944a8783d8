#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A bundle of a build: it starts where there is nothing but glibc, and tools/bundle --check finds what does not belong.
# usage: tests/bundle.sh BUILD [DEBIAN-ROOT]
#   DEBIAN-ROOT   a folder that debootstrap --variant=minbase made: the bundle has to work there as well
set -euo pipefail
build=$(cd "$1" && pwd) debian=${2-}
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "bundle test: $*" >&2
    exit 1
}

for tool in patchelf readelf ldd dpkg; do
    command -v "$tool" >/dev/null || {
        echo "skipped: $tool is not installed"
        exit 77
    }
done
"$root/tools/bundle" "$build" "$work/dfal" || fail "it could not be made"
"$root/tools/bundle" --check "$work/dfal" --build "$build" || fail "a new bundle does not pass its check"

# finds WORDS COMMAND...: after the command, run in a copy, the check fails and says the words; with the manifest made anew,
# so that only the planted fault is there, unless the words are about the manifest.
finds() {
    local words=$1 said status=0
    shift
    rm -rf "$work/bad"
    cp -a "$work/dfal" "$work/bad"
    (cd "$work/bad" && "$@")
    if [[ $words != *MANIFEST* ]]; then
        (cd "$work/bad" && find . -type f ! -name MANIFEST -printf '%P\n' | sort | xargs -d '\n' sha256sum >"$work/sums" &&
            grep link: MANIFEST >>"$work/sums" && mv "$work/sums" MANIFEST)
    fi
    said=$("$root/tools/bundle" --check "$work/bad" --build "$build" 2>&1) || status=$?
    [[ $status == 1 && $said == *"$words"* ]] || fail "after '$*' the check ended with $status and said: $said"
}
library=$(cd "$work/dfal" && ls lib/libhdf5*)
finds "not in MANIFEST" touch unlisted
finds "not what MANIFEST lists" sed -i 's/dfal/DFAL/' THIRD_PARTY.md
finds "not listed in THIRD_PARTY.md" cp "$library" lib/libforeign.so.1
finds "is NVIDIA's" cp "$library" lib/libcudart.so.13
finds "is the cluster's" cp "$library" lib/libmpi.so.40
finds "needs ${library##*/}, which the bundle has not" sh -c "rm $library; sed -i 's#, \`$library\`##; s#\`$library\`##' THIRD_PARTY.md"
finds "looks for libraries in /usr/lib" patchelf --set-rpath /usr/lib bin/dfal
finds "names the path" sh -c "echo 'built in $build' >>share/man/man1/dfal.1"
finds "without its copyright file" rm licenses/zlib1g/copyright

# Ranks by the MPI of this machine, with the bundle's own object beside the bundle's own library.
if [[ -e $work/dfal/lib/libdfal_mpi.so ]]; then
    dfal=$work/dfal/bin/dfal
    "$dfal" -q synth -n 200 -o "$work/pool.h5"
    "$dfal" -q --backend cpu train --net lenet5 "$work/pool.h5" -o "$work/net.h5" --epochs 0 >"$work/said"
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe -np 2 "$dfal" --backend cpu score "$work/net.h5" \
        "$work/pool.h5" -o "$work/scores.h5" >"$work/said" 2>&1 || fail "ranks: $(cat "$work/said")"
    grep -q "2 ranks by mpi" "$work/said" || fail "two processes are no ranks: $(cat "$work/said")"
fi

# A root folder with glibc and nothing else: no shell, no libstdc++.
bare=$work/bare
mkdir -p "$bare/lib64" "$bare/lib/x86_64-linux-gnu" "$bare/tmp" "$bare/proc" "$bare/dev"
for name in libc.so.6 libm.so.6 libpthread.so.0 libdl.so.2 librt.so.1 libresolv.so.2; do
    cp -L "/lib/x86_64-linux-gnu/$name" "$bare/lib/x86_64-linux-gnu/"
done
cp -L /lib64/ld-linux-x86-64.so.2 "$bare/lib64/"
namespace=(unshare --mount --pid --fork)
((EUID == 0)) || namespace+=(--user --map-root-user)
"${namespace[@]}" true 2>/dev/null || {
    echo "skipped: this user may make no namespace to start the bundle in"
    exit 77
}

# inside ROOT WORDS...: run dfal there, in /tmp, without the environment
inside() {
    local place=$1
    shift
    # shellcheck disable=SC2016 # expanded inside
    env -i "$(command -v "${namespace[0]}")" "${namespace[@]:1}" /bin/sh -c '
        mount -t proc proc "$1/proc" 2>/dev/null
        root=$1; shift
        exec chroot "$root" /opt/dfal/bin/dfal "$@"' sh "$place" "$@"
}

works() {
    local place=$1 said
    mkdir -p "$place/opt"
    cp -a "$work/dfal" "$place/opt/dfal"
    said=$(inside "$place" --version) || fail "$place: --version: $said"
    [[ $said == "dfal "*onednn* ]] || fail "$place: --version said: $said"
    inside "$place" -q synth -n 200 -o /tmp/pool.h5 || fail "$place: synth"
    inside "$place" -q --backend cpu train --net lenet5 /tmp/pool.h5 -o /tmp/net.h5 --epochs 1 >"$work/said" || fail "$place: train"
    inside "$place" -q --backend cpu score /tmp/net.h5 /tmp/pool.h5 -o /tmp/scores.h5 >"$work/said" || fail "$place: score"
    grep -q "200" "$work/said" || fail "$place: score said: $(cat "$work/said")"
    said=$(inside "$place" -q doctor) || fail "$place: doctor"
    grep -q "^backend_cpu .*works" <<<"$said" || fail "$place: doctor says: $said"
    grep -qE "^backend_cuda .*(libdfal_cuda|libcu|NVIDIA|driver)" <<<"$said" || fail "$place: doctor does not name what CUDA lacks: $said"
    grep "^backend_cuda" <<<"$said"
    rm -rf "$place/opt/dfal" "$place"/tmp/{pool,net,scores}.h5
}
works "$bare"
[[ -z $debian ]] || works "$debian"
echo "bundle: listed, checked, and at work on glibc alone${debian:+ and on a bare Debian}"
