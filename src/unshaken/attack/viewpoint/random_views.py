"""Random views: uniform in the box. The baseline that a search must beat."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from typing_extensions import override

from unshaken.attack.viewpoint.base import ChosenViews, Objects, Render, ViewAttack
from unshaken.core.device import widen
from unshaken.core.oracle import Oracle
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng


class UniformViews(ViewAttack):
    """Base class of attacks that draw views evenly from a box."""

    @override
    def choose(
        self, objects: Objects, ids: Sequence[str], render: Render, oracle: Oracle, rng: SampleRng
    ) -> ChosenViews:
        spread = rng.fold("views").uniform(self.samples, 6, low=-1, high=1)
        views = spread * spread.new_tensor(self.box.a) + spread.new_tensor(self.box.b)
        none = torch.zeros_like(objects.labels)
        component = none[:, None].expand(-1, self.samples) - 1
        return ChosenViews(views, component, none, widen(none))

    def most_passes(self, classes: int) -> int:
        """One forward pass for each view, whatever the classes."""
        return self.samples


@register("random-views", reference="Ruan et al. 2023, arXiv:2307.10235")
class RandomViews(UniformViews):
    """Random views: shows an object from viewpoints drawn evenly from a box, all azimuths by default."""
