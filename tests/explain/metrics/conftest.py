"""Cases whose values are known by hand."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from unshaken.explain.engine.metric import make_case

SHARES = (0.4, 0.3, 0.2, 0.1)


@pytest.fixture
def additive(formula):
    """A white image of 2 x 2 pixels whose logit is a sum of shares, and a map; `case(map)`."""

    def build(one, function=lambda x: x @ torch.tensor(SHARES)):
        images = torch.ones(1, 1, 2, 2)
        case, _ = make_case(formula(function), images, "random-map", classes=torch.tensor([0]))
        return dataclasses.replace(case, maps=torch.tensor(one).view(1, 2, 2))

    return build


@pytest.fixture
def drawn(conv):
    """Maps given by hand, on black images; `case(maps, boxes=..., truth=...)`."""

    def build(maps, **objects):
        maps = torch.as_tensor(maps, dtype=torch.float32)
        images = torch.zeros(len(maps), 3, *maps.shape[1:])
        case, _ = make_case(conv, images, "random-map", classes=torch.zeros(len(maps)).long(), **objects)
        return dataclasses.replace(case, maps=maps)

    return build
