from __future__ import annotations

from typing import Any

import pytest

from unshaken.core.numbers import show_budget
from unshaken.report import wording


@pytest.mark.parametrize(
    ("eps", "text"),
    [(8 / 255, "8/255"), (0.1, "0.1"), (1 / 255, "1/255"), (0.5, "0.5"), (0.0, "0"), (1.0, "1"), (12.0, "12")],
)
def test_budgets_are_written_as_people_do(eps: float, text: str) -> None:
    assert show_budget(eps) == text


@pytest.mark.parametrize(
    ("condition", "name", "series"),
    [
        (
            {"condition": "gaussian_noise-3", "severity": 3, "norm": None},
            "gaussian noise, severity 3",
            "gaussian_noise",
        ),
        ({"condition": "pgd-linf-0.0313725", "eps": 8 / 255, "norm": "linf"}, "PGD L∞, ε 8/255", "pgd-linf"),
        ({"condition": "pgd+2-l2-0.5", "eps": 0.5, "norm": "l2"}, "PGD (line 2) L2, ε 0.5", "pgd+2-l2"),
        (
            {"condition": "jpeg_compression-1", "severity": 1, "norm": None},
            "JPEG compression, severity 1",
            "jpeg_compression",
        ),
        (
            {"condition": "carlini-wagner+3-l2-0.25", "eps": 0.25, "norm": "l2"},
            "Carlini Wagner (line 3) L2, ε 0.25",
            "carlini-wagner+3-l2",
        ),
        ({"condition": "custom", "norm": None}, "custom", "custom"),
    ],
)
def test_conditions_have_names_for_people(condition: dict[str, Any], name: str, series: str) -> None:
    assert wording.condition_name(condition) == name
    assert wording.series_of(condition) == series


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("jpeg_compression-3", "JPEG compression, severity 3"),
        ("gaussian_noise-5", "gaussian noise, severity 5"),
        ("linf-0.0313725", "linf 0.0313725"),
        ("cifar", "cifar"),
    ],
)
def test_sets_of_detectors_have_the_titles_of_their_methods(name: str, title: str) -> None:
    assert wording.method_name(name) == title


def test_numbers_and_times_are_short() -> None:
    assert [wording.number(v) for v in (12345, 3.274, 0.00412, None, 7.0)] == ["12,345", "3.27", "0.00412", "–", "7"]
    assert [wording.seconds(v) for v in (0.41, 12.4, 200, 7500, None)] == [
        "0.41 s",
        "12 s",
        "3 min 20 s",
        "2 h 5 min",
        "–",
    ]
    assert (wording.percent(0.8754), wording.percent(None), wording.percent(1.0, 0)) == ("87.5 %", "–", "100 %")
    assert wording.span({"low": 0.1, "high": None}) == "–"


def test_eps_is_explained_in_the_norms_that_there_are() -> None:
    assert wording.meaning_of_eps({None}) == ""
    text = wording.meaning_of_eps({"l2", None})
    assert "in L2 of" in text
    assert "L∞" not in text


def test_sizes_are_written_as_budgets_where_they_are_one() -> None:
    assert wording.distance(8 / 255, "linf") == "8/255"
    assert wording.distance(8 / 255, "l2") == "0.0314"


@pytest.mark.parametrize(
    ("condition", "name"),
    [
        ("clean", "unchanged images"),
        ("fog-3", "fog, severity 3"),
        ("pgd-linf-0.0313725", "PGD L∞, ε 8/255"),
        ("pgd+2-l2-0.5", "PGD (line 2) L2, ε 0.5"),
        ("deepfool-l2", "DeepFool L2, nearest examples"),
    ],
)
def test_an_id_alone_has_the_same_name_for_people(condition: str, name: str) -> None:
    assert wording.name_of_id(condition) == name


def test_flags_name_searches_as_conditions() -> None:
    assert wording.flag_text("pgd (linf, eps 8/255) did not finish") == "PGD L∞, ε 8/255 did not finish"
    assert wording.flag_text("auto (l2) did not finish") == "auto L2 did not finish"
    assert wording.flag_text("nothing (at all)") == "nothing (at all)"
