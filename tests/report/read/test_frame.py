from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unshaken.report.read.frame import read_frame, read_outcomes
from unshaken.store.config import Entry, read_config
from unshaken.store.run_dir import RunDir

Make = Callable[..., RunDir]


def test_cells_stand_where_their_sample_and_condition_say(make_run: Make) -> None:
    run = make_run(n=24, shards=3, plan=[Entry(method="fog", severities=(3, 5))], bad=False)
    frame = read_frame(run, read_config(run))
    assert [c.id for c in frame.conditions] == ["clean", "fog-3", "fog-5"]
    place = np.arange(24) % 8
    assert (frame.right == np.stack([place >= 1, place >= 3, place >= 5], 1)).all()
    rows = {(r["id"], r["condition"]): r for r in run.rows("outcomes").to_pylist()}
    for i, name in enumerate(frame.ids):
        for j, c in enumerate(frame.conditions):
            assert frame.prediction[i, j] == rows[name, c.id]["prediction"]
            assert frame.confidence[i, j] == np.float32(rows[name, c.id]["confidence"])
    assert (frame.labels == np.arange(24) % 5).all()


def test_samples_keep_the_order_of_the_run(make_run: Make) -> None:
    run = make_run(n=6, shards=1, plan=[], bad=False)
    config = read_config(run)
    turned = config.model_copy(update={"ids": config.ids[::-1]})
    assert read_frame(run, turned).ids == tuple(config.ids[::-1])
    assert (read_frame(run, turned).labels == read_frame(run, config).labels[::-1]).all()


def test_only_the_columns_asked_for_are_read(make_run: Make) -> None:
    run = make_run(n=4, shards=2, plan=[], bad=False)
    assert read_outcomes(run, "clean", [0, 1], ["id", "loss"]).column_names == ["id", "loss"]
    assert len(read_outcomes(run, "clean", [1], ["id"])) == 2


def test_conditions_are_natural_or_attacks_or_nearest_examples(make_run: Make) -> None:
    run = make_run(plan=[Entry(method="fog", severities=(3,)), Entry(method="fgsm", eps=(0.1,))], attacks=True)
    frame = read_frame(run, read_config(run))
    names = [c.id for c in frame.conditions]
    assert names == ["clean", "fog-3", "fgsm-linf-0.1", "deepfool-l2-0.25", "deepfool-l2", "spatial"]
    assert (frame.natural, frame.attacks, frame.nearest) == ([1], [2, 3, 5], [4])
