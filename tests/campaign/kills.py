#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Killed at random moments: tests/campaign/kills.py DFAL COUNT [SEED]

Sends SIGKILL, SIGTERM or SIGINT to a line of the command at a random moment, up to three times in a row, then gives the same
line until it ends. The outputs must be those of an undisturbed line bit by bit, no temporary and no work folder may be left,
and the exit codes are those of docs/CLI.md. Exit status 1 with findings."""
import os
import signal
import time

from lines import KEEPING, campaign, check

NUMBERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def disturb(lines, name, number, moment, killed):
    """One kill; whether the line ended before it. killed: an earlier one was left no time to clean up, and this one may be
    dead before it has begun."""
    process = lines.start(lines.words(name))
    time.sleep(moment)
    process.send_signal(number)
    code, said = lines.end(process)
    expected = (0, 73, -number) if number == signal.SIGKILL or name not in KEEPING else (0, 73, 75, -number)
    check(code in expected, f"exit code {code}, expected one of {expected}: {said}")
    lines.compare_there(name)
    if code != -signal.SIGKILL and not (killed and code == -number):
        lines.clean()
    if code == 73:
        check(os.path.exists(lines.at(lines.all[name][1][0])), f"73 without an output: {said}")
    if code == 75:
        check(len(said) == 1, f"75 says {said}")
        check(lines.extra(), "75 without anything that is kept")
    if code == -number and number != signal.SIGKILL and not killed:
        there = [e for e in lines.extra() if e not in lines.all[name][1]]
        check(not there or name in KEEPING, f"died of signal {number} and left {there}")
    return code in (0, 73)


def attempt(lines, chance):
    name, kills, killed = chance.choice(sorted(lines.all)), 0, False
    seconds = lines.whole(name)
    for _ in range(chance.choice((1, 1, 2, 3))):
        number = chance.choice(NUMBERS)
        # The last moments, in which files get their names, are a short time: half the kills go there.
        share = chance.uniform(0, 1) if chance.random() < 0.5 else chance.uniform(0.85, 1.05)
        kills += 1
        lines.case = (lines.case + ", " if lines.case else name + ": ") + f"signal {int(number)} at {share * seconds:.4f} s"
        if disturb(lines, name, number, share * seconds, killed):
            break
        killed = killed or number == signal.SIGKILL
    lines.again(name)
    return kills


if __name__ == "__main__":
    campaign(__doc__, 20000, "kills", attempt)
