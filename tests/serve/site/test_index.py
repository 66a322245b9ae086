"""The list of runs: found, kept up to date, searched, and given page by page, in SQLite and in PostgreSQL."""

from __future__ import annotations

import json
import os
import shutil

import fsspec
import pytest

from tests.report.conftest import write_run
from tests.serve.site.conftest import PLAN
from unshaken.core.errors import ParameterError
from unshaken.serve.site.index import RunIndex
from unshaken.serve.site.listing import Order, RunFilters, all_specs, all_tags, comparable, list_runs, run_of
from unshaken.serve.site.walk import find_runs


def names(index, order=Order.NAME, **asked):
    return [run.name for run in list_runs(index, RunFilters(**asked), order=order).runs]


def write_record(folder, name, clean=0.5, **values):
    """A run of which there are only the two records."""
    place = folder / name
    place.mkdir(parents=True)
    config = {"model_name": "net", "data": "demo", "ids": ["a", "b"], "data_fingerprint": "f", **values}
    (place / "run.json").write_text(json.dumps(config))
    summary = {
        "clean": {"value": clean},
        "aggregates": {"worst_case": {"value": clean / 2}},
        "flags": [1],
        "complete": True,
    }
    (place / "summary.json").write_text(json.dumps(summary))


@pytest.fixture
def index(address, tmp_path):
    for k in range(7):
        write_record(tmp_path / "runs", f"run-{k}", clean=k / 10, model_name=f"Net {k % 2}")
    with RunIndex(address, [tmp_path / "runs"]) as opened:
        opened.refresh()
        yield opened


def test_a_run_is_listed_with_what_its_records_say(index):
    run = list_runs(index, RunFilters(search="run-4")).runs[0]
    assert (run.model, run.data, run.samples, run.clean, run.worst, run.flags) == ("Net 0", "demo", 2, 0.4, 0.2, 1)
    assert run_of(index, run.id) == run
    with pytest.raises(ParameterError, match="no run 999"):
        run_of(index, 999)


def test_the_samples_of_a_run_whose_ids_stand_in_files_are_counted(index, tmp_path):
    write_record(tmp_path / "runs", "large", ids={"count": 25, "block_size": 10, "blocks": ["0" * 32] * 3})
    index.refresh()
    assert list_runs(index, RunFilters(search="large")).runs[0].samples == 25


def test_pages_of_every_order_hold_each_run_once(index):
    for order in Order:
        after, found = "", []
        for _ in range(4):
            page = list_runs(index, RunFilters(), order=order, after=after, limit=2)
            found += [run.name for run in page.runs]
            assert page.total == 7
            after = page.next
        assert after == ""
        assert found == names(index, order)
        assert len(set(found)) == 7


def test_orders_are_those_of_the_figures(index):
    assert names(index, Order.CLEAN) == [f"run-{k}" for k in (6, 5, 4, 3, 2, 1, 0)]
    assert names(index, Order.NAME) == [f"run-{k}" for k in range(7)]


def test_a_search_needs_all_words_in_any_case_and_no_wildcard(index):
    assert names(index, search="NET RUN-3") == ["run-3"]
    assert names(index, search="net 1") == ["run-1", "run-3", "run-5"]
    assert names(index, search="run_3") == []
    assert names(index, search="%") == []
    assert names(index, search="' OR 1=1 --") == []


def test_only_what_changed_is_read_again(index, tmp_path):
    assert (index.refresh().read, index.last.found) == (0, 7)
    number = list_runs(index, RunFilters(search="run-2")).runs[0].id
    shutil.rmtree(tmp_path / "runs" / "run-1")
    (tmp_path / "runs" / "run-2" / "summary.json").unlink()
    write_record(tmp_path / "runs", "new/deep/run")
    found = index.refresh()
    assert (found.found, found.read, found.gone) == (7, 2, 1)
    assert run_of(index, number).state == "unfinished"
    assert "new/deep/run" in names(index)
    assert "run-1" not in names(index)


def test_tags_stay_with_their_run(index):
    run = list_runs(index, RunFilters(search="run-3")).runs[0]
    index.tag(run.place, " release  2 ")
    index.tag(run.place, "release 2")
    index.tag(run.place, "a")
    index.refresh()
    assert run_of(index, run.id).tags == ("a", "release 2")
    assert names(index, tag="release 2") == ["run-3"]
    assert all_tags(index) == ["a", "release 2"]
    index.untag(run.place, "a")
    assert all_tags(index) == ["release 2"]
    for wrong in ("", "x" * 41, "a\nb\x00"):
        with pytest.raises(ParameterError, match="printable"):
            index.tag(run.place, wrong)


def test_a_place_that_no_page_gave_is_refused(index):
    for after in ("x", "W10", "WzEsIHRydWVd", "e30", "WyJhIiwgMV0", "WzFlOTk5LCAxXQ", "é"):
        with pytest.raises(ParameterError, match="no place in this list"):
            list_runs(index, RunFilters(), after=after)


def test_two_lists_in_one_database_do_not_mix(index, address, tmp_path):
    write_record(tmp_path / "others", "run-x")
    with RunIndex(address, [tmp_path / "others"]) as other:
        other.refresh()
        assert names(other) == ["run-x"]
    assert len(names(index)) == 7


DAMAGED = {
    "no JSON": b"{",
    "no table": b"[1]",
    "wrong types": b'{"ids": 3}',
    "a key twice": b'{"model": "a", "model": "b"}',
    "nested without end": b"[" * 100_000,
    "NaN": b'{"seed": NaN}',
    "no UTF-8": b'{"model": "\xff"}',
    "huge number": b'{"seed": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_record_is_a_line_of_the_list(tmp_path, name):
    (tmp_path / "runs" / "bad").mkdir(parents=True)
    (tmp_path / "runs" / "bad" / "run.json").write_bytes(DAMAGED[name])
    write_record(tmp_path / "runs", "good")
    with RunIndex(tmp_path / "x.db", [tmp_path / "runs"]) as index:
        assert index.refresh().found == 2
        states = {run.name: (run.state, bool(run.trouble)) for run in list_runs(index, RunFilters()).runs}
    assert states == {"good": ("finished", False), "bad": ("damaged", True)}


def test_links_lead_nowhere(tmp_path):
    write_record(tmp_path / "outside", "secret")
    (tmp_path / "runs").mkdir()
    os.symlink(tmp_path / "outside", tmp_path / "runs" / "link")
    (tmp_path / "runs" / "half").mkdir()
    os.symlink(tmp_path / "outside" / "secret" / "run.json", tmp_path / "runs" / "half" / "run.json")
    assert list(find_runs(str(tmp_path / "runs"))) == []


def test_an_absent_folder_is_told_and_keeps_the_list(tmp_path):
    write_record(tmp_path / "runs", "one")
    with RunIndex(tmp_path / "x.db", [tmp_path / "runs"]) as index:
        index.refresh()
        (tmp_path / "runs").rename(tmp_path / "away")
        assert "no such folder" in index.refresh().troubles[0]
        assert names(index) == ["one"]


def test_runs_of_a_remote_file_system_are_found(tmp_path):
    fs = fsspec.filesystem("memory")
    write_record(tmp_path, "one")
    fs.put(str(tmp_path / "one"), "/site-test/deep/one", recursive=True)
    fs.pipe("/site-test/deep/one/rows/run.json", b"{}")  # no run: the folder of rows is not looked into
    with RunIndex(tmp_path / "x.db", ["memory://site-test"]) as index:
        index.refresh()
        assert names(index) == ["deep/one"]
        assert index.refresh().read == 0
        fs.pipe("/site-test/deep/one/run.json", json.dumps({"model_name": "another", "ids": []}).encode())
        assert index.refresh().read == 1
        assert list_runs(index, RunFilters()).runs[0].model == "another"


def test_specs_that_were_changed_for_the_list_are_not_offered(tmp_path):
    write_record(tmp_path / "runs", "a", model="demo", data="folder:x")
    write_record(tmp_path / "runs", "b", model="demo\u202e", data="y" * 400)
    with RunIndex(tmp_path / "x.db", [tmp_path / "runs"]) as index:
        index.refresh()
        assert all_specs(index) == ([("demo", "classification")], [("folder:x", "classification")])


def test_a_real_run_has_the_kind_of_its_methods(tmp_path):
    write_run(tmp_path / "runs" / "mixed", plan=PLAN)
    write_run(tmp_path / "runs" / "pgd", plan=PLAN[1:], methods={"pgd": {"room": "attack"}})
    with RunIndex(tmp_path / "x.db", [tmp_path / "runs"]) as index:
        index.refresh()
        kinds = {run.name: (run.kind, run.state, run.conditions) for run in list_runs(index, RunFilters()).runs}
    assert kinds["mixed"][:2] == ("audit", "unfinished")
    assert kinds["pgd"][0] == "attack"


def test_what_no_database_takes_and_no_order_has_is_no_end_of_the_list(address, tmp_path):
    write_record(tmp_path / "runs", "good")
    write_record(tmp_path / "runs", "data of a lone surrogate", data_fingerprint="\ud800")
    write_record(tmp_path / "runs", "data of a NUL", data_fingerprint="a\0b")
    write_record(tmp_path / "runs", "infinite", clean=-1)
    summary = tmp_path / "runs" / "infinite" / "summary.json"
    summary.write_text(summary.read_text().replace("-1", "1e999"))
    write_record(tmp_path / "runs", "odd")
    os.rename(tmp_path / "runs" / "odd", os.fsencode(tmp_path / "runs") + b"/\xff")
    with RunIndex(address, [str(tmp_path / "runs")]) as index:
        assert "1 runs are not listed" in index.refresh().troubles[0]
        assert names(index, order=Order.CLEAN)[-1] == "infinite"
        assert set(names(index)) == {"good", "data of a NUL", "infinite", "data of a lone surrogate"}
        first = list_runs(index, RunFilters(), order=Order.CLEAN, limit=1)
        assert list_runs(index, RunFilters(), order=Order.CLEAN, after=first.next, limit=1).runs


def test_a_folder_that_is_named_twice_is_looked_at_once(tmp_path):
    write_record(tmp_path / "runs", "one")
    with RunIndex(tmp_path / "x.db", [str(tmp_path / "runs"), f"{tmp_path}/runs/"]) as index:
        assert index.refresh().found == 1


def test_a_run_inside_another_is_no_line_of_the_list(tmp_path):
    write_record(tmp_path / "runs", "score", inside=["against/far", "evasion"])
    for name in ("score/against/far", "score/evasion", "score/another"):
        write_record(tmp_path / "runs", name)
        (tmp_path / "runs" / name / "summary.json").unlink()
    with RunIndex(tmp_path / "x.db", [tmp_path / "runs"]) as index:
        index.refresh()
        listed = {run.name: run.state for run in list_runs(index, RunFilters()).runs}
        assert listed == {"score": "finished", "score/another": "unfinished"}
        assert index.refresh().read == 0


def test_only_finished_runs_on_the_same_labelled_data_can_be_compared(tmp_path):
    runs = {
        "a": {}, "b": {}, "other data": {"data_fingerprint": "g"}, "other task": {"task": "detection"},
        "unlabelled": {}, "unfinished": {},
    }  # fmt: skip
    for name, values in runs.items():
        write_record(tmp_path / "runs", name, **values)
    (tmp_path / "runs/unfinished/summary.json").unlink()
    summary = tmp_path / "runs/unlabelled/summary.json"
    summary.write_text(json.dumps({"clean": None, "complete": True}))
    with RunIndex(tmp_path / "x.db", [tmp_path / "runs"]) as index:
        index.refresh()
        found = {run.name: run for run in list_runs(index, RunFilters()).runs}
        able = comparable(index, list(found.values()))
        assert {name for name, run in found.items() if run.id in able} == {"a", "b"}
        assert {run.name for run in list_runs(index, RunFilters(like=found["a"])).runs} == {"a", "b"}


def test_runs_inside_another_stand_with_it(tmp_path):
    write_record(tmp_path / "runs", "score", inside=["against/far", "evasion"])
    for name in ("score/against/far", "score/evasion"):
        write_record(tmp_path / "runs", name)
        (tmp_path / "runs" / name / "summary.json").unlink()
    write_record(tmp_path / "runs", "alone")
    with RunIndex(tmp_path / "x.db", [tmp_path / "runs"]) as index:
        index.refresh()
        found = {run.name: run for run in list_runs(index, RunFilters()).runs}
        assert [part.name for part in found["score"].parts] == ["score/against/far", "score/evasion"]
        assert found["alone"].parts == ()
        assert run_of(index, found["score"].id).parts == found["score"].parts
