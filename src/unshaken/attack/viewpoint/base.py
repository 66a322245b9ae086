"""`ViewAttack`: what all attacks by viewpoint share: which views are judged, and their rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Literal, final

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from unshaken.attack.viewpoint._rendered_views import Render
from unshaken.attack.viewpoint.chosen_views import ChosenViews, view_rows
from unshaken.core.batch import Batch
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle, required
from unshaken.core.part import Condition, Part
from unshaken.core.prediction import predict
from unshaken.core.registry import Parameters
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.data.viewpoint.object_set import ViewBox
from unshaken.run.rows import Context, Journal, outcomes

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
        "upright", description="box of viewpoints; in the whole one of the paper half of the pictures are upside down"
    )
    half: tuple[float, float, float, float, float, float] | None = Field(
        None, description="half sides (psi, theta, phi, r, dx, dy) of a box of your own, in degrees and lengths"
    )
    centre: tuple[float, float, float, float, float, float] | None = Field(
        None, description="centre of a box of your own; goes with half"
    )
    samples: PositiveInt = Field(100, description="views of each object that are judged")

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

    # What the runner asks of a method (`unshaken.run.rows.Evaluable`).

    @final
    def conditions(self, *, label: str, severities: Sequence[int], eps: Sequence[float], norm: str) -> list[Condition]:
        """One condition.

        Raises:
            ParameterError: severities or eps are given.
        """
        if severities or eps:
            raise ParameterError(f"{self.info.name}: it has neither severities nor eps; its budget is its box of views")
        return [Condition(label, self.info.name)]

    @final
    def evaluate(self, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
        """Rows of one shard: `views`, and `outcomes` on the hardest of them.

        Raises:
            ParameterError: the samples are no objects, or have no labels.
        """
        condition, name, given = conditions[0], self.info.name, context.render
        if given is None:
            raise ParameterError(f"{name}: it needs objects that can be rendered: use meshes:DIR or solids:N")
        if batch.labels is None:
            raise ParameterError(f"{name}: the data has no labels; an attack needs the true class of each object")

        def render(number: int, views: Tensor) -> Tensor:
            return given(batch.ids[number], views)

        journal = None if context.journal is None else context.journal(condition.id)
        chosen = self._choose_all(batch, given, context, journal)
        logits = torch.stack(
            [_judge(context.oracle, render, i, views) for i, views in enumerate(chosen.views)]
        )  # [N, Q, K]
        loss = F.cross_entropy(logits.transpose(1, 2), batch.labels[:, None].expand(logits.shape[:2]), reduction="none")
        wrong = predict(logits) != batch.labels[:, None]
        hardest = torch.where(wrong, loss + loss.max(), loss).argmax(1)  # a wrong one where there is any
        rows = torch.arange(len(batch), device=logits.device)
        part = outcomes(
            condition,
            batch,
            logits[rows, hardest],
            forwards=chosen.forwards + logits.shape[1],
            seconds=chosen.seconds,
            broken_by=[name if w else None for w in wrong.any(1).tolist()],
            images=lambda some: torch.cat([render(i, chosen.views[i, hardest[i], None]) for i in some.tolist()]),
        )
        return [
            view_rows(condition, batch, chosen, logits, loss),
            *self.extra_rows(condition, batch, chosen, wrong.any(1)),
            part,
        ]

    def _choose_all(
        self, batch: Batch, render: Callable[[str, Tensor], Tensor], context: Context, journal: Journal | None
    ) -> ChosenViews:
        """The views of all objects; those of an interrupted run are taken from its journal."""
        records = {} if journal is None else journal.found()
        left = [i for i, name in enumerate(batch.ids) if name not in records]
        rng, device = SampleRng.of(context.seed, self.info.name, batch.ids), batch.images.device
        found = {name: ChosenViews.from_record(record).to(device) for name, record in records.items()}
        for rows in torch.split(torch.tensor(left, dtype=torch.int64), max(1, self.width(context.oracle.limit))):
            ids = [batch.ids[i] for i in rows.tolist()]
            objects = Objects(torch.arange(len(ids), device=device), required(batch.labels)[rows.to(device)])
            draw = partial(_render_named, render, ids)
            chosen = self.choose(objects, ids, draw, context.oracle, rng[rows].to(device))
            for i, name in enumerate(ids):
                found[name] = chosen[slice(i, i + 1)]
                if journal is not None:
                    journal.keep(name, found[name].to_record())
        return ChosenViews.concat([found[name] for name in batch.ids])


def _render_named(render: Callable[[str, Tensor], Tensor], ids: Sequence[str], number: int, views: Tensor) -> Tensor:
    return render(ids[number], views)


def _judge(oracle: Oracle, render: Render, number: int, views: Tensor) -> Tensor:
    found = []
    for some in torch.split(views, oracle.limit):
        with oracle.meter.method():
            images = render(number, some)
        found.append(oracle.exact(images))
    return torch.cat(found)
