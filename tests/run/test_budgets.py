"""Budgets of named plans follow from the data."""

from __future__ import annotations

import pytest
import torch

import unshaken
from unshaken.core.errors import ParameterError
from unshaken.data import load_data
from unshaken.data.arrays import InMemory
from unshaken.run import budgets
from unshaken.run.budgets import check_budget_sizes, first_images, fit_budgets, largest_budget
from unshaken.run.plan import load_plan, prepare
from unshaken.store.config import Entry


def photos(channels=3, side=32):
    return torch.rand(4, channels, side, side)


def drawings(channels=1, side=28):
    images = torch.zeros(4, 1, side, side)
    images[..., 8:20, 8:20] = 0.7
    return images.expand(4, channels, side, side)


@pytest.mark.parametrize(
    ("images", "budget"),
    [
        (drawings(), 0.1),
        (drawings(3), 0.1),  # grey in three channels
        (first_images(load_data("demo")), 0.1),
        (photos(), 8 / 255),
        (photos(1), 8 / 255),  # grey, on no flat ground
        (drawings(side=224), 8 / 255),  # such as X-ray images
    ],
)
def test_the_largest_budget_follows_from_channels_size_and_ground(images, budget):
    assert largest_budget(images) == budget


def test_few_images_are_read_where_they_are_very_large(monkeypatch):
    data = load_data("demo")
    assert len(first_images(data)) == 16
    monkeypatch.setattr(budgets, "BATCH_NUMBERS", 3 * 28**2)
    assert len(first_images(data)) == 3


def eps_of(plan):
    return {(e.method, e.norm): e.eps for e in plan if e.eps}


@pytest.mark.parametrize("name", ["quick", "attacks", "full"])
def test_named_plans_have_no_budget_beyond_it(name):
    plan, line = fit_budgets(load_plan(name), photos())
    assert max(e for (_, norm), eps in eps_of(plan).items() if norm in (None, "linf") for e in eps) == 8 / 255
    assert line == "linf budgets go up to 8/255: colour images such as of 32 x 32 pixels are taken for natural photos"
    fitted, line = fit_budgets(load_plan(name), drawings())
    assert fitted == load_plan(name)
    assert line.startswith("linf budgets go up to 0.1: grey images such as of 28 x 28 pixels on a flat ground")


def test_a_line_that_is_left_without_a_budget_goes():
    lines = [Entry(method="fgsm", eps=(0.1,)), Entry(method="apgd", norm="l1", eps=(12.0,)), Entry(method="fog")]
    assert [e.method for e in fit_budgets(lines, photos())[0]] == ["apgd", "fog"]


def test_plans_of_ones_own_are_run_as_they_are(tmp_path):
    plan = [{"method": "fgsm", "eps": [0.1]}]
    images = photos().mul(255).round().to(torch.uint8)
    data = InMemory(images, torch.arange(4))
    done = unshaken.audit(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 4)), data, plan, out=tmp_path)
    assert [c["eps"] for c in done.summary["conditions"]] == [0.1]
    assert done.summary["provenance"]["budgets"] == ""


ONE = "unshaken.api.job.load_inputs"
"""What must not be reached where linf alone decides."""


@pytest.mark.parametrize(
    "start",
    [
        lambda **o: unshaken.attack("demo", "demo", "fgsm", eps=8, **o),
        lambda **o: unshaken.attack("demo", "demo", "deepfool", norm="linf", eps=[0.1, "8"], **o),
        lambda **o: unshaken.audit("demo", "demo", [{"method": "fgsm", "eps": [8]}], **o),
        lambda **o: unshaken.certify("demo", "demo", "smt", radii=0.51, **o),
    ],
)
def test_a_linf_budget_above_a_half_is_refused_before_anything_is_loaded(start, monkeypatch, tmp_path):
    loaded = []
    monkeypatch.setattr(ONE, lambda *a: loaded.append(a) or (_ for _ in ()).throw(KeyError))
    asked = r"(did you mean 8/255\?|To keep it give --allow-large-eps \(in Python allow_large_eps=True\))"
    with pytest.raises(ParameterError, match=rf"linf eps=\S+ is above 0.5, half of the largest change .*{asked}"):
        start(out=tmp_path / "run")
    assert not loaded
    with pytest.raises(KeyError):
        start(out=tmp_path / "run", allow_large_eps=True)


@pytest.mark.parametrize(("norm", "largest"), [("linf", 0.5), ("l2", 14.0), ("l1", 392.0)])
def test_of_28_x_28_numbers_half_of_the_largest_change_is_allowed_and_no_more(norm, largest):
    """Between two images of pixels in [0, 1]: 1 in linf, the root of 784 in l2, 784 in l1."""

    def steps(eps):
        return prepare(load_plan([{"method": "fgsm", "norm": norm, "eps": [eps]}]))

    check_budget_sizes(steps(largest), 784, allow=False)
    check_budget_sizes(steps(1.01 * largest), 784, allow=True)
    with pytest.raises(ParameterError, match=rf"^fgsm: {norm} eps=\S+ is above {largest:g}"):
        check_budget_sizes(steps(1.01 * largest), 784, allow=False)


def test_the_data_decides_on_l2_and_l1(tmp_path):
    with pytest.raises(ParameterError, match=r"^fgsm: l2 eps=128 is above 14, .*: did you mean 128/255\?"):
        unshaken.attack("demo", "demo", "fgsm", norm="l2", eps=128, out=tmp_path / "run")


def test_what_has_no_budget_of_pixels_is_left_alone():
    lines = ["spatial", {"method": "patch", "params": {"size": 9}}, {"method": "crop-selection", "severities": [3]}]
    check_budget_sizes(prepare(load_plan([*lines, {"method": "deepfool", "norm": "l2"}])), 4, allow=False)
