"""A linear classifier under noise: clean, attacked and certified are known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.context import Context
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.store.tables import table_of


class Linear(nn.Module):
    """Logits (-z, z), z the distance of 4 x 4 images from a plane through 0.5."""

    def forward(self, x):
        z = (x.flatten(1) - 0.5).sum(1) / 4
        return torch.stack([-z, z], 1)


def counted(limit=256):
    return Oracle(Classifier(Linear()).eval(), limit=limit)


def batch(*distances, labels=None):
    images = torch.stack([torch.full((1, 4, 4), 0.5 + d / 4) for d in distances])
    given = torch.ones(len(images), dtype=torch.int64) if labels is None else torch.tensor(labels)
    return Batch(images, given, tuple(f"s{i}" for i in range(len(images))))


def rows(method, samples, radii, limit=256):
    oracle = counted(limit)
    conditions = conditions_of(method, Line("smoothing-attack", eps=radii, norm="l2"))
    parts = rows_of(method, samples, conditions, Context(oracle, 0, oracle.exact(samples.images)))
    return parts, [table_of(p).to_pylist() for p in parts], oracle


@pytest.fixture(scope="session")
def plane() -> SimpleNamespace:
    """What the tests build from."""
    return SimpleNamespace(Linear=Linear, counted=counted, batch=batch, rows=rows)
