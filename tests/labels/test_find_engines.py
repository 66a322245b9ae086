"""Forward passes of a search in several processes: the rows of one, resumed by any engine, refused on other data."""

from __future__ import annotations

import os
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from tests.processes import SERVER
from unshaken.api import label_evidence
from unshaken.api.labels import find_labels
from unshaken.core.errors import ParameterError, RunError
from unshaken.data import resident
from unshaken.data.arrays import InMemory
from unshaken.harden.engine import cross_validation
from unshaken.labels.engine import frozen
from unshaken.run import pool
from unshaken.run.process_pool import ProcessPool
from unshaken.store.run_dir import RunDir

QUICK = {"folds": 2, "epochs": 1, "lr": 0.05, "batch_size": 32, "check_images": 8, "review_size": 0}
FROZEN = {"model": "demo:standard", "folds": 2, "review_size": 0}


@pytest.fixture(autouse=True)
def quick_start(monkeypatch):
    """Processes from the tests' server, which has imported the package."""
    monkeypatch.setattr(pool, "ProcessPool", partial(ProcessPool, context=SERVER))


def images(n=64, *, side=12, bad=(), seed=0):
    """Images of two classes, one darker."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    pixels = rng.integers(0, 160, (n, 1, side, side)) + 90 * labels[:, None, None, None]
    named = {"ids": [f"s{i:03}" for i in range(n)], "classes": ("dark", "light")}
    reasons = dict.fromkeys(bad, "not readable")
    return InMemory(torch.from_numpy(pixels.astype(np.uint8)), torch.from_numpy(labels), bad=reasons, **named)


def rows_of(run):
    """Scores by sample."""
    table = run.rows("labels", ["id", "suggested", "score"]).to_pylist()
    return [r["id"] for r in table], np.array([r["score"] for r in table])


def same(one, other):
    assert rows_of(one)[0] == rows_of(other)[0]
    assert rows_of(one)[1] == pytest.approx(rows_of(other)[1], rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("given", [QUICK, FROZEN], ids=["trained", "frozen"])
def test_two_processes_give_the_rows_of_this_one(given, tmp_path, monkeypatch):
    data = images(300, side=28) if given is FROZEN else images()
    here, there = (
        find_labels(data, "self-confidence", out=tmp_path / engine, engine=engine, **given)
        for engine in ("local", "local:2")
    )
    same(here.run, there.run)


def test_no_pass_is_left_to_this_process(tmp_path, monkeypatch):
    monkeypatch.setattr(frozen.FeatureShards, "run_shard", lambda *a: pytest.fail("a pass was done here"))
    find_labels(images(20, side=28), "self-confidence", out=tmp_path / "run", engine="local:2", **FROZEN)
    monkeypatch.setattr(cross_validation.HeldOut, "run_shard", lambda *a: pytest.fail("a pass was done here"))
    find_labels(images(), "self-confidence", out=tmp_path / "other", engine="local:2", **QUICK)


def stopped_after(monkeypatch, done, cls):
    """Let a search end as by a kill after some shards."""
    run_shard, left = cls.run_shard, [done]

    def cut(self, *shard):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        run_shard(self, *shard)

    monkeypatch.setattr(cls, "run_shard", cut)


@pytest.mark.parametrize("engine", ["local", "local:2"])
def test_what_was_interrupted_is_resumed_by_any_engine(engine, tmp_path, monkeypatch):
    data = images()
    whole = find_labels(data, "self-confidence", out=tmp_path / "whole", **QUICK)
    with monkeypatch.context() as patch:
        stopped_after(patch, 1, cross_validation.HeldOut)
        with pytest.raises(KeyboardInterrupt):
            find_labels(data, "self-confidence", out=tmp_path / "cut", **QUICK)
    cut = RunDir(tmp_path / "cut")
    assert [n for n in cut.names("folds") if n.startswith("passes")] == ["passes-0-00000.npy"]
    monkeypatch.setattr(cross_validation, "fit", lambda *a, **k: pytest.fail("a fold was trained again"))
    resumed = find_labels(data, "self-confidence", out=cut.path, resume=True, engine=engine, **QUICK)
    same(whole.run, resumed.run)
    assert resumed.run.names("folds") == ["fold-0.npy", "fold-1.npy", "samples.json"]


def test_features_that_are_there_are_not_computed_again(tmp_path, monkeypatch):
    monkeypatch.setattr(frozen, "SHARD", 8)
    data, done, run_shard = images(20, side=28), [], frozen.FeatureShards.run_shard
    with monkeypatch.context() as patch:
        stopped_after(patch, 2, frozen.FeatureShards)
        with pytest.raises(KeyboardInterrupt):
            find_labels(data, "self-confidence", out=tmp_path / "run", **FROZEN)
    monkeypatch.setattr(frozen.FeatureShards, "run_shard", lambda self, n: (done.append(n), run_shard(self, n)))
    find_labels(data, "self-confidence", out=tmp_path / "run", resume=True, **FROZEN)
    assert done == [2]
    assert RunDir(tmp_path / "run").names("features") == []


def test_the_user_s_model_must_be_the_same_on_resuming(tmp_path):
    """Features of other weights under the same SPEC would be mixed."""
    (tmp_path / "net.py").write_text(
        "import torch\ndef make():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, 4), torch.nn.Linear(4, 2))\n"
    )
    given = {**FROZEN, "model": f"py:{tmp_path}/net.py:make", "out": tmp_path / "run"}
    find_labels(images(), "self-confidence", **given)
    (tmp_path / "net.py").write_text((tmp_path / "net.py").read_text().replace("seed(0)", "seed(1)"))
    with pytest.raises(RunError, match=r"other settings \(model_fingerprint differ\)"):
        find_labels(images(), "self-confidence", resume=True, **given)


def test_another_process_refuses_other_data(tmp_path):
    data = images()
    there = label_evidence.Remade(
        run=RunDir(tmp_path), data=images(seed=1), data_fingerprint=data.fingerprint, model="small-cnn",
        model_fingerprint=None, device="cpu", download=False, workers=1,
    )  # fmt: skip
    with pytest.raises(RunError, match="a process finds other data"):
        there.samples(None)


@pytest.fixture
def folder(tmp_path):
    """Photos of two classes, one of which cannot be read, as a folder."""
    data = images(24, side=28)
    for i, image in enumerate(data.images):
        place = tmp_path / "photos" / data.classes[int(data.labels[i])] / f"{i:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(place)
    (tmp_path / "photos" / "light" / "05.png").write_bytes(b"no picture")
    return f"folder:{tmp_path / 'photos'}"


@pytest.mark.parametrize("given", [QUICK, FROZEN, FROZEN | {"engine": "local:2"}])
def test_an_image_that_cannot_be_read_is_left_out(folder, given, tmp_path):
    result = find_labels(folder, "self-confidence", out=tmp_path / "run", **given)
    assert len(result.ids) == 23
    assert "light/05.png" not in result.ids
    assert [bad.id for bad in result.bad_samples] == ["light/05.png"]
    assert len(rows_of(result.run)[0]) == 23


def test_images_too_large_for_memory_may_be_bad_too(folder, tmp_path, monkeypatch):
    """Of probabilities that are given nobody decodes the images but for the report."""
    monkeypatch.setattr(resident, "RESIDENT_BYTES", 0)
    p = np.full((24, 2), 0.5)
    result = find_labels(folder, "self-confidence", pred_probs=p, out=tmp_path / "run", review_size=0)
    assert len(result.run.examples("worst")) == 23


def test_folds_of_other_samples_are_refused(folder, tmp_path):
    given = {"out": tmp_path / "run", **QUICK}
    find_labels(folder, "self-confidence", **given)
    lost = tmp_path / "photos" / "dark" / "04.png"
    before = lost.stat()
    lost.write_bytes(bytes(before.st_size))
    os.utime(lost, ns=(before.st_atime_ns, before.st_mtime_ns))  # as on a disk that fails
    with pytest.raises(RunError, match="begun with 23 readable images, now there are 22"):
        find_labels(folder, "self-confidence", resume=True, **given)


def test_the_directory_of_another_command_is_refused(tmp_path):
    RunDir(tmp_path).write_json({}, "run.json")
    with pytest.raises(ParameterError, match=r"holds other files, such as 'run.json'"):
        find_labels(images(), "self-confidence", out=tmp_path, **QUICK)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # ray's own
def test_ray_workers_give_the_rows_of_this_process_and_go_on_with_its_run(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        for given, data, cls in ((QUICK, images(), cross_validation.HeldOut), (FROZEN, "demo", frozen.FeatureShards)):
            whole, cut = tmp_path / f"whole-{cls.__name__}", tmp_path / f"cut-{cls.__name__}"
            limit = None if data != "demo" else 520
            here = find_labels(data, "self-confidence", out=whole, limit=limit, **given)
            with monkeypatch.context() as patch:
                stopped_after(patch, 1, cls)
                with pytest.raises(KeyboardInterrupt):
                    find_labels(data, "self-confidence", out=cut, limit=limit, **given)
            there = find_labels(data, "self-confidence", out=cut, limit=limit, resume=True, engine="ray", **given)
            same(here.run, there.run)
    finally:
        ray.shutdown()
