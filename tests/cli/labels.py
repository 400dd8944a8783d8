#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ids and labels through the commands: every table carries ids, label files overlay everywhere, ids that bite survive the way
from the pool to QUERIES.csv, a spreadsheet and back; foreign HDF5 files in place."""
import csv
import json
import os

import h5py
import numpy as np

from data import digits, make_pool, write_linear
from support import check, main, rows_of, write_pool

COUNT, CLASSES = 30, 4
EVIL = ["=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "<script>alert(1)</script>", "a,b",
        'say "hi"', "two\nlines", "two\r\nlines", "'", "'quoted'", " blanks ", "0001", "1e5", "\x1b[31m red", "\u009b31m", "\u202egpj.exe", "\uff1d1+1", "dög/ÿ.png", "x" * 65536,
        b"\xff\xfe\x80broken"]


def text_of(value):
    return value if isinstance(value, bytes) else value.encode()


def make(dfal, name="pool.h5", ids=None, labels=None, classes=None):
    random = np.random.default_rng(5)
    write_linear(dfal.at("net.h5"), random.normal(size=(CLASSES, 9)), random.normal(size=CLASSES), (1, 3, 3))
    samples = random.normal(size=(COUNT, 1, 3, 3)).astype(np.float32)
    write_pool(dfal.at(name), samples, labels, class_count=CLASSES)
    with h5py.File(dfal.at(name), "a") as file:
        if ids is not None:
            made = file.create_dataset("ids", (COUNT,), h5py.string_dtype("utf-8"))
            made[:] = [text_of(one) for one in ids]
        if classes is not None:
            file["classes"] = classes
    return samples


def table(dfal, name, text, encoding="utf-8"):
    with open(dfal.at(name), "wb") as file:
        file.write(text.encode(encoding) if isinstance(text, str) else text)


def ids_of(path, name="id"):
    with h5py.File(path) as file:
        check(name in file, f"{path} has no /{name}")
        return [bytes(one) for one in file[name][()]]


def carried(dfal):
    """Scores, logits, activations, twins and queries carry the ids of their rows: the pool's own, or those made up."""
    for ids in ([f"img{i:03}" for i in range(COUNT)], None):
        make(dfal, ids=ids)
        print_of = dfal.json("info", "pool.h5")["fingerprint"]
        expected = [text_of(one) for one in ids or [f"{print_of[:8]}:{i}" for i in range(COUNT)]]
        dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "s.h5", "--force")
        dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "r.h5", "--force", "--range", "7:19")
        dfal.run("-q", "logits", "net.h5", "pool.h5", "-o", "l.h5", "--force")
        dfal.run("-q", "logits", "net.h5", "pool.h5", "-o", "n.h5", "--force", "--node", "flat")
        for k in (1, 2):
            dfal.run("-q", "score", "net.h5", "pool.h5", "-o", f"s{k}.h5", "--force", "--shard", f"{k}/2")
        dfal.run("-q", "merge", "s1.h5", "s2.h5", "-o", "m.h5", "--force")
        for name in ("s.h5", "l.h5", "n.h5", "m.h5"):
            check(ids_of(dfal.at(name)) == expected, f"ids of {name}: {ids_of(dfal.at(name))[:3]}")
        check(ids_of(dfal.at("r.h5")) == expected[7:19], "ids of a range")
        dfal.run("-q", "select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", "5", "-o", "q.csv", "--twins", "t.h5",
                 "--force")
        rows = rows_of(dfal.at("q.csv"))
        check([text_of(row["id"]) for row in rows] == [expected[int(row["index"])] for row in rows], "ids of QUERIES.csv")
        with h5py.File(dfal.at("t.h5")) as file:
            check([bytes(one) for one in file["id"][()]] == [expected[i] for i in file["index"][()]], "ids of the twins")
        # QUERIES.csv with its labels filled in is a label file
        for row in rows:
            row["label"] = 1
        with open(dfal.at("answered.csv"), "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        check(dfal.json("info", "pool.h5", "--labels", "answered.csv")["labelled"] == 5, "answered queries")


def everywhere(dfal):
    """train, eval, score and select see the same labels; two files, the last line of an id wins."""
    names = [f"img{i}" for i in range(COUNT)]
    make(dfal, ids=names, classes=["cat", "dog", "eel", "fox"])
    table(dfal, "a.csv", "id,label,annotator,seconds,status\n" + "".join(f"{name},cat,ann,1.5,label\n" for name in names[:20]))
    table(dfal, "b.csv", "label,id,status,annotator\ndog,img0,label,bob\n,img1,skip,bob\n,img2,unsure,bob\n3,img25,,bob\n")
    both = ("--labels", "a.csv", "--labels", "b.csv")
    truth = {name: 0 for name in names[3:20]} | {"img0": 1, "img25": 3}
    facts = dfal.json("info", "pool.h5", *both)
    check((facts["labelled"], facts["skipped"], facts["labelled_per_class"], facts["classes"]) ==
          (19, 1, ["17", "1", "0", "1"], ["cat", "dog", "eel", "fox"]), f"info: {facts}")
    check(f"{'classes':24} cat, dog, eel, fox\n" in dfal.run("info", "pool.h5", *both)[0], "the table's classes")
    dfal.run("-q", "logits", "net.h5", "pool.h5", "-o", "l.h5", *both)
    with h5py.File(dfal.at("l.h5")) as file:
        predicted = dict(zip(names, file["logits"][()].argmax(1)))
    accuracy = np.mean([predicted[name] == label for name, label in truth.items()])
    document = dfal.json("eval", "net.h5", "pool.h5", *both)
    check(document["samples"] == 19 and abs(document["accuracy"] - accuracy) < 1e-12, f"eval: {document}")
    _, err = dfal.run("score", "net.h5", "pool.h5", "-o", "s.h5", *both, "--log-format", "json")
    end = [json.loads(line) for line in err.splitlines() if '"score.end"' in line]
    check(abs(end[0]["accuracy"] - accuracy) < 1e-9, f"score: {end}")
    dfal.run("-q", "select", "net.h5", "pool.h5", "--strategy", "random", "--count", "30", "-o", "q.csv", *both)
    chosen = {row["id"] for row in rows_of(dfal.at("q.csv"))}
    check(chosen == set(names) - set(truth) - {"img1"}, "labelled and skipped are left out, unsure stays a candidate")
    dfal.run("-q", "train", "--net", "net.h5", "pool.h5", "-o", "n.h5", "--epochs", "1", *both)
    dfal.refuses(65, "train", "--net", "net.h5", "pool.h5", "-o", "o.h5", "--epochs", "1", "--subset", "20", *both,
                 says=("20", "19"))
    # the other order of files: another winner
    check(dfal.json("info", "pool.h5", "--labels", "b.csv", "--labels", "a.csv")["labelled_per_class"] == ["20", "0", "0", "1"], "order")


def disagreement(dfal):
    make(dfal, ids=[f"img{i}" for i in range(COUNT)], classes=["cat", "dog", "eel", "fox"])
    table(dfal, "ann.csv", "id,label,annotator\nimg0,cat,ann\nimg1,dog,ann\nimg2,eel,ann\nimg2,fox,ann\n")
    table(dfal, "bob.csv", "id,label,annotator\nimg0,cat,bob\nimg1,eel,bob\nimg2,eel,bob\n")
    for words in (("eval", "net.h5", "pool.h5"), ("info", "pool.h5"), ("score", "net.h5", "pool.h5", "-o", "s.h5"),
                  ("train", "--net", "net.h5", "--init", "net.h5", "pool.h5", "-o", "n.h5", "--epochs", "0"),
                  ("select", "net.h5", "pool.h5", "--strategy", "random", "--count", "2", "-o", "q.csv"),
                  ("logits", "net.h5", "pool.h5", "-o", "l.h5")):
        _, err = dfal.run("-q", *words, "--labels", "ann.csv", "--labels", "bob.csv")
        said = [line for line in err.splitlines() if line.startswith("warning:")]
        check(len(said) == 1 and all(word in said[0] for word in ("bob.csv:3", "ann.csv:3", "img1", "eel", "dog", "2 lines")),
              f"{words[0]}: {err}")
        _, err = dfal.run("-q", *words, "--labels", "ann.csv", "--force")
        check("warning" not in err, f"{words[0]}: who corrects himself contradicts nobody: {err}")


def refusals(dfal):
    make(dfal, ids=[f"img{i}" for i in range(COUNT)], classes=["cat", "dog", "eel", "fox"])
    cases = {
        "id,label\nimg0,cat\nimg99,cat\n": ("l.csv:3", "'img99'", "nearest is 'img9'"),
        "id,label\nimg0,cow\n": ("l.csv:2", "'cow'"), "id,label\nimg0,Dogg\n": ("l.csv:2", "nearest is 'dog'"),
        "id,label\nimg0,4.0\n": ("l.csv:2", "'4.0'"), "id,label\n,cat\n": ("l.csv:2", "empty"),
        "id,label,status\nimg0,,label\n": ("l.csv:2", "label is empty"), "id,label,status\nimg0,cat,done\n": ("l.csv:2", "'done'"),
        "annotator,choice,id\nann,cat,img0\n": ("l.csv:1: the header has no column 'label'", "; column 'choice' looks like the labels: rename it"),
        "label,choice\ncat,img0\n": ("no column 'id', expected id,label[,annotator,seconds,status]",),
        "id:label\nimg0:cat\n": ("l.csv:1", "commas, semicolons or tabs"), "": ("l.csv", "empty"),
        "id,label\nimg0,cat," + "z" * (5 << 20): ("l.csv:2", "bytes in a record"),
        "id,label\nimg0,cat,dog\n": ("l.csv:2", "3 fields"), 'id,label\n"img0,cat\n': ("l.csv:2", "quoting"),
        'id,label\n"img\n99",cat\n': ("l.csv:2", "img?99"), "id,label\n\x1b[31mred,cat\n": ("l.csv:2", "?[31mred"),
        "id,label\n" + "y" * 70000 + ",cat\n": ("l.csv:2", "yyy...", "pool.h5"),
    }
    commands = (("info", "pool.h5"), ("eval", "net.h5", "pool.h5"), ("score", "net.h5", "pool.h5", "-o", "s.h5"),
                ("train", "--net", "net.h5", "pool.h5", "-o", "n.h5"), ("logits", "net.h5", "pool.h5", "-o", "l.h5"),
                ("select", "net.h5", "pool.h5", "--strategy", "random", "--count", "2", "-o", "q.csv"))
    for index, (text, words) in enumerate(cases.items()):
        table(dfal, "l.csv", text)
        for command in commands if index == 0 else commands[:1]:
            dfal.refuses(65, *command, "--labels", "l.csv", says=words)
    table(dfal, "l.csv", "id,label\nimg0,cat\n", "utf-16-le")  # no mark
    dfal.refuses(65, "eval", "net.h5", "pool.h5", "--labels", "l.csv", says="l.csv:1")
    dfal.refuses(66, "eval", "net.h5", "pool.h5", "--labels", "none.csv", says="none.csv")
    table(dfal, "l.csv", "id,label\nimg0,cat\n")
    for ids, words in (([f"img{i % 29}" for i in range(COUNT)], ("img0", "row 0", "row 29")),
                       ([f"img{i}" if i else "" for i in range(COUNT)], ("row 0", "empty"))):
        make(dfal, ids=ids)
        dfal.refuses(65, "eval", "net.h5", "pool.h5", "--labels", "l.csv", says=words)


def tables_of_others(dfal):
    """Separators, UTF-16, pandas and Label Studio: the same labels, or a word about what is not one."""
    make(dfal, ids=[f"{i}" for i in range(COUNT)], classes=["cat", "dog", "eel", "fox"])
    rows = [("id", "label"), ("3", "dog"), ("7", "fox"), ("8", "eel")]
    expected = None
    for separator, encoding, head in ((",", "utf-8", ""), (";", "utf-8-sig", ""), ("\t", "utf-16", ""), (";", "utf-16", "sep=;\r\n")):
        table(dfal, "l.csv", head + "".join(separator.join(row) + "\r\n" for row in rows), encoding)
        facts = dfal.json("info", "pool.h5", "--labels", "l.csv")
        check(facts["labelled_per_class"] == ["0", "1", "1", "1"], f"{separator!r} {encoding}: {facts}")
        dfal.run("-q", "select", "net.h5", "pool.h5", "--strategy", "random", "--count", COUNT, "--labels", "l.csv", "-o", "q.csv", "--force")
        expected = expected or rows_of(dfal.at("q.csv"))
        check(rows_of(dfal.at("q.csv")) == expected, f"{separator!r} {encoding}: other queries")
    # a column of floats, as a gap makes it: DataFrame.to_csv
    table(dfal, "l.csv", "id,label\n3.0,1.0\n7.0,3.0\n8.0,2.0\n9.0,\n10.0,nan\n")
    out, err = dfal.run("info", "pool.h5", "--labels", "l.csv")
    check("0, 1, 1, 1" in out and "l.csv:5: no label" in err and "2 lines" in err, f"pandas: {out} {err}")
    # Label Studio: the answers stand in `choice`, and `label` is what the pool knew before
    table(dfal, "l.csv", '"choice","id","image","label"\n"cat","3","3.png","-1"\n"dog","7","7.png","-1"\n')
    for words in (("info", "pool.h5"), ("eval", "net.h5", "pool.h5"),
                  ("select", "net.h5", "pool.h5", "--strategy", "random", "--count", "2", "-o", "q.csv", "--force")):
        _, err = dfal.run(*words, "--labels", "l.csv", code=None)
        check("warning" in err and "labels no row" in err and "choice, id, image, label" in err, f"{words[0]}: {err}")


def evil(dfal):
    """Ids that are formulas, tags, quotes, newlines, 64 KiB, no UTF-8."""
    ids = EVIL + [f"plain{i}" for i in range(COUNT - len(EVIL))]
    classes = ["=1+1", "'=1+1", "<b>bold</b>", 'a,"b"']
    make(dfal, ids=ids, classes=classes)
    dfal.run("-q", "select", "net.h5", "pool.h5", "--strategy", "random", "--count", COUNT, "-o", "q.csv")
    rows = rows_of(dfal.at("q.csv"), errors="surrogateescape")
    check(len(rows) == COUNT, f"{len(rows)} rows in QUERIES.csv")
    for row in rows:
        check(row["id"][0] not in "=+-@\t\r\uff1d", f"QUERIES.csv has a cell that begins with {row['id'][:1]!r}")
    # a spreadsheet: everything quoted, CRLF, byte-order mark, empty lines and cells at the end
    with open(dfal.at("answers.csv"), "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\ufeff")
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        writer.writerow(["id", "label", "annotator", "seconds", "status"])
        for row in rows:
            label = int(row["index"]) % CLASSES
            name = ("'" + classes[label]) if label < 2 else classes[label]
            writer.writerow([row["id"], name, "ann, the first", "2,5", "label"])
        writer.writerow([""] * 5)
        file.write("\r\n")
    facts = dfal.json("info", "pool.h5", "--labels", "answers.csv")
    check(facts["labelled"] == COUNT and facts["labelled_per_class"] == ["8", "8", "7", "7"], f"round trip: {facts}")
    shown, _ = dfal.run("-q", "select", "net.h5", "pool.h5", "--strategy", "random", "--count", COUNT, "-o", "r.csv")
    document = dfal.json("select", "net.h5", "pool.h5", "--strategy", "random", "--count", COUNT, "-o", "s.csv")
    found = {row["index"]: row["id"] for row in document}
    for index, name in enumerate(ids):
        if isinstance(name, str):
            check(found[index] == name, f"JSON has {found[index]!r} for {name!r}")
        else:
            check(found[index] is not None and "broken" in found[index], f"JSON has {found[index]!r} for {name!r}")
    told = shown + dfal.run("info", "pool.h5")[0] + dfal.run("info", "no\x1b\u202e\u009b", code=66)[1]
    check(not [c for c in told if c in "\x1b\u009b\u202e"], "the terminal is sent what it obeys")
    check(len(shown.splitlines()) == 22 and shown.splitlines()[-1] == f"{COUNT - 20} more in r.csv", "a row of the table is no line")


def foreign(dfal):
    """HDF5 files as h5py users write them, in place."""
    random = np.random.default_rng(7)
    write_linear(dfal.at("net.h5"), random.normal(size=(CLASSES, 60)), random.normal(size=CLASSES), (3, 4, 5))
    pixels = random.integers(0, 256, (COUNT, 4, 5, 3), dtype=np.uint8)
    labels = random.integers(0, CLASSES, COUNT)
    labels[:CLASSES] = range(CLASSES)
    straight = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    write_pool(dfal.at("own.h5"), straight, labels, class_count=CLASSES)
    with h5py.File(dfal.at("nhwc.h5"), "w") as file:
        file.create_dataset("images", data=pixels, chunks=(7, 4, 5, 3), compression="gzip")
        file["labels"] = labels.astype(np.int64)[:, None]
    with h5py.File(dfal.at("f64.h5"), "w") as file:
        file["x"] = straight / 255.0
        file["y"] = labels.astype(np.float64)
    with h5py.File(dfal.at("group.h5"), "w") as file:
        file["train/images"] = straight
        file["train/labels"] = labels.astype(np.uint8)
    cases = {"nhwc.h5": ("--samples-name", "images", "--layout", "NHWC"), "f64.h5": ("--samples-name", "x", "--labels-name", "y"),
             "group.h5": ("--samples-name", "train/images", "--labels-name", "train/labels")}
    expected = dfal.json("eval", "net.h5", "own.h5")
    dfal.run("-q", "score", "net.h5", "own.h5", "-o", "own-s.h5")
    with h5py.File(dfal.at("own-s.h5")) as file:
        margins = file["margin"][()]
    for name, words in cases.items():
        before = os.stat(dfal.at(name)).st_mtime_ns
        facts = dfal.json("info", name, *words)
        check((facts["samples"], facts["shape"], facts["labelled"], facts["class_count"], facts["format"]) ==
              (COUNT, "3 x 4 x 5", COUNT, CLASSES, "foreign HDF5"), f"info {name}: {facts}")
        check(facts["layout"] == ("NHWC" if "NHWC" in words else "NCHW"), f"info {name}: {facts['layout']}")
        document = dfal.json("eval", "net.h5", name, *words)
        check(document["confusion"] == expected["confusion"], f"eval of {name}: {document}")
        dfal.run("-q", "score", "net.h5", name, "-o", "s.h5", "--force", *words)
        with h5py.File(dfal.at("s.h5")) as file:
            check(np.allclose(file["margin"][()], margins, rtol=1e-4), f"margins of {name}")
            if name != "f64.h5":
                check(file["margin"][()].tobytes() == margins.tobytes(), f"the bits of {name}'s margins")
        dfal.run("-q", "select", "net.h5", name, "--strategy", "dfal", "--count", "3", "-o", "q.csv", "--force", "--scores",
                 "s.h5", *words)
        check(all(row["label"] != "-1" for row in rows_of(dfal.at("q.csv"))), f"the oracle's labels of {name}")
        check(before == os.stat(dfal.at(name)).st_mtime_ns, f"{name} was written to")
    with h5py.File(dfal.at("onehot.h5"), "w") as file:
        file["samples"] = straight
        file["labels"] = np.eye(CLASSES)[labels]
    for words in (("info", "onehot.h5"), ("eval", "net.h5", "onehot.h5"), ("score", "net.h5", "onehot.h5", "-o", "o.h5"),
                  ("select", "net.h5", "onehot.h5", "--strategy", "random", "--count", "2", "-o", "o.csv")):
        dfal.refuses(65, *words, says=("onehot.h5", "one-hot", "argmax"))
    dfal.refuses(65, "info", "nhwc.h5", says=("'samples'", "images, labels", "--samples-name"))
    dfal.refuses(65, "eval", "net.h5", "nhwc.h5", "--samples-name", "images", says=("[4,5,3]", "[3,4,5]"))
    dfal.refuses(65, "eval", "net.h5", "f64.h5", "--samples-name", "x", "--labels-name", "z", says="'z'")


def tables(dfal):
    """info of logits, twins and scores shows what they hold."""
    make(dfal, labels=np.arange(COUNT) % CLASSES)
    dfal.run("-q", "logits", "net.h5", "pool.h5", "-o", "l.h5")
    dfal.run("-q", "select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", "5", "-o", "q.csv", "--twins", "t.h5")
    facts = dfal.json("info", "l.h5")
    check(facts["/logits"] == f"[{COUNT}, {CLASSES}] f32" and facts["/id"] == f"[{COUNT}] text", f"logits: {facts}")
    facts = dfal.json("info", "t.h5")
    check(facts["/samples"] == "[5, 1, 3, 3] f32" and facts["/index"] == "[5] i64" and facts["format"] == "dfal-twins", f"{facts}")
    facts = dfal.json("info", "pool.h5")
    check(facts["scale"] == ["1"] and facts["offset"] == ["0"] and facts["ids"] == "fingerprint:row" and
          facts["id_first_last"] == [f"{facts['fingerprint'][:8]}:0", f"{facts['fingerprint'][:8]}:{COUNT - 1}"], f"pool: {facts}")
    facts = dfal.json("info", "q.csv")
    check((facts["format"], facts["kind"], facts["rows"]) == ("CSV", "queries of a selection", 5) and "--labels" in facts["next"]
          and facts["columns"][:3] == ["rank", "id", "index"], f"queries: {facts}")
    for text, kind, rows, word in (("id;label\n0;1\n1;\"2\n\"\n", "labels", 2, "--labels"), ("label,path\n", "a list of pictures", 0, "import images"),
                                   ("a,b\n1,2\n", "a table of another kind", 1, "id and label")):
        table(dfal, "t.csv", text)
        facts = dfal.json("info", "t.csv")
        check((facts["kind"], facts["rows"]) == (kind, rows) and word in facts["next"], f"{text!r}: {facts}")
    table(dfal, "t.csv", 'id,label\n"0,1\n')
    dfal.refuses(65, "info", "t.csv", says="t.csv:2")


def lists(dfal):
    """Lists are arrays in JSON, whole, with what has a comma or is long; in the table a line with commas that is cut."""
    names = ["tench, Tinca tinca", "d\u00f6g", "n" * 100] + [f"a class with the number {i}" for i in range(60)]
    write_pool(dfal.at("pool.h5"), np.zeros((70, 1, 3, 3), np.uint8), np.arange(70) % 63, class_count=63,
               scale=0.5, offset=-1)
    with h5py.File(dfal.at("pool.h5"), "a") as file:
        file["classes"] = names
    facts = dfal.json("info", "pool.h5")
    check(facts["classes"] == names and facts["labelled_per_class"] == ["2"] * 7 + ["1"] * 56, f"{facts}")
    out, _ = dfal.run("info", "pool.h5")
    lines = {line.split(" ", 1)[0]: line[25:] for line in out.splitlines()}
    check(lines["labelled_per_class"] == ", ".join(facts["labelled_per_class"]) and lines["scale"] == "0.5", out)
    shown = names[:2] + ["n" * 80 + "..."] + names[3:]
    check(lines["classes"].endswith(", ...") and len(lines["classes"]) <= 1010
          and ", ".join(shown).startswith(lines["classes"][:-3]), f"the line of classes: {lines['classes']}")


main({f.__name__: f for f in (carried, everywhere, disagreement, refusals, tables_of_others, evil, foreign, tables, lists)})
