# SPDX-License-Identifier: Apache-2.0
"""A private Slurm: munged, slurmctld and two slurmd on this host, each with two made-up GPUs.

Everything lies in one folder and listens on the loopback alone. Nothing of the machine's own Slurm is read: SLURM_CONF names
the file written here. The daemons are children in the foreground; tests/slurm/inside.sh sees that none outlives its test.
"""
import os
import pwd
import re
import signal
import socket
import subprocess
import time

from support import Failure  # tests/cli, which jobs.py has put on the path

NODES, CPUS, GPUS = 2, 4, 2

# cred_expire: a requeued job waits one second longer than that, and five is the least that Slurm takes.
CONF = """\
ClusterName=dfaltest
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
SlurmctldPort={ports[0]}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=2
MailProg=/bin/true
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]},{ports[2]} CPUs={cpus} Gres=gpu:made:{gpus} State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(count):
    """Held all at once, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    def __init__(self, folder):
        self.folder = folder
        self.daemons = []
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
        self.environment["SLURM_CONF"] = os.path.join(folder, "slurm.conf")
        self.environment["PATH"] += ":/usr/sbin:/sbin"

    def __enter__(self):
        for name in ("state", "log", "munge", *(f"spool.n{i + 1}" for i in range(NODES))):
            os.makedirs(os.path.join(self.folder, name), mode=0o755)
        os.chmod(os.path.join(self.folder, "log"), 0o700)
        self.write("slurm.conf", CONF.format(host=socket.gethostname(), user=pwd.getpwuid(os.getuid()).pw_name, folder=self.folder,
                                             ports=free_ports(1 + NODES), cpus=CPUS, gpus=GPUS))
        # Any character device does for a GPU that nobody opens; its number is that of its name.
        for i in range(GPUS):
            os.symlink("/dev/null", os.path.join(self.folder, f"gpu{i}"))
        self.write("gres.conf", f"Name=gpu Type=made File={self.folder}/gpu[0-{GPUS - 1}]\n")
        with open(os.open(os.path.join(self.folder, "key"), os.O_CREAT | os.O_WRONLY, 0o400), "wb") as file:
            file.write(os.urandom(1024))
        munge = os.path.join(self.folder, "munge")
        self.start("munged", "--foreground", "--force", f"--key-file={self.folder}/key", f"--socket={munge}/socket",
                   f"--pid-file={munge}/pid", f"--log-file={self.folder}/log/munged.log", f"--seed-file={munge}/seed", "--num-threads=2")
        self.wait("munge's socket", lambda: os.path.exists(f"{munge}/socket"))
        self.start("slurmctld", "-D", "-f", self.environment["SLURM_CONF"])
        for i in range(NODES):
            self.start("slurmd", "-D", "-f", self.environment["SLURM_CONF"], "-N", f"n{i + 1}")
        self.wait("idle nodes", self.all_idle)
        return self

    def __exit__(self, *_):
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def all_idle(self):
        done = subprocess.run(("sinfo", "--noheader", "--Node", "--format=%T"), env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout.split() == ["idle"] * NODES

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def start(self, *words):
        with open(os.path.join(self.folder, "log", "started"), "ab") as log:
            self.daemons.append(subprocess.Popen(words, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def wait(self, what, done, seconds=120):
        end = time.monotonic() + seconds
        while not done():
            if any(daemon.poll() is not None for daemon in self.daemons):
                raise Failure(f"Slurm: a daemon has ended before {what}\n{self.logs()}")
            if time.monotonic() > end:
                raise Failure(f"Slurm: no {what} after {seconds} s\n{self.logs()}")
            time.sleep(0.05)

    def logs(self):
        texts = []
        for name in sorted(os.listdir(os.path.join(self.folder, "log"))):
            with open(os.path.join(self.folder, "log", name), encoding="utf-8", errors="replace") as file:
                texts.append(f"--- {name}\n" + "".join(file.readlines()[-25:]))
        return "\n".join(texts)

    def try_call(self, *words):
        return subprocess.run(words, env=self.environment, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0

    def call(self, *words, tries=1):
        """A command of Slurm's; what it prints. tries: a slurmctld that is busy may close the connection that a command writes to,
        of which it dies; one that only asks is repeated then."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode == -signal.SIGPIPE and tries > 1:
            return self.call(*words, tries=tries - 1)
        if done.returncode != 0:
            raise Failure(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}\n{self.logs()}")
        return done.stdout

    def step(self, folder, *words):
        """What `srun` gives that runs the words in a folder, with its exit code and what was said."""
        return subprocess.run(("srun", *words), cwd=folder, env=self.environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)

    def job(self, number):
        """The fields of a job, or of the task 4_1 of an array, as scontrol has them."""
        text = self.call("scontrol", "--oneliner", "show", "job", str(number), tries=3).splitlines()[0]
        return dict(re.findall(r"(?:^| )(\w+)=(\S*)", text))

    def state(self, number):
        return self.job(number)["JobState"]

    def wait_for_state(self, number, *states, seconds=120):
        self.wait(f"{' or '.join(states)} of job {number}", lambda: self.state(number) in states, seconds)
