#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad and unusual files through the command: one sentence, the code, nothing half-written."""
import gzip
import io
import os
import resource
import signal
import struct
import subprocess
import zipfile

import h5py
import numpy as np

from data import digits, make_pool, write_linear
from support import check, main, write_pool


def prepare(dfal):
    make_pool(dfal.at("pool.h5"), 64, 1)
    dfal.run("-q", "train", "--net", "lenet5", "pool.h5", "-o", "net.h5", "--epochs", "0")


def nothing_written(dfal, *names):
    for name in names:
        check(not os.path.exists(dfal.at(name)), f"{name} was left behind")


def broken_containers(dfal):
    prepare(dfal)
    with open(dfal.at("pool.h5"), "rb") as file:
        whole = file.read()
    with open(dfal.at("net.h5"), "rb") as file:
        network = file.read()
    cases = {"empty.h5": b"", "text.h5": b"not HDF5 at all\n" * 40, "zeros.h5": bytes(5000)}
    for part in (8, 100, len(whole) // 3, len(whole) - 200):
        cases[f"cut{part}.h5"] = whole[:part]
    for name, content in cases.items():
        with open(dfal.at(name), "wb") as file:
            file.write(content)
        dfal.refuses(65, "info", name, says=name)
        dfal.refuses(65, "eval", "net.h5", name, says=name)
        dfal.refuses(65, "score", "net.h5", name, "-o", "s.h5", says=name)
        dfal.refuses(65, "train", "--net", "lenet5", name, "-o", "n.h5", says=name)
    with open(dfal.at("cutnet.h5"), "wb") as file:
        file.write(network[:len(network) // 2])
    dfal.refuses(65, "score", "cutnet.h5", "pool.h5", "-o", "s.h5", says="cutnet.h5")
    dfal.refuses(66, "score", "net.h5", "none.h5", "-o", "s.h5", says="none.h5")
    dfal.refuses(66, "score", "none.h5", "pool.h5", "-o", "s.h5", says="none.h5")
    dfal.refuses(66, "train", "--net", "lenet5", "none.h5", "-o", "n.h5", says="none.h5")
    dfal.refuses(66, "import", "idx", "none-images", "-o", "p.h5", says="none-images")
    dfal.refuses(66, "merge", "none.h5", "-o", "s.h5", says="none.h5")
    dfal.refuses(66, "status", "none.h5", says="none.h5")
    nothing_written(dfal, "s.h5", "n.h5", "p.h5", "s.h5.parts", "n.h5.parts")


def swapped(dfal):
    prepare(dfal)
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "s.h5")
    dfal.refuses(65, "score", "pool.h5", "net.h5", "-o", "t.h5", says="pool")
    dfal.refuses(65, "eval", "pool.h5", "net.h5", says="pool")
    dfal.refuses(65, "eval", "pool.h5", "pool.h5", says=("pool.h5", "network"))
    dfal.refuses(65, "eval", "net.h5", "net.h5", says=("net.h5", "pool"))
    dfal.refuses(65, "eval", "net.h5", "s.h5", says="s.h5")
    dfal.refuses(65, "verify", "pool.h5", says="pool.h5")
    dfal.refuses(65, "merge", "net.h5", "-o", "t.h5", says="net.h5")
    dfal.refuses(65, "train", "--net", "pool.h5", "pool.h5", "-o", "n.h5", says="pool.h5")
    nothing_written(dfal, "t.h5", "n.h5")


def lying_pools(dfal):
    """Storage elsewhere, sizes that the file does not hold, chunks never written."""
    prepare(dfal)
    samples, labels = digits(8, 3)

    def pool(name):
        file = h5py.File(dfal.at(name), "w")
        file.attrs.update({"format": "dfal-pool", "version": 1, "class_count": 10, "scale": np.array([1 / 255]),
                           "offset": np.array([0.0])})
        return file

    with pool("huge.h5") as file:
        file.create_dataset("samples", (2**40, 1, 28, 28), "u1", chunks=(1, 1, 28, 28))
    with pool("hole.h5") as file:
        made = file.create_dataset("samples", (8, 1, 28, 28), "u1", chunks=(2, 1, 28, 28))
        made[:2] = samples[:2]
    with pool("external.h5") as file:
        with open(dfal.at("raw.bin"), "wb") as raw:
            raw.write(samples.tobytes())
        file.create_dataset("samples", data=None, shape=samples.shape, dtype="u1",
                            external=[(dfal.at("raw.bin"), 0, h5py.h5f.UNLIMITED)])
    with pool("link.h5") as file:
        os.makedirs(dfal.at("elsewhere"), exist_ok=True)
        write_pool(dfal.at("elsewhere/real.h5"), samples, labels)
        file["samples"] = h5py.ExternalLink("elsewhere/real.h5", "/samples")
    for name in ("huge.h5", "hole.h5", "external.h5", "link.h5"):
        dfal.refuses(65, "score", "net.h5", name, "-o", "s.h5", says=name)
        dfal.refuses(65, "eval", "net.h5", name, says=name)
    nothing_written(dfal, "s.h5", "s.h5.parts")


def wrong_shapes(dfal):
    prepare(dfal)
    samples, labels = digits(8, 3)
    write_pool(dfal.at("flat.h5"), samples.reshape(8, 784), labels)
    write_pool(dfal.at("text.h5"), np.array([b"a", b"b"]), None)
    write_pool(dfal.at("short.h5"), samples, labels[:5])
    write_pool(dfal.at("badlabel.h5"), samples, np.where(np.arange(8) == 5, 12, labels))
    write_pool(dfal.at("lowlabel.h5"), samples, np.where(np.arange(8) == 5, -2, labels))
    write_pool(dfal.at("version.h5"), samples, labels, version=7)
    write_pool(dfal.at("classes.h5"), samples, labels, class_count=0)
    for name in ("flat.h5", "text.h5", "short.h5", "badlabel.h5", "lowlabel.h5", "version.h5", "classes.h5"):
        dfal.refuses(65, "eval", "net.h5", name, says=name)
    dfal.refuses(65, "eval", "net.h5", "badlabel.h5", says="12")
    dfal.refuses(65, "eval", "net.h5", "version.h5", says="7")
    write_pool(dfal.at("small.h5"), samples[:, :, :20, :20], labels)
    dfal.refuses(65, "score", "net.h5", "small.h5", "-o", "s.h5", says=("28", "20"))
    dfal.refuses(65, "eval", "net.h5", "small.h5", says=("28", "20"))
    write_pool(dfal.at("tiny.h5"), samples[:, :, :6, :6], labels)
    dfal.refuses(65, "train", "--net", "lenet5", "tiny.h5", "-o", "n.h5", says="6")
    write_pool(dfal.at("zero.h5"), samples[:0], labels[:0])
    for words in (("eval", "net.h5", "zero.h5"), ("score", "net.h5", "zero.h5", "-o", "s.h5"),
                  ("train", "--net", "lenet5", "zero.h5", "-o", "n.h5"), ("logits", "net.h5", "zero.h5", "-o", "l.h5")):
        dfal.refuses(65, *words, says="zero.h5")
    write_pool(dfal.at("one.h5"), samples, np.full(8, 3))
    dfal.refuses(65, "train", "--net", "lenet5", "one.h5", "-o", "n.h5", says=("one.h5", "class"))
    write_pool(dfal.at("unlabelled.h5"), samples, None)
    dfal.refuses(65, "train", "--net", "lenet5", "unlabelled.h5", "-o", "n.h5", says="unlabelled.h5")
    dfal.refuses(65, "eval", "net.h5", "unlabelled.h5", says="unlabelled.h5")
    dfal.refuses(65, "train", "--net", "lenet5", "pool.h5", "-o", "n.h5", "--subset", "65", says=("65", "64"))
    dfal.refuses(64, "score", "net.h5", "pool.h5", "-o", "s.h5", "--range", "60:65", says=("65", "64"))
    nothing_written(dfal, "s.h5", "n.h5", "l.h5")


def label_files(dfal):
    prepare(dfal)
    samples, labels = digits(6, 3)
    write_pool(dfal.at("ids.h5"), samples, None)
    with h5py.File(dfal.at("ids.h5"), "a") as file:
        file["ids"] = [f"img{i}" for i in range(6)]

    def table(name, text):
        with open(dfal.at(name), "w", encoding="utf-8") as file:
            file.write(text)

    table("good.csv", "id,label,status\n" + "".join(f"img{i},{labels[i]},label\n" for i in range(4)) + "img5,3,skip\n")
    document = dfal.json("eval", "net.h5", "ids.h5", "--labels", "good.csv")
    check(document["samples"] == 4, f"four rows have labels, eval counts {document['samples']}")
    table("unknown.csv", "id,label\nimg0,1\nimg99,2\n")
    dfal.refuses(65, "eval", "net.h5", "ids.h5", "--labels", "unknown.csv", says=("unknown.csv", "img99", "3"))
    table("class.csv", "id,label\nimg0,1\nimg1,11\n")
    dfal.refuses(65, "eval", "net.h5", "ids.h5", "--labels", "class.csv", says=("class.csv", "11", "3"))
    table("header.csv", "name,label\nimg0,1\n")
    dfal.refuses(65, "eval", "net.h5", "ids.h5", "--labels", "header.csv", says="header.csv")
    dfal.refuses(66, "eval", "net.h5", "ids.h5", "--labels", "none.csv", says="none.csv")


def nonfinite(dfal):
    """A bad pixel costs its own row only."""
    random = np.random.default_rng(2)
    clean = random.normal(size=(40, 1, 3, 3)).astype(np.float32)
    write_linear(dfal.at("net.h5"), random.normal(size=(4, 9)), random.normal(size=4), (1, 3, 3))
    dirty = clean.copy()
    dirty[7, 0, 1, 1], dirty[20, 0, 0, 0], dirty[21, 0, 2, 2] = np.nan, np.inf, -np.inf
    write_pool(dfal.at("clean.h5"), clean, None, class_count=4)
    write_pool(dfal.at("dirty.h5"), dirty, None, class_count=4)
    for name in ("clean", "dirty"):
        dfal.run("-q", "score", "net.h5", f"{name}.h5", "-o", f"{name}-s.h5")
    with h5py.File(dfal.at("clean-s.h5")) as a, h5py.File(dfal.at("dirty-s.h5")) as b:
        bad = [7, 20, 21]
        names = [name.decode() if isinstance(name, bytes) else name for name in np.ravel(b["status"].attrs["names"])]
        names = names[0].replace(",", " ").split() if len(names) == 1 else names
        check(all(names[s] == "NONFINITE" for s in b["status"][()][bad]), "a bad pixel is not NONFINITE")
        check(np.all(np.isposinf(b["margin"][()][bad])) and np.all(b["label"][()][bad] == -1), "margin or label of a bad row")
        good = np.setdiff1d(np.arange(40), bad)
        for key in ("margin", "status", "label", "adversarial_class", "iterations", "first_margin", "logit_gap"):
            check(a[key][()][good].tobytes() == b[key][()][good].tobytes(), f"a bad pixel changed {key} of another row")
    document = dfal.json("score", "net.h5", "dirty.h5", "-o", "dirty-s.h5", "--force")
    check(document["status"]["NONFINITE"] == 3, f"statuses {document['status']}")


def evaluation_of_nonfinite(dfal):
    """Rows that are not finite are left out of an evaluation, and said; what is left is as if they were not there."""
    random = np.random.default_rng(3)
    weight = random.normal(size=(4, 9))
    weight[2] *= 1e38  # a logit may overflow where the input does not
    write_linear(dfal.at("net.h5"), weight, random.normal(size=4), (1, 3, 3))
    samples = random.normal(size=(40, 1, 3, 3)).astype(np.float32) * 1e-38
    labels = random.integers(0, 4, 40)
    bad = {7: np.nan, 20: np.inf, 21: -np.inf, 30: 1e30}
    good = np.setdiff1d(np.arange(40), list(bad))
    write_pool(dfal.at("clean.h5"), samples[good], labels[good], class_count=4)
    for row, value in bad.items():
        samples[row, 0, 1, 1] = value
    write_pool(dfal.at("dirty.h5"), samples, labels, class_count=4)
    write_pool(dfal.at("none.h5"), samples[list(bad)], labels[list(bad)], class_count=4)
    clean, dirty = dfal.json("eval", "net.h5", "clean.h5"), dfal.json("eval", "net.h5", "dirty.h5")
    check(clean.pop("nonfinite") == 0 and dirty.pop("nonfinite") == 4 and clean == dirty, f"{clean} and {dirty}")
    check(dirty["samples"] == 36 and list(dirty)[:5] == ["samples", "unlabelled", "accuracy", "loss", "confusion"], f"{dirty}")
    out, err = dfal.run("eval", "net.h5", "dirty.h5")
    check("dirty.h5: 4 of 40 labelled rows are left out" in err, f"no warning: {err}")
    check("nonfinite            4" in out, out)
    dfal.refuses(65, "eval", "net.h5", "none.h5", says=("none.h5", "none of the 4", "finite"))
    for name in ("clean", "dirty"):
        document = dfal.json("score", "net.h5", f"{name}.h5", "-o", f"{name}-s.h5")
        check(abs(document["accuracy"] - clean["accuracy"]) < 1e-12, f"{name}: the accuracy of scores counts bad rows")


def torch_archive(*names):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, b"\x80\x02.")
    return made.getvalue()


def kinds(dfal):
    """What is no file of dfal's is named, with what to do about it."""
    prepare(dfal)
    torch, keras = "examples/export_torch.py", "tf2onnx"
    npy = io.BytesIO()
    np.save(npy, np.zeros((2, 3)))
    files = {
        "script.pt": (torch_archive("m/data.pkl", "m/code/__torch__.py", "m/constants.pkl"), "TorchScript", torch),
        "state.pt": (torch_archive("archive/data.pkl", "archive/data/0"), "a checkpoint of PyTorch (weights", torch),
        "new.pt2": (torch_archive("m/archive_format", "m/models/model.json"), "torch.export", torch),
        "old.pth": (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "an old PyTorch", torch),
        "m.keras": (torch_archive("metadata.json", "config.json", "model.weights.h5"), "Keras", keras),
        "m.safetensors": (struct.pack("<Q", 20) + b'{"a": {"dtype": "F"}}' + bytes(40), "safetensors", torch),
        # The first two bytes of its length could be those of an ONNX model.
        "long.safetensors": (struct.pack("<Q", 0x308) + b'{"a": {"dtype": "F"}}'.ljust(0x308) + bytes(40), "safetensors", torch),
        "m.tflite": (b"\x1c\0\0\0TFL3" + bytes(40), "TensorFlow Lite", keras),
        "saved_model.pb": (b"\x08\x01\x12\x80\x01" + bytes(40), "SavedModel", keras),
        "frozen.pb": (b"\x0a\x20\x0a\x05input\x12\x0bPlaceholder\x80\xff", "a graph of TensorFlow", keras),
        "x.npy": (npy.getvalue(), "an array of numpy", "dfal import npy"),
        "x.npz": (torch_archive("samples.npy"), "an archive of numpy", "dfal import npz"),
        "x.zip": (torch_archive("a.txt"), "a zip archive", "unpack"),
        "x.pkl": (b"\x80\x04\x95\x0b" + bytes(20) + b".", "a pickle", "program"),
        "x.gz": (gzip.compress(b"x" * 100), "gzip", "unpack"),
        "x.png": (b"\x89PNG\r\n\x1a\n" + bytes(40), "a picture (PNG)", "dfal import images"),
        "x.jpg": (b"\xff\xd8\xff\xe0" + bytes(40), "a picture (JPEG)", "dfal import images"),
        "idx": (struct.pack(">iii", 0x803, 1, 2) + b"xy", "an IDX file", "dfal import idx"),
        "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "a pointer of Git LFS", "git lfs pull"),
        "page": (b"\n<!DOCTYPE HTML>\n<html>404</html>\n", "a web page", "download"),
        "x.json": (b'{"a": 1}\n', "JSON", ""),
        "x.csv": (b"id,label\n1,2\n", "with columns (CSV)", ""),
        "x.txt": ("Grüße\n".encode() * 900, "a text file", ""),
        "zeros": (bytes(5000), "zeros", "cut short"),
    }
    for name, (content, what, advice) in files.items():
        with open(dfal.at(name), "wb") as file:
            file.write(content)
        if name != "x.csv":  # which info tells about
            dfal.refuses(65, "info", name, says=(name, what, advice))
    for name in ("state.pt", "lfs", "m.safetensors"):
        what, advice = files[name][1:]
        dfal.refuses(65, "score", name, "pool.h5", "-o", "s.h5", says=(name, what, advice))
        os.rename(dfal.at(name), dfal.at("m.onnx"))
        dfal.refuses(65, "score", "m.onnx", "pool.h5", "-o", "s.h5", says=("m.onnx", what, advice))
        dfal.refuses(65, "import", "onnx", "m.onnx", "-o", "n.h5", says=("m.onnx", what, advice))
    # Each where something else is expected.
    for name, words in {"x.npz": ("eval", "net.h5", "x.npz"), "x.csv": ("verify", "net.h5", "pool.h5", "--against", "x.csv"),
                        "x.png": ("import", "npy", "x.png", "-o", "p.h5"), "x.npy": ("import", "idx", "x.npy", "-o", "p.h5"),
                        "x.zip": ("import", "images", "x.zip", "-o", "p.h5"), "page": ("import", "npz", "page", "-o", "p.h5"),
                        "x.gz": ("eval", "net.h5", "pool.h5", "--labels", "x.gz")}.items():
        dfal.refuses(65, *words, says=(name, *files[name][1:]))
    dfal.refuses(65, "select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", "2", "--scores", "x.npy", "-o", "q.csv",
                 says=("x.npy", "an array of numpy"))
    # A model of ONNX that does not name its producer, nor has an ending.
    with open(dfal.at("bare"), "wb") as file:
        file.write(b"\x08\x08\x3a\x05" + bytes(40))
    dfal.refuses(65, "eval", "net.h5", "bare", says=("bare", "an ONNX model", "a network is expected"))
    # HDF5 of others, folders, and dfal's own files in one another's place.
    with h5py.File(dfal.at("keras.h5"), "w") as file:
        file.attrs["keras_version"] = "2.15"
        file.create_group("model_weights")
    os.makedirs(dfal.at("saved"))
    os.rename(dfal.at("saved_model.pb"), dfal.at("saved/saved_model.pb"))
    dfal.refuses(65, "eval", "keras.h5", "pool.h5", says=("keras.h5", "Keras", keras))
    dfal.refuses(65, "info", "keras.h5", says=("keras.h5", "Keras", keras))
    dfal.refuses(65, "info", "saved", says=("saved", "SavedModel", keras))
    dfal.refuses(65, "eval", "saved", "pool.h5", says=("saved", "SavedModel", keras))
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "s.h5")
    dfal.refuses(65, "eval", "s.h5", "pool.h5", says=("s.h5", "dfal scores", "expected a dfal network"))
    dfal.refuses(65, "eval", "net.h5", "net.h5", says=("net.h5", "dfal network", "expected a dfal pool"))
    dfal.refuses(65, "eval", "net.h5", "m.onnx", says="m.onnx")
    nothing_written(dfal, "n.h5", "p.h5", "q.csv")
    os.makedirs(dfal.at("pictures"))
    dfal.refuses(65, "score", "net.h5", "pictures", "-o", "no.h5", says=("a folder", "dfal import images"))
    dfal.refuses(78, "run", "x.png", "-o", "no", says=("a picture (PNG)", "YAML configuration"))
    dfal.refuses(78, "run", "pool.h5", "-o", "no", says=("an HDF5 file", "YAML configuration"))
    with open(dfal.at("some.yaml"), "w", encoding="ascii") as file:
        file.write("options: {foo: {subsample: 3}}\n")
    dfal.refuses(78, "run", "some.yaml", "-o", "no", says="expected dfal, random, entropy, least-confidence, margin, logit-gap, egl, egl-last, bald, coreset, coreset-greedy, nearest-other, badge, "
                 "dfal-diverse, typiclust, cluster-margin, batchbald, ceal, dfal+ceal, balanced, qbdc or command")


def run_directories(dfal):
    """Who wants a run directory says in one way that this is none: 65, and 66 where nothing is."""
    prepare(dfal)
    os.makedirs(dfal.at("pictures"))
    with open(dfal.at("pictures/a.txt"), "w", encoding="ascii") as file:
        file.write("no configuration\n")
    with open(dfal.at("q.csv"), "w", encoding="ascii") as file:
        file.write("id,label\n")
    resume = ("run", "--preset", "quickstart", "--train", "pool.h5", "--test", "pool.h5", "--resume", "-o")
    for words, behind in ((("info",), ()), (("status",), ()), (("report",), ("-o", "r.html")), (resume, ())):
        dfal.refuses(65, *words, "pictures", *behind, says="pictures: a folder without config.yaml, expected a run directory")
        dfal.refuses(66, *words, "none", *behind, says="none")
    for words, behind in ((("report",), ("-o", "r.html")), (resume, ())):
        dfal.refuses(66, *words, "none", *behind, says="none: no such folder, expected a run directory")
        dfal.refuses(65, *words, "pool.h5", *behind, says="pool.h5 is an HDF5 file, expected a folder with config.yaml: a run directory")
        dfal.refuses(65, *words, "q.csv", *behind, says="q.csv is a text file with columns")
    dfal.refuses(73, *resume[:-2], "-o", "pictures", says="the folder holds other files")
    nothing_written(dfal, "r.html", "none", "pictures/config.yaml")


def scaling(dfal):
    prepare(dfal)
    samples, labels = digits(8, 3)
    write_pool(dfal.at("other.h5"), samples, labels, scale=1 / 128, offset=-1.0)
    _, err = dfal.run("-q", "eval", "net.h5", "other.h5")
    check("warning:" in err and "0.0078125" in err and "0.0039215" in err, f"another scaling: {err}")


def check_trained_candidates(dfal):
    """A selection warns where rows that trained the network must be among its candidates, and only then."""
    samples, labels = digits(60, 1)
    write_pool(dfal.at("bare.h5"), samples)
    bare = dfal.json("info", "bare.h5")["fingerprint"]
    for name, count in (("some.csv", 5), ("all.csv", 20)):
        with open(dfal.at(name), "w", encoding="ascii") as file:
            file.write("id,label\n" + "".join(f"{bare[:8]}:{row},{labels[row]}\n" for row in range(count)))

    def told(pool, labels):
        words = ("--labels", labels) if labels else ()
        return dfal.run("-q", "select", "net.h5", pool, *words, "--strategy", "random", "--count", "2", "-o", "q.csv", "--force")[1]

    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "1", "--subset", "20", "--force")
    for pool, labels, says in (("train.h5", None, "at least 20 of the 60 candidates"), ("bare.h5", None, "at least 20 of the 60 candidates"),
                               ("train.h5", "some.csv", "at least 15 of the 55 candidates"),
                               ("bare.h5", "some.csv", "at least 15 of the 55 candidates"), ("train.h5", "all.csv", None),
                               ("bare.h5", "all.csv", None), ("test.h5", None, None)):
        err = told(pool, labels)
        check(f"net.h5 was trained on rows of {pool}: {says}" in err and "--labels" in err and err.count("\n") == 1 if says
              else err == "", f"select of {pool}, labels {labels}: {err}")
    with h5py.File(dfal.at("net.h5"), "r+") as file:  # as `run` writes it: how many rows nobody says
        file.attrs["configuration"] = ""
    check("are among the 60 candidates" in told("train.h5", None), "a network of a run is selected with in silence")
    check(told("train.h5", "some.csv") == "", "labelled rows that may be all that trained the network are warned of")


def same_pools(dfal):
    """What a network was trained on is no test of it: said, and only then."""
    make_pool(dfal.at("train.h5"), 60, 1)
    make_pool(dfal.at("again.h5"), 60, 1)
    make_pool(dfal.at("test.h5"), 60, 2)
    for epochs, words in ((0, None), (1, "was trained on rows of")):
        dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", epochs, "--force")
        for pool in ("train.h5", "again.h5", "test.h5"):
            _, err = dfal.run("-q", "eval", "net.h5", pool)
            check((words or "?") in err if words and pool != "test.h5" else err == "", f"{epochs} epochs, eval of {pool}: {err}")
    check_trained_candidates(dfal)
    line = ("run", "--preset", "quickstart", "--train", "train.h5", "-o", "d", "--force", "--set", "strategies=[random]", "--set", "trials=1",
            "--set", "annotations=20", "--set", "training.epochs=1", "--set", "training.restarts=1")
    for pool in ("again.h5", "test.h5"):
        _, err = dfal.run("-q", *line, "--test", pool)
        check(("hold the same samples" in err) == (pool == "again.h5"), f"run tested on {pool}: {err}")


def outputs(dfal):
    prepare(dfal)
    make_pool(dfal.at("target.h5"), 8, 1)
    lines = (("synth", "-n", "20"), ("train", "--net", "lenet5", "--epochs", "0", "pool.h5"),
             ("logits", "net.h5", "pool.h5"), ("score", "net.h5", "pool.h5"),
             ("select", "net.h5", "pool.h5", "--strategy", "random", "--count", "2"))
    with open(dfal.at("target.h5"), "rb") as file:
        before = file.read()
    with open(dfal.at("plain"), "w", encoding="ascii") as file:
        file.write("a file where a folder is wanted\n")
    for words in lines:
        dfal.refuses(73, *words, "-o", "target.h5", says="target.h5")
        dfal.refuses(73, *words, "-o", "missing/out.h5", says="missing")
        dfal.refuses(73, *words, "-o", "plain/out.h5", says="plain")
        with open(dfal.at("target.h5"), "rb") as file:
            check(file.read() == before, f"{words[0]} touched an existing output")
    # unfinished work of one job is not swept away by another
    for words, name in ((lines[3], "state.h5"), (lines[1], "000000.h5")):
        os.mkdir(dfal.at("other.h5.parts"))
        with open(dfal.at("other.h5.parts/" + name), "wb") as file:
            file.write(b"work")
        dfal.refuses(78, *words, "-o", "other.h5", says=name)
        check(os.path.exists(dfal.at("other.h5.parts/" + name)), f"{words[0]} swept {name} away")
        dfal.run("-q", *words, "-o", "other.h5", "--force")
        os.remove(dfal.at("other.h5"))
    for words in lines:
        if words[0] == "select":
            continue
        dfal.run("-q", *words, "-o", "target.h5", "--force")
        with open(dfal.at("target.h5"), "rb") as file:
            check(file.read() != before, f"{words[0]} --force did not replace the output")


def poisoned_memory(dfal):
    """glibc fills freed memory: a file that is written touches none of it, from the first call to the last."""
    prepare(dfal)
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "s.h5", environment={"MALLOC_PERTURB_": "165"})


def full_disk(dfal):
    """A file may not grow past a limit: 74, and nothing is left."""
    prepare(dfal)
    make_pool(dfal.at("many.h5"), 3000, 2)

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))

    for words in (("synth", "-n", "3000"), ("train", "--net", "lenet5", "--epochs", "0", "pool.h5"),
                  ("logits", "net.h5", "many.h5"), ("score", "net.h5", "many.h5")):
        done = subprocess.run([dfal.path, "-q", *words, "-o", "out.h5"], cwd=dfal.folder, capture_output=True,
                              preexec_fn=limit, check=False)
        check(done.returncode == 74, f"{words[0]} on a full disk: {done.returncode}, expected 74: {done.stderr}")
        check(len(done.stderr.splitlines()) == 1, f"{words[0]}: {done.stderr}")
        left = [name for name in os.listdir(dfal.folder) if name.startswith("out.h5") and name != "out.h5.parts"]
        check(not left, f"{words[0]} on a full disk left {left}")


def full_tmpfs(dfal):
    """A file system of 100 KB runs full, where H5Fclose does not tell; needs a mount namespace."""
    prepare(dfal)
    make_pool(dfal.at("many.h5"), 3000, 2)
    os.makedirs(dfal.at("small"))

    def inside(script):
        mount = 'mount -t tmpfs -o size=100k none small && '
        return subprocess.run(["unshare", "--mount", "sh", "-c", mount + script], cwd=dfal.folder, capture_output=True,
                              text=True, check=False)

    if inside("true").returncode != 0:
        print("full_tmpfs: not run because a tmpfs cannot be mounted here", flush=True)
        return
    for words in ("synth -n 3000", "train --net lenet5 --epochs 0 pool.h5", "logits net.h5 many.h5",
                  "score net.h5 many.h5"):
        done = inside(f"{dfal.path} -q {words} -o small/out.h5; code=$?; ls -A small; exit $code")
        check(done.returncode == 74, f"{words} on a full tmpfs: {done.returncode}, expected 74: {done.stderr}")
        check(len(done.stderr.splitlines()) == 1 and "out.h5" in done.stderr, f"{words}: {done.stderr}")
        left = [name for name in done.stdout.split() if name != "out.h5.parts"]
        check(not left, f"{words} on a full tmpfs left {left}")


def idx_files(dfal):
    def idx(kind, *sizes):
        return struct.pack(">HBB", 0, kind, len(sizes)) + struct.pack(f">{len(sizes)}I", *sizes)

    samples, labels = digits(30, 5)
    images = idx(8, 30, 28, 28) + samples.tobytes()
    marks = idx(8, 30) + labels.astype(np.uint8).tobytes()

    def write(name, content):
        with (gzip.open if name.endswith(".gz") else open)(dfal.at(name), "wb") as file:
            file.write(content)

    write("images", images)
    write("labels", marks)
    write("images.gz", images)
    write("labels.gz", marks)
    dfal.run("-q", "import", "idx", "images", "labels", "-o", "plain.h5")
    dfal.run("-q", "import", "idx", "images.gz", "labels.gz", "-o", "packed.h5")
    for name in ("plain.h5", "packed.h5"):
        with h5py.File(dfal.at(name)) as file:
            check(np.array_equal(file["samples"][()], samples), f"{name}: samples differ")
            check(np.array_equal(file["labels"][()], labels), f"{name}: labels differ")
            check(file.attrs["class_count"] == 10, f"{name}: class_count {file.attrs['class_count']}")
    broken = {"cut": images[:-1], "head": images[:9], "none": b"", "magic": b"\1" + images[1:],
              "kind": idx(13, 30, 28, 28) + samples.tobytes(), "huge": idx(8, 2**32 - 1, 2**31, 28) + b"abc",
              "nothing": idx(8, 0, 28, 28)}
    for name, content in broken.items():
        write(name, content)
        dfal.refuses(65, "import", "idx", name, "labels", "-o", "out.h5", says=name)
    write("cut.gz", images)
    with open(dfal.at("cut.gz"), "rb") as file:
        packed = file.read()
    with open(dfal.at("cut.gz"), "wb") as file:
        file.write(packed[:len(packed) // 2])
    dfal.refuses(65, "import", "idx", "cut.gz", "-o", "out.h5", says="cut.gz")
    write("few", idx(8, 29) + labels[:29].astype(np.uint8).tobytes())
    dfal.refuses(65, "import", "idx", "images", "few", "-o", "out.h5", says=("29", "30"))
    dfal.refuses(65, "import", "idx", "labels", "images", "-o", "out.h5")
    nothing_written(dfal, "out.h5")


def configurations(dfal):
    make_pool(dfal.at("a.h5"), 60, 1)
    good = "data: {train: a.h5, test: a.h5}\nnetwork: lenet5\nstrategies: [random]\ninitial: 10\n"

    def refuses(text, *says):
        with open(dfal.at("c.yaml"), "w", encoding="utf-8") as file:
            file.write(text)
        dfal.refuses(78, "run", "c.yaml", "-o", "d", says=("c.yaml", *says))

    refuses(good + "qury: 10\n", "qury", "query", "5")
    refuses(good + "initial: 20\n", "initial", "5")
    refuses(good + "query: 10.5\n", "10.5")
    refuses(good + "query: 010\n", "010")
    refuses(good + "training: {lr: nan}\n", "nan")
    refuses(good + "query: [1, 2]\n", "query")
    refuses(good + "query: &a 3\nannotations: *a\n")
    refuses("data: {train: a.h5\n")
    with open(dfal.at("c.yaml"), "w", encoding="utf-8") as file:
        file.write(good)
    dfal.refuses(64, "run", "c.yaml", "-o", "d", "--set", "qury=3", says=("qury", "query"))
    dfal.refuses(64, "run", "c.yaml", "-o", "d", "--set", "query=10.5", says="10.5")
    dfal.refuses(64, "run", "--preset", "paper-mnist-lenet", "-o", "d", says="paper-mnist-lenet5")
    dfal.refuses(66, "run", "none.yaml", "-o", "d", says="none.yaml")
    prepare(dfal)
    dfal.refuses(64, "select", "net.h5", "pool.h5", "--strategy", "dfa", "--count", "3", "-o", "q.csv", says=("dfa", "dfal"))
    out, _ = dfal.run("-q", "run", "c.yaml", "--set", "trials=2", "--print-config")
    check("trials: 2" in out and "lenet5" in out, f"--print-config: {out}")
    dfal.refuses(64, "--json", "run", "c.yaml", "--print-config", says="YAML")
    nothing_written(dfal, "d", "q.csv")


main({f.__name__: f for f in (broken_containers, swapped, lying_pools, wrong_shapes, label_files, nonfinite,
                              evaluation_of_nonfinite, kinds, run_directories, scaling, same_pools, outputs, poisoned_memory, full_disk, full_tmpfs,
                              idx_files, configurations)})
