"""The page of a texture made of a photo, from the rows `synthesis`, `texture.json` and the pictures beside them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unshaken.core.errors import RunError
from unshaken.measure import over_seeds
from unshaken.report import cells
from unshaken.report.blocks import Block, Column, Facts, Heading, Headline, Prose, Table, TableRow, Text, Tile, Tiles
from unshaken.report.drawings import Exhibit, Gallery, Picture
from unshaken.report.figures import pictures
from unshaken.report.pages.page_kind import Folder, PageKind
from unshaken.store.run_dir import RunDir

RECORD = "texture.json"
TITLE = "A texture that tiles, made of a photo"
PHOTO, PIXELS, OPEN, WRAPPED, CHOSEN = "photo", "pixels", "open", "wrapped", "chosen"
WORDS = {
    PHOTO: "the photo's middle",
    PIXELS: "its pixels changed by the loss's gradient",
    OPEN: "quilted, the border not fitted",
    WRAPPED: "quilted, the border fitted, without the loss",
    CHOSEN: "the texture: of these, the one of least loss",
}
"""Kinds of textures in the order of the page, and what they are."""
READ = (
    "The loss is 1 minus the score of the network, and chooses among whole textures. Pixels that descend it please the "
    "network that gives it and leave the seams, as the second line shows: compare the scores of the judge, which chose "
    "nothing. The step over a seam is in standard deviations of the steps between other lines: about 0 to 1 where "
    "no seam stands out. Neither sees a spot that catches the eye in every tile."
)
SHOWN = 384
"""Side in pixels of a picture of two by two tiles on the page."""


def _rows(run: RunDir) -> dict[str, list[dict[str, Any]]]:
    """Rows of each kind, in the order of the candidates."""
    rows = sorted(run.rows("synthesis").to_pylist(), key=lambda row: row["candidate"])
    return {name: [row for row in rows if row["condition"] == name] for name in (PHOTO, PIXELS, OPEN, WRAPPED)}


def best_candidate(run: RunDir) -> int:
    """The number of the candidate that the loss is least for."""
    found: int = max(_rows(run)[WRAPPED], key=lambda row: (row["tile_score"], -row["candidate"]))["candidate"]
    return found


def _read(run: RunDir) -> Folder[dict[str, Any]]:
    record = run.read_json(RECORD)
    if not isinstance(record, dict) or "settings" not in record:
        raise RunError(f"{run}: {RECORD} is damaged: make the texture again in a new --out")
    if not record["finished"]:
        raise RunError(f"{run}: its candidates have not all been measured; add --resume to its command")
    rows, best = _rows(run), best_candidate(run)
    kinds = rows | {CHOSEN: [rows[WRAPPED][best]]}
    values = {
        name: {
            "tile_score": [row["tile_score"] for row in own],
            "judge_score": [row["judge_score"] for row in own],
            "seam": [max(abs(row["horizontal_excess"]), abs(row["vertical_excess"])) for row in own],
        }
        for name, own in kinds.items()
    }
    ends = {"tile_score": 1.0, "judge_score": 1.0, "seam": np.inf}
    figures: dict[str, Any] = {
        name: {key: _figure(column, 0.0, ends[key]) for key, column in own.items()} for name, own in values.items()
    }
    judged = np.array(values[WRAPPED]["judge_score"])
    chosen, photo = judged[best], values[PHOTO]["judge_score"][0]
    others = np.delete(judged, best)
    gains = {"gain_by_border": judged - photo, "gain_by_loss": chosen - others}
    figures |= {name: _figure(gain.tolist(), -1.0, 1.0) for name, gain in gains.items()}
    figures |= {"chosen_candidate": best, "judged_better": int((others > chosen).sum())}
    return Folder(run, record | {"figures": figures})


def _figure(values: Sequence[float], low: float, high: float) -> dict[str, Any]:
    """The mean over textures with its interval, which one texture does not have."""
    return over_seeds(values, low=low, high=high).to_json() if len(values) > 1 else {"value": values[0]}


def _head(source: Folder[dict[str, Any]]) -> list[Block]:
    figures, settings = source.record["figures"], source.record["settings"]
    lines: list[Text] = [
        f"By the judge, which chose nothing, the photo scores {figures[PHOTO]['judge_score']['value']:.2f}, textures "
        f"with a fitted border {_mean(figures[WRAPPED]['judge_score'])}, and the one that the loss chose "
        f"{figures[CHOSEN]['judge_score']['value']:.2f}.",
        f"The loss added {_mean(figures['gain_by_loss'], '+')} to the mean of the others; the judge prefers "
        f"{figures['judged_better']} of the {settings['candidates'] - 1} others.",
        f"Pixels that descended the loss: {figures[PIXELS]['tile_score']['value']:.2f} by the network itself, "
        f"{figures[PIXELS]['judge_score']['value']:.2f} by the judge.",
    ]
    lead = f"{settings['size']} x {settings['size']} pixels, of blocks of {settings['block']}."
    return [Headline(TITLE, (lead,), lines=tuple(lines), brief=True)]


def _mean(figure: dict[str, Any], sign: str = "") -> str:
    if "low" not in figure:
        return f"{figure['value']:{sign}.2f}"
    return f"{figure['value']:{sign}.2f} ({figure['low']:{sign}.2f} to {figure['high']:{sign}.2f})"


def _tiles(source: Folder[dict[str, Any]]) -> list[Block]:
    figures = source.record["figures"]
    shown = {PHOTO: "photo", WRAPPED: "without the loss", CHOSEN: "the texture"}
    return [
        Tiles(
            tuple(
                Tile(f"Judge's score, {title}", f"{figures[name]['judge_score']['value']:.2f}",
                     f"step over the seam {figures[name]['seam']['value']:.1f} deviations")
                for name, title in shown.items()
            )
        )
    ]  # fmt: skip


def _gallery(source: Folder[dict[str, Any]]) -> list[Block]:
    """Two by two tiles of one texture of each kind: seams cross in the middle."""
    files = {name: "texture.png" if name == CHOSEN else f"{name}.png" for name in WORDS}
    exhibits = []
    for name, file in files.items():
        address = pictures.address(_image(source.run.read(file)).repeat(1, 2, 2), side=SHOWN)
        exhibits.append(Exhibit((Picture(address, f"Two by two: {WORDS[name]}"),), (WORDS[name],)))
    text = "Two by two tiles of each: seams cross in the middle. The folder has the pictures in full."
    return [Heading("Pictures", "pictures", "Pictures", open=True), Prose(text), Gallery(tuple(exhibits), large=True)]


def _image(data: bytes) -> Tensor:
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1).copy()).permute(2, 0, 1) / 255


def _table(source: Folder[dict[str, Any]]) -> list[Block]:
    figures, settings = source.record["figures"], source.record["settings"]
    heads = (Column("texture", number=False), Column("judge", "score"), Column("network", "score"),
             Column("step over the seam", "deviations"))  # fmt: skip
    rows: list[TableRow] = [
        (WORDS[name], *(_cell(figures[name][key]) for key in ("judge_score", "tile_score", "seam"))) for name in WORDS
    ]
    caption = (
        f"Scores from 0 to 1, higher for better, and the larger step over a seam. Lines with an interval are means of "
        f"{settings['candidates']} textures, with 95 % intervals over these."
    )
    return [
        Heading("Figures", "figures", "Figures"),
        Table(caption, heads, tuple(rows), brief=True),
        Prose(READ, "note"),
    ]


def _cell(figure: dict[str, Any]) -> Text | Any:
    return cells.value(figure) if "low" in figure else f"{figure['value']:.3g}"


def _settings(source: Folder[dict[str, Any]]) -> list[Block]:
    settings = source.record["settings"]
    height, width, channels = settings["shape"]
    facts = {"photo": settings["photo"], "its pixels": f"{height} x {width}, {'grey' if channels == 1 else 'RGB'}"}
    facts |= {key: f"{settings[key]}" for key in ("size", "block", "candidates", "model", "judge", "seed")}
    facts["chosen candidate"] = str(source.record["figures"]["chosen_candidate"])
    return [Heading("Settings", "settings", "Settings"), Facts(tuple(facts.items()))]


TEXTURE = PageKind[Folder[dict[str, Any]]](
    title=TITLE, read=_read, sections=(_head, _tiles, _gallery, _table, _settings)
)
