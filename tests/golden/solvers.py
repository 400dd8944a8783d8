# SPDX-License-Identifier: Apache-2.0
"""Solvers of others as commands of coreset: both programs are held against every set of candidates.

Usage: solvers.py DFAL cbc|glpsol|highs

And a run keeps the solver that it was begun with. Exit code 77: the solver, NumPy, SciPy or h5py is not
installed. highspy may be in the Python of DFAL_PEERS_PYTHON or in that of tools/check's stage peers."""
import json
import os
import shlex
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "cli")]
try:
    import numpy as np
    from strategies_case import TWIN_ROWS, Case, indices, world
    from strategies_distances import check_set, distances, record_of, smallest_radius
except ImportError as error:
    print(f"{error}: skipped")
    sys.exit(77)

COMMANDS = {
    "cbc": ["cbc {model} -timeMode elapsed -seconds {seconds} -maxNodes {nodes} -solve -solution {solution}"],
    "glpsol": ["glpsol --mps {model} --tmlim {seconds} --output {solution}",
               "glpsol --freemps {model} -o {solution}"],
}
NAMES = {"cbc": "cbc (Version: ", "glpsol": "glpsol (GLPSOL", "highs": "(Running HiGHS "}


def has_highspy(python):
    done = shutil.which(python) and subprocess.run([python, "-c", "import highspy"],
                                                   stderr=subprocess.DEVNULL, check=False)
    return done and done.returncode == 0


def commands_of(solver):
    """The command lines of a solver, or why there are none."""
    if solver != "highs":
        return COMMANDS[solver], "" if shutil.which(solver) else f"{solver} is not installed"
    of_peers = os.path.join(ROOT, "build", "peers", "venv", "bin", "python")
    for python in filter(None, [sys.executable, os.environ.get("DFAL_PEERS_PYTHON"), of_peers]):
        if has_highspy(python):
            return [shlex.join([python, os.path.join(ROOT, "examples", "solver_highs.py")])], ""
    return [], "highspy is not installed"


def smallest(dfal, command, name):
    """With and without labelled rows and outliers. How many models the solver got."""
    x, weight, bias = world(3)
    far = distances(x.astype(np.float64))
    models = proofs = 0
    for labelled in ([], [*TWIN_ROWS[:1], *range(100, 120)]):
        dfal.write(x, weight, bias, labelled)
        part = ["--strategy", "coreset", "--subsample", "12", "--solver", command]
        candidates = sorted(indices(dfal.select(*part, "--count", "12")))
        for count, outliers in ((1, 0), (3, 0), (2, 1), (3, 2)):
            best = smallest_radius(far, candidates, labelled, count, outliers)
            for program in ("covering", "sener"):
                words = ["--count", str(count), "--option", f"outliers={outliers}",
                         "--option", f"program={program}"]
                found, record = record_of(dfal, [*part, *words])
                what = f"{command} {len(labelled)} {words}"
                assert len(found) == count and record["proven"] == "yes", f"{what}: {record}"
                check_set(found, record, far, candidates, labelled, best, what)
                assert record["models"] == 0 or name in record["solver"], f"{what}: {record}"
                assert record["proof"] in ("solver", "bound"), f"{what}: {record}"
                models += record["models"]
                proofs += record["proof"] == "solver"
    assert models > 20 and proofs > 2, f"{command}: {models} models, {proofs} proofs by the solver"
    return models


def write_run(dfal, name, solver):
    with open(dfal.at(name), "w", encoding="utf-8") as file:
        file.write("data: {train: train.h5, test: test.h5}\nstrategies: [coreset]\noptions:\n  coreset:\n"
                   f"    subsample: 30\n{solver}initial: 10\nquery: 5\nannotations: 15\ntrials: 1\n"
                   "training: {restarts: 1, epochs: 1}\n")


def unfinish(dfal):
    """As if it had been killed before its end."""
    os.remove(dfal.at("d/state/finished"))


def kept(dfal, command, name):
    """A run does not go on under another solver."""
    for pool, seed in (("train.h5", "1"), ("test.h5", "2")):
        dfal.run("-q", "synth", "-o", pool, "-n", "150", "--seed", seed)
    write_run(dfal, "run.yaml", "")
    line = ["-q", "run", "run.yaml", "-o", "d"]
    dfal.run(*line, "--solver", command)
    with open(dfal.at("d/log.jsonl"), encoding="utf-8") as file:
        records = [event for event in map(json.loads, file) if event["event"] == "select.coreset"]
    told = [record["solver"] for record in records]
    assert len(told) == 1 and (name in told[0] or told[0] == "not asked"), f"{records}"
    path = dfal.at("d/state/identity")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    lines = [line for line in text.splitlines() if line.startswith("solver: ")]
    assert len(lines) == 1 and name in lines[0], text
    unfinish(dfal)
    dfal.run(*line, "--solver", command)
    unfinish(dfal)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(lines[0], "solver: cbc (Version: 1.0)"))
    dfal.refuses(78, *line[1:], "--solver", command,
                 says=["was made with solver cbc (Version: 1.0), expected ", "--allow-mixed"])
    dfal.run(*line, "--solver", command, "--allow-mixed")
    unfinish(dfal)
    dfal.refuses(78, *line[1:], "--solver", "none", says="was made with options.coreset.solver ")


def allowed(dfal, command):
    """A file may name a command where that is allowed, who types one may always."""
    quoted = json.dumps(command)
    write_run(dfal, "command.yaml", f"    solver: {quoted}\n")
    dfal.refuses(78, "run", "command.yaml", "-o", "e",
                 says=["command.yaml:6: options.coreset.solver is '",
                       "expected --allow-command with it, or --solver"])
    dfal.run("-q", "run", "command.yaml", "-o", "e", "--allow-command")
    dfal.refuses(78, "run", "e/config.yaml", "-o", "f", says="expected --allow-command with it")
    dfal.run("-q", "run", "e/config.yaml", "-o", "f", "--solver", "none")
    dfal.run("-q", "run", "run.yaml", "-o", "g", "--set", f"options.coreset.solver={quoted}")
    dfal.refuses(64, "run", "run.yaml", "-o", "h", "--set", "strategies=[random]", "--solver", command,
                 says="--solver is given, and none of the strategies of the run has one")
    dfal.refuses(69, "run", "run.yaml", "-o", "h", "--solver", "no-such-solver",
                 says="options.coreset: the solver no-such-solver cannot be started")
    assert not os.path.exists(dfal.at("h"))


def main():
    solver = sys.argv[2]
    commands, reason = commands_of(solver)
    if reason:
        print(f"{reason}: skipped")
        return 77
    dfal = Case(sys.argv[1], "ref")
    try:
        for command in commands:
            print(f"{command}: {smallest(dfal, command, NAMES[solver])} models", flush=True)
        kept(dfal, commands[0], NAMES[solver])
        allowed(dfal, commands[0])
    finally:
        shutil.rmtree(dfal.folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
