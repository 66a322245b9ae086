from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from unshaken.report import build
from unshaken.report.pages.runs import report_page
from unshaken.report.render.markdown import render_markdown
from unshaken.report.sections._headline import strongest
from unshaken.store.config import Entry
from unshaken.store.run_dir import RunDir

Make = Callable[..., RunDir]


def fog(low: float, value: float, high: float, severity: int = 1) -> dict[str, Any]:
    accuracy = {"value": value, "low": low, "high": high}
    return {"condition": f"fog-{severity}", "method": "fog", "norm": None, "severity": severity, "accuracy": accuracy}


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ([(0.70, 0.78, 0.85), (0.00, 0.00, 0.04)], 0),  # nothing is left of the second
        ([(0.70, 0.78, 0.85), (0.05, 0.11, 0.20)], 0),  # the second may be a guess among ten classes
        ([(0.70, 0.78, 0.85), (0.11, 0.18, 0.30)], 1),
        ([(0.80, 0.88, 0.95), (0.70, 0.85, 0.89)], 1),  # the first may be no loss at all
        ([(0.80, 0.88, 0.95), (0.00, 0.00, 0.04)], None),
    ],
)
def test_the_strongest_condition_lies_between_chance_and_clean(
    figures: list[tuple[float, float, float]], expected: int | None
) -> None:
    rows = [fog(*f, severity=i) for i, f in enumerate(figures)]
    assert strongest(rows, top=0.9, chance=0.1) is (None if expected is None else rows[expected])


def test_the_headline_has_a_paired_difference_and_the_weakest_strength_where_all_falls(make_run: Make) -> None:
    found = build(make_run()).data["headline"]
    assert found["chance"] == 0.2
    assert found["condition"] == "gaussian_noise-5"
    assert found["difference"]["value"] == pytest.approx(3 / 8 - 7 / 8)
    assert found["difference"]["low"] < found["difference"]["value"] < found["difference"]["high"] < 0
    assert found["collapse"] == "pgd-linf-0.1"


@pytest.mark.parametrize(
    ("plan", "options", "expected"),
    [
        ([], {}, "images of `folder:photos` is **87.5 %**"),
        (
            [Entry(method="fog", severities=(1,))],
            {},
            "It is lowest under **fog, severity 1**: **87.5 %**, which chance",
        ),
        ([Entry(method="fog", severities=(1, 3))], {"n": 160}, "**fog, severity 3** takes 25.0 points"),
        ([Entry(method="pgd", eps=("8/255", 0.1))], {"shift": 4.0}, "At **PGD L∞, ε 8/255** it is left with 0.0 %"),
        ([Entry(method="pgd", eps=(0.1,))], {"labelled": False}, "Under **PGD L∞, ε 0.1** only 12.5 % stay the same"),
    ],
)
def test_the_first_sentences_say_what_is_known(
    make_run: Make, plan: list[Entry], options: dict[str, Any], expected: str
) -> None:
    text = render_markdown(report_page(build(make_run(plan=plan, **options)))).replace("\\", "")
    assert expected in text


def test_one_change_is_said_once(make_run: Make) -> None:
    one = render_markdown(report_page(build(make_run("one", plan=[Entry(method="fog", severities=(3,))], n=160))))
    two = render_markdown(report_page(build(make_run("two", plan=[Entry(method="fog", severities=(1, 3))], n=160))))
    assert "under every change." not in one.split("##")[0]
    assert "under every change." in two.split("##")[0]
    assert "By severity" not in one
    assert "By severity" in two
