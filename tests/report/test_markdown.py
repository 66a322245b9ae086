from __future__ import annotations

from collections.abc import Callable

from unshaken.report import build, check_gates, compare_runs
from unshaken.report.markdown import render_compare_markdown, render_markdown
from unshaken.run import RunDir

Make = Callable[..., RunDir]


def test_the_report_has_the_figures_and_nothing_hostile(make_run: Make) -> None:
    base = make_run("base", shift=-2.0)
    summary = build(make_run(), baseline=base)
    gates = check_gates(["worst_case >= 0.5"], summary.data)
    text = render_markdown(summary, gates)
    assert "it is right in **87.5 %** (74.8 to 95.3 %)" in text
    assert "| fog, severity 3 | 62.5 % | 47.4 to 76.0 % | 75.0 % | 60.4 to 86.4 % |" in text
    assert "**failed**: `worst_case >= 0.5`" in text
    assert "against small net" in text
    assert "<" not in text.replace("\\<", "")
    assert "overhead 1.200" in text


def test_without_labels_it_says_so(make_run: Make) -> None:
    text = render_markdown(build(make_run(labelled=False)))
    assert "have no labels" in text
    assert "| fog, severity 3 | – | – | 75.0 % |" in text


def test_a_comparison_names_what_became_worse(make_run: Make) -> None:
    text = render_compare_markdown(compare_runs([make_run("a"), make_run("b", shift=2.0, model_name="b|net")]))
    assert "## b\\|net against small net" in text
    assert "| fog, severity 3 | 62.5 % | 37.5 % | -25.0 (" in text
    assert "| worse |" in text
