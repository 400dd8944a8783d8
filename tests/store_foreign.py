#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write HDF5 files as strangers write them, good and bad (make DIR), or read dfal's files with h5py (read DIR).

test_store_foreign.c opens what `make` wrote and writes what `read` looks at."""
import json
import os
import struct
import sys
import zlib

import h5py
import numpy as np
from hdf5_sum import lookup3

# The newest formats that the oldest HDF5 which dfal supports knows: h5py may bring a newer one than the program that reads.
NEWEST = ("v110", "v110")

N, C, H, W = 12, 3, 4, 5


def value(n, c, h, w):
    return (n * 60 + c * 20 + h * 5 + w) % 251


def images():
    n, c, h, w = np.ogrid[0:N, 0:C, 0:H, 0:W]
    return value(n, c, h, w).astype("u1")


def pool(path, samples=None, labels="default", attributes=None, **more):
    with h5py.File(path, "w") as f:
        f.attrs["format"] = "dfal-pool"
        f.attrs["version"] = 1
        f.attrs["class_count"] = 3
        for key, entry in (attributes or {}).items():
            if entry is None:
                del f.attrs[key]
            else:
                f.attrs[key] = entry
        if samples is not False:
            f["samples"] = images() if samples is None else samples
        if labels is not None:
            f["labels"] = np.arange(N) % 3 if isinstance(labels, str) else labels
        for key, entry in more.items():
            f[key] = entry


def graph():
    return {
        "nodes": [
            {"name": "flat", "op": "Flatten", "inputs": ["input"], "attributes": {}},
            {"name": "fc", "op": "Gemm", "inputs": ["flat"], "attributes": {}},
        ],
        "output": "fc",
    }


def network(path, weight=None, bias=None, text=None, attributes=None, stray=None):
    with h5py.File(path, "w") as f:
        f.attrs["format"] = "dfal-network"
        f.attrs["version"] = 1
        f.attrs["input"] = [1, 2, 2]
        f.attrs["class_count"] = 3
        for key, entry in (attributes or {}).items():
            if entry is None:
                del f.attrs[key]
            else:
                f.attrs[key] = entry
        if text is not False:
            f["graph"] = json.dumps(graph()) if text is None else text
        if weight is not False:
            f["parameters/fc/weight"] = np.arange(12.0).reshape(3, 4) if weight is None else weight
        if bias is not False:
            f["parameters/fc/bias"] = np.array([1, 2, 3], "f8") if bias is None else bias
        if stray:
            f[stray] = np.zeros(3, "f4")


def dense(path):
    """Heaps with many rows of blocks, holes, and an attribute too large for them."""
    with h5py.File(path, "w", libver=NEWEST) as f:
        f.attrs.update({"format": "dfal-pool", "version": 1, "class_count": 3, "large": np.zeros(20000)})
        for i in range(500):
            f.attrs[f"more{i}"] = np.full(i % 60 + 1, i)
            f.create_group(f"group{i % 200}/{i}")
        for i in range(0, 500, 3):
            del f.attrs[f"more{i}"], f[f"group{i % 200}/{i}"]
        f["samples"] = images()
        f["labels"] = np.arange(N) % 3


INDICES = {  # the ways of the newest format to find chunks: their shape, and how far the dataset may grow
    "fixed": ((4, C, H, W), (400, C, H, W)), "growing": ((4, C, H, W), (None, C, H, W)),
    "tree": ((4, C, 2, W), (None, C, None, W)), "single": ((N, C, H, W), None), "implicit": ((4, C, H, W), None)}


def indexed(path, shape, most, packed):
    with h5py.File(path, "w", libver=NEWEST) as f:
        f.attrs.update({"format": "dfal-pool", "version": 1, "class_count": 3})
        f.create_dataset("samples", data=images(), chunks=shape, maxshape=most, compression=packed)


def good(at):
    pool(at("good_pool.h5"), ids=[f"id-{i}" for i in range(N)], classes=["cat", "dög", "7"],
         attributes={"scale": np.array([1.0, 0.5, 0.25], "f4"), "offset": 2})
    with h5py.File(at("good_fixed.h5"), "w") as f:
        f.attrs["format"] = np.bytes_(b"dfal-pool")
        f.attrs["version"] = np.uint8(1)
        f.attrs["class_count"] = np.float64(3)
        f["samples"] = images()
        f["labels"] = (np.arange(N) % 3).astype("f4")
        f["ids"] = np.array([f"row{i}" for i in range(N)], "S5")
        f["classes"] = np.array(["a", "b", "c"], "S1")
    with h5py.File(at("good_nhwc.h5"), "w") as f:
        f.create_dataset("images", data=images().transpose(0, 2, 3, 1), chunks=(5, H, W, C), compression="gzip")
        f["y"] = (np.arange(N) % 4).astype(">i8")
    with h5py.File(at("good_nhw.h5"), "w") as f:
        f.create_dataset("samples", data=images()[:, 0].astype("f8") / 8, chunks=(5, 2, 3), shuffle=True,
                         compression="gzip", fletcher32=True)
        f["labels"] = (np.arange(N) % 2).astype("u1")[:, None]
    with h5py.File(at("good_nd.h5"), "w") as f:
        f["samples"] = images()[:, 0].reshape(N, H * W).astype(">i2") - 100
    newest(at("good_latest.h5"))
    dense(at("good_dense.h5"))
    for name, (shape, most) in INDICES.items():
        indexed(at(f"index_{name}.h5"), shape, most, None)
        indexed(at(f"index_{name}_packed.h5"), shape, most, "gzip")
    network(at("good_network.h5"))
    network(at("good_nobias.h5"), bias=False, attributes={"scale": 0.5, "offset": [0.25]})


def bad_pools(at):
    open(at("empty.h5"), "wb").close()
    with open(at("text.h5"), "w") as f:
        f.write("id,label\n" * 100)
    pool(at("whole.h5"))
    with open(at("whole.h5"), "rb") as f:
        whole = f.read()
    with open(at("truncated.h5"), "wb") as f:
        f.write(whole[: len(whole) // 2])
    with open(at("head.h5"), "wb") as f:
        f.write(whole[:512])

    with h5py.File(at("chunk_missing.h5"), "w") as f:
        d = f.create_dataset("samples", (N, C, H, W), "u1", chunks=(4, C, H, W))
        d[0:4] = images()[0:4]
        d[8:12] = images()[8:12]
    with h5py.File(at("never_written.h5"), "w") as f:
        f.create_dataset("samples", (N, C, H, W), "u1")
    with h5py.File(at("huge_chunked.h5"), "w") as f:
        f.create_dataset("samples", (2**40, 1, 28, 28), "u1", chunks=(1024, 1, 28, 28))
    with h5py.File(at("huge_contiguous.h5"), "w") as f:
        f.create_dataset("samples", (2**40, 1, 28, 28), "u1")
    with h5py.File(at("huge_overflow.h5"), "w") as f:
        f.create_dataset("samples", (2**62, 1, 2**20, 2**20), "u1", chunks=(1, 1, 32, 32))
    with h5py.File(at("huge_ids.h5"), "w") as f:
        f["samples"] = images()
        f.create_dataset("ids", (2**40,), "S8", chunks=(1024,))
    with open(at("secret.bin"), "wb") as f:
        f.write(b"secret" * 1000)
    with h5py.File(at("external_storage.h5"), "w") as f:
        f.create_dataset("samples", (N, C, H, W), "u1", external=[(at("secret.bin"), 0, h5py.h5f.UNLIMITED)])
    with h5py.File(at("external_labels.h5"), "w") as f:
        f["samples"] = images()
        f.create_dataset("labels", (N,), "u1", external=[(at("secret.bin"), 0, h5py.h5f.UNLIMITED)])
    with h5py.File(at("external_link.h5"), "w") as f:
        f["samples"] = h5py.ExternalLink("whole.h5", "/samples")
    with h5py.File(at("external_group.h5"), "w") as f:
        f["other"] = h5py.ExternalLink("whole.h5", "/")
        f["samples"] = h5py.SoftLink("/other/samples")
    with h5py.File(at("virtual.h5"), "w", libver=NEWEST) as f:
        layout = h5py.VirtualLayout((N, C, H, W), "u1")
        layout[:] = h5py.VirtualSource(at("whole.h5"), "samples", (N, C, H, W))
        f.create_virtual_dataset("samples", layout)
    with h5py.File(at("plugin.h5"), "w") as f:
        f.create_dataset("samples", data=images(), chunks=(4, C, H, W), compression="lzf")
    with h5py.File(at("checksum.h5"), "w") as f:
        d = f.create_dataset("samples", data=images(), chunks=(4, C, H, W), fletcher32=True)
        where = d.id.get_chunk_info(0).byte_offset
    with open(at("checksum.h5"), "r+b") as f:
        f.seek(where + 7)
        f.write(b"\xff")
    with h5py.File(at("loop.h5"), "w") as f:
        f["samples"] = h5py.SoftLink("/samples")

    pool(at("no_samples.h5"), samples=False, pixels=images())
    pool(at("rank5.h5"), samples=images()[None])
    pool(at("rank1.h5"), samples=np.zeros(5, "u1"))
    pool(at("strings.h5"), samples=np.array(["a", "b"], "S1"))
    pool(at("compound.h5"), samples=np.zeros((4, 4), [("a", "u1"), ("b", "f4")]))
    pool(at("group.h5"), samples=False, **{"samples/inner": images()})
    pool(at("zero_samples.h5"), samples=np.zeros((0, 1, 4, 4), "u1"), labels=None)
    pool(at("zero_pixels.h5"), samples=np.zeros((4, 1, 0, 4), "u1"), labels=None)
    pool(at("labels_short.h5"), labels=np.zeros(N - 1, "i4"))
    pool(at("labels_two.h5"), labels=np.zeros((N, 2), "i4"))
    pool(at("labels_high.h5"), labels=np.array([0, 1, 2, 3] * 3))
    pool(at("labels_low.h5"), labels=np.array([0, 1, 2, -2] * 3))
    pool(at("labels_wide.h5"), labels=np.array([0, 1, 2**33, 0] * 3))
    pool(at("labels_fraction.h5"), labels=np.array([0, 1, 1.5, 0] * 3))
    pool(at("labels_nan.h5"), labels=np.array([0, 1, np.nan, 0] * 3))
    pool(at("labels_text.h5"), labels=np.array(["0"] * N, "S1"))
    pool(at("one_class.h5"), labels=np.zeros(N, "i4"), attributes={"class_count": None})
    pool(at("class_count_one.h5"), labels=np.zeros(N, "i4"), attributes={"class_count": 1})
    pool(at("class_count_text.h5"), attributes={"class_count": "three"})
    pool(at("class_count_fraction.h5"), attributes={"class_count": 2.5})
    pool(at("class_names_short.h5"), classes=["a", "b"])
    pool(at("version.h5"), attributes={"version": 2})
    pool(at("format_number.h5"), attributes={"format": "dfal-film"})
    pool(at("scale_nan.h5"), attributes={"scale": np.nan})
    pool(at("scale_zero.h5"), attributes={"scale": 0.0})
    pool(at("scale_two.h5"), attributes={"scale": [1.0, 2.0]})
    pool(at("scale_text.h5"), attributes={"scale": "1"})
    pool(at("ids_short.h5"), ids=["a", "b"])
    pool(at("ids_numbers.h5"), ids=np.arange(N))
    pool(at("ids_doubled.h5"), ids=["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "c"])


def bad_networks(at):
    network(at("net_no_weight.h5"), weight=False)
    network(at("net_weight_rank.h5"), weight=np.zeros(12))
    network(at("net_weight_shape.h5"), weight=np.zeros((3, 5)))
    network(at("net_weight_text.h5"), weight=np.array([["a", "b"]], "S1"))
    network(at("net_weight_empty.h5"), weight=np.zeros((0, 4)))
    network(at("net_bias_shape.h5"), bias=np.zeros(4))
    network(at("net_stray.h5"), stray="parameters/fc/bais", bias=False)
    network(at("net_json.h5"), text="{nodes")
    network(at("net_no_graph.h5"), text=False)
    network(at("net_graph_number.h5"), text=7)
    network(at("net_op.h5"), text=json.dumps(graph()).replace("Gemm", "Gem"))
    network(at("net_input_two.h5"), attributes={"input": [1, 4]})
    network(at("net_input_zero.h5"), attributes={"input": [1, 0, 4]})
    network(at("net_classes.h5"), attributes={"class_count": 4})
    network(at("net_no_classes.h5"), attributes={"class_count": None})
    network(at("net_version.h5"), attributes={"version": 9})
    network(at("net_scale_two.h5"), attributes={"scale": [1.0, 2.0]})
    network(at("net_external.h5"), weight=False)
    with h5py.File(at("net_external.h5"), "a") as f:
        f.create_dataset("parameters/fc/weight", (3, 4), "f4", external=[(at("secret.bin"), 0, h5py.h5f.UNLIMITED)])
    network(at("net_huge.h5"), weight=False)
    with h5py.File(at("net_huge.h5"), "a") as f:
        f.create_dataset("parameters/fc/weight", (2**30, 2**20), "f4", chunks=(1024, 256))


def patched(path, make_it, *changes):
    """A file with other bytes: (where(content), format, number) each."""
    make_it(path)
    with open(path, "rb") as f:
        content = bytearray(f.read())
    for where, form, number in changes:
        struct.pack_into("<" + form, content, where(content), number(content) if callable(number) else number)
    with open(path, "wb") as f:
        f.write(content)


def behind(mark, offset, after=b""):
    return lambda content: content.index(mark, content.index(after)) + offset


def chunk_file(direct, mask=0, **packed):
    """A pool whose first chunk was stored as these bytes."""
    def make_it(path):
        with h5py.File(path, "w") as f:
            d = f.create_dataset("samples", (N, C, H, W), "u1", chunks=(4, C, H, W), **packed)
            d[:] = images()
            if direct is not None:
                d.id.write_direct_chunk((0, 0, 0, 0), direct, mask)
    return make_it


def backwards(path):
    """Shuffled behind deflate: what is inflated is not what is stored."""
    with h5py.File(path, "w") as f:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk((4, C, H, W))
        creation.set_deflate(1)
        creation.set_shuffle()
        space = h5py.h5s.create_simple((N, C, H, W))
        h5py.Dataset(h5py.h5d.create(f.id, b"samples", h5py.h5t.STD_U8LE, space, creation))[:] = images()


def rotten(at):
    """One number of the metadata is another: HDF5 1.10 reads past a buffer, takes all memory or goes round for ever."""
    full = images()[:4].tobytes()
    chunk_file(zlib.compress(full[:3]), compression="gzip")(at("rotten_deflate.h5"))
    chunk_file(zlib.compress(full * 2), compression="gzip")(at("rotten_long.h5"))
    chunk_file(b"abc", 1, compression="gzip")(at("rotten_mask.h5"))
    chunk_file(zlib.compress(full)[:20], compression="gzip")(at("rotten_stream.h5"))
    chunk_file(bytes(4), fletcher32=True)(at("rotten_sum.h5"))
    with h5py.File(at("scaleoffset.h5"), "w") as f:
        f.create_dataset("samples", data=images(), chunks=(4, C, H, W), scaleoffset=0)
    with h5py.File(at("packed_large.h5"), "w") as f:
        d = f.create_dataset("samples", (N, C, H, W), "u1", chunks=(5000000, C, H, W), maxshape=(None, C, H, W),
                             compression="gzip")
        d.id.write_direct_chunk((0, 0, 0, 0), b"never unpacked")
    node = behind(b"TREE\x01", 0)
    patched(at("rotten_chunk.h5"), chunk_file(None), (lambda c: node(c) + 24, "I", 7))
    patched(at("rotten_tree.h5"), chunk_file(None), (lambda c: node(c) + 5, "B", 1),
            (lambda c: node(c) + 24 + 48, "Q", node))

    def named(path):
        pool(path, ids=[f"id-{i}" for i in range(N)], classes=["a", "b", "c"],
             attributes={"scale": np.array([0.5]), **{f"more{i}": i for i in range(8)}})

    header = lambda c: struct.unpack_from("<Q", c, 64)[0]  # of the root group
    patched(at("rotten_heap.h5"), named, (behind(b"GCOL", 24), "Q", 0))
    patched(at("rotten_dense.h5"), newest, (behind(b"GCOL", 24), "Q", 2057))
    patched(at("rotten_message.h5"), newest, (behind(b"more3\0", -7, b"FHDB"), "H", 60000))
    patched(at("rotten_record.h5"), newest, (behind(b"BTLF", 7), "I", 1 << 30))
    patched(at("rotten_root.h5"), newest, (behind(b"BTHD", 24), "H", 200))
    patched(at("rotten_entry.h5"), newest, (behind(b"EAHD", 6), "B", 9))
    patched(at("rotten_offset.h5"), newest, (behind(b"FHDB", 13), "B", 64))
    patched(at("rotten_table.h5"), newest, (behind(b"FRHP", 110), "H", 1024), (behind(b"FRHP", 128), "H", 8))
    patched(at("rotten_bits.h5"), newest, (behind(b"EAHD", 7), "B", 1))
    vax = behind(b"\x11\x20\x1f\0\4\0\0\0", 0)
    patched(at("rotten_order.h5"), lambda path: pool(path, images().astype("f4")), (lambda c: vax(c) + 1, "B", 0x60))
    backwards(at("rotten_filters.h5"))

    def many(path):
        pool(path)
        with h5py.File(path, "a") as f:
            for i in range(40):
                f.create_group(f"group {i}")

    def names(content):  # the tree of names with the most children
        return max((i for i in range(0, len(content), 8) if content.startswith(b"TREE\0", i)), key=lambda i: content[i + 6])

    patched(at("rotten_twice.h5"), many, (lambda c: names(c) + 48, "Q", lambda c: struct.unpack_from("<Q", c, names(c) + 32)[0]))

    def hidden(path):
        """A tree node in an attribute, where nobody has looked at it."""
        pool(path, False)
        with h5py.File(path, "a") as f:
            f.create_dataset("samples", data=images(), chunks=(4, C, H, W))
            f["samples"].attrs["hidden"] = np.frombuffer(b"TREE\1\1\1\0" + bytes([255] * 16) + bytes(8000), "u1")

    def real(content):
        return content.index(b"TREE\1\0")

    def place(content):  # where the layout says that the tree is
        return content.index(struct.pack("<Q", real(content)), 96)

    patched(at("rotten_hidden.h5"), hidden, (place, "Q", behind(b"TREE\1\1", 0)))
    head = behind(b"EAHD", 0)  # 68 bytes and their checksum
    patched(at("rotten_array.h5"), newest, (lambda c: head(c) + 44, "Q", 1 << 30),
            (lambda c: head(c) + 68, "I", lambda c: lookup3(c[head(c):head(c) + 68])))
    heap = behind(b"FRHP", 0)  # 142 bytes and their checksum
    patched(at("rotten_large.h5"), newest, (lambda c: heap(c) + 22, "Q", 512),
            (lambda c: heap(c) + 142, "I", lambda c: lookup3(c[heap(c):heap(c) + 142])))
    patched(at("rotten_block.h5"), named, (lambda c: c.index(b"\x10\0\x10\0\0\0\0\0", header(c)) + 16, "Q", 0))
    patched(at("rotten_driver.h5"), named, (lambda c: 48, "Q", 512))  # a split file
    patched(at("rotten_end.h5"), named, (lambda c: 40, "Q", lambda c: c.rindex(b"GCOL")))  # where the superblock says it ends
    patched(at("rotten_heap_size.h5"), named, (behind(b"GCOL", 8), "Q", 1 << 40))
    patched(at("rotten_free.h5"), named, (behind(b"HEAP", 16), "Q", 32),
            (lambda c: struct.unpack_from("<Q", c, c.index(b"HEAP") + 24)[0] + 32, "Q", 32),
            (lambda c: struct.unpack_from("<Q", c, c.index(b"HEAP") + 24)[0] + 40, "Q", 16))
    patched(at("rotten_names.h5"), named, (behind(b"SNOD", 6), "H", 60000))
    patched(at("rotten_circle.h5"), named, (lambda c: c.index(b"\x10\0\x10\0\0\0\0\0", header(c)) + 8, "Q", header))
    sides = b"scale\0\0\0", 8 + 24 + 8
    patched(at("rotten_attribute.h5"), named, (behind(*sides), "Q", 1 << 40),
            (lambda c: behind(*sides)(c) + 8, "Q", 1 << 40))
    named(at("whole_ids.h5"))
    with h5py.File(at("whole_ids.h5")) as f:
        place = f["ids"].id.get_offset()
    patched(at("rotten_id.h5"), named, (lambda c: place, "I", 4000))

    def filled(path):
        pool(path)
        with h5py.File(path, "a") as f:
            f.create_dataset("ids", (N,), dtype=h5py.string_dtype(), fillvalue="nothing")[:] = [f"id-{i}" for i in range(N)]

    heaps = lambda c: (i for i in range(0, len(c), 8) if c.startswith(b"GCOL", i))
    patched(at("rotten_fill.h5"), filled,
            (lambda c: max(c.find(struct.pack("<IQ", 7, heap)) for heap in heaps(c)), "I", 5000000))

    def circle(path):
        network(path)
        with h5py.File(path, "a") as f:
            f["parameters/again"] = f["parameters"]

    circle(at("whole_circle.h5"))
    with h5py.File(at("whole_circle.h5")) as f:
        links = h5py.h5o.get_info(f["parameters"].id).addr + 4
    patched(at("net_circle.h5"), circle, (lambda c: links, "I", 1))


def newest(path):
    with h5py.File(path, "w", libver=NEWEST) as f:
        f.attrs.update({"format": "dfal-pool", "version": 1, "class_count": 3, **{f"more{i}": i for i in range(12)}})
        f.create_dataset("samples", data=images(), chunks=(5, C, H, W), maxshape=(None, C, H, W), compression="gzip",
                         shuffle=True, fletcher32=True)
        f.create_dataset("ids", data=[f"id-{i}" for i in range(N)], chunks=(5,), compression="gzip",
                         dtype=h5py.string_dtype())
        f["labels"] = np.arange(N) % 3


def make(folder):
    def at(name):
        return os.path.join(folder, name)

    good(at)
    bad_pools(at)
    bad_networks(at)
    rotten(at)


def read(folder):
    with h5py.File(os.path.join(folder, "out_pool.h5"), "r") as f:
        assert f.attrs["format"] == "dfal-pool" and f.attrs["version"] == 1 and f.attrs["class_count"] == 3
        assert np.array_equal(f["samples"][:], images())
        assert f["labels"].dtype == np.int32 and f["labels"][:].tolist() == [i % 4 - 1 for i in range(N)]
        assert f["ids"].asstr()[3] == "id-3" and f["classes"].asstr()[:].tolist() == ["cat", "dög", "7"]
        assert f.attrs["scale"].tolist() == [1.0, 0.5, 0.25] and f.attrs["offset"].tolist() == [0.0, 2.0, -1.0]
    with h5py.File(os.path.join(folder, "out_network.h5"), "r") as f:
        assert f.attrs["format"] == "dfal-network" and f.attrs["input"].tolist() == [1, 2, 2]
        assert f["graph"].shape == () and json.loads(f["graph"][()])["output"] == "fc"
        assert f["parameters/fc/weight"].dtype == np.float32 and f["parameters/fc/weight"].shape == (3, 4)
        assert f["parameters/fc/bias"][:].tolist() == [1, 2, 3]
        assert len(f.attrs["configuration"]) == 200000 and f.attrs["seed"] == 2**64 - 1
    with h5py.File(os.path.join(folder, "out_scores.h5"), "r") as f:
        kinds = {"margin": "f4", "status": "u1", "label": "i4", "adversarial_class": "i4", "iterations": "u2",
                 "first_margin": "f4", "logit_gap": "f4", "index": "i8"}
        for name, kind in kinds.items():
            assert f[name].dtype == np.dtype(kind) and f[name].shape == (5,), name
        assert f["margin"].attrs["meaning"] == "DeepFool distance" and np.isnan(f["margin"].fillvalue)
        names = ["OK", "TIE", "MAX_ITER", "ZERO_GRAD", "NONFINITE", "PRUNED", "UNSCORED"]
        assert f["status"].attrs["names"].tolist() == names
        assert f["margin"][:].tolist() == [0.0, 0.5, 1.0, 1.5, 2.0] and f["id"].asstr()[4] == "id-4"
        assert f.attrs["complete"] == 1 and f.attrs["command_line"] == "dfal score"
        assert json.loads(f.attrs["configuration"]) == {"norm": 2, "preset": "lts4"}
        assert f["adversarial/samples"].shape == (2, 1, 2, 2) and f["adversarial/index"][:].tolist() == [3, 1]


if __name__ == "__main__":
    {"make": make, "read": read}[sys.argv[1]](sys.argv[2])
