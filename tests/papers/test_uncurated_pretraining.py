"""The rules by hand, the pool and the renderings, and figures against rows of a tiny run."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny, make_tints
from unshaken.core.errors import DataError, ParameterError
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.papers.datasets import Split
from unshaken.store.run_dir import RunDir
from unshaken_papers.uncurated_pretraining import UncuratedPretrainingPaper
from unshaken_papers.uncurated_pretraining.images import Images, cut_out, draw_pool, in_size, rendered

TINY = Tiny(
    make=partial(make_tints, train=240, classes=6),
    parameters={
        "sources": "parquet:{folder}/tints.parquet?split=train|parquet:{folder}/tints.parquet?split=test&size=16",
        "transfer": "parquet:{folder}/tints.parquet",
    },
    needs=("sklearn",),
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


MEASURED = {
    "over": {
        "supervised": {"relative": figure(0.05), "copies": figure(0.1)},
        "curated": {"relative": figure(0.03)},
        "random": {"clean": figure(0.08)},
    },
    "fairer": {"gap": figure(0.04), "worst": figure(0.0)},
}


def outcomes(measured):
    paper = UncuratedPretrainingPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown():
    assert {name for name, outcome in outcomes(MEASURED).items() if outcome != "shown"} == {"people", "scale"}


@pytest.mark.parametrize(
    ("path", "part", "unclear", "opposed"),
    [
        (("over", "supervised", "relative"), "robust", 0.005, -0.02),
        (("over", "random", "clean"), "robust", 0.05, -0.02),
        (("over", "curated", "relative"), "diversity", 0.005, -0.02),
        (("over", "supervised", "copies"), "copies", 0.005, -0.02),
        (("fairer", "gap"), "fair", 0.005, -0.02),
        (("fairer", "worst"), "fair", -0.02, -0.04),
    ],
)
def test_one_figure_decides_a_part(path, part, unclear, opposed):
    for value, outcome in ((unclear, "not visible at this scale"), (opposed, "contradicted")):
        measured = copy.deepcopy(MEASURED)
        place = measured
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = figure(value)
        assert outcomes(measured)[part] == outcome


def test_the_pool_has_equal_parts_in_one_size_and_no_labels():
    draw = torch.Generator().manual_seed(0)
    own = torch.full((9, 3, 8, 8), 10, dtype=torch.uint8)
    grey = torch.full((2, 1, 4, 4), 100, dtype=torch.uint8)
    photos = torch.randint(200, 256, (20, 3, 16, 12), generator=draw, dtype=torch.uint8)
    curated = Split.of(own, torch.arange(9) % 3)
    images = Images(curated, (own, grey, photos), {}, curated, {})
    pool = draw_pool(images, 18, 0)
    assert pool.images.shape == (18, 3, 8, 8)
    assert not pool.labels.any()
    assert (pool.images[:6] == 10).all()
    assert (pool.images[6:12] == 100).all()  # two images, given again
    assert (pool.images[12:] >= 200).all()
    assert torch.equal(draw_pool(images, 18, 0).images, pool.images)
    assert not torch.equal(draw_pool(images, 18, 1).images, pool.images)


def test_cuts_are_parts_of_their_images():
    photo = torch.arange(12 * 16, dtype=torch.uint8).view(1, 1, 12, 16).expand(5, -1, -1, -1)
    cuts = cut_out(photo, 8, np.random.default_rng(0))
    windows = photo[0, 0].unfold(0, 8, 1).unfold(1, 8, 1).reshape(-1, 8, 8)
    assert all(any(torch.equal(cut[0], window) for window in windows) for cut in cuts)
    assert len({cut.numpy().tobytes() for cut in cuts}) > 1
    assert in_size(photo, 8).shape == (5, 3, 8, 8)


def test_groups_are_renderings_of_the_same_images():
    images = torch.full((1, 3, 4, 4), 100, dtype=torch.uint8)
    images[..., 0] = 200
    assert torch.equal(rendered(images, "plain"), images)
    assert rendered(images, "dark")[0, :, 0, 1].tolist() == [50, 50, 50]
    assert rendered(images, "blue")[0, :, 0, 1].tolist() == [60, 90, 130]
    assert rendered(images, "blue").max() == 255
    coarse = rendered(images, "coarse")
    assert coarse[0, 0, 0].tolist() == [150, 138, 112, 100]  # cells of 150 and 100, between which it interpolates


def test_figures_are_those_of_the_rows(finished):
    run, rows = finished("uncurated-pretraining"), {}
    for row in RunDir(run.out).rows("uncurated_pretraining_answers").to_pylist():
        rows.setdefault(row["condition"], []).append(row["correct"])
    share = {name: np.mean(values) for name, values in rows.items()}
    measured = run.result.measured
    clean = [
        (share[f"seed{s}.supervised.domains-clean"] + share[f"seed{s}.supervised.others-clean"]) / 2 for s in (0, 1)
    ]
    assert measured["supervised.clean"]["value"] == pytest.approx(np.mean(clean))
    shifted = [share[f"seed{s}.random.domains-test"] / share[f"seed{s}.random.domains-clean"] for s in (0, 1)]
    assert measured["random.relative_domains"]["value"] == pytest.approx(np.mean(shifted))
    groups = [[share[f"seed{s}.curated.others-{g}"] for g in ("clean", "dark", "blue", "coarse")] for s in (0, 1)]
    assert measured["curated.gap"]["value"] == pytest.approx(np.mean([np.ptp(g) for g in groups]))
    assert measured["curated.worst"]["value"] == pytest.approx(np.mean([np.min(g) for g in groups]))
    copies = RunDir(run.out).rows("uncurated_pretraining_copies").to_pylist()
    own = [row["precision"] for row in copies if ".random." in row["condition"]]
    assert measured["random.copies"]["value"] == pytest.approx(np.mean(own))
    assert len(own) == 2 * 3 * 3


def test_few_classes_and_a_model_are_refused(tints, tmp_path):
    with pytest.raises(DataError, match="3 classes and 4 domains are too few"):
        run_paper("uncurated-pretraining:transfer=demo,sources=demo", data=tints, out=tmp_path / "run")
    with pytest.raises(ParameterError, match="takes no model"):
        run_paper("uncurated-pretraining", data=tints, model="demo:standard", out=tmp_path / "other")
