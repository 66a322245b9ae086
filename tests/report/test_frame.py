from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from unshaken.report.frame import label_of, read_frame, read_outcomes, series_of
from unshaken.run import Condition, RunDir, read_config
from unshaken.run.plan import Entry

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


@pytest.mark.parametrize(
    ("condition", "series", "label"),
    [
        (Condition("fog-3", "fog", severity=3), "fog", "fog"),
        (Condition("fog+2-3", "fog", severity=3), "fog+2", "fog+2"),
        (Condition("pgd-linf-0.0313725", "pgd", eps=8 / 255, norm="linf"), "pgd-linf", "pgd"),
        (Condition("pgd+2-l2-0.5", "pgd", eps=0.5, norm="l2"), "pgd+2-l2", "pgd+2"),
        (Condition("custom", "custom"), "custom", "custom"),
    ],
)
def test_a_condition_belongs_to_its_line_of_the_plan(condition: Condition, series: str, label: str) -> None:
    assert (series_of(condition), label_of(condition)) == (series, label)


def test_only_the_columns_asked_for_are_read(make_run: Make) -> None:
    run = make_run(n=4, shards=2, plan=[], bad=False)
    assert read_outcomes(run, "clean", [0, 1], ["id", "loss"]).column_names == ["id", "loss"]
    assert len(read_outcomes(run, "clean", [1], ["id"])) == 2
