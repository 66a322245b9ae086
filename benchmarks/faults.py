"""Is anything lost when an audit is killed? SIGKILL at random moments, resume, compare with a run that was left alone.

Measured: an audit of `--model` on `--limit` images of `--data` (corruptions and attacks of every kind; several shards)
runs once without interruption. Then, `--kills` times, the same audit starts in a process of its own and is killed
(signal 9) at a moment drawn uniformly over the time it took; it is resumed until done. A row of the table says when it
was killed, how many condition-and-shard files stood then, and whether the resumed run has the same rows as the first:
equal in every column but seconds, floats to the last bit. `--chain` kills the same run again and again
instead of starting afresh.

`--verb all` goes through audit, attack, certify, detect fit, detect score and harden, `--kills` times each.
`--between-files` kills each process right after it has written its n-th file, for every n in turn, not at random.
Of `detect fit`, which is run anew and not resumed, it is also checked that what a kill leaves is refused or whole.

    python benchmarks/faults.py --kills 20
    python benchmarks/faults.py --kills 34 --verb all --between-files --limit 64
    python benchmarks/faults.py --kills 10 --certify smoothing-sequential:n=5000 --limit 500 --shard-size 1024
"""

from __future__ import annotations

import argparse
import hashlib
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


VERBS = ("audit", "attack", "certify", "fit", "score", "harden")


def work(arguments: argparse.Namespace, verb: str, out: Path) -> None:
    """One run of a verb, resumed where it stood."""
    import unshaken
    from unshaken.detect import fit as fitted_on

    about = {"out": out, "workers": 1, "resume": True}
    run = {**about, "limit": arguments.limit, "batch_size": arguments.batch_size, "save_examples": 3}
    model, data, fitted = arguments.model, arguments.data, out.parent / "fitted"
    if verb == "audit":
        unshaken.audit(model, data, PLAN, **run)
    elif verb == "attack":
        unshaken.attack(model, data, "pgd:steps=5", eps="8/255", **run)
    elif verb == "certify":
        unshaken.certify(model, data, arguments.certify or "smoothing-sequential:n=500", attacked=False, **run)
    elif verb == "fit":
        fitted_on(model, data, ["knn", "energy"], limit=400, workers=1).save(out)
    elif verb == "score":
        unshaken.detect(model, data, fitted, attacked=False, **run)
    else:
        recipe = "fgsm-rs:eps=0.1"
        settings = {"epochs": 3, "batch_size": 32, "check_images": 16, "save_every": 2}
        unshaken.harden(model, data, recipe, limit=2 * arguments.limit, **about, **settings)


def start(arguments: argparse.Namespace, verb: str, out: Path, files: int = 0) -> int:
    """A verb in a process of its own, which kills itself once it has written so many files; its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        if files:
            kill_after(files)
        work(arguments, verb, out)
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(code)


def kill_after(files: int) -> None:
    """Make this process kill itself right after its n-th file stands."""
    from unshaken.store.run_dir import RunDir

    write, left = RunDir.write, [files]

    def writes(self: RunDir, data: bytes, *parts: str) -> None:
        write(self, data, *parts)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    RunDir.write = writes


def warm(model: str) -> None:
    """Import all that a run needs before any is forked: what is killed is then at work, not at imports."""
    import scipy.stats  # noqa: F401

    import unshaken
    import unshaken.report.write

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


def result_of(out: Path) -> dict[object, str]:
    """All that a run leaves, but for seconds: rows by table, condition and id; of others the content of their files."""
    from unshaken.store.run_dir import RunDir

    tables = (
        [p.name for p in (out / "rows").iterdir() if p.name not in ("cost", "turns", "flags")]
        if (out / "rows").is_dir()
        else []
    )
    rows = [(t, r) for t in tables for r in RunDir(out).rows(t).to_pylist()]
    found: dict[object, str] = {
        (t, r["condition"], r.get("split"), r.get("detector"), r["id"]): json.dumps({**r, "seconds": None})
        for t, r in rows
    }
    if len(found) != len(rows):
        raise SystemExit(f"{out}: {len(rows) - len(found)} rows are there twice")
    whole = [out / n for n in ("banks.safetensors", "detectors.json", "model.safetensors", "last.safetensors")]
    return found | {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in whole if p.exists()}


def left_whole(model: str, out: Path) -> bool:
    """Whether detectors that a killed fit left are absent, refused in one line, or load."""
    import unshaken
    from unshaken.core.errors import UnshakenError
    from unshaken.detect import DetectorSet

    try:
        DetectorSet.load(out, unshaken.load_model(model))
    except UnshakenError as error:
        return "\n" not in str(error)
    return True


def written(out: Path) -> int:
    """Files that stand whole."""
    return sum(p.is_file() and p.suffix != ".tmp" for p in out.rglob("*"))


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
    parser.add_argument("--verb", choices=(*VERBS, "all"), default="audit")
    parser.add_argument("--between-files", action="store_true", help="kill after each file in turn, not at random")
    parser.add_argument("--chain", action="store_true", help="kill one run again and again")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    warm(arguments.model)
    small_shards(arguments.shard_size)
    bad, kills = 0, 0
    for verb in VERBS if arguments.verb == "all" else ("certify" if arguments.certify else arguments.verb,):
        more, n = of_verb(arguments, verb)
        bad, kills = bad + more, kills + n
    print(f"\n{kills - bad} of {kills} kills were resumed to the same result.")
    return 1 if bad else 0


def of_verb(arguments: argparse.Namespace, verb: str) -> tuple[int, int]:
    """Print the table of one verb; the runs that differ, and all."""
    folder, dice = Path(tempfile.mkdtemp(prefix="unshaken-faults-")), random.Random(arguments.seed)
    straight, out = folder / "straight", folder / "killed"
    if verb == "score":
        finish(start(arguments, "fit", folder / "fitted"))
    began = time.monotonic()
    if finish(start(arguments, verb, straight)) != 0:
        return 1, 1
    length, expected, files = time.monotonic() - began, result_of(straight), written(straight)
    what = f"{verb}: {arguments.model} on {arguments.limit} images of {arguments.data}"
    print(f"\n{what}: {len(expected)} rows and files; {files} files, {length:.1f} s without interruption\n")
    print("| kill | when | files written then | killed in work | files after resuming | same result |")
    print("|---|---|---|---|---|---|")
    bad = 0
    for number in range(1, arguments.kills + 1):
        if not arguments.chain:
            shutil.rmtree(out, ignore_errors=True)
        moment, after = dice.uniform(0, length), (number - 1) % files + 1 if arguments.between_files else 0
        child = start(arguments, verb, out, after)
        if not after:
            time.sleep(moment)
            os.kill(child, signal.SIGKILL)
        killed, stood = finish(child) == -signal.SIGKILL, written(out)
        told = "-"
        if not arguments.chain or number == arguments.kills:
            whole = verb != "fit" or left_whole(arguments.model, out)
            same = whole and finish(start(arguments, verb, out)) == 0 and result_of(out) == expected
            bad, told = bad + (not same), "yes" if same else "NO"
        when = f"file {after}" if after else f"{moment:.2f} s"
        print(f"| {number} | {when} | {stood} | {'yes' if killed else 'no'} | {written(out)} | {told} |", flush=True)
    shutil.rmtree(folder)
    return bad, arguments.kills


if __name__ == "__main__":
    sys.exit(main())
