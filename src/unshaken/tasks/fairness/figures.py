"""`FairnessReport`: figures of fairness indicators, from rows and `fairness.json` alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt

from unshaken.core.documents import validate
from unshaken.core.errors import RunError
from unshaken.core.tables import declare_table
from unshaken.measure.fairness import (
    GroupRates,
    group_rates,
    label_association,
    label_rate_differences,
    neighbour_agreement,
)
from unshaken.store.run_dir import RunDir

TABLE = "group_outcomes"
GROUP_OUTCOMES = declare_table(
    "group_outcomes",
    "id string, condition string, group string, subject string, given string, correct bool, hit bool, "
    "top_labels string[], top_scores float[], neighbour_groups string[]",
)
"""Rows of fairness indicators, one an image; docs/runs.md says what the columns hold."""


RECORD = "fairness.json"
SHOWN = 5
"""Labels of each group that are listed as commoner there than elsewhere."""


class Settings(BaseModel):
    """The settings of an evaluation, as `fairness.json` has them.

    Args:
        model: its SPEC or name.
        model_fingerprint: of its weights.
        data: the CSV file.
        data_fingerprint: of what it says.
        columns: that groups are made of.
        sets: name of a set to its labels.
        top: predicted classes that count.
        thresholds: of an association.
        depths: numbers of neighbours.
        least: subjects below which a group is small.
        seed: of the intervals' draws.
        bad_samples: images that could not be used, each with `id` and `reason`.
        provenance: versions and machine.
    """

    model: str
    model_fingerprint: str
    data: str
    data_fingerprint: str
    columns: list[str]
    sets: dict[str, list[str]] = Field(default_factory=dict)
    top: PositiveInt
    thresholds: list[float]
    depths: list[int]
    least: PositiveInt
    seed: NonNegativeInt
    bad_samples: list[dict[str, str]] = Field(default_factory=list)
    provenance: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FairnessReport:
    """Fairness indicators of one model over groups, from rows.

    Args:
        rows: of the table `group_outcomes`.
        settings: of the evaluation.
    """

    rows: pa.Table
    settings: Settings

    def figures(self) -> dict[str, Any]:
        """All indicators as plain values, shares with intervals by subject.

        Returns:
            `accuracy` and `hit` by group (None where no image, or one group alone, has a label), `association` by set
            and threshold, `retrieval` by number of neighbours (`all`, `groups`), `chance` (by group, what retrieval by
            chance would give), `common_labels` (by group, label and difference of rates), `images` by group, and
            `small`, the groups to be read with care.
        """
        rows = self.rows.sort_by("id").to_pydict()
        groups = rows["group"]
        count = {name: groups.count(name) for name in sorted(set(groups))}
        found: dict[str, Any] = {"images": count, "association": {}, "retrieval": {}, "chance": {}}
        for name in ("accuracy", "hit"):
            found[name] = self._labelled("correct" if name == "accuracy" else name)
        options = {"subjects": rows["subject"], "least": self.settings.least, "seed": self.settings.seed}
        if len(count) > 1 and self.settings.sets:
            sets, scores = self.settings.sets, rows["top_scores"]
            by_set = label_association(
                rows["top_labels"], groups, sets, scores=scores, thresholds=self.settings.thresholds, **options
            )
            found["association"] = {s: {f"{t:g}": as_json(r) for t, r in by.items()} for s, by in by_set.items()}
        near = rows["neighbour_groups"]
        if len(count) > 1 and self.settings.depths and near[0]:
            depths = [k for k in self.settings.depths if k <= len(near[0])]
            by_depth = neighbour_agreement(groups, near, groups, depths=depths, **options) if depths else {}
            found["retrieval"] = {
                str(k): {"all": overall.to_json(), "groups": as_json(rates)} for k, (overall, rates) in by_depth.items()
            }
            found["chance"] = {name: (n - 1) / (len(groups) - 1) for name, n in count.items()}
        found["common_labels"] = {}
        if len(count) > 1:
            for name, change in label_rate_differences(rows["top_labels"], groups).items():
                found["common_labels"][name] = [[label, v] for label, v in list(change.items())[:SHOWN] if v > 0]
        people = {name: len({s for s, g in zip(rows["subject"], groups, strict=True) if g == name}) for name in count}
        found["small"] = [name for name, n in people.items() if n < self.settings.least]
        found["subjects"] = people
        return found

    def _labelled(self, column: str) -> dict[str, Any] | None:
        """Rates of a column over the images with a label; None where these are of one group or none."""
        rows = self.rows.filter(pc.is_valid(self.rows[column])).to_pydict()
        if len(set(rows["group"])) < 2:
            return None
        options = {"subjects": rows["subject"], "least": self.settings.least, "seed": self.settings.seed}
        return as_json(group_rates(rows[column], rows["group"], **options))


def read_report(out: RunDir | str | os.PathLike[str]) -> FairnessReport:
    """The report of a run directory that `evaluate` wrote.

    Raises:
        RunError: it holds no such rows, or `fairness.json` is damaged.
    """
    run = out if isinstance(out, RunDir) else RunDir(out)
    if not run.exists(RECORD):
        raise RunError(f"{run}: holds no {RECORD}; is it a directory that evaluate wrote?")
    settings = validate(Settings, run.read_json(RECORD), f"{run}: {RECORD}", RunError)
    rows = run.rows(TABLE)
    if not len(rows):
        raise RunError(f"{run}: holds no rows of {TABLE}; evaluate again into a new directory")
    return FairnessReport(rows, settings)


def as_json(rates: GroupRates) -> dict[str, Any]:
    """Rates by group as plain values."""
    return {
        "rates": {name: figure.to_json() for name, figure in rates.rates.items()},
        "gap": rates.gap.to_json(),
        "ratio": None if rates.ratio is None else rates.ratio.to_json(),
        "worst": rates.worst,
        "best": rates.best,
        "subjects": rates.subjects,
        "small": list(rates.small),
    }
