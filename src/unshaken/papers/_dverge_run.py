"""What is measured of each arm of the experiment with DVERGE, as rows; and the figures, from rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor

from unshaken.attack.engine.end_points import end_points
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.harden.defences.crossmax import CrossMax
from unshaken.harden.engine.ensemble import members_of, transferability
from unshaken.harden.recipes.ensembles.dverge import diversity_matrix
from unshaken.measure import compare, paired_difference, share
from unshaken.papers._dverge_nets import COUNT
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Part, outcomes

DIVERSITY = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("method", pa.string()),
        ("source", pa.int32()),
        ("judge", pa.int32()),
        ("loss", pa.float64()),
    ]
)
"""One row a pair of members: the mean cross-entropy of `judge` on images distilled from `source`."""
SCHEMAS["diversity"] = DIVERSITY

CARRIED = (0.05, 0.1)
"""Radii of attacks carried over, from member to member and from surrogates."""
DIRECT = (0.03, 0.05)
"""Radii of attacks on the ensemble itself."""
WAYS = ("probabilities", "logits")
"""What of the ensemble is attacked: the mean of its probabilities, or of its logits."""


class Study:
    """Everything that is measured of one arm of one seed.

    Args:
        bench: where the rows go.
        model: the arm's ensemble.
        images: to study, all of them for clean accuracy.
        attacked: how many of them are attacked.
        steps: of PGD; from member to member two fifths of them.
        name: of seed and arm, in front of all conditions.
    """

    def __init__(self, bench: Bench, model: Classifier, images: Batch, attacked: int, steps: int, name: str) -> None:
        self.bench, self.model, self.images, self.name = bench, model, images, name
        self.some, self.steps = images[slice(0, attacked)], steps

    def run(self, carried: Mapping[float, Tensor]) -> None:
        """Put all rows that are not there yet.

        Args:
            carried: radius to examples of the surrogates.
        """
        self.look("clean", self.model, self.images, self.images.images, 0.0)
        for i, member in enumerate(members_of(self.model)):
            self.look(f"member-{i}", member, self.images, self.images.images, 0.0)
        for eps, images in carried.items():
            self.look(f"black-box-{eps:g}", self.model, self.some, images, eps)
        averaged = CrossMax(class_max=False, predictor_max=False, aggregate="mean").wrap(self.model)
        for eps, way in product(DIRECT, WAYS):
            label = f"white-box-{way}-{eps:g}"
            if not self.there("outcomes", label):
                target = self.model if way == "probabilities" else averaged
                found = end_points(
                    target, PGD(steps=self.steps, step_size=0.2), self.some, norm="linf", eps=eps, seed=0
                )
                self.look(label, self.model, self.some, found.x, eps)
        for eps in CARRIED:
            self.transfer(eps)
        self.diversity()

    def transfer(self, eps: float) -> None:
        """From member to member, over images that all members get right."""
        last = f"member-{COUNT - 1}-to-{COUNT - 1}-{eps:g}"
        if self.there("outcomes", last):
            return
        found = transferability(
            self.model, self.some, eps=eps, attack=PGD(steps=max(1, 2 * self.steps // 5), step_size=0.2)
        )
        parts = [
            outcomes(self.condition(f"member-{i}-to-{j}-{eps:g}", eps), found.batch, found.logits[i, j])
            for i, j in product(range(COUNT), range(COUNT))
        ]
        self.bench.keep(parts, 0)

    def diversity(self) -> None:
        """The matrix of distilled images."""
        if self.there("diversity", "d"):
            return
        matrix = diversity_matrix(self.model, self.some, eps=0.15, steps=5, step_size=0.2).tolist()
        pairs = list(product(range(COUNT), range(COUNT)))
        columns = {
            "id": [f"{i}-{j}" for i, j in pairs],
            "source": [i for i, _ in pairs],
            "judge": [j for _, j in pairs],
            "loss": [matrix[i][j] for i, j in pairs],
        }
        self.bench.keep([Part("diversity", self.condition("d", 0.15), columns)], 0)

    def look(self, label: str, model: Classifier, batch: Batch, images: Tensor, eps: float) -> None:
        """Rows of predictions."""
        if self.there("outcomes", label):
            return
        with evaluating(model):
            logits = Oracle(model, limit=500).exact(images)
        self.bench.keep([outcomes(self.condition(label, eps), batch, logits)], 0)

    def condition(self, label: str, eps: float) -> Condition:
        """A condition of this arm."""
        name = f"{self.name}.{label}"
        return Condition(name, "pgd", eps=eps, norm="linf") if eps else Condition(name, "clean")

    def there(self, table: str, label: str) -> bool:
        """Whether rows are finished."""
        return self.bench.run.has_rows(table, f"{self.name}.{label}", 0)


class Figures:
    """Figures of one seed, from rows.

    Args:
        bench: where the rows are.
        seed: its name.
    """

    def __init__(self, bench: Bench, seed: str) -> None:
        self.seed = seed
        self.table = bench.run.rows("outcomes", ["id", "condition", "correct"])
        self.pairs = bench.run.rows("diversity")

    def arm(self, name: str) -> dict[str, Any]:
        """All figures of an arm."""
        members = [round(float(self.correct(f"{name}.member-{i}").mean()), 4) for i in range(COUNT)]
        return {
            "clean": self.rate(f"{name}.clean"),
            "clean_members": members,
            **{f"transfer-{eps:g}": self.transferred(name, eps) for eps in CARRIED},
            **{f"black-box-{eps:g}": self.rate(f"{name}.black-box-{eps:g}") for eps in CARRIED},
            **{f"white-box-{eps:g}": _share(self.white_box(name, eps)) for eps in DIRECT},
            "diversity": self.diversity(name),
        }

    def against(self, name: str, other: str) -> dict[str, Any]:
        """Paired differences on the same images, arm less another."""
        labels = ["clean", *(f"black-box-{eps:g}" for eps in CARRIED)]
        return {
            label: compare(self.correct(f"{other}.{label}"), self.correct(f"{name}.{label}")).difference.to_json()
            for label in labels
        }

    def transferred(self, name: str, eps: float) -> dict[str, Any]:
        """The mean success rate from one member to another; the interval is over images."""
        pairs = [(i, j) for i, j in product(range(COUNT), range(COUNT)) if i != j]
        lost = np.mean([~self.correct(f"{name}.member-{i}-to-{j}-{eps:g}") for i, j in pairs], 0)
        return paired_difference(np.zeros(len(lost)), lost).to_json()

    def white_box(self, name: str, eps: float) -> np.ndarray[Any, Any]:
        """Right under both attacks on the ensemble itself."""
        right = [self.correct(f"{name}.white-box-{way}-{eps:g}") for way in WAYS]
        return np.asarray(right[0] & right[1])

    def diversity(self, name: str) -> dict[str, Any]:
        """The mean `d_ij` of different members, and each member on its own images."""
        rows = self.pairs.filter(pc.equal(self.pairs["condition"], f"{self.seed}.{name}.d"))
        same = rows["source"].to_numpy() == rows["judge"].to_numpy()
        loss = rows["loss"].to_numpy()
        return {"between": round(float(loss[~same].mean()), 4), "within": round(float(loss[same].mean()), 4)}

    def rate(self, label: str) -> dict[str, Any]:
        """Accuracy under a condition."""
        return _share(self.correct(label))

    def correct(self, label: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Right predictions, samples in the order of their ids."""
        rows = self.table.filter(pc.equal(self.table["condition"], f"{self.seed}.{label}")).sort_by("id")
        return np.asarray(rows["correct"].to_numpy(zero_copy_only=False), bool)


def _share(hits: np.ndarray[Any, Any]) -> dict[str, Any]:
    return share(int(hits.sum()), len(hits)).to_json()
