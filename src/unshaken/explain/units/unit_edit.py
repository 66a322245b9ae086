"""`unit-edit`: take out the units whose description contains some words, as many as held-out images say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import register
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.units.ablation import Unit
from unshaken.explain.units.edit import UnitEdit, correct, edit_units
from unshaken.explain.units.published import read_annotations
from unshaken.explain.units.search import search_units
from unshaken.measure import share
from unshaken.store.run_dir import RunDir


@register("unit-edit", reference="Hernandez et al. 2022, arXiv:2201.11114")
class UnitEditing(Analysis):
    """Silence the units whose description contains one of some words, and compare accuracy before and after.

    A third of the images orders the units by the accuracy without each alone, a third chooses how many of the first are
    taken out, and a third judges, also against random sets of as many units. Where the images that choose bear the
    spurious cue, it helps there, and nothing is taken out: give images whose cue is broken.
    """

    table: ClassVar[str] = "units"
    group: ClassVar[str] = "units"
    needs: ClassVar[frozenset[str]] = frozenset({"model", "images", "labels"})

    run: str = Field(default="", description="run directory of `unshaken explain` that describes units of this model")
    annotations: str = Field(default="", description="CSV of layer,unit,description of this model, instead of a run")
    words: str = Field(description="parts of descriptions, with | between them, such as text|word|letter")
    most: PositiveInt = Field(default=50, description="units taken out at most")
    draws: NonNegativeInt = Field(default=5, description="random sets of units to compare with")

    @override
    def find(self, subject: Subject) -> Findings:
        if bool(self.run) == bool(self.annotations):
            raise ParameterError("unit-edit: give the descriptions as run=, a run directory, or as annotations=, a CSV")
        if self.run and not Path(self.run).is_dir():
            raise ParameterError(
                f"unit-edit: {self.run!r} is no run directory: describe units first, with `unshaken explain milan`"
            )
        rows = self._described()
        chosen = list(dict.fromkeys(search_units(rows, self.words)))
        if not chosen:
            where = self.run or self.annotations
            raise ParameterError(
                f"unit-edit: no description in {where} contains {self.words!r}: search for other words"
            )
        others = list(dict.fromkeys(Unit(row["layer"], int(row["unit"])) for row in rows))
        order, choose, judge = _thirds(subject)
        found = edit_units(
            subject.model, chosen, order, choose, judge, most=self.most, others=others if self.draws else (),
            draws=self.draws, seed=subject.seed, batch=subject.batch,
        )  # fmt: skip
        descriptions = {Unit(row["layer"], int(row["unit"])): row["description"] for row in rows}
        whole = float(correct(subject.model, order, batch=subject.batch).mean())
        columns: dict[str, Sequence[Any]] = {
            "layer": [u.layer for u in found.ordered], "unit": [u.unit for u in found.ordered],
            "description": [descriptions[u] for u in found.ordered], "effect": [whole - a for a in found.alone],
        }  # fmt: skip
        figures = {"gain": found.comparison.difference}
        if found.over_random is not None:
            figures["over_random"] = found.over_random
        sizes = [len(order), len(choose), len(judge)]
        passes = len(order) * (len(chosen) + 1) + len(choose) * len(found.curve) + len(judge) * (2 + len(found.random))
        return Findings(columns, figures, extra={"edit": self._facts(found, sizes), "layers": []}, forwards=passes)

    def _described(self) -> list[dict[str, Any]]:
        """Units with their descriptions, of a run or of a table."""
        if self.run:
            return [row for row in RunDir(self.run).rows("units").to_pylist() if row["method"] != self.info.name]
        table = read_annotations(self.annotations)
        return [{"layer": layer, "unit": unit, "description": "; ".join(of)} for (layer, unit), of in table.items()]

    def _facts(self, found: UnitEdit, sizes: list[int]) -> dict[str, Any]:
        """For the page; see `unshaken.report.pages.explained.units`."""
        n, c = found.comparison.n, found.comparison
        return {
            "words": self.words, "units": [str(u) for u in found.ordered], "count": found.count,
            "curve": list(found.curve), "n": sizes, "gain": c.difference.to_json(),
            "before": share(c.both_right + c.lost, n).to_json(), "after": share(c.both_right + c.gained, n).to_json(),
            "over_random": found.over_random and found.over_random.to_json(), "random": list(found.random),
        }  # fmt: skip


def _thirds(subject: Subject) -> tuple[Batch, Batch, Batch]:
    """The images in three parts, drawn by the seed."""
    parts = list(subject.batches())
    ids = tuple(i for part in parts for i in part.ids)
    if len(ids) < 3 or any(part.labels is None for part in parts):
        raise DataError(f"unit-edit needs labelled images, three at least, not {len(ids)}: name data with labels")
    images = torch.cat([part.images for part in parts])
    labels = torch.cat([part.labels for part in parts if part.labels is not None])
    order = np.random.default_rng([subject.seed, 3]).permutation(len(ids))
    one, two, three = (
        Batch(images[rows], labels[rows], tuple(ids[i] for i in rows))
        for rows in map(np.sort, np.array_split(order, 3))
    )
    return one, two, three
