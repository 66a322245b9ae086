"""The board in the pages of runs: the same figures as the static site, links, filters, and what cannot be used."""

from __future__ import annotations

import json
import re
import shutil

import pytest

import unshaken
from tests.report.conftest import write_run
from tests.serve.site.conftest import HOSTILE, PLAN, runs_of
from unshaken.report import write_report

NAV = '<a href="/board">Board</a>'


def cells_of(page: str) -> list[str]:
    """The cells of all tables, without their links."""
    return [re.sub(r"</?a\b[^>]*>", "", cell) for cell in re.findall(r"<t[hd]\b.*?</t[hd]>", page, re.S)]


def test_the_figures_are_those_of_the_static_site(ann, folder, tmp_path):
    unshaken.board(folder, out=tmp_path / "board")
    page, still = ann.get("/board"), (tmp_path / "board/index.html").read_text(encoding="utf-8")
    assert cells_of(page) == cells_of(still)
    assert len(cells_of(page)) > 20
    runs = runs_of(ann.site)
    for run in runs.values():
        assert f'href="/runs/{run.id}"' in page
        assert f'href="/runs/{run.id}/model"' in page
        ann.get(f"/runs/{run.id}/model")
    assert NAV in ann.get("/runs")


def test_the_board_has_the_runs_that_fit_the_filters(ann):
    ann.site.index.tag(runs_of(ann.site)["a"].place, "night")
    page = ann.get("/board?tag=night")
    assert "1 model under 1 protocol" in page
    assert "net deep/b" not in page
    assert "No finished run fits" in ann.get("/board?search=nothing")
    ann.site.index.archive(runs_of(ann.site)["a"].place, archived=True)
    assert "net a" not in ann.get("/board")


def test_runs_of_one_model_alone_have_no_board_in_the_navigation(open_client, folder, tmp_path):
    (tmp_path / "one").mkdir()
    shutil.move(folder / "deep/b", tmp_path / "one/b")
    ann = open_client(tmp_path / "one")
    assert NAV not in ann.get("/runs")
    assert "1 model under 1 protocol" in ann.get("/board")
    shutil.copytree(folder / "a", tmp_path / "one/a")
    ann.site.index.refresh()
    assert NAV in ann.get("/runs")  # it comes with the second model


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clean", {"value": 0.5}),
        ("aggregates", {"worst_case": {"value": 0.5, "low": "odd"}}),
        ("cost", {"forwards": -1}),
        ("conditions", "odd"),
        ("bad_samples", None),
    ],
)
def test_a_summary_of_another_form_leaves_its_run_out(open_client, folder, name, value):
    summary = json.loads((folder / "a/summary.json").read_text())
    del summary[name]
    (folder / "a/summary.json").write_text(json.dumps(summary | ({name: value} if value else {})))
    page = open_client(folder).get("/board")
    assert "1 model under 1 protocol" in page
    assert "1 source left out" in page
    assert "summary.json is damaged" in page


def test_a_board_of_nothing_but_damaged_runs_says_why(open_client, folder):
    for name in ("a", "deep/b"):
        for file in (folder / name / "rows/outcomes").iterdir():
            file.write_bytes(b"no rows")
    assert "There is no board of these runs" in open_client(folder).get("/board")


def test_hostile_names_are_text(open_client, folder):
    write_report(write_run(folder / "c", plan=PLAN, shift=1.0, model_name=HOSTILE, model="demo", seed=1))
    page = open_client(folder).get("/board")
    assert "alert" in page
    assert "<script>alert" not in page
