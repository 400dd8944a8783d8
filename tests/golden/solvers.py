# SPDX-License-Identifier: Apache-2.0
"""Solvers of others as commands of the strategy coreset: the smallest radius by both programs, held against every set there is.

Usage: solvers.py DFAL cbc|glpsol|highs

Also which solver a run was begun with: none goes on under another one. Exit code 77: the solver, NumPy, SciPy or h5py is not
installed. highspy may be in the Python of DFAL_PEERS_PYTHON or in that of tools/check's stage peers."""
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
import strategies as golden  # noqa: E402
import numpy as np  # noqa: E402

COMMANDS = {
    "cbc": ["cbc {model} -timeMode elapsed -seconds {seconds} -maxNodes {nodes} -solve -solution {solution}"],
    "glpsol": ["glpsol --mps {model} --tmlim {seconds} --output {solution}", "glpsol --freemps {model} -o {solution}"],
}
VERSIONS = {"cbc": "cbc (Version: ", "glpsol": "glpsol (GLPSOL", "highs": "(Running HiGHS "}


def commands_of(solver):
    """The command lines of a solver, or why there are none."""
    if solver != "highs":
        return COMMANDS[solver], f"{solver} is not installed" if shutil.which(solver) is None else ""
    pythons = [sys.executable, os.environ.get("DFAL_PEERS_PYTHON"), os.path.join(ROOT, "build/peers/venv/bin/python")]
    for python in filter(None, pythons):
        if shutil.which(python) and subprocess.run([python, "-c", "import highspy"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return [shlex.join([python, os.path.join(ROOT, "examples", "solver_highs.py")])], ""
    return [], "highspy is in no Python here"


def smallest(dfal, folder, command, version):
    """Both programs against every set of candidates, with and without labelled rows and outliers."""
    x, weight, bias = golden.world(3)
    h = x.astype(np.float64)
    far = np.sqrt(((h[:, None, :] - h[None, :, :]) ** 2).sum(-1))
    models = proofs = 0
    for labelled in ([], [*golden.TWIN_ROWS[:1], *range(100, 120)]):
        labels = np.full(golden.ROWS, -1)
        labels[labelled] = 1
        golden.write_world(folder, x, weight, bias, labels)
        part = ["--strategy", "coreset", "--subsample", "12", "--solver", command]
        every, _ = golden.record_of(dfal, folder, "ref", [*part, "--count", "12"])
        candidates = sorted(query["index"] for query in every)
        for count, outliers in ((1, 0), (3, 0), (2, 1), (3, 2)):
            best = golden.smallest_radius(far, candidates, labelled, count, outliers)
            for program in ("covering", "sener"):
                words = ["--count", str(count), "--option", f"outliers={outliers}", "--option", f"program={program}"]
                found, record = golden.record_of(dfal, folder, "ref", [*part, *words])
                what = f"{command} {len(labelled)} {words}"
                assert len(found) == count and record["proven"] == "yes", f"{what}: {record}"
                golden.check_set(found, record, far, candidates, labelled, best, what)
                assert record["models"] == 0 or version in record["solver"], f"{what}: {record}"
                assert record["proof"] in ("solver", "bound"), f"{what}: {record}"
                models += record["models"]
                proofs += record["proof"] == "solver"
    assert models > 20 and proofs > 2, f"{command}: {models} models, {proofs} proofs of the solver"
    return models


def call(dfal, folder, *words, code=0):
    done = subprocess.run([dfal, "-q", *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    text = done.stderr.decode()
    assert done.returncode == code, f"{words}: {done.returncode}, expected {code}: {text}"
    return text


def identity(dfal, folder, command, version):
    """A run keeps its solver; the file that names a command has to be allowed to."""
    for name, seed in (("train", "1"), ("test", "2")):
        call(dfal, folder, "synth", "-o", f"{name}.h5", "-n", "150", "--seed", seed)
    with open(os.path.join(folder, "run.yaml"), "w", encoding="utf-8") as file:
        file.write("data: {train: train.h5, test: test.h5}\nstrategies: [coreset]\noptions: {coreset: {subsample: 30}}\n"
                   "initial: 10\nquery: 5\nannotations: 15\ntrials: 1\ntraining: {restarts: 1, epochs: 1}\n")
    line = ["run", "run.yaml", "-o", "d"]
    call(dfal, folder, *line, "--solver", command)
    with open(os.path.join(folder, "d/log.jsonl"), encoding="utf-8") as file:
        records = [event for event in map(json.loads, file) if event["event"] == "select.coreset"]
    assert len(records) == 1 and (version in records[0]["solver"] or records[0]["solver"] == "not asked"), f"{records}"
    path = os.path.join(folder, "d/state/identity")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    named = [text_line for text_line in text.splitlines() if text_line.startswith("solver: ")]
    assert len(named) == 1 and version in named[0], text
    # An unfinished run: as begun by another version of the same command.
    os.remove(os.path.join(folder, "d/state/finished"))
    call(dfal, folder, *line, "--solver", command)
    os.remove(os.path.join(folder, "d/state/finished"))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(named[0], "solver: cbc (Version: 1.0)"))
    said = call(dfal, folder, *line, "--solver", command, code=78)
    assert "was made with solver cbc (Version: 1.0), expected" in said and "--allow-mixed" in said, said
    call(dfal, folder, *line, "--solver", command, "--allow-mixed")
    os.remove(os.path.join(folder, "d/state/finished"))
    said = call(dfal, folder, *line, "--solver", "none", code=78)
    assert "options.coreset.solver" in said, said
    quoted = json.dumps(command)
    with open(os.path.join(folder, "command.yaml"), "w", encoding="utf-8") as file:
        file.write("data: {train: train.h5, test: test.h5}\nstrategies: [coreset]\noptions:\n  coreset:\n"
                   f"    subsample: 30\n    solver: {quoted}\ninitial: 10\nquery: 5\nannotations: 15\ntrials: 1\n"
                   "training: {restarts: 1, epochs: 1}\n")
    said = call(dfal, folder, "run", "command.yaml", "-o", "e", code=78)
    assert "command.yaml:6: options.coreset.solver is '" in said and "expected --allow-command with it, or --solver" in said, said
    call(dfal, folder, "run", "command.yaml", "-o", "e", "--allow-command")
    call(dfal, folder, "run", "e/config.yaml", "-o", "f", code=78)
    call(dfal, folder, "run", "e/config.yaml", "-o", "f", "--solver", "none")
    call(dfal, folder, "run", "run.yaml", "-o", "g", "--set", f"options.coreset.solver={quoted}")


def main():
    dfal, solver = os.path.abspath(sys.argv[1]), sys.argv[2]
    commands, reason = commands_of(solver)
    if reason:
        print(f"{reason}: skipped")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        for command in commands:
            print(f"{command}: {smallest(dfal, folder, command, VERSIONS[solver])} models")
        identity(dfal, folder, commands[0], VERSIONS[solver])
    return 0


if __name__ == "__main__":
    sys.exit(main())
