#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`dfal import images`: folders and lists, labels, every bad input, kills."""
import csv
import glob
import os
import shutil
import signal
import struct
import subprocess
import time
import zlib

import h5py
import numpy as np

from data import chunk, png
from support import check, main, same_bits

SEEDS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fuzz", "seeds", "image")
RESIZE = ("--resize", "16", "--crop", "12")


def write(dfal, name, content):
    path = dfal.at(name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def folder(dfal, name="in", count=12, classes=3, side=20):
    """COUNT pictures in class folders; returns {id: pixels}."""
    random = np.random.default_rng(5)
    made = {}
    for i in range(count):
        key = f"class{i % classes}/{i:03d}.png"
        made[key] = random.integers(0, 256, (side, side + i % 3, 3)).astype(np.uint8)
        write(dfal, f"{name}/{key}", png(made[key]))
    return made


def texts(dataset):
    return [text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text for text in dataset[()]]


def no_output(dfal, out="pool.h5"):
    left = [name for name in os.listdir(dfal.folder) if name.startswith(out.removesuffix(".h5"))]
    check(not left, f"left behind: {left}")


def folders(dfal):
    made = folder(dfal)
    write(dfal, "in/readme.txt", b"no picture")
    write(dfal, "in/.thumbs/000.png", b"hidden")
    write(dfal, "in/class0/.000.png", b"hidden")
    document = dfal.json("import", "images", "in", "-o", "pool.h5", "--crop", "16", "--folders-are-classes",
                         "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")
    check(document["samples"] == 12 and document["skipped"] == 0 and document["other_files"] == 1, f"{document}")
    check(document["shape"] == [3, 16, 16] and document["classes"] == 3, f"{document}")
    with h5py.File(dfal.at("pool.h5")) as file:
        ids = texts(file["ids"])
        check(ids == sorted(made), f"ids {ids}")
        check(texts(file["classes"]) == ["class0", "class1", "class2"], "classes")
        check(file["labels"][()].tolist() == [int(key[5]) for key in ids], "labels")
        check(np.allclose(file.attrs["scale"], 1 / (255 * np.array([0.229, 0.224, 0.225])), rtol=1e-15), "scale")
        check(np.allclose(file.attrs["offset"], -np.array([0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], rtol=1e-15),
              "offset")
        for row, key in enumerate(ids):
            height, width = made[key].shape[:2]
            y, x = round((height - 16) / 2), round((width - 16) / 2)
            check(np.array_equal(file["samples"][row], made[key][y:y + 16, x:x + 16].transpose(2, 0, 1)), f"{key} differs")
    # labelled pools go through the rest of the tool
    dfal.run("-q", "train", "--net", "lenet5", "pool.h5", "-o", "net.h5", "--epochs", "1")
    check(dfal.json("eval", "net.h5", "pool.h5")["samples"] == 12, "eval of an imported pool")
    for threads in (1, 2, 5):
        dfal.run("-q", "import", "images", "in/", "-o", f"t{threads}.h5", *RESIZE, "--threads", threads)
    same_bits(dfal.at("t1.h5"), dfal.at("t2.h5"))
    same_bits(dfal.at("t1.h5"), dfal.at("t5.h5"))
    dfal.refuses(73, "import", "images", "in", "-o", "pool.h5", *RESIZE, says="pool.h5")
    dfal.run("-q", "import", "images", "in", "-o", "pool.h5", *RESIZE, "--force")


def bytes_scaling(dfal):
    """Means and deviations of pixels of 0 to 255 are taken at their word, but not silently."""
    folder(dfal, count=2, classes=1)
    line = ("--force", "import", "images", "in", "-o", "pool.h5", "--crop", "8")
    _, err = dfal.run(*line, "--mean", "123.675,116.28,103.53", "--std", "58.395,57.12,57.375")
    check("--mean 123.675,116.28,103.53" in err and "--mean 0.485,0.456,0.406" in err, err)
    check("--std 58.395,57.12,57.375" in err and "--std 0.229,0.224,0.225" in err, err)
    with h5py.File(dfal.at("pool.h5")) as file:
        check(np.allclose(file.attrs["offset"], -np.array([123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]), "offset")
    _, err = dfal.run(*line, "--mean", "0.485,0.456,0.406", "--std", "1")
    check("0 to 255" not in err, f"a warning about values of 0 to 1: {err}")


def names(dfal):
    """--class-names gives an unlabelled pool its classes, and a labelled one their order."""
    folder(dfal)
    line = ("import", "images", "in", "-o", "pool.h5", "--crop", "16", "--force", "--class-names", "names.txt")
    write(dfal, "names.txt", "\ufeffclass2\r\nclass0\r\nclass1\r\nnone of them\r\n\r\n\r\n".encode())
    dfal.run("-q", *line)
    with h5py.File(dfal.at("pool.h5")) as file:
        check(texts(file["classes"]) == ["class2", "class0", "class1", "none of them"], "classes of an unlabelled pool")
        check(int(file.attrs["class_count"]) == 4 and "labels" not in file, "an unlabelled pool got labels")
    write(dfal, "labels.csv", b"id,label\nclass0/000.png,none of them\n")
    check(dfal.json("info", "pool.h5", "--labels", "labels.csv")["labelled"] == 1, "a label by name")
    dfal.run("-q", *line, "--folders-are-classes")
    with h5py.File(dfal.at("pool.h5")) as file:
        check(file["labels"][()].tolist() == [(int(key[5]) + 1) % 3 for key in texts(file["ids"])], "labels")
    for content, says in ((b"class0\nclass1\n", "class2"), (b"a\n\nb\n", "names.txt:2"), (b"a\nb\na\n", "names.txt:3"),
                          (b"one\n", "at least two"), (b"", "at least two"), (b"a\0b\n", "zero byte")):
        write(dfal, "names.txt", content)
        dfal.refuses(65, *line, "--folders-are-classes", says=says)
    dfal.refuses(66, *line[:-1], "missing.txt", says="missing.txt")
    # Many names cost no more than sorting them, and the limit itself is no row too far.
    write(dfal, "names.txt", "".join(f"name {i}\n" for i in range(99997)).encode() + b"class2\nclass0\nclass1\n")
    dfal.run("-q", *line, "--folders-are-classes")
    with h5py.File(dfal.at("pool.h5")) as file:
        check(int(file.attrs["class_count"]) == 100000, "many names")
    write(dfal, "million.csv", b"path,label\n" + "".join(f"p{i}.png,c{i}\n" for i in range(1000000)).encode())
    dfal.refuses(65, "import", "images", "million.csv", "-o", "million.h5", says="p0.png")
    dfal.refuses(64, "import", "npy", "x.npy", "-o", "y.h5", "--class-names", "names.txt", says="class-names")


def found_by_find(dfal):
    """A list as `find .` writes it: the first folder is the class, with or without a leading ./ ."""
    folder(dfal)
    paths = sorted(os.path.relpath(os.path.join(at, name), dfal.at("in")) for at, _, names in os.walk(dfal.at("in")) for name in names
                   if name.endswith(".png"))
    classes = []
    for begin in ("", "./", "././"):
        write(dfal, "in/found.csv", ("path\n" + "".join(f"{begin}{path}\n" for path in paths)).encode())
        dfal.run("-q", "import", "images", "in/found.csv", "-o", "found.h5", "--crop", "16", "--folders-are-classes", "--force")
        with h5py.File(dfal.at("found.h5")) as file:
            classes.append((texts(file["classes"]), file["labels"][()].tolist()))
    check(classes[0][0] == ["class0", "class1", "class2"] and classes[1:] == classes[:1] * 2, f"classes of a list: {classes}")
    write(dfal, "in/found.csv", ("path\n" + "".join(f"{dfal.at('in')}/{path}\n" for path in paths)).encode())
    dfal.refuses(65, "import", "images", "in/found.csv", "-o", "none.h5", "--crop", "16", "--folders-are-classes", says="does not begin with /")


def bad_tables(dfal):
    """A POOL.bad.csv that the import did not write stays."""
    folder(dfal)
    for more in ((), ("--on-error", "skip")):
        write(dfal, "pool.bad.csv", b"my own table\n")
        line = ("-q", "import", "images", "in", "-o", "pool.h5", "--crop", "16", *more)
        if more:
            dfal.refuses(73, *line, says="pool.bad.csv")
            check(not os.path.exists(dfal.at("pool.h5")) and not os.path.exists(dfal.at("pool.h5.parts")), "left behind")
        else:
            dfal.run(*line)
            os.remove(dfal.at("pool.h5"))
        with open(dfal.at("pool.bad.csv"), "rb") as file:
            check(file.read() == b"my own table\n", f"a table of somebody's was changed with {more}")
        dfal.run(*line, "--force")
        check(os.path.exists(dfal.at("pool.bad.csv")) == bool(more), f"the table after --force with {more}")
        os.remove(dfal.at("pool.h5"))


def lists(dfal):
    made = folder(dfal)
    keys = sorted(made)
    with open(dfal.at("in/list.csv"), "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["note", "label", "path"])
        writer.writerows(["x", f"kind {i % 2}" if i else "", key] for i, key in reversed(list(enumerate(keys))))
    dfal.run("-q", "import", "images", dfal.at("in/list.csv"), "-o", "pool.h5", *RESIZE)
    with h5py.File(dfal.at("pool.h5")) as file:
        check(texts(file["ids"]) == keys, "ids of a list")
        check(texts(file["classes"]) == ["kind 0", "kind 1"], "classes of a list")
        check(file["labels"][()].tolist() == [i % 2 if i else -1 for i in range(12)], "labels of a list")
    for text, words in (("path\nnone.png\n", "none.png"), ("name\na\n", "path"), ("", "empty"), ("path\n", "no picture"),
                        ("path\nclass0/000.png\nclass0/000.png\n", ("line 2", ":3:")), ("path\n\"a", "quoting"),
                        ("path,label\nclass0/000.png,x\n", "one class")):
        write(dfal, "in/bad.csv", text.encode())
        dfal.refuses(65, "import", "images", "in/bad.csv", "-o", "bad.h5", *RESIZE, says=words)
    dfal.refuses(64, "import", "images", "in/list.csv", "-o", "bad.h5", *RESIZE, "--folders-are-classes", says="label")
    write(dfal, "in/plain.csv", "id\n=cmd.png\n<script>.png\n".encode())
    dfal.run("-q", "import", "images", "in/plain.csv", "-o", "bad.h5", *RESIZE, "--on-error", "skip", code=65)
    no_output(dfal, "bad.h5")


def broken(dfal):
    """Every bad picture: named when it stops, listed when it is skipped."""
    made = folder(dfal)
    whole = png(made["class0/000.png"])
    with open(os.path.join(SEEDS, "colour.jpg"), "rb") as file:
        jpeg = file.read()
    cases = {"empty.png": (b"", "empty"), "text.jpg": (b"not a picture at all", "6e 6f 74"),
             "cut.png": (whole[:-40], "truncated"), "cut.jpg": (jpeg[:-2], "truncated"), "half.jpg": (jpeg[:500], "truncated"),
             "sum.png": (whole[:60] + b"x" + whole[61:], "damaged"), "gif.png": (b"GIF89a" + bytes(40), "47 49 46"),
             "bomb.png": (whole[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 900000, 900000, 8, 2, 0, 0, 0)) + whole[33:],
                          "900000 x 900000")}
    for name, (content, _) in cases.items():
        write(dfal, "odd/" + name, content)
    os.makedirs(dfal.at("odd/folder.png"))
    os.mkfifo(dfal.at("odd/pipe.jpg"))
    os.symlink("nowhere.png", dfal.at("odd/dangling.png"))
    os.symlink("self.png", dfal.at("odd/self.png"))
    words = {name: word for name, (_, word) in cases.items()}
    words.update({"pipe.jpg": "pipe", "dangling.png": "No such file", "self.png": "symbolic links"})
    if os.geteuid() != 0:
        write(dfal, "odd/locked.png", whole)
        os.chmod(dfal.at("odd/locked.png"), 0)
        words["locked.png"] = "Permission"
    for name, word in words.items():
        os.rename(dfal.at("odd/" + name), dfal.at("in/class1/" + name))
        dfal.refuses(65, "import", "images", "in", "-o", "pool.h5", *RESIZE, says=("class1/" + name, word))
        no_output(dfal)
        os.rename(dfal.at("in/class1/" + name), dfal.at("odd/" + name))
    # the other way: they are left out, and say why
    dfal.run("-q", "import", "images", "in", "-o", "clean.h5", *RESIZE, "--on-error", "skip")
    with open(dfal.at("clean.bad.csv"), encoding="utf-8") as file:
        check(file.read() == "path,reason\n", "a table of skipped files where none was skipped")
    for name in words:
        os.rename(dfal.at("odd/" + name), dfal.at("in/class1/" + name))
    for content, name in ((whole, "=cmd.png"), (b"", "=bad,name.png"), (whole, "<script>.png"), (jpeg, "really-a-jpeg.png"),
                          (whole, "really-a-png.jpg")):
        write(dfal, "in/" + name, content)
    _, err = dfal.run("import", "images", "in", "-o", "pool.h5", *RESIZE, "--on-error", "skip")
    check(f"{len(words) + 1} files were skipped" in err, f"the skipped ones are not counted: {err}")
    with open(dfal.at("pool.bad.csv"), encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    check([row["path"] for row in table] == ["'=bad,name.png"] + sorted("class1/" + name for name in words), f"{table}")
    for row in table[1:]:
        check(words[row["path"][7:]] in row["reason"], f"{row}")
    with h5py.File(dfal.at("pool.h5")) as a, h5py.File(dfal.at("clean.h5")) as b:
        ids = texts(a["ids"])
        check(ids == sorted(texts(b["ids"]) + ["=cmd.png", "<script>.png", "really-a-jpeg.png", "really-a-png.jpg"]), f"{ids}")
        rows = [ids.index(key) for key in texts(b["ids"])]
        check(np.array_equal(a["samples"][()][rows], b["samples"][()]), "a broken file changed another's sample")
    shutil.rmtree(dfal.at("odd"))
    os.makedirs(dfal.at("none"))
    dfal.refuses(65, "import", "images", "none", "-o", "x.h5", *RESIZE, says="none")
    write(dfal, "none/a.png", b"")
    dfal.refuses(65, "import", "images", "none", "-o", "x.h5", *RESIZE, "--on-error", "skip", says="none of the 1")
    dfal.refuses(66, "import", "images", "missing", "-o", "x.h5", *RESIZE, says="missing")
    dfal.refuses(73, "import", "images", "in", "-o", "no/x.h5", *RESIZE, says="no")
    no_output(dfal, "x.h5")


def sizes(dfal):
    """One pixel, one row, an animation; and sizes that differ."""
    write(dfal, "in/1x1.png", png([[7]]))
    write(dfal, "in/line.png", png(np.arange(300).reshape(1, 300) % 256))
    with open(os.path.join(SEEDS, "animated.png"), "rb") as file:
        write(dfal, "in/animated.png", file.read())
    dfal.run("-q", "import", "images", "in", "-o", "pool.h5", *RESIZE, "--channels", "1")
    with h5py.File(dfal.at("pool.h5")) as file:
        check(texts(file["ids"]) == ["1x1.png", "animated.png", "line.png"], "ids")
        check((file["samples"][0] == 7).all() and (file["samples"][1] == 200).all(), "1 x 1 or the first frame")
        check(file["samples"].shape == (3, 1, 12, 12), "shape")
    dfal.refuses(65, "import", "images", "in", "-o", "other.h5", says=(
        "animated.png", "2 x 2", "1 x 1", "expected one size: --resize H,W, or --resize S with --crop S"))
    dfal.refuses(65, "import", "images", "in", "-o", "other.h5", "--on-error", "skip", says="animated.png")
    dfal.refuses(65, "import", "images", "in", "-o", "other.h5", "--resize", "8", says=("line.png", "2400 x 8", "8 x 8"))
    for words in (("--resize", "0"), ("--crop", "-3"), ("--crop", "60000"), ("--channels", "2"), ("--std", "0"), ("--mean", "1,2"),
                  ("--resize", "8,"), ("--resize", "8,9,10"), ("--resize", "8x9"), ("--resize", "8,65537"), ("--exif", "obey"),
                  ("--mean", "a,b,c"), ("--interpolation", "nearest"), ("--on-error", "ignore")):
        dfal.refuses(64, "import", "images", "in", "-o", "other.h5", *words, says=words[0].strip("-"))
    dfal.refuses(64, "import", "idx", "in", "-o", "other.h5", "--resize", "3", says="resize")
    dfal.refuses(64, "import", "images", "-o", "other.h5", says="DIR")
    no_output(dfal, "other.h5")


def transparency(dfal):
    """Pictures whose transparency is left out are counted; a colour that stands for it counts too."""
    line = ("import", "images", "in", "--resize", "4", "--crop", "4", "-o", "pool.h5", "--force")
    os.makedirs(dfal.at("in"))
    for name in ("colour.png", "bits.png", "colour.bmp", "colour.jpg", "colour.tif", "inks.tif", "lossless.webp"):
        shutil.copy(os.path.join(SEEDS, name), dfal.at("in"))
    _, err = dfal.run(*line)
    check("transparency" not in err, f"no transparency: {err}")
    for name in ("alpha.tif", "multiplied.tif", "alpha.webp", "grey-alpha.png", "palette.png"):
        shutil.copy(os.path.join(SEEDS, name), dfal.at("in"))
    write(dfal, "in/key.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)) +
          chunk(b"tRNS", b"\0\7") + chunk(b"IDAT", zlib.compress(b"\0\7\7\7\7" * 4)) + chunk(b"IEND", b""))
    _, err = dfal.run(*line)
    check("6 whose transparency is left out" in err, f"the closing line: {err}")
    _, err = dfal.run("--log-format", "json", *line)
    check('"alpha": 6' in err or '"alpha":6' in err, f"the event counts others: {err}")


def formats(dfal):
    """WebP, BMP, TIFF, whatever their names say; EXIF followed or not, and counted; grey pictures in three channels."""
    os.makedirs(dfal.at("in"))
    for i, name in enumerate(("colour.png", "lossless.webp", "colour.bmp", "colour.tif", "planes.tif")):
        for end in (os.path.splitext(name)[1], ".jfif", ".jpe"):
            shutil.copy(os.path.join(SEEDS, name), dfal.at(f"in/{i}{end}"))
    for name in ("turned.jpg", "turned.png", "turned.webp"):
        shutil.copy(os.path.join(SEEDS, name), dfal.at("in"))
    for name in ("notes.txt", "a.gif", ".hidden.png"):
        write(dfal, "in/" + name, b"x")
    line = ("import", "images", "in", "--crop", "11", "--force")
    _, err = dfal.run(*line, "-o", "pool.h5")
    check("3 rotated as their EXIF asks, 0 broken ones skipped, 2 other files and 1 hidden names passed over" in err, f"the closing line: {err}")
    document = dfal.json(*line, "-o", "left.h5", "--exif", "ignore")
    check((document["rotated"], document["other_files"], document["hidden"], document["samples"]) == (3, 2, 1, 18), f"{document}")
    with h5py.File(dfal.at("pool.h5")) as applied, h5py.File(dfal.at("left.h5")) as ignored:
        check((applied["samples"][:15] == applied["samples"][0]).all(), "formats without loss differ")
        for row, name in enumerate(texts(applied["ids"])):
            same = np.array_equal(applied["samples"][row], ignored["samples"][row])
            check(same != name.startswith("turned"), f"{name} with --exif ignore")
        check(np.array_equal(ignored["samples"][17], ignored["samples"][0]), "turned.webp as it is stored")
    with open(os.path.join(SEEDS, "deep.tif"), "rb") as file:
        deep = file.read()
    for name, content, word in (("cut.tif", deep[:-100], "TIFF"), ("cut.bmp", b"BM" + bytes(30), "BMP"),
                                ("cut.webp", b"RIFF\x40\0\0\0WEBPVP8 ", "WebP"), ("empty.tif", b"II*\0\x08\0\0\0\0\0", "TIFF")):
        write(dfal, "in/" + name, content)
        dfal.refuses(65, *line, "-o", "bad.h5", says=(name, word))  # and no other line: libtiff is silent
        os.remove(dfal.at("in/" + name))
    document = dfal.json("import", "images", "in", "-o", "squashed.h5", "--resize", "5,9")
    check(document["shape"] == [3, 5, 9], f"--resize H,W: {document}")
    # all grey: said once, and what helps
    for i in range(3):
        write(dfal, f"grey/{i}.png", png(np.full((9, 9), 40 * i)))
        write(dfal, f"grey/{i}c.png", png(np.full((9, 9, 3), 40 * i)))
    _, err = dfal.run("import", "images", "grey", "-o", "grey.h5")
    check(err.count("--channels 1") == 1 and "grey" in err, f"a grey folder: {err}")
    _, err = dfal.run("import", "images", "grey", "-o", "one.h5", "--channels", "1")
    check("--channels 1" not in err, f"a grey folder of one channel: {err}")
    write(dfal, "grey/colour.png", png(np.arange(243).reshape(9, 9, 3)))
    _, err = dfal.run("import", "images", "grey", "-o", "mixed.h5")
    check("--channels 1" not in err, f"a folder with colour: {err}")


def giant(dfal):
    """400 million pixels pass through a few rows of memory, upright and on their side."""
    packer = zlib.compressobj(1)
    row = b"\0" + bytes(range(250)) * 80
    raw = b"".join(packer.compress(row * 100) for _ in range(200)) + packer.flush()
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0))
    turned = chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")
    body = chunk(b"IDAT", raw) + chunk(b"IEND", b"")
    write(dfal, "in/a.png", head + body)
    write(dfal, "in/b.png", head + turned + body)
    process = dfal.start("-q", "import", "images", "in", "-o", "pool.h5", *RESIZE, "--channels", "1", "--threads", "1")
    _, status, usage = os.wait4(process.pid, 0)
    check(status == 0, f"giant picture: {process.stderr.read()}")
    check(usage.ru_maxrss < 300 * 1024, f"a picture of 400 million pixels took {usage.ru_maxrss} KiB")
    with h5py.File(dfal.at("pool.h5")) as file:
        upright, side = file["samples"][:, 0].astype(int)
        check(abs(upright - 124).max() <= 3, "the mean of a giant's columns")
        check(np.array_equal(side, np.rot90(upright, -1)), "a giant on its side")


def links(dfal):
    made = folder(dfal)
    os.symlink("..", dfal.at("in/class0/loop"))
    os.symlink("class1", dfal.at("in/again"))
    _, err = dfal.run("import", "images", "in", "-o", "pool.h5", *RESIZE)
    check("1 links lead back" in err, f"the loop is not told: {err}")
    with h5py.File(dfal.at("pool.h5")) as file:
        ids = texts(file["ids"])
    check(ids == sorted(list(made) + ["again/" + key[7:] for key in made if key.startswith("class1")]), f"{ids}")


# Samples of 3 MiB: ten a part.
LARGE = ("--crop", "1024")


def many(dfal, count=40):
    for i in range(count):
        write(dfal, f"in/{i:03d}.png", png(np.full((9, 9, 3), i * 5 % 256)))
    write(dfal, "in/005.png", b"broken")


def kills(dfal):
    many(dfal)
    words = ["import", "images", "in", *LARGE, "--on-error", "skip", "--threads", "2"]
    begin = time.monotonic()
    dfal.run("-q", *words, "-o", "whole.h5")
    seconds = time.monotonic() - begin
    resumed = 0
    # The first time measured may be the slowest by far: earlier moments until one hits.
    for number, moment in enumerate((0.2, 0.5, 0.8, 0.35, 0.15, 0.1, 0.07, 0.05)):
        if number >= 3 and resumed > 0:
            break
        process = dfal.start("-q", *words, "-o", "pool.h5")
        time.sleep(seconds * moment)
        process.kill()
        process.communicate()
        parts = glob.glob(dfal.at("pool.h5.parts/*.h5"))
        if parts and not os.path.exists(dfal.at("pool.h5")):
            resumed += 1
            document = dfal.json("status", "pool.h5")
            check(document["job"] == "import" and document["total"] == 40 and document["state"] == "unfinished", f"{document}")
            dfal.refuses(78, "import", "images", "in", "--crop", "1025", "-o", "pool.h5", "--on-error", "skip",
                         says=("pool.h5.parts/", "crop 1024, expected 1025; --force starts anew"))
            dfal.refuses(78, *words, "-o", "pool.h5", "--mean", "0.5", says="mean (empty), expected 0.5")
            dfal.refuses(78, *words, "-o", "pool.h5", "--exif", "ignore", says="exif apply, expected ignore")
            dfal.refuses(78, *words, "-o", "pool.h5", "--resize", "1100,1030", says="resize_to 0 x 0, expected 1100 x 1030")
            write(dfal, "in/zzz.png", b"one more")
            dfal.refuses(78, *words, "-o", "pool.h5", says="pictures 40, expected 41")
            os.remove(dfal.at("in/zzz.png"))
            # whoever will not skip hears of the broken file, and the finished parts stay
            dfal.refuses(65, "import", "images", "in", *LARGE, "-o", "pool.h5", says="005.png")
            check(set(parts) <= set(glob.glob(dfal.at("pool.h5.parts/*.h5"))), "finished parts are lost")
        if os.path.exists(dfal.at("pool.h5")):  # killed behind the last moment that matters, parts may still be there
            shutil.rmtree(dfal.at("pool.h5.parts"), ignore_errors=True)
            for lock in glob.glob(dfal.at("*.tmp.locked")):
                os.remove(lock)
        else:
            dfal.run("-q", *words, "-o", "pool.h5")
        same_bits(dfal.at("whole.h5"), dfal.at("pool.h5"))
        with open(dfal.at("whole.bad.csv"), "rb") as a, open(dfal.at("pool.bad.csv"), "rb") as b:
            check(a.read() == b.read(), "the tables of skipped files differ")
        left = [name for name in os.listdir(dfal.folder) if ".tmp." in name or name.endswith(".parts")]
        check(not left, f"left behind: {left}")
        os.remove(dfal.at("pool.h5"))
        os.remove(dfal.at("pool.bad.csv"))
    check(resumed > 0, "no kill hit unfinished work")


def stops(dfal):
    many(dfal)
    words = ["import", "images", "in", *LARGE, "--on-error", "skip", "-o", "pool.h5"]
    process = dfal.start("-q", *words)
    while process.poll() is None and not glob.glob(dfal.at("pool.h5.parts/??????.h5")):
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    check(process.returncode == 75 and b"stopped" in err, f"import after SIGTERM: {process.returncode} {err}")
    _, err = dfal.run(*words)
    check("are finished, the rest is continued" in err, f"nothing was resumed: {err}")
    dfal.run("-q", *words[:-2], "-o", "whole.h5")
    same_bits(dfal.at("whole.h5"), dfal.at("pool.h5"))
    process = dfal.start("-q", *words[:-2], "-o", "early.h5")
    process.send_signal(signal.SIGTERM)
    process.communicate()
    check(process.returncode in (-signal.SIGTERM, 75), f"stopped at once: {process.returncode}")


def changed(dfal):
    """A picture that is another one when the import is continued: its part is made again."""
    many(dfal)
    words = ["import", "images", "in", *LARGE, "--on-error", "skip", "-o"]
    process = dfal.start("-q", *words, "pool.h5")
    while process.poll() is None and not glob.glob(dfal.at("pool.h5.parts/??????.h5")):
        time.sleep(0.002)
    process.kill()
    process.communicate()
    check(glob.glob(dfal.at("pool.h5.parts/??????.h5")), "nothing was finished")
    write(dfal, "in/003.png", png(np.full((9, 9, 3), 200)))
    dfal.run("-q", *words, "pool.h5")
    dfal.run("-q", *words, "whole.h5")
    same_bits(dfal.at("whole.h5"), dfal.at("pool.h5"))


def full_disk(dfal):
    """A small file system runs full: 74, one sentence, and nothing half-written."""
    many(dfal, 30)
    os.makedirs(dfal.at("small"))

    def inside(script, size):
        mount = f"mount -t tmpfs -o size={size} none small && "
        return subprocess.run(["unshare", "--mount", "sh", "-c", mount + script], cwd=dfal.folder, capture_output=True,
                              text=True, check=False)

    if inside("true", "1m").returncode != 0:
        print("full_disk: not run because a tmpfs cannot be mounted here", flush=True)
        return
    line = f"{dfal.path} -q import images in -o small/pool.h5 --on-error skip {' '.join(LARGE)}"
    for size in ("10m", "70m", "130m"):
        done = inside(f"{line}; code=$?; ls -A small small/pool.h5.parts 2>/dev/null; exit $code", size)
        check(done.returncode == 74, f"full at {size}: {done.returncode}, expected 74: {done.stderr}")
        check(len(done.stderr.splitlines()) == 1, f"full at {size}: {done.stderr}")
        left = [name for name in done.stdout.split() if ".tmp." in name or name in ("pool.h5", "pool.bad.csv")]
        check(not left, f"full at {size} left {left}")


main({f.__name__: f for f in (folders, bytes_scaling, names, found_by_find, bad_tables, lists, broken, sizes, transparency, formats, giant, links, kills, stops, changed, full_disk)})
