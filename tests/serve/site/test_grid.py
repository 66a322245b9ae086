"""The grid of samples against the same rows sorted and filtered by hand."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tests.report.conftest import write_run
from tests.serve.site.conftest import PLAN
from unshaken.core.errors import ParameterError, RunError
from unshaken.run.examples import damage
from unshaken.serve.site.grid import GridFilters, GridOrder, Outcome, SampleGrid
from unshaken.store.config import read_config
from unshaken.store.run_dir import RunDir

FOG, ALL = "fog-3", GridFilters()


@pytest.fixture(scope="module")
def run(two_runs):
    return RunDir(two_runs / "a")


@pytest.fixture(scope="module")
def grid(run):
    opened = SampleGrid(run, read_config(run), FOG)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def rows(run):
    """Rows under fog and of the unchanged images, in the order of the ids."""
    ids = [i for i in read_config(run).ids if "broken" not in i]
    found = []
    for condition in (FOG, "clean"):
        by_id = {r["id"]: r for r in run.rows("outcomes", condition=condition).to_pylist()}
        found.append([by_id[i] for i in ids])
    return found


def every(grid, filters=ALL, order=GridOrder.WORST, limit=7):
    found, after = [], ""
    while True:
        page = grid.page(filters, order=order, after=after, limit=limit)
        found += page.samples
        after = page.next
        if not after:
            assert page.total == len(found)
            return found


def test_the_worst_come_first_as_of_the_examples_of_a_run(grid, rows):
    columns = [
        {k: np.array([r[k] for r in side]) for k in ("prediction", "confidence", "correct", "loss")} for side in rows
    ]
    order = np.argsort(-damage(*columns), kind="stable")
    assert [s.n for s in every(grid)] == order.tolist()
    assert [s.broken for s in every(grid)] == [s.n % 8 in (1, 2) for s in every(grid)]  # by hand: wrong below 3


def test_other_orders_are_those_of_the_confidence_and_of_the_data(grid, rows):
    sure = np.array([r["confidence"] for r in rows[0]])
    assert [s.n for s in every(grid, order=GridOrder.CONFIDENT)] == np.argsort(-sure, kind="stable").tolist()
    assert [s.n for s in every(grid, order=GridOrder.UNSURE)] == np.argsort(sure, kind="stable").tolist()
    assert [s.n for s in every(grid, order=GridOrder.GIVEN)] == list(range(48))


FILTERS = {
    "wrong": (GridFilters(outcome=Outcome.WRONG), lambda n, row: n % 8 < 3),
    "right": (GridFilters(outcome=Outcome.RIGHT), lambda n, row: n % 8 >= 3),
    "broken": (GridFilters(outcome=Outcome.BROKEN), lambda n, row: n % 8 in (1, 2)),
    "label": (GridFilters(label=2), lambda n, row: n % 5 == 2),
    "prediction": (GridFilters(prediction=3), lambda n, row: (n + (n % 8 < 3)) % 5 == 3),
    "confidence": (GridFilters(low=0.7, high=0.8), lambda n, row: 0.7 <= row["confidence"] <= 0.8),
    "flag": (GridFilters(flag="zero-gradient"), lambda n, row: n < 3),
    "both": (GridFilters(label=2, outcome=Outcome.WRONG), lambda n, row: n % 5 == 2 and n % 8 < 3),
    "hostile flag": (GridFilters(flag="' OR 1=1 --"), lambda n, row: False),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters_keep_what_they_say(grid, rows, name):
    filters, fits = FILTERS[name]
    wanted = [n for n, row in enumerate(rows[0]) if fits(n, row)]
    assert [s.n for s in every(grid, filters, GridOrder.GIVEN)] == wanted


def test_a_sample_says_what_became_of_it(grid, rows):
    sample = next(s for s in every(grid) if s.n == 9)
    row, before = rows[0][9], rows[1][9]
    assert (sample.id, sample.label, sample.prediction, sample.before) == ("dir/009.png", 4, 0, before["prediction"])
    assert (sample.confidence, sample.correct, sample.broken) == (pytest.approx(row["confidence"]), False, True)
    assert grid.flags == ("zero-gradient",)


def test_the_unchanged_images_and_runs_without_labels_have_a_grid(run, tmp_path):
    clean = SampleGrid(run, read_config(run), "clean")
    assert [s.n % 8 == 0 for s in every(clean)] == [True] * 6 + [False] * 42
    bare = write_run(tmp_path / "bare", plan=PLAN, labelled=False, pictures=0)
    found = every(SampleGrid(bare, read_config(bare), FOG))
    assert [s.broken for s in found] == [True] * 12 + [False] * 36  # the prediction changed
    assert {s.label for s in found} == {None}


@pytest.mark.parametrize("after", ["x", "-1", "0", "1.5", "1e3", "9" * 40, "1 OR 1=1"])
def test_a_place_that_no_page_gave_is_refused(grid, after):
    with pytest.raises(ParameterError):
        grid.page(GridFilters(), after=after)


def test_rows_of_another_run_and_absent_rows_are_refused(run, tmp_path):
    other = write_run(tmp_path / "other", plan=PLAN, seed=7, pictures=0)
    with pytest.raises(RunError, match="no rows of 'snow-1'"):
        SampleGrid(other, read_config(other), "snow-1")
    marked = [RunDir(tmp_path / name) for name in ("x", "y")]
    for k, one in enumerate(marked):
        write_run(tmp_path / one.path, plan=PLAN, seed=k, pictures=0)
        config, table = read_config(one), one.rows("outcomes", condition=FOG)
        one.write_rows(table.slice(0, 25), "outcomes", FOG, 0)
        assert config.seed == k
    file = ("rows", "outcomes", f"{FOG}-00000.parquet")
    shutil.copy(marked[1].at(*file), marked[0].at(*file))
    with pytest.raises(RunError, match="another run"):
        SampleGrid(marked[0], read_config(marked[0]), FOG)
