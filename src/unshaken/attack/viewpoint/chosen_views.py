"""The views of objects that are judged, and their rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unshaken.attack.viewpoint.mixture import ViewMixture
from unshaken.core.batch import Batch
from unshaken.core.classifier import predict
from unshaken.core.device import widen
from unshaken.core.oracle import required
from unshaken.core.part import Condition, Part
from unshaken.core.state import State
from unshaken.core.tables import declare_table

COORDINATES = ("psi", "theta", "phi", "r", "dx", "dy")
VIEWS = declare_table(
    "views",
    "id string, condition string, method string, number int32, component int32, psi double, theta double, "
    "phi double, r double, dx double, dy double, label int64, prediction int64, confidence double, correct bool, "
    "loss double, error string",
)


class ChosenViews(State):
    """The views of each object that are judged.

    Args:
        views: `[N, Q, 6]`.
        component: of a mixture, int64 `[N, Q]`; -1 where there is none, or each coordinate has its own.
        forwards: passes that the choice cost, int64 `[N]`; as many pictures were rendered.
        seconds: float64 `[N]`.
        mixture: that they were drawn from; None where there is none.
        fitness: mean cross-entropy of the last population of the search, in nats, `[N]`; None likewise.
    """

    views: Tensor
    component: Tensor
    forwards: Tensor
    seconds: Tensor
    mixture: ViewMixture | None = None
    fitness: Tensor | None = None

    def to_record(self) -> dict[str, Any]:
        """One row as JSON, for a journal."""
        names = ("views", "component", "forwards", "seconds", "fitness")
        found = {name: value.tolist() for name in names if (value := getattr(self, name)) is not None}
        if self.mixture is not None:
            mixture = self.mixture
            found |= {"mu": mixture.mu.tolist(), "sigma": mixture.sigma.tolist(), "per_dim": mixture.per_dim}
        return found

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ChosenViews:
        """The row that `to_record` wrote."""
        views, component, forwards = (torch.tensor(record[name]) for name in ("views", "component", "forwards"))
        mixture = fitness = None
        if "mu" in record:
            mixture = ViewMixture(torch.tensor(record["mu"]), torch.tensor(record["sigma"]), record["per_dim"])
            fitness = torch.tensor(record["fitness"])
        return cls(views, component, forwards, torch.tensor(record["seconds"], dtype=torch.float64), mixture, fitness)


def view_rows(condition: Condition, batch: Batch, chosen: ChosenViews, logits: Tensor, loss: Tensor) -> Part:
    """Rows of `views`, one a view.

    Args:
        condition: the attack.
        batch: the objects, with labels.
        chosen: their views.
        logits: `[N, Q, K]`.
        loss: cross-entropy, `[N, Q]`.
    """
    n, count = logits.shape[:2]
    labels, prediction = required(batch.labels)[:, None].expand(n, count), predict(logits)
    views = widen(chosen.views).flatten(0, 1).cpu()
    columns: dict[str, Any] = {
        "id": [i for i in batch.ids for _ in range(count)],
        "number": list(range(count)) * n,
        "component": [c if c >= 0 else None for c in chosen.component.flatten().tolist()],
        **{name: views[:, j].numpy() for j, name in enumerate(COORDINATES)},
        "label": labels.flatten().cpu().numpy(),
        "prediction": prediction.flatten().cpu().numpy(),
        "confidence": widen(logits).softmax(-1).amax(-1).flatten().cpu().numpy(),
        "correct": (prediction == labels).flatten().cpu().numpy(),
        "loss": widen(loss).flatten().cpu().numpy(),
    }
    return Part("views", condition, columns)
