#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`dfal submit` with commands of Slurm's that are made up: job files, words, refusals, what status says. tests/slurm has a real one."""
import glob
import json
import os
import re
import shutil
import stat
import subprocess

from data import make_pool
from support import check, main

# Words that a shell, sbatch or printf could take for something else.
HARD = ["a b", "it's", 'say "no"', "$HOME", "`id`", "back\\slash", "100%", "#5", "", "*", "~", "\u00e9", "!x", "a;b&c|d>e", "-x", "%a %%", "--", "(", "x=y"]


def prepare(dfal):
    # As the job files have them, without links.
    dfal.path, dfal.folder = os.path.realpath(dfal.path), os.path.realpath(dfal.folder)
    make_pool(dfal.at("pool.h5"), 40, 1)
    dfal.run("-q", "train", "--net", "lenet5", "pool.h5", "--epochs", "0", "-o", "net.h5")


def tool(dfal, name, text):
    """A command in front of the PATH."""
    folder = dfal.at("bin")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write("#!/bin/bash\n" + text)
    os.chmod(path, stat.S_IRWXU)
    return {"PATH": folder + ":" + os.environ["PATH"]}


def made_up(dfal, first=7):
    """An sbatch that takes everything, notes its words and numbers its jobs."""
    return tool(dfal, "sbatch", f"""printf '%s\\n' "$*" >>{dfal.at("called")}
n=$(wc -l <{dfal.at("called")})
echo "$((n + {first - 1}));made-up"
""")


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def settings(lines):
    """The #SBATCH lines as a dictionary."""
    return dict(line[len("#SBATCH "):].split("=", 1) for line in lines if line.startswith("#SBATCH ") and "=" in line)


def options(dfal):
    """Each option stands in its line; what is not given is left to the cluster."""
    prepare(dfal)
    out, err = dfal.run("submit", "--dry-run", "score", "net.h5", "pool.h5", "-o", "s.h5")
    found = settings(out.splitlines())
    check(err == "" and not glob.glob(dfal.at("*.sbatch")), f"--dry-run left something or said: {err}")
    check(found == {"--job-name": "dfal-score", "--output": "s.h5.log", "--open-mode": "append", "--signal": "B:USR1@120", "--nodes": "1",
                    "--ntasks-per-node": "1", "--chdir": dfal.folder}, f"without options: {found}")
    check("#SBATCH --requeue" in out and "max_restarts=3\n" in out and "launcher=(srun)\ncontainer=()\n" in out, out)
    check(f"command=({dfal.path} score net.h5 pool.h5 -o s.h5)" in out, out)
    out, _ = dfal.run("submit", "--dry-run", "--gpus", "4", "--cpus", "8", "--mem", "64G", "--time", "2-00:00:00", "--partition", "gpu",
                      "--account", "me", "--max-restarts", "9", "score", "net.h5", "pool.h5", "-o", "s.h5")
    found = settings(out.splitlines())
    wanted = {"--gpus-per-node": "4", "--cpus-per-task": "8", "--mem": "64G", "--time": "2-00:00:00", "--partition": "gpu", "--account": "me"}
    check({key: found.get(key) for key in wanted} == wanted and "max_restarts=9\n" in out, f"with options: {out}")
    check("score --backend=cuda:all net.h5" in out, "several GPUs are one process on all of them")
    out, _ = dfal.run("submit", "--dry-run", "--gpus", "4", "score", "--backend", "cpu", "net.h5", "pool.h5", "-o", "s.h5")
    check("score --backend cpu net.h5" in out, "a back end that is given is taken")
    for words, name, last in ((("run", "--preset", "quickstart", "-o", "d/"), "run", "max_restarts=10\n"),
                              (("bench", "deepfool", "net.h5", "pool.h5"), "bench", "max_restarts=0\n"),
                              (("eval", "net.h5", "pool.h5"), "eval", "max_restarts=3\n")):
        out, _ = dfal.run("submit", "--dry-run", *words)
        check(f"--job-name=dfal-{name}\n" in out and last in out, f"submit {words}: {out}")
        check(f"--output={'d' if name == 'run' else 'dfal-' + name}.log\n" in out, f"submit {words}: {out}")


def estimate(dfal):
    """Time and memory are twice what the command measures, shared by what runs side by side, and what is given stays."""
    prepare(dfal)
    score = ("score", "net.h5", "pool.h5", "-o", "s.h5")
    out, err = dfal.run("submit", "--dry-run", "--estimate", *score)
    found = settings(out.splitlines())
    check((found["--time"], found["--mem"]) == ("00:10:00", "2G"), f"the least that is asked for: {found}")
    check("score takes about " in err and "asked for are 00:10:00 and 2G" in err, err)
    out, _ = dfal.run("submit", "--dry-run", "--estimate", "--time", "7", *score)
    found = settings(out.splitlines())
    check((found["--time"], found["--mem"]) == ("7", "2G"), f"a time that is given: {found}")
    # Hours of an experiment, and what is left of them for each of four tasks. The machine is not measured twice alike, so each line is
    # held against what it says that it has measured.
    run = ("run", "--preset", "quickstart", "--train", "pool.h5", "--test", "pool.h5", "-o", "d", "--set", "initial=10",
           "--set", "query=10", "--set", "annotations=30", "--set", "trials=10000")
    units = {"s": 1, "min": 60, "h": 3600, "d": 86400}
    for before, tasks in (((), 1), (("--array", "4"), 4)):
        out, err = dfal.run("submit", "--dry-run", "--estimate", *before, *run)
        told = re.search(r"run takes about ([^,]*) here", err).group(1)
        measured = sum(float(number) * units[unit] for number, unit in re.findall(r"([0-9.]+) (s|min|h|d)", told))
        days, _, clock = settings(out.splitlines())["--time"].rpartition("-")
        hours, minutes, rest = (int(word) for word in clock.split(":"))
        check(rest == 0 and minutes % 5 == 0, f"a time of whole five minutes: {clock}")
        asked, least = 86400 * int(days or 0) + 3600 * hours + 60 * minutes, max(600, 2 * measured / tasks)
        check(measured > 300 and 0.95 * least - 60 <= asked <= 1.05 * least + 360, f"{told} by {tasks} tasks: {asked} s are asked for")


def ranks(dfal):
    """Several nodes are ranks, one a GPU, or one a node; what is given twice is not."""
    prepare(dfal)
    line = ("score", "net.h5", "pool.h5", "-o", "s.h5")
    for more, tasks, launcher in (((), "1", "srun --mpi=pmix --kill-on-bad-exit=1"),
                                  (("--gpus", "2"), "2", "srun --mpi=pmix --kill-on-bad-exit=1 --gpus-per-task=1")):
        out, _ = dfal.run("submit", "--dry-run", "--nodes", "3", *more, *line)
        found = settings(out.splitlines())
        check((found["--nodes"], found["--ntasks-per-node"], found.get("--gpus-per-node")) == ("3", tasks, more[1] if more else None), f"{more}: {found}")
        check(f"launcher=({launcher})\ncontainer=()\n" in out, f"{more}: {out}")
        check(f"command=({dfal.path} score --comm=mpi net.h5 pool.h5 -o s.h5)\n" in out, f"{more}: {out}")
    # Of one node's GPUs, too, where the words ask for it.
    for words in ((*line, "--comm", "mpi"), ("run", "--preset", "quickstart", "-o", "d", "--feed", "nccl")):
        out, _ = dfal.run("submit", "--dry-run", "--gpus", "4", *words)
        check(settings(out.splitlines())["--ntasks-per-node"] == "4" and "srun --mpi=pmix " in out and "cuda:all" not in out.split("command=")[1],
              f"submit --gpus 4 {words}: {out}")
    out, _ = dfal.run("submit", "--dry-run", "--nodes", "2", *line, "--comm", "auto")
    check(f"command=({dfal.path} score net.h5 pool.h5 -o s.h5 --comm auto)\n" in out, f"--comm is given: {out}")
    for words in (("logits", *line[1:]), ("select", "net.h5", "pool.h5", "--strategy", "dfal", "--count", "3", "-o", "q.csv"), ("run", "--preset", "quickstart", "-o", "d")):
        out, _ = dfal.run("submit", "--dry-run", "--nodes", "2", *words)
        check(f"{words[0]} --comm=mpi " in out and "launcher=(srun --mpi=pmix " in out, f"submit --nodes 2 {words}: {out}")
    out, _ = dfal.run("submit", "--dry-run", "--nodes", "2", "--gpus", "1", "--container", "dfal.sqsh", *line)
    check("launcher=(srun --mpi=pmix --kill-on-bad-exit=1 --gpus-per-task=1 --container-image=dfal.sqsh " in out, out)
    out, _ = dfal.run("submit", "--dry-run", "--nodes", "2", "--gpus", "1", "--container", "dfal.sif", *line)
    check("launcher=(srun --mpi=pmix --kill-on-bad-exit=1 --gpus-per-task=1)\ncontainer=(apptainer exec --nv " in out, out)


def containers(dfal):
    """Pyxis by options of srun, Apptainer by a word before the command; every folder that is read or written is mounted."""
    prepare(dfal)
    other = dfal.at("other, folder"), dfal.at("other")
    for path in other:
        os.mkdir(path)
    os.rename(dfal.at("pool.h5"), os.path.join(other[1], "pool.h5"))
    os.symlink("other/pool.h5", dfal.at("pool.h5"))
    work = dfal.at("work")
    os.mkdir(work)
    os.rename(dfal.at("net.h5"), os.path.join(work, "net.h5"))
    line = ("score", "net.h5", "../pool.h5", "-o", "s.h5")
    inside = lambda *words: subprocess.run([dfal.path, *words], cwd=work, capture_output=True, text=True, check=False)
    out = inside("submit", "--dry-run", "--gpus", "1", "--container", "dfal.sqsh", *line).stdout
    check(f"launcher=(srun --container-image=dfal.sqsh --container-mounts={work}:{work},{other[1]}:{other[1]} --container-workdir={work})\n" in out, out)
    check("command=(dfal score net.h5 ../pool.h5 -o s.h5)\n" in out, "in a container dfal is the container's")
    out = inside("submit", "--dry-run", "--gpus", "1", "--array", "2", "--container", "/images/dfal.sif", *line).stdout
    check(out.count(f"container=(apptainer exec --nv --bind {work},{other[1]} --pwd {work} /images/dfal.sif)\n") == 1, out)
    check(out.count(f"container=(apptainer exec --bind {work},{other[1]} --pwd {work} /images/dfal.sif)\n") == 1, "the merge has no GPU")
    os.rename(os.path.join(other[1], "pool.h5"), os.path.join(other[0], "pool.h5"))
    done = inside("submit", "--container", "dfal.sqsh", "score", "net.h5", os.path.join(other[0], "pool.h5"), "-o", "s.h5")
    check(done.returncode == 64 and f"the folder {other[0]} cannot be mounted" in done.stderr, done.stderr)


def words(dfal):
    """Whatever a word holds, the program gets it as it was given; the folder and the log as sbatch has them."""
    prepare(dfal)
    folder = dfal.at("a b $x 'q' #1 100%")
    os.mkdir(folder)
    for name in ("net.h5", "pool.h5"):
        os.rename(dfal.at(name), os.path.join(folder, name))
    for name in HARD:
        if "/" not in name and name not in ("", "*"):
            with open(os.path.join(folder, "l" + name), "w", encoding="utf-8") as file:
                file.write("id,label\n")
    for number, word in enumerate(HARD):
        out = f"o{number} {word.replace(chr(92), '')}"
        given = ["score", "net.h5", "pool.h5", f"--labels={'l' + word if os.path.exists(os.path.join(folder, 'l' + word)) else 'l$HOME'}", "-o", out]
        done = subprocess.run([dfal.path, "submit", "--dry-run", f"--account={word or 'me'}", *given], cwd=folder, capture_output=True, text=True, check=False)
        check(done.returncode == 0, f"{word!r}: {done.stderr}")
        script = dfal.at("script")
        with open(script, "w", encoding="utf-8") as file:
            file.write(done.stdout)
        got = run_script(dfal, script, folder)
        check(got == [dfal.path, *given], f"{word!r} arrives as {got}")
        # Between double quotes sbatch takes away a backslash, and in the name of a log every second %.
        unquoted = {key: value[1:-1].replace('\\"', '"').replace("\\\\", "\\") if value.startswith('"') else value
                    for key, value in settings(done.stdout.splitlines()).items()}
        check((unquoted["--chdir"], unquoted["--output"], unquoted["--account"]) == (folder, out.replace("%", "%%") + ".log", word or "me"), f"{unquoted}")
    # From -- on all is COMMAND's, as from COMMAND on.
    check(dfal.run("submit", "--dry-run", "--", "synth", "-n", "5", "-o", "x.h5") == dfal.run("submit", "--dry-run", "synth", "-n", "5", "-o", "x.h5"), "--")


# What a command that ends well leaves: its output, or what a run directory has at last. It is noted, so that it can be removed.
LEAVES = """while [[ $# -gt 0 ]]; do
    case $1 in
    run) run=yes ;;
    -o) out=$2 ;;
    --output=*) out=${1#*=} ;;
    esac
    shift
done
[[ -n $out ]] || exit 0
[[ -z $run ]] || out=${out%/}/state/finished
[[ -e $out ]] || { mkdir -p "$(dirname "$out")"; : >"$out"; printf '%s' "$out" >MADE; }
"""


def run_script(dfal, script, folder, code=0, restarts=None, state="RUNNING", more=None, launched=True):
    """Run a job file as a batch shell does; what srun was given. srun ends with the code; not launched: with 0, and nothing was run."""
    leaves = LEAVES.replace("MADE", dfal.at("made")) if code == 0 and launched else ""
    tool(dfal, "srun", f"printf '%s\\0' \"$@\" >{dfal.at('given')}\n{leaves}exit {code if launched else 0}\n")
    tool(dfal, "squeue", f"echo {state}\n")
    path = tool(dfal, "scontrol", f"echo \"$*\" >>{dfal.at('scontrol')}\n")
    environment = {**os.environ, **path, "SLURM_JOB_ID": "41", "SLURM_JOB_NODELIST": "n1", **(more or {})}
    if restarts is not None:
        environment["SLURM_RESTART_COUNT"] = str(restarts)
    done = subprocess.run(["bash", script], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    check(done.returncode == code, f"{script}: {done.returncode}, expected {code}\n{done.stdout}{done.stderr}")
    if os.path.exists(dfal.at("made")):
        with open(dfal.at("made"), encoding="utf-8") as file:
            os.remove(os.path.join(folder, file.read()))
        os.remove(dfal.at("made"))
    with open(dfal.at("given"), "rb") as file:
        return file.read().decode("utf-8").split("\0")[:-1]


def templates(dfal):
    """The job files that are installed run as they are, and ask for another start on those codes alone, up to the cap."""
    folder = os.path.join(os.path.dirname(dfal.path), "slurm")
    names = sorted(glob.glob(os.path.join(folder, "*.sbatch")))
    check([os.path.basename(name) for name in names] == [name + ".sbatch" for name in ("bench", "merge", "run", "score-array", "score")], f"{names}")
    for name in names:
        given = run_script(dfal, name, dfal.folder, more={"SLURM_ARRAY_JOB_ID": "40", "SLURM_ARRAY_TASK_ID": "3"} if "array" in name else None)
        check(given[0] == "dfal", f"{name}: {given}")
        directives = [line for line in lines_of(name) if line.startswith(("#SBATCH", "##SBATCH"))]
        for key in ("--time", "--partition", "--account", "--chdir", "--mem", "--gpus-per-node", "--cpus-per-task", "--array"):
            check(all(line.endswith("# SITE") for line in directives if key + "=" in line), f"{name}: {key} is not marked")
    check(not os.path.exists(dfal.at("scontrol")), "a job that ended well was requeued")
    check(run_script(dfal, os.path.join(folder, "merge.sbatch"), dfal.folder)[-4:] == [f"scores.h5.shards/{k}-of-4.h5" for k in range(1, 5)], "the merge")
    score, asked = os.path.join(folder, "score.sbatch"), []
    for code, restarts, state, again in ((75, None, "RUNNING", True), (75, 2, "RUNNING", True), (75, 3, "RUNNING", False), (75, None, "COMPLETING", False),
                                         (75, None, "", False), (137, None, "RUNNING", True), (138, 1, "RUNNING", True), (143, None, "RUNNING", True),
                                         (139, None, "RUNNING", False), (65, None, "RUNNING", False), (73, None, "RUNNING", False), (78, 1, "RUNNING", False)):
        run_script(dfal, score, dfal.folder, code, restarts, state)
        asked += ["requeue 41"] * again
        check((lines_of(dfal.at("scontrol")) if asked else []) == asked, f"exit code {code}, {restarts} restarts, {state}: {lines_of(dfal.at('scontrol'))}")
    for name in ("score", "run"):  # an experiment's folder is there from its first round
        os.makedirs(dfal.at("experiment/state"), exist_ok=True)
        run_script(dfal, os.path.join(folder, name + ".sbatch"), dfal.folder, 75, launched=False)
        asked.append("requeue 41")
        check(lines_of(dfal.at("scontrol")) == asked, f"{name}: a command that srun did not launch was taken for finished")
    run_script(dfal, os.path.join(folder, "score-array.sbatch"), dfal.folder, 75, more={"SLURM_ARRAY_JOB_ID": "40", "SLURM_ARRAY_TASK_ID": "3"})
    check(lines_of(dfal.at("scontrol"))[-1] == "requeue 40_3", "a bare number would requeue the whole array")


def arrays(dfal):
    """Every task has its shard and its output, and the merge waits for all of them; the words of the line lose their -o."""
    prepare(dfal)
    path = made_up(dfal)
    out, _ = dfal.run("-q", "--json", "submit", "--array", "3", "score", "net.h5", "-o", "old.h5", "pool.h5", "--output=s.h5", "--batch", "7", environment=path)
    check(json.loads(out) == {"job": 7, "script": "s.h5.sbatch", "log": "s.h5.%a.log", "merge_job": 8, "merge_script": "s.h5.merge.sbatch"}, out)
    check(lines_of(dfal.at("called")) == ["--parsable s.h5.sbatch", "--parsable --dependency=afterok:7 --kill-on-invalid-dep=yes s.h5.merge.sbatch"], "sbatch")
    for task in ("1", "3"):
        given = run_script(dfal, "s.h5.sbatch", dfal.folder, more={"SLURM_ARRAY_JOB_ID": "40", "SLURM_ARRAY_TASK_ID": task})
        check(given == [dfal.path, "score", "--shard", f"{task}/3", "-o", f"s.h5.shards/{task}-of-3.h5", "net.h5", "pool.h5", "--batch", "7"], f"{given}")
        subprocess.run(given, cwd=dfal.folder, check=True, capture_output=True)
    found = dfal.json("status", "s.h5")
    check((found["job"], found["shards"], found["shards_finished"], found["shards_begun"], found["shards_missing"], found["total"], found["state"])
          == ("array", 3, "1,3", "none", "2", 40, "unfinished"), f"status: {found}")
    dfal.refuses(73, "submit", "--array", "3", "score", "net.h5", "pool.h5", "-o", "s.h5", says=("s.h5.shards has 2 of 3", "sbatch --array=2 s.h5.sbatch"))
    os.mkdir(dfal.at("s.h5.shards/2-of-3.h5.parts"))
    check(dfal.json("status", "s.h5.shards")["shards_begun"] == "2", "a shard at work")
    os.rmdir(dfal.at("s.h5.shards/2-of-3.h5.parts"))
    left_parts = dfal.at("s.h5.shards/1-of-3.h5.parts")  # of a task that was killed when its file had just got its name
    os.mkdir(left_parts)
    os.link(dfal.at("s.h5.shards/1-of-3.h5"), os.path.join(left_parts, "000000.h5"))
    with open(os.path.join(left_parts, "publishing"), "w", encoding="ascii") as marker:
        marker.write("nothing\n")
    again = dfal.json("status", "s.h5")
    check(again == found, f"status counts a shard and its parts: {again}, expected {found}")
    shutil.rmtree(left_parts)
    dfal.run("-q", "score", "net.h5", "pool.h5", "--shard", "2/3", "-o", "s.h5.shards/2-of-3.h5")
    found = dfal.json("status", "s.h5")
    check((found["shards_finished"], found["shards_missing"], found["percent"], found["state"]) == ("1-3", "none", 100, "not merged"), f"status: {found}")
    dfal.refuses(73, "submit", "--array", "3", "score", "net.h5", "pool.h5", "-o", "s.h5", says="sbatch s.h5.merge.sbatch")
    subprocess.run(run_script(dfal, "s.h5.merge.sbatch", dfal.folder), cwd=dfal.folder, check=True, capture_output=True)
    check(dfal.json("status", "s.h5")["state"] == "finished", "the merge")


def missing_tasks(dfal):
    """The line that computes the missing tasks of an array names them as ranges; of very many it says where they are told."""
    prepare(dfal)
    make_pool(dfal.at("pool.h5"), 800, 1)
    path = made_up(dfal)
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "one.h5")
    for out, shards, finished, said in (("few.h5", 40, (5, 6, 40), "'sbatch --array=1-4,7-39 few.h5.sbatch'"),
                                        ("many.h5", 800, range(1, 800, 2), "'sbatch --array=NUMBERS many.h5.sbatch' computes the others ('dfal status'")):
        os.mkdir(dfal.at(out + ".shards"))
        for task in finished:
            os.link(dfal.at("one.h5"), dfal.at(f"{out}.shards/{task}-of-{shards}.h5"))
        dfal.refuses(73, "submit", "--array", str(shards), "score", "net.h5", "pool.h5", "-o", out, says=said, environment=path)


def trials(dfal):
    """The tasks of an experiment have a share of its trials and a folder each."""
    prepare(dfal)
    path = made_up(dfal)
    dfal.run("-q", "submit", "--array", "2", "run", "--preset", "quickstart", "-o", "d/", "--set", "trials=2", environment=path)
    given = run_script(dfal, "d.sbatch", dfal.folder, more={"SLURM_ARRAY_JOB_ID": "40", "SLURM_ARRAY_TASK_ID": "2"})
    check(given == [dfal.path, "run", "--trial", "2/2", "-o", "d.shards/2-of-2", "--preset", "quickstart", "--set", "trials=2"], f"{given}")
    given = run_script(dfal, "d.merge.sbatch", dfal.folder)
    check(given == [dfal.path, "merge", "-o", "d", "d.shards/1-of-2", "d.shards/2-of-2"], f"{given}")


def told(dfal):
    """What is shown, written and printed; what status says of a job that has not begun."""
    prepare(dfal)
    path = made_up(dfal)
    out, err = dfal.run("submit", "score", "net.h5", "pool.h5", "-o", "my scores.h5", environment=path)
    check(out.splitlines() == ["job          7", "script       my scores.h5.sbatch", "log          my scores.h5.log", "watch        squeue -j 7",
                               "             dfal status 'my scores.h5'"], out)
    check(err.splitlines() == lines_of(dfal.at("my scores.h5.sbatch")), "what is shown is not what is written")
    check(dfal.run("-q", "submit", "score", "net.h5", "pool.h5", "-o", "my scores.h5", environment=path)[1] == "", "-q")
    found = dfal.json("status", "my scores.h5")
    check(found == {"job": "submit", "script": "my scores.h5.sbatch", "state": "not begun"}, f"status: {found}")
    with open(dfal.at("my scores.h5.log"), "w", encoding="ascii") as file:
        file.write("job 7, start 1\n")
    found = dfal.json("status", "my scores.h5")
    check(found == {"job": "submit", "script": "my scores.h5.sbatch", "log": "my scores.h5.log", "state": "begun"}, f"status: {found}")
    dfal.run("-q", "submit", "run", "--preset", "quickstart", "-o", "d/", environment=path)
    check(dfal.json("status", "d/") == {"job": "submit", "script": "d.sbatch", "state": "not begun"}, "status of a folder that is not there yet")
    os.makedirs(dfal.at("d.shards/1-of-2"))
    check(dfal.json("status", "d/")["shards_begun"] == "1", "status of trials")
    dfal.refuses(66, "status", "their scores.h5", says="their scores.h5")
    # A file of somebody else's is not replaced.
    with open(dfal.at("s.h5.sbatch"), "w", encoding="ascii") as file:
        file.write("#!/bin/bash\n#SBATCH --time=1\n")
    dfal.refuses(73, "submit", "score", "net.h5", "pool.h5", "-o", "s.h5", says="s.h5.sbatch exists and was not written by dfal submit", environment=path)
    check(len(lines_of(dfal.at("s.h5.sbatch"))) == 2, "it was replaced")
    dfal.refuses(66, "status", "s.h5", says="s.h5")


def slurm_fails(dfal):
    """No sbatch, one that refuses, one that dies, one that says nothing: 69, and the job file stays."""
    prepare(dfal)
    line = ("submit", "score", "net.h5", "pool.h5", "-o", "s.h5")
    dfal.refuses(69, *line, says=("s.h5.sbatch is written but not submitted: there is no sbatch on the PATH", "'sbatch s.h5.sbatch'"),
                 environment={"PATH": dfal.at("nothing")})
    check(os.path.exists(dfal.at("s.h5.sbatch")), "the job file is gone")
    for text, says in (("exit 3\n", "sbatch ended with exit code 3"), ("kill -9 $$\n", "sbatch died by signal 9"), ("echo none\n", "sbatch named no job"),
                       ("", "sbatch named no job")):
        dfal.refuses(69, *line, says=says, environment=tool(dfal, "sbatch", text))
    # The merge is refused when the array is on its way.
    path = tool(dfal, "sbatch", 'case "$*" in *afterok*) exit 1 ;; esac\necho 5\n')
    _, err = dfal.run("submit", "--array", "2", *line[1:], code=69, environment=path)
    check("the array is job 5 and runs without its merge" in err and "s.h5.merge.sbatch is written but not submitted" in err, err)


def refusals(dfal):
    """What would fail after hours in a queue is told at once, and nothing is written."""
    prepare(dfal)
    dfal.run("-q", "score", "net.h5", "pool.h5", "-o", "done.h5")
    score = ("score", "net.h5", "pool.h5", "-o", "s.h5")
    array = ("submit", "--array", "2")
    for code, line, says in (
            (64, ("submit",), "COMMAND"),
            (64, ("submit", "--gpus", "0", *score), ("--gpus", "'0'")),
            (64, ("submit", "--array", "1", *score), ("--array", "'1'")),
            (64, ("submit", "--nods", "2", *score), ("--nods", "--nodes")),
            (64, ("submit", "scor", *score[1:]), ("scor", "score")),
            (64, ("submit", *score, "--max-itre", "3"), ("--max-itre", "--max-iter")),
            (64, ("submit", "score", "net.h5", "-o", "s.h5"), "NET POOL"),
            (64, ("submit", "--", "--threads", "2", *score), "'--threads' stands before score"),
            (64, ("--threads", "2", "submit", *score), "--threads stands before the COMMAND"),
            (64, ("submit", "--backend", "cpu", *score), "--backend stands before the COMMAND"),
            (64, ("submit", "status", "s.h5"), "status answers at once"),
            (64, ("submit", "submit", *score), "submit answers at once"),
            (64, ("submit", "score", "--help"), "score is asked for help"),
            (64, ("submit", "help"), "COMMAND"),
            (64, ("submit", *score[:-1], "a\nb"), "control character"),
            (64, ("submit", "--account", "a\tb", *score), "control character"),
            (64, ("submit", *score[:-1], "a\\b"), "backslash"),
            (64, ("submit", "--nodes", "2", "train", "--net", "lenet5", "pool.h5", "-o", "n.h5"), "--nodes is 2, but train"),
            (64, (*array, "--nodes", "2", *score), "--nodes is 2 with --array"),
            (64, (*array, "train", "--net", "lenet5", "pool.h5", "-o", "n.h5"), "--array is 2, but train has no --shard"),
            (64, (*array, "score", "net.h5", "pool.h5", "--estimate"), "--array is 2, but score writes nothing"),
            (64, (*array, *score, "--shard", "1/2"), "--shard is given with --array"),
            (64, (*array, *score, "--force"), "--force is given with --array"),
            (64, (*array, *score, "--range", "0:9"), "--range and --shard"),
            (66, ("submit", "score", "net.h5", "nowhere.h5", "-o", "s.h5"), "nowhere.h5"),
            (66, ("submit", "score", "lenet6", "pool.h5", "-o", "s.h5"), "lenet6"),
            (66, ("submit", *score, "--labels", "pool.h5", "--labels", "no.csv"), "no.csv"),
            (66, ("submit", "train", "--net", "lenet5", "--init", "no.h5", "pool.h5", "-o", "n.h5"), "no.h5"),
            (66, ("submit", "run", "no.yaml", "-o", "d"), "no.yaml"),
            (66, ("submit", "run", "--config", "no.yaml", "-o", "d"), "no.yaml"),
            (66, ("submit", "import", "idx", "no.gz", "-o", "p.h5"), "no.gz"),
            (64, ("submit", "--nodes", "2", *score, "--comm", "self"), "each node would do the whole job"),
            (64, ("submit", "--time", "4h", *score), "--time is '4h', expected minutes, 12:00:00 or 2-00:00:00"),
            (64, ("submit", "--mem", "64Q", *score), "--mem is '64Q', expected a number with K, M, G or T"),
            (64, ("submit", "--array", "41", *score), "--array is 41, but pool.h5 has 40 rows"),
            (64, ("submit", "--array", "4", "run", "--preset", "quickstart", "-o", "d"), "--array is 4, but the experiment has 3 trials"),
            (64, ("submit", "run", "--preset", "quickstart", "--set", "strategiess=[dfal]", "-o", "d"), "nearest is 'strategies'"),
            (64, ("submit", "--estimate", "eval", "net.h5", "pool.h5"), "--estimate is given, but eval has none"),
            (69, ("submit", "--estimate", "--gpus", "1", *score), "expected --time and --mem, or a machine like the job's: srun --gpus=1"),
            (73, ("submit", *score[:-1], "done.h5"), "done.h5 exists and is finished"),
            (73, (*array, *score[:-1], "done.h5"), "done.h5 exists and is finished"),
            (73, ("submit", *score[:-1], "nowhere/s.h5"), "nowhere/s.h5.sbatch")):
        dfal.refuses(code, *line, says=says)
    check(not glob.glob(dfal.at("*.sbatch")), "a refusal left a job file")
    dfal.run("-q", "submit", "--dry-run", *score[:-1], "done.h5", "--force")
    dfal.run("-q", "submit", "--dry-run", "score", "net.h5", "pool.h5", "--estimate")


main({f.__name__: f for f in (options, estimate, ranks, containers, words, templates, arrays, missing_tasks, trials, told, slurm_fails, refusals)})
