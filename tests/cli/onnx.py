#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ONNX files wherever a network may stand: PyTorch's exports in tests/golden/onnx through every command."""
import os
import shutil
import subprocess
import sys

import h5py
import numpy as np

from support import check, datasets, main, same_bits, write_pool

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden", "onnx")
EXAMPLES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "examples")


def prepare(dfal, group, *files, count=40):
    """The files in the test's folder, and a pool of the reference's two inputs, then noise."""
    for name in files:
        shutil.copy(os.path.join(GOLDEN, name), dfal.at(name))
    with h5py.File(os.path.join(GOLDEN, "references.hdf5"), "r") as file:
        inputs, logits = file[group]["input"][()], file[group]["logits"][()]
    noise = np.random.default_rng(3).normal(size=(count - len(inputs),) + inputs.shape[1:])
    samples = np.concatenate([inputs, noise]).astype(np.float32)
    write_pool(dfal.at("pool.h5"), samples, np.arange(count) % logits.shape[1], class_count=logits.shape[1])
    return logits


def commands(dfal):
    logits = prepare(dfal, "LeNet", "lenet-dynamic-script.onnx")
    facts = dfal.json("info", "lenet-dynamic-script.onnx")
    check(facts["format"] == "onnx" and facts["opset"] >= 9 and "Conv (2)" in facts["onnx_ops"], f"info says {facts}")
    check(facts["input"] == "1 x 12 x 12" and facts["class_count"] == logits.shape[1], f"info says {facts}")
    check(facts["producer"].startswith("pytorch") and facts["scale"] == "unknown", f"info says {facts}")
    check("Reshape (1)" in facts["onnx_ops"] and facts["softmax_cut"] == "no", f"info says {facts}")
    _, err = dfal.run("logits", "lenet-dynamic-script.onnx", "pool.h5", "-o", "l.h5")
    check("scale" not in err, f"a warning about an unknown scale: {err}")
    with h5py.File(dfal.at("l.h5"), "r") as file:
        found = file["logits"][:len(logits)]
    check(np.abs(found - logits).max() < 1e-5, f"logits differ by {np.abs(found - logits).max()}")
    check(dfal.json("eval", "lenet-dynamic-script.onnx", "pool.h5")["samples"] == 40, "eval left rows out")
    dfal.run("-q", "score", "lenet-dynamic-script.onnx", "pool.h5", "-o", "s.h5")
    dfal.run("-q", "select", "lenet-dynamic-script.onnx", "pool.h5", "--strategy", "dfal", "--count", "3", "-o", "q.csv")
    with open(dfal.at("q.csv"), encoding="utf-8") as file:
        check(len(file.readlines()) == 4, "select chose something else than 3 queries")


def imported(dfal):
    """`import onnx` gives a network file of the same function, to the bit, that says where it came from."""
    prepare(dfal, "Residual", "residual-external-dynamo.onnx", "residual-external-dynamo.onnx.data", "residual-kept-script.onnx")
    for name in ("residual-external-dynamo", "residual-kept-script"):
        dfal.run("-q", "import", "onnx", f"{name}.onnx", "-o", f"{name}.h5")
        with h5py.File(dfal.at(f"{name}.h5"), "r") as file:
            check(file.attrs["format"] in (b"dfal-network", "dfal-network"), "no network was written")
            check("scale" not in file.attrs and "offset" not in file.attrs, "an unknown scale was written")
            told = file.attrs["configuration"]
            told = told.decode() if isinstance(told, bytes) else told
            check(all(word in told for word in ('"opset":', "pytorch", f"{name}.onnx", '"softmax_cut":false')),
                  f"the provenance is {told}")
        one, two = dfal.json("info", f"{name}.onnx"), dfal.json("info", f"{name}.h5")
        check(one["network_sha256"] == two["network_sha256"], "the imported network is another")
        check(two["scale"] == "unknown", f"info says {two}")
        for net in ("onnx", "h5"):
            dfal.run("-q", "score", f"{name}.{net}", "pool.h5", "-o", f"s-{net}.h5")
            dfal.run("-q", "logits", f"{name}.{net}", "pool.h5", "-o", f"l-{net}.h5")
        same_bits(dfal.at("s-onnx.h5"), dfal.at("s-h5.h5"), ignore=("@network",))
        check(datasets(dfal.at("l-onnx.h5"))["logits"] == datasets(dfal.at("l-h5.h5"))["logits"], "logits differ")
        for made in ("s-onnx.h5", "s-h5.h5", "l-onnx.h5", "l-h5.h5"):
            os.unlink(dfal.at(made))
    dfal.refuses(73, "import", "onnx", f"{name}.onnx", "-o", f"{name}.h5", says=f"{name}.h5")
    dfal.run("-q", "--force", "import", "onnx", f"{name}.onnx", "-o", f"{name}.h5")
    check(dfal.json("--force", "import", "onnx", f"{name}.onnx", "-o", f"{name}.h5") == {"output": f"{name}.h5"}, "--json")
    # A file is told by what it holds, whatever it is called.
    shutil.copy(dfal.at(f"{name}.onnx"), dfal.at("model.bin"))
    shutil.copy(dfal.at(f"{name}.h5"), dfal.at("wrong.onnx"))
    for other in ("model.bin", "wrong.onnx"):
        check(dfal.json("info", other)["network_sha256"] == one["network_sha256"], f"{other} is read as something else")


def softmax(dfal):
    """A softmax at the end is cut off, and every command that opens the model says so, once."""
    prepare(dfal, "Probabilities", "softmax-script.onnx")
    check(dfal.json("info", "softmax-script.onnx")["softmax_cut"] == "yes", "info does not tell")
    model, says = "softmax-script.onnx", "the softmax at its end is cut off"
    for words in (("eval", model, "pool.h5"), ("logits", model, "pool.h5", "-o", "l.h5"), ("score", model, "pool.h5", "-o", "s.h5"),
                  ("score", model, "pool.h5", "-o", "e.h5", "--estimate"),
                  ("select", model, "pool.h5", "--strategy", "entropy", "--count", "2", "-o", "q.csv"),
                  ("train", "--net", model, "pool.h5", "-o", "t.h5", "--epochs", "0"),
                  ("train", "--net", model, "--init", model, "pool.h5", "-o", "i.h5", "--epochs", "0")):
        _, err = dfal.run(*words)
        check(err.count(says) == 1 and model in err, f"{words}: {err}")
    _, err = dfal.run("import", "onnx", model, "-o", "n.h5")
    check(err.count("softmax") == 1, err)
    _, err = dfal.run("eval", "n.h5", "pool.h5")
    check("softmax" not in err, f"a network file without one: {err}")


def training(dfal):
    """Somebody's network as the start and as the architecture."""
    prepare(dfal, "LeNet", "lenet-static-script.onnx")
    dfal.run("-q", "import", "onnx", "lenet-static-script.onnx", "-o", "net.h5")
    dfal.run("-q", "train", "--net", "lenet-static-script.onnx", "--init", "lenet-static-script.onnx", "pool.h5", "-o", "start.h5",
             "--epochs", "0")
    with h5py.File(dfal.at("net.h5"), "r") as one, h5py.File(dfal.at("start.h5"), "r") as two:
        check(all((one["parameters"][node][kind][()] == two["parameters"][node][kind][()]).all()
                  for node in one["parameters"] for kind in one["parameters"][node]), "training starts elsewhere")
        check(two.attrs["scale"][0] == 1.0, "a trained network knows the scale of its pool")
    _, err = dfal.run("-q", "train", "--net", "lenet-static-script.onnx", "pool.h5", "-o", "trained.h5", "--epochs", "2")
    says = "{0}: its weights are not used, the training begins with random ones; --init {0} starts from them"
    check(says.format("lenet-static-script.onnx") in err and err.count("\n") == 1, f"weights are passed over: {err}")
    _, err = dfal.run("-q", "train", "--net", "net.h5", "pool.h5", "-o", "trained.h5", "--epochs", "1", "--force")
    check(says.format("net.h5") in err and err.count("\n") == 1, f"weights are passed over: {err}")
    _, err = dfal.run("-q", "train", "--net", "net.h5", "--init", "net.h5", "pool.h5", "-o", "trained.h5", "--epochs", "1", "--force")
    check(err == "", f"train from the weights of the file: {err}")
    check(dfal.json("info", "trained.h5")["scale"] == ["1"], "a trained network knows the scale of its pool")


def own_module(dfal):
    """examples/export_torch.py finds a model in the folder where it is called; torch and onnx are made up."""
    for name in "torch", "onnx":
        with open(dfal.at(name + ".py"), "w", encoding="ascii"):
            pass
    os.mkdir(dfal.at("work"))
    with open(dfal.at("work/model.py"), "w", encoding="ascii") as file:
        file.write("class Net:\n    def eval(self):\n        return 'the network'\n")
    with open(dfal.at("call.py"), "w", encoding="ascii") as file:
        file.write(f"import sys\nsys.path.append({EXAMPLES!r})\nimport export_torch\nprint(export_torch.build('model:Net', None, None))\n")
    done = subprocess.run([sys.executable, "-B", dfal.at("call.py")], cwd=dfal.at("work"), capture_output=True, text=True, check=False)
    check(done.stdout == "the network\n", f"the exporter finds no model: {done.stdout}{done.stderr}")


def refusals(dfal):
    prepare(dfal, "LeNet", "lenet-static-script.onnx")
    with open(dfal.at("lenet-static-script.onnx"), "rb") as file:
        whole = file.read()
    cases = {"empty.onnx": b"", "text.onnx": b"not ONNX at all\n" * 40, "zeros.onnx": bytes(5000),
             "random.onnx": np.random.default_rng(1).bytes(4000), "half.onnx": whole[:len(whole) // 2],
             "cut.onnx": whole[:-40], "erf.onnx": whole.replace(b"Relu", b"Erf2").replace(b"MaxPool", b"RoiPool")}
    for name, content in cases.items():
        with open(dfal.at(name), "wb") as file:
            file.write(content)
        dfal.refuses(65, "import", "onnx", name, "-o", "n.h5", says=name)
        dfal.refuses(65, "info", name, says=name)
        dfal.refuses(65, "score", name, "pool.h5", "-o", "s.h5", says=name)
        dfal.refuses(65, "train", "--net", name, "pool.h5", "-o", "n.h5", says=name)
    dfal.refuses(65, "eval", "erf.onnx", "pool.h5", says=("2 ops are not supported", "Erf2 (3)", "RoiPool (2)"))
    dfal.refuses(66, "import", "onnx", "none.onnx", "-o", "n.h5", says="none.onnx")
    dfal.refuses(66, "score", "none.onnx", "pool.h5", "-o", "s.h5", says="none.onnx")
    dfal.refuses(65, "import", "onnx", "pool.h5", "-o", "n.h5", says="pool.h5")
    dfal.refuses(64, "import", "onnx", "-o", "n.h5", says="M.onnx")
    dfal.refuses(64, "import", "onnx", "a.onnx", "b.onnx", "-o", "n.h5", says="b.onnx")
    dfal.refuses(64, "import", "onnx", "a.onnx", says="-o")
    write_pool(dfal.at("other.h5"), np.zeros((3, 1, 9, 9), np.uint8), class_count=4)
    dfal.refuses(65, "score", "lenet-static-script.onnx", "other.h5", "-o", "s.h5", says=("12", "9"))
    shutil.copy(os.path.join(GOLDEN, "residual-external-dynamo.onnx"), dfal.at("alone.onnx"))
    dfal.refuses(66, "info", "alone.onnx", says=("alone.onnx", "residual-external-dynamo.onnx.data"))
    for name in ("n.h5", "s.h5", "s.h5.parts"):
        check(not os.path.exists(dfal.at(name)), f"{name} was left behind")


main({f.__name__: f for f in (commands, imported, softmax, training, own_module, refusals)})
