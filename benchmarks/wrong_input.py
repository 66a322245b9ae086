"""Is whatever is wrong told in one line, soon and in little memory? Generated invocations and damaged files, seeded.

Measured: `--invocations` wrong command lines (a right one with one option replaced by a wrong value) and `--files`
damaged or hostile files (bytes changed, cut, or replaced by a pipe, a device, a bomb, odd JSON), each in a process of
its own, forked from one that has imported everything. Wrong invocations must end with exit code 2 and one line; damaged
files may also be harmless (0, 1) or cost samples (3). Nothing may end in "this is a bug", by a signal, after more than
`--seconds` of computing, or with more than `--megabytes`. What is not so is printed; then the exit code is 1.

    python benchmarks/wrong_input.py --invocations 1000 --files 500
"""

from __future__ import annotations

import argparse
import io
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from _hostile_files import READERS, damage, write_world
from _wrong_calls import wrong_call

from unshaken.cli import main as command_line


@dataclass(frozen=True)
class Ended:
    """How a call ended: exit code (minus a signal), stderr, seconds of computing, and megabytes at the most."""

    code: int
    said: str
    seconds: float
    megabytes: float

    def fault(self, right: Sequence[int], seconds: float, megabytes: float) -> str:
        """What is wrong with it; nothing where all is well."""
        lines = self.said.strip().splitlines()
        if self.code < 0:
            return f"signal {-self.code}"
        if "this is a bug" in self.said or "Traceback" in self.said:
            return "bug"
        if self.code not in right:
            return f"exit code {self.code}"
        if self.code == 2 and (len(lines) != 1 or not lines[0].startswith("unshaken: ")):
            return f"{len(lines)} lines"
        if not all(line.isprintable() for line in lines):
            return "steers the terminal"
        return "slow" if self.seconds > seconds else "memory" if self.megabytes > megabytes else ""


def call(arguments: Sequence[str], timeout: int = 60) -> Ended:
    """A command line in a process of its own."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        signal.alarm(timeout)
        out, err = io.StringIO(), io.StringIO()
        code = 1
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = command_line(list(arguments))
        except BaseException as error:
            err.write(f"Traceback {error!r}")
        with open(write, "wb") as pipe:
            pipe.write(err.getvalue().encode("utf-8", "replace")[:60_000])
        os._exit(code)
    os.close(write)
    with open(read, "rb") as pipe:
        said = pipe.read().decode()
    _, status, usage = os.wait4(child, 0)
    spent = usage.ru_utime + usage.ru_stime
    return Ended(os.waitstatus_to_exitcode(status), said, spent, usage.ru_maxrss / 1024)


def main() -> int:
    """Print what is not told as it should be, and a count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("invocations", 1000), ("files", 500), ("seed", 0), ("megabytes", 1000)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--seconds", type=float, default=2.0)
    chosen = parser.parse_args()
    return run(chosen.invocations, chosen.files, chosen.seed, chosen.seconds, chosen.megabytes)


def run(invocations: int, files: int, seed: int, seconds: float, megabytes: float) -> int:
    """As `main`, with numbers."""
    import shutil

    import torch

    import unshaken.api
    import unshaken.detect  # noqa: F401
    from unshaken.core.registry import list_methods
    from unshaken.models.loaders.kinds import list_kinds

    torch.set_num_threads(1)
    list_methods()
    list_kinds()
    dice, folder, before = random.Random(seed), Path(tempfile.mkdtemp(prefix="unshaken-wrong-")), Path.cwd()
    good, work = folder / "good", folder / "work"
    good.mkdir()
    faults: Counter[str] = Counter()
    worst = [0.0, 0.0]

    def tried(what: str, arguments: list[str], right: Sequence[int]) -> None:
        ended = call(
            [*arguments, "--quiet"]
            if arguments[0] in ("audit", "attack", "certify", "harden", "explain")
            else arguments
        )
        worst[:] = max(worst[0], ended.seconds), max(worst[1], ended.megabytes)
        fault = ended.fault(right, seconds, megabytes)
        faults[fault or "told"] += 1
        if fault:
            cost = f"{ended.seconds:.1f} s, {ended.megabytes:.0f} MB"
            print(f"{what}: {fault} ({cost}): {arguments} {ended.said[:300]!r}", flush=True)

    try:
        os.chdir(good)
        write_world(good, lambda line: call(line).code)
        for number in range(invocations):
            tried(f"invocation {number}", wrong_call(dice), (2,))
            shutil.rmtree(good / "new", ignore_errors=True)
        for number in range(files):
            os.chdir(folder)
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(good, work)
            os.chdir(work)
            name = dice.choice(list(READERS))
            how = damage(work / name, dice)
            tried(f"file {number}, {name}, {how}", dice.choice(READERS[name]), (0, 1, 2, 3))
    finally:
        os.chdir(before)
        shutil.rmtree(folder)
    bad = sum(n for fault, n in faults.items() if fault != "told")
    print(f"{invocations} invocations and {files} files: {bad} not as they should be {dict(faults)}")
    print(f"slowest {worst[0]:.1f} s, largest {worst[1]:.0f} MB")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
