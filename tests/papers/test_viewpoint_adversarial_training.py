"""The rule by hand, figures over objects and seeds, and the pieces that the row has of its own."""

import copy

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny
from unshaken.data import load_data
from unshaken.papers.claim import judge_parts
from unshaken_papers.viewpoint_adversarial_training import ViewpointPaper
from unshaken_papers.viewpoint_adversarial_training.experiment import natural_views, some_of_each
from unshaken_papers.viewpoint_adversarial_training.figures import box_figures
from unshaken_papers.viewpoint_adversarial_training.nets import grouped_convs

TINY = Tiny(
    make=lambda folder: "solids:1?size=12",
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, some of them barely."""
    return {
        "found_by_search": figure(0.2),
        "viat_minus_natural": figure(0.07),
        "viat_minus_random": figure(0.02),
        "natural_change": figure(-0.08),
        "whole": {"viat_minus_random": figure(0.02)},
    }


def outcomes(measured):
    paper = ViewpointPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert found.pop("imagenet-v") == "not tried"
    assert {*found.values()} == {"shown"}
    del measured["whole"]
    assert outcomes(measured)["whole-box"] == "not tried"


@pytest.mark.parametrize(
    ("name", "hidden", "opposed", "part"),
    [
        ("found_by_search", 0.005, -0.05, "attack"),
        ("viat_minus_natural", 0.055, -0.02, "gain"),
        ("viat_minus_random", -0.005, -0.02, "random"),
        ("natural_change", -0.095, -0.2, "cost"),
    ],
)
def test_one_figure_decides_a_part(measured, name, hidden, opposed, part):
    changed = copy.deepcopy(measured)
    changed[name] = figure(hidden)
    assert outcomes(changed)[part] == "not visible at this scale"
    changed[name] = figure(opposed)
    assert outcomes(changed)[part] == "contradicted"


class Table:
    def __init__(self, columns):
        self.columns = columns

    def __getitem__(self, name):
        return type("Column", (), {"to_pylist": lambda column: self.columns[name]})()


class Seed:
    """Rows of one seed: two objects, of which `right` views of four are right under each label."""

    def __init__(self, **right):
        self.right = {f"{n}.{v}": r for n, of in right.items() for v, r in of.items()}

    def labels(self, table):
        return sorted([*self.right, "whole.base.gmvfool"])

    def table(self, name, label):
        if name == "view_mixtures":
            return Table({"entropy": [1.0, 1.0, 3.0, 3.0]})
        ids = [i for i in "ba" for _ in range(4)]
        return Table({"id": ids, "correct": [j < r for r in self.right[label] for j in range(4)]})


def test_an_object_is_the_mean_of_its_views_and_of_seeds():
    views = {"gmvfool": (2, 4), "random-views": (3, 4), "natural-views": (4, 4)}
    better = views | {"gmvfool": (4, 4)}
    seeds = [Seed(base=views, natural=views, random=views, viat=views),
             Seed(base=views, natural=views, random=views, viat=better)]  # fmt: skip
    found = box_figures(seeds)
    assert found["base"]["gmvfool"]["value"] == pytest.approx((2 / 4 + 1) / 2)
    assert found["viat_minus_random"]["value"] == pytest.approx((1 / 4 + 0) / 2)
    assert found["viat_minus_random"]["n"] == 2
    assert found["found_by_search"]["value"] == pytest.approx(1 / 8)
    assert found["natural_change"]["value"] == 0
    assert found["entropy"]["value"] == 2
    assert "whole" not in found


def test_photos_are_natural_views_of_each_object():
    objects = load_data("solids:1?size=16")
    photos = natural_views(objects, 3, 0)
    assert photos.images.shape == (24, 3, 16, 16)
    assert photos.labels.tolist() == [k for k in range(8) for _ in range(3)]
    assert len({p.numpy().tobytes() for p in photos.images}) == 24
    assert not torch.equal(photos.images, natural_views(objects, 3, 1).images)
    assert some_of_each(load_data("solids:3"), 2, 0)[:4] == [0, 1, 3, 4]
    assert some_of_each(load_data("solids:3"), 2, 1)[:4] == [2, 0, 5, 3]


def test_the_network_has_the_published_size_of_the_card_and_no_batch_statistics():
    net = grouped_convs(8, 3, 32)
    assert 35_000 < sum(p.numel() for p in net.parameters()) < 45_000
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(net.train()(images)[:1], net(images[:1]), atol=1e-5)
    assert np.prod(net(images).shape) == 32
