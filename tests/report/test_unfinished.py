"""A search that its budget cut short is the first thing that a report, a terminal and a gate say of it."""

from __future__ import annotations

import pytest

import unshaken
from unshaken.report.render.terminal import warnings

ON_PAGES = "auto L∞, ε 8/255 did not finish: its budget left out apgd-t, fab-t and square, so more may be broken; "
TEXT = "auto (linf, eps 8/255) did not finish: its budget left out apgd-t, fab-t and square, so more may be broken; "
GATES = ("auto.accuracy >= 0.1", "worst_case >= 0.1", "clean.accuracy >= 0.1")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return unshaken.attack(
        "demo:robust", "demo", "auto:steps=4,queries=40", budget="20", limit=4, gates=GATES,
        out=tmp_path_factory.mktemp("run") / "r",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_it_is_the_first_sentence(done, name):
    page = done.run.read(name).decode().replace("\\", "").replace("\N{NO-BREAK SPACE}", " ")
    assert 0 < page.find(ON_PAGES) < page.find("The accuracy on")
    assert any(ON_PAGES in line for line in warnings(done.page))


def test_it_is_in_the_summary_and_beside_each_gate_on_it(done):
    assert "unfinished-search" in {f["name"] for f in done.summary["flags"]}
    assert [TEXT in gate.detail for gate in done.gates] == [True, True, False]
    assert done.run.read("junit.xml").decode().count(TEXT) == 2
