"""Does a run directory ever have two writers? Processes race for the same lock, thousands of times.

Measured: `--processes` processes meet at a barrier and then take the lock of one new run directory, `--trials` times.
Of the trials a quarter each begins with no lock, with an empty one, with one of a process that has ended, and with one
whose number another process has now. Who gets in writes when it came and when it left. A trial is double when two were
in at the same time, and lost when nobody got in.

    python benchmarks/locks.py --trials 10000
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from unshaken.core.errors import RunError
from unshaken.store.lock import NAME, locked
from unshaken.store.run_dir import RunDir

KINDS = ("none", "empty", "stale", "reused")
OUTCOMES = ("one", "one after another", "double", "lost", "failed")
HELD = 0.002
"""Seconds that a writer stays in."""


def ended() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def prepare(folder: Path, kind: str, dead: int) -> None:
    """A run directory with the lock that a trial begins with."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    owner: dict[str, Any] = {"host": socket.gethostname(), "time": time.time(), "token": "of another"}
    if kind == "empty":
        (folder / NAME).touch()
    elif kind == "stale":
        (folder / NAME).write_text(json.dumps({**owner, "pid": dead}))
    elif kind == "reused":
        (folder / NAME).write_text(json.dumps({**owner, "pid": os.getppid(), "started": 1}))


def compete(folder: Path, number: int, trials: int, meet: Any, answers: Any) -> None:
    """Take part in all trials; the first process prepares each."""
    dead = ended() if number == 0 else 0
    for trial in range(trials):
        if number == 0:
            prepare(folder, KINDS[trial % len(KINDS)], dead)
        meet.wait(60)
        try:
            with locked(RunDir(folder)):
                began = time.monotonic()
                time.sleep(HELD)
                answers.put((trial, began, time.monotonic()))
        except RunError as error:
            if "is writing here" not in str(error):
                answers.put((trial, str(error), None))
        meet.wait(60)
    answers.put(None)


def judge(inside: list[tuple[Any, Any]]) -> str:
    """What became of a trial."""
    if any(left is None for _, left in inside):
        return "failed"
    inside.sort()
    overlap = any(inside[i + 1][0] < inside[i][1] for i in range(len(inside) - 1))
    return "double" if overlap else "one after another" if len(inside) > 1 else "one" if inside else "lost"


def main() -> int:
    """Print the table; exit with 1 when a trial was double, lost or failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=4)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    meet, answers = context.Barrier(arguments.processes), context.Queue()
    folder = Path(tempfile.mkdtemp(prefix="unshaken-locks-"))
    common = (arguments.trials, meet, answers)
    writers = [
        context.Process(target=compete, args=(folder / "run", number, *common)) for number in range(arguments.processes)
    ]
    for writer in writers:
        writer.start()
    inside: dict[int, list[tuple[Any, Any]]] = {trial: [] for trial in range(arguments.trials)}
    left, began = arguments.processes, time.monotonic()
    while left:
        if (answer := answers.get(timeout=120)) is None:
            left -= 1
        else:
            inside[answer[0]].append(answer[1:])
    for writer in writers:
        writer.join()
    shutil.rmtree(folder)
    found = Counter((KINDS[trial % len(KINDS)], judge(came)) for trial, came in inside.items())
    print("| lock at the beginning | " + " | ".join(OUTCOMES) + " |")
    print("|---|" + "---:|" * len(OUTCOMES))
    for kind in KINDS:
        print(f"| {kind} | " + " | ".join(str(found[kind, outcome]) for outcome in OUTCOMES) + " |")
    spent = time.monotonic() - began
    bad = sum(n for (_, outcome), n in found.items() if outcome in ("double", "lost", "failed"))
    print(f"\n{arguments.trials} trials of {arguments.processes} processes in {spent:.0f} s, {bad} bad.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
