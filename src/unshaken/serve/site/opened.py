"""`OpenedRun`: a run of the list with its configuration, its samples, and the pictures that it kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from unshaken.core.errors import DataError, RunError
from unshaken.core.numbers import shorten
from unshaken.core.part import CLEAN
from unshaken.serve.images import SIDES, LazyCache, Picture, Pictures, encode_picture, open_recorded
from unshaken.serve.review.pages.classes import ClassNames
from unshaken.serve.site.grid import SampleGrid
from unshaken.store.config import read_config
from unshaken.store.read_rows import parse_rows
from unshaken.store.run_dir import RunDir

TABLES = ("certificates", "scores", "labels")
"""Tables beside the outcomes in which a sample is looked up."""


class OpenedRun:
    """An evaluation in the list.

    Args:
        place: of its directory.
        grids: where the grids of all runs are kept.

    Raises:
        RunError: it is no run of an evaluation, or its configuration is damaged.
    """

    def __init__(self, place: str, grids: LazyCache[SampleGrid]) -> None:
        self.run = RunDir(place)
        self.config = read_config(self.run)
        self._grids = grids

    @property
    def conditions(self) -> list[str]:
        """Ids of the conditions that have rows, `clean` first, then in the order of the plan."""
        there = {name for name, _ in self.run.finished()}
        planned = [CLEAN.id, *(c for step in self.config.steps for c in step.conditions)]
        first = [c for c in dict.fromkeys(planned) if c in there]
        return first + sorted(there.difference(first))

    @cached_property
    def class_names(self) -> ClassNames:
        """The classes, each with a name of its own."""
        return ClassNames(self.config.classes)

    @cached_property
    def places(self) -> dict[str, int]:
        """Number of each sample by its id."""
        return {id: n for n, id in enumerate(self.config.ids)}

    @cached_property
    def pictures(self) -> Pictures:
        """Pictures of the samples as the data holds them.

        Raises:
            ModelError: the run names code as its data.
            DataError: the data cannot be opened here.
        """
        return Pictures(open_recorded(self.config.data, str(self.run)))

    def grid(self, condition: str) -> SampleGrid:
        """The samples under a condition.

        Raises:
            RunError: a file of rows is damaged, or there are no rows of this condition.
        """
        files = frozenset(shard for name, shard in self.run.finished() if name in (condition, CLEAN.id))
        return self._grids.get(
            (self.run.path, condition, files, self.run.identity), lambda: SampleGrid(self.run, self.config, condition)
        )

    def rows_of(self, n: int, table: str = "outcomes") -> list[dict[str, Any]]:
        """The rows of a sample, in the order of conditions.

        Args:
            n: number of the sample.
            table: of the rows.

        Raises:
            RunError: a file is damaged.
        """
        id, found = self.config.ids[n], list[dict[str, Any]]()
        ending = f"-{n // self.config.shard_size:05d}.parquet"
        for file in self.run.names("rows", table, suffix=ending):
            rows = self._shard(table, file)
            if "id" in rows.column_names:
                found += rows.filter(pc.equal(rows["id"], id)).to_pylist()
        order = {c: k for k, c in enumerate(self.conditions)}
        return sorted(found, key=lambda row: order.get(str(row.get("condition")), len(order)))

    def picture(self, n: int, use: str, condition: str = CLEAN.id) -> Picture:
        """The image that the model saw, where it was kept; else, of the unchanged image, the data's picture.

        Args:
            n: number of the sample.
            use: a key of `SIDES`.
            condition: id of the condition.

        Raises:
            UnshakenError: there is no such picture.
        """
        kept = self.example(n, condition)
        if kept is not None:
            return encode_picture(kept, SIDES[use])
        if condition != CLEAN.id:
            raise DataError("the changed image was not kept: see --save-examples")
        return self.pictures.picture(self.config.ids[n], use)

    def example(self, n: int, condition: str) -> NDArray[np.uint8] | None:
        """Pixels `[H, W, C]` that were kept of a sample under a condition; None where they were not.

        Raises:
            RunError: the file is damaged.
        """
        file, id = f"{condition}-{n // self.config.shard_size:05d}.safetensors", self.config.ids[n]
        if not self.run.exists("examples", file):
            return None
        image = _read_one(self.run, file, id) if self.run.local else self.run.read_examples(file).get(id)
        return None if image is None else _pixels(image, file)

    def example_conditions(self, n: int) -> list[str]:
        """Conditions of which an image of a sample was kept."""
        return [c for c in self.conditions if self.example(n, c) is not None]

    def _shard(self, table: str, file: str) -> Any:
        return parse_rows(self.run.read("rows", table, file), table, file, str(self.run), run=self.run.identity)


def check_condition(known: Sequence[str], condition: str) -> str:
    """A condition that has rows.

    Raises:
        DataError: there is none of this id.
    """
    if condition not in known:
        raise DataError(f"the run has no rows of {shorten(condition)}")
    return condition


def _read_one(run: RunDir, file: str, id: str) -> Tensor | None:
    """One image of a file of examples, without reading the others."""
    run.check_file("examples", file)
    try:
        with safe_open(run.at("examples", file), "pt") as opened:
            ids = json.loads((opened.metadata() or {})["ids"])
            if id not in ids:
                return None
            at = ids.index(id)
            found: Tensor = opened.get_slice("images")[at : at + 1][0]
            return found
    except (SafetensorError, ValueError, LookupError, TypeError, OSError, RecursionError) as error:
        raise RunError(f"examples/{file} is damaged ({' '.join(str(error).split())[:200]})") from None


def _pixels(image: Tensor, file: str) -> NDArray[np.uint8]:
    if image.ndim != 3 or image.shape[0] not in (1, 3) or not 0 < image.numel() <= 100_000_000:
        raise RunError(f"examples/{file} is damaged (it does not hold images)")
    scaled = (image.float().nan_to_num(0).clamp(0, 1) * 255).round().to(torch.uint8)
    pixels: NDArray[np.uint8] = scaled.permute(1, 2, 0).contiguous().numpy()
    return pixels
