#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Class names wherever a network and a pool, or two pools, meet: another order is matched, other names are refused, and tables
tell names beside numbers."""
import csv
import json
import os
import shutil

import h5py
import numpy as np

from data import write_linear
from support import check, datasets, main, rows_of, same_bits, write_pool

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden", "onnx")
NAMES = ["ant", "bee", "=cat", "dög"]
TURNED = [2, 0, 3, 1]  # class k of the other pool is this one of the first
COUNT = 60
WEIGHT = np.random.default_rng(7).normal(size=(4, 9))


def pool(dfal, name, order=None, names=NAMES, labels=True, seed=1, count=COUNT):
    """Samples that the linear network tells apart without a fault; classes in another order are the same classes."""
    order = list(range(4)) if order is None else order
    samples = np.random.default_rng(seed).normal(size=(count, 1, 3, 3)).astype(np.float32)
    truth = (samples.reshape(count, 9) @ WEIGHT.T).argmax(1)
    write_pool(dfal.at(name), samples, np.argsort(order)[truth] if labels else None, class_count=4)
    if names:
        with h5py.File(dfal.at(name), "a") as file:
            file["classes"] = [names[k] for k in order]
    return truth


def network(dfal, name="net.h5", names=NAMES):
    write_linear(dfal.at(name), WEIGHT, np.zeros(4), (1, 3, 3))
    if names:
        with h5py.File(dfal.at(name), "a") as file:
            file["classes"] = names


def events_of(err, name):
    return [event for event in map(json.loads, err.splitlines()) if event["event"] == name]


def classes_of(path):
    with h5py.File(path) as file:
        return [name.decode() for name in file["classes"][()]] if "classes" in file else None


def another_order(dfal):
    """Nothing but the numbers depends on the order: evaluation, scores, queries, twins, label files."""
    network(dfal)
    pool(dfal, "same.h5")
    truth = pool(dfal, "turned.h5", TURNED)
    for command in ("eval",), ("logits", "-o", "l.h5"), ("score", "-o", "s.h5"):
        _, err = dfal.run("--log-format", "json", "--force", command[0], "net.h5", "turned.h5", *command[1:])
        said = events_of(err, "classes.order")
        check(len(said) == 1 and "ant, bee, =cat, dög" in said[0]["text"] and "=cat, ant, dög, bee" in said[0]["text"],
              f"{command}: {err}")
    result = dfal.json("eval", "net.h5", "turned.h5")
    check(result == dfal.json("eval", "net.h5", "same.h5"), "the order of a pool's classes changes its evaluation")
    check(result["accuracy"] == 1 and result["classes"] == NAMES, f"eval: {result}")
    check(result["confusion"] == np.diag(np.bincount(truth, minlength=4)).tolist(), f"eval: {result['confusion']}")
    result = dfal.json("score", "net.h5", "turned.h5", "-o", "t.h5")
    check(result["status"]["OK"] == COUNT and result["accuracy"] == 1, f"score: {result}")
    dfal.run("-q", "score", "net.h5", "same.h5", "-o", "s.h5", "--force")
    same_bits(dfal.at("s.h5"), dfal.at("t.h5"), ignore=("@pool",))
    for more in (), ("--scores", "t.h5"):
        for name in "same", "turned":
            dfal.run("-q", "select", "net.h5", f"{name}.h5", "--strategy", "dfal", "--count", "9", "-o", f"{name}.csv", "--twins",
                     f"{name}-twins.h5", "--force", *(more if name == "turned" else ()))
        for one, two in zip(rows_of(dfal.at("same.csv")), rows_of(dfal.at("turned.csv"))):
            for key in "index", "score", "predicted_name", "label_name", "adversarial_name":
                check(one[key] == two[key], f"{key} of {one} and {two} {more}")
            for key in "predicted", "label", "adversarial_class":
                check(int(one[key]) == TURNED[int(two[key])], f"{key} of {one} and {two} {more}")
        with h5py.File(dfal.at("same-twins.h5")) as one, h5py.File(dfal.at("turned-twins.h5")) as two:
            for key in "label", "adversarial_class":
                check((one[key][()] == np.array(TURNED)[two[key][()]]).all(), f"twins: {key} {more}")
    # Numbers and names of the other order come back as labels of its pool.
    pool(dfal, "blank.h5", TURNED, labels=False)
    queries = rows_of(dfal.at("turned.csv"))
    for key in "label", "label_name":
        with open(dfal.at("labels.csv"), "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("id", "label")] + [(row["id"], row[key]) for row in queries])
        result = dfal.json("eval", "net.h5", "blank.h5", "--labels", "labels.csv")
        check(result["accuracy"] == 1 and result["samples"] == 9, f"--labels by {key}: {result}")


def other_names(dfal):
    network(dfal)
    pool(dfal, "other.h5", names=["ant", "bee", "cow", "dög"])
    pool(dfal, "same.h5")
    dfal.run("-q", "score", "net.h5", "same.h5", "-o", "scores.h5")
    lines = (("eval",), ("logits", "-o", "o"), ("score", "-o", "o"), ("score", "-o", "o", "--estimate"),
             ("select", "--strategy", "random", "--count", "3", "-o", "o"))
    for line in lines:
        dfal.refuses(65, line[0], "net.h5", "other.h5", *line[1:],
                     says=("net.h5", "other.h5", "'=cat', class 2", "ant, bee, =cat, dög", "ant, bee, cow, dög"))
        check(not os.path.exists(dfal.at("o")), f"{line} wrote something")
    dfal.refuses(65, "verify", "scores.h5", "net.h5", "other.h5", says=("'=cat'", "cow"))
    dfal.refuses(65, "train", "--net", "net.h5", "other.h5", "--init", "net.h5", "-o", "o", says=("'=cat'", "cow"))
    dfal.run("-q", "train", "--net", "net.h5", "other.h5", "-o", "fresh.h5", "--epochs", "1")
    check(classes_of(dfal.at("fresh.h5")) == ["ant", "bee", "cow", "dög"], "a network trained anew has its pool's names")
    # More names, names that stand twice, and a thousand of them.
    pool(dfal, "twice.h5", TURNED, names=["ant", "ant", "=cat", "dög"])
    network(dfal, "twice-net.h5", ["ant", "ant", "=cat", "dög"])
    dfal.refuses(65, "eval", "twice-net.h5", "twice.h5", says=("'ant'", "more than once"))
    pool(dfal, "twice.h5", names=["ant", "ant", "=cat", "dög"])
    check(dfal.json("eval", "twice-net.h5", "twice.h5")["accuracy"] == 1, "the same order needs no name to be unique")
    names = [f"class {i:04}" for i in range(1000)]
    write_linear(dfal.at("many.h5"), np.ones((1000, 9)), np.arange(1000.0), (1, 3, 3))
    with h5py.File(dfal.at("many.h5"), "a") as file:
        file["classes"] = names
    write_pool(dfal.at("many-pool.h5"), np.zeros((3, 1, 3, 3), np.float32), [999, 0, 1], class_count=1000)
    with h5py.File(dfal.at("many-pool.h5"), "a") as file:
        file["classes"] = names[1:] + ["odd"]
    _, err = dfal.run("-q", "eval", "many.h5", "many-pool.h5", code=65)
    check("'class 0000', class 0" in err and "(1000 in all)" in err and len(err) < 600, err)


def no_names(dfal):
    """Where one side has no names nothing is compared, and those there are are told. They are no part of the sha256."""
    network(dfal)
    network(dfal, "bare.h5", None)
    pool(dfal, "same.h5")
    pool(dfal, "bare-pool.h5", names=None)
    shas = {dfal.json("info", name)["network_sha256"] for name in ("net.h5", "bare.h5")}
    check(len(shas) == 1, f"names change the sha256: {shas}")
    check(dfal.json("info", "net.h5")["classes"] == NAMES and "classes" not in dfal.json("info", "bare.h5"), "info")
    for net, data, names in (("net.h5", "bare-pool.h5", NAMES), ("bare.h5", "same.h5", NAMES), ("bare.h5", "bare-pool.h5", None)):
        out, err = dfal.run("--log-format", "json", "--json", "eval", net, data)
        check(json.loads(out)["classes"] == names and not events_of(err, "classes.order"), f"{net} {data}: {out} {err}")
        dfal.run("-q", "select", net, data, "--strategy", "dfal", "--count", "2", "-o", "q.csv", "--sheet", "q.html", "--force")
        row = rows_of(dfal.at("q.csv"))[0]
        check(row["predicted_name"].lstrip("'") == (names[int(row["predicted"])] if names else ""), f"{net} {data}: {row}")
        with open(dfal.at("q.html"), encoding="utf-8") as file:
            page = file.read()
        told = (names[int(row["predicted"])] if names else row["predicted"]) + " ("
        check(f"&#183; {told}" in page, f"the sheet of {net} and {data} has no '{told}'")
    out, _ = dfal.run("-q", "eval", "net.h5", "same.h5")
    check(" =cat " in out and " dög " in out, f"eval: {out}")
    out, _ = dfal.run("-q", "select", "net.h5", "same.h5", "--strategy", "dfal", "--count", "9", "-o", "q.csv", "--force")
    check(all(name in out for name in NAMES), f"select: {out}")
    for bad in ["ant"], [1, 2, 3, 4], [["ant", "bee"], ["c", "d"]]:
        network(dfal, "bad.h5", bad)
        dfal.refuses(65, "eval", "bad.h5", "same.h5", says=("bad.h5", "'classes'", "expected [4] strings"))


def training(dfal):
    """train writes the pool's names; --init maps labels to the order of the network that it starts from."""
    network(dfal)
    pool(dfal, "turned.h5", TURNED)
    dfal.run("-q", "train", "--net", "net.h5", "turned.h5", "-o", "fresh.h5", "--epochs", "1")
    check(classes_of(dfal.at("fresh.h5")) == [NAMES[k] for k in TURNED], "train writes the names of its pool")
    result = dfal.json("train", "--net", "net.h5", "--init", "net.h5", "turned.h5", "-o", "on.h5", "--epochs", "1", "--lr", "1e-6",
                       "--validation", "0.5")
    check(classes_of(dfal.at("on.h5")) == NAMES, "the order is that of the network it started from")
    before = dfal.json("eval", "net.h5", "turned.h5")["loss"]
    check(abs(result["loss"] - before) < 0.5 * before, f"the loss begins at {result['loss']}, expected about {before}")
    check(dfal.json("eval", "on.h5", "turned.h5")["accuracy"] == 1, "on.h5 has forgotten what net.h5 knew")
    network(dfal, "bare.h5", None)
    dfal.run("-q", "train", "--net", "net.h5", "--init", "bare.h5", "turned.h5", "-o", "named.h5", "--epochs", "0")
    check(classes_of(dfal.at("named.h5")) == [NAMES[k] for k in TURNED], "a network without names takes those of the pool")


def with_metadata(path, out, **entries):
    """A model with more metadata_props (field 14) behind its end, as protobuf allows."""
    def field(number, body):
        size = len(body)
        return bytes([number << 3 | 2]) + (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + body

    with open(path, "rb") as file:
        text = file.read()
    for key, value in entries.items():
        text += field(14, field(1, key.replace("_", ".").encode()) + field(2, value.encode()))
    with open(out, "wb") as file:
        file.write(text)


def imported(dfal):
    """Names of an ONNX model: from a file, or from its metadata."""
    shutil.copy(os.path.join(GOLDEN, "lenet-dynamic-script.onnx"), dfal.at("m.onnx"))
    count = dfal.json("info", "m.onnx")["class_count"]
    names = [f"class {i}" for i in range(count)]
    with open(dfal.at("names.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(names) + "\n")
    dfal.run("-q", "import", "onnx", "m.onnx", "-o", "named.h5", "--class-names", "names.txt")
    dfal.run("-q", "import", "onnx", "m.onnx", "-o", "bare.h5")
    check(classes_of(dfal.at("named.h5")) == names and classes_of(dfal.at("bare.h5")) is None, "import onnx")
    check(dfal.json("info", "named.h5")["network_sha256"] == dfal.json("info", "bare.h5")["network_sha256"], "the sha256 changed")
    with open(dfal.at("few.txt"), "w", encoding="utf-8") as file:
        file.write("one\ntwo\n")
    dfal.refuses(65, "import", "onnx", "m.onnx", "-o", "o.h5", "--class-names", "few.txt", says=("few.txt", f"the {count} classes"))
    dfal.refuses(64, "import", "onnx", "m.onnx", "-o", "o.h5", "--class-names", "names.txt", "--crop", "3", says="--crop")
    dfal.refuses(64, "import", "npy", "m.onnx", "-o", "o.h5", "--class-names", "names.txt", says="--class-names")
    dfal.refuses(64, "--force", "import", "onnx", "m.onnx", "-o", "names.txt", "--class-names", "names.txt", says="names.txt")
    turned = names[1:] + names[:1]
    for entries, expected in (({"names": json.dumps(names)}, names), ({"classes": json.dumps(names)}, names),
                              ({"names": json.dumps(names), "dfal_classes": json.dumps(turned)}, turned),
                              ({"names": "{0: 'person'}"}, None), ({"names": json.dumps(names[1:])}, None)):
        with_metadata(dfal.at("m.onnx"), dfal.at("told.onnx"), **entries)
        dfal.run("-q", "--force", "import", "onnx", "told.onnx", "-o", "told.h5")
        check(classes_of(dfal.at("told.h5")) == expected, f"{entries} gives {classes_of(dfal.at('told.h5'))}")
    with_metadata(dfal.at("m.onnx"), dfal.at("told.onnx"), dfal_classes="[1, 2]")
    dfal.refuses(65, "info", "told.onnx", says=("dfal.classes", f"{count} strings"))


def line_of(network_file, test, *more):
    return ("run", "--preset", "quickstart", "--train", "train.h5", "--test", test, "--set", f"network={network_file}", "--set",
            "trials=1", "--set", "initial=12", "--set", "query=4", "--set", "annotations=20", "--set", "training.epochs=2", *more)


def curve_of(dfal, folder):
    return [{key: row[key] for key in row if "seconds" not in key} for row in rows_of(dfal.at(f"{folder}/curve.csv"))]


def experiments(dfal):
    """A run whose pools, or whose network, have the classes in another order."""
    network(dfal)
    pool(dfal, "train.h5", TURNED)
    pool(dfal, "test.h5", TURNED, seed=2)
    pool(dfal, "turned.h5", [3, 2, 1, 0], seed=2)
    pool(dfal, "other.h5", names=["ant", "bee", "cow", "dög"], seed=2)
    dfal.run("-q", *line_of("net.h5", "test.h5"), "-o", "a")
    _, err = dfal.run("--log-format", "json", *line_of("net.h5", "turned.h5"), "-o", "b")
    check(len(events_of(err, "classes.order")) == 1, f"run: {err}")
    check(curve_of(dfal, "a") == curve_of(dfal, "b"), "the order of the test pool's classes changes the curve")
    check(classes_of(dfal.at("b/networks/dfal-1.h5")) == [NAMES[k] for k in TURNED], "a run's networks have names")
    dfal.refuses(65, *line_of("net.h5", "other.h5"), "-o", "c", says=("train.h5", "other.h5", "'cow'"))
    with h5py.File(dfal.at("train.h5")) as file:
        labels = file["labels"][()]
    for row in rows_of(dfal.at("b/queries.csv")):
        check(int(row["label"]) == labels[int(row["index"])], f"queries.csv: {row}")
        for key, name in ("predicted", "predicted_name"), ("label", "label_name"), ("adversarial_class", "adversarial_name"):
            expected = NAMES[TURNED[int(row[key])]] if int(row[key]) >= 0 else ""
            check(row[name].lstrip("'") == expected, f"queries.csv: {row}")
    # A trainer that brings a network with names in another order: here the one that makes no fault.
    copy = f"sh -c 'while [ \"$1\" != --out ]; do shift; done; cp \"{dfal.at('net.h5')}\" \"$2\"' x"
    for name, accuracy in ("net.h5", 1), ("bare.h5", None):
        network(dfal, "bare.h5", None)
        dfal.run("-q", *line_of("net.h5", "turned.h5"), "-o", name + ".run", "--trainer", copy.replace("net.h5", name))
        found = {float(row["accuracy"]) for row in curve_of(dfal, name + ".run")}
        check(found == {1.0} if accuracy else max(found) < 0.9, f"a trainer's {name}: {found}")
    for row in rows_of(dfal.at("net.h5.run/queries.csv")):
        check(row["label_name"] == row["predicted_name"], f"a trainer's queries: {row}")


def starts(dfal):
    """training.init: what rounds begin with."""
    network(dfal)
    pool(dfal, "train.h5", TURNED)
    pool(dfal, "test.h5", TURNED, seed=2)
    accuracies = {}
    for init in "scratch", "weights", "previous":
        _, err = dfal.run("--log-format", "json", *line_of("net.h5", "test.h5", "--set", "training.epochs=0"), "-o", init, "--set",
                          f"training.init={init}")
        accuracies[init] = {float(row["accuracy"]) for row in curve_of(dfal, init)}
        check(len(events_of(err, "run.weights_unused")) == (init == "scratch"), f"{init}: {err}")
        begin = events_of(err, "run.begin")[0]
        check({"scratch": "scratch", "weights": "the given weights"}.get(init, "previous network") in begin["init"], f"{begin}")
        with open(dfal.at(f"{init}/config.yaml"), encoding="utf-8") as file:
            check(f"init: {init}" in file.read(), "config.yaml does not tell")
        with open(dfal.at(f"{init}/report.html"), encoding="utf-8") as file:
            check(f"init: {init}" in file.read(), "the report does not tell")
        expected = [NAMES[k] for k in TURNED] if init == "scratch" else NAMES
        check(classes_of(dfal.at(f"{init}/networks/random-1.h5")) == expected, f"{init}: names")
    check(accuracies["weights"] == accuracies["previous"] == {1.0} and max(accuracies["scratch"]) < 0.9, f"{accuracies}")
    # Without epochs a round's network is what it began with, to the bit.
    with h5py.File(dfal.at("net.h5")) as given:
        for init in "weights", "previous":
            with h5py.File(dfal.at(f"{init}/networks/random-1.h5")) as file:
                check((file["parameters/fc/weight"][()] == given["parameters/fc/weight"][()]).all(), f"{init}: other weights")
    dfal.refuses(78, *line_of("lenet5", "test.h5", "--set", "training.init=weights"), "-o", "x", says=("training.init", "lenet5"))
    dfal.refuses(64, *line_of("net.h5", "test.h5", "--set", "training.init=weight"), "-o", "x", says="weights")
    # The rounds of `previous` go on from each other: the last network is not that of `weights`.
    for init in "weights", "previous":
        _, err = dfal.run("--log-format", "json", *line_of("net.h5", "test.h5", "--set", f"training.init={init}", "--set",
                                                           "training.restarts=2"), "-o", f"{init}-2")
        check(len(events_of(err, "run.restarts")) == 1, f"{init}: {err}")
    one, two = (datasets(dfal.at(f"{init}-2/networks/random-1.h5")) for init in ("weights", "previous"))
    check(one["parameters/fc/weight"] != two["parameters/fc/weight"], "previous is weights")


def test_pools(dfal):
    """A test pool that nothing can be measured on is refused before the first round."""
    network(dfal)
    pool(dfal, "train.h5")
    pool(dfal, "blank.h5", labels=False, seed=2)
    dfal.refuses(65, *line_of("net.h5", "blank.h5"), "-o", "d", says=("blank.h5", "none of its 60 rows has a label"))
    check(not os.path.exists(dfal.at("d")), "a run directory was made")
    dfal.refuses(65, "eval", "net.h5", "blank.h5", says=("blank.h5", "label"))
    pool(dfal, "some.h5", seed=2)
    with h5py.File(dfal.at("some.h5"), "a") as file:
        file["labels"][10:] = -1
    _, err = dfal.run("--log-format", "json", *line_of("net.h5", "some.h5"), "-o", "d")
    said = events_of(err, "run.test_unlabelled")
    check(len(said) == 1 and said[0]["labelled"] == 10 and said[0]["rows"] == 60, err)
    write_pool(dfal.at("large.h5"), np.zeros((5, 1, 4, 4), np.float32), [0, 1, 2, 3, 0], class_count=4)
    write_pool(dfal.at("more.h5"), np.zeros((5, 1, 3, 3), np.float32), [0, 1, 2, 3, 4], class_count=5)
    for name, word in ("large.h5", "1x4x4"), ("more.h5", "5 classes"):
        dfal.refuses(65, *line_of("net.h5", name), "-o", "e", says=(name, word))
        check(not os.path.exists(dfal.at("e")), "a run directory was made")


def draws(dfal):
    """select --subsample draws from the labelled state: rounds differ, the order of the label files does not matter."""
    network(dfal)
    pool(dfal, "pool.h5", labels=False, count=400)
    mark = dfal.json("info", "pool.h5")["fingerprint"][:8]

    def labels(name, rows):
        with open(dfal.at(name), "w", encoding="utf-8") as file:
            file.write("id,label\n" + "".join(f"{mark}:{row},{row % 4}\n" for row in rows))

    def chosen(*files, seed="1"):
        dfal.run("-q", "--seed", seed, "--force", "select", "net.h5", "pool.h5", "--strategy", "random", "--count", "300",
                 "--subsample", "300", "-o", "q.csv", *(word for name in files for word in ("--labels", name)))
        return {int(row["index"]) for row in rows_of(dfal.at("q.csv"))}

    labels("a.csv", range(0, 10))
    labels("b.csv", range(10, 20))
    labels("all.csv", reversed(range(20)))
    first, second, third = chosen(), chosen("a.csv"), chosen("a.csv", "b.csv")
    for one, two in (first, second), (second, third):
        left = len(one & two)
        check(left < 250, f"{left} of 300 candidates are those of the round before, expected about 225")
    check(third == chosen("b.csv", "a.csv") == chosen("all.csv"), "the draw depends on the label files")
    check(third != chosen("all.csv", seed="2"), "the draw does not depend on the seed")


if __name__ == "__main__":
    main({f.__name__: f for f in (another_order, other_names, no_names, training, imported, experiments, starts, test_pools, draws)})
