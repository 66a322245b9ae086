"""The rule by hand, renditions and shifts, and the figures of the row against rows."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from tests.papers.tiny import Tiny, make_tints
from unshaken.core.rng import SampleRng
from unshaken.papers.claim import judge_parts
from unshaken.papers.datasets import Split
from unshaken.store.run_dir import RunDir
from unshaken_papers.generated_datasets import GeneratedDatasetsPaper
from unshaken_papers.generated_datasets.experiment import baseline_epochs, generated
from unshaken_papers.generated_datasets.styles import SHIFTS, STYLES, edges, sketch, thick, thin

TINY = Tiny(
    make=partial(make_tints, brighter=15),
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


MEASURED = {
    "gain": figure(0.1), "less": {"augmented": figure(0.05), "photos": figure(0.02)}, "effective": figure(0.04),
    "clean": figure(-0.01), "alone": figure(0.3),
}  # fmt: skip


def outcomes(measured):
    paper = GeneratedDatasetsPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown():
    assert outcomes(MEASURED) == {
        **dict.fromkeys(("gain", "prior", "effective", "cost", "alone"), "shown"),
        **dict.fromkeys(("amount", "natural"), "not tried"),
    }
    assert outcomes({k: v for k, v in MEASURED.items() if k != "effective"})["effective"].startswith("not visible")


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        (("gain",), 0.025, -0.02, "gain"),
        (("less", "augmented"), 0.005, -0.02, "gain"),
        (("less", "photos"), 0.005, -0.02, "prior"),
        (("effective",), 0.005, -0.02, "effective"),
        (("clean",), -0.025, -0.05, "cost"),
        (("alone",), 0.155, -0.05, "alone"),
    ],
)
def test_one_figure_decides_a_part(path, hidden, opposed, part):
    for value, outcome in ((hidden, "not visible at this scale"), (opposed, "contradicted")):
        measured = place = copy.deepcopy(MEASURED)
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = figure(value)
        assert outcomes(measured)[part] == outcome


def test_renditions_of_a_square_by_hand():
    square = torch.zeros(1, 1, 7, 7)
    square[..., 2:5, 2:5] = 1
    assert int(thick(square).sum()) == 25
    assert int(thin(square).sum()) == 1
    assert int(sketch(square, SampleRng.of(0, "s", ["a"])).sum()) == 24
    assert float(edges(square)[0, 0, 3, 3]) == 0
    assert float(edges(square)[0, 0, 3, 2]) == 1  # 4 / 4 where a side is straight
    assert not torch.equal(edges(square), sketch(square, SampleRng.of(0, "s", ["a"])))
    assert "inverted" not in STYLES


@pytest.mark.parametrize("name", SHIFTS)
def test_a_shift_of_an_image_does_not_hang_on_its_batch(name):
    images = torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    rng = SampleRng.of(3, name, list("abcd"))
    whole = SHIFTS[name](images, rng)
    assert whole.shape == images.shape
    assert 0 <= float(whole.min()) <= float(whole.max()) <= 1
    assert torch.allclose(SHIFTS[name](images[2:3], rng[2:3]), whole[2:3], atol=1e-6)
    assert not torch.allclose(whole, images)


def test_generated_images_are_of_every_class_and_style_in_turn():
    """Classes of one shade each: edges of a flat image are black, and the class is still known."""
    pixels = torch.cat([torch.full((30, 1, 6, 6), shade) for shade in (60, 200)])
    noise = torch.randint(-9, 9, pixels.shape, generator=torch.Generator().manual_seed(0))
    data = Split.of((pixels + noise).to(torch.uint8), torch.arange(60) // 30)
    paper = GeneratedDatasetsPaper(components=2)
    made = generated(paper, data, ["photo", "edges"], 8, 0)
    assert made.labels.tolist() == [0, 1] * 4
    shades = made.images.float().mean((1, 2, 3)).view(2, 4).mean(0)
    assert shades[:2].tolist() == pytest.approx([60, 200], abs=6)
    assert float(shades[2:].max()) < 40


def test_the_line_goes_through_other_numbers_of_epochs():
    assert baseline_epochs(10) == [1, 2, 5]
    assert baseline_epochs(2) == [1]


def test_figures_are_those_of_the_rows(finished):
    run = finished("generated-datasets")
    table = RunDir(run.out).rows("outcomes")

    def correct(label):
        rows = table.filter(pc.equal(table["condition"], label)).sort_by("id")
        return np.array(rows["correct"].to_pylist(), float)

    gains = [
        np.mean([correct(f"seed{s}.both.{shift}") - correct(f"seed{s}.twice.{shift}") for shift in SHIFTS][:2])
        for s in (0, 1)
    ]
    measured = run.result.measured
    assert measured["gain"]["value"] == pytest.approx(np.mean(gains))
    assert measured["seed1.real.on_generated"]["n"] == 30
    change = [correct(f"seed{s}.both.clean").mean() - correct(f"seed{s}.twice.clean").mean() for s in (0, 1)]
    assert measured["clean"]["value"] == pytest.approx(np.mean(change))
