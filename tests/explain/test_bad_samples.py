"""One sample for which the model gives NaN ends no analysis: it is named, and the figures are those without it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from unshaken.api import explain
from unshaken.data import from_arrays

ANALYSES = (
    "intrinsic-dimension:layer=conv,k=5,draws=5", "label-sharpness:layer=conv,draws=5", "object-masks",
    "representation-dimension:k=5,draws=5", "smoothness", "input-kinds:k=5",
)  # fmt: skip


class Blind(nn.Module):
    """A network that gives NaN, in every layer, for images that are black."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.deep = nn.Conv2d(3, 6, 3, stride=2), nn.Conv2d(6, 6, 3)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.where(x.flatten(1).amax(1)[:, None, None, None] > 0, x, torch.nan)
        return self.last(self.deep(self.conv(x).relu()).relu().mean((2, 3)))


def data(black: bool, labelled: bool = True):
    images = torch.randint(256, (30, 3, 12, 12), generator=torch.Generator().manual_seed(1)).byte()
    if black:
        images = torch.cat([images[:11], torch.zeros(1, 3, 12, 12).byte(), images[11:]])
    labels = torch.arange(30) % 3
    labels = torch.cat([labels[:11], torch.zeros(1).long(), labels[11:]]) if black else labels
    ids = [f"{i}" for i in range(30)]
    ids = [*ids[:11], "black", *ids[11:]] if black else ids
    return from_arrays(images, labels if labelled else None, ids=ids, classes=("a", "b", "c"))


@pytest.mark.parametrize("analysis", ANALYSES)
def test_the_figures_are_those_without_the_sample(analysis, tmp_path):
    made = {
        black: explain(Blind().eval(), data(black), analysis, out=tmp_path / str(black), device="cpu")
        for black in (False, True)
    }
    name = analysis.partition(":")[0]
    found = [one.summary.found[name].figures for one in made.values()]
    figures = [{k: figure["value"] for k, figure in one.items() if "pixels" not in k} for one in found]
    assert figures[1] == pytest.approx(figures[0], rel=1e-4)
    assert [str(one) for one in made[True].bad_samples] == ["black: the model gives NaN or infinite values for it"]
    assert made[True].summary.found[name].remarks[0].startswith("flag non-finite: ")
    assert "for 1 of 31 samples" in made[True].summary.found[name].remarks[0]


def test_without_labels_maps_explain_the_prediction(tmp_path):
    made = explain(Blind().eval(), data(black=True, labelled=False), "object-masks", out=tmp_path, device="cpu")
    assert len(made.bad_samples) == 1
