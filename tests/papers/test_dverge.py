"""The verdict's rule by hand, and the whole row on tints that small networks learn at once."""

from __future__ import annotations

import copy
from itertools import product

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.papers import run_paper
from unshaken.papers.dverge import DvergePaper
from unshaken.papers.dverge.experiment import tiny
from unshaken.run.store import RunDir


def value(x):
    return {"value": x}


def arm(asr, clean, black, d):
    return {
        "transfer-0.1": value(asr),
        "clean": value(clean),
        "black-box-0.1": value(black),
        "diversity": {"between": d},
        "white-box-0.05": value(0.5),
    }


@pytest.fixture
def measured():
    """Figures with which every part of the rule holds, some of them barely."""
    part = {
        "extra-ce": arm(0.5, 0.8, 0.3, 3.0),
        "noise-ce": arm(0.41, 0.72, 0.3, 3.9),
        "dverge": arm(0.4, 0.72, 0.31, 4.0),
        "self-distilled": arm(0.45, 0.7, 0.2, 3.5),
    }
    return {"seed0": part, "seed1": copy.deepcopy(part), "networks_from_cache": True}


def failed(measured):
    return [c.words for c in DvergePaper().judge(measured) if not c.holds]


def test_the_rule_holds(measured):
    assert failed(measured) == []
    assert len(DvergePaper().judge(measured)) == 8


@pytest.mark.parametrize("seed", ["seed0", "seed1"])
@pytest.mark.parametrize(
    ("name", "figure", "x", "words"),
    [
        ("extra-ce", "transfer-0.1", 0.49, "extra CE 0.490 (0.1 lower wanted)"),
        ("extra-ce", "clean", 0.81, "DVERGE 0.720, extra CE 0.810 (0.08 less allowed)"),
        ("extra-ce", "black-box-0.1", 0.31, "DVERGE 0.310, extra CE 0.310"),
        ("noise-ce", "transfer-0.1", 0.4, "beyond noise CE: member to member 0.400 to 0.400"),
        ("noise-ce", "black-box-0.1", 0.31, "beyond noise CE"),
        ("noise-ce", "clean", 0.73, "clean 0.720 to 0.730"),
        ("noise-ce", "diversity", 4.0, "d 4.00 to 4.00"),
    ],
)
def test_every_part_of_the_rule_can_fail_alone(measured, seed, name, figure, x, words):
    measured[seed][name][figure] = {"between": x} if figure == "diversity" else value(x)
    (only,) = failed(measured)
    assert words in only
    assert only.startswith(seed)


def test_the_remark_tells_of_a_control_that_does_as_well(measured):
    assert DvergePaper().remark(measured) == ""
    for part in (measured["seed0"], measured["seed1"]):
        part["self-distilled"]["black-box-0.1"] = value(0.31)
    assert "withstand the transferred attacks no less than DVERGE" in DvergePaper().remark(measured)


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
    between = np.mean([r["loss"] for r in loss if r["source"] != r["judge"]])
    assert result.measured["seed0.dverge.diversity.between"] == pytest.approx(between, abs=1e-4)


def test_all_arms_stand_on_the_same_images_and_differ(finished):
    run, result = finished("dverge"), finished("dverge").result
    ids = {}
    for row in RunDir(run.out).rows("outcomes", ["id", "condition"]).to_pylist():
        ids.setdefault(row["condition"], set()).add(row["id"])
    arms = ("extra-ce", "noise-ce", "dverge", "self-distilled")
    assert len({frozenset(ids[f"seed0.{a}.black-box-0.1"]) for a in arms}) == 1
    assert len({result.measured[f"seed0.{a}.diversity.between"] for a in arms}) == 4
    assert result.measured["seed0.dverge_minus.extra-ce.clean"]["n"] == 30


def test_an_unknown_architecture_is_said_in_one_line(finished, tmp_path):
    run = finished("dverge")
    with pytest.raises(ParameterError, match="no architecture 'demo:standard'"):
        run_paper(run.text, out=tmp_path / "run", data=run.data, model="demo:standard")
