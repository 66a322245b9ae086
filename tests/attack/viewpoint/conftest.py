"""A batch of solids, and a net that cannot see them from above."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core import Batch, Classifier
from unshaken.core.classifier import evaluating
from unshaken.core.context import Context, Renderer
from unshaken.core.oracle import Oracle
from unshaken.run.adapters import Line, conditions_of, rows_of


class AzimuthNet(nn.Module):
    """Two classes by the first pixel, which the fake renderer sets to the camera's azimuth."""

    def forward(self, x):
        seen = x[:, 0, 0, 0] * 8 - 4  # from -4 to 4 as the azimuth goes from -180 to 180
        return torch.stack([-seen, seen], 1)


def azimuth(which, views):
    """Pictures `[n, 1, 2, 2]` whose grey is the azimuth."""
    grey = views[:, 1].float() / 360 + 0.5
    return grey[:, None, None, None].expand(-1, 1, 2, 2).clone()


@pytest.fixture
def azimuth_batch():
    return Batch(torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 0]), ("a", "b", "c"))


@pytest.fixture
def evaluated():
    def evaluate(attack, batch, *, render=azimuth, limit=256, seed=0, net=None):
        model = Classifier(net or AzimuthNet()).eval()
        with evaluating(model):
            oracle = Oracle(model, limit=limit)
            offered = {} if render is None else {Renderer: render}
            context = Context(oracle, seed, oracle.exact(batch.images), resources=offered)
            conditions = conditions_of(attack, Line(attack.info.name))
            parts = rows_of(attack, batch, conditions, context)
        return {part.table: part for part in parts}, oracle.meter

    return evaluate
