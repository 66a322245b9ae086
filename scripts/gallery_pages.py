"""Photographs the page of every kind of run at two widths, light and dark, into one `index.html` with their heights.

Needs the test tools (playwright with a Chromium) and a few minutes:

    python scripts/gallery_pages.py --out FOLDER [--before FOLDER] [--runs FOLDER]

--before names an earlier gallery, which stands beside this one. Runs that stand in the folder of --runs are not made
again, their pages are. Ends with 1 where a page is wider than its window or its console is not
silent.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from make_gallery import COMMANDS, FINE, PAGES, chromium, make_runs, out_of
from PIL import Image, ImageFilter, ImageOps
from playwright.sync_api import Browser, sync_playwright

from unshaken.cli import main as unshaken

WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")
HEIGHTS = "heights.json"

MORE = (
    "evaluate few-shot --model demo --data demo --limit 300 --out evaluate",
    "labels find --data demo?noise=symmetric:0.2 --model small-cnn --epochs 2 --limit 200 --review-size 30 "
    "--out labels",
    "generate fit --data demo --conditional --steps 20 --limit 100 --out generator.safetensors",
    "generate dataset --generator generator.safetensors --n 60 --steps 4 --out made.parquet",
    "generate scaling --real demo --generated parquet:made.parquet --test demo --sizes 10,20,40 --repetitions 2 "
    "--updates 10 --limit 100 --out generate",
    "harden --method trades:eps=0.1 --model small-cnn --data demo --limit 200 --epochs 2 --out harden",
    "inspect --data demo --limit 200 --out inspect",
    "drift --reference demo --data demo?noise=symmetric:0.2 --limit 150 --out drift",
    "audit --model demo --data demo --plan quick --limit 100 --slices class --out map",
    "generate texture --photo photo.png --size 128 --block 32 --out texture",
    "matrix models.yaml --out matrix",
    "board make matrix --out board",
)
REPORTS = ("evaluate", "labels", "generate", "harden", "inspect", "drift", "map", "texture")
MORE_PAGES = {name: f"{name}/report.html" for name in REPORTS}
MORE_PAGES |= {name: f"{name}/index.html" for name in ("matrix", "board")}

MATRIX = {
    "models": {"standard": "demo:standard", "robust": "demo:robust"},
    "data": ["demo"],
    "plans": ["quick"],
    "limit": 100,
}
AGAIN = {out_of(line): line for line in (*COMMANDS, *MORE) if line.startswith(("compare ", "board "))}
"""Pages that `unshaken report` does not make again, by their folder."""

STYLE = (
    "body{font:15px system-ui,sans-serif;margin:1rem;background:#8882}"
    "td,th{padding:.3rem .8rem .3rem 0;text-align:left}"
    ".row{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-start}figure{margin:0}"
    "img{display:block;border:1px solid #888;max-width:min(100%,640px);max-height:900px;object-fit:cover;"
    "object-position:top}"
)


def photograph(pages: Mapping[str, Path], out: Path) -> tuple[dict[str, int], list[str]]:
    """Save a picture of the whole of each page as `NAME-WIDTH-SCHEME.png`.

    Args:
        pages: HTML files by name.
        out: where the pictures go.

    Returns:
        The height in pixels of each picture by its name, and a line for each thing that is plainly wrong.
    """
    heights, troubles = dict[str, int](), list[str]()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        for name, page in pages.items():
            for width in WIDTHS:
                for scheme in SCHEMES:
                    shot = f"{name}-{width}-{scheme}"
                    heights[shot], said = _shoot(browser, page, width, scheme, out / f"{shot}.png")
                    troubles += [f"{shot}: {text}" for text in said]
        browser.close()
    return heights, troubles


def _shoot(browser: Browser, page: Path, width: int, scheme: Any, file: Path) -> tuple[int, list[str]]:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, offline=True)
    tab, said = context.new_page(), list[str]()
    tab.on("console", lambda message: said.append(message.text))
    tab.goto(page.resolve().as_uri())
    height = int(tab.evaluate("document.documentElement.scrollHeight"))
    if tab.evaluate("document.documentElement.scrollWidth") > width:
        said.append("wider than its window")
    tab.screenshot(path=str(file), full_page=True, timeout=120_000)
    context.close()
    return height, said


def index(names: Sequence[str], heights: Mapping[str, int], out: Path, before: Path | None) -> str:
    """The page of a gallery: a table of heights, and the pictures, those of an earlier gallery beside them."""
    old = json.loads((before / HEIGHTS).read_text(encoding="utf-8")) if before else {}
    shots = [f"{width}-{scheme}" for width in WIDTHS for scheme in SCHEMES]
    head = "".join(f"<th>{shot}</th>" for shot in shots)
    rows, parts = [], []
    for name in names:
        cells = []
        for shot in shots:
            was = f"{old[key]:,} → " if (key := f"{name}-{shot}") in old else ""
            cells.append(f"<td>{was}{heights[key]:,}</td>")
        rows.append(f'<tr><th><a href="#{name}">{name}</a></th>{"".join(cells)}</tr>')
        parts.append(f'<h2 id="{name}">{name}</h2>')
        for shot in shots:
            sides = [("before", before / f"{name}-{shot}.png")] if before and f"{name}-{shot}" in old else []
            sides.append(("now", out / f"{name}-{shot}.png"))
            pictures = "".join(
                f'<figure><figcaption>{shot}, {when}</figcaption><a href="{address}">'
                f'<img loading="lazy" src="{address}" alt="{name} at {shot}, {when}"></a></figure>'
                for when, file in sides
                for address in [html.escape(os.path.relpath(file, out))]
            )
            parts.append(f'<div class="row">{pictures}</div>')
    table = f"<table><caption>Heights in pixels</caption><tr><th></th>{head}</tr>{''.join(rows)}</table>"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Pages</title><style>{STYLE}</style>'
        f"<h1>The pages of every kind of run</h1>{table}{''.join(parts)}</html>"
    )


def make_all(runs: Path) -> None:
    """Make all runs that are absent, and what they are made of; SystemExit where one cannot be made."""
    runs.mkdir(parents=True, exist_ok=True)
    (runs / "models.yaml").write_text(json.dumps(MATRIX), encoding="utf-8")  # JSON is YAML
    noise = np.random.default_rng(0).integers(0, 256, (256, 256), np.uint8)
    grey = ImageOps.autocontrast(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(3)))
    ImageOps.colorize(grey, "#33261a", "#c9b28f").save(runs / "photo.png")
    make_runs((*COMMANDS, *MORE), runs)
    if (code := unshaken(["map", str(runs / "map"), "--quiet"])) not in FINE:
        raise SystemExit(code)


def every_page(runs: Path) -> dict[str, Path]:
    """The pages of a folder of runs, by name."""
    return {name: runs / page for name, page in (PAGES | MORE_PAGES).items()}


def main(out: Path, runs: Path, before: Path | None) -> int:
    """Make the runs that are absent, and the gallery of their pages."""
    pages = every_page(runs)
    if before and not (before / HEIGHTS).exists():
        raise SystemExit(f"--before: {before} has no {HEIGHTS}: name a folder that this script has made")
    out.mkdir(parents=True, exist_ok=True)
    stood = [page.parent for page in pages.values() if page.exists()]
    make_all(runs)
    for folder in stood:
        again = AGAIN[folder.name].split() if folder.name in AGAIN else ["report", str(folder)]
        if (code := unshaken([*again, "--quiet"])) not in FINE:
            return code
    heights, troubles = photograph(pages, out)
    (out / HEIGHTS).write_text(json.dumps(heights, indent=1) + "\n", encoding="utf-8")
    (out / "index.html").write_text(index(list(pages), heights, out, before), encoding="utf-8")
    print(out / "index.html")
    for line in troubles:
        print(line, file=sys.stderr)
    return int(bool(troubles))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the gallery")
    parser.add_argument("--before", type=Path, help="an earlier gallery to stand beside it")
    parser.add_argument("--runs", type=Path, help="folder of the runs; default: a temporary folder")
    chosen = parser.parse_args()
    earlier = chosen.before.resolve() if chosen.before else None
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(chosen.out.resolve(), (chosen.runs or Path(temporary)).resolve(), earlier))
