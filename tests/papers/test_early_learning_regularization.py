"""The rule by hand, the linear model against its theory, and the whole row on tints."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny, make_tints
from unshaken.core.errors import ParameterError
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training
from unshaken.models.networks.convolutions import HiddenConvs
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.papers.datasets import Split
from unshaken.papers.label_curves import count_correct, label_curves
from unshaken.store.run_dir import RunDir
from unshaken_papers.early_learning_regularization import EarlyLearningPaper
from unshaken_papers.early_learning_regularization.linear import SIGMA, WRONG, N, descend, draw

TINY = Tiny(
    make=make_tints,
    patches={
        "unshaken_papers.early_learning_regularization.experiment.CURVE": (0, 10, 20),
        "unshaken_papers.early_learning_regularization.figures.CURVE": (0, 10, 20),
    },
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, some of them barely."""
    part = {
        "plain": {"memorised": figure(0.6), "best": figure(0.8), "last": figure(0.73), "best_epoch": 4},
        "elr": {"memorised": figure(0.18), "last": figure(0.81)},
        "elr_minus_plain": figure(0.06),
    }
    linear = {
        "plain": {"10": {"corrected": figure(0.98)}, "3000": {"memorised": figure(0.9)}},
        "elr": {"3000": {"memorised": figure(0.02)}},
    }
    return {"linear": linear, "seed0": part, "seed1": copy.deepcopy(part), "networks_from_cache": True}


def outcomes(measured):
    paper = EarlyLearningPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def changed(measured, path, value):
    *way, last = path
    place = measured = copy.deepcopy(measured)
    for key in way:
        place = place[key]
    place[last] = figure(value)
    return measured


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert {name for name, outcome in found.items() if outcome == "not tried"} == {"other-noise", "elr-plus"}
    assert {*found.values()} == {"not tried", "shown"}


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        (("linear", "plain", "10", "corrected"), 0.95, 0.4, "linear"),
        (("linear", "plain", "3000", "memorised"), 0.85, 0.4, "linear"),
        (("linear", "elr", "3000", "memorised"), 0.05, 0.6, "linear-elr"),
        (("seed1", "plain", "last"), 0.77, 0.83, "memorises"),
        (("seed1", "elr_minus_plain"), 0.045, -0.02, "gain"),
        (("seed1", "elr", "memorised"), 0.2, 0.7, "less-memorised"),
        (("seed1", "elr", "last"), 0.79, 0.76, "no-early-stopping"),
    ],
)
def test_one_figure_decides_a_part(measured, path, hidden, opposed, part):
    assert outcomes(changed(measured, path, hidden))[part] == "not visible at this scale"
    assert outcomes(changed(measured, path, opposed))[part] == "contradicted"


def test_where_plain_training_does_not_memorise_nothing_is_said_of_elr(measured):
    found = outcomes(changed(changed(measured, ("seed0", "plain", "memorised"), 0.3), ("seed0", "elr", "last"), 0.2))
    assert found["memorises"] == "short of its rule"
    for part in ("gain", "less-memorised", "no-early-stopping"):
        assert found[part] == "not visible at this scale"


def test_the_linear_draw_is_that_of_the_theory():
    x, truth, given, v = draw(3)
    assert float(v.norm()) == pytest.approx(1)
    assert float((given != truth).double().mean()) == pytest.approx(WRONG, abs=5 * (WRONG * (1 - WRONG) / 2 / N) ** 0.5)
    noise = x - (1 - 2 * truth)[:, None] * v
    assert float(noise.std()) == pytest.approx(SIGMA, abs=1e-3)


def test_a_first_step_goes_from_nothing_along_the_mean_of_the_labels():
    """At theta = 0 the slope of each sample is 1/2 less its label, so that minus the gradient is `mean (y - 1/2) x`."""
    x, _, given, v = draw(0)
    ascent = ((given[:N] == 0).double() - 0.5) @ x[:N] / N
    start, one = descend(0, (0, 1), 0.0, 0.7)
    assert start["cosine"] == pytest.approx(float(ascent @ v / ascent.norm()))
    assert (start["residual_right"], start["residual_wrong"]) == (0.5, 0.5)
    score = x[:N] @ ascent  # theta after a step of length 1
    wrong = given[:N] != draw(0)[1][:N]
    assert one["memorised"] == pytest.approx(float(((score < 0).long() == given[:N])[wrong].double().mean()))


def test_wrong_labels_are_learned_against_by_elr_and_not_yet_by_either_after_ten_steps():
    plain, regularised = (list(descend(0, (0, 10), strength, 0.7))[-1] for strength in (0.0, 3.0))
    assert plain["corrected"] == regularised["corrected"] == 1
    assert regularised["residual_wrong"] > 0.8 > 0.65 > plain["residual_wrong"]  # published: .859 and .590


def test_the_network_has_the_parameters_of_the_card():
    assert sum(p.numel() for p in HiddenConvs(10, 1, 28).parameters()) == 206_970


def test_the_curves_end_with_what_the_network_says(finished):
    """Rows of the last epoch are those of the network that was kept."""
    run = finished("early-learning-regularization")
    rows = RunDir(run.out)
    for arm in ("plain", "elr"):
        condition = f"seed0.{arm}"
        epochs = rows.rows("early_learning_regularization_epochs").to_pylist()
        last = next(r for r in epochs if (r["condition"], r["epoch"]) == (f"{condition}.test", 1))
        outcomes = [r for r in rows.rows("outcomes").to_pylist() if r["condition"] == f"{condition}.test"]
        assert (last["correct"], last["n"]) == (sum(r["correct"] for r in outcomes), 20)
        training = [
            r for r in rows.rows("early_learning_regularization_training").to_pylist() if r["condition"] == condition
        ]
        wrong = [r for r in training if r["given"] != r["truth"]]
        assert len(training) == 60
        assert 10 < len(wrong) < 40
        assert run.seed0[f"{arm}.memorised"]["value"] == np.mean([r["predicted"] == r["given"] for r in wrong])
        assert len(run.seed0[f"{arm}.memorised_by_epoch"]) == 2


def test_another_architecture_takes_the_place_of_the_network(tints, tmp_path):
    with pytest.raises(ParameterError, match="no architecture 'none'"):
        run_paper(
            "early-learning-regularization:photos=60,test=20,choosing=20,draws=2", data=tints, model="none",
            out=tmp_path / "run",
        )  # fmt: skip


def test_curves_count_by_true_labels_and_leave_the_training_as_it_is():
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 1, 8, 8), generator=g, dtype=torch.uint8)
    truth = torch.arange(60) % 3
    given = torch.where(torch.rand(60, generator=g) < 0.3, (truth + 1) % 3, truth)
    training = Training(epochs=2, batch_size=20, lr=0.05, held_out=5, check_images=2)
    sets = {"some": Split.of(images[:30], truth[:30])}
    made = [
        fit(fresh("small-cnn", images, classes=3, seed=0), images, given, recipes, training)
        for recipes in ([], [label_curves(truth, **sets)])
    ]
    weights = [one.last.state_dict() for one in made]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    curves = made[1].progress.curves
    assert curves[1]["correct.some"] == count_correct(made[1].last, images[:30], truth[:30])
    assert [round(r["memorised"] + r["corrected"], 6) <= 1 for r in curves] == [True, True]
    assert made[1].progress.forwards > made[0].progress.forwards
