import pytest
from pydantic import Field

from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.core.tables import TABLES
from unshaken.papers import Check, Paper, PaperResult, freeze, list_papers, row, run_paper
from unshaken.papers.folders import forget_row
from unshaken.papers.run import figures_of
from unshaken.papers.table import judge_again
from unshaken.store.run_dir import RunDir

FIGURE = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 96, "interval": "clopper-pearson 95%"}


CLAIM = """
title = "On Halves"
claim = "It is above one half."
reference = "none"
data = "own-data"
model = "own-model"
rule = "value above 0.5"
differs = ["The glass is a number."]
headline."part.level" = ["Level of the glass", "share"]
expected."part.level" = 0.9
tables.levels.level = "double"

[sizes.quick]
value = 0.75
more = 1

[sizes.full]
value = 0.8
more = 2
"""


@pytest.fixture
def paper(tmp_path):
    """A paper that claims that a number is above one half."""
    folder = tmp_path / "half_full"
    folder.mkdir()
    (folder / "claim.toml").write_text(CLAIM)

    @row(folder)
    class HalfFull(Paper):
        """A claim about a number."""

        value: float = Field(description="the number")
        more: int = Field(description="another")

        def needed_data(self, data, *, own):
            return []

        def run(self, context):
            if context.data == "absent":
                raise DataError("data 'absent' is not here; get it")
            if not context.has("all", "levels"):
                context.write("levels", "all", {"id": ["own" if context.own else "paper"], "level": [self.value]})

        def figures(self, rows):
            (row,) = rows.table("levels", "all").to_pylist()
            return {"part": {"level": row["level"], "figure": FIGURE}, "own": row["id"] == "own"}

        def judge(self, measured):
            return [Check(f"level is {measured['part']['level']}", measured["part"]["level"] > 0.5)]

        def remark(self, measured):
            return "A remark."

    yield HalfFull
    forget_row("half-full")
    TABLES.pop("half_full_levels", None)  # as a test of the documentation may come after it


def test_the_verdict_follows_from_the_rule(paper, tmp_path):
    result = run_paper("half-full", seed=4, out=tmp_path / "run")
    document = result.to_json()
    assert list(document) == [
        *("schema", "slug", "title", "claim", "measured", "expected", "reproduced", "data", "model", "seed", "seconds"),
        *("note", "scale", "summary", "headline", "differs", "checks", "parts", "frozen", "judged", "provenance"),
        *("remark", "seen_in_training"),
    ]
    assert result.reproduced is True
    assert document["measured"] == {"part.level": 0.75, "part.figure": FIGURE, "own": False}
    assert document["expected"] == {"part.level": 0.9, "rule": "value above 0.5"}
    assert (document["data"], document["model"], document["seed"]) == ("own-data", "own-model", 4)
    assert document["note"] == "Held: level is 0.75. A remark."
    check = {
        "words": "level is 0.75",
        "holds": True,
        "part": "claim",
        "opposed": False,
        "smallest": None,
        "short": False,
    }
    assert (document["checks"], document["remark"]) == ([check], "A remark.")
    assert [(p["name"], p["statement"], p["rule"], p["outcome"]) for p in document["parts"]] == [
        ("claim", "It is above one half.", "value above 0.5", "shown")
    ]
    assert document["frozen"] == document["judged"] != ""
    assert document["headline"] == [{"name": "part.level", "title": "Level of the glass", "unit": "share"}]
    assert (document["summary"], document["differs"]) == ("It is above one half.", ["The glass is a number."])
    assert PaperResult.model_validate_json((tmp_path / "run" / "result.json").read_text()) == result


def test_a_claim_that_fails_says_which_part(paper, tmp_path):
    result = run_paper("half-full:value=0.25", out=tmp_path / "run")
    assert result.reproduced is False
    assert result.note == "Did not hold: level is 0.25. Run with value=0.25. A remark."


def test_fewer_images_than_asked_for_are_said(paper, tmp_path, monkeypatch):
    whole = paper.run

    def run(self, context):
        context.record.add_fewer("mine?split=test", asked=600, there=40)
        whole(self, context)

    monkeypatch.setattr(paper, "run", run)
    result = run_paper("half-full", out=tmp_path / "run")
    assert result.note == "Held: level is 0.75. Asked for 600 images of mine?split=test, which has 40. A remark."
    assert judge_again(result, paper) == result
    monkeypatch.setattr(paper, "run", whole)
    assert run_paper("half-full", out=tmp_path / "run").note == result.note


def test_a_session_that_fails_counts(paper, tmp_path, monkeypatch):
    def run(self, context):
        context.record._began -= 600
        raise KeyboardInterrupt

    whole = paper.run
    monkeypatch.setattr(paper, "run", run)
    with pytest.raises(KeyboardInterrupt):
        run_paper("half-full", out=tmp_path / "run")
    monkeypatch.setattr(paper, "run", whole)
    assert run_paper("half-full", out=tmp_path / "run").seconds >= 600


def test_own_data_and_model_take_the_place_of_the_papers(paper, tmp_path):
    result = run_paper("half-full", out=tmp_path / "run", data="mine")
    assert (result.data, result.model, result.measured["own"]) == ("mine", "own-model", True)


def test_rows_of_another_experiment_are_not_mixed_in(paper, tmp_path):
    first = run_paper("half-full", out=tmp_path / "run")
    again = run_paper("half-full", out=tmp_path / "run")
    assert again.measured == first.measured == figures_of(tmp_path / "run")
    assert [len(r.provenance["sessions"]) for r in (first, again)] == [1, 2]
    assert again.seconds >= first.seconds
    with pytest.raises(RunError, match=r"value differ\); choose another --out"):
        run_paper("half-full:value=0.9", out=tmp_path / "run")
    with pytest.raises(RunError, match=r"\(seed differ"):
        run_paper("half-full", seed=1, out=tmp_path / "run")


def test_rules_are_frozen_before_the_run_and_a_later_change_shows(paper, tmp_path, monkeypatch):
    frozen = freeze("half-full", out=tmp_path / "run")
    assert freeze("half-full", out=tmp_path / "run") == frozen
    kept = run_paper("half-full", out=tmp_path / "run")
    assert kept.frozen == kept.judged == frozen["rule"]
    assert kept.provenance["frozen"] == frozen
    monkeypatch.setattr(paper, "rule", "value above 0.7")
    changed = run_paper("half-full", out=tmp_path / "run")
    assert changed.frozen == frozen["rule"] != changed.judged
    with pytest.raises(RunError, match=r"value differ\); choose another --out"):
        freeze("half-full:value=0.9", out=tmp_path / "run")


def test_rows_of_an_earlier_version_are_refused(paper, tmp_path):
    RunDir(tmp_path / "run").write_json({"key": {"seed": 0}, "provenance": {}}, "paper.json")
    with pytest.raises(RunError, match=r"an earlier version of unshaken; choose another --out"):
        run_paper("half-full", out=tmp_path / "run")
    with pytest.raises(RunError, match="an earlier version of unshaken; run the paper again"):
        figures_of(tmp_path / "run")


def test_what_cannot_run_is_one_clear_error(paper, tmp_path):
    with pytest.raises(DataError, match="get it"):
        run_paper("half-full", data="absent", out=tmp_path / "run")
    with pytest.raises(ParameterError, match="no method 'half-ful' in papers: did you mean 'half-full'"):
        run_paper("half-ful", out=tmp_path / "run")
    with pytest.raises(ParameterError, match="no parameter 'level'"):
        run_paper("half-full:level=1", out=tmp_path / "run")
    with pytest.raises(ParameterError, match="seed=-1"):
        run_paper("half-full", seed=-1, out=tmp_path / "run")


def test_the_default_directory_is_new(paper, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_paper("half-full")
    (made,) = (tmp_path / "runs" / "papers").iterdir()
    assert made.name.startswith("half-full-")
    assert (made / "result.json").is_file()


def test_papers_are_listed_with_what_they_state(paper):
    found = {p.slug: p for p in list_papers()}
    assert {"half-full", "crop-selection"} <= set(found)
    assert found["half-full"].to_json() == {
        "slug": "half-full",
        "title": "On Halves",
        "claim": "It is above one half.",
        "summary": "It is above one half.",
        "rule": "value above 0.5",
        "reference": "none",
        "data": "own-data",
        "model": "own-model",
    }


@pytest.mark.parametrize(
    ("text", "asked", "value", "found"),
    [
        ("half-full", "quick", 0.75, "quick"),
        ("half-full", "full", 0.8, "full"),
        ("half-full:value=0.75", "full", 0.75, None),  # what is given stays
        ("half-full:value=0.8,more=2", "quick", 0.8, "full"),
    ],
)
def test_a_scale_is_a_set_of_parameters(paper, tmp_path, text, asked, value, found):
    result = run_paper(text, scale=asked, out=tmp_path / "run")
    assert result.measured["part.level"] == value
    assert result.scale == found
    assert ("Run with more=2." in result.note) == (found is None)


def test_another_scale_is_another_experiment(paper, tmp_path):
    frozen = freeze("half-full", scale="full", out=tmp_path / "run")
    with pytest.raises(RunError, match=r"another experiment \(value, more differ\)"):
        run_paper("half-full", out=tmp_path / "run")
    assert run_paper("half-full", scale="full", out=tmp_path / "run").frozen == frozen["rule"]
    with pytest.raises(ParameterError, match="no scale 'ful'; did you mean 'full'"):
        run_paper("half-full", scale="ful")
