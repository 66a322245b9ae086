"""The rule by hand, the division of classes, and the whole row on tints."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch

from tests.papers.tiny import Tiny, make_tints
from unshaken.core.errors import DataError
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.papers.datasets import Split
from unshaken.store.run_dir import RunDir
from unshaken_papers.hyperspherical import HypersphericalPaper
from unshaken_papers.hyperspherical.experiment import divide

TINY = Tiny(
    make=partial(make_tints, train=180, test=60, classes=6),
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


MEASURED = {
    "joint_gain": {k: figure(0.03) for k in "015"},
    "disjoint_gain": {k: figure(0.05) for k in "015"},
    "nsl": {"new": {"0": figure(0.5)}},
    "saved_seconds": figure(1.0),
    "over_plain": figure(0.02),
    "drop": figure(0.05),
}


def outcomes(measured):
    paper = HypersphericalPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown():
    found = outcomes(MEASURED)
    assert {name for name, outcome in found.items() if outcome != "shown"} == {"across-data", "many-classes"}


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        (("disjoint_gain", "0"), 0.005, -0.02, "disjoint"),
        (("joint_gain", "0"), 0.005, -0.02, "joint"),
        (("nsl", "new", "0"), 0.105, 0.05, "new-in-joint"),
        (("saved_seconds",), 0.005, -0.02, "cheaper"),
        (("joint_gain", "5"), 0.005, -0.02, "few"),
        (("disjoint_gain", "1"), 0.005, -0.02, "few"),
        (("over_plain",), 0.005, -0.02, "plain"),
        (("drop",), 0.075, 0.1, "old-kept"),
    ],
)
def test_one_figure_decides_a_part(path, hidden, opposed, part):
    for value, outcome in ((hidden, "not visible at this scale"), (opposed, "contradicted")):
        measured = copy.deepcopy(MEASURED)
        *way, last = path
        place = measured
        for key in way:
            place = place[key]
        place[last] = figure(value)
        assert outcomes(measured)[part] == outcome


def test_a_split_numbers_the_classes_of_training_first():
    labels = torch.arange(40) % 10
    images = labels.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    seen = set()
    for split in range(4):
        divided = divide(Split.of(images, labels), Split.of(images[:10], labels[:10]), 3, split)
        assert divided.old == divided.base.classes == 7
        assert set(divided.base.labels.tolist()) == set(range(7))
        for part in (divided.training, divided.testing):  # the same new number for the same old class
            pairs = {(int(i[0, 0, 0]), int(c)) for i, c in zip(part.images, part.labels, strict=True)}
            assert len(pairs) == 10
        seen.add(frozenset(int(i[0, 0, 0]) for i in divided.base.images))
    assert len(seen) > 1


def test_the_rows_hold_each_image_once_for_each_number_of_examples(finished):
    run = finished("hyperspherical")
    rows = RunDir(run.out).rows("hyperspherical_tests").to_pylist()
    mine = [r for r in rows if r["condition"] == "seed0.nsl"]
    assert len(mine) == 3 * 60
    for r in mine:
        assert (r["disjoint"] == r["disjoint"]) != r["old"] == (r["before"] == r["before"])
    whole = [r for r in mine if r["shots"] == 0]
    both = [run.result.measured[f"nsl.joint.{k}"]["value"] for k in (0, 1, 5)]
    other = [r for r in rows if r["condition"] == "seed1.nsl" and r["shots"] == 0]
    assert both[0] == pytest.approx(sum(r["joint"] for r in [*whole, *other]) / 120)
    assert all(r["joint"] <= r["disjoint"] for r in whole if not r["old"])  # fewer classes compete


def test_too_few_classes_are_refused_before_training(tints, tmp_path):
    with pytest.raises(DataError, match="3 classes are too few to hold out 3"):
        run_paper("hyperspherical:images=60,test=20", data=tints, out=tmp_path / "run")
