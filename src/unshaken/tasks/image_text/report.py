"""`ImageTextReport`: figures of classifiers of images with texts, from rows."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unshaken.core.errors import ParameterError, RunError
from unshaken.measure import Figure, share
from unshaken.measure.classification.class_means import (
    PairedF1,
    f1_columns,
    f1_rows,
    interaction,
    macro_f1,
    paired_f1,
)
from unshaken.measure.statistics.means import mean_figure
from unshaken.measure.statistics.spread import figure_of_means
from unshaken.store.run_dir import RunDir

RECORD = "image_text.json"
"""Name of the file that `evaluate` writes with its rows."""
MEASURES = ("relevance_text", "relevance_image", "topic_divergence", "match", "words_added", "self_bleu")
"""Columns of an added text whose means are shown."""
RANGES = {
    "relevance_text": (-1.0, 1.0), "relevance_image": (-1.0, 1.0), "topic_divergence": (0.0, math.inf),
    "match": (0.0, 1.0), "words_added": (0.0, math.inf), "self_bleu": (0.0, 1.0),
}  # fmt: skip
"""The least and the largest value of each; relevance is a cosine."""


@dataclass(frozen=True, slots=True)
class Abstention:
    """Answers of a fusion classifier, left out where an image-only one predicts another class.

    Args:
        answered: share of samples that are answered.
        f1: macro F1 on these; None where there is none.
        wrong: share of all samples that are answered, and wrongly.
    """

    answered: Figure
    f1: Figure | None
    wrong: Figure


@dataclass(frozen=True, slots=True)
class ImageTextReport:
    """Figures of classifiers of images with texts under changes, from their rows.

    Args:
        rows: of the table `dilutions`.
        classes: names.
    """

    rows: pa.Table
    classes: tuple[str, ...]

    @classmethod
    def read(cls, out: RunDir | str | os.PathLike[str]) -> ImageTextReport:
        """The report of a run directory that `evaluate` wrote.

        Raises:
            RunError: it holds no such rows.
        """
        run = out if isinstance(out, RunDir) else RunDir(out)
        rows = run.rows("dilutions")
        if not len(rows) or not run.exists(RECORD):
            raise RunError(f"{run}: holds no rows of dilutions; is it a directory that evaluate wrote?")
        record = run.read_json(RECORD)
        parts = [
            rows.filter(pc.and_(pc.equal(rows["classifier"], classifier), pc.equal(rows["change"], change)))
            for change in record["changes"] for classifier in record["classifiers"]
        ]  # fmt: skip
        return cls(pa.concat_tables(parts), tuple(record["classes"]))

    def classifiers(self) -> list[str]:
        """Names, in order of their rows."""
        return list(dict.fromkeys(self.rows["classifier"].to_pylist()))

    def changes(self) -> list[str]:
        """Names of changes, without `clean`, in order of their rows."""
        return [c for c in dict.fromkeys(self.rows["change"].to_pylist()) if c != "clean"]

    def condition(self, classifier: str, change: str) -> pa.Table:
        """Rows of a classifier under a change, in order of ids.

        Raises:
            ParameterError: there are none.
        """
        rows = self.rows
        chosen = rows.filter(pc.and_(pc.equal(rows["classifier"], classifier), pc.equal(rows["change"], change)))
        if not len(chosen):
            raise ParameterError(f"there are no rows of the classifier {classifier!r} under {change!r}")
        return chosen.sort_by("id")

    def column(self, classifier: str, change: str, name: str) -> NDArray[Any]:
        """A column in order of ids; not a number where a number is missing."""
        return np.asarray(self.condition(classifier, change)[name].to_numpy(zero_copy_only=False))

    def paired(self, classifier: str, change: str) -> PairedF1:
        """Macro F1 before and after a change, its relative drop, and the exact McNemar test of the flips."""
        rows = self.condition(classifier, change)
        return paired_f1(
            rows["label"].to_numpy(), rows["prediction"].to_numpy(), rows["changed_prediction"].to_numpy(),
            classes=len(self.classes),
        )  # fmt: skip

    def figures(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Classifier to change to its figures, each with its interval over samples.

        Returns:
            `clean` and `f1` (macro F1 before and after), `drop` (relative, of F1 before; None where that is 0), `lost`
            and `gained` (flips), `p_value` of the exact McNemar test, `kept` (share of samples that a change was found
            for), `queries` in all, and means of `MEASURES` where they are measured.
        """
        return {c: {d: self._figures(c, d) for d in self.changes()} for c in self.classifiers()}

    def _figures(self, classifier: str, change: str) -> dict[str, Any]:
        rows, paired = self.condition(classifier, change), self.paired(classifier, change)
        changed = rows["kept"].to_numpy(zero_copy_only=False)
        found: dict[str, Any] = {
            "clean": paired.clean, "f1": paired.changed, "drop": paired.drop, "lost": paired.comparison.lost,
            "gained": paired.comparison.gained, "p_value": paired.comparison.p_value,
            "kept": share(int(changed.sum()), len(changed)), "queries": pc.sum(rows["queries"]).as_py(),
        }  # fmt: skip
        for name in MEASURES:
            values = np.asarray(rows[name].to_numpy(zero_copy_only=False), np.float64)
            values = values[np.isfinite(values)]
            if len(values):
                found[name] = mean_figure(values, low=RANGES[name][0], high=RANGES[name][1])
        return found

    def interaction(self, classifier: str, first: str, second: str, both: str) -> Figure:
        """The sum of what two changes cost each, less what they cost together, in macro F1; see `interaction`.

        Args:
            classifier: its name.
            first: a change, such as that of the text.
            second: another, such as that of the image.
            both: the change that does both.

        Returns:
            0 for damages that add up, above 0 where one leaves the other less to damage.
        """
        rows = [self.condition(classifier, change) for change in (first, second, both)]
        labels, count = rows[0]["label"].to_numpy(), len(self.classes)
        predictions = [rows[0]["prediction"], *(r["changed_prediction"] for r in rows)]
        columns = np.concatenate([f1_columns(labels, p.to_numpy(), count) for p in predictions], 1)
        return figure_of_means(columns, interaction, possible=partial(f1_rows, columns, count))

    def abstention(self, fused: str, image_only: str, change: str = "clean") -> Abstention:
        """The worth of abstaining where an image-only classifier contradicts the fused one.

        Args:
            fused: name of the classifier that answers.
            image_only: name of the one whose agreement is asked for; texts do not move it.
            change: under which both answer.
        """
        labels, own, other = (
            self.column(fused, change, "label"), self.column(fused, change, "changed_prediction"),
            self.column(image_only, change, "changed_prediction"),
        )  # fmt: skip
        agreed, n = own == other, len(labels)
        f1 = macro_f1(labels[agreed], own[agreed], classes=len(self.classes)) if agreed.any() else None
        return Abstention(share(int(agreed.sum()), n), f1, share(int((agreed & (own != labels)).sum()), n))


def table_lines(report: ImageTextReport, changes: Sequence[str] | None = None) -> list[str]:
    """A short table: macro F1 of each classifier, and its relative drop under each change.

    Args:
        report: of classifiers.
        changes: that are shown; None for all.
    """
    lines = []
    for classifier, found in report.figures().items():
        first = next(iter(found.values()))
        cells = [f"{classifier:12}", f"clean {first['clean'].value:.3f}"]
        for change in changes if changes is not None else found:
            drop = found[change]["drop"]
            cells.append(f"{change} {'undefined' if drop is None else f'{0 - drop.value:+.1%}'}")
        lines.append("  ".join(cells))
    return lines
