"""A run directory made by hand: known logits, known pictures, no model."""

from __future__ import annotations

import atexit
import hashlib
import html
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from unshaken.core import Batch
from unshaken.core.flag import Flag
from unshaken.core.outcomes import outcomes
from unshaken.core.part import CLEAN, Condition, Part
from unshaken.report.blocks import Page, split_parts
from unshaken.report.render.html import render_blocks
from unshaken.run.plan import prepare
from unshaken.run.shard import write_flags
from unshaken.store.config import Entry, RunConfig
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

PLAN = [
    Entry(method="gaussian_noise", severities=(1, 3, 5)),
    Entry(method="fog", severities=(1, 3, 5)),
    Entry(method="frost", severities=(3,)),
    Entry(method="translation", severities=(1,)),
    Entry(method="fgsm", eps=("8/255",)),
    Entry(method="pgd", eps=("2/255", "8/255", 0.1)),
    Entry(method="pgd", norm="l2", eps=(0.5,)),
]
ATTACKS = [Entry(method="deepfool", norm="l2", eps=(0.25,)), Entry(method="spatial")]
"""A minimal-norm attack and one without a norm."""
HOSTILE = "<script>alert(1)</script>"
CLASSES = ["shirt", HOSTILE, 'it\'s | "both"', "boot", "bag"]


def strength(condition: Condition) -> float:
    """How strongly a made-up condition shakes: pulls the logits of that many samples in eight to another class."""
    if condition.method == "deepfool":
        return 6 if condition.eps is None else min(6, int(condition.eps / 0.1 + 1e-9) + 1)
    if condition.method == "spatial":
        return 3
    if condition.eps is not None:
        return 2 + 60 * condition.eps if condition.norm == "linf" else 4
    return condition.severity or 0


def logits_of(labels: torch.Tensor, wrong: torch.Tensor, classes: int, rng: np.random.Generator) -> torch.Tensor:
    """Logits that predict the label, or where wrong the next class."""
    noise = torch.from_numpy(rng.normal(0, 0.4, (len(labels), classes))).float()
    noise[torch.arange(len(labels)), (labels + wrong.long()) % classes] += 3
    return noise


def nearest_of(place: torch.Tensor) -> torch.Tensor:
    """How far the nearest example of each sample is: `0.1 (i % 8)`, none for the last two of eight."""
    residue = (place % 8).double()
    return torch.where(residue < 6, residue / 10, torch.inf)


def turns_of(condition: Condition, before: float, place: torch.Tensor, shift: float) -> Part:
    """Two turns of a made-up attack: `even` breaks samples whose `i % 8` is even, `odd` the others.

    Each takes 10 passes forward and 5 backward of each sample that stands.
    """
    residue, rows = place % 8, []
    falls = (residue >= max(before, 1)) & (residue < strength(condition) + shift)
    standing = int((residue >= max(before, 1)).sum())
    for name, parity in (("even", 0), ("odd", 1)):
        broken = int((falls & (residue % 2 == parity)).sum())
        why = f"why {HOSTILE}" if name == "odd" else ""
        rows.append((len(rows), name, why, standing, broken, 10 * standing, 5 * standing, 0.5))
        standing -= broken
    names = ("turn", "attack", "why", "standing", "broken", "forwards", "backwards", "seconds")
    columns = {k: [r[i] for r in rows] for i, k in enumerate(names)}
    return Part("turns", condition, columns | {"condition": [condition.id] * 2})


MADE = Path(tempfile.mkdtemp())
"""Runs that tests of this process have asked for, by the digest of what they asked for."""
atexit.register(shutil.rmtree, MADE)


def write_run(path: Path | str, **options: Any) -> RunDir:
    """Write a run as `make_run_files` does; the second one of the same options in a folder is a copy of the first."""
    if "://" in str(path):
        return make_run_files(path, **options)
    made = MADE / hashlib.sha256(repr(sorted(options.items())).encode()).hexdigest()
    if not made.exists():
        make_run_files(made, **options)
    shutil.copytree(made, path, copy_function=shutil.copyfile, dirs_exist_ok=True)
    return RunDir(path)


def make_run_files(
    path: Path | str,
    *,
    n: int = 48,
    shards: int = 2,
    plan: list[Entry] | None = None,
    labelled: bool = True,
    bad: bool = True,
    flags: bool = True,
    cost: bool = True,
    pictures: int = 3,
    side: int = 12,
    channels: int = 1,
    classes: list[str] | None = None,
    shift: float = 0.0,
    attacks: bool = False,
    turns: bool = True,
    seed: int = 0,
    **config: Any,
) -> RunDir:
    """Write a run; sample i is wrong under a condition when `i % 8` is below its strength plus `shift`."""
    plan = (PLAN if plan is None else plan) + (ATTACKS if attacks else [])
    classes = CLASSES if classes is None else classes
    run = RunDir(path)
    ids = [f"dir/{i:03d}.png" for i in range(n)] + (["dir/<b>broken</b>.png"] if bad else [])
    size = -(-len(ids) // shards)
    values: dict[str, Any] = {
        "model": "py:net.py:build", "data": "folder:photos", "plan": plan, "plan_name": "custom", "seed": seed,
        "ids": ids, "shard_size": size, "model_fingerprint": "ab" * 32, "data_fingerprint": "cd" * 32,
        "model_name": "small net", "classes": classes, "view": "resize 28, crop 28", "provenance": {"torch": "2.9"},
    }  # fmt: skip
    run.write_json(RunConfig.model_validate(values | config).to_json(), "run.json")
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.random((n, channels, side, side))).float()
    labels = torch.arange(n) % len(classes)
    conditions = [CLEAN, *(c for step in prepare(plan) for c in step.conditions)]
    for shard in range(shards):
        first, last = shard * size, min((shard + 1) * size, n)
        before: dict[tuple[str, str | None], float] = {}
        batch = Batch(images[first:last], labels[first:last] if labelled else None, tuple(ids[first:last]))
        for condition in conditions:
            place = torch.arange(first, last)
            wrong = (place % 8) < (strength(condition) + shift if condition.method != "clean" else 1)
            logits = logits_of(labels[first:last], wrong, len(classes), rng)
            part = outcomes(condition, batch, logits, forwards=2, backwards=int(condition.eps is not None))
            if condition.method == "deepfool":
                distance = nearest_of(place)
                part = outcomes(condition, batch, logits, distance=distance if condition.eps is None else distance * 0)
            if turns and labelled and (condition.norm or condition.method == "spatial"):
                series = (condition.method, condition.norm)
                start = 0.0 if condition.method == "deepfool" else before.get(series, 0.0)
                run.write_rows(table_of(turns_of(condition, start, place, shift)), "turns", condition.id, shard)
                before[series] = strength(condition) + shift
            table = table_of(part)
            if condition == CLEAN and bad and last == n:
                broken = Part("outcomes", CLEAN, {"id": ids[-1:], "error": ["cannot identify image file"]})
                table = pa.concat_tables([table, table_of(broken)])
            run.write_rows(table, "outcomes", condition.id, shard)
            if pictures and last > first:
                kept = slice(0, pictures)
                changed = (batch.images[kept] + 0.03 * strength(condition)).clamp(0, 1)
                run.write_examples(changed, list(batch.ids[kept]), condition.id, shard)
            if cost:
                spent = {
                    "step": [condition.id], "shard": [shard], "forwards": [2 * len(batch)], "backwards": [3],
                    "model_seconds": [0.5], "method_seconds": [0.25], "wall_seconds": [0.9], "largest_batch": [8],
                    "back_offs": [0],
                }  # fmt: skip
                run.write_rows(table_of(Part("cost", CLEAN, spent)), "cost", condition.id, shard)
    if flags and n > 2:
        detail = f"the input gradient is zero on 2 samples {HOSTILE}: return logits"
        write_flags(run, "pgd", 0, [Flag("zero-gradient", detail, (ids[0], ids[1]))])
        write_flags(run, "pgd", 1, [Flag("zero-gradient", detail, (ids[2], ids[0]))])
        write_flags(run, "start", 0, [Flag("train-mode", "the model came in training mode: call .eval()")])
    return run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunDir]:
    """Writes a run under a name."""

    def make(name: str = "run", **options: Any) -> RunDir:
        return write_run(tmp_path / name, **options)

    return make


@pytest.fixture(scope="session")
def write() -> Callable[..., RunDir]:
    """Writes a run into a folder."""
    return write_run


@pytest.fixture(scope="session")
def first_screen() -> Callable[[Page], str]:
    """Reads the text of a page's first screen, as people see it."""

    def read(page: Page) -> str:
        first, _ = split_parts(page.blocks)
        words = re.sub("<[^>]+>", " ", str(render_blocks(first))).replace("\N{NO-BREAK SPACE}", " ")
        return re.sub(r" (?=[,.:;?)])", "", re.sub(r"\s+", " ", html.unescape(words))).strip()

    return read


@pytest.fixture
def offline(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens a page at a size and a colour scheme, without a network; notes what goes wrong."""
    file = tmp_path / "report.html"
    contexts = []

    def open_it(page: str, *, width: int = 1200, scheme: str = "light", **more: Any) -> tuple[Any, list[str]]:
        file.write_text(page, encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme, offline=True, **more
        )
        contexts.append(context)
        tab, troubles = context.new_page(), []
        tab.on("console", lambda m: troubles.append(m.text))
        tab.on("pageerror", lambda e: troubles.append(str(e)))
        tab.on("dialog", lambda d: (troubles.append(f"dialog {d.message}"), d.dismiss()))
        tab.on("request", lambda r: troubles.append(r.url) if not r.url.startswith(("data:", file.as_uri())) else None)
        tab.goto(file.as_uri())
        return tab, troubles

    yield open_it
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def contrast() -> str:
    """A script for a page: the texts that are hard to read."""
    return CONTRAST


CONTRAST = """() => {
  const parse = c => { const m = c.match(/[\\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat([1]);
  const bend = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = c => { const f = c.slice(0, 3).map(v => bend(v / 255));
    return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
  const behind = e => { const stack = [];
    for (; e; e = e.parentElement) stack.push(parse(getComputedStyle(e).backgroundColor));
    return stack.reverse().reduce((under, c) => over(c, under), [255, 255, 255, 1]); };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || ['SCRIPT', 'TITLE'].includes(e.tagName.toUpperCase())) continue;
    const style = getComputedStyle(e), ground = behind(e);
    const ink = over(parse(e.closest('svg') ? style.fill : style.color), ground);
    const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const text = walker.currentNode.textContent.trim().slice(0, 30);
    if (ratio < 4.5) poor.push(e.tagName + ' ' + text + ' ' + ratio.toFixed(2));
  }
  return poor;
}"""
"""Text whose contrast with what lies behind it is below WCAG's AA, 4.5 to 1."""
