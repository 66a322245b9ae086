"""The figure that a kind of run is made for."""

from __future__ import annotations

import pytest

from unshaken.serve.site.figure import own_figure


def figure(value, low, high):
    return {"value": value, "low": low, "high": high}


DETECTORS = [
    {"condition": "msp", "auroc": figure(0.7, 0.6, 0.8)},
    {"condition": "knn", "auroc": figure(0.91, 0.88, 0.93), "accepted": figure(0.95, 0.9, 0.98)},
]
RADII = [
    {"radius": 0.5, "certified_accuracy": figure(0.15, 0.03, 0.38)},
    {"radius": 0.25, "certified_accuracy": figure(0.25, 0.09, 0.49)},
    {"radius": 0.0, "certified_accuracy": figure(0.4, 0.2, 0.6)},
]
HELD = {"held_accuracy": figure(0.9, 0.8, 0.95), "held_robust": figure(0.5, 0.4, 0.6)}


@pytest.mark.parametrize(
    ("kind", "record", "words"),
    [
        ("detect", {"detection": DETECTORS}, "AUROC 0.910 (0.880 to 0.930), knn"),
        ("detect", {"detection": [{**DETECTORS[1], "auroc": None}]}, "accepted 95.0 % (90.0 to 98.0 %), knn"),
        ("certify", {"certified": [{"norm": "l2", "radii": RADII}]}, "certified at l2 0.25: 25.0 % (9.0 to 49.0 %)"),
        ("harden", {"result": {"figures": HELD}}, "held out, attacked: 50.0 % (40.0 to 60.0 %)"),
        (
            "harden",
            {"result": {"figures": HELD, "start": {"held_robust": 0.125}}},
            "held out, attacked: 50.0 % (40.0 to 60.0 %); 12.5 % at the start",
        ),
        ("labels", {"samples": 300, "found": {"cl": {"flagged": 12}}}, "4.0 % of the labels flagged (12 of 300)"),
        ("audit", {"detection": DETECTORS}, ""),
    ],
)
def test_each_kind_has_its_own_figure(kind, record, words):
    assert own_figure(kind, record) == words


@pytest.mark.parametrize("kind", ["detect", "certify", "harden", "labels"])
@pytest.mark.parametrize("value", [None, 1, "x", [], [None], {}, [{"condition": "a", "auroc": {"value": 1e999}}]])
def test_a_record_of_another_form_has_no_figure(kind, value):
    names = ("detection", "certified", "result", "found", "samples")
    assert own_figure(kind, dict.fromkeys(names, value)) == ""
    assert own_figure(kind, {}) == ""


def test_a_name_that_steers_a_terminal_is_escaped():
    hostile = {"detection": [{"condition": "a\x1b]0;b" + "x" * 900, "auroc": figure(1, 1, 1)}]}
    assert "\x1b" not in own_figure("detect", hostile)
    assert len(own_figure("detect", hostile)) < 120
