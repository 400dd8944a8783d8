#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What docker/README.md promises of an image: tests/docker.sh ENGINE IMAGE    (ENGINE is docker or podman)
# Arguments for every `run` may stand in DFAL_DOCKER_RUN, such as "--gpus all". DFAL_DOCKER_CUDA=ON: it has CUDA, or fails.
set -euo pipefail

engine=$1 image=$2
work=$(mktemp -d)
container=''
trap '[[ -z $container ]] || "$engine" rm --force "$container" >/dev/null; rm -rf "$work"' EXIT
read -r -a extra <<<"${DFAL_DOCKER_RUN-}"

fail() {
    echo "docker: $*" >&2
    [[ ! -e $work/out ]] || cat "$work/out" >&2
    exit 1
}

# in_image EXPECTED-STATUS ARGUMENTS-OF-RUN... : what it printed is in $work/out.
in_image() {
    local expected=$1 status=0
    shift
    "$engine" run --rm --no-healthcheck --network none "${extra[@]}" "$@" >"$work/out" 2>&1 </dev/null || status=$?
    ((status == expected)) || fail "'run $*' ended with $status, expected $expected"
}

said() {
    grep -q -e "$1" "$work/out" || fail "nothing like '$1' was said"
}

label() {
    "$engine" image inspect --format "{{index .Config.Labels \"org.opencontainers.image.$1\"}}" "$image"
}

# Labels, and that they are true.
in_image 0 "$image" --version
said "$(label version | sed 's/\./\\./g')"
for key in title description revision source licenses base.name; do
    [[ -n $(label $key) ]] || fail "the label $key is empty"
done

# Somebody who only wants to know what it is.
in_image 0 "$image"
said "Usage: dfal"
in_image 64 "$image" no-such-command

# No root, no set-up tools.
in_image 0 --entrypoint id "$image"
said "^uid=10001"
# shellcheck disable=SC2016 # expands in the image
in_image 0 --entrypoint sh "$image" -c 'for tool in gcc cmake git; do ! command -v $tool || exit 1; done; test -z "$(ls /var/lib/apt/lists)"'

# A day's work in a sealed container: no network, nothing writable but the folder, no rights, a stranger's number.
mkdir "$work/data"
owner=$(id -u):$(id -g)
namespace=()
if ((EUID == 0)); then
    owner=12345:23456
    chown "$owner" "$work/data"
    chmod 755 "$work"
elif [[ $engine == podman ]]; then
    namespace=(--userns=keep-id)
fi
sealed=(--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --user "$owner" "${namespace[@]}"
    --volume "$work/data:/data")
in_image 0 "${sealed[@]}" "$image" doctor
said "backend_cpu .*works"
said "file_locking .*works"
if grep -q '^cuda_object  *[^ ]*/libdfal_cuda' "$work/out"; then
    # Its libraries are all there: what is missing is the GPU's driver, which the container is given.
    [[ ${extra[*]} == *gpu* ]] || said "backend_cuda .*not available: no NVIDIA driver"
    # shellcheck disable=SC2016 # expands in the image
    in_image 0 --entrypoint sh "$image" -c 'ldd $(dirname "$(command -v dfal)")/../lib/libdfal_cuda.so'
    ! grep "not found" "$work/out" || fail "a library of the CUDA back end is missing"
elif [[ ${DFAL_DOCKER_CUDA-} == ON ]]; then
    fail "the CUDA back end is not in the image"
fi
in_image 0 "${sealed[@]}" "$image" synth -o pool.h5 -n 300
in_image 0 "${sealed[@]}" "$image" train --net lenet5 pool.h5 -o net.h5 --epochs 1
in_image 0 "${sealed[@]}" "$image" score net.h5 pool.h5 -o scores.h5
in_image 0 "${sealed[@]}" "$image" select net.h5 pool.h5 --strategy dfal --count 5 --scores scores.h5 -o queries.csv
# Two ranks inside, and the queries of one process: they are made of every margin.
in_image 0 "${sealed[@]}" --entrypoint mpirun "$image" --oversubscribe -np 2 dfal score net.h5 pool.h5 -o ranks.h5
said "2 ranks by mpi, 2 of them on "
in_image 0 "${sealed[@]}" "$image" select net.h5 pool.h5 --strategy dfal --count 300 --scores scores.h5 -o one.csv
in_image 0 "${sealed[@]}" "$image" select net.h5 pool.h5 --strategy dfal --count 300 --scores ranks.h5 -o two.csv
cmp "$work/data/one.csv" "$work/data/two.csv" || fail "two ranks have other margins than one process"
(cd "$work/data" && rm one.csv two.csv ranks.h5)
in_image 66 "${sealed[@]}" "$image" info missing.h5
(($(wc -l <"$work/data/queries.csv") == 6)) || fail "queries.csv has not five queries"
foreign=$(find "$work/data" ! -uid "${owner%:*}" -o ! -gid "${owner#*:}")
[[ -z $foreign ]] || fail "not owned by $owner: $foreign"
left=$(cd "$work/data" && echo *)
[[ $left == "net.h5 pool.h5 queries.csv scores.h5" ]] || fail "the folder holds: $left"

# Read-only without any tmpfs, and a folder that may only be read: the sentence of a full disk's sister.
sealed=(--read-only --user "$owner" "${namespace[@]}" --volume "$work/data:/data:ro")
in_image 0 "${sealed[@]}" "$image" info scores.h5
in_image 73 "${sealed[@]}" "$image" synth -o other.h5 -n 10
said "other.h5"

# A stop from outside is the signal's exit code, at once, though the command is process 1.
container=$("$engine" run --detach --no-healthcheck --network none "${extra[@]}" --tmpfs /data "$image" synth -o big.h5 -n 60000000)
sleep 2
begin=$SECONDS
"$engine" stop --time 30 "$container" >/dev/null
((SECONDS - begin < 15)) || fail "the command did not stop by itself"
status=$("$engine" inspect --format '{{.State.ExitCode}}' "$container")
[[ $status == 143 || $status == 75 ]] || fail "a stopped command ended with $status, expected 143 or 75"
"$engine" rm --force "$container" >/dev/null
container=''

# A job of Slurm's. docker's daemon does not see the test's folders, and only root may have a container in their namespaces.
slurm=skipped
if [[ $engine == podman ]] && ((EUID == 0)); then
    container_line="podman run --rm --no-healthcheck --network none ${extra[*]} --read-only --tmpfs /tmp --cap-drop ALL"
    container_line+=" --security-opt no-new-privileges --user 12345:23456 --volume \"\$PWD:\$PWD\" --workdir \"\$PWD\""
    printf '#!/bin/bash\nexec %s %s "$@"\n' "$container_line" "$image" >"$work/dfal"
    chmod 755 "$work/dfal"
    status=0
    DFAL_CONTAINER="$container_line --entrypoint '' $image" "$(dirname "$0")/slurm/inside.sh" /usr/bin/python3 \
        "$(dirname "$0")/slurm/jobs.py" "$work/dfal" image || status=$?
    ((status == 0 || status == 77)) || fail "a job on Slurm ended with $status"
    ((status == 77)) || slurm=good
fi

# The health word. podman runs it by systemd's timers; there it is run by hand.
if [[ $engine == docker ]]; then
    container=$(docker run --detach --health-interval 1s --network none "${extra[@]}" --entrypoint sleep "$image" 60)
    for ((i = 0; i < 60; i++)); do
        health=$(docker inspect --format '{{.State.Health.Status}}' "$container")
        [[ $health == starting ]] || break
        sleep 0.5
    done
    [[ $health == healthy ]] || fail "its health is '$health': $(docker inspect --format '{{json .State.Health}}' "$container")"
    docker rm --force "$container" >/dev/null
    container=''
else
    "$engine" image inspect --format '{{json .HealthCheck}}' "$image" | grep -q '"dfal","--quiet","doctor"' || fail "no health word"
    in_image 0 "$image" --quiet doctor
fi

size=$("$engine" image inspect --format '{{.Size}}' "$image")
echo "docker: $engine, $image, $((size / 1000000)) MB: labels, user, sealed run, ranks, owners, exit codes, stop, health: good; a job on Slurm: $slurm"
