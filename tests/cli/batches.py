# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 batches as they are published: binary records, and pickles instruction by instruction as Python 2 wrote them."""
import struct

import numpy as np

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def draw(count, seed):
    """u8 [count, 3072] and labels, every class present."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(10), random.integers(0, 10, count - 10)]).astype(np.uint8)
    return random.integers(0, 256, (count, 3072), dtype=np.uint8), labels


def binary(data, labels):
    return np.concatenate([labels[:, None], data], 1).tobytes()


class Pickler:
    """Protocol 2 with Python 2's instructions: texts are SHORT_BINSTRING, every object goes into the memo."""

    def __init__(self):
        self.out, self.memo = bytearray(b"\x80\x02"), 0

    def put(self):
        self.memo += 1
        self.out += b"q" + bytes([self.memo]) if self.memo < 256 else b"r" + struct.pack("<I", self.memo)

    def text(self, value):
        value = value.encode() if isinstance(value, str) else value
        self.out += (b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<I", len(value))) + value
        self.put()

    def number(self, value):
        self.out += (b"K" + bytes([value]) if 0 <= value < 256 else b"M" + struct.pack("<H", value) if 0 <= value < 65536
                     else b"J" + struct.pack("<i", value))

    def name(self, module, name):
        self.out += b"c" + module.encode() + b"\n" + name.encode() + b"\n"
        self.put()

    def list(self, items, add):
        self.out += b"]"
        self.put()
        for begin in range(0, len(items), 1000):
            self.out += b"("
            for item in items[begin:begin + 1000]:
                add(item)
            self.out += b"e"

    def array(self, array):
        self.name("numpy.core.multiarray", "_reconstruct")
        self.name("numpy", "ndarray")
        self.out += b"K\x00\x85"
        self.put()
        self.text("b")
        self.out += b"\x87"
        self.put()
        self.out += b"R"
        self.put()
        self.out += b"(K\x01"
        for size in array.shape:
            self.number(size)
        self.out += bytes([0x84 + array.ndim])
        self.put()
        self.name("numpy", "dtype")
        self.text(array.dtype.str[1:])
        self.out += b"K\x00K\x01\x87"
        self.put()
        self.out += b"R"
        self.put()
        self.out += b"(K\x03"
        self.text("|")
        self.out += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
        self.put()
        self.out += b"b\x89"
        self.text(array.tobytes())
        self.out += b"t"
        self.put()
        self.out += b"b"

    def dictionary(self, pairs):
        """pairs: key -> function that writes the value."""
        self.out += b"}"
        self.put()
        self.out += b"("
        for key, write in pairs.items():
            self.text(key)
            write()
        self.out += b"u."
        return bytes(self.out)


def python(data, labels, title="training batch 1 of 5"):
    pickler = Pickler()
    return pickler.dictionary({
        "batch_label": lambda: pickler.text(title),
        "labels": lambda: pickler.list([int(label) for label in labels], pickler.number),
        "data": lambda: pickler.array(data),
        "filenames": lambda: pickler.list([f"image_s_{i:06}.png" for i in range(len(labels))], pickler.text)})


def meta():
    pickler = Pickler()
    return pickler.dictionary({"num_cases_per_batch": lambda: pickler.number(10000),
                               "label_names": lambda: pickler.list(NAMES, pickler.text),
                               "num_vis": lambda: pickler.number(3072)})
