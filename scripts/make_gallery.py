"""Makes the pictures of docs/gallery.md: runs on the embedded data, and their pages photographed by Chromium.

Needs the test tools (playwright with a Chromium) and a few minutes:

    python scripts/make_gallery.py [FOLDER]     # default docs/images/gallery
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from unshaken.cli import main as unshaken

WIDTH, HEIGHT = 1100, 1000
"""Pixels of a picture."""
LARGEST = 120_000
"""Bytes of a picture."""
CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")

ON_DEMO = "--model demo --data demo"
COMMANDS = (
    "audit --plan quick --limit 200 --out audit",
    "attack --model demo:robust --data demo --attack auto --eps 0.1 --limit 40 --budget 300 --out attack",
    "certify --model demo:robust --data demo --method smoothing-sequential:sigma=0.25,n=2000 --limit 20 --not-attacked "
    "--out certify",
    f"detect fit {ON_DEMO} --method energy --method knn --method vim --limit 500 --out detectors",
    f"detect score {ON_DEMO} --detectors detectors --shift fog-3 --shift gaussian_noise-5 --not-attacked --limit 200 "
    "--out detect",
    f"explain gradcam integrated-gradients --metric insertion {ON_DEMO} --limit 12 --out explain",
    "harden --model small --data demo --recipe at:eps=0.1,steps=3 --epochs 4 --out harden",
    "labels find --data demo --epochs 3 --folds 3 --out labels",
    "compare audit audit/robust --out compare",
)
PAGES = {
    "audit": "audit/report.html",
    "attack": "attack/report.html",
    "certify": "certify/report.html",
    "detect": "detect/report.html",
    "explain": "explain/report.html",
    "harden": "harden/report.html",
    "labels": "labels/report.html",
    "compare": "compare/compare.html",
}


def photograph(page: Path) -> bytes:
    """The first screen of a page as a PNG of at most `LARGEST` bytes."""
    found = next((p for p in CHROMIUM if Path(p).exists()), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        view.goto(page.resolve().as_uri())
        view.wait_for_timeout(500)
        picture = Image.open(io.BytesIO(view.screenshot())).convert("RGB")
        browser.close()
    for colours in (128, 64, 32, 16):
        file = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        if file.tell() <= LARGEST:
            return file.getvalue()
    raise SystemExit(f"{page}: its picture is larger than {LARGEST:,} bytes with 16 colours")


def main(folder: Path) -> int:
    """Make all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        for line in COMMANDS:
            print("unshaken", line, flush=True)
            if (code := unshaken([*line.split(), "--quiet"])) not in (0, 3):
                return code
        for name, page in PAGES.items():
            picture = photograph(Path(page))
            (folder / f"{name}.png").write_bytes(picture)
            print(f"{name}.png: {len(picture):,} bytes")
    return 0


if __name__ == "__main__":
    default = Path(__file__).parents[1] / "docs" / "images" / "gallery"
    sys.exit(main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else default))
