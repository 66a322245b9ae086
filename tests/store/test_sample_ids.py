"""Ids of a run that are too many for `run.json`."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unshaken.core.errors import RunError
from unshaken.report.write import make_report
from unshaken.run import execute
from unshaken.run.merge import merge_runs
from unshaken.store import sample_ids
from unshaken.store.config import read_config
from unshaken.store.run_dir import RunDir
from unshaken.store.sample_ids import GivenIds, StoredIds, digest_of, pack_ids, write_ids

NAMES = [f"klasse/ä{i}.png" for i in range(23)]


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Ten ids are many."""
    monkeypatch.setattr(sample_ids, "MANY", 10)


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "run")


@pytest.fixture
def stored(run):
    given = pack_ids(tuple(NAMES))
    write_ids(run, given)
    return StoredIds(given.record, run)


def test_few_ids_stay_a_list():
    assert pack_ids(tuple(NAMES[:10])) == NAMES[:10]
    assert isinstance(pack_ids(NAMES[:11]), GivenIds)


@pytest.mark.parametrize("kind", ["given", "stored"])
def test_they_are_a_sequence(stored, kind):
    ids = stored if kind == "stored" else GivenIds(NAMES)
    assert (len(ids), list(ids), ids[0], ids[-1], ids[10]) == (23, NAMES, NAMES[0], NAMES[-1], NAMES[10])
    places = [
        slice(None),
        slice(8, 12),
        slice(10, 20),
        slice(19, 99),
        slice(5, 5),
        slice(-3, None),
        slice(None, None, -1),
    ]
    assert [ids[p] for p in [*places, slice(2, 20, 7)]] == [NAMES[p] for p in [*places, slice(2, 20, 7)]]
    assert ids.index(NAMES[12]) == 12
    with pytest.raises(IndexError):
        ids[23]
    assert pa.array(ids).to_pylist() == NAMES  # as the grid of the site does


def test_the_digest_tells_other_ids_apart():
    def digest(*ids):
        return digest_of(pa.array(ids, pa.large_string()))

    assert digest("ab", "c") == digest_of(pa.array(["x", "ab", "c", "y"], pa.large_string())[1:3])
    assert len({digest("ab", "c"), digest("a", "bc"), digest("abc"), digest("c", "ab"), digest("abc", "")}) == 5


def test_other_processes_get_the_record_alone():
    ids = GivenIds(NAMES)
    there = pickle.loads(pickle.dumps(ids))
    assert there == ids
    assert "klasse" not in repr(pickle.dumps(ids))


def test_a_run_has_the_rows_it_would_have_with_a_list(make, rows_of, monkeypatch):
    spec = make.data(40)
    listed = make.job(make.folder / "listed", spec)
    packed = make.job(make.folder / "packed", spec, ids=pack_ids([f"s{i:03d}" for i in range(40)]))
    for job in (listed, packed):
        execute(job)
    assert rows_of(packed.run) == rows_of(listed.run)
    written = json.loads(Path(make.folder, "packed/run.json").read_text())["ids"]
    assert (written["count"], len(written["blocks"])) == (40, 4)
    assert read_config(packed.run) == packed.config
    assert read_config(packed.run).identity == packed.config.identity != listed.config.identity
    first, second = (make_report(job.run).summary for job in (listed, packed))
    assert first["clean"] == second["clean"]
    assert [c["accuracy"] for c in first["conditions"]] == [c["accuracy"] for c in second["conditions"]]
    assert second["complete"]
    execute(packed, resume=True)
    for i, words in (("s040", "41 entries"), ("s000", "40 entries")):
        others = [*(f"s{n:03d}" for n in range(1, 40)), "s000", *([i] if i == "s040" else [])]
        other = make.job(make.folder / "packed", spec, ids=pack_ids(others))
        with pytest.raises(RunError, match=rf"ids: 40 entries \(.*\) there, {words}"):
            execute(other, resume=True)


def test_parts_are_merged_with_their_ids(make, rows_of, tmp_path):
    spec, ids, runs = make.data(40), pack_ids([f"s{i:03d}" for i in range(40)]), []
    for k in (1, 2):
        job = make.job(make.folder / f"part-{k}", spec, ids=ids, part=f"{k}/2", plan=[])
        execute(job)
        runs.append(job.run)
    out = RunDir(tmp_path / "out")
    merge_runs(runs, out)
    assert list(read_config(RunDir(tmp_path / "out")).ids) == list(ids)
    assert len(rows_of(out)) == 40


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "cannot read ids/"),
        (lambda path: path.write_bytes(b"PAR1"), "is damaged"),
        (lambda path: pq.write_table(pa.table({"id": NAMES[1:11]}), path), "its ids are not those of run.json"),
        (lambda path: pq.write_table(pa.table({"id": NAMES[:9]}), path), "it has 9 ids, not 10"),
        (lambda path: pq.write_table(pa.table({"id": [None, *NAMES[1:10]]}), path), "an id is null"),
        (lambda path: pq.write_table(pa.table({"name": NAMES[:10]}), path), "is damaged"),
    ],
    ids=["absent", "torn", "others", "fewer", "null", "no column"],
)
def test_files_that_were_changed_are_refused(run, stored, damage, words):
    damage(Path(run.root, "ids", f"{stored.record.blocks[0]}.parquet"))
    assert stored[10] == NAMES[10]
    with pytest.raises(RunError, match=words):
        stored[3]


@pytest.mark.parametrize(
    "change",
    [{"count": 0}, {"count": 99}, {"block_size": 0}, {"blocks": []}, {"blocks": ["../../etc", "b", "c"]}, {"more": 1}],
    ids=str,
)
def test_a_damaged_record_is_one_line(make, change):
    job = make.job(make.folder / "run", make.data(23), ids=pack_ids([f"s{i:03d}" for i in range(23)]), plan=[])
    value = job.config.to_json()
    job.run.write_json({**value, "ids": {**value["ids"], **change}}, "run.json")
    with pytest.raises(RunError, match=r"run.json is damaged \(ids: "):
        read_config(job.run)
