#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command line itself: names, numbers, help, what is not in this version."""
import json
import os
import re
import shutil
import subprocess

from data import make_pool
from support import check, main

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def names(dfal):
    dfal.refuses(64)
    dfal.refuses(64, "scroe", says=("scroe", "score"))
    dfal.refuses(64, "sco", says="score")
    dfal.refuses(64, "--bakend", "cpu", "doctor", says=("--bakend", "--backend"))
    dfal.refuses(64, "score", "--max-itre", "3", "a", "b", says=("--max-itre", "--max-iter"))
    dfal.refuses(64, "score", "--max", "3", "a", "b", says=("--max", "--max-iter"))
    dfal.refuses(64, "score", "--zzzzzzzz", says="--zzzzzzzz")
    dfal.refuses(64, "score", "-x", says="-x")
    dfal.refuses(64, "doctor", "-qq", says="-qq")
    dfal.refuses(64, "--backend", "cpuu", "doctor", says=("cpuu", "cpu"))
    dfal.refuses(64, "--isa", "avx51", "doctor", says=("avx51", "avx512"))
    dfal.refuses(64, "train", "--optimizer", "adamm", "--net", "lenet5", "p", "-o", "n", says=("adamm", "adam"))
    dfal.refuses(64, "train", "--augment", "shift=2,rotat=1", "--net", "lenet5", "p", "-o", "n", says=("--augment rotat=1", "'rotate'"))
    dfal.refuses(64, "score", "--deepfool", "lts5", "n", "p", "-o", "s", says=("lts5", "lts4"))
    dfal.refuses(64, "synth", "--split", "trian", "-n", "3", "-o", "p.h5", says=("trian", "train"))
    dfal.refuses(64, "import", "idxx", "a", "-o", "p.h5", says="idx")
    dfal.refuses(64, "bench", "deepfol", "a", "b", says="deepfool")
    dfal.refuses(64, "bench", "op", says="ops")
    dfal.refuses(64, "bench", "ops", "lenet5", "b", says="'b'")
    dfal.refuses(64, "bench", "ops", "lenet6", says="lenet5")
    dfal.refuses(66, "bench", "ops", "missing.h5", says="missing.h5")


def words(dfal):
    """A word that is none of a list: what it is, what is expected and what is nearest, in one form everywhere."""
    make_pool(dfal.at("pool.h5"), 40, 1)
    dfal.run("-q", "train", "--net", "lenet5", "pool.h5", "--epochs", "0", "-o", "net.h5")
    with open(dfal.at("run.yaml"), "w", encoding="ascii") as file:
        file.write("strategies: [dfall]\n")
    run = ("run", "--train", "pool.h5", "--test", "pool.h5", "-o", "d")
    for code, what, word, expected, nearest, line in (
            (64, "command", "scroe", "synth, import, ", "score", ("scroe",)),
            (64, "score: unknown option", "--max-itre", "one that 'dfal score --help' lists", "--max-iter", ("score", "--max-itre", "3")),
            (64, "dfal: unknown option", "--bakend", "one that 'dfal --help' lists", "--backend", ("--bakend", "cpu")),
            (64, "source", "idxx", "idx, npy, npz, cifar10, quickdraw, shoebag, images or onnx", "idx", ("import", "idxx", "a", "-o", "p.h5")),
            (64, "benchmark", "op", "deepfool, train, ops, coreset or table3", "ops", ("bench", "op")),
            (64, "--optimizer: unknown value", "adamm", "adam or sgd", "adam", ("train", "--optimizer", "adamm", "pool.h5")),
            (64, "strategy", "dfall", "dfal, random, ", "dfal",
             ("select", "net.h5", "pool.h5", "--strategy", "dfall", "--count", "3", "-o", "q.csv")),
            (64, "preset", "paper-mnist-lenet", "quickstart, paper-mnist-lenet5, paper-mnist-vgg8, paper-quickdraw-lenet5, ", "paper-mnist-lenet5",
             (*run, "--preset", "paper-mnist-lenet")),
            (64, "network", "lenet", "lenet5, vgg8 or the path of a network file", "lenet5", ("train", "--net", "lenet", "pool.h5", "-o", "n.h5")),
            (64, "back end", "cpuu", "auto, cpu, cuda[:LIST], ref or check:A:B", "cpu", ("--backend", "cpuu", "doctor")),
            (64, "net.h5: unknown node", "con1", "conv1, ", "conv1", ("logits", "net.h5", "pool.h5", "--node", "con1", "-o", "l.h5")),
            (64, "--set training.epocs=3: training: unknown key", "epocs", "restarts, epochs, ", "epochs",
             (*run, "--preset", "quickstart", "--set", "training.epocs=3")),
            (64, "--set trainin.augment.shift=3: unknown key", "trainin", "data, network, ", "training",
             (*run, "--preset", "quickstart", "--set", "trainin.augment.shift=3")),
            (64, "--set options.dfall.power=3: options: unknown key", "dfall", "dfal, ", "dfal",
             (*run, "--preset", "quickstart", "--set", "options.dfall.power=3")),
            (78, "run.yaml:1: strategies: unknown strategy", "dfall", "dfal, random, ", "dfal", ("run", "run.yaml", *run[1:]))):
        says = f"{what} '{word}': expected {expected}"
        dfal.refuses(code, *line, says=(says if ": unknown" in what else "dfal: unknown " + says, f"; nearest is '{nearest}'"))


def set_values(dfal):
    """Keys that do not fit together are the fault of the line where it gave one of them."""
    make_pool(dfal.at("pool.h5"), 40, 1)
    with open(dfal.at("run.yaml"), "w", encoding="ascii") as file:
        file.write("strategies: [random]\ninitial: 20\nannotations: 30\n")
    with open(dfal.at("bad.yaml"), "w", encoding="ascii") as file:
        file.write("strategies: [random]\ninitial: 20\nannotations: 10\n")
    more = ("--train", "pool.h5", "--test", "pool.h5", "-o", "d")
    says = "annotations is 10, expected at least initial, 20"
    dfal.refuses(64, "run", "run.yaml", "--set", "annotations=10", "--set", "query=5", *more, says=f"dfal: --set annotations=10: {says}")
    dfal.refuses(64, "run", "bad.yaml", "--set", "annotations=20", "--set", "initial=21", *more, says="dfal: --set initial=21: annotations is 20")
    dfal.refuses(78, "run", "bad.yaml", "--set", "query=5", *more, says=f"dfal: bad.yaml: {says}")
    dfal.refuses(64, "run", "run.yaml", "--set", "transfer_every=2", *more, says="dfal: --set transfer_every=2: transfer_every is 2")
    for path in "nonsense", "nonsense.key", "nonsense.key.more":
        dfal.refuses(64, "run", "run.yaml", "--set", f"{path}=3", *more,
                     says=f"dfal: --set {path}=3: unknown key 'nonsense': expected data, network, strategies, options, ")
    dfal.refuses(64, "run", "run.yaml", "--set", "training.epochs.more=2", *more,
                 says="dfal: --set training.epochs.more=2: training.epochs takes a value, expected no key below it")


def early(dfal):
    """What is wrong with the words of a line is told before the work is said to begin."""
    make_pool(dfal.at("pool.h5"), 40, 1)
    dfal.run("-q", "train", "--net", "lenet5", "pool.h5", "--epochs", "0", "-o", "net.h5")
    train, score = ("train", "--net", "lenet5", "pool.h5", "-o", "n.h5"), ("score", "net.h5", "pool.h5", "-o", "s.h5")
    for line in ((*train, "--lr", "0"), (*train, "--lr", "0", "--optimizer", "sgd"), (*train, "--validation", "1"),
                 (*train, "--patience", "3"), (*train, "--optimizer", "adamm"), (*score, "--range", "0:41"), (*score, "--shard", "1/41"),
                 (*score, "--norm", "0.5"), (*score, "--classes", "1"), (*score, "--engine", "fusde"), ("score", "lenet5", *score[2:])):
        out, err = dfal.run(*line, code=64)
        check(out == "" and err.count("\n") == 1 and err.startswith("dfal: "), f"{line} says:\n{err}")


def operands(dfal):
    dfal.refuses(64, "score", "only-one", "-o", "s.h5", says="NET POOL")
    dfal.refuses(64, "score", "a", "b", "c", "-o", "s.h5", says="'c'")
    dfal.refuses(64, "doctor", "what", says="'what'")
    dfal.refuses(64, "score", "a", "b", says="-o")
    dfal.refuses(64, "train", "p.h5", "-o", "n.h5", says="--net")
    dfal.refuses(64, "synth", "-o", "p.h5", says="-n")
    dfal.refuses(64, "select", "a", "b", "-o", "q.csv", "--count", "3", says="--strategy")
    dfal.refuses(64, "run", "-o", "d", says="--preset")
    dfal.refuses(64, "import", "npy", "a", says="import needs -o POOL.h5")
    dfal.refuses(66, "score", "a", "b", "--estimate", says="b:")
    dfal.refuses(64, "import", "npz", "a", "-o", "p.h5", "--channels", "3", says="--channels belongs to import images, not to import npz")
    dfal.refuses(64, "synth", "-n", says="needs a value")
    dfal.refuses(64, "synth", "-n", "-o", "p.h5", says="needs a value")
    dfal.refuses(64, "doctor", "--json=yes", says="takes no value")
    dfal.refuses(64, "doctor", "--set", "a=b", says="run")
    dfal.refuses(64, "eval", "--config", "a.yaml", "n", "p", says="run")
    dfal.refuses(64, "score", "n", "p", "-o", "s", "--range", "0:3", "--shard", "1/2", says="--shard")


def numbers(dfal):
    for value in ("10.5", "010", "nan", "inf", "-1", "", "1e3", "0x10", "99999999999999999999", " 3", "3 ", "+3", "3a"):
        dfal.refuses(64, "train", "--epochs=" + value, "--net", "lenet5", "p", "-o", "n",
                     says=("--epochs", f"'{value}'", "expected"))
    for value in ("nan", "inf", "-0.5", "0x1p3", "01.5", "1e999", "", "1.2.3", "1e"):
        dfal.refuses(64, "train", "--lr=" + value, "--net", "lenet5", "p", "-o", "n",
                     says=("--lr", f"'{value}'", "expected"))
    dfal.refuses(64, "--threads", "0", "doctor", says=("--threads", "'0'"))
    dfal.refuses(64, "--seed", "-1", "doctor", says=("--seed", "'-1'"))
    dfal.refuses(64, "--seed", "18446744073709551616", "doctor", says="--seed")
    for value in ("12Q", "G", "1.5G", "-1G", "99999999999G", "0"):
        dfal.refuses(64, "--memory", value, "doctor", says=("--memory", f"'{value}'"))
    for value in ("l3", "0.5", "nan", "linff"):
        dfal.refuses(64, "score", "--norm", value, "n", "p", "-o", "s", says=("--norm", f"'{value}'"))
    for value in ("3", "5:2", "3:3", "a:b", "-1:4", ":", "1:2:3"):
        dfal.refuses(64, "score", "--range", value, "n", "p", "-o", "s", says=("--range", f"'{value}'"))
    for value in ("0/3", "4/3", "3", "1/0", "a/b"):
        dfal.refuses(64, "score", "--shard", value, "n", "p", "-o", "s", says=("--shard", f"'{value}'"))
    dfal.refuses(64, "score", "--classes", "1", "n", "p", "-o", "s", says="--classes")
    dfal.run("--seed", "18446744073709551615", "--memory", "512M", "doctor", "-q")


def later(dfal):
    for words in ("query", "x"), ("answer", "x"):
        dfal.refuses(69, *words, says="not in this version")
    out, _ = dfal.run("--help")
    check("query" not in out and "answer" not in out, "--help lists a command that does not work")


def many_threads(dfal):
    """More threads than the CPUs can have is said once, with both numbers; what they can have is not."""
    cpus = dfal.json("doctor")["cpus_usable"]
    _, err = dfal.run("--threads", 4 * cpus, "doctor")
    check(err == "", f"{4 * cpus} threads on {cpus} CPUs: {err}")
    _, err = dfal.run("--threads", 4 * cpus + 1, "doctor", "-q")
    check(err.count("\n") == 1 and err.startswith("warning: ") and f"{4 * cpus + 1} threads" in err
          and f"{cpus} CPU" in err, f"{4 * cpus + 1} threads on {cpus} CPUs: {err}")
    _, err = dfal.run("--threads", 4000, "--log-format", "json", "doctor")
    line = json.loads(err)
    check((line["event"], line["level"], line["threads"], line["cpus"]) == ("context.threads", "warning", 4000, cpus), err)


def help_texts(dfal):
    out, err = dfal.run("--help")
    check(out.startswith("Usage: dfal") and err == "", "--help belongs to stdout")
    commands = [line.split()[0] for line in out.split("Global options")[0].splitlines()[4:] if line.startswith("  ")]
    check(len(commands) >= 15, f"--help lists {commands}")
    for command in commands:
        out, _ = dfal.run(command, "--help")
        check(out.startswith(f"Usage: dfal {command}"), f"{command} --help: {out[:60]}")
        check(dfal.run("help", command) == (out, ""), f"help {command} is not {command} --help")
    check(dfal.run("help") == dfal.run("--help"), "help is not --help")
    dfal.refuses(64, "help", "scroe", says=("scroe", "score"))
    dfal.refuses(64, "hepl", says="help")
    out, _ = dfal.run("--version")
    check(out.startswith("dfal 0.") and "hdf5" in out and "compiler" in out, f"--version: {out}")


def documents(dfal):
    with open(os.path.join(ROOT, "docs", "CLI.md"), encoding="utf-8") as file:
        committed = file.read()
    out, _ = dfal.run("--help-markdown")
    check(out == committed, "docs/CLI.md is not what `dfal --help-markdown` prints; run tools/make-cli-docs")
    with open(os.path.join(ROOT, "docs", "dfal.1"), encoding="utf-8") as file:
        page = file.read()
    if shutil.which("help2man"):
        subprocess.run([os.path.join(ROOT, "tools", "make-cli-docs"), dfal.path, dfal.folder], check=True)
        with open(dfal.at("dfal.1"), encoding="utf-8") as file:
            without = lambda text: [line for line in text.splitlines() if not line.startswith(('.\\"', ".TH"))]
            check(without(file.read()) == without(page), "docs/dfal.1 is not what tools/make-cli-docs prints")
        with open(dfal.at("TUTORIAL.md"), encoding="utf-8") as file, open(os.path.join(ROOT, "docs", "TUTORIAL.md"), encoding="utf-8") as committed:
            check(file.read() == committed.read(), "docs/TUTORIAL.md has other keys of run than tools/make-cli-docs prints")
    hours = re.search(r"`paper-mnist-lenet5` \| .*; (about \d+ hours) ", out)
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        lines = [line for line in file if "dfal run --preset paper-mnist-lenet5" in line]
    check(hours and lines and all(hours[1] in line for line in lines), f"the preset's text and README.md do not say alike how long it takes: {lines}")
    check('.SH "DFAL SCORE"' in page.upper() and "max\\-iter" in page, "docs/dfal.1 lacks the commands")


def completion(dfal):
    out, _ = dfal.run("--help-completion")
    script = out + """
COMP_WORDS=(dfal sc); COMP_CWORD=1; _dfal; echo "${COMPREPLY[*]}"
COMP_WORDS=(dfal score --deepf); COMP_CWORD=2; _dfal; echo "${COMPREPLY[*]}"
COMP_WORDS=(dfal score --norm l2 --deepfool l); COMP_CWORD=5; _dfal; echo "${COMPREPLY[*]}"
"""
    script += """
COMP_WORDS=(dfal hel); COMP_CWORD=1; _dfal; echo "${COMPREPLY[*]}"
COMP_WORDS=(dfal help sco); COMP_CWORD=2; _dfal; echo "${COMPREPLY[*]}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    check(done.stdout.split() == ["score", "--deepfool", "lts4", "help", "score"], f"completion: {done.stdout} {done.stderr}")


def streams(dfal):
    """Results on stdout alone; -q silences; JSON lines are JSON."""
    out, err = dfal.run("-q", "doctor")
    check(err == "" and "version" in out, f"doctor -q: {err}")
    document = dfal.json("doctor")
    for key in ("version", "compiler", "cpu", "threads", "hdf5", "backend_cuda", "file_locking"):
        check(key in document, f"doctor --json has no {key}")
    document = dfal.json("doctor", "--threads", "1")
    check(document["threads"] == 1, "a global option behind the command is not taken")
    out, _ = dfal.run("doctor", "--json", environment={"SLURM_CPUS_PER_TASK": "1"})
    check(json.loads(out)["threads"] == 1, "SLURM_CPUS_PER_TASK is not read")
    _, err = dfal.run("--log-format", "json", "info", "missing.h5", code=66)
    line = json.loads(err)
    check(line["level"] == "error" and line["code"] == 66 and "missing.h5" in line["text"], f"error line: {line}")
    dfal.refuses(66, "info", "missing.h5", says="missing.h5")
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([dfal.path, "doctor"], stdout=full, stderr=subprocess.PIPE, check=False)
    check(done.returncode == 74, f"a full stdout gives {done.returncode}, expected 74")


main({f.__name__: f for f in (names, words, set_values, early, operands, numbers, later, many_threads, help_texts, documents, completion, streams)})
