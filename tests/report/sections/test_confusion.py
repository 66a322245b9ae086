from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import confusion_matrix

from unshaken.report import build
from unshaken.report.pages.runs import report_page
from unshaken.report.render.html import render_html
from unshaken.report.render.markdown import render_markdown
from unshaken.report.render.terminal import render_terminal
from unshaken.report.sections.confusion import _carries_matrix
from unshaken.store.config import Entry
from unshaken.store.run_dir import RunDir

Make = Callable[..., RunDir]
FOG = [Entry(method="fog", severities=(3,))]
NAMES = ["cat", "dog", "fox", "a very long name of a class that nobody would like to see cut", "owl"]


def test_the_matrices_agree_with_scikit_learn(make_run: Make) -> None:
    summary = build(make_run(plan=FOG, n=160))
    frame = summary.frame
    clean, fog = summary.data["confusion"]
    assert (clean["condition"], fog["condition"]) == ("clean", "fog-3")
    for j, one in enumerate((clean, fog)):
        expected = confusion_matrix(frame.labels, frame.prediction[:, j])
        np.testing.assert_array_equal(one["matrix"], expected)
        off = expected - np.diag(np.diag(expected))
        assert one["wrong"] == off.sum()
        assert [p["count"] for p in one["pairs"]] == sorted(off[off > 0].tolist(), reverse=True)
        for p in one["pairs"]:
            assert p["count"] == expected[p["label"], p["predicted"]]
            assert p["share"]["n"] == expected[p["label"]].sum()


def test_many_classes_have_pairs_and_no_matrix(make_run: Make) -> None:
    (clean,) = build(make_run(plan=[], n=48, classes=[f"kind {i}" for i in range(24)])).data["confusion"]
    assert clean["matrix"] is None
    assert [(p["name"], p["predicted_name"], p["count"]) for p in clean["pairs"]] == [
        ("kind 0", "kind 1", 2),
        ("kind 8", "kind 9", 2),
        ("kind 16", "kind 17", 2),
    ]


@pytest.mark.parametrize(("n", "wrong", "drawn"), [(50, 10, True), (49, 10, False), (50, 9, False)])
def test_a_matrix_needs_five_images_and_a_wrong_one_a_class(n: int, wrong: int, drawn: bool) -> None:
    assert _carries_matrix({"names": list("abcdefghij"), "n": n, "wrong": wrong}) is drawn


@pytest.mark.parametrize(("n", "drawn"), [(80, True), (72, False)])
def test_a_matrix_is_drawn_where_the_counts_carry_it(make_run: Make, n: int, drawn: bool) -> None:
    summary = build(make_run(plan=[], n=n, classes=[f"kind {i}" for i in range(10)], bad=False))
    assert summary.data["confusion"][0]["matrix"] is not None
    assert ("A row is a true class" in render_html(report_page(summary))) is drawn


def test_pages_and_terminal_name_the_pairs(make_run: Make) -> None:
    page = report_page(build(make_run(plan=FOG, n=160, classes=NAMES)))
    html, markdown, out = render_html(page), render_markdown(page), StringIO()
    console = Console(file=out, width=400)
    for part in render_terminal(page):
        console.print(part)
    first = "Confused most often on unchanged images: cat taken for dog (4 of 32)"
    assert first in html
    assert "| cat | dog | 4 | 12.5 % (" in markdown.replace("\\", "")
    assert first in out.getvalue()
    assert "Under fog, severity 3: cat taken for dog (12 of 32)" in out.getvalue()
    assert f'title="{NAMES[3]}"' in html  # a heading that is cut says its whole name
    assert "true class | cat" not in markdown


@pytest.mark.parametrize("options", [{"labelled": False}, {"classes": ["only"], "n": 8}])
def test_without_confusions_there_is_no_such_part(make_run: Make, options: dict[str, object]) -> None:
    assert 'id="confusion"' not in render_html(report_page(build(make_run(plan=[], **options))))
