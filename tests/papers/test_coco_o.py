"""The rules by hand, the scenes, the arms and their line, and what the row's figures are made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny, make_rows, untrained_cnn
from unshaken.core.errors import DataError
from unshaken.core.rng import SampleRng
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.store.run_dir import RunDir
from unshaken_papers.coco_o import ARMS, CLEAN, DOMAINS, CocoOPaper
from unshaken_papers.coco_o.experiment import arms_of
from unshaken_papers.coco_o.figures import correlation, line_through, second_least
from unshaken_papers.coco_o.nets import jitter_style
from unshaken_papers.coco_o.scenes import GAP, box_table, draw_scenes

TINY = Tiny(
    make=make_rows,
    model=untrained_cnn(4),
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


def measured():
    return {
        "drop": {"plain": figure(0.5)}, "correlation": figure(0.95), "components": figure(0.1),
        "gain": {"styled": figure(0.1)}, "below_three": {"sketch": figure(0.1), "tattoo": figure(0.1)},
        "map": {arm: {CLEAN: figure(0.6)} for arm in ARMS},
    }  # fmt: skip


def outcomes(found):
    paper = CocoOPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(found))}


def test_all_parts_that_are_tried_are_shown():
    assert {name for name, outcome in outcomes(measured()).items() if outcome != "shown"} == {"detectors"}


@pytest.mark.parametrize(
    ("path", "value", "part", "outcome"),
    [
        (("drop", "plain"), figure(0.205), "drop", "not visible at this scale"),
        (("drop", "plain"), figure(-0.1), "drop", "contradicted"),
        (("correlation",), figure(0.805), "line", "not visible at this scale"),
        (("correlation",), figure(-0.1), "line", "contradicted"),
        (("components",), figure(-0.1), "components", "contradicted"),
        (("gain", "styled"), figure(0.005), "augmentation", "not visible at this scale"),
        (("gain", "styled"), figure(-0.1), "augmentation", "contradicted"),
        (("below_three", "tattoo"), figure(0.005), "lines-are-hard", "not visible at this scale"),
        (("below_three", "sketch"), figure(-0.1), "lines-are-hard", "contradicted"),
    ],
)
def test_one_figure_decides_a_part(path, value, part, outcome):
    found = measured()
    place = found
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert outcomes(found)[part] == outcome


def test_the_remark_says_what_augmentation_costs():
    found = measured()
    found["map"]["styled"][CLEAN] = figure(0.56)
    assert "augmentation costs 4.0 points of mAP" in CocoOPaper().remark(found)


def test_scenes_are_drawn_again_from_their_seed_and_objects_stand_apart():
    garments = [torch.full((2, 1, 28, 28), 240 - k, dtype=torch.uint8) for k in range(4)]
    one, again, other = (draw_scenes(garments, 12, seed) for seed in (3, 3, 4))
    assert torch.equal(one.images, again.images)
    assert not torch.equal(one.images, other.images)
    table = box_table(one.objects)
    assert table.shape[0] == 12
    for row, objects, image in zip(table, one.objects, one.images, strict=True):
        there = row[row[:, 4] >= 0]
        assert len(there) == len(objects.classes) >= 1
        for i, a in enumerate(there):
            left, top, right, bottom = (int(v) for v in a[:4])
            assert image[:, top:bottom, left:right].float().mean() > image.float().mean()
            for b in there[i + 1 :]:
                assert any(a[k] >= b[k + 2] + GAP or b[k] >= a[k + 2] + GAP for k in (0, 1))


def test_arms_differ_from_the_plain_one_in_one_thing():
    *plain, styled, cells, frozen = arms_of(CocoOPaper(steps=(5, 9)))
    assert [arm.name for arm in plain] == ["plain-5", "plain-9"]
    assert {arm.steps for arm in (styled, cells, frozen)} == {9}
    assert (styled.augment, styled.decoding, styled.frozen) == (jitter_style, "peaks", False)
    assert (cells.augment, cells.decoding, cells.frozen) == (None, "suppression", False)
    assert (frozen.augment, frozen.decoding, frozen.frozen) == (None, "peaks", True)


def test_augmentation_is_a_sample_s_own():
    images = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    rng = SampleRng.of(0, "x", list("abcde"))
    found = jitter_style(images, rng)
    assert torch.allclose(found[2:4], jitter_style(images[2:4], rng[2:4]), atol=1e-6)
    assert 0 <= found.min() <= found.max() <= 1
    assert (found != images).flatten(1).any(1).all()


def test_the_line_and_its_correlation_by_hand():
    line = line_through([[0.2, 0.1], [0.4, 0.2], [0.6, 0.3]])
    assert line(np.array([0.5, 0.8])).tolist() == pytest.approx([0.25, 0.4])
    assert line_through([[0.2, 0.1], [0.2, 0.3]])(np.array([0.7])).tolist() == pytest.approx([0.2])
    assert correlation(np.array([[0.2, 0.1], [0.4, 0.2], [0.6, 0.3]])) == pytest.approx(1)
    assert correlation(np.array([[0.2, 0.1], [0.2, 0.3]])) == 0


def test_a_style_is_below_three_of_four_others_if_the_second_least_difference_is_above_0():
    up, down = np.array([0.2, 0.21, 0.22]), np.array([-0.1, -0.11, -0.12])
    assert second_least([up, down, up, up])["low"] > 0
    assert second_least([up, down, up, down])["high"] < 0
    unclear = second_least([up, down, np.array([-0.1, 0.1, 0.2]), up])
    assert unclear["low"] < 0 < unclear["high"]


def test_figures_come_from_rows(finished):
    run = finished("coco-o")
    directory, found = RunDir(run.out), run.result.measured
    labels = {row["condition"] for row in directory.rows("coco_o_detections").to_pylist()}
    assert len(labels) == 2 * 5 * 7  # seeds, networks, renderings
    each = [found[f"seed0.map.frozen.{d}"] for d in DOMAINS]
    assert found["seed0.map.frozen.shifted"] == pytest.approx(np.mean(each), abs=1e-4)
    assert found["components"]["n"] == 2


def test_what_cannot_be_run_is_said_in_one_line(tmp_path, tints):
    with pytest.raises(DataError, match="the classes 1, 8, 9, 0 must all have images"):
        run_paper("coco-o", out=tmp_path / "a", data=tints, model="demo:standard")
