#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What examples/trainer_torch.py does without PyTorch: arguments, labels that add up, which rows are augmented.

    trainer_torch.py SOURCE
"""
import importlib.util
import os
import sys
import tempfile

import h5py
import numpy as np


def load(path):
    spec = importlib.util.spec_from_file_location("trainer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    trainer = load(os.path.join(sys.argv[1], "examples", "trainer_torch.py"))
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name)
        with h5py.File(at("pool.h5"), "w") as file:
            file["samples"] = np.arange(6 * 4, dtype=np.uint8).reshape(6, 1, 2, 2)
            file["ids"] = [f"img{i}" for i in range(6)]
            file["classes"] = ["cat", "dog", "eel"]
            file.attrs.update(scale=[0.5], offset=[1.0], class_count=3)
        with h5py.File(at("twins.h5"), "w") as file:
            file["samples"] = np.full((3, 1, 2, 2), 9, np.float32)
            file["id"] = ["img4", "img1", "img5"]
        for name, text in (("a.csv", "id,label,status\nimg0,cat,\nimg1,0,label\nimg2,dog,\nimg3,eel,\nimg5,eel,\n"),
                           ("b.csv", "\ufeffid,label,status\nimg1,eel,\nimg2,-1,\nimg3,,skip\nimg4,1.0,\nimg0,,\n")):
            with open(at(name), "w", encoding="utf-8") as file:
                file.write(text)
        args = trainer.arguments(["--pool", at("pool.h5"), "--labels", at("a.csv"), "--labels", at("b.csv"), "--twins", at("twins.h5"),
                                  "--out", at("n.onnx")])
        x, y, own, classes = trainer.read_rows(args)
    assert trainer.read_labels([]) == {}
    assert own == 4 and classes == 3, (own, classes)
    assert y.tolist() == [0, 2, 1, 2] + [1, 2, 2], y  # rows img0, img1, img4, img5, then the twins of img4, img1, img5
    assert x.shape == (7, 1, 2, 2) and x.dtype == np.float32 and x[1, 0, 0, 0] == 4 * 0.5 + 1 and (x[4:] == 9).all(), x
    # no twin is augmented, every row of the pool is
    trainer.augment = lambda batch, random: batch + 100
    batch = trainer.batch_of(x, np.array([5, 0, 6, 3]), own, None)
    assert (batch[[0, 2]] == 9).all() and (batch[1] == x[0] + 100).all() and (batch[3] == x[3] + 100).all(), batch
    assert (trainer.batch_of(x, np.array([4, 5]), own, None) == 9).all()
    print("labels add up, twins stay as they are")


main()
