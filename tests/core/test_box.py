"""Cutting to [0, 1] with a gradient on the border, and everything that attacks go through does it that way."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack.patch.universal_patch import Overlay
from unshaken.core.boxes import boxed
from unshaken.harden.defences._prompts import Prompts
from unshaken.harden.defences.multi_resolution import MultiResolution


def test_values_are_those_of_clamp():
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)) + 0.5
    x[:3] = torch.tensor([0.0, 1.0, torch.nan])
    assert torch.equal(boxed(x).nan_to_num(9.0), x.clamp(0, 1).nan_to_num(9.0))


def test_the_gradient_passes_where_nothing_is_cut():
    x = torch.tensor([-0.1, 0.0, 0.5, 1.0, 1.1], requires_grad=True)
    (slope,) = torch.autograd.grad(boxed(x).sum(), x)
    assert slope.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]


@pytest.fixture
def closed(monkeypatch):
    """`clamp` as it is in torch 2.15: no gradient at its bounds."""
    original = torch.Tensor.clamp

    def clamp(x, min=None, max=None):
        cut = torch.zeros_like(x, dtype=torch.bool)
        for bound, beyond in ((min, torch.le), (max, torch.ge)):
            if bound is not None:
                cut |= beyond(x, bound)
        return torch.where(cut, original(x.detach(), min, max), x)

    monkeypatch.setattr(torch.Tensor, "clamp", clamp)


def alive(function, points):
    """The share of black and white numbers that the sum of what comes out depends on."""
    x = points.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(function(x).sum(), x)
    return float((slope[(points == 0) | (points == 1)] != 0).double().mean())


CALM = {"resolutions": (8,), "contrast": (1.0, 1.0), "colour": (1.0, 1.0), "shift": 0, "noise": 0.0}


def pasted(patch):
    place = torch.tensor([4.0])
    return Overlay(place, place, torch.tensor([8.0]), torch.zeros(1), round=False).paste(
        torch.zeros(1, 1, 8, 8), patch
    )[0]


def prompted(images):
    nothing = torch.zeros(1)
    prompts = Prompts(
        prototypes=torch.zeros(1, 4),
        spectra=torch.zeros(1, 1, 8, 5, 2),
        width=8,
        pool=4,
        form="additive",
        norm="linf",
        layer="",
        radius=2.0,
        budget=0.1,
        spread=0.05,
        purity=nothing,
        commonest=nothing.long(),
        counts=nothing,
    )
    return prompts.apply(images, prompts.table())


@pytest.mark.parametrize(
    "function",
    [pasted, prompted, lambda x: MultiResolution(**CALM).stack(x, torch.Generator())],
    ids=["patch", "frequency-prompt", "multi-resolution"],
)
def test_what_attacks_go_through_has_a_gradient_on_the_border(closed, function):
    """A patch ends on the border after a few signed steps, and grounds of pictures lie there from the first."""
    checks = torch.tensor([0.0, 1.0]).repeat(32).view(1, 1, 8, 8)
    assert alive(lambda x: x.clamp(0, 1), checks) == 0
    assert alive(function, checks[0] if function is pasted else checks) == 1
