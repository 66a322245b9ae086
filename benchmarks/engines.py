"""Do several processes and a Ray cluster give the rows of one process, how much faster, and what does a kill cost?

    python benchmarks/engines.py --images 20000 --repeats 3
    python benchmarks/engines.py --images 2000 --kills 20 --repeats 0

An audit (clean, four corruptions, FGSM and PGD) of the embedded network on N random images of 28 x 28 pixels, each case
in a process of its own with one thread a worker: `local`, `local:2`, Ray with one and with two workers, and two drivers
that share a run. Cases take turns; the table has the median, least and largest seconds of the whole process (imports,
start of workers and report included) and of its shards alone, and whether the rows are those of `local` (labels,
predictions, counts exactly, floats within 1e-4). `--kills` ends a random process of the run, driver or worker, at a
random moment by signal 9, and runs the same command with `--resume` until it is done. Each case of Ray starts a
cluster, but where `RAY_ADDRESS` names one that is there already.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _peers import machine

CASES = ("local", "local:2", "ray:1", "ray:2", "shared:2")
PLAN = """
- {method: gaussian_noise, severities: [1, 3]}
- {method: contrast, severities: [3]}
- {method: defocus_blur, severities: [3]}
- {method: fgsm, eps: [8/255]}
- {method: pgd, params: {steps: 10}, eps: [8/255]}
"""
DATA = """
import torch
from unshaken.data.arrays import InMemory

def build():
    drawn = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (COUNT, 1, 28, 28), generator=drawn, dtype=torch.uint8)
    return InMemory(images, torch.randint(0, 10, (COUNT,), generator=drawn))
"""


def command(folder: Path, case: str, out: Path) -> list[str]:
    """A case as a command of this script, which runs in a process of its own."""
    return [sys.executable, __file__, "--folder", str(folder), "--case", case, "--out", str(out)]


def run_case(folder: Path, case: str, out: Path) -> None:
    """One audit, in this process and those that it starts."""
    import torch

    import unshaken

    torch.set_num_threads(1)
    kind, _, count = case.partition(":")
    engine = "local" if kind == "shared" else case if kind == "local" else "ray"
    if kind == "ray" and "RAY_ADDRESS" not in os.environ:
        import ray

        ray.init(num_cpus=int(count), include_dashboard=False, log_to_driver=False, logging_level="error")
    unshaken.audit(
        "demo:standard", f"py:{folder}/data.py:build", str(folder / "plan.yaml"), out=out, engine=engine,
        share=kind == "shared", resume=True, workers=1, batch_size=256, save_examples=0,
    )  # fmt: skip


def start(folder: Path, case: str, out: Path) -> list[subprocess.Popen[bytes]]:
    """The drivers of a case."""
    count = int(case.partition(":")[2]) if case.startswith("shared") else 1
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    return [
        subprocess.Popen(command(folder, case, out), env=environment, stderr=subprocess.PIPE, start_new_session=True)
        for _ in range(count)
    ]


def finish(drivers: list[subprocess.Popen[bytes]]) -> list[int]:
    """Wait for drivers; their exit codes."""
    for driver in drivers:
        said = driver.communicate()[1].decode(errors="replace")
        if driver.returncode > 0:
            print(said[-800:], file=sys.stderr)
    return [driver.returncode for driver in drivers]


def descendants(number: int) -> list[int]:
    """The processes of this session, the driver first."""
    found = subprocess.run(["pgrep", "-s", str(number)], capture_output=True, text=True, check=False).stdout.split()
    names = {int(n): _name(int(n)) for n in found}
    return [n for n, name in names.items() if n == number or "spawn_main" in name or "ray::Worker" in name]


def _name(number: int) -> str:
    try:
        return Path(f"/proc/{number}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def rows(out: Path) -> dict[tuple[str, str], dict[str, object]]:
    """Outcomes by condition and id, without seconds."""
    from unshaken.store.run_dir import RunDir

    found = RunDir(out).rows("outcomes").to_pylist()
    by = {(r["condition"], r["id"]): {k: v for k, v in r.items() if k != "seconds"} for r in found}
    if len(by) != len(found):
        raise SystemExit(f"{out}: rows stand twice")
    return by


def same(first: dict[tuple[str, str], dict[str, object]], other: dict[tuple[str, str], dict[str, object]]) -> bool:
    """Whether rows are equal; floats within 1e-4."""
    return first.keys() == other.keys() and all(
        _close(value, other[key][name]) for key, row in first.items() for name, value in row.items()
    )


def _close(one: object, other: object) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_close, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 1e-4 * max(1.0, abs(one))
    return one == other


def shard_seconds(out: Path) -> float:
    """From the first finished file of rows to the last: without imports, start of workers and report."""
    times = [p.stat().st_mtime for p in (out / "rows" / "cost").iterdir()]
    return max(times) - min(times)


def killed(folder: Path, case: str, out: Path, seconds: float, dice: random.Random) -> tuple[str, int]:
    """Run a case whose random process is killed at a random moment, then again until it is done."""
    drivers = start(folder, case, out)
    time.sleep(dice.uniform(0.3, 0.95) * seconds)
    about = [n for driver in drivers if driver.poll() is None for n in descendants(driver.pid)]
    victim = dice.choice(about) if about else 0
    what = "nobody" if not victim else "driver" if victim in [d.pid for d in drivers] else "worker"
    if victim:
        os.kill(victim, signal.SIGKILL)
    codes, again = finish(drivers), 0
    while any(codes) and again < 5:
        again += 1
        codes = finish(start(folder, case, out))
    return what, again


def main() -> int:
    """Print tables; exit with 1 where rows differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--case")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if chosen.case:
        run_case(chosen.folder, chosen.case, chosen.out)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="unshaken-engines-"))
    (folder / "plan.yaml").write_text(PLAN)
    (folder / "data.py").write_text(DATA.replace("COUNT", str(chosen.images)))
    print(machine(), end="\n\n")
    finish(start(folder, "local", folder / "straight"))
    want, wrong = rows(folder / "straight"), 0
    whole: dict[str, list[float]] = {c: [] for c in chosen.cases}
    inside: dict[str, list[float]] = {c: [] for c in chosen.cases}
    equal = dict.fromkeys(chosen.cases, True)
    for turn in range(chosen.repeats):
        for case in chosen.cases[turn % len(chosen.cases) :] + chosen.cases[: turn % len(chosen.cases)]:
            out = folder / f"{case}-{turn}"
            began = time.perf_counter()
            codes = finish(start(folder, case, out))
            whole[case].append(time.perf_counter() - began)
            inside[case].append(shard_seconds(out))
            equal[case] &= codes == [0] * len(codes) and same(want, rows(out))
            shutil.rmtree(out)
    if chosen.repeats:
        print(f"{chosen.images:,} images, {len(want):,} rows\n")
        print("| engine | seconds, median (least to largest) | shards alone | rows equal |\n|---|---|---|---|")
        for case in chosen.cases:
            w, s = whole[case], inside[case]
            print(
                f"| {case} | {statistics.median(w):.1f} ({min(w):.1f} to {max(w):.1f}) | {statistics.median(s):.1f} "
                f"({min(s):.1f} to {max(s):.1f}) | {'yes' if equal[case] else 'NO'} |"
            )
        wrong += not all(equal.values())
    dice = random.Random(chosen.seed)
    for kill in range(chosen.kills):
        several = [c for c in chosen.cases if c != "local"]
        case, out = several[kill % len(several)], folder / f"kill-{kill}"
        began = time.perf_counter()
        if kill < len(several):
            finish(start(folder, case, folder / f"time-{kill}"))
            whole[case] = [time.perf_counter() - began]
        what, again = killed(folder, case, out, whole[case][0], dice)
        right = same(want, rows(out))
        wrong += not right
        print(f"kill {kill + 1}, {case}: {what} killed, {again} resumed; rows {'equal' if right else 'DIFFER'}")
    shutil.rmtree(folder)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
