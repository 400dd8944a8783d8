#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Failing system calls: tests/campaign/faults.py DFAL COUNT [SEED]

The n-th call of one kind (open, read, write, fsync, rename, close, mmap, malloc, flock and others) of a line of the command
fails, as tests/campaign/faults.c makes it. The line must end with a documented exit code and one sentence, without a crash,
a hang or a half-written output; the same line afterwards ends with 0 and the outputs of an undisturbed line. Needs cc.
DFAL_FAULT_KINDS and DFAL_FAULT_LINES, comma between, take less. Exit status 1 with findings."""
import errno
import os
import subprocess

from lines import DOCUMENTED, campaign, check

# With what each kind may fail. A short transfer is no error: the rest is to be read or written.
KINDS = {
    "open": ("EMFILE", "EACCES", "EIO", "EINTR"), "read": ("EIO", "EINTR", "short"), "pread": ("EIO", "EINTR", "short"),
    "write": ("ENOSPC", "EIO", "EDQUOT", "EINTR", "short"), "pwrite": ("ENOSPC", "EIO", "EINTR", "short"),
    "fsync": ("EIO", "ENOSPC", "EINTR"), "rename": ("EIO", "EACCES", "ENOSPC"), "link": ("EPERM", "EIO"), "close": ("EIO", "EINTR"),
    "mmap": ("ENOMEM",), "malloc": ("ENOMEM",), "flock": ("ENOLCK", "EINTR", "EWOULDBLOCK"), "ftruncate": ("ENOSPC", "EIO"),
    "fchmod": ("EPERM",), "mkdir": ("ENOSPC", "EACCES"), "unlink": ("EIO", "EPERM"), "stat": ("EIO", "EACCES"),
    "opendir": ("EMFILE", "EIO"), "fork": ("EAGAIN",), "thread": ("EAGAIN",),
}


CLEANING = ("unlink", "opendir")  # fail also when leftovers are removed: then the next line does it


def shim(lines):
    """The preload object, built once, and how many calls of each kind a line makes."""
    path = lines.at("faults.so")
    if not os.path.exists(path):
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "faults.c")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", path, source, "-ldl"], check=True)
        lines.inputs |= {"faults.so", "counts"}
        lines.counts = {}
    return path


def counts(lines, name):
    if name not in lines.counts:
        path = lines.at("counts")
        if os.path.exists(path):
            os.remove(path)
        lines.whole(name, {"LD_PRELOAD": shim(lines), "DFAL_FAULT_COUNTS": path})
        with open(path, encoding="ascii") as file:
            # The process that ends last, the one that was started, writes last.
            lines.counts[name] = {kind: int(n) for kind, n in (line.split() for line in file)}
    return lines.counts[name]


def listed(variable, everything):
    return [entry for entry in os.environ.get(variable, ",".join(everything)).split(",") if entry in everything]


def attempt(lines, chance):
    preload = shim(lines)
    name = chance.choice(listed("DFAL_FAULT_LINES", sorted(lines.all)))
    kind = chance.choice(listed("DFAL_FAULT_KINDS", sorted(KINDS)))
    how, share, all_after = chance.choice(KINDS[kind]), chance.random(), chance.random() < 0.15
    calls = counts(lines, name).get(kind, 0)
    if calls == 0:
        return 0
    # EINTR and short transfers for ever would be another machine, and so would no memory at all.
    all_after = all_after and how not in ("EINTR", "short") and kind not in ("malloc", "mmap", "close")
    number = 1 + int(share * calls)
    lines.case = f"{name}: {kind} {number} of {calls} {how}{' and all after' if all_after else ''}"
    code, said = lines.end(lines.start(lines.words(name), {
        "LD_PRELOAD": preload, "DFAL_FAULT_KIND": kind, "DFAL_FAULT_CALL": str(number), "DFAL_FAULT_ALL": str(int(all_after)),
        "DFAL_FAULT_ERRNO": str(getattr(errno, how, 0))}))
    check(code >= 0, f"died of signal {-code}: {said}")
    check(code in DOCUMENTED, f"exit code {code}: {said}")
    check(code != 70, f"an internal error: {said}")
    check(how != "short" or code == 0, f"a short transfer ends with {code}: {said}")
    check(len(said) == (code != 0), f"code {code} with {len(said)} lines: {said}")
    lines.compare_there(name)
    busy = code == 73 and how == "EWOULDBLOCK"  # the lock is somebody else's and stays
    if code == 0:
        lines.compare(name) if kind not in CLEANING else lines.compare_there(name)
    elif kind not in CLEANING and code != 75 and not busy:
        lines.clean()
    there = [output for output in lines.all[name][1] if os.path.exists(lines.at(output)) and output != "d"]
    check(code in (0, 75) or not there, f"code {code} and yet {there} are there: {said}")
    lines.again(name)
    return 1


if __name__ == "__main__":
    campaign(__doc__, 96, "failed calls", attempt)
