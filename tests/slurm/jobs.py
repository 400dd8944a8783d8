#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`dfal submit` on a real Slurm of this test's own: what was stopped, killed or cut into an array gives the bytes of one process.

    tests/slurm/inside.sh python3 tests/slurm/jobs.py DFAL [TEST...]

DFAL_MPIRUN is Open MPI's mpirun, for the tests of ranks; DFAL_CONTAINER runs a command in a container, for `image`.
"""
import functools
import glob
import os
import signal
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "cli"))
from cluster import Cluster  # pylint: disable=wrong-import-position
from data import make_pool  # pylint: disable=wrong-import-position
from support import check, main, same_bits, same_runs  # pylint: disable=wrong-import-position

# Three parts, of which the first is a file after a second of several.
SCORE = ("score", "net.h5", "pool.h5", "--max-iter", "1", "--threads", "1")
RUN = ("run", "--train", "train.h5", "--test", "pool.h5", "--preset", "quickstart", "--set", "annotations=60", "--set", "training.restarts=2",
       "--threads", "1", "--set")  # trials=N
REQUEUED = 60  # seconds; Slurm waits for six


def prepare(dfal, rows=34000):
    """Its folder gets a blank in its name, a network and a pool."""
    dfal.folder = os.path.join(dfal.folder, "my scores")
    os.mkdir(dfal.folder)
    make_pool(dfal.at("train.h5"), 400, 1)
    make_pool(dfal.at("pool.h5"), rows, 2)
    dfal.run("-q", "train", "--net", "lenet5", "train.h5", "-o", "net.h5", "--epochs", "0")


def score_whole(dfal):
    """The scores of one process."""
    dfal.run("-q", *SCORE[:-2], "-o", "whole.h5")


def submit(dfal, *words):
    document = dfal.json("submit", *words)
    check(document["job"] > 0, f"submit {words}: {document}")
    return document


def log_of(dfal, name):
    with open(dfal.at(name), encoding="utf-8", errors="replace") as file:
        return file.read()


def wait_for_part(cluster, dfal, out):
    cluster.wait(f"part of {out}", lambda: glob.glob(os.path.join(glob.escape(dfal.at(out + ".parts")), "??????.h5")))


def finish(cluster, dfal, job, out, restarts):
    """The job ends well after so many restarts, with the bytes of one process."""
    cluster.wait_for_state(job, "COMPLETED", "FAILED", "CANCELLED")
    state, log = cluster.job(job), log_of(dfal, out + ".log")
    check((state["JobState"], state["Restarts"]) == ("COMPLETED", str(restarts)), f"{out}: {state['JobState']}, {state['Restarts']} restarts\n{log}")
    check(f"job {job}, start {restarts + 1} on " in log, f"{out}: the log was cut or does not tell of the starts:\n{log}")
    check("rows are finished, the rest is continued" in log, f"{out}: the finished part was not used:\n{log}")
    same_bits(dfal.at("whole.h5"), dfal.at(out))


def wait_for_rounds(cluster, dfal, out, count):
    """Until a run directory tells of so many rounds."""
    table = os.path.join(out, "curve.csv")
    cluster.wait(f"{count} rounds of {out}", lambda: os.path.exists(dfal.at(table)) and log_of(dfal, table).count("\n") > count)


def wait_for_requeue(cluster, job, restarts=1):
    cluster.wait(f"requeue of job {job}", lambda: cluster.job(job)["Restarts"] == str(restarts), REQUEUED)


def kill_task(out, ranks=1):
    """SIGKILL to the process of dfal that writes it, which is not the job's script; of several ranks to the one that began last."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if os.path.basename(words[0]) == b"dfal" and out.encode() in words:
            found.append(int(path.split("/")[2]))
    check(len(found) == ranks, f"{len(found)} processes write {out}, expected {ranks}")
    os.kill(max(found), signal.SIGKILL)


def short(cluster, dfal):
    """A job that is warned goes on after its requeue; meanwhile an array is scored and merged, and two ranks score."""
    prepare(dfal, 26000)
    job = submit(dfal, *SCORE, "-o", "warned.h5")["job"]
    wait_for_part(cluster, dfal, "warned.h5")
    cluster.call("scancel", "--batch", "--signal=USR1", str(job))
    array = submit(dfal, "--array", "2", *SCORE, "-o", "array.h5")
    check(dfal.json("status", "array.h5")["state"] in ("not begun", "unfinished"), "status of an array that is not merged")
    with_ranks = "DFAL_MPIRUN" in os.environ and ranks_begin(cluster, dfal)
    score_whole(dfal)
    if with_ranks:
        ranks_end(cluster, dfal, with_ranks)
    wait_for_requeue(cluster, job)
    cluster.wait_for_state(array["merge_job"], "COMPLETED", "FAILED", "CANCELLED")
    check(cluster.state(array["merge_job"]) == "COMPLETED", f"the merge: {cluster.job(array['merge_job'])}")
    same_bits(dfal.at("whole.h5"), dfal.at("array.h5"))
    check(dfal.json("status", "array.h5.shards")["shards_finished"] == "1-2", "status of the shards")
    finish(cluster, dfal, job, "warned.h5", 1)


def signals(cluster, dfal):
    """USR1 to the script, USR1 to the step, TERM to all: the finished part is kept, and the job ends as if nothing had been."""
    prepare(dfal)
    score_whole(dfal)
    jobs = {}
    for out, words in (("batch.h5", ("--batch", "--signal=USR1")), ("step.h5", ("--signal=USR1",)), ("all.h5", ("--full", "--signal=TERM"))):
        jobs[out] = submit(dfal, *SCORE, "-o", out)["job"]
        wait_for_part(cluster, dfal, out)
        cluster.call("scancel", *words, str(jobs[out]))
        wait_for_requeue(cluster, jobs[out])
    for out, job in jobs.items():
        finish(cluster, dfal, job, out, 1)


def kills(cluster, dfal):
    """kill -9 of the task is one more start. Of the whole job nothing is left that could ask for it, and the file is submitted again."""
    prepare(dfal)
    score_whole(dfal)
    task = submit(dfal, *SCORE, "-o", "task.h5")
    wait_for_part(cluster, dfal, "task.h5")
    kill_task("task.h5")
    wait_for_requeue(cluster, task["job"])
    job = submit(dfal, *SCORE, "-o", "job.h5")
    wait_for_part(cluster, dfal, "job.h5")
    cluster.call("scancel", "--full", "--signal=KILL", str(job["job"]))
    cluster.wait_for_state(job["job"], "FAILED", "CANCELLED")
    check(dfal.json("status", "job.h5")["state"] == "unfinished", "status of a killed job")
    again = int(cluster.call("sbatch", "--parsable", dfal.at(job["script"])))
    finish(cluster, dfal, again, "job.h5", 0)
    finish(cluster, dfal, task["job"], "task.h5", 1)


def cancelled(cluster, dfal):
    """A job that its user cancels stays cancelled; the same line submits it again."""
    prepare(dfal)
    score_whole(dfal)
    job = submit(dfal, *SCORE, "-o", "out.h5")["job"]
    wait_for_part(cluster, dfal, "out.h5")
    cluster.call("scancel", str(job))
    cluster.wait("the script's last words", lambda: "it is not started again" in log_of(dfal, "out.h5.log"))
    cluster.wait_for_state(job, "CANCELLED")
    check(cluster.job(job)["Restarts"] == "0", "a cancelled job was requeued")
    finish(cluster, dfal, submit(dfal, *SCORE, "-o", "out.h5")["job"], "out.h5", 0)


def cap(cluster, dfal):
    """No more restarts than were asked for, and the log says how to go on."""
    prepare(dfal, 70000)
    job = submit(dfal, "--max-restarts", "1", *SCORE, "-o", "out.h5")["job"]
    wait_for_part(cluster, dfal, "out.h5")
    cluster.call("scancel", "--signal=USR1", str(job))
    wait_for_requeue(cluster, job)
    cluster.wait("second start", lambda: "the rest is continued" in log_of(dfal, "out.h5.log"))
    cluster.call("scancel", "--signal=USR1", str(job))
    cluster.wait_for_state(job, "FAILED", "COMPLETED")
    found, log = cluster.job(job), log_of(dfal, "out.h5.log")
    check((found["Restarts"], found["ExitCode"]) == ("1", "75:0"), f"at the cap: {found}\n{log}")
    check(f"job {job} was started 2 times, max_restarts=1: it is not started again; sbatch continues it" in log, log)


def two_jobs(cluster, dfal):
    """The second job in one output ends with 73 and its sentence, and is not requeued; the first is not disturbed."""
    prepare(dfal)
    score_whole(dfal)
    first = submit(dfal, *SCORE, "-o", "out.h5")["job"]
    wait_for_part(cluster, dfal, "out.h5")
    second = submit(dfal, *SCORE, "-o", "out.h5")["job"]
    cluster.wait_for_state(second, "FAILED")
    found = cluster.job(second)
    check((found["ExitCode"], found["Restarts"]) == ("73:0", "0"), f"the second job: {found}")
    cluster.wait_for_state(first, "COMPLETED")
    log = log_of(dfal, "out.h5.log")
    check("dfal: out.h5: another process is working on this output, expected an output of its own" in log, f"the second job's sentence:\n{log}")
    same_bits(dfal.at("whole.h5"), dfal.at("out.h5"))


def no_pool(cluster, dfal):
    """A node without the pool: the job ends with 66 and names it, and is not requeued."""
    prepare(dfal, 400)
    document = submit(dfal, *SCORE, "-o", "first.h5")
    cluster.wait_for_state(document["job"], "COMPLETED")
    os.rename(dfal.at("first.h5"), dfal.at("second.h5"))
    os.remove(dfal.at("pool.h5"))
    again = int(cluster.call("sbatch", "--parsable", dfal.at(document["script"])))
    cluster.wait_for_state(again, "FAILED", "COMPLETED")
    found, log = cluster.job(again), log_of(dfal, "first.h5.log")
    check((found["ExitCode"], found["Restarts"]) == ("66:0", "0") and "dfal: pool.h5" in log, f"without the pool: {found}\n{log}")


def array(cluster, dfal):
    """Of an array only the task that was killed starts again. Where a task fails, the merge is cancelled."""
    prepare(dfal, 70000)
    score_whole(dfal)
    document = submit(dfal, "--array", "2", *SCORE, "-o", "out.h5")
    number = document["job"]
    wait_for_part(cluster, dfal, "out.h5.shards/2-of-2.h5")
    check(dfal.json("status", "out.h5")["shards_begun"] in ("2", "1-2"), "status of an array at work")
    kill_task("out.h5.shards/2-of-2.h5")
    wait_for_requeue(cluster, f"{number}_2")
    cluster.wait_for_state(document["merge_job"], "COMPLETED", "FAILED", "CANCELLED")
    check([cluster.job(f"{number}_{task}")["Restarts"] for task in (1, 2)] == ["0", "1"], "the tasks' restarts")
    same_bits(dfal.at("whole.h5"), dfal.at("out.h5"))
    # No shard can be made of a file that is no pool.
    document = submit(dfal, "--array", "2", "score", "net.h5", "whole.h5", "-o", "bad.h5")
    cluster.wait_for_state(document["merge_job"], "CANCELLED")
    found = cluster.job(document["merge_job"])
    check(found["Reason"] == "DependencyNeverSatisfied", f"the merge of shards that failed: {found}")
    check(cluster.job(f"{document['job']}_1")["ExitCode"] == "65:0", "the exit code of a task without a pool")


def run(cluster, dfal):
    """An experiment that is warned, told to end or killed goes on after the round that it had finished."""
    prepare(dfal, 400)
    words = (*RUN, "trials=1")
    dfal.run("-q", *words, "-o", "whole")
    jobs = {}
    for out, signal_words in (("warned/", ("--batch", "--signal=USR1")), ("ended/", ("--signal=TERM",)), ("killed/", None)):
        jobs[out] = submit(dfal, *words, "-o", out)["job"]
        cluster.wait(f"first round of {out}", lambda: glob.glob(os.path.join(glob.escape(dfal.at(out)), "state", "*.h5")))
        if signal_words is None:
            kill_task(out)
        else:
            cluster.call("scancel", *signal_words, str(jobs[out]))
        wait_for_requeue(cluster, jobs[out])
    for out, job in jobs.items():
        cluster.wait_for_state(job, "COMPLETED", "FAILED")
        check((cluster.state(job), cluster.job(job)["Restarts"]) == ("COMPLETED", "1"), log_of(dfal, out[:-1] + ".log"))
        same_runs(dfal.at("whole"), dfal.at(out))


def trials(cluster, dfal):
    """The trials of an experiment as an array: a task that is killed goes on, and the merge is the experiment of one process."""
    prepare(dfal, 400)
    words = (*RUN, "trials=3")
    dfal.run("-q", *words, "-o", "whole")
    document = submit(dfal, "--array", "2", *words, "-o", "out")
    number = document["job"]
    wait_for_rounds(cluster, dfal, "out.shards/2-of-2", 2)
    found = dfal.json("status", "out")
    check((found["job"], found["shards"], found["shards_finished"], found["state"]) == ("array", 2, "none", "unfinished"), f"status of an array at work: {found}")
    kill_task("out.shards/2-of-2")
    wait_for_requeue(cluster, f"{number}_2")
    cluster.wait_for_state(document["merge_job"], "COMPLETED", "FAILED", "CANCELLED")
    check([cluster.job(f"{number}_{task}")["Restarts"] for task in (1, 2)] == ["0", "1"], "the tasks' restarts")
    check(cluster.state(document["merge_job"]) == "COMPLETED", f"the merge:\n{log_of(dfal, 'out.log')}")
    same_runs(dfal.at("whole"), dfal.at("out"))
    check(dfal.json("status", "out")["state"] == "finished", "status of a merged experiment")
    check(dfal.json("status", "out.shards")["shards_finished"] == "1-2", "status of its parts")
    for task in (1, 2):
        check(dfal.json("status", f"out.shards/{task}-of-2")["state"] == "finished", f"status of part {task}")


def image(cluster, dfal):
    """A job in a container, by the line of a job file for one: one process, and two ranks by the image's mpirun.
    For tests/docker.sh, whose dfal is a script that runs the image's."""
    os.umask(0)  # the image's user is somebody else
    os.chmod(dfal.folder, 0o777)
    # A busy disk shows the first part ten seconds after it was begun: there must be many more seconds of work behind it.
    prepare(dfal, 160000)
    words = ("score", "net.h5", "pool.h5", "--threads", "1", "--engine", "layers")
    dfal.run("-q", *words, "-o", "whole.h5")
    for out, inside in (("one.h5", ""), ("two.h5", " mpirun --oversubscribe -np 2")):
        script, _ = dfal.run("submit", "--dry-run", *words, "-o", out)
        check(script.count("container=()\n") == 1, f"the script has no line for a container:\n{script}")
        with open(dfal.at(out + ".sbatch"), "w", encoding="utf-8") as file:
            file.write(script.replace("container=()\n", f"container=({os.environ['DFAL_CONTAINER']}{inside})\n"))
        job = int(cluster.call("sbatch", "--parsable", dfal.at(out + ".sbatch")))
        wait_for_part(cluster, dfal, out)
        cluster.call("scancel", "--batch", "--signal=USR1", str(job))
        wait_for_requeue(cluster, job)
        check(f"job {job}: exit code 75\n" in log_of(dfal, out + ".log"), log_of(dfal, out + ".log"))
        finish(cluster, dfal, job, out, 1)
        check(("2 ranks by mpi" in log_of(dfal, out + ".log")) == bool(inside), log_of(dfal, out + ".log"))


def gpus(cluster, dfal):
    """Each task of --gpus-per-task=1 sees a GPU of its own; a job of submit --gpus 2 has both."""
    prepare(dfal, 400)
    line = "srun --ntasks=2 --gpus-per-task=1 sh -c 'echo $SLURM_LOCALID:$CUDA_VISIBLE_DEVICES'"
    cluster.call("sbatch", "--wait", "--gpus-per-node=2", "--ntasks-per-node=2", f"--output={dfal.at('bound')}".replace(" ", "\\ "), "--wrap", line)
    check(sorted(log_of(dfal, "bound").split()) == ["0:0", "1:1"], log_of(dfal, "bound"))
    job = submit(dfal, "--gpus", "2", "--cpus", "2", "--time", "10", *SCORE, "--backend", "cpu", "-o", "out.h5")["job"]
    cluster.wait_for_state(job, "COMPLETED")
    found = cluster.job(job)
    check((found["TresPerNode"], found["NumCPUs"], found["TimeLimit"]) == ("gres:gpu:2", "2", "00:10:00"), f"{found}")


# Of Slurm's two nodes both are this host, for which its PMIx has one folder a step, so that a step of pmix has one node here.
ONE_NODE = (("--nodes=2", "--nodes=1"), ("--ntasks-per-node=1", "--ntasks-per-node=2"))
# Open MPI starts its daemon on each node by srun. It takes the two for two machines, and the one way between them is the loopback.
BOTH_NODES = ("launcher=(srun --mpi=pmix --kill-on-bad-exit=1)",
              "launcher=(${DFAL_MPIRUN} --mca btl self,tcp --mca btl_tcp_if_include lo --mca oob_tcp_if_include lo)")


def submit_ranks(cluster, dfal, changes, *words):
    """The file that submit writes for two ranks, with what is different on this cluster; its number."""
    script, _ = dfal.run("submit", "--dry-run", "--nodes", "2", *words)
    for before, after in changes:
        check(script.count(before + "\n") == 1, f"the script has no line {before}:\n{script}")
        script = script.replace(before + "\n", after + "\n")
    name = dfal.at(words[-1] + ".sbatch")
    with open(name, "w", encoding="utf-8") as file:
        file.write(script)
    return int(cluster.call("sbatch", "--parsable", name))


def parts_of(dfal, out):
    """When each finished part was written."""
    found = {}
    for path in glob.glob(os.path.join(glob.escape(dfal.at(out + ".parts")), "??????.h5")):
        try:
            found[path] = os.stat(path).st_mtime_ns
        except FileNotFoundError:
            pass  # the file has its name
    return found


def finish_ranks(cluster, dfal, job, out, nodes):
    """The job was requeued; it computes what is missing and nothing else, on its two ranks."""
    before = parts_of(dfal, out)
    check(before, f"{out}: no part is kept")

    def done():
        again = [path for path, when in parts_of(dfal, out).items() if before.get(path, when) != when]
        check(not again, f"{again} were computed again")
        return cluster.state(job) in ("COMPLETED", "FAILED", "CANCELLED")

    cluster.wait(f"end of job {job}", done)
    finish(cluster, dfal, job, out, 1)
    log = log_of(dfal, out + ".log")
    check(log.count(f"2 ranks by mpi, {2 // nodes} of them on ") == 2, f"{out}: the ranks of both starts:\n{log}")


def ranks_begin(cluster, dfal):
    """Two ranks by srun on few rows at the border of two shards; its number."""
    return submit_ranks(cluster, dfal, ONE_NODE, *SCORE, "--range", "16284:16484", "-o", "ranks.h5")


def ranks_end(cluster, dfal, job):
    dfal.run("-q", *SCORE[:-2], "--range", "16284:16484", "-o", "few.h5")
    cluster.wait_for_state(job, "COMPLETED", "FAILED", "CANCELLED")
    log = log_of(dfal, "ranks.h5.log")
    check(cluster.state(job) == "COMPLETED" and "2 ranks by mpi, 2 of them on " in log, f"ranks by srun:\n{log}")
    same_bits(dfal.at("few.h5"), dfal.at("ranks.h5"))


def ranks(cluster, dfal):
    """A rank that is killed, and a step that is warned: the job is requeued and goes on. Tasks without a PMI are told so."""
    prepare(dfal, 50000)
    dfal.run("-q", *SCORE[:-2], "-o", "whole.h5", "--threads", "2")
    for out, nodes, changes in (("srun.h5", 1, ONE_NODE), ("mpirun.h5", 2, (BOTH_NODES,))):
        job = submit_ranks(cluster, dfal, changes, *SCORE, "-o", out)
        wait_for_part(cluster, dfal, out)
        kill_task(out, 2)
        wait_for_requeue(cluster, job)
        finish_ranks(cluster, dfal, job, out, nodes)
        out = "warned-" + out
        job = submit_ranks(cluster, dfal, changes, *SCORE, "-o", out)
        wait_for_part(cluster, dfal, out)
        cluster.call("scancel", *(("--signal=USR1",) if nodes == 1 else ("--batch", "--signal=USR1")), str(job))
        wait_for_requeue(cluster, job)
        check(f"job {job}: exit code 75\n" in log_of(dfal, out + ".log"), log_of(dfal, out + ".log"))
        finish_ranks(cluster, dfal, job, out, nodes)
    done = cluster.step(dfal.folder, "-n", "2", dfal.path, "-q", *SCORE, "-o", "alone.h5")
    check(done.returncode == 69 and "dfal: 2 tasks of this Slurm step would each do the whole job" in done.stderr,
          f"tasks without a PMI: {done.returncode}, {done.stderr}")
    check(not glob.glob(glob.escape(dfal.at("alone.h5")) + "*"), "tasks without a PMI have left something")


def rank_runs(cluster, dfal):
    """An experiment on two ranks of which one is killed."""
    prepare(dfal, 400)
    words = (*RUN, "trials=2")
    dfal.run("-q", *words, "-o", "whole")
    for out, changes in (("by-srun", ONE_NODE), ("by-mpirun", (BOTH_NODES,))):
        job = submit_ranks(cluster, dfal, changes, *words, "-o", out)
        wait_for_rounds(cluster, dfal, out, 3)
        kill_task(out, 2)
        wait_for_requeue(cluster, job)
        cluster.wait_for_state(job, "COMPLETED", "FAILED", "CANCELLED")
        check((cluster.state(job), cluster.job(job)["Restarts"]) == ("COMPLETED", "1"), log_of(dfal, out + ".log"))
        same_runs(dfal.at("whole"), dfal.at(out))


def begin():
    """The tests of the command line, on a cluster of their own."""
    folder = os.path.join(tempfile.gettempdir(), "cluster")
    os.mkdir(folder, 0o755)
    with Cluster(folder) as cluster:
        os.environ.clear()
        os.environ.update(cluster.environment)
        tests = [short, signals, kills, cancelled, cap, two_jobs, no_pool, array, run, trials, gpus]
        tests += [ranks, rank_runs] * ("DFAL_MPIRUN" in os.environ) + [image] * ("DFAL_CONTAINER" in os.environ)
        main({test.__name__: functools.partial(test, cluster) for test in tests})


begin()
