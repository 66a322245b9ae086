"""The rule by hand, figures against rows, and that all networks see the same edited photos."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny
from unshaken.core import Batch, Classifier, View
from unshaken.papers.claim import judge_parts
from unshaken.papers.effects import Nested
from unshaken.papers.run import flat
from unshaken.store.run_dir import RunDir
from unshaken_papers.imagenet_e import EDITS, NETS, ImageNetEPaper
from unshaken_papers.imagenet_e.experiment import Objects, can_edit, other_photos, show
from unshaken_papers.imagenet_e.figures import COMPARED

TINY = Tiny(
    make=lambda folder: "demo",
    model=lambda folder: "demo:standard|demo:robust|demo:standard",
)
"""How the battery runs the row, beside its tiny sizes."""

PAIRS = [f"{one}_{other}" for one, other in COMPARED]


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half, "n": 50, "interval": "by hand"}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, barely; of one network the background is not."""
    return {
        "beyond": {"0": {"random": figure(0.011)}, "1": {"random": figure(-0.2)}, "2": {"random": figure(0.011)}},
        "costs_more_than": {pair: figure(0.011) for pair in PAIRS},
        "edited": 40,
        "left_out": {"misclassified": 9, "mask_too_small_or_large": 3},
        "garments": {"robust_loses_more": figure(0.011)},
    }


def outcomes(measured):
    paper = ImageNetEPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    untried = {"complexity", "remedies"}
    assert {name for name, outcome in found.items() if outcome == "not tried"} == untried
    assert {outcome for name, outcome in found.items() if name not in untried} == {"shown"}
    assert outcomes(Nested(flat(measured))) == found


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ("background", ("beyond", "0", "random")),
        ("background", ("beyond", "2", "random")),
        ("size", ("costs_more_than", "size10_full")),
        ("size", ("costs_more_than", "size05_full")),
        ("smaller", ("costs_more_than", "size05_size10")),
        ("sizes-largest", ("costs_more_than", "size05_random")),
        ("position", ("costs_more_than", "position_size05")),
        ("direction", ("costs_more_than", "direction_size05")),
    ],
)
def test_each_figure_decides_its_part_alone(measured, part, path):
    for value, outcome in ((0.009, "not visible at this scale"), (-0.011, "contradicted")):
        changed = copy.deepcopy(measured)
        *way, last = path
        place = changed
        for key in way:
            place = place[key]
        place[last] = figure(value)
        assert outcomes(changed) == {**outcomes(measured), part: outcome}


def test_one_robust_network_can_show_and_not_contradict(measured):
    for value, outcome in ((0.009, "not visible at this scale"), (-0.2, "short of its rule")):
        measured["garments"]["robust_loses_more"] = figure(value)
        assert outcomes(measured)["robust-networks"] == outcome
    del measured["garments"]
    assert outcomes(measured)["robust-networks"] == "not tried"


def test_the_remark_counts_the_photos(measured):
    words = "40 photos were edited; left out: 9 misclassified, 3 mask too small or large."
    assert ImageNetEPaper().remark(measured) == words


def test_every_photo_gets_the_background_of_another():
    for count in (2, 5, 9):
        others = other_photos(count, 3)
        assert sorted(others.tolist()) == list(range(count))
        assert not bool((others == torch.arange(count)).any())
    assert not torch.equal(other_photos(9, 0), other_photos(9, 1))


def test_a_photo_that_an_edit_refuses_is_not_editable():
    masks = torch.zeros(3, 32, 32, dtype=torch.bool)
    masks[0, 8:20, 8:20] = True
    masks[2] = True
    batch = Batch(torch.rand(3, 3, 32, 32), torch.zeros(3, dtype=torch.int64), ("a", "b", "c"))
    assert can_edit(Objects(batch, masks), range(2)).tolist() == [True, False, False]


def test_all_networks_see_the_same_pixels_in_their_own_size():
    class Recorder:
        def __init__(self):
            self.shown = []

        def predict(self, label, model, batch, **method):
            self.shown.append((label, tuple(batch.images.shape[2:]), batch.images.mean().item(), method))

    nets = [
        Classifier(torch.nn.Flatten(), name=f"net {side}", view=View(side, side) if side else None)
        for side in (16, 20, 0)
    ]
    batch = Batch(torch.full((1, 3, 16, 16), 0.25), torch.zeros(1, dtype=torch.int64), ("a",))
    recorder = Recorder()
    show(recorder, nets, "full", batch, EDITS["full"])
    assert [(label, size) for label, size, _, _ in recorder.shown] == [
        ("0.full", (16, 16)), ("1.full", (20, 20)), ("2.full", (16, 16)),
    ]  # fmt: skip
    assert all(mean == pytest.approx(0.25, abs=1e-6) for _, _, mean, _ in recorder.shown)
    assert recorder.shown[0][3] == {"method": "object-size", "severity": 1}


def test_figures_come_from_rows(finished):
    done = finished("imagenet-e")
    run, measured = RunDir(done.out), done.result.measured
    right = {}
    for row in run.rows("outcomes").to_pylist():
        right.setdefault(row["condition"], {})[row["id"]] = row["correct"]
    drawn = sum(edit.is_drawn for edit in EDITS.values())
    assert len(right) == (NETS + 2) * (2 + len(EDITS) - drawn + 2 * drawn)
    choice = [r for r in run.rows("imagenet_e_choice").to_pylist() if r["reason"] == ""]
    kept = {r["id"] for r in choice if r["condition"] == "all"}
    assert len(kept) == measured["edited"] >= 2
    assert set(right["0.original"]) == set(right["2.grey"]) == set(right["seed1.1.noisy"]) == kept
    assert all(all(right[f"{net}.original"].values()) for net in range(NETS))

    def lost(net, name, part=""):
        drawn = EDITS[name].is_drawn
        labels = [f"{part}seed{s}.{net}.{name}" for s in (0, 1)] if drawn else [f"{part}{net}.{name}"]
        return 1 - np.mean([np.mean(list(right[label].values())) for label in labels])

    for name in EDITS:
        for net in range(NETS):
            assert measured[f"drop.{net}.{name}"]["value"] == pytest.approx(lost(net, name))
        mean = np.mean([lost(net, name) for net in range(NETS)])
        assert measured[f"drop.mean.{name}"]["value"] == pytest.approx(mean)
        assert measured[f"drop.mean.{name}"]["n"] == len(kept)
    assert measured["beyond.1.random"]["value"] == pytest.approx(lost(1, "random") - lost(1, "mirrored"))
    more = np.mean([lost(net, "size05") - lost(net, "full") for net in range(NETS)])
    assert measured["costs_more_than.size05_full"]["value"] == pytest.approx(more)
    assert right["0.grey"] == right["2.grey"]  # the same network twice, on the same pixels
    sizes = [r["edited_size"] for r in run.rows("imagenet_e_edits").to_pylist() if r["condition"] == "size05"]
    assert measured["object.size05.size"] == pytest.approx(np.mean(sizes))
    assert measured["object.size05.size"] < measured["object.size10.size"] < measured["object.full.size"]
    assert measured["object.simpler.complexity_ratio"] < 1 < measured["object.busier.complexity_ratio"]
    assert set(right["garments.1.full"]) == {r["id"] for r in choice if r["condition"] == "garments.all"}
    plain, robust = (np.mean([lost(net, name, "garments.") for name in EDITS]) for net in (0, 1))
    assert measured["garments.robust_loses_more"]["value"] == pytest.approx(robust - plain)
