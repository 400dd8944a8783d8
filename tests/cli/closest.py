#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The closest samples, proven or audited: score --closest, --cascade, and what select makes of them."""
import json

import h5py
import numpy as np

from support import check, main, rows_of, same_bits

PRUNED, UNSCORED = 5, 6


def prepare(dfal, count):
    dfal.run("-q", "synth", "-n", 1500, "-o", "train.h5")
    dfal.run("-q", "--seed", 2, "synth", "-n", count, "-o", "pool.h5")
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", 3)
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "full.h5")


def columns(path):
    with h5py.File(path) as file:
        attributes = {key: value for key, value in file.attrs.items() if key in
                      ("closest_margin", "deepfool_rows", "audited", "audit_found", "recall", "configuration")}
        return {name: file[name][()] for name in ("margin", "status", "label", "logit_gap", "iterations")}, attributes


def events(err):
    return [json.loads(line) for line in err.splitlines() if line.startswith("{")]


def exact(dfal):
    """The file holds the closest as the file of all rows does, and bounds that are true of the others."""
    prepare(dfal, 2000)
    document = dfal.json("score", "net.h5", "pool.h5", "--closest", 5, "-o", "closest.h5")
    full, _ = columns(dfal.at("full.h5"))
    found, attributes = columns(dfal.at("closest.h5"))
    pruned = found["status"] == PRUNED
    check(pruned.sum() == document["status"]["PRUNED"] > 1000, f"{document}")
    check(np.all(found["margin"][pruned] <= full["margin"][pruned]), "a bound is above its margin")
    check(np.all(found["margin"][pruned] > np.float32(document["closest_margin"])), "a row is PRUNED that may be among the closest")
    for name in full:
        rows = ~pruned if name in ("margin", "status", "iterations") else slice(None)
        check(np.array_equal(found[name][rows], full[name][rows]), f"{name} differs from that of all rows")
    check(np.array_equal(np.argsort(np.where(pruned, np.inf, found["margin"]), kind="stable")[:5],
                         np.argsort(full["margin"], kind="stable")[:5]), "the closest are others")
    check(attributes["closest_margin"] == document["closest_margin"], f"{attributes}")
    check(attributes["deepfool_rows"] == document["deepfool_samples"] < 1000, f"{attributes}")
    check(json.loads(attributes["configuration"])["closest"] == 5 and document["recall"] is None, f"{attributes}")
    dfal.run("-q", "--threads", 1, "score", "net.h5", "pool.h5", "--closest", 5, "--batch", 7, "-o", "again.h5")
    same_bits(dfal.at("closest.h5"), dfal.at("again.h5"))
    out, _ = dfal.run("-q", "score", "net.h5", "pool.h5", "--closest", 5, "-o", "again.h5", "--force")
    check("closest" in out and "PRUNED" in out, out)
    out, _ = dfal.run("-q", "verify", "closest.h5", "--samples", 20)
    dfal.refuses(64, "score", "net.h5", "pool.h5", "--closest", 5, "--shard", "1/2", "-o", "x.h5", says="no shard")
    dfal.refuses(64, "score", "net.h5", "pool.h5", "--closest", 5, "--range", "0:9", "-o", "x.h5", says="no range")
    dfal.refuses(64, "score", "net.h5", "pool.h5", "--cascade", "-o", "x.h5", says="closest")
    dfal.refuses(64, "score", "net.h5", "pool.h5", "--closest", 0, "-o", "x.h5", says="--closest")
    dfal.refuses(64, "score", "net.h5", "pool.h5", "--closest", 5, "--estimate", says="whole pass")


def audited(dfal):
    """A cascade runs 5 Q and its audit, and says in output, event and file what it makes of that."""
    prepare(dfal, 2000)
    _, err = dfal.run("--log-format", "json", "score", "net.h5", "pool.h5", "--closest", 40, "--cascade", "-o", "c.h5")
    audit = [event for event in events(err) if event["event"] == "closest.audit"]
    found, attributes = columns(dfal.at("c.h5"))
    check(len(audit) == 1, err)
    for key, name in (("audited", "audited"), ("found", "audit_found"), ("recall", "recall")):
        check(audit[0][key] == attributes[name], f"{key}: {audit[0]}, {attributes}")
    check(attributes["audited"] == -(-audit[0]["unproven"] // 100) > 1, f"{audit[0]}")
    check(attributes["deepfool_rows"] == 200 + attributes["audited"], f"{attributes}")
    missing = attributes["audit_found"] * (audit[0]["unproven"] / attributes["audited"] - 1)
    check(abs(attributes["recall"] - max(0, 1 - missing / 40)) < 1e-12, f"{attributes}")
    check((found["status"] == UNSCORED).sum() == audit[0]["unproven"] - audit[0]["audited"] > 100, f"{np.bincount(found['status'])}")
    full, _ = columns(dfal.at("full.h5"))
    run = found["status"] < PRUNED
    check(np.array_equal(found["margin"][run], full["margin"][run]), "margins differ")


def selected(dfal):
    """The same queries whether all margins are known, those that are needed, or those that are likely."""
    prepare(dfal, 4000)
    for strategy, count, *options in ("dfal", 4), ("dfal-diverse", 2, "--option", "rho=2"):
        words = ["select", "net.h5", "pool.h5", "--strategy", strategy, "--count", count, *options]
        dfal.run("-q", *words, "--scores", "full.h5", "-o", "full.csv", "--force")
        _, err = dfal.run("--log-format", "json", *words, "-o", "few.csv", "--force")
        needed = [event for event in events(err) if event["event"] == "closest.needed"]
        check(len(needed) == 1 and needed[0]["rows"] < 2000, err)
        _, err = dfal.run("--log-format", "json", *words, "--cascade", "-o", "likely.csv", "--force")
        check(any(event["event"] == "closest.audit" for event in events(err)), err)
        expected = rows_of(dfal.at("full.csv"))
        check(len(expected) == count, f"{expected}")
        for name in "few.csv", "likely.csv":
            check(rows_of(dfal.at(name)) == expected, f"{strategy}: {name} has other queries")
    # More than a five-hundredth of the pool: all margins are computed.
    words = ["select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", 9]
    _, err = dfal.run("--log-format", "json", *words, "-o", "nine.csv")
    check(not any(event["event"].startswith("closest.") for event in events(err)), err)
    # A file that proves fewer than are asked for.
    dfal.run("-q", "select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", 3, "--scores", "full.h5", "-o", "three.csv")
    dfal.run("-q", "score", "net.h5", "pool.h5", "--closest", 3, "-o", "three.h5")
    words = ["--log-format", "json", "select", "net.h5", "pool.h5", "--strategy", "dfal", "--scores", "three.h5", "--force", "-o", "q.csv"]
    for count, warned in (1000, True), (3, False):
        _, err = dfal.run(*words, "--count", count)
        check(any(event["event"] == "select.unproven" for event in events(err)) == warned, f"{count}: {err}")
    check(rows_of(dfal.at("three.csv")) == rows_of(dfal.at("q.csv")), "the file's closest are others")
    dfal.refuses(64, "select", "net.h5", "pool.h5", "--strategy", "entropy", "--cascade", "--count", 4, "-o", "x.csv", says="entropy")
    dfal.refuses(64, "select", "net.h5", "pool.h5", "--strategy", "dfal", "--cascade", "--scores", "full.h5", "--count", 4, "-o", "x.csv",
                 says="full.h5")
    dfal.refuses(64, "select", "net.h5", "pool.h5", "--strategy", "dfal", "--cascade", "--option", "power=1", "--count", 4, "-o", "x.csv",
                 says="power")
    dfal.refuses(64, "select", "net.h5", "pool.h5", "--strategy", "dfal", "--cascade", "--norm", "linf", "--count", 4, "-o", "x.csv",
                 says="l2")


main({f.__name__: f for f in (exact, audited, selected)})
