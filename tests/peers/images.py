#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`dfal import images` beside Pillow: random pictures of every mode that JPEG, PNG, WebP, BMP and TIFF files can have.

    images.py BUILD [COUNT]      needs numpy, h5py and Pillow

Each picture goes through convert("RGB") or convert("L"), torchvision's Resize and CenterCrop as Pillow does them, and
may differ by 1 of 255 at most.
"""
import os
import random
import struct
import subprocess
import sys
import tempfile
import zlib

import h5py
import numpy as np
from PIL import Image, ImageOps


def smooth(rng, width, height, channels):
    """Noise, gradients and edges, so that both flat and sharp places are there."""
    x, y = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 6, height))
    planes = []
    for _ in range(channels):
        a, b, c = rng.uniform(-2, 2, 3)
        plane = 127 + 110 * np.sin(a * x + b * y + c) + rng.normal(0, rng.choice([0, 3, 40]), x.shape)
        plane[(x > rng.uniform(0, 6)) & (y > rng.uniform(0, 6))] = rng.choice([0, 255])
        planes.append(plane)
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(path, pixels, kind):
    """Pillow writes no colour of 16 bits, so this does: pixels [H, W, C] u16."""
    height, width = pixels.shape[:2]
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)) +
                   chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def png_bits(path, pixels, bits, interlaced_from=None):
    """Grey of 1, 2 or 4 bits: pixels [H, W] below 2 ** bits."""
    height, width = pixels.shape
    rows = []
    for row in pixels:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        rows.append(b"\0" + bytes(int(text[i:i + 8], 2) for i in range(0, len(text), 8)))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)) +
                   chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b""))


KINDS = ("jpeg", "jpeg-444", "jpeg-progressive", "jpeg-grey", "jpeg-cmyk", "png", "png-grey", "png-alpha",
         "png-grey-alpha", "png-palette", "png-palette-alpha", "png-1", "png-2", "png-4", "png-16", "png-16-grey",
         "png-16-alpha", "png-exif", "webp", "webp-lossless", "webp-alpha", "webp-exif", "bmp", "bmp-1", "bmp-grey", "bmp-palette",
         "bmp-alpha", "tiff", "tiff-lzw", "tiff-deflate", "tiff-packbits", "tiff-jpeg", "tiff-grey", "tiff-1", "tiff-cmyk",
         "tiff-alpha", "tiff-palette", "tiff-exif")


def write(path, kind, rng, width, height):
    """One picture of a kind; returns the path with its extension."""
    exif = Image.Exif()
    if kind.startswith("jpeg"):
        path += rng.choice([".jpg", ".JPEG", ".jpeg"])
        channels = {"jpeg-grey": 1, "jpeg-cmyk": 4}.get(kind, 3)
        pixels = smooth(rng, width, height, channels)
        picture = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels, {1: "L", 3: "RGB", 4: "CMYK"}[channels])
        orientation = int(rng.integers(0, 9))
        if orientation:
            exif[0x112] = orientation
        picture.save(path, "JPEG", quality=int(rng.integers(30, 96)), progressive=kind == "jpeg-progressive", exif=exif,
                     subsampling=0 if kind == "jpeg-444" else int(rng.integers(0, 3)))
        return path
    if not kind.startswith("png"):
        return write_other(path, kind, rng, width, height)
    path += rng.choice([".png", ".PNG"])
    if kind.startswith("png-16"):
        channels, code = {"png-16": (3, 2), "png-16-grey": (1, 0), "png-16-alpha": (4, 6)}[kind]
        high = smooth(rng, width, height, channels).astype(np.uint16)
        png16(path, high << 8 | rng.integers(0, 256, high.shape).astype(np.uint16), code)
    elif kind in ("png-1", "png-2", "png-4"):
        bits = int(kind[-1])
        png_bits(path, smooth(rng, width, height, 1)[:, :, 0] >> (8 - bits), bits)
    elif kind.startswith("png-palette"):
        picture = Image.fromarray(smooth(rng, width, height, 3)).quantize(int(rng.integers(2, 257)))
        picture.save(path, "PNG", **({"transparency": 0} if kind.endswith("alpha") else {}))
    else:
        mode = {"png": "RGB", "png-grey": "L", "png-alpha": "RGBA", "png-grey-alpha": "LA", "png-exif": "RGB"}[kind]
        pixels = smooth(rng, width, height, len(mode))
        picture = Image.fromarray(pixels[:, :, 0] if mode == "L" else pixels)
        if kind == "png-exif":
            exif[0x112] = int(rng.integers(1, 9))
            picture.save(path, "PNG", exif=exif)
        else:
            picture.save(path, "PNG")
    return path


def write_other(path, kind, rng, width, height):
    """WebP, BMP and TIFF; the name may lie about what it is."""
    form, _, what = kind.partition("-")
    path += rng.choice({"webp": [".webp", ".jfif"], "bmp": [".bmp", ".BMP"], "tiff": [".tif", ".tiff", ".jpe"]}[form])
    mode = {"grey": "L", "alpha": "RGBA", "cmyk": "CMYK", "1": "1"}.get(what, "RGB")
    pixels = smooth(rng, width, height, {"L": 1, "1": 1, "RGB": 3}.get(mode, 4))
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels, mode if mode != "1" else "L")
    if mode == "1":
        picture = picture.convert("1")
    if what == "palette":
        picture = picture.quantize(int(rng.integers(2, 257)))
    exif = Image.Exif()
    if what == "exif":
        exif[0x112] = int(rng.integers(1, 9))
    more = {"webp": {"quality": int(rng.integers(30, 96)), "lossless": what == "lossless", "exif": exif}, "bmp": {}, "tiff": {}}[form]
    if form == "tiff":
        compression = {"lzw": "tiff_lzw", "deflate": "tiff_adobe_deflate", "packbits": "packbits", "jpeg": "jpeg", "1": "group4"}.get(what)
        more = {"compression": compression, "exif": exif} if what == "exif" else {"compression": compression}
    picture.save(path, form.upper(), **more)
    return path


def to_grey_or_colour(picture, channels):
    """convert("RGB") or convert("L"), where Pillow's own way with 16-bit grey is to take the high byte."""
    if picture.mode.startswith("I"):
        picture = Image.fromarray((np.asarray(picture).astype(np.int64) >> 8).astype(np.uint8))
    return picture.convert("L" if channels == 1 else "RGB")


def expected(path, resize, crop, interpolation, channels, exif):
    """What torchvision's Resize and CenterCrop make of it, in their own words; its ImageFolder does not look at EXIF."""
    with Image.open(path) as file:
        picture = to_grey_or_colour(file if exif == "ignore" else ImageOps.exif_transpose(file), channels)
    if isinstance(resize, str):
        size = tuple(int(side) for side in reversed(resize.split(",")))
        picture = picture.resize(size, Image.BICUBIC if interpolation == "bicubic" else Image.BILINEAR)
    elif resize:
        width, height = picture.size
        short, long = min(width, height), max(width, height)
        longer = int(resize * long / short)
        size = (resize, longer) if width <= height else (longer, resize)
        picture = picture.resize(size, Image.BICUBIC if interpolation == "bicubic" else Image.BILINEAR)
    pixels = np.asarray(picture).reshape(picture.size[1], picture.size[0], -1)
    if crop:
        height, width = pixels.shape[:2]
        left, top = (max(0, crop - side) // 2 for side in (width, height))
        right, bottom = ((max(0, crop - side) + 1) // 2 for side in (width, height))
        pixels = np.pad(pixels, ((top, bottom), (left, right), (0, 0)))
        height, width = pixels.shape[:2]
        y, x = round((height - crop) / 2), round((width - crop) / 2)
        pixels = pixels[y:y + crop, x:x + crop]
    return pixels.transpose(2, 0, 1)


def compare(dfal, folder, paths, options):
    pool = os.path.join(folder, "pool.h5")
    words = [word for key, value in options.items() if value for word in ("--" + key, str(value))]
    subprocess.run([dfal, "-q", "import", "images", os.path.join(folder, "in"), "-o", pool, "--force", *words], check=True)
    worst, histogram, wrong = 0, np.zeros(256, np.int64), []
    with h5py.File(pool) as file:
        ids = [name.decode() for name in file["ids"][()]]
        assert ids == sorted(os.path.basename(path) for path in paths), "ids or their order"
        for row, name in enumerate(ids):
            want = expected(os.path.join(folder, "in", name), options["resize"], options["crop"],
                            options["interpolation"], options["channels"], options["exif"])
            found = file["samples"][row]
            assert found.shape == want.shape, (name, found.shape, want.shape)
            difference = np.abs(found.astype(int) - want)
            histogram += np.bincount(difference.ravel(), minlength=256)
            worst = max(worst, difference.max())
            if difference.max() > 1:
                wrong.append((name, int(difference.max()), float((difference > 1).mean())))
    print(f"{len(paths)} pictures, {options}: largest difference {worst}, "
          f"{100 * histogram[0] / histogram.sum():.4f} % of the values equal", flush=True)
    return wrong


def main():
    dfal = os.path.join(os.path.abspath(sys.argv[1]), "tools", "dfal")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 160
    rng = np.random.default_rng(4)
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(os.path.join(folder, "in"))
        paths = []
        for i in range(count):
            kind = KINDS[i % len(KINDS)]
            width, height = (int(side) for side in rng.integers(1, random.Random(i).choice([8, 60, 400, 900]), 2))
            paths.append(write(os.path.join(folder, "in", f"{i:04d}-{kind}"), kind, rng, width, height))
        for options in ({"resize": 64, "crop": 56}, {"resize": 64, "crop": 56, "interpolation": "bicubic"},
                        {"resize": 0, "crop": 300}, {"resize": 40, "crop": 48, "channels": 1},
                        {"resize": 256, "crop": 224, "interpolation": "bicubic", "channels": 1},
                        {"resize": "48,80", "crop": 0, "exif": "ignore"}, {"resize": "90,60", "crop": 64, "interpolation": "bicubic"}):
            wrong += compare(dfal, folder, paths, {"interpolation": "bilinear", "channels": 3, "exif": "apply", **options})
    for line in wrong:
        print("over 1 of 255:", *line)
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
