"""Images that `unshaken inspect` and cleanvision point at, and the processor time of both, on a folder of photos.

    python benchmarks/inspect_peers.py FOLDER [--repeats 3] [--python PYTHON_WITH_CLEANVISION]

cleanvision runs in another interpreter (`--python`), so that its packages do not mix with ours. Each side reads the
same files with one process and one thread, in turn; processor seconds are the least of the repeats, without imports,
and MiB the peak of each process (Linux).
Exit code 1 where cleanvision points at an image that we do not, which is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OURS = {
    "dark-images": "is_dark_issue", "bright-images": "is_light_issue", "odd-aspect": "is_odd_aspect_ratio_issue",
    "low-information": "is_low_information_issue", "blurry-images": "is_blurry_issue",
    "grey-images": "is_grayscale_issue", "odd-size": "is_odd_size_issue",
    "exact-duplicates": "is_exact_duplicates_issue", "near-duplicates": "is_near_duplicates_issue",
}  # fmt: skip
PEER = """
import contextlib, io, json, os, sys, time
from cleanvision import Imagelab
start = time.process_time()
with contextlib.redirect_stdout(io.StringIO()):
    lab = Imagelab(data_path=sys.argv[1])
    lab.find_issues(n_jobs=1, verbose=False)
seconds = time.process_time() - start
root = os.path.abspath(sys.argv[1])
found = {
    column: sorted(os.path.relpath(one, root) for one in lab.issues.index[lab.issues[column]])
    for column in lab.issues if column[:3] == "is_"
}
status = open("/proc/self/status").read()  # ru_maxrss would be at least that of the process that started it
peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
print(json.dumps({"seconds": seconds, "found": found, "peak": peak}))
"""


def run_ours(folder: str) -> tuple[float, dict[str, list[str]]]:
    """Processor seconds, and the ids that each check points at; near duplicates with those of exact ones."""
    import unshaken
    import unshaken.api.inspect  # as the peer's, the import is not timed

    with tempfile.TemporaryDirectory() as place:
        start = time.process_time()
        result = unshaken.inspect(f"folder:{folder}", list(OURS), out=f"{place}/run", workers=1)
        seconds = time.process_time() - start
        found: dict[str, list[str]] = {}
        for row in result.run.rows("issues").to_pylist():
            found.setdefault(row["condition"], []).append(row["id"])
    return seconds, found


def main() -> int:
    """Compare both on the folder that the command line names, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--python", default=sys.executable)
    given = parser.parse_args()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    ours, peers = [], []
    for _ in range(given.repeats):
        ours.append(run_ours(given.folder))
        done = subprocess.run(
            [given.python, "-c", PEER, given.folder], env=environment, capture_output=True, text=True, check=True
        )
        peers.append(json.loads(done.stdout.splitlines()[-1]))
    (seconds, found), other = min(ours, key=lambda pair: pair[0]), min(peers, key=lambda one: one["seconds"])
    print(f"{'check':20} {'both':>6} {'ours':>6} {'theirs':>6}")
    missed = 0
    for name, column in OURS.items():
        own, theirs = set(found.get(name, [])), set(other["found"][column])
        print(f"{name:20} {len(own & theirs):6} {len(own - theirs):6} {len(theirs - own):6}")
        for one in sorted(theirs - own)[:5]:
            print(f"    cleanvision alone: {one}")
        missed += len(theirs - own)
    count = sum(1 for path in Path(given.folder).rglob("*") if path.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} files, least of {given.repeats}:")
    print(f"unshaken {seconds:.1f} s, {peak:.0f} MiB; cleanvision {other['seconds']:.1f} s, {other['peak']:.0f} MiB")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
