#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Data sets of a file a class, as Quick-Draw and Shoe-Bag are published, to pools of one split."""
import os

import h5py
import numpy as np

from support import check, main, same_bits


def drawings(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 784), dtype=np.uint8)


def photographs(count, seed):
    """Each of its own, and quickly packed."""
    y, x, c = np.indices((64, 64, 3))
    one = (3 * y + 5 * x + 40 * c + seed).astype(np.uint8)
    return one[None] + np.arange(count).astype(np.uint8)[:, None, None, None]


def save_photographs(dfal, name, pictures, dataset="imgs", **storage):
    """As iGAN's create_hdf5.py does: an attribute of Fuel's beside the pictures."""
    with h5py.File(dfal.at(name), "w") as file:
        made = file.create_dataset(dataset, data=pictures, **storage)
        if made.ndim == 4:
            for axis, label in enumerate(("batch", "height", "width", "channel")):
                made.dims[axis].label = label
        file.attrs["split"] = np.array([(b"train", b"imgs", 0, len(pictures))],
                                       dtype=[("split", "S5"), ("source", "S4"), ("start", "i8"), ("stop", "i8")])


def pool_is(dfal, name, parts, shape, classes):
    """Class by class in the order of the files, bytes as they were."""
    with h5py.File(dfal.at(name)) as file:
        expected = np.concatenate(parts).reshape(-1, *shape)
        check(file["samples"].dtype == np.uint8 and np.array_equal(file["samples"][()], expected), f"{name}: other samples")
        labels = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        check(np.array_equal(file["labels"][()], labels), f"{name}: labels {file['labels'][()]}")
        check([text.decode() for text in file["classes"][()]] == classes, f"{name}: classes {file['classes'][()]}")
        check(file.attrs["class_count"] == len(parts) and "ids" not in file, f"{name}: class_count or ids")
        check(file.attrs["scale"].tolist() == [1 / 255] and file.attrs["offset"].tolist() == [0], f"{name}: scale")


def quickdraw(dfal):
    """floor(0.8 N) of each class are train, the others test; no image is in both, and none is lost."""
    counts = {"full_numpy_bitmap_cat": 7, "more/face": 2003, "angel.fish": 2, "full_numpy_bitmap_The Eiffel Tower": 10}
    made = {name: drawings(count, seed) for seed, (name, count) in enumerate(counts.items())}
    os.mkdir(dfal.at("more"))
    for name, array in made.items():
        np.save(dfal.at(name + ".npy"), array)
    files, classes = [name + ".npy" for name in counts], ["cat", "face", "angel.fish", "The Eiffel Tower"]
    train = [5, 1602, 1, 8]
    out, err = dfal.run("import", "quickdraw", *files, "--split", "train", "-o", "train.h5")
    check(out == "" and "1616 images of 1 x 28 x 28 of 4 classes, labelled: the training set" in err, err)
    pool_is(dfal, "train.h5", [array[:n] for array, n in zip(made.values(), train)], (1, 28, 28), classes)
    check(dfal.json("import", "quickdraw", *files, "--split", "test", "-o", "test.h5") == {"output": "test.h5"}, "--json")
    pool_is(dfal, "test.h5", [array[n:] for array, n in zip(made.values(), train)], (1, 28, 28), classes)
    dfal.run("-q", "import", "quickdraw", *files, "-o", "again.h5")
    same_bits(dfal.at("train.h5"), dfal.at("again.h5"))
    dfal.run("-q", "import", "quickdraw", files[2], files[0], "-o", "other.h5")
    pool_is(dfal, "other.h5", [made["angel.fish"][:1], made["full_numpy_bitmap_cat"][:5]], (1, 28, 28), ["angel.fish", "cat"])
    dfal.refuses(73, "import", "quickdraw", *files, "-o", "again.h5", says="again.h5")


def shoebag(dfal):
    """The last 2,000 of each class are test; packed or not, [H,W,C] becomes [C,H,W]."""
    shoes, bags = photographs(2105, 1), photographs(2001, 90)
    save_photographs(dfal, "shoes_64.hdf5", shoes, chunks=(50, 64, 64, 3), compression="gzip", compression_opts=1)
    save_photographs(dfal, "handbag_64.hdf5", bags)
    turned = [array.transpose(0, 3, 1, 2) for array in (shoes, bags)]
    files = ("shoes_64.hdf5", "handbag_64.hdf5")
    for split, parts in ("train", [turned[0][:105], turned[1][:1]]), ("test", [turned[0][105:], turned[1][1:]]):
        dfal.run("-q", "import", "shoebag", *files, "--split", split, "-o", split + ".h5")
        pool_is(dfal, split + ".h5", parts, (3, 64, 64), ["shoes", "handbag"])
    save_photographs(dfal, "boots.h5", shoes, dataset="pictures")
    os.rename(dfal.at("handbag_64.hdf5"), dfal.at("bag.h5"))
    save_photographs(dfal, "bag.h5", bags, dataset="pictures")
    dfal.run("-q", "import", "shoebag", "boots.h5", "bag.h5", "--samples-name", "pictures", "-o", "named.h5")
    pool_is(dfal, "named.h5", [turned[0][:105], turned[1][:1]], (3, 64, 64), ["boots", "bag"])


def bad_drawings(dfal):
    np.save(dfal.at("cat.npy"), drawings(20, 1))
    whole = open(dfal.at("cat.npy"), "rb").read()
    cases = {
        "float": (drawings(20, 2).astype(np.float32), "[20, 784] of type <f4"), "signed": (drawings(20, 2).astype(np.int8), "|i1"),
        "bool": (drawings(20, 2) > 9, "|b1"), "square": (drawings(20, 2).reshape(20, 28, 28), "[20, 28, 28]"),
        "narrow": (drawings(20, 2)[:, :783].copy(), "[20, 783]"), "alone": (drawings(1, 2), "1 image, expected at least 2"),
        "none": (drawings(0, 2), "0 images"), "cut": (whole[:-1], "cut.npy"), "text": (b"cat,dog\n" * 90, "text.npy"),
        "empty": (b"", "is empty")}
    for name, (content, words) in cases.items():
        if isinstance(content, bytes):
            with open(dfal.at(name + ".npy"), "wb") as file:
                file.write(content)
        else:
            np.save(dfal.at(name + ".npy"), content)
        dfal.refuses(65, "import", "quickdraw", "cat.npy", name + ".npy", "-o", "p.h5", says=(name + ".npy", words))
    line = ("import", "quickdraw", "cat.npy")
    dfal.refuses(66, *line, "none_such.npy", "-o", "p.h5", says="none_such.npy")
    dfal.refuses(65, *line, ".", "-o", "p.h5", says="plain file")
    dfal.refuses(65, *line, "./cat.npy", "-o", "p.h5", says=("cat.npy and ./cat.npy", "class 'cat'"))
    dfal.refuses(64, *line, "-o", "p.h5", says="CLASS.npy CLASS.npy")
    dfal.refuses(64, *line, "cat.npy", "-o", "p.h5", "--split", "validation", says=("validation", "train or test"))
    dfal.refuses(64, *line, "cat.npy", "-o", "p.h5", "--samples-name", "x", says="--samples-name")
    dfal.refuses(64, *line, "cat.npy", "-o", "p.h5", "--layout", "NHWC", says="--layout")
    check(not os.path.exists(dfal.at("p.h5")), "a refused import left a pool")


def bad_photographs(dfal):
    save_photographs(dfal, "shoes_64.hdf5", np.zeros((2001, 64, 64, 3), np.uint8))
    few = photographs(4, 1)
    cases = {
        "few": (np.zeros((2000, 64, 64, 3), np.uint8), "holds 2000 images, expected at least 2001"),
        "turned": (few.transpose(0, 3, 1, 2), "[4, 3, 64, 64]"), "large": (np.zeros((4, 128, 128, 3), np.uint8), "[4, 128, 128, 3]"),
        "grey": (few[..., 0], "[4, 64, 64, 1]"), "float": (few.astype(np.float32), "another type"),
        "signed": (few.astype(np.int8), "another type"), "flat": (few.reshape(4, -1), "expected photographs [N, 64, 64, 3]"),
        "five": (few[None], "[1, 4, 64, 64, 3]"), "texts": (np.array([b"a", b"b"]), "neither integers nor reals")}
    for name, (array, words) in cases.items():
        save_photographs(dfal, name + ".h5", array, **({"chunks": (50, 64, 64, 3), "compression": "gzip"} if name == "few" else {}))
        dfal.refuses(65, "import", "shoebag", name + ".h5", "shoes_64.hdf5", "-o", "p.h5", says=(name + ".h5", words))
    line = ("import", "shoebag", "shoes_64.hdf5")
    save_photographs(dfal, "other.h5", few, dataset="pictures")
    dfal.refuses(65, *line, "other.h5", "-o", "p.h5", says=("other.h5 has no dataset 'imgs'", "pictures", "--samples-name"))
    with open(dfal.at("text.h5"), "w", encoding="ascii") as file:
        file.write("no HDF5 at all\n" * 90)
    dfal.refuses(65, *line, "text.h5", "-o", "p.h5", says=("text.h5", "HDF5"))
    dfal.refuses(66, *line, "none.h5", "-o", "p.h5", says="none.h5")
    dfal.refuses(64, *line, "-o", "p.h5", says="CLASS.hdf5 CLASS.hdf5")
    dfal.refuses(65, *line, "./shoes_64.hdf5", "-o", "p.h5", says="class 'shoes'")
    dfal.refuses(64, *line, "few.h5", "-o", "p.h5", "--labels-name", "x", says="--labels-name")
    check(not os.path.exists(dfal.at("p.h5")), "a refused import left a pool")


main({f.__name__: f for f in (quickdraw, shoebag, bad_drawings, bad_photographs)})
