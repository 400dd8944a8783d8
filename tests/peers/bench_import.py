#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pictures a second of `dfal import images` beside Pillow with one process a CPU, in one run.

    bench_import.py BUILD [COUNT] [--folder FOLDER]      needs numpy, h5py and Pillow

Makes COUNT (2,000) JPEGs of about 500 x 375, quality 85, with 4:2:0 chroma; both sides resize to 256, crop 224, and write a
pool of bytes [N, 3, 224, 224]. Pillow's workers hand their samples over in shared memory; it writes with h5py.
The file system's cache is warm for both. Prints a line a side, and the quotient of the better turns,
which is to be at least 1.
"""
import argparse
import multiprocessing
import os
import shutil
import subprocess
import tempfile
import time
from multiprocessing import shared_memory

import h5py
import numpy as np
from PIL import Image

CROP, RESIZE, BLOCK = 224, 256, 256


def make(folder, count):
    """Smooth shapes with texture: files of 40 to 60 kB, as photographs of this size have."""
    rng = np.random.default_rng(1)
    os.makedirs(folder)
    noise = [rng.normal(0, 14, (420, 560, 1)) for _ in range(4)]
    for i in range(count):
        width, height = int(rng.integers(460, 541)), int(rng.integers(340, 411))
        x, y = np.meshgrid(np.linspace(0, 5, width), np.linspace(0, 4, height))
        planes = [128 + 100 * np.sin(a * x + b * y + c) * np.cos(d * y) for a, b, c, d in rng.uniform(-3, 3, (3, 4))]
        pixels = np.stack(planes, -1) + noise[i % 4][:height, :width] + 20 * (np.sin(40 * x * y) > 0.5)[:, :, None]
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(
            os.path.join(folder, f"{i:06d}.jpg"), quality=85, subsampling=2)


def decode(task):
    name, memory, slot = task
    with Image.open(name) as file:
        picture = file.convert("RGB")
    width, height = picture.size
    size = (RESIZE, int(RESIZE * height / width)) if width <= height else (int(RESIZE * width / height), RESIZE)
    picture = picture.resize(size, Image.BILINEAR)
    left, top = round((size[0] - CROP) / 2), round((size[1] - CROP) / 2)
    pixels = np.asarray(picture.crop((left, top, left + CROP, top + CROP))).transpose(2, 0, 1)
    block = shared_memory.SharedMemory(memory)
    np.ndarray((BLOCK, 3, CROP, CROP), np.uint8, block.buf)[slot] = pixels
    block.close()


def pillow(folder, out, processes):
    names = sorted(os.path.join(folder, name) for name in os.listdir(folder))
    block = shared_memory.SharedMemory(create=True, size=BLOCK * 3 * CROP * CROP)
    samples = np.ndarray((BLOCK, 3, CROP, CROP), np.uint8, block.buf)
    with h5py.File(out, "w") as file, multiprocessing.Pool(processes) as workers:
        data = file.create_dataset("samples", (len(names), 3, CROP, CROP), "u1", chunks=(4, 3, CROP, CROP))
        for begin in range(0, len(names), BLOCK):
            part = names[begin:begin + BLOCK]
            workers.map(decode, [(name, block.name, i) for i, name in enumerate(part)], chunksize=8)
            data[begin:begin + len(part)] = samples[:len(part)]
    block.close()
    block.unlink()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("count", nargs="?", type=int, default=2000)
    parser.add_argument("--folder", default=None)
    options = parser.parse_args()
    dfal, cpus = os.path.join(os.path.abspath(options.build), "tools", "dfal"), len(os.sched_getaffinity(0))
    folder = tempfile.mkdtemp(dir=options.folder)
    try:
        pictures = os.path.join(folder, "in")
        make(pictures, options.count)
        size = sum(entry.stat().st_size for entry in os.scandir(pictures))
        print(f"{options.count} JPEGs, {size / options.count / 1000:.1f} kB each, {cpus} CPUs", flush=True)
        rates = {}
        for turn in range(2):
            for side in ("dfal", "pillow"):
                begin = time.monotonic()
                if side == "dfal":
                    subprocess.run([dfal, "-q", "import", "images", pictures, "-o", os.path.join(folder, "d.h5"), "--resize",
                                    str(RESIZE), "--crop", str(CROP), "--threads", str(cpus), "--force"], check=True)
                else:
                    pillow(pictures, os.path.join(folder, "p.h5"), cpus)
                seconds = time.monotonic() - begin
                rates[side] = max(rates.get(side, 0), options.count / seconds)
                print(f"{side:8s} turn {turn + 1}  {seconds:7.2f} s  {options.count / seconds:8.1f} pictures/s", flush=True)
        with h5py.File(os.path.join(folder, "d.h5")) as a, h5py.File(os.path.join(folder, "p.h5")) as b:
            rows = range(0, options.count, max(1, options.count // 200))
            worst = max(np.abs(a["samples"][i].astype(int) - b["samples"][i]).max() for i in rows)
        quotient = rates["dfal"] / rates["pillow"]
        print(f"dfal / Pillow: {quotient:.2f}, largest difference {worst} of 255")
    finally:
        shutil.rmtree(folder)
    raise SystemExit(0 if quotient >= 1 and worst <= 1 else 1)


if __name__ == "__main__":
    main()
