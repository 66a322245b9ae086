"""Questions of a first-time user, answered by the text of the first screen of each kind of page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from unshaken.report import build, check_gates, compare_runs
from unshaken.report.blocks import Page
from unshaken.report.pages.evaluate import EVALUATE
from unshaken.report.pages.labels import LABELS
from unshaken.report.pages.page_kind import Folder
from unshaken.report.pages.runs import comparison_page, report_page
from unshaken.report.render.markdown import render_markdown
from unshaken.store.config import Entry
from unshaken.store.run_dir import RunDir
from unshaken.tasks.evaluation import EvaluationRecord

Make = Callable[..., RunDir]
Read = Callable[[Page], str]
FOG = [Entry(method="fog", severities=(1, 3))]


def test_an_audit_says_what_is_worst_what_failed_and_what_to_doubt(make_run: Make, first_screen: Read) -> None:
    summary = build(make_run())
    text = first_screen(report_page(summary, check_gates(["clean.accuracy >= 0.5", "worst_case >= 0.5"], summary.data)))
    answers = {
        "how good is it on unchanged images?": "87.5 % (74.8 to 95.3 %)",
        "which condition is worst?": "At PGD L∞, ε 0.1 it is left with 0.0 %",
        "what lowers it most without an attacker?": "gaussian noise, severity 5",
        "did the gate hold?": "1 of 2 gates failed: worst_case >= 0.5",
        "may I trust the figures?": "2 reasons to doubt these figures",
        "were all samples read?": "1 sample left out",
        "what is to be done next?": "Next: ",
    }
    assert {question: answer for question, answer in answers.items() if answer not in text} == {}


def test_an_audit_without_doubts_says_what_to_train_against(make_run: Make, first_screen: Read) -> None:
    text = first_screen(report_page(build(make_run(plan=FOG, flags=False, bad=False))))
    assert text.startswith("Robustness of small net")
    assert "Next: unshaken harden --from DIR plans a training against what lowers the accuracy most." in text
    unlabelled = first_screen(report_page(build(make_run("other", plan=FOG, flags=False, labelled=False))))
    assert "harden" not in unlabelled


def test_a_comparison_says_whether_and_by_how_much_it_is_better(make_run: Make, first_screen: Read) -> None:
    runs = [make_run("one", plan=FOG), make_run("two", plan=FOG, shift=2.0, model_name="second")]
    text = first_screen(comparison_page(compare_runs(runs)))
    assert text.startswith("Is second better than small net?")
    assert "on the same 48 images it is better under 0, worse under 2" in text
    assert "greatest loss 87.5 to 62.5 % fog, severity 1: -25.0 points" in text  # wrong are one of eight, then three


ESTIMATE = {"low": 0.01, "high": 0.15, "usable": True}
REVIEW = {"ids": ["a", "b", "c"], "strata": [0, 0, 1], "sizes": [10, 190]}


def searched(**changes: Any) -> dict[str, Any]:
    """A record of a search among 200 labels, of which 11 are suspect."""
    return {
        "settings": {"data": "demo", "probabilities": "given.npy"}, "samples": 200, "classes": ["cat", "dog"],
        "bad_samples": [], "estimate": ESTIMATE, "review": REVIEW, "known_wrong": None,
        "agreement": {"predicted": {"value": 0.9, "low": 0.85, "high": 0.94}, "largest_class": 0.1},
        "found": {"confident-learning": {"flagged": 11, "expected_wrong": {"low": 0.2, "high": 0.9}}},
    } | changes  # fmt: skip


def test_a_search_for_wrong_labels_says_how_many_and_what_to_look_at(make_run: Make, first_screen: Read) -> None:
    run = make_run(plan=[])
    text = first_screen(LABELS.page(Folder(run, searched())))
    answers = {
        "how many labels shall I look at?": "suspect labels 11 of 200",
        "how many of these are wrong?": "20.0 to 90.0 % of them expected to be wrong",
        "how many labels are wrong in all?": "wrong labels of all 1.0 to 15.0 %",
        "what do I do now?": "Next: unshaken labels review DIR shows 3 images for review now.",
    }
    assert text.startswith("Which labels are wrong?")
    assert {question: answer for question, answer in answers.items() if answer not in text} == {}


@pytest.mark.parametrize("estimate", [None, ESTIMATE | {"usable": False}])
def test_no_share_of_wrong_labels_is_shown_where_none_is_known(
    make_run: Make, first_screen: Read, estimate: Any
) -> None:
    text = first_screen(LABELS.page(Folder(make_run(plan=[]), searched(estimate=estimate, review=None))))
    assert "wrong labels of all" not in text
    assert "no estimate" in text
    assert "Next: unshaken labels find --review-size 200 draws the samples for a review." in text


def figure(value: float, low: float, high: float, interval: str = "bootstrap 95%") -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": 100, "interval": interval}


def test_an_evaluation_says_its_figures_in_per_cent_and_what_to_do_next(make_run: Make, first_screen: Read) -> None:
    figures = {
        "accuracy_knn": figure(0.75, 0.6, 0.85), "difference_knn": figure(-0.05, -0.1, 0.01),
        "coverage": figure(0.9, 0.8, 0.95, "clopper-pearson 95%"), "set_size": figure(1.2, 1.1, 1.3),
        "drop": figure(0.04, 0.01, 0.07, "newcombe 95%"), "p_value": figure(0.2, 0.2, 0.2, "holm, no interval"),
    }  # fmt: skip
    rows = [["pgd-linf-0.0313725", figures["accuracy_knn"], 3.0], ["clean", None, 1.5]]
    record = EvaluationRecord(
        method="few-shot", params={}, title="How good?", settings={"data": "demo", "models": ["demo"], "seed": 0},
        figures=figures, remarks=[], extra={}, forwards=1, backwards=0, samples=1, finished=True,
        answer=["Under pgd-linf-0.0313725 it is worst."],
        listings=[{"caption": "All.", "columns": ["condition", "accuracy", "size"], "rows": rows}],
    )  # fmt: skip
    page = EVALUATE.page(Folder(make_run(plan=[]), record))
    text = first_screen(page)
    answers = {
        "which condition is worst?": "Under PGD L∞, ε 8/255 it is worst.",
        "how good is it?": "accuracy knn 75.0 % 60.0 to 85.0 %",
        "what of the rest?": "set size 1.2 1.1 to 1.3",
        "how much is lost?": "drop +4.0 points +1.0 to +7.0",
        "under each condition?": "PGD L∞, ε 8/255 75.0 % (60.0 to 85.0 %) 3",
        "and unchanged?": "unchanged images – 1.5",
        "on how many?": "Judged on 1 sample of demo.",
        "what is to be done next?": "Next: --gate 'accuracy_knn >=...' holds this figure in later runs.",
    }
    assert {question: answer for question, answer in answers.items() if answer not in text} == {}
    assert "difference" not in text
    assert "| difference\\_knn | -5.0 points (\\-10.0 to +1.0) |" in render_markdown(page)
    assert "| p\\_value | 0.2 |" in render_markdown(page)
