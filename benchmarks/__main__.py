"""Runs the quick benchmarks one after another, or one of all by its name.

    python benchmarks                          # as `make bench`
    python benchmarks locks --trials 10000     # as `make bench ONLY=locks ARGS='--trials 10000'`

Quick are scripts that need no peer, no data but the embedded ones and less than two minutes on two cores, with the
arguments below, which make most of them smaller than usual: enough to see that a figure has changed, not to publish it.
The first that fails ends the run.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent
QUICK = {
    "passes": "",
    "overhead": "--repeats 3",
    "generators": "",
    "memory": "--sizes 1000",
    "slopes": "--sizes 1000 4000 --verbs audit attack certify",
    "locks": "--trials 2000",
    "faults": "--kills 3",
    "serve_site": "--runs 1000 --samples 50000",
    "wrong_input": "--invocations 100 --files 50",
}
"""Names of the quick scripts, and the arguments of each."""


def main(name: str = "", *arguments: str) -> int:
    """Run one script, or all quick ones; the exit code of the last one that ran."""
    names = sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))
    if name and name not in names:
        print(f"there is no benchmark {name!r}; there are {', '.join(names)}", file=sys.stderr)
        return 2
    for script, words in {name: list(arguments)}.items() if name else ((n, a.split()) for n, a in QUICK.items()):
        print("==", script, *words, flush=True)
        began = time.monotonic()
        code = subprocess.run([sys.executable, FOLDER / f"{script}.py", *words], check=False).returncode
        print(f"== {script}: exit code {code}, {time.monotonic() - began:.0f} s\n", flush=True)
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
