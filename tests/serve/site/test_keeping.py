"""What readers keep beside the runs: notes, filters under a name, and a bin from which runs come back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.report.conftest import write_run
from tests.serve.site.conftest import HOSTILE, runs_of
from unshaken.core.errors import Busy, ParameterError
from unshaken.serve.site.bin import FOLDER, delete_run, deleted_runs, restore_run
from unshaken.serve.site.index import LONGEST_NOTE, MOST_SAVED
from unshaken.store.lock import locked
from unshaken.store.run_dir import RunDir


def test_a_note_stands_on_the_page_and_in_the_list_until_it_is_taken_off(ann):
    place = f"/runs/{runs_of(ann.site)['a'].id}"
    page = ann.post(f"{place}/note", ann.get(place), note=f"first line\n{HOSTILE}")
    assert "first line\n&lt;script" in page
    assert "first line" in ann.get("/runs")
    too_long = ann.post(f"{place}/note", page, status=400, note="x" * (LONGEST_NOTE + 1))
    assert "at most 2,000 characters" in too_long
    page = ann.post(f"{place}/note", page, note="  ")
    assert "first line" not in page + ann.get("/runs")


def test_filters_are_kept_under_a_name_and_forgotten(ann):
    asked = "/runs?search=deep&order=name"
    page = ann.get(asked)
    saved = ann.post("/runs/filters", page, name=" my  filter ", search="deep", order="name")
    assert '<a class="button" href="/runs?search=deep&amp;order=name">my filter</a>' in saved
    assert "my filter" in ann.get("/runs")
    assert "printable characters" in ann.post("/runs/filters", page, status=400, name="x" * 41, search="deep")
    assert "my filter" not in ann.post("/runs/filters", page, name="my filter", remove="yes")


def test_not_more_filters_are_kept_than_may(ann):
    index = ann.site.index
    for number in range(MOST_SAVED):
        index.save_filters(str(number), "/runs?kind=audit")
    with pytest.raises(ParameterError, match="remove one first"):
        index.save_filters("one more", "/runs?kind=audit")
    index.save_filters("3", "/runs?kind=attack")
    assert dict(index.saved_filters())["3"] == "/runs?kind=attack"


def test_a_deleted_run_is_in_the_bin_and_comes_back(ann, folder):
    run = runs_of(ann.site)["deep/b"]
    ann.site.index.tag(run.place, "night")
    files = sorted(str(p.relative_to(run.place)) for p in Path(run.place).rglob("*") if p.name != "run.lock")
    place = f"/runs/{run.id}"
    page = ann.post(f"{place}/delete", ann.get(place))
    assert ann.at == "/bin"
    assert "deep/b" in page
    assert (set(runs_of(ann.site)), os.path.exists(run.place)) == ({"a"}, False)
    ann.get(place, 404)
    (kept,) = deleted_runs(ann.site.index)
    assert (Path(kept.kept).parent, kept.reader) == (folder / FOLDER, "ann")
    ann.post(f"/bin/{kept.id}/restore", page)
    back = runs_of(ann.site)["deep/b"]
    assert (back.place, back.tags) == (run.place, ("night",))
    assert sorted(str(p.relative_to(run.place)) for p in Path(run.place).rglob("*") if p.name != "run.lock") == files
    assert "The bin is empty" in ann.get("/bin")
    assert "no such run" in ann.post(f"/bin/{kept.id}/restore", page, status=409)


def test_what_must_stay_is_not_deleted(open_at, folder):
    write_run(folder / "a/other", pictures=0, cost=False)
    site = open_at(folder)
    runs = runs_of(site)
    with pytest.raises(ParameterError, match="holds others, such as a/other: delete these first"):
        delete_run(site.index, runs["a"], "ann")
    with locked(RunDir(runs["deep/b"].place)), pytest.raises(Busy, match="is writing here"):
        delete_run(site.index, runs["deep/b"], "ann")
    alone = open_at(folder / "deep/b")
    with pytest.raises(ParameterError, match="the folder that was given to the server"):
        delete_run(alone.index, runs_of(alone)["."], "ann")
    assert deleted_runs(site.index) == []


def test_a_run_does_not_come_back_over_another(open_at, folder):
    site = open_at(folder)
    done = delete_run(site.index, runs_of(site)["a"], "ann")
    (folder / "a").mkdir()
    with pytest.raises(ParameterError, match="something else is at"):
        restore_run(site.index, done.id)
    assert os.path.isdir(done.kept)


def test_a_reader_of_a_read_only_server_keeps_nothing(open_client, folder):
    ann = open_client(folder, read_only=True)
    run = runs_of(ann.site)["a"]
    page = ann.get(f"/runs/{run.id}") + ann.get("/runs?search=a") + ann.get("/bin")
    assert '<form method="post"' not in page
    for path in (f"/runs/{run.id}/delete", f"/runs/{run.id}/note", "/runs/filters"):
        assert ann.client.post(path, data={"form": "x"}).status_code == 403
    assert os.path.isdir(run.place)
