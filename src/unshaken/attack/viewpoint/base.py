"""`ViewAttack`: what all attacks by viewpoint share: which views are judged, and their rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor
from typing_extensions import override

from unshaken.attack.viewpoint.mixture import ViewMixture
from unshaken.core.batch import Batch
from unshaken.core.classifier import predict
from unshaken.core.device import widen
from unshaken.core.oracle import Oracle, required
from unshaken.core.part import Condition, Part
from unshaken.core.query import Answer, Goal, Passes, Query
from unshaken.core.registry import Parameters
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.core.tables import declare_table
from unshaken.data.viewpoint.object_set import ViewBox

Render = Callable[[int, Tensor], Tensor]
"""From the number of an object and viewpoints `[n, 6]` to pictures `[n, C, H, W]` in [0, 1]."""


class RenderedViews(Query):
    """Logits of objects seen from viewpoints; no more pictures are held than one pass takes.

    Args:
        points: viewpoints `[N, Q, 6]`.
        objects: number of each object, int64 `[N]`.
        render: makes the pictures; its time counts as the method's.
    """

    objects: Tensor
    render: Render

    @property
    @override
    def width(self) -> int:
        return self.points.shape[1]

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        n, count = self.points.shape[:2]
        found: list[Tensor] = []
        with torch.inference_mode():
            for rows in torch.split(torch.arange(n * count), passes.limit):
                with passes.method():
                    images = torch.cat(
                        [
                            self.render(int(self.objects[i]), self.points[i, rows[rows // count == i] % count])
                            for i in torch.unique(rows // count).tolist()
                        ]
                    )
                total = passes.forward(images)[0]
                for _ in range(1, passes.draws):
                    total = total + passes.forward(images)[0]
                found.append(total / passes.draws)
        logits = torch.cat(found).view(n, count, -1).clone()  # a plain tensor again
        return Answer(logits=logits, labels=predict(logits))


BOXES = {
    "natural": ViewBox((3, 45, 10, 0.25, 0.1, 0.1), (0, 0, 70, 4, 0, 0)),
    "upright": ViewBox((5, 180, 30, 0.5, 0.1, 0.1), (0, 0, 50, 4, 0, 0)),
    "whole": ViewBox(),
}
"""Viewpoints: those of usual photos; all azimuths, 10 to 70 degrees above the horizon; and the published box."""


class Objects(State):
    """Objects whose views are searched.

    Args:
        number: of each, as `Render` counts them, int64 `[N]`.
        labels: int64 `[N]`.
    """

    number: Tensor
    labels: Tensor


class ViewAttack(Parameters):
    """Base class of attacks that move the camera around an object.

    A subclass chooses views; they are judged here by fresh float32 passes. The outcome of an object is that of its
    hardest view, so that the accuracy of the run is the share of objects that hold in every view judged; the table
    `views` has them all.
    """

    room: ClassVar[str] = "attack"
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    norms: ClassVar[tuple[str, ...]] = ()
    needs_labels: ClassVar[bool] = True
    needs_objects: ClassVar[bool] = True
    """Whether the data must be objects, such as `meshes:DIR`."""
    minimal: ClassVar[bool] = False

    region: Literal["natural", "upright", "whole"] = Field(
        default="upright",
        description="box of viewpoints; in the whole one of the paper half of the pictures are upside down",
    )
    half: tuple[float, float, float, float, float, float] | None = Field(
        default=None, description="half sides (psi, theta, phi, r, dx, dy) of a box of your own, in degrees and lengths"
    )
    centre: tuple[float, float, float, float, float, float] | None = Field(
        default=None, description="centre of a box of your own; goes with half"
    )
    samples: PositiveInt = Field(default=100, description="views of each object that are judged")

    @model_validator(mode="after")
    def _own_box(self) -> ViewAttack:
        if (self.half is None) != (self.centre is None):
            raise ValueError("half and centre make one box: give both or none")
        if self.half is not None and self.centre is not None:
            if min(self.half) <= 0:
                raise ValueError("half must be positive in each coordinate; a small value keeps one in place")
            if self.centre[3] <= self.half[3]:
                raise ValueError("the distance r must stay positive: centre[3] > half[3]")
        return self

    @property
    def box(self) -> ViewBox:
        """The box that viewpoints lie in."""
        if self.half is not None and self.centre is not None:
            return ViewBox(self.half, self.centre)
        return BOXES[self.region]

    @abstractmethod
    def choose(
        self, objects: Objects, ids: Sequence[str], render: Render, oracle: Oracle, rng: SampleRng
    ) -> ChosenViews:
        """The views to judge.

        Args:
            objects: some of a shard, numbered from 0.
            ids: of the objects.
            render: makes pictures.
            oracle: runs the model and counts its passes.
            rng: the objects' streams.
        """

    def width(self, limit: int) -> int:
        """Number of objects whose views are chosen together.

        Args:
            limit: images of one pass at most.
        """
        return limit

    def extra_rows(self, condition: Condition, batch: Batch, chosen: ChosenViews, broken: Tensor) -> list[Part]:
        """Rows of further tables.

        Args:
            condition: the attack.
            batch: the objects.
            chosen: their views.
            broken: bool `[N]`: misclassified in one of them at least.
        """
        return []


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
