"""Runs as a whole: interrupted, killed, split otherwise; the rows stay the same."""

from __future__ import annotations

import os
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import unshaken
from tests.processes import process, run_script
from unshaken.core.errors import ParameterError, RunError, UnshakenError
from unshaken.core.oracle import Oracle
from unshaken.core.progress import listening
from unshaken.report import write_report
from unshaken.run import Interrupted, execute
from unshaken.store.config import UNFINISHED
from unshaken.store.lock import NAME as LOCK
from unshaken.store.run_dir import RunDir


def same(first, second, *, tolerance=0.0):
    """Rows equal; floats within a tolerance where one is given.

    One backward pass may differ then: the last gradient of a success is left out when nobody in its batch needs one.
    """
    assert set(first) == set(second)
    for key, row in first.items():
        other = second[key]
        for name, value in row.items():
            if tolerance and name in {"confidence", "loss", "logits", "distance"} and value is not None:
                np.testing.assert_allclose(value, other[name], atol=tolerance, rtol=0, err_msg=f"{key} {name}")
            elif tolerance and name == "backwards" and value is not None:
                assert abs(value - other[name]) <= (row["correct"] is False), (key, name)
            else:
                assert value == other[name], (key, name)


def pictures(run):
    return {
        (condition, i): image
        for condition in {n.rpartition("-")[0] for n in run.names("examples")}
        for i, image in run.examples(condition).items()
    }


def costs(run):
    return sorted((r["step"], r["shard"]) for r in run.rows("cost").to_pylist())


PGD = {"method": "pgd", "eps": ["8/255"], "params": {"steps": 1}}


def test_a_run_has_a_row_for_every_sample_and_condition(make, rows_of):
    job = make.job(make.folder / "run", make.data(40, bad=(3,)))
    execute(job)
    rows = rows_of(job.run)
    conditions = {"clean", "gaussian_noise-1", "gaussian_noise-3", "contrast-5", "pgd-linf-0.01", "pgd-linf-0.04"}
    good = {f"s{i:03d}" for i in range(40) if i != 3}
    assert set(rows) == {(c, i) for c in conditions for i in good} | {("clean", "s003")}
    assert "cannot identify image" in rows["clean", "s003"]["error"] or rows["clean", "s003"]["error"]
    assert rows["clean", "s003"]["prediction"] is None
    assert not job.run.exists(LOCK)


def test_predictions_are_the_models_own(make, rows_of, tiny):
    spec = make.data(20)
    job = make.job(make.folder / "run", spec)
    execute(job)
    rows = rows_of(job.run)
    dataset = unshaken.load_data(spec)
    for index, name in enumerate(dataset.ids):
        image = torch.from_numpy(dataset.read(index).copy()).permute(2, 0, 1)[None] / 255
        logits = tiny(image)[0].detach()
        row = rows["clean", name]
        assert row["prediction"] == int(logits.argmax())
        assert row["logits"] == pytest.approx(logits.tolist(), abs=1e-5)
        assert row["label"] == dataset.labels[index]
        assert row["correct"] == (row["prediction"] == row["label"])
        noisy = unshaken.stress.GaussianNoise().apply(unshaken.core.Batch(image, None, (name,)), 3, 0).images
        assert rows["gaussian_noise-3", name]["logits"] == pytest.approx(tiny(noisy)[0].tolist(), abs=1e-5)


class StopAt:
    """Raises KeyboardInterrupt at the nth pass of the model."""

    def __init__(self, monkeypatch, at):
        self.left = at
        call = Oracle._call

        def stop(oracle, function, n):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            return call(oracle, function, n)

        monkeypatch.setattr(Oracle, "_call", stop)


@pytest.fixture(scope="module")
def straight(tmp_path_factory, make_in):
    """A run on 40 samples, one of them bad, from its start to its end: its data, its job, its number of passes."""
    make = make_in(tmp_path_factory.mktemp("straight"))
    spec = make.data(40, bad=(3,))
    job = make.job(make.folder / "run", spec, limit=4)
    with pytest.MonkeyPatch.context() as patch:
        counter = StopAt(patch, 10**9)
        execute(job)
    return SimpleNamespace(spec=spec, job=job, run=job.run, passes=10**9 - counter.left)


@pytest.mark.parametrize(
    "way",
    [{"limit": 1}, {"limit": 7}, {"shard_size": 40}, {"shard_size": 14}, {"shuffled": True}, {"precision": "fp32"}],
    ids=str,
)
def test_the_way_does_not_change_the_rows(make, rows_of, straight, way):
    way = dict(way)
    if way.pop("shuffled", False):
        ids = list(straight.job.config.ids)
        random.Random(1).shuffle(ids)
        way["ids"] = ids
    other = make.job(make.folder / "other", straight.spec, save_examples=-1, **way)
    execute(other)
    same(rows_of(straight.run), rows_of(other.run), tolerance=2e-5)
    broken = [k for k, r in rows_of(straight.run).items() if r["distance"] and not r["correct"]]
    assert len(broken) >= 5, "the attacks must break some samples on the way"
    kept = {k: v for k, v in pictures(straight.run).items() if not k[0].startswith("pgd")}
    everything = pictures(other.run)
    assert len(kept) >= 9
    assert all(torch.equal(image, everything[key]) for key, image in kept.items())  # corrupted pixels: to the bit


@pytest.mark.parametrize("name", ["standard", "robust"])
def test_batch_size_does_not_change_an_audit_that_searches_on_a_copy(tmp_path, rows_of, name):
    plan = [{"method": "pgd", "params": {"steps": 6, "rel_stepsize": 0.2}, "eps": ["4/255", 0.1]}, "contrast"]
    found = []
    for size in (7, 64):
        out = tmp_path / str(size)
        unshaken.audit(f"demo:{name}", "demo", plan, limit=40, batch_size=size, out=out, workers=1, save_examples=0)
        found.append(rows_of(RunDir(out)))
    same(*found, tolerance=1e-4)
    assert {r["correct"] for (c, _), r in found[0].items() if c.startswith("pgd")} == {True, False}


def test_pictures_are_the_most_damaging_and_have_their_clean_images(make, rows_of):
    job = make.job(make.folder / "run", make.data(40))
    execute(job)
    rows, kept = rows_of(job.run), pictures(job.run)
    for condition in {c for c, _ in rows} - {"clean"}:
        damage = {
            i: (
                rows["clean", i]["correct"] and not row["correct"],
                row["loss"] - rows["clean", i]["loss"],
            )
            for (c, i), row in rows.items()
            if c == condition
        }
        worst = sorted(damage, key=lambda i: damage[i], reverse=True)[:3]
        assert {i for c, i in kept if c == condition} == set(worst), condition
    assert {i for c, i in kept if c == "clean"} == {i for c, i in kept if c != "clean"}


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.8, 0.97])
def test_resuming_after_an_interrupt_gives_the_same_rows(make, rows_of, straight, monkeypatch, share):
    spec = straight.spec
    job = make.job(make.folder / "other", spec, limit=4)
    with monkeypatch.context() as patch:
        StopAt(patch, max(1, int(straight.passes * share)))
        with pytest.raises(Interrupted, match="--resume"):
            execute(job)
    assert not job.run.exists(LOCK)
    before = job.run.finished()
    assert len(before) < 18
    execute(make.job(job.run, spec, limit=4), resume=True)
    same(rows_of(straight.run), rows_of(job.run))
    first, second = pictures(straight.run), pictures(job.run)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_every_gap_between_two_writes_can_be_resumed(make, rows_of, monkeypatch):
    """Stop before each file that a run writes, in turn; rows and pictures come out the same."""
    plan = [{"method": "contrast", "severities": [5]}, {"method": "fgsm", "eps": [0.02]}]
    spec = make.data(12)
    options = {"plan": plan, "shard_size": 8}
    straight = make.job(make.folder / "straight", spec, **options)
    execute(straight)
    files = sum(len(names) for _, _, names in os.walk(straight.run.root))
    write, stopped = RunDir.write, 0
    for at in range(2, files + 8):
        left = [at]

        def cut(run, data, *parts, left=left):
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            return write(run, data, *parts)

        job = make.job(make.folder / f"run-{at}", spec, **options)
        with monkeypatch.context() as patch:
            patch.setattr(RunDir, "write", cut)
            try:
                execute(job)
            except (Interrupted, KeyboardInterrupt):
                stopped += 1
        execute(make.job(job.run, spec, **options), resume=True)
        same(rows_of(straight.run), rows_of(job.run))
        assert pictures(straight.run).keys() == pictures(job.run).keys(), at
        assert costs(straight.run) == costs(job.run), at
    assert stopped >= 12


FAULTS = Path(__file__).parents[2] / "benchmarks" / "faults.py"


def killed_runs(tmp_path, *options):
    """What the benchmark of kills prints, run in a process that has imported everything already."""
    printed = tmp_path / "printed.txt"
    with process(run_script, FAULTS, ["--limit", "4", *options], printed) as child:
        child.join(240)
        assert child.exitcode == 0, printed.read_text()
    return printed.read_text()


def test_a_killed_run_is_resumed_to_the_same_rows(tmp_path):
    """SIGKILL at two random moments, against a run that was left alone."""
    # at a quarter and at half of the time that the whole takes
    printed = killed_runs(tmp_path, "--kills", "2", "--shard-size", "2", "--seed", "3")
    table = [line.split("|")[1:-1] for line in printed.splitlines() if line.startswith("| ")][1:]
    assert len(table) == 2
    assert any(cells[3].strip() == "yes" for cells in table)
    assert [cells[5].strip() for cells in table] == ["yes"] * 2
    assert "44 rows and files" in printed
    assert "2 of 2 kills were resumed to the same result" in printed


def test_a_killed_certification_is_resumed_to_the_same_rows(tmp_path):
    """All samples are in one shard: what was finished of it survives."""
    certify = ["--certify", "smoothing-sequential:n=500", "--model", "demo:robust", "--seed", "9"]  # about half way
    printed = killed_runs(tmp_path, "--kills", "1", "--shard-size", "1024", *certify)
    assert "12 rows and files" in printed  # clean, smoothed, and a certificate each
    assert "1 of 1 kills were resumed to the same result" in printed


def test_a_run_without_its_last_step_is_not_complete_and_decides_no_gate(make, monkeypatch):
    """The step that writes flags about all rows; every row is there before it."""

    def stop(*_):
        raise KeyboardInterrupt

    job = make.job(make.folder / "run", make.data(20))
    with monkeypatch.context() as patch:
        patch.setattr("unshaken.run.local.check_accuracy", stop)
        with pytest.raises(Interrupted):
            execute(job)
    summary, (gate,) = write_report(job.run, gates=["clean.accuracy >= 0"])
    assert (summary["complete"], gate.state) == (False, "undecided")
    assert "last step" in summary["notes"]["flags"]
    execute(job, resume=True)
    summary, (gate,) = write_report(job.run)
    assert (summary["complete"], gate.state) == (True, "held")
    assert not job.run.exists(UNFINISHED)


def test_a_run_that_is_there_is_not_overwritten(make):
    spec = make.data(8)
    execute(make.job(make.folder / "run", spec))
    with pytest.raises(RunError, match=r"already holds a run; add --resume"):
        execute(make.job(make.folder / "run", spec))


def test_resuming_a_finished_run_computes_nothing(make, rows_of, monkeypatch):
    spec = make.data(20)
    job = make.job(make.folder / "run", spec)
    execute(job)
    before = rows_of(job.run)
    monkeypatch.setattr(Oracle, "_call", lambda *a: pytest.fail("the model was called"))
    execute(make.job(job.run, spec), resume=True)
    assert rows_of(job.run) == before


def test_resuming_with_another_configuration_is_refused(make):
    spec = make.data(8)
    execute(make.job(make.folder / "run", spec))
    with pytest.raises(RunError, match=r"cannot resume with another configuration \(seed: 0 there, 1 now\)"):
        execute(make.job(make.folder / "run", spec, seed=1), resume=True)


def test_progress_ends_at_its_total(make):
    events = []
    spec = make.data(40, bad=(1,))
    with listening(events.append):
        execute(make.job(make.folder / "run", spec))
        execute(make.job(make.folder / "run", spec), resume=True)
    ends = [e for e in events if e.closed]
    assert [(e.done, e.total) for e in ends] == [(1440, 1440)] * 2  # conditions count by the passes they may need
    assert [e.done for e in events[:-1]] == sorted(e.done for e in events[:-1]) or len(ends) == 2


def test_a_run_in_memory_from_end_to_end(make, rows_of):
    spec = make.data(20)
    job = make.job("memory://test-local/run", spec)
    local = make.job(make.folder / "run", spec)
    execute(job)
    execute(local)
    same(rows_of(local.run), rows_of(job.run))
    assert pictures(job.run).keys() == pictures(local.run).keys()
    assert job.run.names("rows", "outcomes") == local.run.names("rows", "outcomes")


def test_all_samples_bad(make, rows_of):
    job = make.job(make.folder / "run", make.data(20, bad=tuple(range(20))))
    execute(job)
    rows = rows_of(job.run)
    assert len(rows) == 20
    assert all(row["error"] for row in rows.values())
    assert len(job.run.finished()) == 2 * 6


def test_a_bad_sample_is_in_the_summary_and_can_stop_a_run(make, tmp_path, tiny):
    spec = make.data(20, bad=(3, 7))
    audit = unshaken.audit(tiny, spec, [{"method": "contrast", "severities": [1]}], out=tmp_path / "run", workers=1)
    assert [b["id"] for b in audit.summary["bad_samples"]] == ["s003", "s007"]
    assert audit.summary["clean"]["n"] == 18
    with pytest.raises(UnshakenError, match=r"sample s003: .*; drop --on-error stop to record it"):
        unshaken.audit(tiny, spec, ["contrast"], out=tmp_path / "stopped", workers=1, on_error="stop")


def test_data_without_one_readable_image_is_refused(make, tmp_path, tiny):
    spec = make.data(5, bad=tuple(range(5)))
    with pytest.raises(UnshakenError, match="can be read"):
        unshaken.audit(tiny, spec, ["contrast"], out=tmp_path / "run", workers=1)


def test_unlabelled_data_leaves_attacks_out_and_says_so(make, rows_of):
    job = make.job(make.folder / "run", make.data(20, labelled=False))
    execute(job)
    rows = rows_of(job.run)
    assert {c for c, _ in rows} == {"clean", "gaussian_noise-1", "gaussian_noise-3", "contrast-5"}
    assert {row["correct"] for row in rows.values()} == {None}
    (flag,) = job.run.rows("flags").to_pylist()
    assert flag["name"] == "not-run"
    assert "pgd; the data has no labels" in flag["detail"]


def test_a_folder_of_loose_images_can_be_audited(make, tmp_path):
    folder = tmp_path / "loose"
    folder.mkdir()
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 256, (28, 28), np.uint8)
        (folder / f"{i}.png").write_bytes(make.png(pixels))
    audit = unshaken.audit("demo:standard", f"folder:{folder}", "quick", out=tmp_path / "run", workers=1)
    assert {f["name"] for f in audit.summary["flags"]} >= {"not-run"}
    assert any(c["method"] == "fog" for c in audit.summary["conditions"])
    assert not any(c["method"] == "pgd" for c in audit.summary["conditions"])


def test_a_black_box_leaves_gradient_attacks_out(make, rows_of, tiny):
    tiny.differentiable = False
    job = make.job(make.folder / "run", make.data(8))
    execute(job)
    assert not any(c.startswith("pgd") for c, _ in rows_of(job.run))
    (flag,) = [f for f in job.run.rows("flags").to_pylist() if f["name"] == "not-run"]
    assert "pgd; the model gives no gradients (black box)" in flag["detail"]


def test_a_run_that_did_all_that_the_model_allows_is_complete(make, tiny, tmp_path):
    tiny.differentiable = False
    summary = unshaken.audit(tiny, make.data(8), ["contrast", PGD], out=tmp_path / "run", workers=1).summary
    assert summary["complete"]
    assert summary["notes"]["pgd-linf-0.0313725"].startswith("not run")
    assert "--resume" not in (tmp_path / "run/report.md").read_text()


@pytest.mark.parametrize("plan", [[PGD], [PGD, {**PGD, "method": "mi-fgsm"}]])
def test_a_plan_of_which_nothing_can_be_run_is_refused(make, tiny, tmp_path, plan):
    tiny.differentiable = False
    with pytest.raises(ParameterError, match=r"nothing of the plan can be run \(pgd.*black box"):
        unshaken.audit(tiny, make.data(8), plan, out=tmp_path / "run", workers=1)
