#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Arrays of numpy and CIFAR-10 batches to pools: what h5py then reads is what was given; bad files are refused by name."""
import io
import os
import pickle
import resource
import signal
import struct
import subprocess
import warnings
import zipfile

import h5py
import numpy as np

import batches
from data import png
from support import check, main, same_bits

COUNT = 700


def save(dfal, name, array, version=None):
    with open(dfal.at(name), "wb") as file:
        np.lib.format.write_array(file, array, version)


def raw(dfal, name, content):
    with open(dfal.at(name), "wb") as file:
        file.write(content)


def npy(descr, shape, body, order="False", version=1, pad=b""):
    """An npy file made by hand."""
    head = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode() + pad
    length = struct.pack("<H" if version == 1 else "<I", len(head))
    return b"\x93NUMPY" + bytes([version, 0]) + length + head + body


def pool_is(dfal, name, samples, labels):
    """samples f32 or u8 [N,C,H,W] as they must stand in the pool."""
    with h5py.File(dfal.at(name)) as file:
        found = file["samples"]
        check(found.dtype == samples.dtype and found.shape == samples.shape,
              f"{name}: {found.dtype} {found.shape}, expected {samples.dtype} {samples.shape}")
        check(found[()].tobytes() == samples.tobytes(), f"{name}: samples differ")
        check(("labels" in file) == (labels is not None), f"{name}: labels are {'labels' in file}")
        if labels is not None:
            check(np.array_equal(file["labels"][()], labels), f"{name}: labels differ")
            check(file.attrs["class_count"] == labels.max() + 1, f"{name}: {file.attrs['class_count']} classes")
    dfal.run("-q", "info", name)


def small_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))


def arrays(dfal):
    """Every element type, byte order and shape that is claimed."""
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (COUNT, 3, 9, 7), dtype=np.uint8)
    labels = random.integers(-1, 6, COUNT)
    save(dfal, "u1.npy", pixels)
    for index, kind in enumerate(("i1", "<i2", ">i4", "<i8", ">i8", "u1", ">u2", "<u4", ">u8", "<f4", ">f8")):
        truth = np.abs(labels) if kind.endswith(("u1", "u2", "u4", "u8")) else labels
        shape = (COUNT, 1) if index % 2 else (COUNT,)
        save(dfal, "labels.npy", truth.astype(kind).reshape(shape), [(1, 0), (2, 0), (3, 0)][index % 3])
        dfal.run("-q", "import", "npy", "u1.npy", "labels.npy", "-o", "p.h5", "--force")
        pool_is(dfal, "p.h5", pixels, truth)
    reals = random.normal(size=(COUNT, 3, 9, 7))
    for kind in ("<f4", ">f4", "<f8", ">f8", "<f2", ">f2"):
        save(dfal, "x.npy", reals.astype(kind))
        dfal.run("-q", "import", "npy", "x.npy", "-o", "p.h5", "--force")
        pool_is(dfal, "p.h5", reals.astype(kind).astype(np.float32), None)
    special = np.zeros((2, 8), "f2")
    special.view("u2")[:] = np.array([[0, 0x8000, 1, 0x83ff, 0x7bff, 0xfbff, 0x7c00, 0x3555]] * 2)
    save(dfal, "x.npy", special)
    dfal.run("-q", "import", "npy", "x.npy", "-o", "p.h5", "--force")
    pool_is(dfal, "p.h5", special.astype(np.float32).reshape(2, 8, 1, 1), None)
    for kind in ("i1", "<i2", ">i2", ">u2", "<i4", ">i8"):
        save(dfal, "x.npy", (reals * 40).astype(kind))
        dfal.run("-q", "import", "npy", "x.npy", "-o", "p.h5", "--force")
        pool_is(dfal, "p.h5", (reals * 40).astype(kind).astype(np.float32), None)
    save(dfal, "x.npy", reals > 0)
    dfal.run("-q", "import", "npy", "x.npy", "-o", "p.h5", "--force")
    pool_is(dfal, "p.h5", (reals > 0).astype(np.float32), None)
    for layout, given in (("NHWC", pixels.transpose(0, 2, 3, 1)), ("NCHW", pixels)):
        save(dfal, "x.npy", np.ascontiguousarray(given))
        dfal.run("-q", "import", "npy", "x.npy", "-o", "p.h5", "--force", "--layout", layout)
        pool_is(dfal, "p.h5", pixels, None)
    save(dfal, "x.npy", np.ascontiguousarray(reals.astype("f8").transpose(0, 2, 3, 1)))
    dfal.run("-q", "import", "npy", "x.npy", "-o", "p.h5", "--force", "--layout", "NHWC")
    pool_is(dfal, "p.h5", reals.astype(np.float32), None)
    save(dfal, "x.npy", pixels[:, 0])
    dfal.run("-q", "import", "npy", "x.npy", "-o", "p.h5", "--force", "--layout", "NHWC")
    pool_is(dfal, "p.h5", pixels[:, :1], None)
    save(dfal, "x.npy", pixels.reshape(COUNT, -1))
    dfal.run("-q", "import", "npy", "x.npy", "-o", "p.h5", "--force")
    pool_is(dfal, "p.h5", pixels.reshape(COUNT, -1, 1, 1), None)
    dfal.refuses(73, "import", "npy", "x.npy", "-o", "p.h5", says="p.h5")
    for words in (("npy", "x.npy"), ("npz", "x.npz")):
        np.savez(dfal.at("x.npz"), samples=pixels)
        done = subprocess.run([dfal.path, "-q", "import", *words, "-o", "full.h5"], cwd=dfal.folder, capture_output=True,
                              preexec_fn=small_files, check=False)
        check(done.returncode == 74 and not os.path.exists(dfal.at("full.h5")), f"a full disk: {done}")
    check(dfal.json("import", "npy", "x.npy", "-o", "p.h5", "--force") == {"output": "p.h5"}, "the JSON of import")


def unused_classes(dfal):
    """A label that is no class makes thousands of them: said on import, and info does not list their zeros."""
    labels = np.arange(60) % 10
    save(dfal, "x.npy", np.zeros((60, 1, 2, 2), np.uint8))
    for largest, few in ((9, False), (20, False), (22, True), (99999, True)):
        labels[5] = largest
        save(dfal, "y.npy", labels)
        with open(dfal.at("list.csv"), "w", encoding="ascii") as file:
            file.write("path,label\n" + "".join(f"{row:02}.png,{label}\n" for row, label in enumerate(labels)))
        for row in range(60):
            with open(dfal.at(f"{row:02}.png"), "wb") as file:
                file.write(png(np.zeros((2, 2))))
        occur = len(set(labels.tolist()))
        for source, words in (("y.npy", ("npy", "x.npy", "y.npy")), ("list.csv", ("images", "list.csv"))):
            _, err = dfal.run("-q", "import", *words, "-o", "p.h5", "--force")
            says = f"{source}: label {largest} in row 5: {largest + 1} classes, of which {occur} occur"
            check(says in err if few else "occur" not in err, f"{words}, label {largest}: {err}")
        facts = dfal.json("info", "p.h5")
        check(facts["class_count"] == largest + 1, f"{facts}")
        if largest < 1000:
            check(facts["labelled_per_class"] == [str((labels == k).sum()) for k in range(largest + 1)], f"{facts}")
        else:
            check("labelled_per_class" not in facts, f"{facts}")
            check(facts["labelled_of_class"] == [f"{k}: {(labels == k).sum()}" for k in (*range(10), 99999)], f"{facts}")


def layouts(dfal):
    """The channels in the last axis are not taken for pixels silently."""
    random = np.random.default_rng(2)
    says = "--layout NHWC"
    for shape, doubtful in (((3, 8, 8, 3), True), ((3, 32, 28, 1), True), ((3, 3, 8, 8), False), ((3, 1, 28, 1), False),
                            ((3, 64, 4, 4), False), ((3, 512, 1, 1), False), ((3, 8, 8), False)):
        pixels = random.integers(0, 256, shape, dtype=np.uint8)
        save(dfal, "x.npy", pixels)
        np.savez(dfal.at("x.npz"), samples=pixels)
        with h5py.File(dfal.at("x.h5"), "w") as file:
            file["samples"] = pixels
        for words in (("import", "npy", "x.npy", "-o", "p.h5"), ("import", "npz", "x.npz", "-o", "p.h5"), ("info", "x.h5")):
            for layout in ((), ("--layout", "NCHW"), ("--layout", "NHWC"))[:3 if shape[1] == 32 else 1]:
                _, err = dfal.run("--force", *words, *layout)
                check((says in err) == (doubtful and not layout), f"{words} {layout} of {shape}: {err}")
                check(says not in err or f"{shape[1]} channels, {shape[2]} x {shape[3]}" in err, err)
    _, err = dfal.run("info", "p.h5")
    check(says not in err, f"dfal's own pool is doubted: {err}")


def bad_arrays(dfal):
    pixels = np.zeros((20, 4, 4), np.uint8)
    labels = np.arange(20) % 3
    save(dfal, "x.npy", pixels)
    good = open(dfal.at("x.npy"), "rb").read()
    cases = {
        "empty": (b"", "is empty"), "short": (good[:9], "9 bytes"), "magic": (b"NUMPY" + good[5:], "npy"),
        "version": (good[:6] + b"\x04" + good[7:], "4.0"), "cut": (good[:-1], "truncated"),
        "long": (good + b"x", "trailing"), "head": (good[:8] + b"\xff\xff" + good[10:], "header of 65535"),
        "huge": (npy("'|u1'", "(1099511627776, 4, 4)", b""), "1099511627776"),
        "wide": (npy("'<f8'", "(281474976710656, 281474976710656)", b""), "more than any file"),
        "wider": (npy("'<f8'", "(99999999999999999999999, 4)", b""), "2^48"),
        "objects": (npy("'|O'", "(3,)", b"xxxxxxxx"), "Python objects"),
        "structure": (npy("[('a', '<f4'), ('b', '|u1')]", "(3, 4)", b"x" * 60), "structures"),
        "void": (npy("'|V8'", "(3, 4)", b"x" * 96), "structures"), "text": (npy("'<U5'", "(3, 4)", b"x" * 240), "texts"),
        "complex": (npy("'<c8'", "(3, 4)", b"x" * 96), "complex"), "date": (npy("'<M8[us]'", "(3,)", b"x" * 24), "dates"),
        "float1": (npy("'<f1'", "(3, 4)", b"x" * 12), "f1"), "longdouble": (npy("'<f16'", "(3, 4)", b"x" * 192), "f16"),
        "fortran": (npy("'|u1'", "(3, 4)", b"x" * 12, order="True"), "Fortran"),
        "order": (npy("'|u1'", "(3, 4)", b"x" * 12, order="1"), "True or False"),
        "negative": (npy("'|u1'", "(-3, -4)", b"x" * 12), "size"), "rank1": (npy("'|u1'", "(3,)", b"xxx"), "[3]"),
        "rank5": (npy("'|u1'", "(3, 1, 1, 1, 1)", b"xxx"), "[3, 1, 1, 1, 1]"),
        "rank9": (npy("'|u1'", "(3, 1, 1, 1, 1, 1, 1, 1, 1)", b"xxx"), "axes"),
        "nobody": (npy("'|u1'", "(0, 4)", b""), "at least one"), "flat": (npy("'|u1'", "(3, 0)", b""), "values a sample"),
        "twice": (b"\x93NUMPY\x01\x00" + struct.pack("<H", 40) + b"{'descr': '|u1', 'descr': '|u1', }".ljust(40), "once"),
        "missing": (b"\x93NUMPY\x01\x00" + struct.pack("<H", 40) + b"{'descr': '|u1', }".ljust(40), "fortran_order"),
        "behind": (npy("'|u1'", "(3, 4)", b"x" * 12, pad=b" and more"), "no more"),
        "code": (npy("__import__('os').system('true')", "(3, 4)", b"x" * 12), "element type"),
        "zero": (npy("'|u1'", "(3, 4)", b"x" * 12, pad=b"\0"), "zero byte"),
        "zip": (b"PK\x03\x04" + b"\0" * 60, "import npz"),
        "overflow": (npy("'<f8'", "(1, 2)", struct.pack("<2d", 1, 1e300)), "1e+300"),
        "inexact": (npy("'<i8'", "(2, 1)", struct.pack("<2q", 1, 2**24 + 1)), "16777217 in row 1"),
        "unsigned": (npy("'<u8'", "(2, 1)", struct.pack("<2Q", 1, 2**64 - 1)), "18446744073709551615"),
    }
    for name, (content, words) in cases.items():
        raw(dfal, name + ".npy", content)
        dfal.refuses(65, "import", "npy", name + ".npy", "-o", "p.h5", says=(name + ".npy", words))
    label_cases = {
        "onehot": (np.eye(3)[labels], "one-hot"), "few": (labels[:19], "[19]"), "high": (labels + 10**6, "1000000"),
        "low": (labels - 3, "-3 in row 0"), "fraction": (labels + 0.5, "0.5"), "nan": (np.full(20, np.nan), "nan"),
        "one": (labels * 0, "one class"), "unknown": (labels * 0 - 1, "no label"), "scalar": (np.array(3), "[]"),
        "words": (np.array(["a"] * 20), "texts")}
    for name, (array, words) in label_cases.items():
        save(dfal, "l.npy", array)
        dfal.refuses(65, "import", "npy", "x.npy", "l.npy", "-o", "p.h5", says=("l.npy", words))
    dfal.refuses(66, "import", "npy", "none.npy", "-o", "p.h5", says="none.npy")
    dfal.refuses(66, "import", "npy", "x.npy", "none.npy", "-o", "p.h5", says="none.npy")
    dfal.refuses(65, "import", "npy", ".", "-o", "p.h5", says="plain file")
    os.mkfifo(dfal.at("pipe"))
    dfal.refuses(65, "import", "npy", "pipe", "-o", "p.h5", says="plain file")
    dfal.refuses(73, "import", "npy", "x.npy", "-o", "nowhere/p.h5", says="nowhere")
    dfal.refuses(64, "import", "npy", "-o", "p.h5", says="SAMPLES.npy")
    dfal.refuses(64, "import", "npy", "x.npy", "-o", "p.h5", "--split", "test", says="--split")
    dfal.refuses(64, "import", "npy", "x.npy", "-o", "p.h5", "--samples-name", "x", says="--samples-name")
    dfal.refuses(64, "import", "idx", "x.npy", "-o", "p.h5", "--layout", "NHWC", says="--layout")
    dfal.refuses(64, "import", "nyp", "x.npy", "-o", "p.h5", says="nyp")
    check(not os.path.exists(dfal.at("p.h5")), "a refused import left a pool")


def archives(dfal):
    """savez stores, savez_compressed deflates; members are read without the archive being unpacked."""
    random = np.random.default_rng(2)
    pixels = random.integers(0, 8, (COUNT, 1, 20, 20), dtype=np.uint8)
    labels = random.integers(0, 4, COUNT)
    np.savez(dfal.at("a.npz"), samples=pixels, labels=labels)
    np.savez_compressed(dfal.at("b.npz"), x_train=pixels[:, 0], y_train=labels, x_test=pixels[:9])
    dfal.run("-q", "import", "npz", "a.npz", "-o", "a.h5")
    pool_is(dfal, "a.h5", pixels, labels)
    dfal.run("-q", "import", "npz", "b.npz", "-o", "b.h5", "--samples-name", "x_train", "--labels-name", "y_train")
    same_bits(dfal.at("a.h5"), dfal.at("b.h5"))
    dfal.run("-q", "import", "npz", "b.npz", "-o", "c.h5", "--samples-name", "x_test.npy")
    pool_is(dfal, "c.h5", pixels[:9], None)
    np.savez(dfal.at("t.npz"), images=np.ascontiguousarray(pixels.repeat(3, 1).transpose(0, 2, 3, 1)))
    dfal.run("-q", "import", "npz", "t.npz", "-o", "t.h5", "--samples-name", "images", "--layout", "NHWC")
    pool_is(dfal, "t.h5", pixels.repeat(3, 1), None)
    dfal.refuses(65, "import", "npz", "b.npz", "-o", "d.h5", says=("'samples'", "x_train, y_train, x_test"))
    dfal.refuses(65, "import", "npz", "a.npz", "-o", "d.h5", "--labels-name", "y", says=("'y'", "samples, labels"))
    # a large directory's records and sizes, a comment, prefixed names
    def member(array):
        made = io.BytesIO()
        np.lib.format.write_array(made, array)
        return made.getvalue()

    with zipfile.ZipFile(dfal.at("z64.npz"), "w", zipfile.ZIP_DEFLATED) as file:
        with file.open(zipfile.ZipInfo("samples.npy"), "w", force_zip64=True) as entry:
            entry.write(member(pixels))
        file.writestr("labels.npy", member(labels))
        file.comment = b"a comment that ends like PK\x05\x06 a directory" * 9
    dfal.run("-q", "import", "npz", "z64.npz", "-o", "z64.h5")
    same_bits(dfal.at("a.h5"), dfal.at("z64.h5"))
    limit = zipfile.ZIP64_LIMIT
    try:
        zipfile.ZIP64_LIMIT = 1000  # zipfile then writes the zip64 directory that a 5 GB archive has
        with zipfile.ZipFile(dfal.at("large.npz"), "w") as file:
            file.writestr("samples.npy", member(pixels))
            file.writestr("labels.npy", member(labels))
    finally:
        zipfile.ZIP64_LIMIT = limit
    check(b"PK\x06\x06" in open(dfal.at("large.npz"), "rb").read(), "the test's archive has no zip64 directory")
    dfal.run("-q", "import", "npz", "large.npz", "-o", "large.h5")
    same_bits(dfal.at("a.h5"), dfal.at("large.h5"))


def bad_archives(dfal):
    pixels = (np.arange(20 * 64) % 251).astype(np.uint8).reshape(20, 8, 8)
    np.savez_compressed(dfal.at("a.npz"), samples=pixels, labels=np.arange(20) % 3)
    np.savez(dfal.at("s.npz"), samples=pixels)
    packed, stored = (open(dfal.at(name), "rb").read() for name in ("a.npz", "s.npz"))
    entry = packed.index(b"PK\x01\x02")

    def changed(whole, at, new):
        return whole[:at] + new + whole[at + len(new):]

    def zipped(method, names=("samples.npy",), content=None):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", method) as file:
            for name in names:
                file.writestr(name, content if content is not None else npy("'|u1'", "(3, 4)", b"x" * 12))
        return made.getvalue()

    cases = {
        "empty": (b"", "is empty"), "text": (b"id,label\n" * 30, "zip archive"), "npy": (npy("'|u1'", "(3, 4)", b"x" * 12), "zip"),
        "cut": (packed[:-30], "directory is missing"), "half": (packed[:len(packed) // 2], "directory is missing"),
        "front": (b"#!/bin/sh\n" + packed, "directory"), "entry": (changed(packed, entry, b"XX"), "entry 0"),
        "local": (changed(packed, 0, b"XX"), "local header"), "sum": (changed(packed, entry + 16, b"\1\2\3\4"), "check sum"),
        "bits": (changed(packed, 80, b"\xff\xff\xff\xff"), "samples"),
        "flip": (changed(stored, 300, bytes([stored[300] ^ 1])), "check sum"),
        "size": (changed(packed, entry + 24, struct.pack("<I", 1 << 30)), "1073741824"),
        "longer": (changed(packed, entry + 24, struct.pack("<I", 1409)), "1281"),
        "reach": (changed(changed(stored, stored.index(b"PK\x01\x02") + 20, struct.pack("<I", 99999)),
                          stored.index(b"PK\x01\x02") + 24, struct.pack("<I", 99999)), "directory"),
        "place": (changed(packed, entry + 42, struct.pack("<I", len(packed))), "directory"),
        "locked": (changed(packed, entry + 8, b"\1\0"), "encrypted"), "bzip2": (zipped(zipfile.ZIP_BZIP2), "method 12"),
        "inner": (zipped(zipfile.ZIP_STORED, content=b"no array at all, but text"), "samples.npy"),
        "pickled": (zipped(zipfile.ZIP_STORED, content=npy("'|O'", "(3, 4)", pickle.dumps([1]))), "Python objects"),
        "nothing": (zipped(zipfile.ZIP_STORED, names=()), "nothing"),
        "count": (changed(packed, len(packed) - 14, b"\x60\xea\x60\xea"), "60000 entries"),
        "fewer": (changed(packed, len(packed) - 14, b"\1\0\1\0"), "behind its 1 entries"),
        "bomb": (zipped(zipfile.ZIP_DEFLATED, content=npy("'|u1'", "(3, 4)", bytes(1 << 22))), "trailing bytes"),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases["doubled"] = (zipped(zipfile.ZIP_STORED, names=("samples.npy", "samples.npy")), "two members")
    for name, (content, words) in cases.items():
        raw(dfal, name + ".npz", content)
        dfal.refuses(65, "import", "npz", name + ".npz", "-o", "p.h5", says=(name + ".npz", words))
    dfal.refuses(66, "import", "npz", "none.npz", "-o", "p.h5", says="none.npz")
    check(not os.path.exists(dfal.at("p.h5")), "a refused import left a pool")


def write_cifar(dfal, folder, kind, count=40):
    os.makedirs(dfal.at(folder))
    made = {}
    for index, stem in enumerate([f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]):
        made[stem] = batches.draw(count, index)
        content = batches.binary(*made[stem]) if kind == "bin" else batches.python(*made[stem])
        raw(dfal, f"{folder}/{stem}{'.bin' if kind == 'bin' else ''}", content)
    raw(dfal, f"{folder}/batches.meta{'.txt' if kind == 'bin' else ''}",
        ("\ufeff" + "\r\n".join(batches.NAMES) + "\r\n\r\n").encode() if kind == "bin" else batches.meta())
    return made


def cifar10(dfal):
    """The test's pickles are what Python's own unpickler reads; both kinds give the same pool."""
    made = write_cifar(dfal, "root/cifar-10-batches-bin", "bin")
    write_cifar(dfal, "py", "py")
    loaded = pickle.loads(open(dfal.at("py/data_batch_3"), "rb").read(), encoding="bytes")
    check(np.array_equal(loaded[b"data"], made["data_batch_3"][0]) and loaded[b"labels"] == made["data_batch_3"][1].tolist(),
          "the test's pickle is none")
    train = [f"data_batch_{i}" for i in range(1, 6)]
    samples = np.concatenate([made[stem][0] for stem in train]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([made[stem][1] for stem in train])
    dfal.run("-q", "import", "cifar10", "root", "-o", "train.h5")
    pool_is(dfal, "train.h5", samples, labels)
    with h5py.File(dfal.at("train.h5")) as file:
        check([name.decode() for name in file["classes"][()]] == batches.NAMES, "class names")
        ids = [name.decode() for name in file["ids"][()]]
        check(ids == [f"{stem}:{i}" for stem in train for i in range(40)], f"ids {ids[:3]}")
    dfal.run("-q", "import", "cifar10", "py", "-o", "python.h5", "--split", "train")
    same_bits(dfal.at("train.h5"), dfal.at("python.h5"))
    dfal.run("-q", "import", "cifar10", "py", "-o", "test.h5", "--split", "test")
    pool_is(dfal, "test.h5", made["test_batch"][0].reshape(-1, 3, 32, 32), made["test_batch"][1])
    dfal.run("-q", "import", "cifar10", *[f"py/{stem}" for stem in train], "-o", "files.h5")
    same_bits(dfal.at("train.h5"), dfal.at("files.h5"))
    raw(dfal, "alone.bin", batches.binary(*made["test_batch"]))
    dfal.run("-q", "import", "cifar10", "alone.bin", "py/data_batch_1", "-o", "mixed.h5")
    with h5py.File(dfal.at("mixed.h5")) as file:
        check("classes" not in file and file["samples"].shape[0] == 80 and file["ids"][40] == b"data_batch_1:0", "mixed.h5")
    # a batch as Python 3 would write it: bytes and unicode instead of Python 2's texts
    other = batches.python(*made["data_batch_1"]).replace(b"U\x06labels", b"X\x06\0\0\0labels")
    check(b"X\x06" in other, "no unicode in the test's pickle")
    raw(dfal, "data_batch_1", other)
    dfal.run("-q", "import", "cifar10", "data_batch_1", "-o", "one.h5")


def bad_cifar10(dfal):
    data, labels = batches.draw(30, 9)
    good = batches.python(data, labels)
    records = batches.binary(data, labels)

    class Evil:
        def __reduce__(self):
            return os.system, ("touch EVIL",)

    rows = batches.Pickler()
    cases = {
        "empty": (b"", "is empty"), "cut.bin": (records[:-1], "multiple of 3073"),
        "label.bin": (records[:3073] + b"\x0a" + records[3074:], "label 10 in record 1"),
        "packed": (b"\x1f\x8b" + records, "gzip"), "protocol4": (pickle.dumps({"data": data}, 4), "protocol 4"),
        "protocol0": (b"\x80\x01" + good[2:], "protocol 2"),
        "evil": (pickle.dumps({"data": Evil(), "labels": [1]}, 2), "posix system"),
        "object": (b"\x80\x02cdatetime\ndate\nq\x00C\x04\x07\xe8\x01\x01q\x01\x85q\x02Rq\x03.", "datetime date"),
        "instance": (b"\x80\x02(inumpy\nndarray\n.", "INST"), "newobj": (b"\x80\x02cnumpy\nndarray\n)\x81.", "NEWOBJ"),
        "persistent": (b"\x80\x02K\x01Q.", "BINPERSID"), "float": (b"\x80\x02G\0\0\0\0\0\0\0\0.", "BINFLOAT"),
        "call": (b"\x80\x02cnumpy\ndtype\ncnumpy\nndarray\n\x85R.", "call"), "cut": (good[:len(good) // 2], "its end"),
        "stop": (good[:-1], "truncated"), "behind": (good + b"N.", "behind its end"), "list": (b"\x80\x02].", "no 'data'"),
        "empties": (b"\x80\x02}.", "no 'data'"), "underflow": (b"\x80\x02s.", "stack"), "mark": (b"\x80\x02u.", "no mark"),
        "memo": (b"\x80\x02h\x05.", "never filled"), "two": (b"\x80\x02NN.", "one value"),
        "place": (b"\x80\x02Nr\xff\xff\xff\xff.", "memo place"), "text": (b"\x80\x02T\xff\xff\xff\x7fabc.", "behind its end"),
        "type": (good.replace(b"U\x02u1", b"U\x02i1"), "'i1'"), "shape": (good.replace(b"K\x1eM\x00\x0c", b"K\x1fM\x00\x0c"), "shape"),
        "labels": (batches.python(data, labels[:29]), "'labels'"), "high": (batches.python(data, labels * 0 + 10), "label 10"),
        "narrow": (batches.python(data[:, :1000], labels), "[N, 3072]"),
        "cifar100": (rows.dictionary({"fine_labels": lambda: rows.list([1], rows.number)}), "CIFAR-100"),
        "order": (good.replace(b"b\x89T", b"b\x88T"), "Fortran"),
    }
    for name, (content, words) in cases.items():
        raw(dfal, name, content)
        dfal.refuses(65, "import", "cifar10", name, "-o", "p.h5", says=(name, words))
    check(not os.path.exists(dfal.at("EVIL")), "a pickle was executed")
    check(not os.path.exists(dfal.at("p.h5")), "a refused import left a pool")
    os.mkdir(dfal.at("void"))
    dfal.refuses(66, "import", "cifar10", "void", "-o", "p.h5", says=("void", "data_batch_1"))
    dfal.refuses(66, "import", "cifar10", "none", "-o", "p.h5", says="none")
    write_cifar(dfal, "py", "py", 12)
    os.remove(dfal.at("py/data_batch_4"))
    dfal.refuses(66, "import", "cifar10", "py", "-o", "p.h5", says="data_batch_4")
    dfal.refuses(64, "import", "cifar10", "py/data_batch_1", "-o", "p.h5", "--split", "test", says="split")
    dfal.refuses(65, "import", "cifar10", "py/data_batch_1", "./py/data_batch_1", "-o", "p.h5", says="one name")
    raw(dfal, "py/batches.meta", batches.meta().replace(b"U\x05truck", b"U\x00"))
    dfal.refuses(65, "import", "cifar10", "py", "-o", "p.h5", "--split", "test", says="class names")


def bounded(dfal):
    """The memory of an import does not grow with the array."""
    peaks = []
    for count in (3000, 60000):
        np.savez_compressed(dfal.at("a.npz"), samples=np.zeros((count, 784), np.float64))
        process = dfal.start("-q", "import", "npz", "a.npz", "-o", "p.h5", "--force")
        _, status, usage = os.wait4(process.pid, 0)
        process.communicate()
        check(status == 0, f"import of {count} rows ended with {status}")
        peaks.append(usage.ru_maxrss / 1024)
    check(peaks[1] < peaks[0] + 40, f"peak memory {peaks} MiB: 360 MB of array are held in memory")


main({f.__name__: f for f in (arrays, layouts, unused_classes, bad_arrays, archives, bad_archives, cifar10, bad_cifar10, bounded)})
