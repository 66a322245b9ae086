"""Parts of a run: which shards each has."""

from __future__ import annotations

import pytest

from unshaken.api.job import prepare_run
from unshaken.api.options import check_options
from unshaken.core import batch
from unshaken.core.batch import BATCH_NUMBERS
from unshaken.core.errors import ParameterError, RunError
from unshaken.run import execute, load_plan
from unshaken.store.config import read_config
from unshaken.store.run_dir import RunDir
from unshaken.store.split import check_part, parse_part, shard_size, shards_of_part


@pytest.mark.parametrize("numbers", [1, 784, 3 * 32**2, 3 * 224**2, 3 * 1024**2, 2**23])
def test_a_shard_of_images_of_a_usual_size_has_16_samples_to_1024(numbers):
    assert shard_size(numbers) == max(16, min(1024, 2**24 // numbers))


@pytest.mark.parametrize("numbers", [2**23 + 1, 3 * 4000 * 3000, 3 * 8000**2, 3 * 9459**2, BATCH_NUMBERS + 1])
def test_a_shard_of_very_large_images_is_bounded_by_its_memory(numbers):
    assert shard_size(numbers) * numbers <= max(BATCH_NUMBERS, numbers)


def test_a_run_that_was_begun_with_larger_shards_keeps_them(tmp_path, monkeypatch):
    def size():
        plan, options = load_plan([]), check_options(device="cpu", limit=20)
        return prepare_run(run, "demo", "demo", plan, options, [], "custom").config.shard_size

    run = RunDir(tmp_path)
    monkeypatch.setattr(batch, "BATCH_NUMBERS", 5 * 28**2)
    assert size() == 5
    for begun, kept in ((7, 7), (1024, 1024), (3, 5), (1025, 5), ("7", 5)):  # 1,024 before memory was minded
        run.write_json({"shard_size": begun}, "run.json")
        assert size() == kept


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_parts_have_every_shard_once(count):
    parts = [list(shards_of_part(f"{k}/{count}", 7)) for k in range(1, count + 1)]
    assert sorted(shard for part in parts for shard in part) == list(range(7))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "1 / 2", "٣/٤", "1/2\n", "1/99999999"])
def test_other_texts_are_refused(text):
    with pytest.raises(ParameterError, match="K/N with K from 1 to N"):
        parse_part(text)
    with pytest.raises(ParameterError, match="K/N with K from 1 to N"):
        check_options(part=text)


def test_more_parts_than_shards_are_refused():
    check_part("3/3", 3, 16)
    with pytest.raises(ParameterError, match="3 shards of at most 16 samples"):
        check_part("1/4", 3, 16)


@pytest.mark.parametrize(
    "option", [{"gates": ["clean.accuracy > 0"]}, {"baseline": "runs/a"}, {"track": "mlruns"}, {"register": "a@b"}]
)
def test_a_part_takes_nothing_that_is_for_a_whole_run(option):
    with pytest.raises(ParameterError, match="for a whole run"):
        check_options(part="1/2", **option)


@pytest.mark.parametrize(("part", "samples"), [("1/2", 24), ("2/2", 16), ("3/3", 8), (None, 40)])
def test_a_part_has_the_samples_of_its_shards_alone(make, part, samples):
    job = make.job(make.folder / "run", make.data(40), part=part, plan=[])
    assert job.config.own_samples == samples
    execute(job)
    own = [name for shard in shards_of_part(part, 3) for name in job.config.shard_ids(shard)]
    assert job.run.rows("outcomes")["id"].to_pylist() == own


def test_a_part_is_resumed_as_the_same_part_only(make):
    spec = make.data(40)
    execute(make.job(make.folder / "run", spec, part="1/2", plan=[]))
    execute(make.job(make.folder / "run", spec, part="1/2", plan=[]), resume=True)
    for other in ("2/2", None):
        with pytest.raises(RunError, match="part: 1/2 there"):
            execute(make.job(make.folder / "run", spec, part=other, plan=[]), resume=True)


def test_rows_that_are_not_the_parts_are_refused(make):
    spec = make.data(40)
    job = make.job(make.folder / "run", spec, part="1/2", plan=[])
    execute(job)
    job.run.remove("rows", "outcomes", "clean-00002.parquet")
    execute(make.job(make.folder / "other", spec, part="2/2", plan=[]))
    stray = RunDir(make.folder / "other").read("rows", "outcomes", "clean-00001.parquet")
    job.run.write(stray, "rows", "outcomes", "clean-00001.parquet")
    with pytest.raises(RunError, match="are not those of the run's 24 samples"):
        execute(make.job(make.folder / "run", spec, part="1/2", plan=[]), resume=True)


def test_a_damaged_part_in_run_json_is_one_line(make):
    job = make.job(make.folder / "run", make.data(20), plan=[])
    job.run.write_json({**job.config.to_json(), "part": "9/2"}, "run.json")
    with pytest.raises(RunError, match=r"run.json is damaged .part: part '9/2' is not K/N"):
        read_config(job.run)
