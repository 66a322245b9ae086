"""Makes the pictures of docs/gallery.md: runs on the embedded data, and their pages photographed by Chromium.

Needs the test tools (playwright with a Chromium) and a few minutes:

    python scripts/make_gallery.py [--out FOLDER] [--runs FOLDER]

Runs that stand in the folder of --runs are not made again.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from unshaken.cli import main as unshaken

WIDTH, HEIGHT = 1100, 1000
"""Pixels of a picture."""
LARGEST = 120_000
"""Bytes of a picture."""
FINE = (0, 1, 3)
"""Exit codes of a run that came to its end: 1 where a gate failed, 3 where samples were unreadable."""
CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")

ON_DEMO = "--model demo --data demo"
COMMANDS = (
    "audit --plan quick --limit 150 --out audit",
    "attack --model demo:robust --data demo --method auto --eps 0.1 --limit 30 --budget 400 --out attack",
    "certify --model demo:robust --data demo --method smoothing-sequential:sigma=0.25,n=1000 --limit 20 --not-attacked "
    "--out certify",
    f"detect fit {ON_DEMO} --method energy --method knn --method vim --limit 500 --out detectors",
    f"detect score {ON_DEMO} --detectors detectors --shift fog-3 --shift gaussian_noise-5 --not-attacked --limit 200 "
    "--out detect",
    f"explain gradcam integrated-gradients --metric insertion {ON_DEMO} --limit 12 --out explain",
    "compare audit audit/robust --out compare",
)
PAGES = {
    "audit": "audit/report.html",
    "attack": "attack/report.html",
    "certify": "certify/report.html",
    "detect": "detect/report.html",
    "explain": "explain/report.html",
    "compare": "compare/compare.html",
}


def photograph(pages: Mapping[str, Path]) -> Iterator[tuple[str, bytes]]:
    """The first screen of each page as a PNG of at most `LARGEST` bytes, with its name."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        for name, page in pages.items():
            view.goto(page.resolve().as_uri())
            view.wait_for_timeout(500)
            yield name, small_png(Image.open(io.BytesIO(view.screenshot(timeout=120_000))).convert("RGB"), name)
        browser.close()


def chromium() -> str | None:
    """The system's Chromium where there is one; else Playwright's own."""
    return next((p for p in CHROMIUM if Path(p).exists()), None)


def small_png(picture: Image.Image, name: str) -> bytes:
    """A picture with as many colours as its size allows."""
    for colours in (128, 64, 32, 16):
        file = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        if file.tell() <= LARGEST:
            return file.getvalue()
    raise SystemExit(f"{name}: its picture is larger than {LARGEST:,} bytes with 16 colours")


def out_of(command: str) -> str:
    """The folder that a command makes."""
    return command.rpartition("--out ")[2]


def make_runs(commands: Iterable[str], runs: Path) -> None:
    """Go to a folder and make all runs there that are absent; SystemExit where one cannot be made."""
    runs.mkdir(parents=True, exist_ok=True)
    os.chdir(runs)
    for line in commands:
        if not Path(out_of(line)).exists():
            print("unshaken", line, flush=True)
            if (code := unshaken([*line.split(), "--quiet"])) not in FINE:
                raise SystemExit(code)


def main(pictures: Path, runs: Path) -> int:
    """Make all runs that are absent, and the pictures of all pages."""
    pictures.mkdir(parents=True, exist_ok=True)
    make_runs(COMMANDS, runs)
    for name, picture in photograph({name: Path(page) for name, page in PAGES.items()}):
        (pictures / f"{name}.png").write_bytes(picture)
        print(f"{name}.png: {len(picture):,} bytes")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "images" / "gallery")
    parser.add_argument("--runs", type=Path, help="default: a temporary folder")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(chosen.out.resolve(), (chosen.runs or Path(temporary)).resolve()))
