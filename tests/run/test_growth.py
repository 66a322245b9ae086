"""What grows with a run's samples grows with their number, and no faster: structure, counted on thousands."""

from __future__ import annotations

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from typing_extensions import override

from unshaken.core.ids import Ids
from unshaken.data import Dataset
from unshaken.data.dataset import digest
from unshaken.data.selection import subset
from unshaken.data.spec import Options
from unshaken.run import execute
from unshaken.run.merge import merge_runs
from unshaken.run.shard import Job
from unshaken.store import sample_ids
from unshaken.store.config import RunConfig
from unshaken.store.run_dir import RunDir
from unshaken.store.sample_ids import pack_ids


class Stub(Dataset):
    """N samples of one image."""

    def __init__(self, samples):
        names = (f"train/n01440764/n01440764_{i:08d}.JPEG" for i in range(samples))
        labels, options = np.arange(samples) % 2, Options(spec="stub")
        super().__init__(ids=names, labels=labels, classes=["a", "b"], root="memory", options=options)

    @override
    def fetch(self, index):
        return np.zeros((8, 8), np.uint8)

    @override
    def content(self):
        yield self.ids


def planned(data):
    return RunConfig(
        schema=1, model="m", data="d", plan=[], ids=pack_ids(data.ids), shard_size=1024, model_fingerprint="m",
        data_fingerprint=data.fingerprint, model_name="m", classes=["a", "b"],
    )  # fmt: skip


def test_a_plan_of_many_samples_never_holds_their_strings(monkeypatch):
    monkeypatch.setattr(sample_ids, "MANY", 1 << 14)
    strings = sum(49 + 36 + 8 for _ in range(200_000))  # of CPython: header, text, place in a tuple
    tracemalloc.start()
    data = Stub(200_000)
    config = planned(data)
    assert len(config.identity) == 32
    job = Job(run=RunDir("memory://growth"), config=config, model=None, dataset=data, limit=1)
    assert (job.indices()[[0, -1]] == [0, 199_999]).all()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(data.ids, Ids)
    assert peak < 0.85 * strings


def test_ids_make_the_digest_of_their_tuple():
    names = ("a", "'b", "größe", "\udcff", "x" * 9000) * 5000
    assert digest("kind", Ids.of(names), 3) == digest("kind", names, 3)
    assert digest(Ids.of(["one"])) == digest(("one",)) != digest("one")


def test_a_subset_stands_where_the_data_has_it():
    data = Stub(3000)
    rows = subset(data, 100)
    config = planned(data).model_copy(update={"ids": pack_ids(data.ids.take(rows))})
    job = Job(run=RunDir("memory://growth"), config=config, model=None, dataset=data, limit=1)
    assert (job.indices() == rows).all()


@pytest.fixture
def reads(monkeypatch):
    """How often each file of outcomes is read as a whole."""
    counted, read = Counter(), RunDir.read

    def counting(self, *parts):
        if parts[:2] == ("rows", "outcomes"):
            counted[self.root, parts[2]] += 1
        return read(self, *parts)

    monkeypatch.setattr(RunDir, "read", counting)
    return counted


def test_a_finished_run_is_resumed_by_one_read_of_each_file(make, reads):
    spec = make.data(40)
    job = make.job(make.folder / "run", spec)
    execute(job)
    reads.clear()
    execute(make.job(job.run, spec), resume=True)
    assert set(reads.values()) == {1}
    assert len(reads) == len(job.run.names("rows", "outcomes"))


def test_parts_are_merged_by_one_read_of_each_of_their_files(make, reads):
    spec, runs = make.data(40), []
    for k in (1, 2):
        execute(make.job(make.folder / f"part-{k}", spec, part=f"{k}/2"))
        runs.append(RunDir(make.folder / f"part-{k}"))
    reads.clear()
    merge_runs(runs, RunDir(make.folder / "whole"))
    assert set(reads.values()) == {1}  # those of the whole once more, for the flags over all rows
    assert len(reads) == 2 * sum(len(run.names("rows", "outcomes")) for run in runs)
