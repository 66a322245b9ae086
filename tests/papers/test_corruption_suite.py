"""The rule by hand, figures against rows, and that the networks see the same corrupted images."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tests.papers.tiny import Tiny, make_tints
from unshaken.papers.claim import judge_parts
from unshaken.papers.effects import Nested
from unshaken.papers.run import flat
from unshaken.run.plan import CIFAR_C_BAR, THE_15
from unshaken.store.run_dir import RunDir
from unshaken_papers.corruption_suite import GROUPS, JUDGED, NAMES, OTHERS, CorruptionSuitePaper

FOUR = tuple(names[0] for names in GROUPS.values())
"""A corruption of each group."""

TINY = Tiny(
    make=make_tints,
    patches={
        **{f"unshaken_papers.corruption_suite.{file}.NAMES": FOUR for file in ("experiment", "figures")},
        **{f"unshaken_papers.corruption_suite.{file}.OTHERS": ("lines",) for file in ("experiment", "figures")},
        "unshaken_papers.corruption_suite.figures.GROUPS": {g: n[:1] for g, n in GROUPS.items()},
    },
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half, "n": 3, "interval": "by hand"}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, some of them barely."""
    rise = {group: {str(s): figure(0.011) for s in JUDGED[1:]} for group in GROUPS}
    return {
        "rise": rise,
        "gain": {"noise": figure(0.02), "mean": figure(0.011), "c_bar": figure(0.011)},
        "noise_gains_more_than": {group: figure(0.031) for group in GROUPS if group != "noise"},
        "photos": {"rise": copy.deepcopy(rise), "lowered": figure(0.011)},
    }


def outcomes(measured):
    paper = CorruptionSuitePaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert {*found.values()} == {"shown"}
    assert outcomes(Nested(flat(measured))) == found


@pytest.mark.parametrize(
    ("part", "path", "hidden", "opposed"),
    [
        ("severity", ("rise", "blur", "3"), 0.009, -0.011),
        ("severity", ("rise", "weather", "5"), 0.009, -0.011),
        ("noise", ("gain", "noise"), 0.009, -0.011),
        ("by-kind", ("noise_gains_more_than", "digital"), 0.029, -0.011),
        ("mean", ("gain", "mean"), 0.009, -0.011),
        ("other-kinds", ("gain", "c_bar"), 0.009, -0.011),
        ("larger", ("photos", "lowered"), 0.009, -0.011),
        ("photos", ("photos", "rise", "noise", "5"), 0.009, -0.011),
    ],
)
def test_each_figure_decides_its_part_alone(measured, part, path, hidden, opposed):
    for value, outcome in ((hidden, "not visible at this scale"), (opposed, "contradicted")):
        changed = copy.deepcopy(measured)
        *way, last = path
        place = changed
        for key in way:
            place = place[key]
        place[last] = figure(value)
        assert outcomes(changed) == {**outcomes(measured), part: outcome}


def test_without_photos_their_parts_are_not_tried(measured):
    del measured["photos"]
    found = outcomes(measured)
    assert {found["larger"], found["photos"]} == {"not tried"}


def test_a_result_of_before_c_bar_was_tried_is_still_judged(measured):
    found = outcomes(measured)
    del measured["gain"]["c_bar"]
    assert outcomes(measured) == {**found, "other-kinds": "not tried"}


def test_the_groups_are_those_of_the_benchmark():
    assert NAMES == THE_15
    assert OTHERS == CIFAR_C_BAR


def test_figures_come_from_rows(finished):
    run, measured = RunDir(finished("corruption-suite").out), finished("corruption-suite").result.measured
    right = {}
    for row in run.rows("outcomes").to_pylist():
        right.setdefault(row["condition"], []).append(row["correct"])
    error = {name: 1 - np.mean(values) for name, values in right.items()}
    groups = {group: names[:1] for group, names in GROUPS.items()}  # those of the tiny run
    names = [name for group in groups.values() for name in group]
    assert len(error) == 2 * 2 * (1 + (4 + 1) * 5) + 2 * (1 + 4 * 3)

    def mean(net, names, severities=range(1, 6)):
        return np.mean([error[f"{net}.{name}-{s}"] for name in names for s in severities])

    gain = [mean(f"seed{s}.plain", groups["noise"]) - mean(f"seed{s}.noise", groups["noise"]) for s in (0, 1)]
    assert measured["gain.noise"]["value"] == pytest.approx(np.mean(gain))
    c_bar = [mean(f"seed{s}.plain", ["lines"]) - mean(f"seed{s}.noise", ["lines"]) for s in (0, 1)]
    assert measured["gain.c_bar"]["value"] == pytest.approx(np.mean(c_bar))
    rise = [mean(f"seed{s}.plain", groups["blur"], [3]) - mean(f"seed{s}.plain", groups["blur"], [1]) for s in (0, 1)]
    assert measured["rise.blur.3"]["value"] == pytest.approx(np.mean(rise))
    more = [
        g - (mean(f"seed{s}.plain", groups["digital"]) - mean(f"seed{s}.noise", groups["digital"]))
        for s, g in enumerate(gain)
    ]
    assert measured["noise_gains_more_than.digital"]["value"] == pytest.approx(np.mean(more))
    small, large = (mean(f"photos.{place}", names, JUDGED) for place in (0, 1))
    assert measured["photos.lowered"]["value"] == pytest.approx(small - large)
    assert measured["photos.lowered"]["n"] == 4
    photos = [mean(f"photos.{p}", groups["noise"], [5]) - mean(f"photos.{p}", groups["noise"], [3]) for p in (0, 1)]
    assert measured["photos.rise.noise.5"]["value"] == pytest.approx(np.mean(photos))
