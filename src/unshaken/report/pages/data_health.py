"""Pictures of what the checks of a data set point at, from the rows `issues`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from unshaken.report import cells
from unshaken.report.blocks import Block, Heading, Prose, Span, Text
from unshaken.report.drawings import Exhibit, Gallery, Picture
from unshaken.report.figures.pictures import BUDGET, address
from unshaken.store.run_dir import RunDir
from unshaken.tasks.evaluation import EvaluationRecord

FOLDER = "pictures"
SMALL = 64
"""Pictures with a shorter long side are shown enlarged, pixel by pixel."""
LONG = 48
"""Characters of an id that are shown: its end."""
Row = Mapping[str, Any]


def health_blocks(run: RunDir, record: EvaluationRecord) -> list[Block]:
    """The samples that each check points at, with pictures, in the order of the record's titles.

    Args:
        run: the directory, with the rows `issues` and the pictures.
        record: of the run.
    """
    titles: dict[str, str] = record.extra.get("titles", {})
    blocks: list[Block] = []
    left = BUDGET
    for name, title in titles.items():
        rows = run.rows("issues", condition=name).sort_by("rank").to_pylist() if run.has_rows("issues", name, 0) else []
        if not rows:
            continue
        images = (
            run.read_tensors(FOLDER, f"{name}.safetensors").tensors if run.exists(FOLDER, f"{name}.safetensors") else {}
        )
        pictures = {
            int(place): Picture(address(image.float() / 255), f"Sample {rows[int(place) - 1]['id']}")
            for place, image in sorted(images.items(), key=lambda pair: int(pair[0]))
        }
        exhibits = _exhibits(rows, pictures)
        kept = list[Exhibit]()
        for one in exhibits:
            left -= sum(len(picture.address) for picture in one.pictures)
            if left < 0:
                break
            kept.append(one)
        text = (
            f"{cells.counted(len(rows), 'image')}, the worst first; all are in the rows ", Span("issues", "code"),
            " under the condition ", Span(name, "code"), ".",
        )  # fmt: skip
        pixels = bool(images) and max(max(image.shape[1:]) for image in images.values()) < SMALL
        blocks += [Heading(title, name, title), Prose(text, "small")]
        blocks += [Gallery(tuple(kept), pixels)] if kept else []
        blocks += (
            [] if kept else [Prose("; ".join(f"{_short(row['id'])}: {row['note']}" for row in rows[:10]), "small")]
        )
    return blocks


def _exhibits(rows: Sequence[Row], pictures: Mapping[int, Picture]) -> list[Exhibit]:
    """One exhibit for each picture, or for each group of alike images."""
    if rows[0]["image_group"] is None:
        shown = [row for row in rows if row["rank"] in pictures]
        return [Exhibit((pictures[row["rank"]],), _lines(row)) for row in shown]
    found = []
    for _, members in groupby(rows, key=lambda row: row["image_group"]):
        group = list(members)
        own = [row for row in group if row["rank"] in pictures]
        if own:
            lines: list[Text] = [_where(row) for row in own]
            lines += [Span(f"and {len(group) - len(own):,} more", "soft")] if len(group) > len(own) else []
            found.append(Exhibit(tuple(pictures[row["rank"]] for row in own), (*lines, Span(own[0]["note"], "soft"))))
    return found


def _lines(row: Row) -> tuple[Text, ...]:
    said = row["note"] or f"score {row['score']:.3g}"
    return _where(row), Span(said, "soft")


def _where(row: Row) -> Text:
    """The sample's id, its class, and its set where that is another."""
    label = f" ({row['label']})" if row["label"] else ""
    other = () if row["source"] == "data" else (Span(f" in {_short(row['source'])}", "bad"),)
    return (f"{_short(row['id'])}{label}", *other)


def _short(text: str) -> str:
    return text if len(text) <= LONG else f"…{text[-LONG:]}"
