# SPDX-License-Identifier: Apache-2.0
"""What surrounds a process: descriptors, pipes, the locale and the end of the program that loaded the library."""
import csv
import ctypes
import os
import re
import signal
import subprocess

from support import check, main, same_bits, same_file

CONFIGURATION = """data: {train: pool.h5, test: pool.h5}
network: lenet5
strategies: [dfal, random]
initial: 10
query: 5
annotations: 15
trials: 2
options: {dfal: {subsample: 50}}
training: {restarts: 1, epochs: 1, validation: 0, lr: 1.5e-3}
"""


def host_program(folder, *words, environment=None):
    """The program that loads the library, in a folder of its own; gives what it printed."""
    os.makedirs(folder)
    with open(f"{folder}/run.yaml", "w", encoding="ascii") as file:
        file.write(CONFIGURATION)
    done = subprocess.run([os.environ["HOST_PROGRAM"], os.environ["LIBDFAL"], *words], cwd=folder, timeout=250, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})})
    check(done.returncode == 0, f"host program {words}: exit code {done.returncode}\n{done.stdout.decode()}")
    return done.stdout.decode()


def numbers_hidden(text):
    """Times and sizes differ from run to run; a comma in a number does not stay hidden."""
    return re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", "#", text)


def same_curves(first, second):
    """The same rows, but for times, which have a point, too."""
    tables = []
    for folder in (first, second):
        with open(f"{folder}/curve.csv", encoding="utf-8", newline="") as file:
            tables.append(list(csv.DictReader(file)))
        for row in tables[-1]:
            for name in [name for name in row if name.endswith("_seconds")]:
                seconds = row.pop(name)
                check(re.fullmatch(r"\d+\.\d{3}", seconds), f"{folder}/curve.csv has {seconds} in {name}")
    check(tables[0] and tables[0] == tables[1], "the two curve.csv differ")


def same_folders(first, second):
    """Everything that the host program wrote, but for times, and for places in what people read."""
    for name in ("pool.h5", "net.h5", "scores.h5"):
        same_bits(f"{first}/{name}", f"{second}/{name}")
    for name in ("queries.csv", "sheet.html", "run/queries.csv"):
        same_file(f"{first}/{name}", f"{second}/{name}")
    same_curves(f"{first}/run", f"{second}/run")
    for name in ("facts.txt", "report.html", "run/log.jsonl", "run/config.yaml"):
        texts = [numbers_hidden(open(f"{folder}/{name}", encoding="utf-8").read().replace(folder, ""))
                 for folder in (first, second)]
        lines = [text.splitlines() for text in texts]
        if name == "run/log.jsonl":  # trials run side by side: which round ends first is anybody's guess
            lines = [sorted(each) for each in lines]
        for one, other in zip(*lines):
            check(one == other, f"{name}:\n{one}\n{other}")
        check(lines[0] == lines[1], f"{name} differs between {first} and {second}")


CATEGORIES = ("IDENTIFICATION", "CTYPE", "MONETARY", "MESSAGES", "PAPER", "NAME", "ADDRESS", "TELEPHONE", "MEASUREMENT",
              "TIME")


def under_locale(dfal, source, point):
    """The same files as in the locale "C" from a host program that has set another one."""
    made = subprocess.run(["localedef", "-i", source, "-f", "UTF-8", "./other"], cwd=dfal.folder, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    check(os.path.isdir(dfal.at("other")), f"localedef (package locales): {made.stdout.decode()}")
    host_program(dfal.at("plain"))
    printed = host_program(dfal.at("foreign"), "locale=other", environment={"LOCPATH": dfal.folder})
    check(printed == f"1{point}5\n", f"the locale is not in force: 1.5 is {printed}")
    same_folders(dfal.at("plain"), dfal.at("foreign"))


def strange_locale(dfal):
    """A decimal point of two bytes, digits in groups, and Turkish letters, of which i is no small I."""
    with open(dfal.at("strange"), "w", encoding="ascii") as file:
        file.write("comment_char %\nescape_char /\n")
        for name in CATEGORIES:
            file.write(f'LC_{name}\ncopy "tr_TR"\nEND LC_{name}\n')
        file.write('LC_COLLATE\ncopy "POSIX"\nEND LC_COLLATE\nLC_NUMERIC\ndecimal_point "<U066B>"\n'
                   'thousands_sep "<U066C>"\ngrouping 3\nEND LC_NUMERIC\n')
    under_locale(dfal, "./strange", "\u066b")


def german_locale(dfal):
    under_locale(dfal, "de_DE", ",")


def host_descriptors(dfal):
    """A host program without standard streams prints into nothing of the library's."""
    host_program(dfal.at("open"))
    host_program(dfal.at("closed"), "closed")
    with open(dfal.at("closed/facts.txt"), encoding="utf-8") as file:
        faults = [line for line in file if line.startswith("FAULT")]
    check(not faults, "".join(faults[:3]))
    same_folders(dfal.at("open"), dfal.at("closed"))


def in_shell(dfal, line):
    return subprocess.run(["sh", "-c", f"exec '{dfal.path}' {line}"], cwd=dfal.folder, check=False, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def closed_descriptors(dfal):
    """Messages for a closed descriptor end in no output; results for a closed stdout are an error."""
    with open(dfal.at("run.yaml"), "w", encoding="ascii") as file:
        file.write(CONFIGURATION)
    dfal.run("-q", "synth", "-n", "200", "-o", "pool.h5")
    dfal.run("-q", "train", "--net", "lenet5", "pool.h5", "--epochs", "1", "-o", "net.h5")
    everything = "<&- >&- 2>&-"
    for words, closing, code in (("run run.yaml", "", 0), ("run run.yaml", "2>&-", 0), ("run run.yaml", everything, 74),
                                 ("score net.h5 pool.h5", "", 0), ("score net.h5 pool.h5", everything, 74)):
        name = words.split()[0]
        ended = in_shell(dfal, f"-v {words} -o {name}{code}{len(closing)} {closing}")
        check(ended.returncode == code, f"{words} {closing}: {ended.returncode}, expected {code}")
    for name in ("run04", "run7412"):
        same_file(dfal.at("run00/queries.csv"), dfal.at(f"{name}/queries.csv"))
        same_curves(dfal.at("run00"), dfal.at(name))
    same_bits(dfal.at("score00"), dfal.at("score7412"))
    for words in ("info pool.h5 >&-", "info pool.h5 --json >/dev/full", "--help >&-", "doctor >&-", "eval net.h5 pool.h5 >&-",
                  "run run.yaml --print-config >&-", "--version >/dev/full", "verify score00 --samples 4 >&-"):
        ended = in_shell(dfal, f"-q {words}")
        check(ended.returncode == 74 and b"standard output" in ended.stderr,
              f"{words}: {ended.returncode}, expected 74: {ended.stderr.decode()}")


def no_executable_memory(dfal):
    """oneDNN makes its code at run time: where that is denied the back end is not available."""
    def deny():
        ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE, Linux 6.3

    def run(*words):
        return subprocess.run([dfal.path, *words], cwd=dfal.folder, preexec_fn=deny, check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
    dfal.run("-q", "synth", "-n", "40", "-o", "pool.h5")
    if b"denied" not in run("doctor").stdout:
        print("skipped: this kernel cannot deny executable memory")
        return
    check("executable_memory        allowed" in dfal.run("doctor")[0], "doctor calls executable memory denied where it is not")
    done = run("-q", "train", "--net", "vgg8", "pool.h5", "--epochs", "1", "-o", "net.h5", "--backend", "cpu")
    check(done.returncode == 69 and b"executable memory" in done.stderr, f"{done.returncode}, expected 69: {done.stderr}")


def pipes(dfal):
    """A job whose messages nobody reads goes on; one whose results nobody reads dies as other commands do."""
    dfal.run("-q", "synth", "-n", "300", "-o", "ref.h5")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([dfal.path, "synth", "-n", "300", "-o", "a.h5"], cwd=dfal.folder, stderr=write, check=False,
                          preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL))
    check(done.returncode == 0, f"stderr without a reader: {done.returncode}, expected 0")
    same_bits(dfal.at("ref.h5"), dfal.at("a.h5"))
    for handler, code in ((signal.SIG_DFL, -signal.SIGPIPE), (signal.SIG_IGN, 74)):
        done = subprocess.run([dfal.path, "-q", "info", "ref.h5"], cwd=dfal.folder, stdout=write, stderr=subprocess.PIPE,
                              check=False, preexec_fn=lambda: signal.signal(signal.SIGPIPE, handler), restore_signals=False)
        check(done.returncode == code, f"stdout without a reader: {done.returncode}, expected {code}")
    os.close(write)
    left = [name for name in os.listdir(dfal.folder) if ".tmp." in name]
    check(not left, f"temporaries are left: {left}")


main({f.__name__: f for f in (closed_descriptors, pipes, no_executable_memory, host_descriptors, strange_locale, german_locale)})
