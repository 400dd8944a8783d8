#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rotten and hostile HDF5 files: tests/campaign/hdf5.py DFAL COUNT [SEED]

Writes pools, networks, scores, twins and logits, changes bytes of their metadata (and puts every second checksum right), and
has the command read each. A file may be taken or refused (64 to 75, one sentence); a crash, more than 10 seconds, more than
600 MB or another code is a finding: its file stays in the folder that is named at the end. Exit status 1 with findings.
With DFAL_SANITIZED=1 the command is one with AddressSanitizer: six times the time, and nothing is said about memory."""
import json
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from hdf5_sum import lookup3  # noqa: E402

SANITIZED = os.environ.get("DFAL_SANITIZED") == "1"
MOST_SECONDS, MOST_BYTES = 60 if SANITIZED else 10, 600 << 20
NUMBERS = [0, 1, 2, 7, 8, 15, 16, 24, 31, 32, 40, 255, 256, 4095, 4096, 5000, 65535, 65536, (1 << 27), (1 << 31) - 1,
           1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 8, (1 << 64) - 1]
SIGNATURES = [b"GCOL", b"HEAP", b"TREE", b"SNOD", b"OHDR", b"OCHK", b"FRHP", b"FHDB", b"FHIB", b"BTHD", b"BTLF", b"BTIN",
              b"FAHD", b"FADB", b"EAHD", b"\x89HDF"]


def write_pool(path, libver=None, more=0, packed=None, **layout):
    pixels = (np.arange(12 * 2 * 6 * 6) % 251).astype("u1").reshape(12, 2, 6, 6)
    text = h5py.string_dtype()
    with h5py.File(path, "w", libver=libver) as file:
        file.attrs.update(format="dfal-pool", version=1, class_count=3, scale=np.array([1 / 255]), offset=np.array([0.0]))
        for i in range(more):
            file.attrs[f"more{i}"] = i
        file.create_dataset("samples", data=pixels, **layout)
        file["labels"] = (np.arange(12) % 3).astype("i4")
        file.create_dataset("ids", data=[f"picture {i}" for i in range(12)], dtype=text, compression=packed)
        file.create_dataset("classes", data=["a", "b", "c"], dtype=text)


def write_network(path, libver=None):
    graph = {"nodes": [{"name": "flat", "op": "Flatten", "inputs": ["input"], "attributes": {}},
                       {"name": "fc", "op": "Gemm", "inputs": ["flat"], "attributes": {}}], "output": "fc"}
    weight = np.random.default_rng(1).standard_normal((3, 72)).astype("f4")
    with h5py.File(path, "w", libver=libver) as file:
        file.attrs.update(format="dfal-network", version=1, input=[2, 6, 6], class_count=3, scale=1 / 255, offset=0.0)
        file["graph"] = json.dumps(graph)
        file["parameters/fc/weight"] = weight
        file["parameters/fc/bias"] = np.zeros(3, "f4")


def prepare(dfal, folder):
    """Name of each file, and the lines that read it (@ stands for the changed file)."""
    def at(name):
        return os.path.join(folder, name)

    def run(*words):
        subprocess.run([dfal, "-q", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)

    whole = {"chunks": (5, 2, 6, 6)}
    write_pool(at("pool.h5"))
    write_pool(at("chunks.h5"), **whole)
    write_pool(at("packed.h5"), packed="gzip", compression="gzip", shuffle=True, fletcher32=True, **whole)
    write_pool(at("latest.h5"), libver="latest", more=10, packed="gzip", compression="gzip", maxshape=(None, 2, 6, 6),
               **whole)
    write_network(at("net.h5"))
    write_network(at("netlatest.h5"), libver="latest")
    run("score", "net.h5", "pool.h5", "-o", "scores.h5")
    run("logits", "net.h5", "pool.h5", "-o", "logits.h5")
    run("select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", "4", "--twins", "twins.h5", "-o", "q.csv")
    pool = [["info", "@"], ["eval", "net.h5", "@"]]
    return {"pool.h5": pool, "chunks.h5": pool, "packed.h5": pool, "latest.h5": pool,
            "net.h5": [["info", "@"], ["eval", "@", "pool.h5"]], "netlatest.h5": [["eval", "@", "pool.h5"]],
            "scores.h5": [["info", "@"], ["merge", "@", "-o", "merged.h5"]],
            "logits.h5": [["info", "@"]], "twins.h5": [["info", "@"]]}


def change(chance, content):
    """One to three changes, most of them to a number near a signature."""
    content = bytearray(content)
    places = [i for s in SIGNATURES for i in range(len(content)) if content.startswith(s, i)]
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        kind = chance.random()
        if kind < 0.5:
            at = chance.choice(places) + chance.randrange(0, 320)
        else:
            at = chance.randrange(len(content))
        at = min(at, len(content) - 9)
        if kind < 0.25:
            content[at] = chance.randrange(256)
        elif kind < 0.35:
            content[at] ^= 1 << chance.randrange(8)
        elif kind < 0.9:
            size = chance.choice("BHIQ")
            at -= at % struct.calcsize(size)
            number = chance.choice(NUMBERS + places + [struct.unpack_from("<" + size, content, at)[0] + chance.choice((-8, -1, 1, 8))])
            struct.pack_into("<" + size, content, at, number % (1 << 8 * struct.calcsize(size)))
        elif kind < 0.95:
            other, length = chance.randrange(len(content)), chance.choice((8, 16, 40, 64))
            content[at:at + length] = content[other:other + length]
        else:
            del content[chance.randrange(len(content)):]
            content = content or bytearray(b"\x89HDF\r\n\x1a\n")
            content.extend(bytes(16))
    return bytes(content)


def checksum(content, piece):
    """Of a piece (begin, end, place of its checksum), which counts as zeros, or not at all at the end."""
    begin, end, place = piece
    summed = bytes(content[begin:place]) + (bytes(4) + bytes(content[place + 4:end]) if place + 4 < end else b"")
    return lookup3(summed)


def sums(content):
    """The pieces of the newer format that carry a checksum."""
    found = []
    for begin in range(len(content) - 8):
        name = content[begin:begin + 4]
        if name not in SIGNATURES:
            continue
        most = min(len(content), begin + 4096)
        pieces = [(begin, place + 4, place) for place in range(begin + 8, most - 3)]
        if name == b"FHDB":
            pieces = [(begin, begin + (256 << i), begin + 13 + bytes_) for i in range(5) for bytes_ in range(1, 9)]
        for piece in pieces:
            if piece[1] <= len(content) and struct.unpack_from("<I", content, piece[2])[0] == checksum(content, piece):
                found.append(piece)
                break
    return found


def put_right(content, pieces):
    content = bytearray(content)
    for piece in pieces:
        if piece[1] <= len(content):
            struct.pack_into("<I", content, piece[2], checksum(content, piece))
    return bytes(content)


def limits():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    os.nice(5)


def finding(dfal, folder, words):
    """What is wrong with how a line ended; None when nothing is."""
    process = subprocess.Popen([dfal, "-q", "--threads", "1", *words], cwd=folder, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, preexec_fn=limits)
    try:
        _, said = process.communicate(timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"still running after {MOST_SECONDS} s"
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if not line.startswith("warning:")]
    if process.returncode < 0:
        return f"signal {-process.returncode}"
    if process.returncode == 0:
        return None
    if process.returncode not in (64, 65, 66, 73, 78):
        return f"code {process.returncode}: {lines}"
    if len(lines) != 1:
        return f"{len(lines)} lines: {lines}"
    return None


def most_memory():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    dfal, count = os.path.abspath(sys.argv[1]), int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) == 4 else 1
    folder, found = tempfile.mkdtemp(prefix="dfal-hdf5-"), 0
    commands = prepare(dfal, folder)
    base = {name: open(os.path.join(folder, name), "rb").read() for name in commands}
    pieces = {name: sums(content) for name, content in base.items()}
    memory = most_memory()
    for i in range(count):
        chance = random.Random(seed * 1000003 + i)
        name = chance.choice(sorted(commands))
        bad = f"changed-{i}.h5"
        with open(os.path.join(folder, bad), "wb") as file:
            content = change(chance, base[name])
            file.write(put_right(content, pieces[name]) if chance.random() < 0.5 else content)
        what = None
        for words in commands[name]:
            what = what or finding(dfal, folder, [bad if word == "@" else word for word in words])
        if not SANITIZED and most_memory() > max(memory, MOST_BYTES):
            what, memory = what or f"{most_memory() >> 20} MB", most_memory()
        for left in ("merged.h5",):
            if os.path.exists(os.path.join(folder, left)):
                os.remove(os.path.join(folder, left))
        if what:
            found += 1
            print(f"{bad} (from {name}): {what}", flush=True)
        else:
            os.remove(os.path.join(folder, bad))
        if i % 500 == 499:
            print(f"{i + 1} files, {found} findings", flush=True)
    print(f"{count} files from seed {seed}, {found} findings" + (f", kept in {folder}" if found else ""))
    if not found:
        shutil.rmtree(folder)
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
