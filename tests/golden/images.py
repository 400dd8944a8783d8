#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make what the tests of picture import hold against Pillow: tests/golden/resize.h and tests/fuzz/seeds/image/.

    images.py      needs Pillow and numpy; written with Pillow 13.0
"""
import hashlib
import os
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))
WIDTH, HEIGHT, SIDE = 37, 23, 12


def value(x, y, c):
    """The source picture; test_image.c has the same formula."""
    return (x * 7 + y * 13 + c * 50 + (x * y) % 31 * 5 + (90 if x > 20 and y > 9 else 0)) & 255


def source(width, height):
    picture = Image.new("RGB", (width, height))
    picture.putdata([tuple(value(x, y, c) for c in range(3)) for y in range(height) for x in range(width)])
    return picture


def golden():
    """Resize to 16, crop 12, of a lying, a standing and a tall picture (whose height is resized first)."""
    lines = ["/* SPDX-License-Identifier: Apache-2.0 */",
             "/* Made by tests/golden/images.py with Pillow: resize to 16, crop 12, planes of red, green, blue. */",
             "/* clang-format off */", "#ifndef DFAL_TESTS_GOLDEN_RESIZE_H", "#define DFAL_TESTS_GOLDEN_RESIZE_H", "", "#include <stdint.h>", "",
             f"enum {{ GOLDEN_SIDE = {SIDE} }};", "static const struct {", "    int width, height, bicubic;",
             f"    uint8_t planes[3 * {SIDE} * {SIDE}];", "} golden_resizes[] = {"]
    for width, height in ((WIDTH, HEIGHT), (HEIGHT, WIDTH), (20, 90), (9, 7)):
        for name, kind in ((0, Image.BILINEAR), (1, Image.BICUBIC)):
            short, long = min(width, height), max(width, height)
            size = (16, int(16 * long / short)) if width <= height else (int(16 * long / short), 16)
            picture = source(width, height).resize(size, kind)
            left, top = round((size[0] - SIDE) / 2), round((size[1] - SIDE) / 2)
            planes = [list(plane.getdata()) for plane in picture.crop((left, top, left + SIDE, top + SIDE)).split()]
            lines.append(f"    {{{width}, {height}, {name},")
            numbers = [str(number) for plane in planes for number in plane]
            rows = [", ".join(numbers[i:i + 24]) for i in range(0, len(numbers), 24)]
            lines.append("     {" + ",\n      ".join(rows) + "}},")
    lines += ["};", "", "#endif", ""]
    with open(os.path.join(HERE, "resize.h"), "w", encoding="ascii") as file:
        file.write("\n".join(lines))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def animated():
    """Two frames of 2 x 2 grey: the first is the default picture."""
    frame = lambda grey: zlib.compress(b"".join(b"\0" + bytes([grey, grey]) for _ in range(2)))
    control = lambda n: chunk(b"fcTL", struct.pack(">IIIIIHHBB", n, 2, 2, 0, 0, 1, 10, 0, 0))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0)) +
            chunk(b"acTL", struct.pack(">II", 2, 0)) + control(0) + chunk(b"IDAT", frame(200)) + control(1) +
            chunk(b"fdAT", struct.pack(">I", 2) + frame(10)) + chunk(b"IEND", b""))


def seeds():
    folder = os.path.join(HERE, "..", "fuzz", "seeds", "image")
    os.makedirs(folder, exist_ok=True)
    small = source(16, 11)
    exif = Image.Exif()
    exif[0x112] = 6
    at = lambda name: os.path.join(folder, name)
    small.save(at("colour.jpg"), quality=70)
    small.save(at("progressive.jpg"), quality=70, progressive=True)
    small.save(at("turned.jpg"), quality=70, exif=exif)
    small.convert("L").save(at("grey.jpg"), quality=70)
    small.convert("CMYK").save(at("inks.jpg"), quality=70)
    small.save(at("colour.png"))
    small.save(at("turned.png"), exif=exif)
    small.convert("1").save(at("bits.png"))
    small.convert("LA").save(at("grey-alpha.png"))
    small.quantize(5).save(at("palette.png"), transparency=1)
    with open(at("animated.png"), "wb") as file:
        file.write(animated())


def tiff(path, pixels, photometric, bits=8, extra=None, planar=1, tile=None, orientation=1, order="<"):
    """What Pillow does not write: pixels [H, W, C] as stored; planes, tiles, 16 bits, alpha of any kind."""
    height, width, count = pixels.shape
    kind = order + ("u2" if bits == 16 else "u1")
    planes = [pixels] if planar == 1 else [pixels[:, :, c:c + 1] for c in range(count)]
    pieces = []
    for plane in planes:
        for y in range(0, height, tile or height):
            for x in range(0, width, tile or width):
                piece = plane[y:y + (tile or height), x:x + (tile or width)]
                if tile:
                    piece = np.pad(piece, ((0, tile - piece.shape[0]), (0, tile - piece.shape[1]), (0, 0)))
                pieces.append(piece.astype(kind).tobytes())
    data, offsets = b"", []
    for piece in pieces:
        offsets.append(8 + len(data))
        data += piece + b"\0" * (len(piece) % 2)
    tags = {256: [width], 257: [height], 258: [bits] * count, 259: [1], 262: [photometric], 274: [orientation], 277: [count], 284: [planar]}
    tags.update({322: [tile], 323: [tile], 324: offsets, 325: [len(p) for p in pieces]} if tile else
                {273: offsets, 278: [height], 279: [len(p) for p in pieces]})
    if extra is not None:
        tags[338] = [extra]
    begin = 8 + len(data)
    more, entries = b"", b""
    for tag in sorted(tags):
        values = b"".join(struct.pack(order + "I", value) for value in tags[tag])
        if len(values) > 4:
            at = begin + 2 + 12 * len(tags) + 4 + len(more)
            more, values = more + values, struct.pack(order + "I", at)
        entries += struct.pack(order + "HHI", tag, 4, len(tags[tag])) + values
    with open(path, "wb") as file:
        file.write((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", begin) + data +
                   struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", 0) + more)


def bmp(path, width, height, bits, rows, masks=None, palette=b"", top_down=False):
    """What Pillow does not write: 16 bits, masks, rows from the top."""
    head = struct.pack("<IiiHHIIiiII", 40, width, -height if top_down else height, 1, bits, 3 if masks else 0, len(rows), 0, 0,
                       len(palette) // 4, 0) + struct.pack(f"<{len(masks or ())}I", *(masks or ()))
    with open(path, "wb") as file:
        file.write(b"BM" + struct.pack("<IHHI", 14 + len(head) + len(palette) + len(rows), 0, 0, 14 + len(head) + len(palette)) +
                   head + palette + rows)


def formats():
    """WebP, BMP and TIFF of every kind that is read: tests/fuzz/seeds/image/ and what Pillow makes of them."""
    at = lambda name: os.path.join(HERE, "..", "fuzz", "seeds", "image", name)
    small, exif = source(16, 11), Image.Exif()
    exif[0x112] = 6
    pixels = np.array(small)
    alpha = np.dstack([pixels, pixels[:, :, 0] ^ 0x55])
    small.save(at("lossy.webp"), quality=60)
    small.save(at("lossless.webp"), lossless=True)
    Image.fromarray(alpha).save(at("alpha.webp"), quality=80, exact=True)
    small.save(at("turned.webp"), lossless=True, exif=exif)
    small.save(at("colour.bmp"))
    small.convert("1").save(at("bits.bmp"))
    small.convert("L").save(at("grey.bmp"))
    small.quantize(20).save(at("palette.bmp"))
    Image.fromarray(alpha).save(at("alpha.bmp"))
    words = lambda red, green, blue: (pixels[:, :, 0].astype(int) >> 3 << red | pixels[:, :, 1].astype(int) >> (8 - green) << 5 |
                                      pixels[:, :, 2].astype(int) >> (8 - blue)).astype("<u2")
    bmp(at("fifteen.bmp"), 16, 11, 16, words(10, 5, 5)[::-1].tobytes())
    bmp(at("sixteen.bmp"), 16, 11, 16, words(11, 6, 5).tobytes(), (0xf800, 0x7e0, 0x1f), top_down=True)
    nibbles = (pixels[:, :, 0] >> 4).astype(np.uint8)
    bmp(at("four.bmp"), 16, 11, 4, np.pad(nibbles[::-1, ::2] << 4 | nibbles[::-1, 1::2], ((0, 0), (0, 0))).tobytes(),
        palette=bytes(i * 13 % 256 for i in range(64)))
    for name, mode, compression in (("colour", "RGB", "tiff_lzw"), ("deflate", "RGB", "tiff_adobe_deflate"), ("packed", "L", "packbits"),
                                    ("jpeg", "RGB", "jpeg"), ("fax", "1", "group4"), ("inks", "CMYK", None), ("alpha", "RGBA", None)):
        small.convert(mode).save(at(name + ".tif"), compression=compression)
    small.quantize(9).save(at("palette.tif"))
    wide = pixels.astype(np.uint16) << 8 | pixels[:, :, ::-1]
    tiff(at("deep.tif"), wide, 2, bits=16)
    tiff(at("deep-big.tif"), wide, 2, bits=16, order=">")
    tiff(at("planes.tif"), pixels, 2, planar=2)
    tiff(at("tiles.tif"), np.array(source(37, 23)), 2, tile=16)
    tiff(at("tile-planes.tif"), np.array(source(37, 23)), 2, tile=16, planar=2)
    tiff(at("white.tif"), pixels[:, :, :1], 0)
    tiff(at("multiplied.tif"), np.minimum(alpha, alpha[:, :, 3:]), 2, extra=1)
    tiff(at("turned.tif"), pixels, 2, orientation=6)
    lines = ["/* SPDX-License-Identifier: Apache-2.0 */",
             "/* Made by tests/golden/images.py with Pillow: sha256 of the planes of convert(\"RGB\"), EXIF followed. */",
             "/* clang-format off */", "#ifndef DFAL_TESTS_GOLDEN_FORMATS_H", "#define DFAL_TESTS_GOLDEN_FORMATS_H", "",
             "static const struct {", "    const char *name;", "    int width, height;", "    const char *sha256;", "} golden_formats[] = {"]
    for name in sorted(os.listdir(at(""))):
        if name.endswith((".webp", ".bmp", ".tif")):
            with Image.open(at(name)) as file:
                picture = ImageOps.exif_transpose(file).convert("RGB")
            planes = np.asarray(picture).transpose(2, 0, 1).tobytes()
            lines.append(f'    {{"{name}", {picture.width}, {picture.height},\n     "{hashlib.sha256(planes).hexdigest()}"}},')
    with open(os.path.join(HERE, "formats.h"), "w", encoding="ascii") as file:
        file.write("\n".join(lines + ["};", "", "#endif", ""]))


if __name__ == "__main__":
    golden()
    seeds()
    formats()
