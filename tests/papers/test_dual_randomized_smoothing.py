"""The rules by hand, and the whole row on tints that a small network learns at once."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import beta

from tests.papers.tiny import Tiny, make_faint_tints
from unshaken.core.errors import ParameterError
from unshaken.papers import run_paper
from unshaken.papers.claim import Outcome, judge_parts
from unshaken.papers.folders import find_row
from unshaken.store.run_dir import RunDir
from unshaken_papers.dual_randomized_smoothing import DualRandomizedSmoothingPaper
from unshaken_papers.dual_randomized_smoothing.polls import Polls

TINY = Tiny(
    make=partial(make_faint_tints, train=240, brighter=120),
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which every part is shown, at two levels."""
    level = {
        "mean": {
            "acr": {"dual": 0.72, "rs_2n": 0.7, "rs_n": 0.69},
            "dual_minus": {"rs_2n": figure(0.02), "rs_n": figure(0.03)},
        },
        "released_below_sound": 0,
        "images_and_seeds": 60,
        "largest": {"met": 1.2, "possible": 1.2, "possible_smoothing": 1.3, "all_votes_alike": 3},
    }
    return {"s0.5": level, "s0.25": copy.deepcopy(level), "networks_from_cache": False}


def outcomes(measured):
    paper = DualRandomizedSmoothingPaper()
    return {part.name: part.outcome for part in judge_parts(paper.claim_parts(), paper.judge(measured))}


def changed(found):
    """The parts that are neither shown nor untried."""
    return {name: outcome for name, outcome in found.items() if outcome not in (Outcome.SHOWN, Outcome.NOT_TRIED)}


def test_every_part_that_is_tried_is_shown(measured):
    found = outcomes(measured)
    assert changed(found) == {}
    assert [found[name] for name in ("dimension", "published-scale")] == [Outcome.NOT_TRIED] * 2
    assert "0.5: 1.2000 and 1.3000; 0.25: 1.2000" in DualRandomizedSmoothingPaper().remark(measured)


def test_a_radius_above_the_released_rule_contradicts_the_certificate(measured):
    measured["s0.25"]["released_below_sound"] = 1
    assert changed(outcomes(measured)) == {"certificate": Outcome.CONTRADICTED}


@pytest.mark.parametrize(
    ("met", "alike", "outcome"),
    [
        (1.21, 3, Outcome.CONTRADICTED),
        (1.19, 3, Outcome.NOT_VISIBLE),  # all votes agree somewhere: the largest radius must be met
        (1.2, 0, Outcome.NOT_VISIBLE),
        (1.1, 0, Outcome.SHOWN),
    ],
)
def test_the_largest_radius(measured, met, alike, outcome):
    measured["s0.5"]["largest"] |= {"met": met, "all_votes_alike": alike}
    assert outcomes(measured)["certificate"] == outcome


@pytest.mark.parametrize(("part", "arm"), [("more-per-pass", "rs_2n"), ("more-per-vote", "rs_n")])
def test_a_gain_at_one_level_alone_does_not_show(measured, part, arm):
    for gain, outcome in ((0.01, Outcome.NOT_VISIBLE), (-0.011, Outcome.CONTRADICTED)):
        measured["s0.25"]["mean"]["dual_minus"][arm] = figure(gain)
        assert changed(outcomes(measured)) == {part: outcome}


@pytest.mark.parametrize(("part", "arm", "most"), [("more-per-pass", "rs_2n", 0.05), ("more-per-vote", "rs_n", 0.03)])
def test_a_large_loss(measured, part, arm, most):
    measured["s0.5"]["mean"]["dual_minus"][arm] = figure(-most)
    assert changed(outcomes(measured)) == {part: Outcome.CONTRADICTED, "no-large-loss": Outcome.NOT_VISIBLE}
    measured["s0.5"]["mean"]["dual_minus"][arm] = figure(-most - 0.02)
    assert outcomes(measured)["no-large-loss"] == Outcome.CONTRADICTED


def test_equal_passes_and_noise():
    polls = Polls(0.5, 10_000, 500, 0.001)
    assert (polls.whole.n0, polls.whole.n) == (1000, 10_000)
    assert polls.dual.sigma == pytest.approx(0.353553, abs=1e-6)
    assert (polls.deviation("full"), polls.deviation("left")) == (0.5, polls.dual.sigma)


NET = """
from torch import nn

class Tints(nn.Module):
    def forward(self, x):
        return 50 * x.mean((2, 3))

def tints():
    return Tints()
"""


@pytest.fixture
def small(finished):
    return finished("dual-randomized-smoothing")


def bound(k, n, alpha):
    return beta.ppf(alpha, k, n - k + 1) if k else 0.0


def test_figures_come_from_rows(small):
    result, rows = small.result, {}
    for row in RunDir(small.out).rows("dual_randomized_smoothing_votes").to_pylist():
        rows.setdefault(row["condition"], {})[row["id"]] = row
    assert {len(v) for v in rows.values()} == {12}
    assert len(rows) == 8
    acr = {"rs_2n": [], "dual": [], "released": []}
    for seed in (0, 1):
        rs, more, left, right = (rows[f"s0.4.seed{seed}.{p}"] for p in ("rs", "more", "left", "right"))
        for i, one in rs.items():
            assert sum(one["selected"]) == 40
            assert sum(more[i]["selected"]) == 0
            assert sum(left[i]["selected"]) == 20
            top = int(np.argmax(one["selected"]))
            p = bound(one["counts"][top] + more[i]["counts"][top], 400, 0.01)
            acr["rs_2n"].append(max(0.0, 0.4 * ndtri(p)) * (top == one["label"]))
            top = int(np.argmax(np.add(left[i]["selected"], right[i]["selected"])))
            k, m = left[i]["counts"][top], right[i]["counts"][top]
            right_class = top == left[i]["label"]
            a, b = (ndtri(bound(v, 200, 0.005)) for v in (k, m))
            acr["dual"].append(max(0.0, 0.4 / 2 * (a + b)) * right_class)
            a, b = (max(0.0, ndtri(bound(v, 200, 0.01))) for v in (k, m))
            acr["released"].append(0.4 / 2**0.5 * np.hypot(a, b) * right_class)
    for arm, values in acr.items():
        assert result.measured[f"s0.4.mean.acr.{arm}"] == pytest.approx(np.mean(values), abs=1e-4)
        assert result.measured[f"s0.4.seed1.acr.{arm}"]["value"] == pytest.approx(np.mean(values[12:]))
    difference = result.measured["s0.4.mean.dual_minus.rs_2n"]
    assert difference["value"] == pytest.approx(np.mean(acr["dual"]) - np.mean(acr["rs_2n"]))
    assert difference["low"] <= difference["value"] <= difference["high"]
    assert result.measured["s0.4.released_below_sound"] == 0
    certified = result.measured["s0.4.mean.certified.dual.r0.25"]
    assert certified == pytest.approx(np.mean(np.array(acr["dual"]) >= 0.25), abs=1e-4)


def test_the_networks_learn_under_their_noise(small):
    result = small.result
    for net in ("full", "left", "right"):
        assert result.measured[f"s0.4.seed0.accuracy_under_noise.{net}"]["value"] > 0.6


def test_an_architecture_that_does_not_exist(small, tmp_path):
    with pytest.raises(ParameterError, match="no architecture 'smal'"):
        run_paper(small.text, out=tmp_path / "run", data=small.data, model="smal")


def test_three_networks_of_ones_own(small, tmp_path):
    (tmp_path / "net.py").write_text(NET)
    spec = f"py:{tmp_path}/net.py:tints"
    data = f"{small.data}?split=test"
    text = "dual-randomized-smoothing:sigmas=0.3,certified=6,test=20,n=120,n0=10"
    result = run_paper(text, out=tmp_path / "run", data=data, model=f"{spec}|{spec}|{spec}")
    assert result.measured["s0.3.seed0.acr.dual"]["n"] == 6
    assert result.measured["s0.3.seed0.accuracy_under_noise.left"]["value"] > 0.95
    assert "s0.3.mean.acr.pooled" not in result.measured
    assert "networks_from_cache" not in result.measured
    for model, sigmas, message in (
        (f"{spec}|{spec}", "0.3", "name three, for whole images and for the two halves"),
        (f"{spec}|{spec}|{spec}", "0.3+0.5", "networks are trained for one noise level: name it"),
    ):
        with pytest.raises(ParameterError, match=message):
            run_paper(text.replace("0.3", sigmas), out=tmp_path / f"run{sigmas}{len(model)}", data=data, model=model)


def test_the_row_is_found_by_its_name():
    assert find_row("dual-randomized-smoothing") is DualRandomizedSmoothingPaper
