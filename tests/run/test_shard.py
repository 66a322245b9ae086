"""One shard: written once, in an order in which nothing is lost, with its cost."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError
from unshaken.core.ids import Ids
from unshaken.run import run_shard
from unshaken.run.plan import prepare
from unshaken.store.run_dir import RunDir


def test_a_shard_writes_its_own_samples_only(make, rows_of):
    job = make.job(make.folder / "run", make.data(40))
    run_shard(job, 1, set())
    assert {i for _, i in rows_of(job.run)} == {f"s{i:03d}" for i in range(16, 32)}
    assert {s for _, s in job.run.finished()} == {1}


def test_the_reference_is_the_first_readable_samples_and_few_of_very_large_images(make, monkeypatch):
    spec = make.data(80, bad=(0, 5))
    whole = make.job(make.folder / "run", spec).reference()
    assert whole.ids == tuple(f"s{i:03d}" for i in range(34) if i not in (0, 5))
    monkeypatch.setattr("unshaken.run.shard.BATCH_NUMBERS", 3 * whole.images[0].numel())
    few = make.job(make.folder / "run", spec).reference()
    assert few.ids == whole.ids[:3]
    assert torch.equal(few.images, whole.images[:3])
    assert torch.equal(few.labels, whole.labels[:3])


def test_only_what_is_absent_is_computed(make):
    job = make.job(make.folder / "run", make.data(16))
    run_shard(job, 0, set())
    finished = job.run.finished()
    assert run_shard(job, 0, finished).forwards == 0
    job.run.remove("rows", "outcomes", "contrast-5-00000.parquet")
    again = run_shard(job, 0, job.run.finished())
    assert again.forwards == 16 + 16  # the clean logits, which damage is measured by, and the one condition
    assert job.run.finished() == finished


def test_shards_in_any_order_give_the_same_rows(make, rows_of):
    spec = make.data(40, bad=(20,))
    one, two = make.job(make.folder / "one", spec), make.job(make.folder / "two", spec)
    for shard in (0, 1, 2):
        run_shard(one, shard, set())
    for shard in (2, 0, 1):
        run_shard(two, shard, set())
    assert rows_of(one.run) == rows_of(two.run)


def test_cost_is_what_the_model_was_asked(make, tiny, rows_of):
    seen = [0]
    tiny.net.register_forward_pre_hook(lambda _m, inputs: seen.__setitem__(0, seen[0] + len(inputs[0])))
    job = make.job(make.folder / "run", make.data(16))
    meter = run_shard(job, 0, set())
    assert seen[0] == meter.forwards
    cost = {r["step"]: r for r in job.run.rows("cost").to_pylist()}
    assert set(cost) == {"clean", "gaussian_noise", "contrast", "pgd"}
    assert sum(r["forwards"] for r in cost.values()) == meter.forwards
    assert sum(r["backwards"] for r in cost.values()) == meter.backwards
    assert cost["gaussian_noise"]["forwards"] == 32
    assert cost["contrast"]["forwards"] == 16
    pgd = [r for (c, _), r in rows_of(job.run).items() if c.startswith("pgd")]
    needed, successes = sum(r["backwards"] for r in pgd), sum(not r["correct"] for r in pgd)
    assert 0 <= cost["pgd"]["backwards"] - needed <= successes
    assert cost["pgd"]["forwards"] == sum(r["forwards"] for r in pgd)
    assert all(r["wall_seconds"] >= r["model_seconds"] > 0 for r in cost.values())
    assert all(r["back_offs"] == 0 for r in cost.values())


def test_the_model_is_left_as_it_was(make, tiny):
    tiny.train()
    tiny.net.body.eval()
    before = [(n, m.training) for n, m in tiny.named_modules()]
    run_shard(make.job(make.folder / "run", make.data(16)), 0, set())
    assert [(n, m.training) for n, m in tiny.named_modules()] == before
    assert all(p.requires_grad and p.grad is None for p in tiny.parameters())


def test_a_bad_sample_stops_a_run_that_wants_to_be_stopped(make):
    job = make.job(make.folder / "run", make.data(16, bad=(4,)), stop_on_bad=True)
    with pytest.raises(DataError, match=r"sample s004: .*; drop --on-error stop"):
        run_shard(job, 0, set())


def test_a_shard_of_bad_samples_is_finished_too(make, rows_of):
    job = make.job(make.folder / "run", make.data(20, bad=(16, 17, 18, 19)))
    run_shard(job, 1, set())
    assert {c for c, _ in job.run.finished()} == {
        "clean",
        "gaussian_noise-1",
        "gaussian_noise-3",
        "contrast-5",
        "pgd-linf-0.01",
        "pgd-linf-0.04",
    }
    assert {k for k, r in rows_of(job.run).items() if r["error"]} == {("clean", f"s{i:03d}") for i in range(16, 20)}
    assert run_shard(job, 1, job.run.finished()).forwards == 0


class Greedy(torch.nn.Module):
    """Runs out of memory above a batch size."""

    def __init__(self, net, most):
        super().__init__()
        self.net, self.most = net, most

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError(f"no room for {len(x)}")
        return self.net(x)


def test_memory_that_runs_out_changes_no_row(make, rows_of, tiny):
    spec = make.data(16)
    plan = [{"method": "pgd", "params": {"steps": 3}, "eps": [0.03]}]
    roomy = make.job(make.folder / "roomy", spec, plan=plan)
    tight = make.job(make.folder / "tight", spec, plan=plan, model=Classifier(Greedy(tiny.net, 5)).eval())
    run_shard(roomy, 0, set())
    meter = run_shard(tight, 0, set())
    assert meter.back_offs == 4  # 64, 32, 16, 8, 4
    assert meter.largest_batch == 4
    first, second = rows_of(roomy.run), rows_of(tight.run)
    assert {k: (r["prediction"], r["correct"]) for k, r in first.items()} == {
        k: (r["prediction"], r["correct"]) for k, r in second.items()
    }


def test_memory_that_runs_out_under_a_stressor_loses_no_row(make, rows_of, tiny):
    """Memory is there for the clean images and no longer when the stressor's come."""

    class Shrinking(Greedy):
        def forward(self, x):
            self.calls = getattr(self, "calls", 0) + 1
            self.most = 99 if self.calls <= 2 else 5
            return super().forward(x)

    plan = [{"method": "contrast", "severities": [1]}]
    model = Classifier(Shrinking(tiny.net, 99)).eval()
    job = make.job(make.folder / "run", make.data(16), plan=plan, model=model, limit=12)
    meter = run_shard(job, 0, {("clean", 0)})
    assert meter.back_offs == 2
    assert len(rows_of(job.run)) == 16


@pytest.mark.parametrize("save", [0, 2, -1])
def test_pictures_kept(make, save):
    job = make.job(make.folder / f"run{save}", make.data(16), save_examples=save)
    run_shard(job, 0, set())
    run: RunDir = job.run
    expected = {0: 0, 2: 2, -1: 16}[save]
    for condition in ("contrast-5", "pgd-linf-0.04"):
        assert len(run.examples(condition)) == expected
    assert (len(run.examples("clean")) == 16) == (save == -1)
    assert set(run.examples("contrast-5")) <= set(run.examples("clean"))


def test_a_plan_of_nothing_but_clean_can_keep_its_pictures(make, tiny):
    tiny.differentiable = False
    plan = [{"method": "fgsm", "eps": [0.1]}]
    job = make.job(make.folder / "run", make.data(16), plan=plan, save_examples=-1)
    run_shard(job, 0, set())
    assert len(job.run.examples("clean")) == 16


class Counted(Ids):
    """Ids that count how often they are walked through."""

    walks = 0

    def __iter__(self):
        type(self).walks += 1
        return super().__iter__()


def test_the_work_beside_a_shard_does_not_grow_with_the_run(make, monkeypatch):
    """One plan and one walk through the ids a run, and no listing of what all shards have left."""
    job = make.job(make.folder / "run", make.data(80), plan=[{"method": "contrast", "severities": [1, 3]}])
    job.dataset.ids = Counted.of((*job.dataset.ids, "left-out"))
    plans, listings = [], []
    monkeypatch.setattr("unshaken.run.shard.prepare", lambda plan, real=prepare: plans.append(1) or real(plan))
    monkeypatch.setattr(RunDir, "names", lambda run, *parts, **_: listings.append(parts) or [])
    Counted.walks = 0
    for shard in range(5):
        run_shard(job, shard, set())
    assert (len(plans), Counted.walks) == (1, 1)
    assert all(parts[0] == "journal" for parts in listings)  # of one step of one shard


def test_what_is_made_once_is_let_go_with_the_job(make):
    job = make.job(make.folder / "run", make.data(16))
    made = job.once("detectors", lambda: torch.nn.Linear(1, 1))
    assert job.once("detectors", lambda: None) is made
    held = weakref.ref(made)
    del made, job
    gc.collect()
    assert held() is None
