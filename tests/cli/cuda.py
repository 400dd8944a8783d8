#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The CUDA back end from outside: what is said where it cannot run, and what the binaries link.

CUDA_LIBRARY names libdfal_cuda.so, empty where it was not built.
"""
import ctypes
import json
import os
import re
import shutil
import subprocess

from data import make_pool, write_linear
from support import check, main, move_library

import numpy as np

LIBRARY = os.environ.get("CUDA_LIBRARY", "")
# Every reason not to run begins with these words.
REFUSED = "the CUDA back end is not available: "


def has_driver():
    try:
        ctypes.CDLL("libcuda.so.1")
        return True
    except OSError:
        return False


def make_files(dfal):
    make_pool(dfal.at("pool.h5"), 40, 1)
    random = np.random.default_rng(1)
    write_linear(dfal.at("net.h5"), random.normal(size=(10, 784)), np.zeros(10), (1, 28, 28))


def lines(err):
    return [line for line in err.splitlines() if line]


def reasons(dfal):
    """Without a driver: 69 and why where CUDA was asked for; auto takes the cpu without a word, but for --verbose."""
    if has_driver():
        print("not run: this machine has an NVIDIA driver")
        return
    make_files(dfal)
    for name in ("cuda", "cuda:0", "cuda:7"):
        dfal.refuses(69, "--backend", name, "score", "net.h5", "pool.h5", "-o", "s.h5",
                     says=REFUSED + ("no NVIDIA driver" if LIBRARY else "libdfal_cuda.so"))
        check(not os.path.exists(dfal.at("s.h5")), "an output was left")
    _, err = dfal.run("--backend", "auto", "eval", "net.h5", "pool.h5")
    check("CUDA" not in err, f"auto says: {err}")
    _, err = dfal.run("-v", "--backend", "auto", "score", "net.h5", "pool.h5", "-o", "s.h5")
    told = [line for line in lines(err) if "CUDA" in line]
    check(len(told) == 1 and told[0].endswith("back end cpu: " + REFUSED + "no NVIDIA driver"), f"auto says: {err}")
    _, err = dfal.run("-v", "--log-format", "json", "eval", "net.h5", "pool.h5")
    events = [json.loads(line) for line in lines(err)]
    told = [event for event in events if event["event"] == "backend.fallback"]
    check(len(told) == 1 and "no NVIDIA driver" in told[0]["reason"], f"the events are {events}")


def doctor(dfal):
    """doctor names what CUDA lacks and what to do, and works without; 69 where CUDA was asked for, with everything told."""
    out, _ = dfal.run("--json", "doctor")
    document = json.loads(out)
    said = document["backend_cuda"]
    beside = document["cuda_object"].endswith("/libdfal_cuda.so")
    check(beside == bool(LIBRARY) and (beside or "left to the loader" in document["cuda_object"]), document["cuda_object"])
    works = said.startswith("works: ")
    check(("cuda_advice" in document) <= (not works), f"doctor gives advice on what works: {document}")
    for backend, code in (("cpu", 0), ("auto", 0), ("cuda", 0 if works else 69), ("check:ref:cuda", 0 if works else 69),
                          ("dlopen:/nowhere.so", 69)):
        out, err = dfal.run("-q", "--backend", backend, "--json", "doctor", code=code)
        check(json.loads(out)["backend_cpu"].startswith("works: "), f"doctor for {backend}: {out}")
        check(len(lines(err)) == (code != 0), f"doctor for {backend} says {err}")
    dfal.run("--backend", "cuda", "--version")
    if has_driver():
        check(said.startswith("works: ") or said.startswith("not available: "), said)
        return
    check(said == "not available: no NVIDIA driver" if LIBRARY else said.startswith("not available: libdfal_cuda.so"), said)
    advice = document["cuda_advice"]
    check(document["cuda_driver"].endswith("not found"), document["cuda_driver"])
    check("--gpus all" in advice if LIBRARY else "tools/setup --cuda" in advice, advice)


def dynamic(path, tag):
    out = subprocess.run(["readelf", "--dynamic", "--wide", path], capture_output=True, text=True, check=True).stdout
    return re.findall(rf"\({tag}\).*\[(.*)\]", out)


def linked(dfal):
    """dfal and libdfal link nothing of NVIDIA's; the back end links only what it says, and one name leaves it."""
    out = subprocess.run(["ldd", dfal.path], capture_output=True, text=True, check=True).stdout
    found = re.search(r"libdfal\.so\S* => (\S+)", out)
    check(found, f"dfal does not load libdfal: {out}")
    nvidia = re.compile(r"cuda|cublas|cudnn|nvrtc|nvidia|nccl", re.IGNORECASE)
    for path in (dfal.path, found.group(1)):
        needed = dynamic(path, "NEEDED")
        check(needed and not any(nvidia.search(name) for name in needed), f"{path} needs {needed}")
    if not LIBRARY:
        print("the CUDA back end was not built: what it links was not looked at")
        return
    needed = dynamic(LIBRARY, "NEEDED")
    check(not any(re.match(r"libdfal|libcuda\.so|libcudart|libcublas\.", name) for name in needed), f"it needs {needed}")
    check(sum(bool(nvidia.search(name)) for name in needed) == 2, f"it needs {needed}")
    out = subprocess.run(["nm", "--dynamic", "--defined-only", LIBRARY], capture_output=True, text=True, check=True).stdout
    names = [line.split()[2] for line in out.splitlines()]
    check(names == ["dfal_backend_entry"], f"it exports {names}")


def beside(dfal):
    """The back end is found beside libdfal, wherever both lie, and the loader's word is passed on."""
    if not LIBRARY or has_driver():
        print("not run: no back end, or one that works")
        return
    environment = move_library(dfal)
    folder = dfal.at("moved")
    make_files(dfal)

    def refused(says):
        dfal.refuses(69, "--backend", "cuda", "eval", "net.h5", "pool.h5", says=says, environment=environment)

    with open(os.path.join(folder, "libdfal_cuda.so"), "wb") as file:
        file.write(b"no library")
    refused(REFUSED + os.path.join(folder, "libdfal_cuda.so"))
    shutil.copy(LIBRARY, os.path.join(folder, "libdfal_cuda.so"))
    refused("no NVIDIA driver")
    out, _ = dfal.run("--json", "doctor", environment=environment)
    check(json.loads(out)["cuda_object"] == os.path.join(folder, "libdfal_cuda.so"), out)


main({f.__name__: f for f in (reasons, doctor, linked, beside)})
