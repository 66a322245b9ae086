"""Runs the commands of a Markdown file, so that what it promises stays true.

Every fenced block whose first line is "```sh runnable" is run by bash, in the order of the page, all in one fresh
folder, with this interpreter's commands first on the path. The first failure ends the run with exit code 1; so does a
page without any such block, and a run that ends with a flag, which is a reason to doubt the figures of an example.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BLOCK = re.compile(r"^```sh runnable[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


def runnable(markdown: str) -> list[str]:
    """The blocks marked as runnable, in order."""
    return BLOCK.findall(markdown)


def flags_in(folder: Path) -> list[str]:
    """The flags of all runs and trainings below a folder, one line each."""
    found = []
    for file in sorted([*folder.rglob("summary.json"), *folder.rglob("harden.json")]):
        record = json.loads(file.read_text(encoding="utf-8"))
        flags = record.get("flags", []) + (record.get("result") or {}).get("flags", [])
        found += [f"{file.parent.relative_to(folder)}: flag {flag['name']}: {flag['detail']}" for flag in flags]
    return found


def main(path: str) -> int:
    """Run the blocks of one file; 0 when there are some, all of them succeed, and no run has a flag."""
    blocks = runnable(Path(path).read_text(encoding="utf-8"))
    if not blocks:
        print(f"{path}: no block starts with ```sh runnable", file=sys.stderr)
        return 1
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as folder:
        for number, block in enumerate(blocks, 1):
            began = time.monotonic()
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=folder, env=environment, check=False)
            print(f"block {number} of {len(blocks)}: exit {done.returncode}, {time.monotonic() - began:.1f} s")
            if done.returncode:
                print(f"{path}: this block failed:\n{block}", file=sys.stderr)
                return 1
        if flags := flags_in(Path(folder)):
            print(f"{path}: " + "\n".join(flags), file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
