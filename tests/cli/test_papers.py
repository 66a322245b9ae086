"""`unshaken papers`, with a paper of two numbers."""

from __future__ import annotations

import json

import pytest

from unshaken.core.errors import DataError
from unshaken.papers import Check, Paper, row
from unshaken.papers.folders import forget_row

CLAIM = """
title = "On even seeds"
claim = "Even seeds leave no rest."
reference = "nobody 2001, arXiv:0000.00000"
data = "demo"
model = "demo"
rule = "rest == 0"
expected.rest = 0
"""


@pytest.fixture
def paper(tmp_path):
    """A paper whose claim is that the seed is even; with seed 9 its data is absent."""
    folder = tmp_path / "toy_paper"
    folder.mkdir()
    (folder / "claim.toml").write_text(CLAIM)

    @row(folder)
    class Toy(Paper):
        """Even seeds are better."""

        def run(self, context):
            if context.seed == 9:
                raise DataError("data 'evens' is absent: get it with apt-get install evens")

        def figures(self, rows):
            figure = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 4, "interval": "exact"}
            return {"rest": rows.seed % 2, "share": figure}

        def judge(self, measured):
            return [Check(f"rest {measured['rest']} is 0", measured["rest"] == 0)]

    yield Toy
    forget_row("toy-paper")


def test_list_has_the_paper(paper, unshaken):
    assert "On even seeds" in unshaken("papers list").out
    (entry,) = [p for p in json.loads(unshaken("papers list --json").out) if p["slug"] == "toy-paper"]
    assert entry["claim"] == "Even seeds leave no rest."


@pytest.mark.parametrize(("seed", "code"), [(4, 0), (5, 1)])
def test_the_exit_code_is_the_verdict(seed, code, paper, unshaken, tmp_path):
    done = unshaken(f"papers run toy-paper --seed {seed} --out {tmp_path / 'run'} --json")
    result = json.loads(done.out)
    assert done.code == code
    assert result.keys() >= {
        "slug",
        "title",
        "claim",
        "measured",
        "expected",
        "reproduced",
        "data",
        "model",
        "seed",
        "seconds",
        "note",
    }
    assert (result["reproduced"], result["measured"]["rest"]) == (code == 0, seed % 2)


def test_the_table_has_measured_beside_expected(paper, unshaken, tmp_path):
    out = unshaken(f"papers run toy-paper --seed 5 --out {tmp_path / 'run'}").out
    lines = [line.split() for line in out.splitlines()]
    assert ["rest", "1", "0"] in lines
    assert ["share", "0.5", "(0.25", "to", "0.75)", "–"] in lines
    assert "NOT reproduced on demo with demo, seed 5" in out


def test_a_paper_that_cannot_run_gives_2_and_the_way_to_its_data(paper, unshaken, tmp_path):
    done = unshaken(f"papers run toy-paper --seed 9 --out {tmp_path / 'run'} --json")
    assert (done.code, done.out) == (2, "")
    assert done.err == "unshaken: data 'evens' is absent: get it with apt-get install evens\n"


def test_table_writes_the_page_from_kept_results(paper, unshaken, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept/toy_paper").mkdir(parents=True)
    (tmp_path / "kept/toy_paper/result.json").write_text(unshaken("papers run toy-paper --json").out)
    done = unshaken("papers table --results kept --out page.md")
    assert (done.code, done.out) == (0, "page: page.md\n")
    assert "toy-paper" in (tmp_path / "page.md").read_text()
    empty = unshaken("papers table --results nowhere --out page.md")
    assert empty.code == 2
