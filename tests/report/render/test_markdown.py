from __future__ import annotations

from collections.abc import Callable

import pytest

from unshaken.report import build, check_gates, compare_runs
from unshaken.report.blocks import Cell, Column, Commands, Group, Headline, Page, Prose, Span, Table
from unshaken.report.pages.runs import comparison_page, report_page
from unshaken.report.render.markdown import escape, render_blocks, render_markdown
from unshaken.store.config import Entry
from unshaken.store.run_dir import RunDir

Make = Callable[..., RunDir]


def test_the_report_has_the_figures_and_nothing_hostile(make_run: Make) -> None:
    summary = build(make_run(), baseline=make_run("base", shift=-2.0))
    gates = check_gates(["worst_case >= 0.5"], summary.data)
    text = render_markdown(report_page(summary, gates))
    assert "unchanged images of `folder:photos` is **87.5 %** \\(74.8 to 95.3 %\\)" in text
    assert "| fog, severity 3 | 62.5 % (47.4 to 76.0 %) | 25.0 |" in text
    assert "**gate FAILED**: `worst_case >= 0.5`" in text
    assert "against small net" in text
    assert "<" not in text.replace("\\<", "")
    assert "- overhead: 1.200" in text


def test_without_labels_it_says_so(make_run: Make) -> None:
    text = render_markdown(report_page(build(make_run(labelled=False))))
    assert "have no labels" in text
    assert "| fog, severity 3 | – | – | 75.0 % (60.4 to 86.4 %) |" in text


def test_a_comparison_names_what_became_worse(make_run: Make) -> None:
    runs = [make_run("a"), make_run("b", shift=2.0, model_name="b|net")]
    text = render_markdown(comparison_page(compare_runs(runs)))
    assert "## b\\|net" in text
    assert "| fog, severity 3 | 62.5 % | 37.5 % | -25.0 (" in text
    assert "**▼ worse** |" in text


def test_stages_and_nearest_examples_are_tables(make_run: Make) -> None:
    plan = [Entry(method="pgd", eps=("2/255", "8/255"))]
    text = render_markdown(report_page(build(make_run(plan=plan, attacks=True))))
    assert "| **PGD L∞, ε 2/255 from 87.5 %** |" in text
    assert "| 1. even | 42 | 6 | 75.0 % (60.4 to 86.4 %) | 13.1 | 1 s |" in text
    # 1170 passes within 2/255 and 900 within 8/255, of 48 samples
    odd = "2. odd: why \\<script\\>alert\\(1\\)\\</script\\>"
    assert f"| {odd} | 30 | 6 | 50.0 % (35.2 to 64.8 %) | 43.1 | 1 s |" in text
    assert "| DeepFool L2 | 71.4 % (" in text
    assert "classified correctly when unchanged are broken within ε 0.4 (" in text.replace("\\", "")


def test_without_attacks_there_is_no_such_part(make_run: Make) -> None:
    text = render_markdown(report_page(build(make_run(plan=[Entry(method="fog", severities=(3,))]))))
    assert "## Attacks" not in text
    assert "Nearest examples" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<b>|", "\\<b\\>\\|"),
        ("a\n# b", "a \\# b"),
        ("[x](javascript:y)", "\\[x\\]\\(javascript:y\\)"),
        ("`rm`", "\\`rm\\`"),
        ("- x - y", "\\- x - y"),
        ("@all &amp;", "\\@all \\&amp;"),
    ],
)
def test_text_is_no_markup(text: str, expected: str) -> None:
    assert escape(text) == expected


def test_a_table_has_as_many_cells_in_each_line() -> None:
    rows = (Group("all"), ("x|y", Cell("1", "0 to 2", "a note")), (Span("a`b", "code"), ""))
    lines = render_blocks([Table("what", (Column("a", number=False), Column("b")), rows)]).splitlines()
    assert lines == [
        "what",
        "",
        "| a | b |",
        "| --- | ---: |",
        "| **all** |  |",
        "| x\\|y | 1 (0 to 2): a note |",
        "| a\\`b | – |",
    ]


def test_no_text_steers_the_terminal() -> None:
    odd = "\x1b[2Jgone\x07\x9b31m"
    page = Page("t", (Headline(odd, (odd,)), Commands((odd,)), Table(odd, (Column(odd),), ((odd,),)), Prose(odd)))
    text = render_markdown(page)
    assert all(c.isprintable() or c == "\n" for c in text)
    assert text.count("gone") == 7
