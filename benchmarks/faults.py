"""Is anything lost when an audit is killed? SIGKILL at random moments, resume, compare with a run that was left alone.

Measured: an audit of `--model` on `--limit` images of `--data` (corruptions and attacks of every kind; several shards)
runs once without interruption. Then, `--kills` times, the same audit starts in a process of its own and is killed
(signal 9) at a moment drawn uniformly over the time it took; it is resumed until done. A row of the table says when it
was killed, how many condition-and-shard files stood then, and whether the resumed run has the same rows as the first:
equal in every column but seconds, floats to the last bit. `--chain` kills the same run again and again
instead of starting afresh.

    python benchmarks/faults.py --kills 20
    python benchmarks/faults.py --kills 10 --certify smoothing-sequential:n=5000 --limit 500 --shard-size 1024
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

PLAN = [
    {"method": "gaussian_noise", "severities": [1, 3, 5]},
    {"method": "contrast", "severities": [3]},
    {"method": "pgd", "params": {"steps": 10, "restarts": 2}, "eps": ["2/255", "8/255"]},
    {"method": "autoattack", "params": {"steps": 10, "queries": 50}, "eps": ["8/255"]},
    {"method": "carlini-wagner", "params": {"steps": 20, "search_steps": 3}, "eps": [0.5]},
    {"method": "hop-skip-jump", "params": {"steps": 2, "max_samples": 50}},
]


def start(arguments: argparse.Namespace, out: Path) -> int:
    """The audit in a process of its own, resumed where it stood; its number."""
    import unshaken

    child = os.fork()
    if child:
        return child
    code = 1
    try:
        options = {
            "out": out,
            "limit": arguments.limit,
            "batch_size": arguments.batch_size,
            "workers": 1,
            "save_examples": 3,
            "resume": True,
        }
        if arguments.certify:
            unshaken.certify(arguments.model, arguments.data, arguments.certify, attacked=False, **options)
        else:
            unshaken.audit(arguments.model, arguments.data, PLAN, **options)
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(code)


def warm(model: str) -> None:
    """Import all that a run needs before any is forked: what is killed is then at work, not at imports."""
    import unshaken

    unshaken.list_methods()
    unshaken.load_model(model)


def small_shards(size: int) -> None:
    """Make every run's shards this small, so that there are many gaps to be killed in."""
    from unshaken.api import job as api_job

    kind = api_job.RunConfig
    api_job.RunConfig = lambda **values: kind(**{**values, "shard_size": size})


def finish(child: int) -> int:
    """Wait for a process; its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def rows_of(out: Path) -> dict[tuple[str, str, str], str]:
    """Every row but its seconds, by condition and id."""
    from unshaken.run import RunDir

    rows = [
        (t, r)
        for t in ("outcomes", "certificates")
        if (out / "rows" / t).is_dir()
        for r in RunDir(out).rows(t).to_pylist()
    ]
    found = {(t, r["condition"], r["id"]): json.dumps({**r, "seconds": None}) for t, r in rows}
    if len(found) != len(rows):
        raise SystemExit(f"{out}: {len(rows) - len(found)} rows are there twice")
    return found


def written(out: Path) -> int:
    """Condition-and-shard files that stand, and files of finished samples of a shard in work."""
    return len(list(out.glob("rows/outcomes/*.parquet"))) + len(list(out.glob("journal/*/*.json")))


def main() -> int:
    """Print the table; exit with 1 when a resumed run differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--model", default="demo:standard")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--shard-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--certify", default="", help="a certifier such as smoothing-sequential:n=5000, in place of PLAN"
    )
    parser.add_argument("--chain", action="store_true", help="kill one run again and again")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    warm(arguments.model)
    small_shards(arguments.shard_size)
    folder, dice = Path(tempfile.mkdtemp(prefix="unshaken-faults-")), random.Random(arguments.seed)
    straight = folder / "straight"
    began = time.monotonic()
    if finish(start(arguments, straight)) != 0:
        return 1
    length, expected, files = time.monotonic() - began, rows_of(straight), written(straight)
    what = f"{arguments.model} on {arguments.limit} images of {arguments.data}"
    print(f"{what}: {len(expected)} rows in {files} files; {length:.1f} s without interruption\n")
    print("| kill | after s | files written then | killed in work | files after resuming | same rows |")
    print("|---|---|---|---|---|---|")
    bad = 0
    out = folder / "killed"
    for number in range(1, arguments.kills + 1):
        if not arguments.chain:
            shutil.rmtree(out, ignore_errors=True)
        moment = dice.uniform(0, length)
        child = start(arguments, out)
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        killed, stood = finish(child) == -signal.SIGKILL, written(out)
        if not arguments.chain or number == arguments.kills:
            done = finish(start(arguments, out)) == 0
            same = done and rows_of(out) == expected
            bad += not same
            verdict = "yes" if same else "NO"
        else:
            verdict = "-"
        print(
            f"| {number} | {moment:.2f} | {stood} | {'yes' if killed else 'no'} | {written(out)} | {verdict} |",
            flush=True,
        )
    print(f"\n{arguments.kills - bad} of {arguments.kills} resumed to the same {len(expected)} rows.")
    shutil.rmtree(folder)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
