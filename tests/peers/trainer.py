#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""examples/trainer_torch.py under `dfal run --trainer`: two rounds on drawn digits with twins; stopped in the middle of a
round by SIGTERM it exits 75, and the same line ends in the same run."""
import csv
import os
import shutil
import signal
import subprocess
import sys
import time

from common import ROOT, arguments


def curve(folder):
    with open(os.path.join(folder, "curve.csv"), encoding="utf-8", newline="") as file:
        return [{key: value for key, value in row.items() if not key.endswith("_seconds")} for row in csv.DictReader(file)]


def main():
    args = arguments(__doc__)
    work = os.path.join(args.work, "trainer")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    for split, count in ("train", 600), ("test", 300):
        subprocess.run([args.dfal, "-q", "synth", "-o", f"{work}/{split}.h5", "-n", str(count), "--split", split], check=True)
    command = f"'{sys.executable}' -W ignore '{ROOT}/examples/trainer_torch.py' --epochs 12 --threads 1"
    line = [args.dfal, "-q", "run", "--preset", "quickstart", "--train", f"{work}/train.h5", "--test", f"{work}/test.h5",
            "--trainer", command, "--set", "trials=1", "--set", "strategies=[dfal]", "--set", "initial=40", "--set", "query=40",
            "--set", "annotations=120"]
    subprocess.run([*line, "-o", f"{work}/whole"], check=True, stdout=subprocess.DEVNULL)
    rows = curve(f"{work}/whole")
    accuracy = [float(row["accuracy"]) for row in rows]
    assert len(rows) == 3 and int(rows[-1]["labelled"]) > 120, f"no twins, or other rounds: {rows}"
    assert accuracy[-1] > 0.35 and accuracy[-1] > accuracy[0] + 0.1, f"the trainer does not learn: {accuracy}"
    found = subprocess.run([args.dfal, "-q", "--json", "eval", f"{work}/whole/networks/dfal-1.h5", f"{work}/test.h5"],
                           check=True, capture_output=True, text=True)
    print(f"accuracy of the rounds {accuracy}; of the kept network: {found.stdout.strip()[:60]}...")

    process = subprocess.Popen([*line, "-o", f"{work}/stopped"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    log = f"{work}/stopped/state/dfal-1.trainer/trainer-1.log"
    while process.poll() is None and not os.path.exists(log):
        time.sleep(0.05)
    time.sleep(2.5)
    process.send_signal(signal.SIGTERM)
    error = process.communicate()[1].decode()
    print(f"stopped in round 1: exit code {process.returncode}")
    assert process.returncode == 75, error
    subprocess.run([*line, "-o", f"{work}/stopped", "--resume"], check=True, stdout=subprocess.DEVNULL)
    assert curve(f"{work}/stopped") == rows, "the resumed run is another"
    with open(f"{work}/whole/queries.csv", "rb") as a, open(f"{work}/stopped/queries.csv", "rb") as b:
        assert a.read() == b.read(), "the resumed run asked other questions"
    print("resumed: the same run")


if __name__ == "__main__":
    main()
