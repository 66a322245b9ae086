"""The verdict's rule by hand, and the whole row on tints that a small network learns at once."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import nn

from tests.papers.tiny import Tiny, make_tints
from unshaken.core import Batch, Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import find_method
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.recipe import Epoch
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.architecture.tract import TrAct
from unshaken.papers import run_paper
from unshaken.papers.claim import Outcome, judge_parts
from unshaken.papers.datasets import Split
from unshaken.papers.effects import across_seeds
from unshaken.papers.folders import find_row
from unshaken.papers.networks import untrained
from unshaken.store.run_dir import RunDir
from unshaken_papers.tract import ARMS, TrActPaper
from unshaken_papers.tract.figures import epochs_to, median_seconds, speed
from unshaken_papers.tract.nets import CountedCropFlip, small_cnn

TINY = Tiny(
    make=make_tints,
)
"""How the battery runs the row, beside its tiny sizes."""

SHOWN, CONTRADICTED, NOT_VISIBLE = Outcome.SHOWN, Outcome.CONTRADICTED, Outcome.NOT_VISIBLE


def pair(plain, tract):
    return {"plain": {"value": plain}, "tract": {"value": tract}}


def network(ratios, gains):
    seeds = {
        f"seed{i}": {"noise": pair(0.4, 0.2), "speed_up": ratio, "time_speed_up": 0.9 * ratio}
        for i, ratio in enumerate(ratios)
    }
    return seeds | {"gain": across_seeds(gains)}


@pytest.fixture
def measured():
    """Three seeds in which every part is shown."""
    names = ("cnn", "cnn-adam", "transformer")
    return {**{n: network((1.3, 1.35, 1.4), (0.05, 0.06, 0.07)) for n in names}, "networks_from_cache": False}


def outcomes(measured):
    judged = judge_parts(TrActPaper.parts, TrActPaper().judge(measured))
    return {part.name: part.outcome for part in judged if not part.untried}


def test_every_part_is_shown(measured):
    names = ("epochs", "accuracy", "transformers", "optimisers", "time")
    assert outcomes(measured) == dict.fromkeys(names, SHOWN)
    del measured["transformer"]
    assert outcomes(measured) == {**dict.fromkeys(names, SHOWN), "transformers": Outcome.NOT_TRIED}


@pytest.mark.parametrize(
    ("ratios", "gains", "expected"),
    [
        ((1.0, 1.4, 1.1), (0.05, 0.06, 0.07), (NOT_VISIBLE, SHOWN)),
        ((0.8, 0.81, 0.82), (0.05, 0.06, 0.07), (CONTRADICTED, SHOWN)),
        ((0.0, 0.0, 0.0), (0.05, 0.06, 0.07), (CONTRADICTED, SHOWN)),  # never at A
        ((1.3, 1.4, 1.5), (-0.02, 0.06, 0.07), (SHOWN, NOT_VISIBLE)),
        ((1.3, 1.4, 1.5), (-0.05, -0.06, -0.07), (SHOWN, CONTRADICTED)),
        ((1.3, 1.45), (0.05, 0.066), (NOT_VISIBLE, NOT_VISIBLE)),  # two seeds are few
        ((1.3,), (0.05,), (NOT_VISIBLE, NOT_VISIBLE)),
    ],
)
def test_seeds_decide(ratios, gains, expected):
    found = outcomes({"cnn": network(ratios, gains)})
    assert (found["epochs"], found["accuracy"]) == expected


@pytest.mark.parametrize(
    ("ratios", "gains", "expected"),
    [
        ((1.1, 1.11, 1.12), (0.05, 0.06, 0.07), SHOWN),
        ((1.1, 1.11, 1.12), (-0.05, 0.06, 0.07), NOT_VISIBLE),
        ((0.5, 0.51, 0.52), (0.05, 0.06, 0.07), CONTRADICTED),
    ],
)
@pytest.mark.parametrize(("name", "part"), [("transformer", "transformers"), ("cnn-adam", "optimisers")])
def test_a_network_trained_with_adam_is_judged_by_itself(measured, name, part, ratios, gains, expected):
    found = outcomes({**measured, name: network(ratios, gains)})
    assert found.pop(part) == expected
    assert set(found.values()) == {SHOWN}


@pytest.mark.parametrize(("ratios", "expected"), [((1.05, 1.06, 1.07), CONTRADICTED), ((1.05, 1.1, 1.3), NOT_VISIBLE)])
def test_fewer_epochs_are_not_yet_less_time(measured, ratios, expected):
    for seed, ratio in zip(("seed0", "seed1", "seed2"), ratios, strict=True):
        measured["cnn"][seed]["time_speed_up"] = 0.9 * ratio
    found = outcomes(measured)
    assert (found["epochs"], found["time"]) == (SHOWN, expected)


def test_the_remark_tells_what_is_lost_under_noise(measured):
    remark = TrActPaper().remark(measured)
    assert "cnn loses 0.200 of its accuracy by TrAct" in remark
    for network_figures in (measured[name] for name in ("cnn", "cnn-adam", "transformer")):
        for figures in network_figures.values():
            figures["noise"] = pair(0.4, 0.4)
    assert TrActPaper().remark(measured) == ""


def test_speed_up_by_hand():
    found = speed({"plain": [0.2, 0.4, 0.6], "tract": [0.4, 0.58, 0.7]}, {"plain": 2.0, "tract": 2.5})
    assert found["epochs_to"] == {"plain": 2.9, "tract": 2.0}
    assert (found["speed_up"], found["epoch_seconds_ratio"], found["time_speed_up"]) == (1.45, 1.25, 1.16)
    assert speed({"plain": [0.5], "tract": [0.3]}, {"plain": 1.0, "tract": 1.0})["speed_up"] == 0
    assert median_seconds([{"processor_seconds": s} for s in (1.0, 9.0, 2.0)]) == 2


def test_the_time_of_an_epoch_is_that_of_its_steps(monkeypatch):
    """Processor seconds go up by one with each reading; a step reads none."""
    clock = iter(range(100))
    monkeypatch.setattr(time, "process_time", lambda: float(next(clock)))
    data = Split.of(torch.randint(0, 255, (24, 3, 8, 8), dtype=torch.uint8), torch.arange(24) % 3)
    recipe = CountedCropFlip.of(right=data.batch())
    training = Training(epochs=2, batch_size=4, held_out=4, check_every=2, select="last")
    found = fit(untrained(small_cnn, data, 0), data.images, data.labels, [recipe], training)
    assert [c["processor_seconds"] for c in found.progress.curves] == [1.0, 1.0]


def test_figures_come_from_rows(finished):
    result, run = finished("tract").result, RunDir(finished("tract").out)
    curves = run.rows("tract_epochs").to_pylist()
    assert len(curves) == 2 * (4 + 2) * 3 + (2 + 2) * 1
    assert all(r["processor_seconds"] > 0 for r in curves)
    by = {(r["arm"], r["lr"], r["seed"], r["epoch"]): r for r in curves if r["arch"] == "cnn"}
    for arm in ("plain", "tract"):
        best = max((0.05, 0.2), key=lambda lr: by[arm, lr, 0, 3]["choosing"])
        assert result.measured[f"cnn.best_lr.{arm}"] == best
        values = [by[arm, best, seed, 3]["right"] / 27 for seed in (0, 1)]
        assert result.measured[f"cnn.mean.{arm}"] == pytest.approx(np.mean(values), abs=1e-4)
        assert result.measured[f"cnn.seed0.final.{arm}"]["value"] == pytest.approx(values[0])
        assert result.measured[f"cnn.seed0.curve.{arm}"][-1] == pytest.approx(values[0], abs=1e-4)
    rows = run.rows("outcomes", ["condition", "correct"]).to_pylist()
    best = result.measured["cnn.best_lr.tract"]
    noisy = [r["correct"] for r in rows if r["condition"] == f"cnn.tract.lr{best:g}.seed1.noise"]
    assert result.measured["cnn.seed1.noise.tract"]["value"] == pytest.approx(np.mean(noisy))
    assert result.measured["cnn.seed0.final.plain"]["n"] == 27
    gains = [result.measured[f"cnn.seed{s}.final.tract_minus_plain"]["value"] for s in (0, 1)]
    assert result.measured["cnn.gain"]["value"] == pytest.approx(np.mean(gains))
    assert result.measured["cnn.gain"]["interval"] == "student 95% over 2 seeds and 27 samples"
    assert {r["chosen_from"] for r in curves} == {13}
    assert result.measured["transformer.seed0.final.plain"]["n"] == 27


def test_the_arms_differ_and_both_learn(finished):
    measured, run = finished("tract").result.measured, RunDir(finished("tract").out)
    rows = run.rows("outcomes", ["condition", "logits"]).to_pylist()
    plain, ours = ([r["logits"] for r in rows if r["condition"] == f"cnn.{a}.lr0.2.seed0.clean"] for a in ARMS)
    assert len(plain) == len(ours) == 27
    assert plain != ours
    assert min(measured[f"cnn.sweep.{arm}.0.2"]["value"] for arm in ARMS) > 0.45


def test_an_architecture_of_ones_own(finished, tmp_path):
    data, text = (
        finished("tract").data,
        "tract:train=100,test=20,choosing=20,epochs=1,seeds=1,rates=0.1,adam_rates=0.01,vit_epochs=0",
    )
    result = run_paper(text, out=tmp_path / "run", data=data, model="small")
    assert result.measured["small.seed0.final.plain"]["n"] == 20
    with pytest.raises(ParameterError, match="no architecture 'smal'"):
        run_paper(text, out=tmp_path / "other", data=data, model="smal")


def test_the_network_has_the_published_size_and_both_arms_start_alike():
    split = Split.of(torch.zeros(10, 3, 32, 32, dtype=torch.uint8), torch.arange(10))
    net, again = (untrained(small_cnn, split, 0) for _ in range(2))
    assert sum(p.numel() for p in net.parameters()) == 540 + 40 + 7200 + 80 + 28800 + 160 + 810
    assert torch.equal(net.net.body[0][0].weight, again.net.body[0][0].weight)


def test_right_predictions_are_counted_by_hand():
    """A network whose logits are the brightness of three pixels."""
    batch = Batch(torch.eye(3).reshape(3, 1, 1, 3), torch.tensor([0, 1, 0]), ("a", "b", "c"))
    epoch = Epoch(Classifier(nn.Flatten()), 0, {}, {})
    CountedCropFlip.of(right=batch, choosing=batch[slice(2, 3)]).after_epoch(epoch)
    del epoch.figures["processor_seconds"]
    assert epoch.figures == {"right": 2.0, "choosing": 0.0}


def test_data_that_will_not_do(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="cifar10"):
        run_paper("tract", out=tmp_path / "run")


def test_recipe_and_row_are_both_found_by_their_name():
    assert find_row("tract") is TrActPaper
    assert find_method("tract", "harden").cls is TrAct


@pytest.mark.parametrize(
    ("curve", "goal", "expected"),
    [
        ([0.2, 0.4, 0.6], 0.5, 2.5),
        ([0.2, 0.4, 0.6], 0.4, 2.0),
        ([0.4], 0.1, 0.25),
        ([0.5, 0.3, 0.5], 0.4, 0.8),
        ([0.2], 0.3, None),
    ],
)
def test_epochs_are_linear_between_points(curve, goal, expected):
    got = epochs_to(curve, goal)
    assert got == (expected if expected is None else pytest.approx(expected))
