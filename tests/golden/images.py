#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make what the tests of picture import hold against Pillow: tests/golden/resize.h and tests/fuzz/seeds/image/.

    images.py      needs Pillow; written with Pillow 13.0
"""
import os
import struct
import zlib

from PIL import Image

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


golden()
seeds()
