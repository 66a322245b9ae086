from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from unshaken.core.part import Condition
from unshaken.report.read.frame import is_nearest, label_of, read_frame, read_outcomes, series_of
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
        assert frame.confidence[i] == np.float32(rows[name, "clean"]["confidence"])
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


@pytest.mark.parametrize(
    ("condition", "series", "label"),
    [
        (Condition("fog-3", "fog", severity=3), "fog", "fog"),
        (Condition("fog+2-3", "fog", severity=3), "fog+2", "fog+2"),
        (Condition("pgd-linf-0.0313725", "pgd", eps=8 / 255, norm="linf"), "pgd-linf", "pgd"),
        (Condition("pgd+2-l2-0.5", "pgd", eps=0.5, norm="l2"), "pgd+2-l2", "pgd+2"),
        (Condition("fab+2-l1", "fab", norm="l1"), "fab+2-l1", "fab+2"),
        (Condition("custom", "custom"), "custom", "custom"),
    ],
)
def test_a_condition_belongs_to_its_line_of_the_plan(condition: Condition, series: str, label: str) -> None:
    assert (series_of(condition), label_of(condition)) == (series, label)


def test_a_norm_without_a_budget_means_nearest_examples() -> None:
    assert is_nearest(Condition("fab-linf", "fab", norm="linf"))
    assert not is_nearest(Condition("fab-linf-0", "fab", eps=0.0, norm="linf"))
    assert not is_nearest(Condition("spatial", "spatial"))
