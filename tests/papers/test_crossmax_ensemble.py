"""The rules by hand, and the whole row on tints that small networks learn at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.papers.tiny import Tiny, make_tints
from unshaken.core import Batch, Classifier
from unshaken.core.errors import ParameterError
from unshaken.core.part import Condition, Part
from unshaken.harden.defences.multi_resolution import MultiResolution, widened
from unshaken.harden.engine.ensemble import ensemble
from unshaken.models.networks.small import StridedCNN
from unshaken.papers import run_paper
from unshaken.papers.claim import Outcome, is_reproduced, judge_parts
from unshaken.papers.rows import Rows
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of
from unshaken_papers.crossmax_ensemble import CrossMaxPaper
from unshaken_papers.crossmax_ensemble.experiment import reached
from unshaken_papers.crossmax_ensemble.figures import compared

TINY = Tiny(
    make=make_tints,
    patches={"unshaken.attack.ensembles.autoattack.EOT": 3},
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


def radius_figures():
    """Figures of a radius with which every part is shown."""
    names = ("advantage_direct", "lost_beyond_half", "second_subtraction", "broken_beyond_half")
    return {name: figure(0.1) for name in names}


def system_figures(autoattack=0.4, adaptive=0.1, plain=0.05):
    """Figures of the whole system with which both of its parts are shown."""
    return {
        "clean": {"value": 0.6},
        "autoattack": {"value": autoattack},
        "under": {"adaptive": {"value": adaptive}},
        "plain": {"attacked": {"value": plain}},
    }


@pytest.fixture
def measured():
    """Figures of two seeds."""
    gradients = {"clean": {"logits_reached": {"value": 22.5}, "of": 50}}
    seeds = {f"seed{i}": {"gradients": gradients, "system": system_figures(0.4 + i / 1000)} for i in (0, 1)}
    return seeds | {"over_seeds": {"eps-8": radius_figures(), "eps-25.5": radius_figures()}}


def outcomes(measured):
    paper = CrossMaxPaper()
    return {part.name: part.outcome for part in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_every_part_that_is_tried_is_shown(measured):
    found = outcomes(measured)
    assert found.pop("image-generation") == Outcome.NOT_TRIED
    assert set(found.values()) == {Outcome.SHOWN}
    paper = CrossMaxPaper()
    assert is_reproduced(judge_parts(paper.claim_parts(), paper.judge(measured)))


@pytest.mark.parametrize(
    ("figures", "part", "expected"),
    [
        ([{"autoattack": 0.29}, {"autoattack": 0.291}], "robust-classifier", Outcome.SHORT),  # half is 0.3
        ([{"autoattack": 0.04}, {"autoattack": 0.041}], "robust-classifier", Outcome.CONTRADICTED),
        ([{"autoattack": 0.31}, {"autoattack": 0.5}], "robust-classifier", Outcome.NOT_VISIBLE),
        ([{"adaptive": 0.21}, {"adaptive": 0.211}], "adaptive-system", Outcome.SHORT),
        ([{"adaptive": 0.45}, {"adaptive": 0.451}], "adaptive-system", Outcome.CONTRADICTED),
    ],
)
def test_what_the_system_does_not_show(measured, figures, part, expected):
    for i, options in enumerate(figures):
        measured[f"seed{i}"]["system"] = system_figures(**options)
    found = outcomes(measured)
    assert found[part] == expected


def test_networks_of_ones_own_judge_no_system(measured):
    for seed in ("seed0", "seed1"):
        del measured[seed]["system"]
    found = outcomes(measured)
    assert {n for n, o in found.items() if o == Outcome.NOT_TRIED} == {
        "robust-classifier", "adaptive-system", "image-generation",
    }  # fmt: skip


@pytest.mark.parametrize("radius", ["eps-8", "eps-25.5"])
@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("direct-advantage", "advantage_direct"),
        ("masking", "lost_beyond_half"),
        ("second-subtraction", "second_subtraction"),
        ("adaptive-attack", "broken_beyond_half"),
    ],
)
def test_each_part_falls_alone(measured, radius, part, name):
    for met, outcome in ((figure(0.005), Outcome.NOT_VISIBLE), (figure(-0.1), Outcome.CONTRADICTED)):
        measured["over_seeds"][radius][name] = met
        found = outcomes(measured)
        if part == "adaptive-attack" and radius == "eps-8":
            outcome = Outcome.SHOWN  # this part is judged at the larger radius alone
        assert found[part] == outcome
        assert {n for n, o in found.items() if o not in (Outcome.SHOWN, Outcome.NOT_TRIED)} <= {part}


def test_the_remark_says_how_far_gradients_reach(measured):
    assert "22.5 of 50" in CrossMaxPaper().remark(measured)


def test_the_network_has_the_published_pilots_size():
    assert sum(p.numel() for p in StridedCNN(10, 1, 28).parameters()) == 19258


def test_gradients_are_counted_by_hand():
    """Three members that say Z; of nine logits those on the way of the maxima and medians get a gradient."""
    rows = [[3.0, 1.0, 0.0], [2.0, 2.5, 0.0], [2.0, 1.0, 0.5]]
    nets = []
    for row in rows:
        net = nn.Sequential(nn.Flatten(), nn.Linear(1, 3))
        with torch.no_grad():
            net[1].weight.zero_()
            net[1].bias.copy_(torch.tensor(row))
        nets.append(Classifier(net))
    batch = Batch(torch.zeros(1, 1, 1, 1), torch.tensor([0]), ("a",))
    found = reached(ensemble(nets), batch)
    # medians (0, -1, -1): class 0 is z00 - max0 less (z00 - max0) itself, or z20's: nothing; class 1: z01 - z00 less
    # (z11 - max1); max1 = z11: -z00 + z01; or z21 - z20; class 2: z12 - z11 less (z22 - z20)
    assert found["logits"] == 9
    assert found["tied"].tolist() == [False]
    assert 3 <= found["reached"][0] <= 6


def test_figures_come_from_rows(finished):
    result, rows = (
        finished("crossmax-ensemble").result,
        RunDir(finished("crossmax-ensemble").out).rows("outcomes", ["id", "condition", "correct"]).to_pylist(),
    )

    def right(label):
        return {r["id"]: r["correct"] for r in rows if r["condition"] == f"seed0.{label}"}

    mean, cross = right("mean.on-mean-8"), right("crossmax.on-crossmax-8")
    assert result.measured["seed0.eps-8.direct.mean"]["value"] == pytest.approx(np.mean(list(mean.values())))
    expected = np.mean([cross[i] - mean[i] for i in mean])
    assert result.measured["seed0.eps-8.advantage_direct"]["value"] == pytest.approx(expected)
    moved = right("crossmax.on-mean-8")
    expected = np.mean([moved[i] - mean[i] for i in mean])
    assert result.measured["seed0.eps-8.advantage_transfer"]["value"] == pytest.approx(expected)
    assert result.measured["over_seeds.eps-8.advantage_transfer"]["value"] == pytest.approx(expected)
    alone = np.mean([cross[i] - mean[i] for i in mean])
    assert result.measured["over_seeds.eps-8.lost_beyond_half"]["value"] == pytest.approx(alone / 2 - expected)
    best = right("adaptive-8.adaptive-linf-0.0313725")
    expected = np.mean([cross[i] / 2 - best[i] for i in best])
    assert result.measured["over_seeds.eps-8.broken_beyond_half"]["value"] == pytest.approx(expected)
    assert result.measured["seed0.gradients.clean.of"] == 15
    assert len(mean) == 20


def test_the_honest_attack_never_finds_less(finished):
    result = finished("crossmax-ensemble").result
    for eps in ("8", "25.5"):
        under = {
            w: result.measured[f"seed0.eps-{eps}.crossmax_under.{w}"]["value"] for w in ("direct", "mean", "adaptive")
        }
        assert under["adaptive"] <= min(under["direct"], under["mean"])


@pytest.mark.long
def test_networks_of_ones_own_are_taken_by_name(finished, tmp_path):
    run = finished("crossmax-ensemble")
    with pytest.raises(ParameterError, match="name three networks or more"):
        run_paper(run.text, out=tmp_path / "run", data=run.data, model="demo:standard")
    result = run_paper(
        "crossmax-ensemble:photos=8,seeds=1,steps=2", out=tmp_path / "own", data="demo",
        model="demo:standard|demo:robust|demo:standard",
    )  # fmt: skip
    assert result.measured["seed0.clean.mean"]["n"] == 8
    assert "networks_from_cache" not in result.measured


def test_the_system_is_judged_by_repeated_passes(finished):
    run = finished("crossmax-ensemble")
    found = {k: v for k, v in run.result.measured.items() if k.startswith("seed0.system.")}
    rows = RunDir(run.out).rows("looks").to_pylist()
    name = "seed0.system.adaptive.adaptive-linf-0.0313725"
    shares = [r["right"] / r["looks"] for r in rows if r["condition"] == name]
    assert len(shares) == 6
    assert found["seed0.system.under.adaptive"]["value"] == pytest.approx(np.mean(shares))
    ways = {name.removeprefix("seed0.system.under.") for name in found if ".under." in name}
    assert ways >= {"bare", "direct", "mean", "unsubtracted", "part-0", "part-3", "onward", "naive", "adaptive"}
    assert found["seed0.system.autoattack"]["n"] == 6


def test_front_ends_are_told_apart_by_what_they_print():
    """A network is kept under what its start prints, among other things."""
    model = Classifier(StridedCNN(3, 3, 12))
    quiet, loud = (MultiResolution(resolutions=(12, 6), noise=n).wrap(widened(model, 2)) for n in (0.1, 0.2))
    assert repr(quiet.net) != repr(loud.net)


def test_votes_are_compared_over_seeds_and_images(tmp_path):
    """Two seeds, two images: CrossMax is right under its own attack, and on no example of the mean."""
    run, ids = RunDir(tmp_path), ["a", "b"]
    for seed in (0, 1):
        for name in ("mean.on-mean-8", "median.on-median-8", "no-second.on-no-second-8", "crossmax.on-mean-8"):
            write(run, f"seed{seed}.{name}", ids, [False, False])
        write(run, f"seed{seed}.crossmax.on-crossmax-8", ids, [True, seed == 0])
        write(run, f"seed{seed}.adaptive-8.adaptive-linf-0.0313725", ids, [False, True])
    rows = Rows(run, "crossmax-ensemble", 0)
    found = compared(list(rows.repetitions(2).values()), "8", 8 / 255)
    values = {name: one["value"] for name, one in found.items()}
    assert values == {
        "advantage_direct": 0.75, "advantage_transfer": 0.0, "lost_beyond_half": 0.375, "second_subtraction": 0.75,
        "broken_beyond_half": 0.375 - 0.5,
    }  # fmt: skip
    assert {one["interval"] for one in found.values()} == {"student 95% over 2 seeds and 2 samples"}


def write(run, label, ids, right):
    part = Part("outcomes", Condition(label, "pgd"), {"id": ids, "correct": right})
    run.write_rows(table_of(part), "outcomes", label, 0)
