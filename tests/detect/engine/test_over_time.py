"""The accepted share in the order of a run's samples, from rows made by hand."""

from __future__ import annotations

import pytest
import torch

from unshaken.core import Batch
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.part import Condition
from unshaken.detect.engine.over_time import over_time
from unshaken.detect.engine.rows import scores
from unshaken.detect.engine.screen import DetectorScores
from unshaken.store.config import RunConfig
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of


def run_of(tmp_path, values, order):
    """Scores by sample, written shard by shard in another order than that of the run."""
    ids = [f"s{i}" for i in range(len(values))]
    config = RunConfig(
        schema=1, model="m", data="d", plan=[], ids=ids, shard_size=10, model_fingerprint="", data_fingerprint="",
        model_name="m",
    )  # fmt: skip
    run = RunDir(tmp_path / "run")
    run.write_json(config.to_json(), "run.json")
    for shard, rows in enumerate(torch.tensor(order).split(10)):
        some = [ids[i] for i in rows.tolist()]
        zero = torch.zeros(len(some), dtype=torch.int64)
        scored = DetectorScores(torch.tensor([values[i] for i in rows.tolist()]).double(), zero, zero, zero.double())
        batch = Batch(torch.zeros(len(some), 1, 1, 1), None, tuple(some))
        part = scores(
            Condition("msp", "screening"), "msp", batch, scored, split="normal", threshold=0.5,
            logits=torch.zeros(len(some), 2),
        )  # fmt: skip
        run.write_rows(table_of(part), "scores", "msp", shard)
    return run


def test_the_order_is_that_of_the_run(tmp_path):
    values = [0.1] * 20 + [0.9] * 20
    run = run_of(tmp_path, values, list(range(39, -1, -1)))
    found = over_time(run, window=10, promised=0.9)["msp"]
    assert [w.share.value for w in found.windows] == [1.0, 1.0, 0.0, 0.0]
    assert 20 <= found.alarm < 30


def test_a_score_that_is_no_number_is_left_out(tmp_path):
    run = run_of(tmp_path, [0.1] * 5 + [float("nan")] + [0.9] * 4, list(range(10)))
    found = over_time(run, window=9, promised=0.5)["msp"]
    assert [w.share.value for w in found.windows] == [5 / 9]


def test_a_run_without_scores(tmp_path):
    with pytest.raises(RunError, match=r"no run\.json"):
        over_time(RunDir(tmp_path))
    run = run_of(tmp_path, [0.1] * 4, list(range(4)))
    with pytest.raises(ParameterError, match="no scores of split 'far/mnist'"):
        over_time(run, split="far/mnist")
