#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Run a command in namespaces of its own for processes, mounts and the machine's name, with an empty $TMPDIR: whatever it started
# dies with it, and what it wrote is gone, even if it is killed.
# usage: tests/slurm/inside.sh COMMAND ...      exit code 77: Slurm or such namespaces are missing here
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

for tool in munged slurmctld slurmd sbatch srun unshare; do
    command -v "$tool" >/dev/null || {
        echo "skipped: $tool is not installed; tools/setup test installs Slurm"
        exit 77
    }
done
namespace=(unshare --mount --uts --pid --fork --kill-child --mount-proc)
as_before=()
if ((EUID != 0)); then
    # Root in there may mount; Slurm wants to be root altogether or not at all.
    namespace+=(--user --map-root-user)
    as_before=(unshare --user --map-user="$EUID" --map-group="$(id --group)")
fi
"${namespace[@]}" true 2>/dev/null || {
    echo "skipped: this machine gives no namespaces of processes and mounts"
    exit 77
}
# A folder that every machine has and that holds nothing of this test: seen from outside it does not change.
for folder in /mnt /media /srv; do
    [[ " $* $PWD/" == *" $folder/"* ]] || break
done
# Slurm asks for the address of the machine's name, which not every machine knows.
# shellcheck disable=SC2016 # expanded inside
TMPDIR=$folder exec "${namespace[@]}" bash -c '
    mount -t tmpfs -o mode=755 none "$TMPDIR" &&
    hostname dfal-host &&
    echo "127.0.0.1 localhost dfal-host" >"$TMPDIR/hosts" &&
    mount --bind "$TMPDIR/hosts" /etc/hosts &&
    "$@"' inside "${as_before[@]}" "$@"
