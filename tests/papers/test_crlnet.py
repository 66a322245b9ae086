"""The rule by hand, which maps are taken, and the whole row on tints."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn

from tests.papers.tiny import Tiny, make_tints, untrained_cnn
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.papers.datasets import Split
from unshaken.store.run_dir import RunDir
from unshaken.tasks.few_shot.conditional import last_maps
from unshaken_papers.crlnet import CrlNetPaper
from unshaken_papers.crlnet.experiment import divide

TINY = Tiny(
    make=partial(make_tints, train=24, test=36, side=16, classes=4),
    model=untrained_cnn(4),
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


MEASURED = {
    "over": {"control": {"hard": figure(0.03)}, "pooled": {"hard": figure(0.05)}},
    "drop": {"pooled": figure(0.2)},
}


def outcomes(measured):
    paper = CrlNetPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown():
    assert {name for name, outcome in outcomes(MEASURED).items() if outcome != "shown"} == {"published-data"}


@pytest.mark.parametrize(
    ("path", "part"),
    [
        (("over", "control", "hard"), "conditioning"),
        (("over", "pooled", "hard"), "head"),
        (("drop", "pooled"), "harder"),
    ],
)
def test_one_figure_decides_a_part(path, part):
    for value, outcome in ((0.005, "not visible at this scale"), (-0.02, "contradicted")):
        measured = copy.deepcopy(MEASURED)
        place = measured
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = figure(value)
        assert outcomes(measured)[part] == outcome


def test_the_last_square_maps_are_taken():
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    images = torch.zeros(1, 1, 6, 6)
    assert last_maps(Classifier(net), images) == "1"
    with pytest.raises(ModelError, match="no layer of square maps"):
        last_maps(Classifier(nn.Sequential(nn.Flatten(), nn.Linear(36, 2))), images)


def test_figures_are_those_of_the_episodes(finished):
    run = finished("crlnet")
    rows = RunDir(run.out).rows("crlnet_episodes").to_pylist()
    mine = [r["accuracy"] for r in rows if r["condition"].endswith("control.blur")]
    assert len(mine) == 2 * 4
    assert run.result.measured["control.blur"]["value"] == pytest.approx(sum(mine) / 8)
    assert len({r["condition"] for r in rows}) == 2 * 3 * 4


def test_too_few_images_of_a_class_are_refused(tints, tmp_path):
    with pytest.raises(DataError, match="3 classes are too few"):
        run_paper("crlnet", data=tints, model="demo:standard", out=tmp_path / "run")


def test_each_seed_has_classes_and_images_of_its_own():
    labels = torch.arange(6).repeat(40)
    data = Split.of(torch.arange(240, dtype=torch.uint8).view(-1, 1, 1, 1), labels)
    paper = CrlNetPaper(base=30, supports=3, queries=5)
    seen, learned = [], set()
    for seed in range(4):
        base, supports, queries = divide(paper, data, data, seed)
        known = set(base.labels.tolist())
        assert (len(base), len(supports), len(queries)) == (30, 9, 15)
        assert len(known) == 3
        assert not known & {*queries.labels.tolist(), *supports.labels.tolist()}
        seen += [*supports.ids, *queries.ids]
        learned.add(frozenset(known))
    assert len(seen) == len(set(seen))
    assert len(learned) > 1
