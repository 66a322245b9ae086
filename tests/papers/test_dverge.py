"""The verdict's rule by hand, and the whole row on tints that small networks learn at once."""

from __future__ import annotations

import copy
from itertools import product

import numpy as np
import pytest

from tests.papers.tiny import Tiny, make_tints
from unshaken.core.errors import ParameterError
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.store.run_dir import RunDir
from unshaken_papers.dverge import DvergePaper
from unshaken_papers.dverge.experiment import tiny
from unshaken_papers.dverge.figures import compared

TINY = Tiny(
    make=make_tints,
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


def arm(rate, black, d):
    return {"transfer-0.1": figure(rate), "black-box-0.1": figure(black), "diversity": {"between": d}}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, some of them barely."""
    part = {
        "extra-ce": arm(0.53, 0.3, 3.0),
        "noise-ce": arm(0.43, 0.3, 3.9),
        "dverge": arm(0.4, 0.4, 4.0),
        "self-distilled": arm(0.45, 0.2, 3.5),
        "dverge_minus": {
            "extra-ce": {"clean": figure(-0.06), "black-box-0.1": figure(0.02)},
            "noise-ce": {"clean": figure(0.02), "black-box-0.1": figure(0.02)},
            "self-distilled": {"clean": figure(0.02), "black-box-0.1": figure(0.02)},
        },
    }
    both = {"black-box-0.1": figure(0.02), "white-box-0.05": figure(0.02)}
    over = {
        "others_minus_own": {"transfer": figure(0.02), "black-box": figure(0.02)},
        "dverge-5_minus_dverge": both,
        "dverge-8_minus_dverge-5": copy.deepcopy(both),
    }
    return {"seed0": part, "seed1": copy.deepcopy(part), "over_seeds": over, "networks_from_cache": True}


def outcomes(measured):
    paper = DvergePaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert {name for name, outcome in found.items() if outcome == "not tried"} == {"other-ensembles"}
    assert {*found.values()} == {"not tried", "shown"}


@pytest.mark.parametrize("seed", ["seed0", "seed1"])
@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        (("extra-ce", "transfer-0.1"), 0.51, 0.3, "diversity"),
        (("dverge_minus", "extra-ce", "black-box-0.1"), 0.01, -0.02, "transfer"),
        (("dverge_minus", "extra-ce", "clean"), -0.075, -0.1, "clean-cost"),
        (("noise-ce", "transfer-0.1"), 0.41, 0.37, "beyond-noise"),
        (("dverge_minus", "noise-ce", "black-box-0.1"), 0.01, -0.02, "beyond-noise"),
        (("dverge_minus", "noise-ce", "clean"), 0.01, -0.02, "beyond-noise"),
    ],
)
def test_one_seed_decides_a_part_alone(measured, seed, path, hidden, opposed, part):
    before = outcomes(measured)
    *way, last = path
    place = measured[seed]
    for key in way:
        place = place[key]
    for value, outcome in ((hidden, "not visible at this scale"), (opposed, "contradicted")):
        place[last] = {**place[last], **figure(value)}
        assert outcomes(measured) == {**before, part: outcome}


@pytest.mark.parametrize(
    ("compared", "name", "part"),
    [
        ("others_minus_own", "transfer", "from-the-others"),
        ("others_minus_own", "black-box", "from-the-others"),
        ("dverge-5_minus_dverge", "black-box-0.1", "more-members"),
        ("dverge-5_minus_dverge", "white-box-0.05", "more-members"),
        ("dverge-8_minus_dverge-5", "black-box-0.1", "more-members"),
        ("dverge-8_minus_dverge-5", "white-box-0.05", "more-members"),
    ],
)
def test_means_over_seeds_decide_what_compares_them(measured, compared, name, part):
    before = outcomes(measured)
    for value, outcome in ((0.01, "not visible at this scale"), (-0.02, "contradicted")):
        measured["over_seeds"][compared][name] = figure(value)
        assert outcomes(measured) == {**before, part: outcome}


def seed_figures(three, five, eight, own):
    """Rates from member to member, black box and white box, of each arm."""
    names = ("transfer-0.1", "black-box-0.1", "white-box-0.05")
    arms = {"dverge": three, "dverge-5": five, "dverge-8": eight, "self-distilled": own}
    return {arm: dict(zip(names, map(figure, values), strict=True)) for arm, values in arms.items()}


def test_what_is_compared_over_seeds_by_hand():
    one = seed_figures((0.1, 0.5, 0.3), (0.2, 0.625, 0.35), (0.3, 0.65, 0.5), (0.2, 0.4, 0.1))
    other = seed_figures((0.1, 0.5, 0.3), (0.2, 0.5, 0.35), (0.3, 0.65, 0.5), (0.4, 0.4, 0.1))
    found = compared([one, other])
    assert found["dverge-5_minus_dverge"]["black-box-0.1"]["value"] == pytest.approx(0.0625)
    assert found["dverge-8_minus_dverge-5"]["white-box-0.05"]["value"] == pytest.approx(0.15)
    assert found["others_minus_own"]["transfer"]["value"] == pytest.approx(0.2)
    assert found["others_minus_own"]["black-box"]["value"] == pytest.approx(0.1)
    assert found["dverge-8"]["transfer-0.1"]["value"] == pytest.approx(0.3)
    assert found["dverge-5_minus_dverge"]["black-box-0.1"]["n"] == 2


def test_the_network_has_the_pilots_size():
    assert sum(p.numel() for p in tiny(10, 1, 28).parameters()) == 8610


def test_figures_come_from_rows(finished):
    result, run = finished("dverge").result, RunDir(finished("dverge").out)
    rows = run.rows("outcomes", ["condition", "correct"]).to_pylist()

    def right(label):
        return np.array([r["correct"] for r in rows if r["condition"] == f"seed0.dverge.{label}"])

    assert result.measured["seed0.dverge.clean"]["value"] == pytest.approx(right("clean").mean())
    assert result.measured["seed0.dverge.clean"]["n"] == 30
    pairs = [1 - right(f"member-{i}-to-{j}-0.1").mean() for i, j in product(range(3), range(3)) if i != j]
    assert result.measured["seed0.dverge.transfer-0.1"]["value"] == pytest.approx(np.mean(pairs))
    assert result.measured["seed0.dverge.black-box-0.05"]["value"] == pytest.approx(right("black-box-0.05").mean())
    both = right("white-box-probabilities-0.03") & right("white-box-logits-0.03")
    assert result.measured["seed0.dverge.white-box-0.03"]["value"] == pytest.approx(both.mean())
    loss = [r for r in run.rows("dverge_diversity").to_pylist() if r["condition"] == "seed0.dverge.d"]
    pairs = [
        1 - np.mean([r["correct"] for r in rows if r["condition"] == f"seed0.dverge-8.member-{i}-to-{j}-0.1"])
        for i, j in product(range(8), range(8)) if i != j
    ]  # fmt: skip
    assert result.measured["seed0.dverge-8.transfer-0.1"]["value"] == pytest.approx(np.mean(pairs))
    between = np.mean([r["loss"] for r in loss if r["source"] != r["judge"]])
    assert result.measured["seed0.dverge.diversity.between"] == pytest.approx(between, abs=1e-4)


def test_all_arms_stand_on_the_same_images_and_differ(finished):
    run, result = finished("dverge"), finished("dverge").result
    ids = {}
    for row in RunDir(run.out).rows("outcomes", ["id", "condition"]).to_pylist():
        ids.setdefault(row["condition"], set()).add(row["id"])
    arms = ("extra-ce", "noise-ce", "dverge", "self-distilled", "dverge-5", "dverge-8")
    assert len({frozenset(ids[f"seed0.{a}.black-box-0.1"]) for a in arms}) == 1
    assert ids["seed0.dverge.clean"] != ids["seed1.dverge.clean"]
    assert len({result.measured[f"seed0.{a}.diversity.between"] for a in arms}) == 6
    assert result.measured["seed0.dverge_minus.extra-ce.clean"]["n"] == 30


def test_an_unknown_architecture_is_said_in_one_line(finished, tmp_path):
    run = finished("dverge")
    with pytest.raises(ParameterError, match="no architecture 'demo:standard'"):
        run_paper(run.text, out=tmp_path / "run", data=run.data, model="demo:standard")
