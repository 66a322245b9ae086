"""`unshaken evaluate ranking`: files of a user's to rows, figures and a page; a run that goes on; what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import unshaken
from tests.tasks.ranking.toy import collection
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.store.run_dir import RunDir
from unshaken.tasks.ranking import ranking
from unshaken.tasks.ranking.evaluate import RankingReport


def write(place, made):
    place.mkdir()
    for name, texts in (("documents", made.documents), ("queries", made.queries), ("types", made.types)):
        (place / f"{name}.tsv").write_text("".join(f"{key}\t{text}\n" for key, text in texts.items()))
    lines = [f"{q} 0 {d} {grade}\n" for q, grades in made.qrels.items() for d, grade in grades.items()]
    (place / "qrels.txt").write_text("".join(lines))
    return place


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "toy", collection())


def test_files_become_figures_and_a_page(folder, tmp_path):
    own = tmp_path / "My Run.txt"
    own.write_text("".join(f"q{n} Q0 d{n % 8}{3 * n % 8} 1 1.0 mine\n" for n in range(0, 8, 2)))
    line = (
        f"ranking:collection={folder},rankers=bm25+encoder,runs={own},measure=RR@10,queries=swap-1,documents=append-1"
    )
    found = unshaken.evaluate(line, out=tmp_path / "run", gates="effectiveness_bm25 >= 0.9")
    assert found.held
    figures, report = found.summary["figures"], RankingReport(found.run.rows("rankings"))
    assert figures["effectiveness_my-run"]["value"] == 0.5  # half of the queries are answered, and those rightly
    assert figures["variance_my-run"]["value"] == 0.25
    clean, changed = (report.column("bm25", condition) for condition in ("clean", "swap-1"))
    assert clean.tolist() == [1.0] * 8
    assert figures["drop_bm25_swap-1"]["value"] == pytest.approx(changed.mean() / clean.mean() - 1)
    assert figures["difference_encoder_bm25"]["value"] == pytest.approx(
        (report.column("encoder", "clean") - clean).mean()
    )
    first = np.mean(report.column("encoder", "append-1", "first_changed"))
    assert figures["first_changed_encoder_append-1"]["value"] == first
    page = (tmp_path / "run/report.md").read_text()
    assert r"bm25 ranks best by RR\@10: 1.000" in page
    assert "my-run" in page
    assert {row["measure"] for row in report.rows.to_pylist()} == {"RR@10", None}  # a changed document has no measure


def test_a_killed_run_goes_on_to_equal_rows(folder, tmp_path, monkeypatch):
    line = f"ranking:collection={folder},rankers=bm25+ql,queries=swap-1,documents=append-1"
    whole = unshaken.evaluate(line, out=tmp_path / "whole")
    left, real = [4], RunDir.write_rows

    def dying(self, *args):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return real(self, *args)

    monkeypatch.setattr(RunDir, "write_rows", dying)
    with pytest.raises(KeyboardInterrupt):
        unshaken.evaluate(line, out=tmp_path / "run")
    left[0] = -1
    there = len(RunDir(tmp_path / "run").rows("rankings"))
    assert there == 3 * 8
    with pytest.raises(RunError):
        unshaken.evaluate(line, out=tmp_path / "run")
    resumed = unshaken.evaluate(line, out=tmp_path / "run", resume=True)
    keys = [("condition", "ascending"), ("id", "ascending")]
    one, other = (r.run.rows("rankings").drop_columns(["seconds"]).sort_by(keys) for r in (whole, resumed))
    assert one.equals(other)
    assert whole.summary["figures"] == resumed.summary["figures"]
    (folder / "queries.tsv").write_text((folder / "queries.tsv").read_text().replace("bird", "birds"))
    with pytest.raises(RunError, match="further"):
        unshaken.evaluate(line, out=tmp_path / "run", resume=True)


def test_a_learner_meets_a_type_of_query_that_it_has_not_seen(folder, tmp_path):
    other = write(tmp_path / "training", collection(first=8, count=16, name="t"))
    line = f"ranking:collection={folder},training={other},rankers=ranksvm,queries=swap-1,documents=append-1"
    figures = unshaken.evaluate(line, out=tmp_path / "run").summary["figures"]
    assert {"drop_ranksvm_type-unseen", "effectiveness_ranksvm"} <= figures.keys()


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("ranking", ParameterError, "collection"),
        ("ranking:collection={}/absent", DataError, "absent"),
        ("ranking:collection={},rankers=bm52", ParameterError, "bm52"),
        ("ranking:collection={},rankers=bm25+bm25", ParameterError, "rankers names one twice"),
        ("ranking:collection={},rankers=knrm", ParameterError, "knrm learns: name a folder of other queries"),
        ("ranking:collection={},training={}", ParameterError, "none of the rankers learns: leave training out"),
        ("ranking:collection={},queries=swap", ParameterError, "queries 'swap': write a change and a number"),
        ("ranking:collection={},queries=swpa-1", ParameterError, "no change of queries 'swpa'"),
        ("ranking:collection={},documents=append-0", ParameterError, "the number of the change 'append'"),
        ("ranking:collection={},measure=nDGC@10", ParameterError, "nDGC@10"),
        ("ranking:collection={},encoder=none", Exception, "there is no encoder 'none'"),
        ("ranking:collection={},runs={}/queries.tsv", DataError, "queries.tsv"),
        ("ranking:collection={},position=0", ParameterError, "position"),
    ],
)
def test_bad_input_is_one_line(folder, tmp_path, line, error, message):
    with pytest.raises(error, match=message) as found:
        unshaken.evaluate(line.replace("{}", str(folder)), out=tmp_path / "run")
    assert "\n" not in str(found.value)


def test_a_run_of_other_queries_is_named(folder, tmp_path):
    own = tmp_path / "other.txt"
    own.write_text("z1 Q0 d00 1 1.0 mine\n")
    with pytest.raises(DataError, match=r"other\.txt: none of the rankings is of a judged query"):
        unshaken.evaluate(f"ranking:collection={folder},runs={own}", out=tmp_path / "run")


def test_names_of_run_files():
    assert ranking.run_name("a/..txt") == "run"
    long = [ranking.run_name(f"{'x' * 240}{end}.run") for end in "ab"]
    assert [len(name) for name in long] == [59, 59]
    assert long[0] != long[1]
