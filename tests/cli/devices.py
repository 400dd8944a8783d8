#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several GPUs in one process: the bits of one, whichever there are, whichever fails and whatever was begun with others.

SIMT_BACKEND names libdfal_simt.so, which stands beside a copy of libdfal as its CUDA back end: made-up GPUs, as many as
DF_SIMT_DEVICES says (tests/simt/runtime.cpp).
"""
import json
import os

import h5py
import numpy as np

from data import digits, write_linear, write_small
from ranks import run as run_ranks
from support import check, main, move_library, rows_of, same_bits, same_runs, write_pool

NO_GPU = "the CUDA back end is not available: there is no GPU "


class Gpus:
    """The command with made-up GPUs."""

    def __init__(self, dfal, count, **more):
        self.dfal = dfal
        self.environment = {**dfal.library, "DF_SIMT_DEVICES": str(count), **more}

    def run(self, backend, *words, code=0, **more):
        return self.dfal.run("-q", "--backend", backend, *words, code=code, environment={**self.environment, **more})

    def refuses(self, code, backend, *words, says):
        self.dfal.refuses(code, "--backend", backend, *words, says=says, environment=self.environment)


def prepare(dfal):
    dfal.library = move_library(dfal, os.environ["SIMT_BACKEND"])


def tiny(dfal, count):
    """Rows of four bytes and a network of one product, which cost the made-up GPU little."""
    prepare(dfal)
    random = np.random.default_rng(2)
    write_pool(dfal.at("pool.h5"), random.integers(0, 256, (count, 1, 2, 2)).astype(np.uint8),
               random.integers(0, 3, count), class_count=3)
    write_linear(dfal.at("net.h5"), random.normal(size=(3, 4)), np.zeros(3), (1, 2, 2))


def attribute(path, name):
    with h5py.File(path) as file:
        return file.attrs[name] if name in file.attrs else None


def names(dfal):
    """A GPU that is not there, twice the same, several of bench ops; what doctor tells of two."""
    tiny(dfal, 20)
    gpus = Gpus(dfal, 2)
    words = ("score", "net.h5", "pool.h5", "-o", "s.h5")
    gpus.refuses(69, "cuda:0,2", *words, says=NO_GPU + "2: the NVIDIA driver shows 2, counted from 0")
    gpus.refuses(69, "cuda:5", *words, says=NO_GPU + "5")
    gpus.refuses(64, "cuda:1,0,1", *words, says="back end 'cuda:1,0,1' names device 1 twice, expected each once")
    gpus.refuses(64, "cuda:0;1", *words, says=("'cuda:0;1'", "cuda:N,N,..."))
    gpus.refuses(64, "check:ref:cuda:0,1", *words, says="'cuda:0,1'")
    gpus.refuses(64, "cuda:0,1", "bench", "ops", "lenet5", says="expected one, whose ops are timed")
    out, _ = gpus.run("cuda:all", "--json", "doctor")
    told = json.loads(out)
    check(told["cuda_devices"] == 2 and told["backend_cuda:1"].startswith("works: SIMT shim"), f"doctor: {told}")
    gpus.run("cuda:0,2", "doctor", code=69)
    out, _ = Gpus(dfal, 1).run("cuda:all", "--json", "doctor")
    check(json.loads(out)["cuda_devices"] == 1, f"doctor: {out}")


def bits(dfal):
    """Scores with images and logits of two and three GPUs, in any order of theirs, are those of one."""
    prepare(dfal)
    write_small(dfal.at("net.h5"))
    samples, labels = digits(20, 3)
    write_pool(dfal.at("pool.h5"), samples[:, :, ::2, ::2], labels)
    jobs = {"score": (4, ("--adversarial", 5)), "logits": (2, ()), "closest": (2, ("--closest", 4))}
    cases = (("cuda", 1, "ascending", 0), ("cuda:2,0", 3, "descending", 7), ("cuda:0,1", 2, "ascending", 0),
             ("cuda:all", 3, "random:3", 2))
    for name, (tried, more) in jobs.items():
        for number, (backend, count, order, batch) in enumerate(cases[:tried]):
            words = more if name == "logits" or not batch else (*more, "--batch", batch)
            Gpus(dfal, count).run(backend, "score" if name == "closest" else name, "net.h5", "pool.h5", *words, "-o",
                                  f"{name}{number}.h5", DF_SIMT_ORDER=order)
            same_bits(dfal.at(f"{name}0.h5"), dfal.at(f"{name}{number}.h5"))
        for number, device in enumerate(("SIMT shim", "2 x SIMT shim", "2 x SIMT shim", "3 x SIMT shim")[:tried]):
            path = dfal.at(f"{name}{number}.h5")
            said = attribute(path, "backend"), attribute(path, "device")
            check(said == ("cuda", device), f"{path} says {said}")
            check(attribute(path, "mixed") in (None, ""), f"{path} is mixed")


def lost(dfal):
    """A job that a lost GPU has paused goes on with others, more or fewer, to the bits of a whole one; the sentence names
    the one that was lost. The rows are those at the border of two shards."""
    tiny(dfal, 16420)
    words = ("score", "net.h5", "pool.h5", "--range", "16370:16410", "--batch", 4)
    Gpus(dfal, 1).run("cuda", *words, "-o", "whole.h5")
    _, err = Gpus(dfal, 1, DF_SIMT_LOST="0:150").run("cuda", *words, "-o", "more.h5", code=75)
    check("the finished shards are kept" in err and "cuda:0" not in err, f"a lost GPU: {err}")
    check(os.path.isdir(dfal.at("more.h5.parts")), "no shard was kept")
    Gpus(dfal, 2).run("cuda:0,1", *words, "-o", "more.h5")
    same_bits(dfal.at("whole.h5"), dfal.at("more.h5"))
    # Which rows the second one had is a matter of time, and so is whether a shard was finished.
    for launches in (1, 60, 120):
        out = f"fewer{launches}.h5"
        process = dfal.start("-q", "--backend", "cuda:0,1", *words, "-o", out, environment={
            **Gpus(dfal, 2).environment, "DF_SIMT_LOST": f"1:{launches}"})
        err = process.communicate(timeout=120)[1].decode()
        check(process.returncode in (0, 69, 75) and (process.returncode == 0 or ("cuda:1: " in err and "CUDA failed in" in err)),
              f"a lost GPU: {process.returncode}, {err}")
        Gpus(dfal, 3).run("cuda:all" if launches == 60 else "cuda:2", *words, "--force", "-o", out)
        same_bits(dfal.at("whole.h5"), dfal.at(out))


def mixed(dfal):
    """Two models are refused, or recorded."""
    tiny(dfal, 30)
    gpus = Gpus(dfal, 2, DF_SIMT_OTHER="1")
    words = ("score", "net.h5", "pool.h5", "-o")
    gpus.refuses(69, "cuda:0,1", *words, "s.h5",
                 says=("cuda:0 is sm_90 (SIMT shim)", "cuda:1 is sm_90 (another SIMT shim)", "--allow-mixed"))
    gpus.refuses(69, "cuda:all", "train", "--net", "net.h5", "pool.h5", "-o", "t.h5", says="--allow-mixed")
    check(not any(name.startswith(("s.h5", "t.h5")) for name in os.listdir(dfal.folder)), "an output was left")
    gpus.run("cuda:0,1", *words, "s.h5", "--allow-mixed")
    both = "sm_90 (SIMT shim), sm_90 (another SIMT shim)"
    said = [attribute(dfal.at("s.h5"), name) for name in ("isa", "mixed", "device")]
    check(said == [both, "isa: " + both, "SIMT shim, another SIMT shim"], f"the file says {said}")
    gpus.run("cuda:0", *words, "one.h5")
    check(attribute(dfal.at("one.h5"), "mixed") in (None, ""), "one model is mixed")


def others(dfal):
    """What else spreads rows; and training, which does not and says so."""
    tiny(dfal, 700)
    one, two = Gpus(dfal, 1), Gpus(dfal, 2)
    found = [json.loads(gpus.run("cuda:all", "--json", "eval", "net.h5", "pool.h5")[0]) for gpus in (one, two)]
    check(found[0] == found[1], f"eval: {found}")
    told = json.loads(two.run("cuda:all", "--json", "score", "net.h5", "pool.h5", "--estimate")[0])
    check(told["samples"] == 700 and told["timed_samples"] in (512, 700), f"estimate: {told}")
    for number, gpus in enumerate((one, two)):
        gpus.run("cuda:all", "select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", 9, "-o", f"{number}.csv")
        gpus.run("cuda:all", "train", "--net", "net.h5", "pool.h5", "--subset", 40, "--epochs", 1, "-o", f"{number}.h5")
    check(rows_of(dfal.at("0.csv")) == rows_of(dfal.at("1.csv")), "two GPUs select other rows")
    same_bits(dfal.at("0.h5"), dfal.at("1.h5"))
    _, err = dfal.run("-v", "--backend", "cuda:all", "train", "--net", "net.h5", "pool.h5", "--subset", 40, "--epochs", 1,
                      "-o", "v.h5", environment=two.environment)
    check("training runs on cuda:0, the first of 2 devices" in err, f"train -v says {err}")


def write_run(dfal):
    with open(dfal.at("run.yaml"), "w", encoding="utf-8") as file:
        file.write("data: {train: pool.h5, test: pool.h5}\nnetwork: ./net.h5\nstrategies: [dfal, random, entropy]\n"
                   "initial: 6\nquery: 3\nannotations: 12\ntrials: 1\n"
                   "training: {restarts: 1, epochs: 2, validation: 0}\n")


def experiment(dfal):
    """The strategies of a run have a GPU each, and the tables do not tell; nor when one is lost and the run goes on with
    the other."""
    tiny(dfal, 80)
    write_run(dfal)
    for name, count in ("one", 1), ("two", 2):
        Gpus(dfal, count).run("cuda:all", "run", "run.yaml", "-o", name)
    same_runs(dfal.at("one"), dfal.at("two"))
    # Whether the second one has begun by then is a matter of time.
    process = dfal.start("-q", "--backend", "cuda:all", "run", "run.yaml", "-o", "again", environment={
        **Gpus(dfal, 2).environment, "DF_SIMT_LOST": "1:100"})
    err = process.communicate(timeout=120)[1].decode()
    check(process.returncode in (0, 69, 75) and (process.returncode == 0 or "cuda:1: " in err),
          f"a lost GPU: {process.returncode}, {err}")
    if process.returncode:
        Gpus(dfal, 1).run("cuda", "run", "run.yaml", "-o", "again")
    same_runs(dfal.at("one"), dfal.at("again"))


def ranks(dfal):
    """Of several ranks on a host each takes a GPU of its own, counted round, where none is named."""
    tiny(dfal, 300)
    line = ("-q", "score", "net.h5", "pool.h5")
    # The second of two GPUs is another model, which tells who has it.
    two = Gpus(dfal, 2, DF_SIMT_OTHER="1").environment
    _, err = run_ranks(dfal, 2, *line, "--backend", "cuda", "-o", "s.h5", environment=two, code=78)
    check("rank 1 on " in err and "has isa 'sm_90 (another SIMT shim)'" in err, f"two ranks with two GPUs: {err}")
    run_ranks(dfal, 2, *line, "--backend", "cuda:1", "-o", "named.h5", environment=two)
    check(attribute(dfal.at("named.h5"), "device") == "another SIMT shim", "a GPU that was named was not taken")
    Gpus(dfal, 1).run("cuda", *line[1:], "-o", "one.h5")
    # More ranks than GPUs: the fourth shares the second.
    run_ranks(dfal, 4, *line, "--backend", "cuda", "-o", "four.h5", environment=Gpus(dfal, 2).environment)
    same_bits(dfal.at("one.h5"), dfal.at("four.h5"))


def feed(dfal):
    """The rows of a run stay on the GPUs: read by each rank, or by the first alone, which sends them by NCCL."""
    tiny(dfal, 80)
    write_run(dfal)
    line = ("run", "run.yaml", "--backend", "cuda")
    beside = os.path.join(os.path.dirname(os.environ["SIMT_BACKEND"]), "nccl")
    nccl = Gpus(dfal, 2, LD_LIBRARY_PATH=dfal.library["LD_LIBRARY_PATH"] + ":" + beside).environment
    _, err = dfal.run(*line, "-o", "own", environment=Gpus(dfal, 1).environment)
    check("pool.h5 stay on the GPU, 0.0 MB, read by this process" in err, f"own rows: {err}")
    # Nothing is read for a run that is finished, or that runs no DeepFool.
    for name, code, settings in (("own", 73, ()), ("random", 0, ("--set", "strategies=[random]"))):
        _, err = dfal.run(*line, "-o", name, *settings, code=code, environment=Gpus(dfal, 1).environment)
        check("stay on the GPU" not in err, f"rows that nobody asks for: {err}")
    _, err = run_ranks(dfal, 2, *line, "--feed", "nccl", "-o", "sent", environment=nccl)
    check(err.count("pool.h5 stay on the GPU, 0.0 MB, NCCL 2.28.9") == 1, f"rows that are sent: {err}")
    same_runs(dfal.at("own"), dfal.at("sent"))
    # One rank has nobody to send them to; then nothing of the run is begun.
    dfal.run(*line, "--feed", "nccl", "-o", "alone", environment=nccl)
    same_runs(dfal.at("own"), dfal.at("alone"))
    for fault, says in (("refused:1:0", "NCCL failed in joining GPUs: invalid usage: Duplicate GPU detected"),
                        ("remote:1:0", "NCCL failed in a broadcast: remote process exited")):
        _, err = run_ranks(dfal, 2, "-q", *line, "--feed", "nccl", "-o", "again", code=69,
                           environment={**nccl, "DF_NCCL_FAULT": fault})
        check(says in err and "Traceback" not in err, f"{fault}: {err}")
    run_ranks(dfal, 2, *line, "--feed", "nccl", "-o", "again", environment=nccl)
    same_runs(dfal.at("own"), dfal.at("again"))
    words = ("run", "run.yaml", "-o", "other", "--feed")
    Gpus(dfal, 1).refuses(69, "cpu", *words, "nccl", says="pool.h5 cannot stay on the cpu device")
    Gpus(dfal, 2).refuses(69, "cuda:all", *words, "nccl", says="--feed nccl joins one GPU of each rank, and this rank has 2")
    Gpus(dfal, 1).refuses(64, "cuda", *words, "ncl", says="nearest is 'nccl'")
    _, err = dfal.run(*words, "nccl", "--set", "strategies=[random]")
    check("--feed nccl changes nothing: no strategy runs DeepFool" in err, f"rows that nobody asks for: {err}")


main({f.__name__: f for f in (names, bits, lost, mixed, others, experiment, ranks, feed)})
