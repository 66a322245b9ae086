import json
from pathlib import Path

import pytest

from unshaken.core.errors import DataError
from unshaken.papers import PaperResult, write_table

ROWS = Path(__file__).parents[2] / "src" / "unshaken_papers"
FIGURE = {"value": 0.78123, "low": 0.75, "high": 0.81, "n": 1000, "interval": "clopper-pearson 95%"}


def result(**changes):
    fields = {
        "slug": "some-paper",
        "title": "Some Paper",
        "claim": "It holds.",
        "measured": {"rate": FIGURE, "law": 0.787, "name": "a|b"},
        "expected": {"rule": "rate within 0.06 of the law", "rate": 0.787, "published": "40 %"},
        "reproduced": True,
        "data": "demo",
        "model": "demo:standard",
        "seed": 3,
        "seconds": 12.4,
        "note": "A note.",
    }
    return PaperResult(**{**fields, **changes})


def test_a_result_is_kept_and_shown(tmp_path):
    path = result().save(tmp_path / "kept")
    assert json.loads(path.read_text()) == result().to_json()
    result(slug="another", reproduced=False).save(tmp_path / "kept")
    text = write_table(tmp_path / "kept", tmp_path / "docs" / "papers.md")
    assert (tmp_path / "docs" / "papers.md").read_text() == text
    assert [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| [")] == [
        "| [another](../kept/another/README.md)",
        "| [some-paper](../kept/some_paper/README.md)",
    ]
    page = (tmp_path / "kept" / "some_paper" / "README.md").read_text()
    assert "[result.json](result.json)" in page


def test_the_page_follows_from_the_results_alone(tmp_path):
    result().save(tmp_path)
    (tmp_path / "papers.md").write_text("something else")
    first = write_table(tmp_path, tmp_path / "papers.md")
    assert write_table(tmp_path, tmp_path / "papers.md") == first


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("some_paper", "{", "cannot be read"),
        ("some_paper", "[]", "is no result"),
        ("some_paper", json.dumps({**result().to_json(), "reproduced": "perhaps"}), "reproduced"),
        ("some_paper", json.dumps({**result().to_json(), "more": 1}), "more"),
        ("other", json.dumps(result().to_json()), "name its folder some_paper"),
    ],
)
def test_what_is_no_result_is_named(tmp_path, name, text, words):
    (tmp_path / name).mkdir()
    (tmp_path / name / "result.json").write_text(text)
    with pytest.raises(DataError, match=words):
        write_table(tmp_path, tmp_path / "papers.md")
    assert not (tmp_path / "papers.md").exists()


def test_bad_results_are_named_and_the_others_written(tmp_path):
    kept, out = tmp_path / "kept", tmp_path / "docs" / "papers.md"
    result().save(kept)
    result(slug="broken").save(kept)
    write_table(kept, out)
    before = (kept / "broken" / "README.md").read_text()
    (kept / "broken" / "result.json").write_text("{")
    result(slug="dverge").save(kept)  # it has no figures that the rules of this row could judge
    result(slug="new").save(kept)
    message = r"is written, but 2 of 4 results .*broken/result\.json cannot be read .*; the figures of dverge do not"
    with pytest.raises(DataError, match=message):
        write_table(kept, out)
    assert [line.split("]")[0] for line in out.read_text().splitlines() if line.startswith("| [")] == [
        "| [dverge",
        "| [new",
        "| [some-paper",
    ]
    assert (kept / "broken" / "README.md").read_text() == before
    pages = {name: (kept / name / "README.md").read_text() for name in ("dverge", "new")}
    assert ["it is to be made again" in page for page in pages.values()] == [True, False]
    assert [", by earlier rules.**" in page for page in pages.values()] == [True, False]
    assert json.loads((kept / "dverge" / "result.json").read_text())["title"] == "Some Paper"


def test_the_remark_is_made_of_the_figures_again(tmp_path):
    stored = json.loads((ROWS / "accuracy_disparity" / "result.json").read_text(encoding="utf-8"))
    path = tmp_path / "accuracy_disparity" / "result.json"
    path.parent.mkdir()
    measured = {**stored["measured"], "networks_from_cache": True}
    path.write_text(json.dumps({**stored, "measured": measured, "remark": "As it was said once.", "note": "Once."}))
    write_table(tmp_path, tmp_path / "papers.md")
    after = json.loads(path.read_text())
    assert after["remark"].endswith("The networks came from the cache, so the seconds hold no training.")
    assert "once" not in after["remark"] + after["note"]
    assert after["note"].endswith(after["remark"])


def test_what_a_paper_states_is_brought_up_to_date_and_figures_are_not(tmp_path):
    path = tmp_path / "dverge" / "result.json"
    path.parent.mkdir()
    path.write_bytes((ROWS / "dverge" / "result.json").read_bytes())
    now = {"schema": 1, **json.loads(path.read_text()), "seen_in_training": []}
    path.write_text(json.dumps({**now, "headline": [], "claim": "As it was said once."}))
    write_table(tmp_path, tmp_path / "papers.md")
    assert PaperResult.model_validate_json(path.read_text()) == PaperResult.model_validate(now)
    assert "seed*.dverge.clean" in [figure["name"] for figure in now["headline"]]
    stamp = path.stat().st_mtime_ns
    write_table(tmp_path, tmp_path / "papers.md")
    assert path.stat().st_mtime_ns == stamp


def test_figures_are_judged_by_the_rules_of_now_and_the_page_says_that_these_are_new(tmp_path):
    stored = json.loads((ROWS / "dverge" / "result.json").read_text(encoding="utf-8"))
    path = tmp_path / "dverge" / "result.json"
    path.parent.mkdir()
    path.write_text(json.dumps({**stored, "reproduced": not stored["reproduced"], "frozen": "0" * 32}))
    write_table(tmp_path, tmp_path / "papers.md")
    after = json.loads(path.read_text())
    assert (after["measured"], after["seconds"]) == (stored["measured"], stored["seconds"])
    assert after["parts"]
    page = (tmp_path / "dverge" / "README.md").read_text()
    assert "Parts or rules were written anew after the run; its figures are as they were." in page
    path.write_text(json.dumps({**after, "frozen": after["judged"]}))
    write_table(tmp_path, tmp_path / "papers.md")
    page = (tmp_path / "dverge" / "README.md").read_text()
    assert "Parts, rules and settings are as they stood before the first row." in page


def test_no_results_are_said_so(tmp_path):
    with pytest.raises(DataError, match="no results"):
        write_table(tmp_path / "absent", tmp_path / "papers.md")
