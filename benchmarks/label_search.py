"""Time and memory of confident learning from probabilities on disk, as their number grows, beside cleanlab.

    python benchmarks/label_search.py --sizes 100000 1000000 --classes 1000 --peer 100000

Probabilities (one row in ten of which disagrees with its label) are written to a temporary `.npy` file: a million rows
of a thousand classes take 4 GB of disk as float32, 2 GB with `--dtype float16`. Each contender reads it in a process of
its own; printed are seconds, microseconds a sample, the largest resident memory of the process, pages of the mapped
file among it, and how much of that is above what it had when it had imported the libraries and read nothing. cleanlab
is run where it is installed, up to `--peer` samples, by `find_label_issues` as its documentation says and by its own
batched search, and must flag the same labels.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

BLOCK = 10_000


def write(folder: Path, n: int, classes: int, dtype: str) -> None:
    """Probabilities `[n, classes]` and labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, n)
    np.save(folder / "labels.npy", labels)
    shown = np.where(rng.random(n) < 0.1, rng.integers(0, classes, n), labels)
    file = np.lib.format.open_memmap(folder / "p.npy", "w+", np.dtype(dtype), (n, classes))
    for start in range(0, n, BLOCK):
        part = slice(start, min(start + BLOCK, n))
        p = rng.exponential(1, (part.stop - part.start, classes)).astype(np.float32)
        p[np.arange(len(p)), shown[part]] += rng.exponential(classes, len(p)).astype(np.float32)
        file[part] = p / p.sum(1, keepdims=True)
    file.flush()


def unshaken(folder: Path, classes: int) -> int:
    """Flags by `ConfidentLearning`, from the file."""
    from unshaken.labels import Evidence, Probabilities
    from unshaken.labels.find.confident_learning import ConfidentLearning

    labels = np.load(folder / "labels.npy")
    evidence = Evidence(labels, classes, Probabilities(np.load(folder / "p.npy", mmap_mode="r")))
    flagged = ConfidentLearning().find(evidence).flagged
    assert flagged is not None
    return _mark(flagged)


def cleanlab(folder: Path, classes: int) -> int:
    """Flags by `find_label_issues`."""
    from cleanlab.filter import find_label_issues

    return _mark(find_label_issues(np.load(folder / "labels.npy"), np.load(folder / "p.npy")))


def batched(folder: Path, classes: int) -> int:
    """Flags by cleanlab's batched search, which ranks by self-confidence and gives indices."""
    from cleanlab.experimental.label_issues_batched import find_label_issues_batched

    found = find_label_issues_batched(
        labels_file=str(folder / "labels.npy"), pred_probs_file=str(folder / "p.npy"), verbose=False
    )
    flagged = np.zeros(len(np.load(folder / "labels.npy")), bool)
    flagged[found] = True
    return _mark(flagged)


CONTENDERS: dict[str, Callable[[Path, int], int]] = {"unshaken": unshaken, "cleanlab": cleanlab, "batched": batched}
IMPORTS = {"unshaken": "unshaken.labels", "cleanlab": "cleanlab.filter", "batched": "cleanlab.filter"}


def _mark(flagged: np.ndarray) -> int:
    """Tells two sets of flags apart."""
    return int((np.flatnonzero(flagged) * 2654435761 % 4294967291).sum())


def measure(name: str, folder: Path, classes: int) -> None:
    """One contender in this process: prints JSON."""
    __import__(IMPORTS[name])
    if name == "unshaken":
        pass
    before = forget_peak()
    began = time.perf_counter()
    mark = CONTENDERS[name](folder, classes)
    seconds = time.perf_counter() - began
    peak = max(megabytes("VmHWM"), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
    print(json.dumps({"seconds": seconds, "peak": peak, "above": peak - before, "mark": mark}))


def forget_peak() -> float:
    """Make the resident memory of now the largest one so far, as Linux allows; returns it in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return megabytes("VmRSS")


def megabytes(name: str) -> float:
    """A figure of this process's memory, from Linux's table."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--dtype", choices=["float32", "float16"], default="float32", help="of the file")
    parser.add_argument("--peer", type=int, default=100_000, help="samples up to which cleanlab is run")
    parser.add_argument("--folder", type=Path, help="for the file of probabilities; default: a temporary one")
    parser.add_argument("--measure", choices=CONTENDERS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        measure(chosen.measure, chosen.folder, chosen.classes)
        return
    try:
        version = importlib.metadata.version("cleanlab")
    except importlib.metadata.PackageNotFoundError:
        version = "absent"
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}, "
          f"cleanlab {version}\n")  # fmt: skip
    print("| samples | classes | contender | s | us a sample | peak MB | above the imports | same flags |")
    print("|---|---|---|---|---|---|---|---|")
    for n in chosen.sizes:
        with tempfile.TemporaryDirectory(dir=chosen.folder) as place:
            write(Path(place), n, chosen.classes, chosen.dtype)
            first: int | None = None
            for name in CONTENDERS:
                if name != "unshaken" and (version == "absent" or n > chosen.peer):
                    continue
                command = [sys.executable, __file__, "--measure", name, "--folder", place, "--classes"]
                done = subprocess.run([*command, str(chosen.classes)], capture_output=True, text=True, check=True)
                found = json.loads(done.stdout.splitlines()[-1])
                first = found["mark"] if first is None else first
                same = "" if name == "unshaken" else "yes" if found["mark"] == first else "no"
                cost = f"{found['seconds']:.1f} | {found['seconds'] / n * 1e6:.0f}"
                cost += f" | {found['peak']:,.0f} | {found['above']:,.0f}"
                print(f"| {n:,} | {chosen.classes:,} | {name} | {cost} | {same} |", flush=True)


if __name__ == "__main__":
    main()
