"""What is done to each ensemble of the experiment with CrossMax, as rows; and the figures, from rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.attack.engine.end_points import end_points
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle, required
from unshaken.core.progress import track
from unshaken.harden.defences.crossmax import CrossMax, crossmax, tied
from unshaken.harden.engine.adaptive import against
from unshaken.harden.engine.ensemble import members_of
from unshaken.measure import compare, paired_difference, share
from unshaken.papers._crossmax_nets import Group
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Part, outcomes

LOGIT_GRADIENTS = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("method", pa.string()),
        ("logits", pa.int32()),
        ("reached", pa.int32()),
        ("tied", pa.bool_()),
    ]
)
"""One row an image: of so many logits of all members how many get a gradient, and whether classes tie."""
SCHEMAS["logit_gradients"] = LOGIT_GRADIENTS

RULES: Mapping[str, CrossMax] = {
    "mean": CrossMax(class_max=False, predictor_max=False, aggregate="mean"),
    "crossmax": CrossMax(),
    "median": CrossMax(class_max=False, predictor_max=False),
    "no-second": CrossMax(predictor_max=False),
}
EPS = {"8": 8 / 255, "25.5": 0.1}
"""Radii by their size in steps of 8-bit pixels."""


class Study:
    """Everything that is done with the ensemble of one seed.

    Args:
        bench: where the rows go.
        group: the ensemble and the images.
        name: of the seed, in front of all conditions.
        steps: of PGD.
        seed: of the searches.
    """

    def __init__(self, bench: Bench, group: Group, name: str, steps: int, seed: int) -> None:
        self.bench, self.group, self.name, self.seed = bench, group, name, seed
        self.search = PGD(steps=steps, step_size=0.1)
        self.guards: dict[str, Classifier] = {n: rule.wrap(group.model) for n, rule in RULES.items()}

    def run(self) -> None:
        """Put all rows that are not there yet."""
        batch = self.group.images
        with track(f"CrossMax, {self.name}", 1 + 5 * len(EPS)) as task:
            members = {f"member-{i}": m for i, m in enumerate(members_of(self.group.model))}
            for name, model in {**self.guards, **members}.items():
                self.look(f"{name}.clean", model, batch.images, 0.0)
            self.gradients("clean", batch)
            task.advance()
            for label, eps in EPS.items():
                for maker in RULES:
                    self.attack(maker, label, eps)
                    task.advance()
                self.adaptive(label, eps)
                task.advance()

    def attack(self, maker: str, label: str, eps: float) -> None:
        """Examples made on one vote, shown to itself; those of mean and CrossMax to each other too."""
        judges = ("mean", "crossmax") if maker in ("mean", "crossmax") else (maker,)
        if all(self.there("outcomes", f"{judge}.on-{maker}-{label}") for judge in judges):
            return
        batch = self.group.images
        found = end_points(self.guards[maker], self.search, batch, norm="linf", eps=eps, seed=self.seed)
        if maker == "crossmax":
            self.gradients(f"on-crossmax-{label}", batch.with_images(found.x))
        for judge in judges:
            self.look(f"{judge}.on-{maker}-{label}", self.guards[judge], found.x, eps)

    def adaptive(self, label: str, eps: float) -> None:
        """All that an honest attack on CrossMax tries."""
        if self.there("outcomes", f"adaptive-{label}.adaptive-linf-{eps:.6g}"):
            return
        found = against(CrossMax(), self.group.model, self.group.images, self.search, eps=eps, seed=self.seed)
        self.bench.keep(found.parts(f"{self.name}.adaptive-{label}"), 0)

    def gradients(self, label: str, batch: Batch) -> None:
        """How many logits CrossMax lets a gradient through to, and ties."""
        if self.there("logit_gradients", label):
            return
        columns = reached(self.group.model, batch)
        condition = Condition(f"{self.name}.{label}", "crossmax")
        self.bench.keep([Part("logit_gradients", condition, {"id": list(batch.ids), **columns})], 0)

    def look(self, label: str, model: Classifier, images: Tensor, eps: float) -> None:
        """Rows of predictions."""
        if self.there("outcomes", label):
            return
        with evaluating(model):
            logits = Oracle(model, limit=500).exact(images)
        condition = Condition(
            f"{self.name}.{label}", "pgd" if eps else "clean", eps=eps or None, norm="linf" if eps else None
        )
        self.bench.keep([outcomes(condition, self.group.images, logits)], 0)

    def there(self, table: str, label: str) -> bool:
        """Whether rows are finished."""
        return self.bench.run.has_rows(table, f"{self.name}.{label}", 0)


def reached(model: Classifier, batch: Batch) -> dict[str, list[Any]]:
    """Of each image: how many logits there are, how many get a gradient of CrossMax's cross-entropy, and ties.

    Args:
        model: an ensemble.
        batch: labelled images.
    """
    with evaluating(model), torch.no_grad():
        logits = torch.cat([model.net.predictors(x) for x in torch.split(batch.images, 256)])  # type: ignore[operator]
    z = logits.detach().requires_grad_(True)
    with torch.enable_grad():
        loss = F.cross_entropy(crossmax(z), required(batch.labels), reduction="sum")
        (slope,) = torch.autograd.grad(loss, z)
    count = (slope != 0).flatten(1).sum(1)
    ties = tied(crossmax(logits))
    return {"logits": [z[0].numel()] * len(z), "reached": count.tolist(), "tied": ties.tolist()}


class Figures:
    """Figures of one seed, from rows.

    Args:
        bench: where the rows are.
        name: of the seed.
    """

    def __init__(self, bench: Bench, name: str) -> None:
        self.name = name
        self.table = bench.run.rows("outcomes", ["id", "condition", "correct"])
        self.slopes = bench.run.rows("logit_gradients")

    def all(self) -> dict[str, Any]:
        """By radius, and clean."""
        members = sorted(
            c for c in pc.unique(self.table["condition"]).to_pylist() if c.startswith(f"{self.name}.member-")
        )
        clean: dict[str, Any] = {name: self.rate(f"{name}.clean") for name in RULES}
        clean["member"] = [round(float(self.correct(c.removeprefix(f"{self.name}.")).mean()), 4) for c in members]
        return {
            "clean": clean,
            "gradients": {
                "clean": self.reach("clean"),
                **{f"attacked-{e}": self.reach(f"on-crossmax-{e}") for e in EPS},
            },
            **{f"eps-{label}": self.radius(label, eps) for label, eps in EPS.items()},
        }

    def radius(self, label: str, eps: float) -> dict[str, Any]:
        """Each vote under its own attack, the pairs, and the honest attack."""
        direct = {name: self.correct(f"{name}.on-{name}-{label}") for name in RULES}
        on_mean, on_cross = self.correct(f"crossmax.on-mean-{label}"), self.correct(f"mean.on-crossmax-{label}")
        ways = {
            way: self.rate(f"adaptive-{label}.{way}-linf-{eps:.6g}")
            for way in ("bare", "direct", "mean", "unsubtracted", "onward", "naive", "adaptive")
        }
        return {
            "direct": {name: _share(right) for name, right in direct.items()},
            "crossmax_on_examples_of_mean": _share(on_mean),
            "mean_on_examples_of_crossmax": _share(on_cross),
            "advantage_direct": compare(direct["mean"], direct["crossmax"]).difference.to_json(),
            "advantage_transfer": compare(direct["mean"], on_mean).difference.to_json(),
            "crossmax_under": ways,
        }

    def reach(self, label: str) -> dict[str, Any]:
        """Mean number of logits that get a gradient, of how many, and the share of ties."""
        rows = self.slopes.filter(pc.equal(self.slopes["condition"], f"{self.name}.{label}"))
        count = rows["reached"].to_numpy().astype(float)
        return {
            "logits_reached": paired_difference(np.zeros(len(count)), count).to_json(),
            "of": int(rows["logits"][0].as_py()),
            "tied": _share(rows["tied"].to_numpy(zero_copy_only=False)),
        }

    def rate(self, label: str) -> dict[str, Any]:
        """Accuracy under a condition."""
        return _share(self.correct(label))

    def correct(self, label: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Right predictions, samples in the order of their ids."""
        rows = self.table.filter(pc.equal(self.table["condition"], f"{self.name}.{label}")).sort_by("id")
        return np.asarray(rows["correct"].to_numpy(zero_copy_only=False), bool)


def _share(hits: np.ndarray[Any, Any]) -> dict[str, Any]:
    return share(int(hits.sum()), len(hits)).to_json()
