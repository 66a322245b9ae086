"""Parts of a run in directories of their own, joined to one run."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pytest

from unshaken.api import merge
from unshaken.core import Classifier
from unshaken.core.errors import RunError
from unshaken.report.write import make_report
from unshaken.run import execute
from unshaken.run.merge import merge_runs
from unshaken.store.config import read_config
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import schema_of

PLAN = [{"method": "contrast", "severities": [5]}, {"method": "fgsm", "eps": [0.04]}]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, make_in):
    """A run of 40 samples in 3 shards, one of them bad, and its two parts."""
    make = make_in(tmp_path_factory.mktemp("whole"))
    spec = make.data(40, bad=(3,))
    jobs = [make.job(make.folder / n, spec, part=p, plan=PLAN) for n, p in (("run", None), ("a", "1/2"), ("b", "2/2"))]
    for job in jobs:
        execute(job)
    make.spec, make.runs = spec, [job.run for job in jobs]
    return make


@pytest.fixture
def parts(whole, tmp_path):
    """Copies of the two parts, for tests that change them."""
    return [RunDir(shutil.copytree(run.path, tmp_path / name)) for run, name in zip(whole.runs[1:], "ab", strict=True)]


@pytest.fixture
def out(tmp_path):
    return RunDir(tmp_path / "out")


def flags_of(run):
    return {(f["name"], f["detail"], f["id"]) for f in run.rows("flags").to_pylist()}


def pictures(run):
    files = run.names("examples")
    return {file: (list(images := run.read_examples(file)), np.stack(list(images.values()))) for file in files}


@pytest.mark.parametrize("stopped_at", ["run.json", "rows"])
def test_the_same_call_goes_on_with_a_merge_that_was_stopped(whole, out, rows_of, monkeypatch, stopped_at):
    write, parts = RunDir.write, [str(run) for run in whole.runs[1:]]

    def stop(self, data, *names):
        if self.path == out.path and names[0] == stopped_at:
            monkeypatch.setattr(RunDir, "write", write)
            if stopped_at == "run.json":  # killed while the report is made
                write(self, data, *names)
            raise KeyboardInterrupt
        write(self, data, *names)

    monkeypatch.setattr(RunDir, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        merge(*parts, out=out.path)
    merge(*parts, out=out.path)
    assert rows_of(out) == rows_of(whole.runs[0])
    with pytest.raises(RunError, match="already holds a run"):
        merge(*parts, out=out.path)


@pytest.mark.parametrize("order", [(1, 2), (2, 1), (1, 2, 0), (0,)], ids=str)
def test_a_merged_run_is_the_run_of_one_directory(whole, out, rows_of, order):
    merge_runs([whole.runs[i] for i in order], out)
    straight = whole.runs[0]
    assert rows_of(out) == rows_of(straight)
    assert flags_of(out) == flags_of(straight)
    assert out.rows("cost").select(["step", "shard"]).sort_by([("step", "ascending"), ("shard", "ascending")]) == (
        straight.rows("cost").select(["step", "shard"]).sort_by([("step", "ascending"), ("shard", "ascending")])
    )
    before, after = pictures(straight), pictures(out)
    assert before.keys() == after.keys()
    for file, (ids, images) in before.items():
        assert after[file][0] == ids
        assert np.array_equal(after[file][1], images)
    merged, one = read_config(out), read_config(straight)
    assert merged.to_json() | {"provenance": 0} == one.to_json() | {"provenance": 0}
    data = make_report(out).summary
    assert data["complete"]
    assert data["clean"] == make_report(straight).summary["clean"]


def test_a_part_is_reported_as_one(whole):
    data = make_report(whole.runs[1]).summary
    assert not data["complete"]
    assert data["provenance"]["part"] == "1/2"
    assert data["notes"]["part"] == "16 samples are of other parts than 1/2: join all with unshaken merge"
    assert "clean" not in data["notes"]
    assert "This is part 1/2 of a run." in whole.runs[1].read("report.html").decode()


def test_missing_samples_are_named(whole, out):
    text = (
        r"16 of 40 samples \('s016', 's017', 's018' and 13 more\) are in none of the runs, part 2/2 is not among them"
    )
    with pytest.raises(RunError, match=text):
        merge_runs(whole.runs[1:2], out)
    assert not out.exists("run.json")


def test_missing_samples_that_are_allowed_can_be_computed_later(whole, out, rows_of):
    merge_runs(whole.runs[2:], out, allow_missing=True)
    data = make_report(out).summary
    assert (data["complete"], data["notes"]["clean"][:27]) == (False, "24 samples have no row yet:")
    execute(whole.job(out, whole.spec, plan=PLAN), resume=True)
    assert rows_of(out) == rows_of(whole.runs[0])


def test_a_step_that_was_not_finished_is_taken_from_another_run(whole, parts, out, rows_of):
    parts[0].remove("rows", "cost", "fgsm-00000.parquet")  # as a kill leaves it
    parts[0].remove("examples", "clean-00000.safetensors")
    with pytest.raises(RunError, match=r"not merged, fgsm of 16 of 40 samples \('s000', .* is in none"):
        merge_runs(parts, out)
    merge_runs([*parts, whole.runs[0]], out)
    assert rows_of(out) == rows_of(whole.runs[0])
    assert pictures(out).keys() == pictures(whole.runs[0]).keys()


def test_a_step_that_no_run_began_is_missing(whole, parts, out):
    for run in parts:
        for file in run.names("rows", "cost"):
            if file.startswith("fgsm"):
                run.remove("rows", "cost", file)
    with pytest.raises(RunError, match="fgsm of 40 of 40 samples"):
        merge_runs(parts, out)


def test_steps_that_the_data_does_not_allow_are_not_missing(make, out):
    spec = make.data(20, labelled=False)
    runs = [RunDir(make.folder / name) for name in "ab"]
    for run, part in zip(runs, ("1/2", "2/2"), strict=True):
        execute(make.job(run, spec, part=part, plan=PLAN))
    merge_runs(runs, out)
    assert set(out.rows("outcomes")["condition"].to_pylist()) == {"clean", "contrast-5"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 5}, "seed: 0 there, 5 now"),
        ({"ids": 39}, "ids: 40 entries there, 39 entries now"),
        ({"plan": []}, "plan"),
    ],
    ids=["seed", "samples", "plan"],
)
def test_other_settings_are_refused(whole, out, tmp_path, change, words):
    if "ids" in change:
        change = {"ids": [f"s{i:03d}" for i in range(39)]}
    other = whole.job(tmp_path / "other", whole.spec, part="2/2", **{"plan": PLAN, **change})
    execute(other)
    with pytest.raises(RunError, match=f"other: cannot be merged with .*{words}"):
        merge_runs([whole.runs[1], other.run], out)


def test_other_weights_are_refused(whole, out, tmp_path, tiny):
    net = tiny.net
    net.head.bias.data += 1e-3
    other = whole.job(tmp_path / "other", whole.spec, part="2/2", plan=PLAN, model=Classifier(net, name="tiny").eval())
    execute(other)
    with pytest.raises(RunError, match="model_fingerprint"):
        merge_runs([whole.runs[1], other.run], out)


@pytest.mark.parametrize(
    ("column", "value"), [("prediction", 2), ("confidence", 0.123), ("broken_by", "pgd")], ids=lambda v: str(v)
)
def test_rows_twice_with_other_contents_are_refused(whole, parts, out, column, value):
    name, file = "outcomes", "fgsm-linf-0.04-00001.parquet"
    rows = parts[1].rows(name, condition="fgsm-linf-0.04").to_pylist()
    rows[5][column] = value if rows[5][column] != value else 1
    read_config(parts[1])
    parts[1].write_rows(pa.Table.from_pylist(rows, schema=schema_of("outcomes")), name, "fgsm-linf-0.04", 1)
    with pytest.raises(RunError, match=f"b: rows/{name}/{file} differs from that of .*column '{column}'"):
        merge_runs([whole.runs[0], parts[1]], out)
    assert not out.exists("run.json")


def test_rows_of_another_shard_are_refused(parts, out):
    read_config(parts[1])
    rows = parts[0].rows("outcomes", condition="clean")
    parts[1].write_rows(rows.slice(0, 16), "outcomes", "clean", 1)  # under a name and a mark that are right
    with pytest.raises(RunError, match=r"clean-00001.parquet is damaged .its rows are not those of the shard's"):
        merge_runs(parts, out)


def test_a_torn_file_is_refused(parts, out):
    parts[1].write(b"PAR1", "rows", "outcomes", "contrast-5-00001.parquet")
    with pytest.raises(RunError, match=r"b: rows/outcomes/contrast-5-00001.parquet is damaged"):
        merge_runs(parts, out)


def test_a_directory_with_a_run_or_with_stray_rows_is_left_alone(whole, parts, out):
    with pytest.raises(RunError, match="already holds a run"):
        merge_runs(parts, parts[0])
    out.write(b"", "rows", "outcomes", "clean-00000.parquet")
    with pytest.raises(RunError, match="holds rows of no run"):
        merge_runs(parts, out)


def test_runs_that_have_finished_nothing_are_refused(make, out):
    job = make.job(make.folder / "run", make.data(20), plan=[])
    job.run.write_json(job.config.to_json(), "run.json")
    with pytest.raises(RunError, match="nothing to merge"):
        merge_runs([job.run], out, allow_missing=True)
